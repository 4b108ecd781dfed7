# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""All that a run of the tool could change on a machine, as one dictionary, and how to put it back."""

import fcntl
import os
import re
import struct
import zlib
from pathlib import Path

from . import envblock, rig

_RUN = Path("/run")
_BLKFLSBUF, _FITHAW = 0x1261, 0xC0045878
_PLAN_MARK = re.compile(rb"(?<=\nmark )hib1 .{395}(?=\n)", re.DOTALL)
_PLAN_CRC = re.compile(rb"(?<=\ncrc )[0-9a-f]{8}(?=\n)")
_PLAN_FOUND = re.compile(rb"(?<=\n)(bootbits|efi) (yes|no)(?=\n)|(?<=\nheld )\S+ \S+(?= )")  # what could be found out
_PLAN = re.compile(rb"hibctl-plan.*?\ncrc [0-9a-f]{8}\n", re.DOTALL)


# ---- what two runs of the same command may differ in ----


def _anonymous(text):
    """A mark without its random number and its time; one that is damaged stays as it is."""
    try:
        fields = envblock.parse(text)
    except (ValueError, AssertionError):
        return text
    if fields["id"] == "-":
        return text
    return envblock.Mark(**{**fields, "id": "0" * 32, "time": "2000-01-01T00:00:00+00:00"}).text()


def _anonymous_plan(found):
    plan = found[0]
    body = plan[: -len(b"crc 01234567\n")]
    if int(_PLAN_CRC.search(plan)[0], 16) != zlib.crc32(body):
        return plan + b"(the checksum is wrong)"
    plan = _PLAN_MARK.sub(lambda mark: _anonymous(mark[0]), plan)
    return _PLAN_CRC.sub(b"0" * 8, _PLAN_FOUND.sub(b"?", plan))


def _anonymous_archive(image):
    """An initramfs with a plan at its end: its own bytes, and what the archive's plan is; the lengths in it follow."""
    at = image.index(b"070701")
    plan = _PLAN.search(image, at)
    return image[:at] + (plan[0] if plan else b"no plan")


def canonical(value):
    if not isinstance(value, bytes):
        return value
    if value.startswith(envblock.SIGNATURE) and envblock.slot_at(value) is not None:
        return envblock.with_slot(value, _anonymous(envblock.slot(value)))
    if value.startswith(b"\7\0\0\0hib1 "):
        return value[:4] + _anonymous(value[4:])
    value = _PLAN.sub(_anonymous_plan, value)
    return _anonymous_archive(value) if b"070701" in value else value


# ---- looking ----


