# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Marks, environment blocks and image headers, written from the description in mark/*.h and not from its code: a second
implementation, so that a mistake in the first shows."""

import dataclasses
import struct
import uuid
import zlib

WIDTH = 400
STATES = {"none": b"none ", "armed": b"armed", "taken": b"taken"}
ENV_SIGNATURE = b"# GRUB Environment Block\n"
SECTOR = 512
_STATE = slice(5, 10)


def seal(text):
    """The same line with the right checksum: of all before it, without the state."""
    body = text[:-8]
    return body + b"%08x" % zlib.crc32(body[: _STATE.start] + body[_STATE.stop :])


def _line(state, fields):
    text = b"hib1 " + STATES[state] + b"".join(b" " + field.encode() for field in fields)
    assert len(text) < WIDTH - 8
    return seal(text.ljust(WIDTH - 8) + b"00000000")


def empty(state="none"):
    return _line(state, ["-"] * 10)


@dataclasses.dataclass
class Mark:
    """The fields, in the order of the line."""

    image: str
    fs_uuid: str
    state: str = "armed"
    ident: str = "0123456789abcdef0123456789abcdef"
    offset: int = 0  # -1 marks a place that a test fills in later
    page_size: int = 4096
    kernel: str = "/boot/vmlinuz"
    initrd: str = "/boot/initrd"
    release: str = "6.1.0-56-cloud-amd64"
    time: str = "2026-11-22T16:03:12+01:00"
    verify: str = "header"

    def text(self):
        return _line(self.state, [self.ident, self.image, str(self.offset), str(self.page_size), self.fs_uuid,
                                  self.kernel, self.initrd, self.release, self.time, self.verify])


def env_block(*variables, size=1024):
    """A block whose variables are (name, value) in this order; values of bytes, not escaped."""
    text = ENV_SIGNATURE + b"".join(name.encode() + b"=" + value + b"\n" for name, value in variables)
    assert len(text) <= size
    return text.ljust(size, b"#")


def slot(text, *others, size=1024):
    """A block with the slot where `hibctl setup' puts it, right behind the signature."""
    return env_block(("hib_mark", text), *others, size=size)


def swap_area(ident, size, signature=b"SWAPSPACE2", saved=b"", page=4096):
    """A version 1 swap area of SIZE bytes. With another signature SAVED is the one that was there before."""
    header = bytearray(page)
    struct.pack_into("<III", header, 1024, 1, size // page - 1, 0)
    header[1036:1052] = uuid.UUID(ident).bytes
    header[page - 20 : page - 10] = saved.ljust(10, b"\0")
    header[page - 10 :] = signature.ljust(10, b"\0")
    # Something that is not zero behind it, so that a write beside the mark shows.
    return bytes(header) + bytes(i * 7 % 251 for i in range(size - page))


def image_area(ident, size, page=4096):
    """What the kernel leaves behind when it hibernates."""
    return swap_area(ident, size, b"S1SUSPEND", b"SWAPSPACE2", page)
