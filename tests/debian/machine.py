# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A machine with Debian on its disk: hibernated by systemctl, with somebody logged in on its serial line."""

import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from vm import host
from vm.disk import Disk
from vm.machine import PATIENT, Firmware, Machine, Witness

from . import base

MEMORY_MIB = 512
BOOTS_IN = 4 * PATIENT  # seconds until systemd is up, at most, under an emulated processor on a busy host

# Sleeps as a person does, and ends when that is over, with its result. What runs meanwhile sleeps with the machine.
_SLEEP = """\
systemctl %(how)s || exit
while systemctl list-jobs --no-legend | grep -q 'systemd-%(how)s.service'; do sleep 1; done
systemctl show --property=Result --value systemd-%(how)s.service
! systemctl --quiet is-failed systemd-%(how)s.service
"""


@dataclass(frozen=True)
class Frozen:
    """A machine that was stopped while it ran, for others to go on from."""

    disk: Path
    nvram: Path
    memory: Path
    cargo: Path
    boot_id: str


class Overlay:
    """A disk that begins as another one and keeps what is changed."""

    def __init__(self, path, backing):
        self.path = path
        host.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, path)


class DebianMachine(Machine):
    _HIBERNATE = _SLEEP % {"how": "hibernate"}

    def __init__(self, disk, firmware=Firmware.OVMF, folder=None, nvram=None, cargo=None):
        """DISK: an Overlay, or a plain Disk. NVRAM: the firmware's variables to begin with. CARGO: a file that the machine
        has as /dev/vdb."""
        super().__init__(disk, firmware, folder, MEMORY_MIB)
        self._cargo = cargo
        self._incoming = None
        self.others = []  # files of disks that are put in at the next power_on, as /dev/vdc and so on
        if nvram:
            shutil.copy(nvram, self._nvram)

    def _boot_arguments(self):
        kind = "raw" if isinstance(self.disk, Disk) else "qcow2"
        # No bootindex: the firmware's own boot order decides, in which Debian's GRUB is.
        argv = ["-drive", f"if=none,id=disk,cache=unsafe,format={kind},file={self.disk.path}",
                "-device", "virtio-blk-pci,drive=disk"]
        if self._cargo:
            argv += ["-drive", f"if=none,id=cargo,format=raw,readonly=on,file={self._cargo}",
                     "-device", "virtio-blk-pci,drive=cargo"]
        for number, path in enumerate(self.others):
            argv += ["-drive", f"if=none,id=other{number},cache=unsafe,format=raw,file={path}",
                     "-device", f"virtio-blk-pci,drive=other{number}"]
        if self._incoming:
            argv += ["-incoming", f"exec:cat {self._incoming}"]
        return argv

    def cut_power(self):
        """Of an overlay QEMU has in its own memory what is where. So it must end in order, or the disk would lose what the
        machine wrote long ago."""
        if self.is_on:
            self._process.terminate()
            self._gone("power cut")

    def freeze(self, folder):
        """Writes all that runs to FOLDER. The machine is off then."""
        memory = folder / "memory"
        self._qmp("migrate", uri=f"exec:cat >{memory}")
        self._until(lambda: self._qmp("query-migrate")["status"] == "completed", PATIENT, "memory on disk")
        self.cut_power()
        shutil.copy(self._nvram, folder / "frozen.fd")
        return Frozen(self.disk.path, folder / "frozen.fd", memory, self._cargo, self.boot_id)

    def thaw(self, frozen):
        """Goes on from there, on a copy of the disk."""
        self._incoming = frozen.memory
        self.power_on()
        self._incoming = None
        self.boot_id = frozen.boot_id
        self._until(lambda: self._qmp("query-status")["status"] == "running", PATIENT, "machine to run")
        return self

    def boot(self, direct=None, timeout=BOOTS_IN, menu=False):
        return super().boot(direct, timeout, menu)

    def wait_guest(self, timeout=BOOTS_IN):
        return super().wait_guest(timeout)

    def hibernate(self, timeout=BOOTS_IN):
        super().hibernate(timeout)

    def shut_down(self, command="systemctl poweroff", timeout=BOOTS_IN):
        super().shut_down(command, timeout)

    def _send(self, command):
        # The command channel is a terminal, on which programs would write as to a person.
        return super()._send(f"export SYSTEMD_COLORS=0 SYSTEMD_PAGER= NO_COLOR=1\n{command}")

    def suspended(self):
        return self._qmp("query-status")["status"] == "suspended"

    def suspend(self, how="suspend", timeout=BOOTS_IN):
        """Lets systemd do that, until the machine sleeps with its memory under power."""
        self._pending = self._send(_SLEEP % {"how": how})
        self.console.note(f"systemctl {how}")
        self._until(self.suspended, timeout, how)

    def wake_up(self, timeout=BOOTS_IN):
        """Presses the power button of a suspended machine; returns the result of what it was suspended by."""
        self._qmp("system_wakeup")
        pending, self._pending = self._pending, None
        self._until(lambda: pending in self._results, timeout, f"end of {pending}")
        return self._results.pop(pending)


class LoginSession(Witness):
    """Somebody who is logged in on the serial line: the shell remembers a secret in a variable, and a process that it
    started counts."""

    _SOCKET = "/run/user/1000/witness"

    def __init__(self, machine):
        self.machine = machine
        self.secret = secrets.token_hex(8)
        machine.press("enter")
        machine.wait_text(f"{base.USER}@", timeout=BOOTS_IN)
        self.pid = self._say(f"echo {self.secret} | witness {self._SOCKET}; secret={self.secret}; echo me=$$=", r"me=(\d+)=")
        self.login = self._session()
        self.count = self._ask()

    def _say(self, line, answer):
        """Types LINE into the shell, and returns what its answer has for the pattern's group."""
        begin = len(self.machine.console.text)
        self.machine.press(line, "enter")
        found = []

        def answered():
            found[:] = re.findall(answer, self.machine.console.text[begin:])
            return found

        self.machine._until(answered, PATIENT, f"answer to {line!r}")
        return found[-1]

    def _session(self):
        """logind's number of it."""
        return self.machine.run(f"ps -o lsession= -p {self.pid}").output.strip()

    def check(self):
        """Fails unless the same shell still remembers, is of the same session, and what it started goes on."""
        super().check()
        said = self._say("echo me=$$= it=$secret=", r"me=(\d+)= it=(\w+)=")
        assert said == (self.pid, self.secret), said
        assert self._session() == self.login != "", self.login
