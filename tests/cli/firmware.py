# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""EFI variables in a plain folder, which libefivar takes for efivarfs."""

import contextlib
import json
import zlib

from .rig import run

OURS = "2825577a-fa13-4241-91d7-ecfc5966ad34"
SYSTEMD = "8cf2644b-4b0b-428f-9387-6d876050dc67"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
MARK, TRIED = f"HibctlMark-{OURS}", f"HibctlTried-{OURS}"
LOCATION = f"HibernateLocation-{SYSTEMD}"
BOOT_CURRENT, BOOT_NEXT, BOOT_ORDER = (f"{name}-{GLOBAL}" for name in ("BootCurrent", "BootNext", "BootOrder"))
SECURE_BOOT, SETUP_MODE = f"SecureBoot-{GLOBAL}", f"SetupMode-{GLOBAL}"
USUAL = 7  # non-volatile, boot services, runtime
PAGE = 4096


def location(uuid, offset=0, release=None, text=None, **more):
    """systemd's variable as systemd writes it, or another TEXT in its encoding."""
    fields = {"uuid": uuid, "offset": offset, **({"kernelVersion": release} if release else {}), **more}
    return ((text if text is not None else json.dumps(fields)) + "\0").encode("utf-16-le")


class Firmware:
    """Of a machine; calling it runs the tool there."""

    def __init__(self, machine, module=True):
        self.machine = machine
        self.folder = machine.scratch.folder("efivars")
        self.env = {"LIBEFIVAR_OPS": "efivarfs", "EFIVARFS_PATH": f"{self.folder}/"}
        if module:
            self.put_module()
        self.put(BOOT_CURRENT, b"\3\0", attributes=6)
        self.put(BOOT_ORDER, b"\1\0\3\0")
        self.order = self.get(BOOT_ORDER)

    def put_module(self, platform="x86_64-efi"):
        with self.machine.mounted():
            folder = self.machine.grub / platform
            folder.mkdir(exist_ok=True)
            (folder / "hibresume.mod").write_bytes(b"\x7fELF a module")

    def __call__(self, *args, env=None, **more):
        return self.machine(*args, env={**self.env, **(env or {})}, **more)

    def status(self, **more):
        result = self("--json", "status", **more)
        assert result.status in (0, 2), result
        return result.json()

    def path(self, name):
        return self.folder / name

    def put(self, name, data, attributes=USUAL):
        self.path(name).write_bytes(attributes.to_bytes(4, "little") + data)

    def raw(self, name):
        """Attributes and contents, or None."""
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None

    def get(self, name):
        data = self.raw(name)
        return None if data is None or len(data) <= 4 else data[4:]

    def names(self):
        return {path.name for path in self.folder.iterdir()}

    def mark(self):
        """The text of the mark, with the attributes that it must have."""
        data = self.raw(MARK)
        if data is None:
            return None
        assert data[:4] == b"\7\0\0\0", data[:4]
        return data[4:]

    def put_location(self, swap, **more):
        data = location(swap.uuid, **more)
        self.put(LOCATION, data)
        return data

    def put_note(self, swap):
        """As the boot loader does before it starts a kernel for systemd's image."""
        page = swap.read(0, PAGE)
        self.put(TRIED, b"%08x" % zlib.crc32(self.get(LOCATION) + page[1024:]))

    @contextlib.contextmanager
    def mounted(self, *options):
        """Its folder as a filesystem of its own, with the variables that are there."""
        here = {name: self.raw(name) for name in self.names()}
        run("mount", *options, self.folder)
        try:
            for name, data in here.items():
                self.path(name).write_bytes(data)
            yield
        finally:
            run("umount", self.folder)

    @contextlib.contextmanager
    def full(self):
        """Not one byte is left."""
        with self.mounted("-t", "tmpfs", "-o", "size=64k", "none"):
            filler = self.path("filler")
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(bytes(PAGE)):
                    pass
            yield

    @contextlib.contextmanager
    def read_only(self):
        run("mount", "--bind", self.folder, self.folder)
        try:
            run("mount", "-o", "remount,bind,ro", self.folder)
            yield
        finally:
            run("umount", self.folder)
