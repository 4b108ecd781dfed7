# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The variables in the file that is OVMF's flash memory, read and written while no machine runs on it.

The layout is that of EDK II: a firmware volume's header, behind it a store of authenticated variables
(MdePkg/Include/Pi/PiFirmwareVolume.h, MdeModulePkg/Include/Guid/VariableFormat.h). Erased flash is all ones, a variable
is added behind the last one, and its state loses bits as time goes on; so nothing is ever overwritten."""

import struct
import uuid
from dataclasses import dataclass

OURS = uuid.UUID("2825577a-fa13-4241-91d7-ecfc5966ad34")
SYSTEMD = uuid.UUID("8cf2644b-4b0b-428f-9387-6d876050dc67")
GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
MARK, TRIED, LOCATION = "HibctlMark", "HibctlTried", "HibernateLocation"
OWNERS = {MARK: OURS, TRIED: OURS, LOCATION: SYSTEMD}
USUAL = 7  # non-volatile, boot services, runtime

_AUTHENTICATED = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
_VOLUME = struct.Struct("<16x16sQ4sIHHHBB")  # GUID, length, "_FVH", attributes, header's length, ...
_STORE = struct.Struct("<16sIBBHI")  # GUID, size, format, state, ...
_VARIABLE = struct.Struct("<HBxIQ16sIII16s")  # start, state, attributes, count, time, key, both lengths, owner
_START = 0x55AA
_ADDED, _BEING_DELETED = 0x3F, 0x3E
_FORMATTED, _HEALTHY = 0x5A, 0xFE


@dataclass
class Variable:
    name: str
    owner: uuid.UUID
    data: bytes
    attributes: int
    state: int


class Nvram:
    """The store in a file."""

    def __init__(self, path):
        self.path = path
        self.flash = bytearray(path.read_bytes())
        _, _, signature, _, header, *_ = _VOLUME.unpack_from(self.flash)
        assert signature == b"_FVH"
        owner, size, form, state, *_ = _STORE.unpack_from(self.flash, header)
        assert (uuid.UUID(bytes_le=owner), form, state) == (_AUTHENTICATED, _FORMATTED, _HEALTHY)
        self.begin, self.end = header + _STORE.size, header + size

    def _walk(self):
        """All that was ever written, and where what comes next begins."""
        at, found = self.begin, []
        while at + _VARIABLE.size <= self.end:
            start, state, attributes, _, _, _, name_size, size, owner = _VARIABLE.unpack_from(self.flash, at)
            if start != _START:
                break
            name = at + _VARIABLE.size
            data = name + name_size
            text = bytes(self.flash[name : data - 2]).decode("utf-16-le")
            content = bytes(self.flash[data : data + size])
            found.append(Variable(text, uuid.UUID(bytes_le=owner), content, attributes, state))
            at = (data + size + 3) & ~3
        return found, at

    def variables(self):
        """Those that are there, by name."""
        return [v for v in self._walk()[0] if v.state in (_ADDED, _BEING_DELETED)]

    def get(self, name):
        """The content of one of our three variables, or None."""
        found = [v.data for v in self.variables() if (v.name, v.owner) == (name, OWNERS[name])]
        assert len(found) <= 1
        return found[0] if found else None

    def writes(self, name):
        """How often one of the three was written, as long as the firmware has not tidied up."""
        return sum((v.name, v.owner) == (name, OWNERS[name]) for v in self._walk()[0])

    def put(self, name, data, attributes=USUAL, owner=None):
        """Adds a variable that is not there yet. Writes the file."""
        owner = owner or OWNERS[name]
        assert not any((v.name, v.owner) == (name, owner) for v in self.variables())
        text = name.encode("utf-16-le") + b"\0\0"
        record = _VARIABLE.pack(_START, _ADDED, attributes, 0, bytes(16), 0, len(text), len(data), owner.bytes_le)
        record += text + data
        at = self._walk()[1]
        assert at + len(record) <= self.end and set(self.flash[at : at + len(record)]) == {0xFF}
        self.flash[at : at + len(record)] = record
        self.path.write_bytes(self.flash)

    def drop(self, name):
        """Deletes one of the three."""
        at = self.begin
        for v in self._walk()[0]:
            if (v.name, v.owner) == (name, OWNERS[name]):
                self.flash[at + 2] &= 0xFD
            at = (at + _VARIABLE.size + 2 * len(v.name) + 2 + len(v.data) + 3) & ~3
        self.path.write_bytes(self.flash)
