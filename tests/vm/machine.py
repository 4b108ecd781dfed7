# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A machine under QEMU: switched on and off, cut off, typed at, hibernated, looked at.

Two serial lines lead out of it. One is the console of firmware, GRUB and kernel. On the other the guest's agent takes
commands; a command that was running when the machine hibernated answers after it has come back, which is how a
resume is told from a boot."""

import base64
import contextlib
import ctypes
import enum
import json
import os
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import grubcfg
from .console import Console

QEMU = "qemu-system-x86_64"
OVMF = Path("/usr/share/OVMF")
MACHINE_UUID = "3ac41e00-1111-4222-8333-444455556666"
MEMORY_MIB = 256
CPU = "qemu64,+rdrand"  # without its random numbers the kernel makes its own, which takes more than a second
PATIENCE = float(os.environ.get("HIBCTL_TEST_PATIENCE", "1"))  # factor on every time-out, for slow machines

PATIENT = 120  # seconds that a step may take on a busy machine; most take one or two

KEYS = {"enter": "\r", "escape": "\x1b", "up": "\x1b[A", "down": "\x1b[B"}

_FRAME = re.compile(rb"<<begin (\w+)>>\n(.*?)<<end \1 (\d+)>>\n", re.DOTALL)
_HELLO = re.compile(rb"<<hello ([0-9a-f-]+)>>\n")
# A title has no space before it. Under load OVMF loses a byte now and then, and so an empty line can end in half a sequence.
_MENU_LINE = re.compile(r"^ [|\u2502][* ](\S.*?)\s*[|\u2502]?$")
_PR_SET_PDEATHSIG = 1

COUNTDOWN = "will be executed automatically in"


class Firmware(enum.Enum):
    OVMF = "ovmf"
    SEABIOS = "seabios"
    SECURE_BOOT = "secure-boot"  # OVMF that starts only what Microsoft, or the one who planted a key, has signed

    @property
    def is_uefi(self):
        return self is not Firmware.SEABIOS

    @property
    def files(self):
        """OVMF's code, and the variables that it starts with."""
        if self is Firmware.SECURE_BOOT:
            return OVMF / "OVMF_CODE_4M.secboot.fd", OVMF / "OVMF_VARS_4M.ms.fd"
        return OVMF / "OVMF_CODE_4M.fd", OVMF / "OVMF_VARS_4M.fd"


class Came(enum.Enum):
    """How a machine that was switched on came up."""

    BOOTED = "booted"
    RESUMED = "resumed"


class MachineError(AssertionError):
    """The machine did not do what was waited for."""


@dataclass(frozen=True)
class Result:
    """What a command in the guest did."""

    status: int
    output: str


def _shortened(text, limit=2000):
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text)} characters)"


@dataclass(frozen=True)
class Asleep:
    """What a machine that hibernated leaves behind, for other machines to wake up from again and again."""

    disk: object
    firmware: Firmware
    nvram: bytes | None  # OVMF's variables
    pending: str  # the command that it hibernated in
    secret: str  # of the witness
    count: int
    block: bytes  # the environment block before anything was marked
    plan: bytes | None = None  # for a save kernel


