# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""GRUB's environment block and the mark in it, read independently of the code under test."""

import re
import zlib

SIGNATURE = b"# GRUB Environment Block\n"
SIZE = 1024
MARK_NAME = b"hib_mark"
MARK_WIDTH = 400
MARK_FIELDS = ("magic", "state", "id", "image", "offset", "page_size", "fs_uuid", "kernel", "initrd", "release", "time",
               "verify", "crc")
_STATE = slice(5, 10)


def make(variables, size=SIZE):
    """A block with these variables, as grub-editenv lays it out."""
    text = SIGNATURE + b"".join(b"%s=%s\n" % (name.encode(), value.encode()) for name, value in variables.items())
    assert len(text) <= size
    return text.ljust(size, b"#")


def variables(block):
    """The variables of a well-formed block; values as they are, escapes and all."""
    assert block.startswith(SIGNATURE), "no signature"
    lines = (line for line in block.split(b"\n") if line and not line.startswith(b"#"))
    return {name.decode(): value.decode() for name, _, value in (line.partition(b"=") for line in lines)}


def mark_text(block):
    """The text of the mark, MARK_WIDTH bytes, or None where no slot is."""
    found = re.search(rb"^%s=(.{%d})$" % (MARK_NAME, MARK_WIDTH), block, re.MULTILINE)
    return found.group(1) if found else None


def mark(block):
    """The mark's fields by name, after checking its checksum; None where no slot is."""
    text = mark_text(block)
    if text is None:
        return None
    crc = zlib.crc32(text[: _STATE.start] + text[_STATE.stop : -8])
    assert text[-8:] == b"%08x" % crc, f"checksum of the mark: {text[-8:]} should be {crc:08x}"
    return dict(zip(MARK_FIELDS, text.decode().split(), strict=True))


def seal(text):
    """The same mark with the right checksum."""
    assert len(text) == MARK_WIDTH
    return text[:-8] + b"%08x" % zlib.crc32(text[: _STATE.start] + text[_STATE.stop : -8])


def without_mark(block):
    """The bytes of a block with the slot's value blanked: what must never change."""
    text = mark_text(block)
    return block if text is None else block.replace(text, b" " * MARK_WIDTH)
