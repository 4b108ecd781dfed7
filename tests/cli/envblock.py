# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""GRUB's environment block and the mark in it, read and written independently of the code under test."""

import dataclasses
import re
import zlib

SIGNATURE = b"# GRUB Environment Block\n"
SIZE = 1024
SECTOR = 512

# ---- the block ----


def make(variables=(), size=SIZE):
    """A block with these NAME, VALUE pairs of bytes, which must not need escapes."""
    text = SIGNATURE + b"".join(b"%s=%s\n" % pair for pair in variables)
    assert len(text) <= size
    return text.ljust(size, b"#")


def variables(block):
    """The variables as GRUB's load_env finds them, as a list of pairs of bytes; values without their escapes.

    Raises ValueError for what GRUB refuses, and for what it reads only in part."""
    if len(block) <= len(SIGNATURE) or not block.startswith(SIGNATURE):
        raise ValueError("not an environment block")
    found, at = [], len(SIGNATURE)
    while at < len(block):
        if block[at] == ord("#"):
            end = block.find(b"\n", at)
            at = len(block) if end < 0 else end + 1
            continue
        equals = block.find(b"=", at)
        if equals < 0:
            raise ValueError(f"byte {at}: a line without =")
        name, value, at = block[at:equals], bytearray(), equals + 1
        while at < len(block) and block[at] != ord("\n"):
            at += block[at] == ord("\\")
            value += block[at : at + 1]
            at += 1
        if at >= len(block):
            raise ValueError(f"byte {equals}: a value without an end")
        found.append((name, bytes(value)))
        at += 1
    return found


def is_sound(block):
    """Whether GRUB can read all of it and its save_env could change it."""
    if block is None or len(block) % SECTOR or not block.rstrip(b"#").endswith(b"\n"):
        return False
    try:
        variables(block)
    except ValueError:
        return False
    return True


# ---- the slot ----

NAME = b"hib_mark"
WIDTH = 400
STATE = slice(5, 10)


def slot_at(block):
    """Where the value of the only slot starts, or None."""
    found = list(re.finditer(rb"^%s=" % NAME, block, re.MULTILINE))
    return found[0].end() if len(found) == 1 else None


def slot(block):
    """The text of the mark, or None."""
    at = slot_at(block)
    return None if at is None else block[at : at + WIDTH]


def without_slot(block):
    """The block with the slot's value blanked out: what must never change."""
    at = slot_at(block)
    return block if at is None else block[:at] + b" " * WIDTH + block[at + WIDTH :]


def with_slot(block, text):
    """The block with another text in its slot, or with a slot put right behind the signature if it has none."""
    assert len(text) == WIDTH
    at = slot_at(block)
    if at is None:
        line = NAME + b"=" + text + b"\n"
        rest = block[len(SIGNATURE) :]
        assert rest.endswith(b"#" * len(line))
        return SIGNATURE + line + rest[: -len(line)]
    return block[:at] + text + block[at + WIDTH :]


# ---- the mark ----

FIELDS = ("id", "image", "offset", "page_size", "filesystem", "kernel", "initrd", "release", "time", "verify")


def seal(text):
    """The same text with the right checksum at its end."""
    text = text[: WIDTH - 8].ljust(WIDTH - 8)
    return text + b"%08x" % zlib.crc32(text[: STATE.start] + text[STATE.stop :])


EMPTY = seal(b"hib1 none " + b" -" * len(FIELDS))


@dataclasses.dataclass
class Mark:
    """A mark's fields as text, in the order of the line."""

    id: str = "0123456789abcdef0123456789abcdef"
    image: str = "UUID=66666666-7777-8888-9999-aaaaaaaaaaaa"
    offset: str = "0"
    page_size: str = "4096"
    filesystem: str = "11111111-2222-3333-4444-555555555555"
    kernel: str = "/boot/vmlinuz-6.1.0-1-amd64"
    initrd: str = "/boot/initrd.img-6.1.0-1-amd64"
    release: str = "6.1.0-1-amd64"
    time: str = "2026-11-22T16:03:12+01:00"
    verify: str = "header"
    state: str = "armed"
    magic: str = "hib1"

    def text(self):
        words = [self.magic, self.state.ljust(5)] + [getattr(self, field) for field in FIELDS]
        line = " ".join(words).encode()
        assert len(line) < WIDTH - 8
        return seal(line)


def parse(text):
    """The fields by name, and "state", after checking the frame. Raises ValueError."""
    if len(text) != WIDTH or seal(text) != text:
        raise ValueError(f"checksum or width: {text!r}")
    words = text[:-8].decode("ascii").split()
    if len(words) != 2 + len(FIELDS) or words[0] != "hib1" or words[1] not in ("none", "armed", "taken"):
        raise ValueError(f"form: {text!r}")
    return dict(zip(FIELDS, words[2:], strict=True), state=words[1])


def with_time(block, time):
    """The block with the mark as if it had been made then."""
    text = slot(block)
    return block.replace(text, Mark(**{**parse(text), "time": time}).text())


def state(block):
    """The state of the block's mark, or None without a slot."""
    text = slot(block)
    return None if text is None else parse(text)["state"]


def with_state(block, new):
    """The block with only the mark's state changed, as GRUB's script does it."""
    text = slot(block)
    return with_slot(block, text[: STATE.start] + new.encode().ljust(5) + text[STATE.stop :])