def _die_with_parent():
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    _HIBERNATE = "suspend-to-disk"

    def __init__(self, disk, firmware, folder, memory_mib=MEMORY_MIB, asleep=None):
        """ASLEEP: what another machine left when it hibernated, for this one to wake up from; DISK is a copy of the
        other's."""
        self.disk = disk
        self.firmware = firmware
        self.folder = folder
        self.memory_mib = memory_mib
        self.console = Console(folder / "console.log")
        self.power_ons = 0
        self.stop_reason = None  # QMP's word for why the machine went off
        self.boot_id = None  # of the kernel that the agent runs under
        self.times = {}  # seconds after the last power_on at which things were first seen
        self._process = None
        self._sockets = {}
        self._pending = None  # the command that the machine hibernated in
        self._channel = b""  # what the guest answered since the last command, maybe across a hibernation
        self._results = {}
        self._nvram = folder / "nvram.fd"
        if firmware.is_uefi:
            shutil.copy(firmware.files[1], self._nvram)
        if asleep:
            self._pending = asleep.pending
            self._channel = b"<<begin %s>>\n" % asleep.pending.encode()
            if asleep.nvram:
                self._nvram.write_bytes(asleep.nvram)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut_power()
        self._nvram.unlink(missing_ok=True)
        self.console.close()

    # Power

    @property
    def is_on(self):
        return self._process is not None

    def power_on(self, direct=None, write_log=None, menu=False):
        """Switches on. The disk, and OVMF's variables, are as the machine left them. DIRECT: the kernel to start past
        GRUB. WRITE_LOG: a file that takes every write to the disk, for disk.replay. MENU: GRUB's menu is there and
        counts down; else GRUB starts at once what it would start at the end of the countdown."""
        assert not self.is_on, "the machine is on already"
        self.power_ons += 1
        self.console.begin(f"power on, number {self.power_ons}")
        self.stop_reason = None
        self._write_log = write_log
        self._menu = menu
        self._qmp_text = b""
        self._qmp_replies = []
        theirs = {}
        for name in ("console", "channel", "qmp"):
            self._sockets[name], theirs[name] = socket.socketpair()
            self._sockets[name].setblocking(False)
        stderr = open(self.folder / "qemu.log", "ab")
        self._started = time.monotonic()
        self.times = {}
        self._process = subprocess.Popen(
            self._command({name: end.fileno() for name, end in theirs.items()}, direct),
            stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, pass_fds=[end.fileno() for end in theirs.values()],
            start_new_session=True, preexec_fn=_die_with_parent)
        stderr.close()
        for end in theirs.values():
            end.close()
        self._qmp("qmp_capabilities")
        return self

    def _command(self, fds, direct):
        secure = self.firmware is Firmware.SECURE_BOOT
        machine = "q35,smm=on" if secure else "q35"
        argv = [QEMU, "-nodefaults", "-no-user-config", "-name", "hibctl-test", "-machine", machine, "-cpu", CPU,
                "-accel", "tcg", "-smp", "1", "-m", str(self.memory_mib), "-display", "none", "-vga", "std",
                "-no-reboot", "-uuid", MACHINE_UUID]
        for name in ("console", "channel", "qmp"):
            argv += ["-chardev", f"socket,id={name},fd={fds[name]}"]
        # OVMF takes the first two serial ports of a PC for its console, so the channel is on the third: ttyS2.
        argv += ["-serial", "chardev:console", "-device", "isa-serial,index=2,chardev=channel",
                 "-mon", "chardev=qmp,mode=control"]
        if secure:  # its variables cannot be written from outside of SMM
            argv += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        if self.firmware.is_uefi:
            argv += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={self.firmware.files[0]}",
                     "-drive", f"if=pflash,unit=1,format=raw,file={self._nvram}"]
        argv += self._boot_arguments()
        argv += ["-smbios", f"type=1,version={grubcfg.MENU if self._menu else grubcfg.NO_MENU}"]
        if direct:
            argv += ["-kernel", str(direct.kernel), "-initrd", str(direct.initrd), "-append", direct.cmdline]
        return argv

    def _boot_arguments(self):
        """What the machine starts from, unless from a kernel of QEMU's."""
        drive = f"format=raw,file={self.disk.path}"
        if self._write_log:
            self._write_log.touch()
            drive = (f"driver=blklogwrites,file.driver=file,file.filename={self.disk.path},log.driver=file,"
                     f"log.filename={self._write_log}")
        return ["-drive", f"if=none,id=disk,{drive}", "-device", "virtio-blk-pci,drive=disk,bootindex=1"]

    def cut_power(self):
        """Pulls the plug: what the guest did not write is lost."""
        if self.is_on:
            self._process.kill()
            self._gone("power cut")

    def shut_down(self, command="shut-down", timeout=PATIENT):
        """Lets the guest switch off, as a well-behaved system does unless told otherwise."""
        self._send(command)
        self.wait_off(timeout)

    def wait_off(self, timeout=PATIENT):
        """Waits until the machine has switched itself off; a reset is an error."""
        self._until(lambda: not self.is_on, timeout, "the machine to switch off", may_stop=True)
        if self.stop_reason != "guest-shutdown":
            raise self._error(f"the machine went off with {self.stop_reason}")

    def _gone(self, reason):
        self._process.wait()
        self._process = None
        for end in self._sockets.values():
            end.close()
        self._sockets = {}
        self.stop_reason = self.stop_reason or reason
        self.console.note(f"off: {self.stop_reason}")

    # Waiting

    def _pump(self, timeout):
        """Takes in what the machine sends, for at most TIMEOUT seconds; returns at once when something came."""
        ends = {end: name for name, end in self._sockets.items()}
        readable, _, _ = select.select(list(ends), [], [], timeout)
        closed = False
        for end in readable:
            try:
                data = end.recv(65536)
            except ConnectionResetError:
                data = b""
            closed |= not data
            getattr(self, f"_take_{ends[end]}")(data)
        if closed and not any(select.select([end], [], [], 0)[0] and end.recv(1, socket.MSG_PEEK)
                              for end in ends):
            self._gone(f"qemu-exit-{self._process.wait()}")

    def _take_console(self, data):
        self.console.feed(data)

    def _take_channel(self, data):
        self._channel += data
        for hello in _HELLO.finditer(self._channel):
            self.boot_id = hello.group(1).decode()
        for frame in _FRAME.finditer(self._channel):
            output = frame.group(2).decode(errors="replace")
            self._results[frame.group(1).decode()] = Result(int(frame.group(3)), output)

    def _take_qmp(self, data):
        self._qmp_text += data
        *lines, self._qmp_text = self._qmp_text.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message.get("event") == "SHUTDOWN":
                self.stop_reason = message["data"]["reason"]
            elif "return" in message or "error" in message:
                self._qmp_replies.append(message)

    def _until(self, condition, timeout, what, may_stop=False):
        deadline = time.monotonic() + timeout * PATIENCE
        while not condition():
            if not self.is_on:
                if may_stop:
                    return
                raise self._error(f"the machine went off ({self.stop_reason}) while the test waited for {what}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._error(f"no {what} within {timeout * PATIENCE:.0f} s")
            self._pump(min(left, 1))

    def _error(self, words):
        return MachineError(f"{words}\n--- screen\n{self.console.screen()}\n--- end of the console\n"
                            f"{self.console.tail()}\n--- logs: {self.folder}")

    def _stamp(self, name):
        self.times.setdefault(name, time.monotonic() - self._started)

    def rest(self, seconds):
        """Lets the machine run for some real time."""
        deadline = time.monotonic() + seconds
        while self.is_on and time.monotonic() < deadline:
            self._pump(max(0, deadline - time.monotonic()))

    # Console

    def wait_text(self, text, timeout=PATIENT):
        """Waits until TEXT has been printed since the machine was switched on, be it gone from the screen already."""
        self._until(lambda: self.console.says(text), timeout, f"{text!r} on the console")
        self._stamp(text)

    def wait_screen(self, text, timeout=PATIENT):
        """Waits until TEXT is on the screen and returns the screen."""
        self._until(lambda: text in self.console.screen(), timeout, f"{text!r} on the screen")
        self._stamp(text)
        return self.console.screen()

    def wait_menu(self, *titles, counting=True, timeout=PATIENT):
        """Waits until GRUB's menu is on the screen with these entries, COUNTING down or not; returns its entries."""
        assert self._menu, "the machine was switched on without the menu"
        for text in titles + ("to select which entry is highlighted",):
            self.wait_screen(text, timeout)
        if counting:
            self.wait_screen(COUNTDOWN, timeout)
        self._stamp("menu")
        return self.menu_entries()

    def menu_entries(self):
        """The titles that are in the frame of GRUB's menu."""
        lines = (_MENU_LINE.match(line) for line in self.console.screen().splitlines())
        return [line.group(1) for line in lines if line]

    def chosen_entry(self):
        """The title that is highlighted."""
        found = re.search(r"^ [|\u2502]\*(.*?)\s*[|\u2502]?$", self.console.screen(), re.MULTILINE)
        return found.group(1) if found else ""

    def press(self, *keys):
        """Types keys by name, or text as it is, through the serial line."""
        for key in keys:
            self._sockets["console"].sendall(KEYS.get(key, key).encode())

    def move_to(self, title):
        """Highlights the entry of GRUB's menu whose title begins so. Under load OVMF loses a key now and then, so what a
        key did is looked at before the next one."""
        for _ in range(20):
            entries, chosen = self.menu_entries(), self.chosen_entry()
            if chosen.startswith(title):
                return
            wanted = [number for number, entry in enumerate(entries) if entry.startswith(title)]
            if wanted and chosen in entries:  # else the menu is being drawn
                self.press("down" if entries.index(chosen) < wanted[0] else "up")
            self._settle(lambda: self.chosen_entry() != chosen)
        raise self._error(f"{title!r} cannot be highlighted")

    def choose(self, title):
        """Starts that entry."""
        self.move_to(title)
        for _ in range(5):
            self.press("enter")
            if self._settle(lambda: "to select which entry is highlighted" not in self.console.screen()):
                return
        raise self._error(f"{title!r} cannot be started")

    def _settle(self, condition, seconds=3):
        """Waits for what a key should do; whether it did."""
        deadline = time.monotonic() + seconds * PATIENCE
        while self.is_on and not condition() and time.monotonic() < deadline:
            self._pump(0.2)
        return not self.is_on or condition()

    def screenshot(self, path):
        """Writes what the machine's display shows to a .png or .ppm file."""
        self.rest(0.3)  # the display is drawn a little after the serial line
        self._qmp("screendump", filename=str(path), format=path.suffix.removeprefix("."))

    def _qmp(self, command, **arguments):
        before = len(self._qmp_replies)
        request = {"execute": command, "arguments": arguments}
        self._sockets["qmp"].sendall(json.dumps(request).encode() + b"\n")
        self._until(lambda: len(self._qmp_replies) > before, 30, f"answer to {command}")
        reply = self._qmp_replies[before]
        if "error" in reply:
            raise self._error(f"{command}: {reply['error']}")
        return reply["return"]

    # Guest

    def wait_guest(self, timeout=2 * PATIENT):
        """Waits until the guest is there, and says how it came up. A guest that came back from hibernation has left the
        result of that command in last_result."""
        booted_before = self.boot_id
        self.boot_id = None
        self._until(lambda: self.boot_id or self._pending in self._results, timeout, "guest")
        self._stamp("guest")
        pending, self._pending = self._pending, None
        if self.boot_id:
            return Came.BOOTED
        self.boot_id = booted_before
        self.last_result = self._results.pop(pending)
        return Came.RESUMED

    def boot(self, direct=None, timeout=2 * PATIENT, menu=False):
        """Switches on and expects an ordinary boot, with the default entry of the menu, or of DIRECT."""
        self.power_on(direct, menu=menu)
        came = self.wait_guest(timeout)
        if came is not Came.BOOTED:
            raise self._error(f"the machine {came.value} where it should have booted")
        return self

    def jump(self, timeout=PATIENT):
        """Jumps into the save kernel that "jump --load" has loaded, and waits until it is there."""
        self._send("jump")
        self.boot_id = None
        self._until(lambda: self.boot_id, timeout, "save kernel")
        self._stamp("jump")

    @contextlib.contextmanager
    def left_asleep(self):
        """While something else runs on a machine that sleeps; it is switched off at the end, without a sync. What the
        machine hibernated in is still waited for afterwards."""
        kept = self._pending, self._channel, self.boot_id
        self._pending, self.boot_id = None, None
        yield self
        if self.is_on:
            self.shut_down("poweroff -nf")
        self._pending, self._channel, self.boot_id = kept

    @contextlib.contextmanager
    def awake_in(self, direct, timeout=PATIENT, **how):
        """Runs another kernel on a machine that sleeps."""
        with self.left_asleep():
            self._start_other(direct, timeout, **how)
            yield self

    def come_back(self, direct, command, timeout=2 * PATIENT):
        """Starts another kernel on a machine that sleeps, and there runs COMMAND, which must bring back what sleeps."""
        pending, channel = self._pending, self._channel
        self._start_other(direct, timeout)
        ident = self._send(command)
        self._channel = channel
        self._until(lambda: {ident, pending} & set(self._results), timeout, "session")
        if pending not in self._results:
            raise self._error(f"{command!r} did not resume: {self._results.pop(ident)}")
        self.last_result = self._results.pop(pending)
        self._stamp("guest")

    def _start_other(self, direct, timeout, **how):
        self._pending, self.boot_id = None, None
        self.power_on(direct, **how)
        self._until(lambda: self.boot_id, timeout, "other kernel")
        self._stamp("other kernel")

    def _send(self, command):
        ident = secrets.token_hex(8)
        self._channel = b""
        line = f"{ident} {base64.b64encode(command.encode()).decode()}\n".encode()
        while line:
            _, writable, _ = select.select([], [self._sockets["channel"]], [], 30)
            assert writable, "the guest takes no input"
            line = line[self._sockets["channel"].send(line):]
        return ident

    def run(self, command, timeout=PATIENT, check=True):
        """Runs shell text in the guest and returns its exit status and output. CHECK: any status but 0 is an error."""
        self.console.note(f"run: {_shortened(command)}")
        ident = self._send(command)
        self._until(lambda: ident in self._results, timeout, f"end of {command!r}")
        result = self._results.pop(ident)
        self.console.note(f"status {result.status}: {_shortened(result.output.strip())}")
        if check and result.status != 0:
            raise self._error(f"{command!r} in the guest: exit status {result.status}: {result.output}")
        return result

    def read_file(self, path):
        """A file's bytes, as the guest reads them."""
        return base64.b64decode(self.run(f"base64 -w 0 {path}").output)

    def write_file(self, path, data):
        self.run(f"echo {base64.b64encode(data).decode()} | base64 -d >{path}")

    def try_hibernate(self, timeout=2 * PATIENT):
        """Hibernates. None if the machine is off now; else the result of the command that failed."""
        ident = self._pending = self._send(self._HIBERNATE)
        self.console.note("hibernating")
        self._until(lambda: not self.is_on or ident in self._results, timeout, "hibernation", may_stop=True)
        if self.is_on:
            self._pending = None
            return self._results.pop(ident)
        if self.stop_reason != "guest-shutdown":
            raise self._error(f"the machine went off with {self.stop_reason} while hibernating")
        return None

    def leave_asleep(self, witness, block, plan=None):
        """What this machine, which has hibernated, leaves behind."""
        assert not self.is_on and self._pending
        nvram = self._nvram.read_bytes() if self.firmware.is_uefi else None
        return Asleep(self.disk, self.firmware, nvram, self._pending, witness.secret, witness.count, block, plan)

    def hibernate(self, timeout=2 * PATIENT):
        """Hibernates and expects the machine to be off afterwards."""
        failed = self.try_hibernate(timeout)
        if failed:
            raise self._error(f"hibernation failed: exit status {failed.status}: {failed.output}")


class BareMachine(Machine):
    """The kernel is started by QEMU itself; each disk is a filesystem."""

    def __init__(self, kernel, initramfs, disks, folder):
        super().__init__(None, Firmware.SEABIOS, folder, memory_mib=384)
        self._extra = ["-kernel", kernel.image, "-initrd", initramfs, "-append",
                       f"console=ttyS0 quiet panic=-1 {grubcfg.LESS_WORK}"]
        for number, path in enumerate(disks):
            self._extra += ["-drive", f"if=none,id=fs{number},{self._drive(path)}",
                            "-device", f"virtio-blk-pci,drive=fs{number},serial={path.stem}"]

    def _drive(self, path):
        """No cache of QEMU's own: what the guest has written can be read from the file at once."""
        return f"format=raw,file={path}"

    def _boot_arguments(self):
        return [str(word) for word in self._extra]


class Witness:
    """A process in the guest that keeps a secret in memory only, and counts. If it still tells the secret, and has
    counted on, then the session is the one that it was started in."""

    _SOCKET = "/run/witness"

    def __init__(self, machine, asleep=None):
        """Starts the process, or, with ASLEEP, goes on from one in a machine that hibernated."""
        self.machine = machine
        if asleep:
            self.secret, self.count = asleep.secret, asleep.count
            return
        self.secret = secrets.token_hex(16)
        machine.run(f"echo {self.secret} | witness {self._SOCKET}")
        self.count = self._ask()

    def _ask(self):
        secret, count = self.machine.run(f"witness --ask {self._SOCKET}").output.split()
        assert secret == self.secret, "another secret"
        return int(count)

    def check(self):
        """Fails unless the session is the same one."""
        before, self.count = self.count, self._ask()
        assert self.count > before, f"the count went from {before} to {self.count}"

    def is_gone(self):
        """True in a session that was booted afresh."""
        return self.machine.run(f"witness --ask {self._SOCKET}", check=False).status != 0