class World:
    """Of a machine in a mount namespace of its own. WORK: a folder for the command's other files."""

    def __init__(self, machine, work, firmware=None):
        self.machine, self.work, self.firmware = machine, work, firmware
        self.unmounted_image = None

    def look(self):
        machine = self.machine
        swap = machine.swap.image.read_bytes()
        found = {"block": machine.grub_reads(), "block for programs": self._kernel_reads(), "boot bits": swap[:1024], "swap area": swap[1024:],
                 "mounted": tuple(self._mounts())}
        if self.firmware:
            # A variable without contents is none: it is what stays behind where the firmware refuses a new one.
            found |= {f"variable {name}": self.firmware.raw(name) for name in self.firmware.names() if self.firmware.get(name)}
        for folder in (machine.root, self.work, _RUN):
            found |= {str(path): path.read_bytes() for path in sorted(folder.rglob("*"))
                      if path.is_file() and path not in (machine.block, _RUN / "hibctl.lock", _RUN / "report")}
        return found

    def _kernel_reads(self):
        """None where the boot filesystem is not mounted, too."""
        try:
            return self.machine.block.read_bytes()
        except FileNotFoundError:
            return None

    def _mounts(self):
        """Mount point, type and options of what is mounted on the machine or on /run."""
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields = line.split()
            if fields[4].startswith((f"{self.machine.root}", "/run/")):
                kind = fields.index("-") + 1
                yield fields[4], fields[kind], fields[5], fields[kind + 2]

    @property
    def is_boot_mounted(self):
        return self.machine.layout == "root" or rig.is_mounted(self.machine.root / "boot")

    # ---- what must never be ----

    def is_frozen(self):
        """And thaws: asking for a thaw is the only question that never waits."""
        if not self.is_boot_mounted:
            return False
        folder = os.open(self.machine.block.parent, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _FITHAW, 0)
            return True
        except OSError:
            return False
        finally:
            os.close(folder)

    def is_locked(self):
        try:
            with open("/run/hibctl.lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def is_clean(self):
        """An ext filesystem that is not mounted and needs no recovery; others are not asked."""
        if not self.machine.fs.type.startswith("ext"):
            return True
        with self.machine.fs.image.open("rb") as image:
            image.seek(1024)
            block = image.read(1024)
        state, incompatible = struct.unpack_from("<H", block, 0x3A)[0], struct.unpack_from("<I", block, 0x60)[0]
        return state == 1 and not incompatible & 4

    # ---- putting back ----

    def remember(self):
        """The state to put back."""
        self.old = self.look()
        self.old_mounted = self.is_boot_mounted
        self.mount_options = next((mount[2:] for mount in self.old["mounted"] if mount[0].endswith("/boot")), None)
        if not self.old_mounted and self.machine.fs.type == "xfs":  # too large to copy
            self.block_at = self.machine.fs.image.read_bytes().find(self.old["block"])
        elif not self.old_mounted:
            self.unmounted_image = self.machine.fs.image.read_bytes()

    def put_back(self, now):
        """NOW: what look has just found."""
        self._put_back_variables()
        if now == self.old and self.old_mounted:
            return
        self._put_back_mounts()
        self._put_back_swap(now)
        for name, now in self.look().items():
            if name.startswith("/") and name not in self.old:
                os.unlink(name)
        for name, data in self.old.items():
            if name.startswith("/") and (not os.path.isfile(name) or Path(name).read_bytes() != data):
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_bytes(data)
        self._put_back_block()
        now = self.look()
        wrong = [name for name in self.old.keys() | now.keys() if now.get(name) != self.old.get(name)]
        assert not wrong, f"the test cannot put back: {wrong}"

    def _put_back_mounts(self):
        machine, boot = self.machine, self.machine.root / "boot"
        if self.old_mounted:
            if not self.is_boot_mounted:
                rig.run("mount", "-o", "nodev,noatime", machine.fs.device, boot)
            return
        while self.is_boot_mounted:
            rig.run("umount", boot)
        machine.fs.wait_until_unused(20)
        if not self.unmounted_image:
            if machine.grub_reads() != self.old["block"]:
                rig.write_device(machine.fs.device, self.block_at, self.old["block"])
        elif machine.fs.image.read_bytes() != self.unmounted_image:
            with machine.fs.image.open("r+b") as image:
                image.write(self.unmounted_image)
            self._forget_cached(machine.fs.device)

    @staticmethod
    def _forget_cached(device):
        with open(device, "rb") as file:
            fcntl.ioctl(file, _BLKFLSBUF, 0)

    def _put_back_swap(self, now):
        swap = self.machine.swap
        if (now["boot bits"], now["swap area"]) != (self.old["boot bits"], self.old["swap area"]):
            swap.write(0, self.old["boot bits"] + self.old["swap area"])

    def _put_back_variables(self):
        if not self.firmware:
            return
        for name in self.firmware.names():
            if f"variable {name}" not in self.old:
                self.firmware.path(name).unlink()
        for name, data in self.old.items():
            if name.startswith("variable ") and self.firmware.raw(name[9:]) != data:
                self.firmware.path(name[9:]).write_bytes(data)

    def _put_back_block(self):
        machine, old = self.machine, self.old["block"]
        if not self.old_mounted or machine.grub_reads() == old == self._kernel_reads():
            return
        if old is None:
            machine.block.unlink(missing_ok=True)
            rig.settle_filesystem(machine.block)
            return
        if machine.block.exists() and machine.block.stat().st_size == len(old):
            rig.overwrite(machine.block, old)
        if machine.grub_reads() != old or self._kernel_reads() != old:
            machine.put_block(old)
