# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What the GRUB module costs at power-on: from the moment that GRUB runs its first command to the kernel's start.

The clock is the emulator's. With -icount it counts instructions of the guest, and where the guest sleeps until a timer
rings it leaps there; so it does not matter how fast or how busy the host is. One thing is left of the host: where the
guest polls for the disk, instructions are counted until the host has answered. That is why medians are taken. What is
told are milliseconds at one nanosecond an instruction. On real hardware the disk comes on top, whose part is told as
the amount that is read. The emulator itself runs with a longer nanosecond: OVMF waits for devices for seconds, which
are fewer instructions then, and GRUB on its way to the kernel does not wait for anything.

Both ends are read from one timer, ACPI's, which goes with that clock at 3.58 MHz: by GRUB's command for I/O ports, the
first one in its core image, and by the first instructions of a kernel that does nothing else (dummy-kernel.S). GRUB
hands its reading to the kernel on the command line, and the kernel prints both.

Firmware takes much longer than what is measured and is the same for all, so it runs once. A command before the first
makes the machine pause (QEMU's pvpanic port), its state is saved, and every run goes on from there: all that differs
between runs is on the disk, of which nothing but the core image has been read by then. What GRUB does before, unpacking
and relocating itself, is not counted; it would bring the ratios closer to 1."""

import enum
import json
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

from contest import Contender, Contest, Run
from stage import LoopDevice, die_with_parent
from vm import grubcfg, host
from vm.disk import SECTOR, DiskMaker
from vm.layout import SWAP_UUID, Layout

FOLDER = Path(__file__).resolve().parent

_OVMF = Path("/usr/share/OVMF")
_PM_TIMER, _PM_TIMER_HZ, _PM_TIMER_MASK = 0x608, 3579545, 0xFFFFFF
_PVPANIC = 0x505
_SHIFT = 3  # an instruction takes 2 to this nanoseconds
_PATIENCE_S = 120

_EARLY = f"""\
outb {_PVPANIC:#x} 1
inl -v bench_start {_PM_TIMER:#x}
export bench_start
search --no-floppy --set=root --fs-uuid %s
set prefix=($root)%s
"""
# In the harness's grub.cfg, but on no real machine: the serial terminal, and what the tests want to know.
_HARNESS = re.compile(r'^if \[ "\$grub_platform" = pc \]; then\n.*?^fi\n|^echo "test: .*?\n', re.MULTILINE | re.DOTALL)
_CORE_MODULES = ("iorw", "part_gpt", "ext2", "fat", "search", "search_fs_uuid", "normal", "configfile")


class Firmware(enum.Enum):
    SEABIOS = "SeaBIOS"
    OVMF = "OVMF"


# ---- the disks ----


class _DummyKernel(host.Kernel):
    """Has the stock kernel's name and size, so that GRUB has as much to load."""

    def __init__(self, scratch):
        super().__init__()
        stock, folder = self.image, scratch.folder("kernel")
        compiled = folder / "dummy-kernel.o"
        self.image = folder / stock.name
        host.run("cc", "-m32", "-c", "-o", compiled, FOLDER / "dummy-kernel.S")
        host.run("objcopy", "-O", "binary", "-j", ".text", compiled, self.image)
        with self.image.open("r+b") as file:
            file.truncate(stock.stat().st_size)


def _make_core_images(disk, scratch):
    """Puts core images onto the disk, in place of those that are there, that start with our commands."""
    layout = disk.layout
    folder = scratch.folder("core")
    early = folder / "early.cfg"
    early.write_text(_EARLY % (layout.boot_uuid, layout.grub_folder), encoding="ascii")
    for platform, more in (("i386-pc", ["biosdisk"]), ("x86_64-efi", [])):
        host.run("grub-mkimage", "-d", host.GRUB_LIB / platform, "-O", platform, "-p", layout.grub_folder, "-c", early,
                 "-o", folder / platform, *_CORE_MODULES, *more)
    disk.write_file("/boot/efi/EFI/BOOT/BOOTX64.EFI", (folder / "x86_64-efi").read_bytes())
    core = bytearray((folder / "i386-pc").read_bytes())
    start = disk.parts["bios"].start
    struct.pack_into("<Q", core, SECTOR - 12, start // SECTOR + 1)  # where the first sector finds the second
    disk.write_raw(start, bytes(core))


def _write_config(disk, kernel, scripts):
    """The usual grub.cfg, but no menu counts down, and the kernel learns when GRUB started."""
    config = _HARNESS.sub("", grubcfg.make_config(disk.layout, kernel, scripts))
    config = re.sub(r"timeout=\d+", "timeout=0", config)
    config = config.replace(grubcfg.CMDLINE, f"{grubcfg.CMDLINE} bench=$bench_start")
    disk.write_file("/boot/grub/grub.cfg", config.encode())


def _run_tool(disk, scratch, tools, *commands):
    """Runs the tool on a disk as if its system had been started: its boot filesystem is mounted."""
    root = scratch.folder("root")
    boot, swap = (LoopDevice(disk.path, part.start, part.size) for part in (disk.parts["boot"], disk.parts["swap"]))
    (root / "boot").mkdir()
    host.run("mount", boot.path, root / "boot")
    try:
        for command in commands:
            words = [str(word).format(root=root, swap=swap.path) for word in command]
            host.run(tools.hibctl, "--quiet", f"--root={root}", *words)
    finally:
        host.run("umount", root / "boot")
        boot.close()
        swap.close()


def make_disks(scratch, tools):
    """Three disks that are alike but for what is named by their keys."""
    kernel = _DummyKernel(scratch)
    maker = DiskMaker(scratch, kernel)
    plain = maker.disk(Layout())
    _make_core_images(plain, scratch)
    _write_config(plain, kernel, None)

    unmarked = plain.copy(scratch.folder("disk") / "disk.img")
    _write_config(unmarked, kernel, tools.scripts)
    _run_tool(unmarked, scratch, tools, ("setup", f"--modules={tools.modules}"))

    armed = unmarked.copy(scratch.folder("disk") / "disk.img")
    release = kernel.release
    _run_tool(armed, scratch, tools, ("mark", "--image={swap}", f"--kernel={{root}}/boot/vmlinuz-{release}",
                                      f"--initrd={{root}}/boot/initrd.img-{release}"))
    armed.plant_image_header()
    return {"plain": plain, "unmarked": unmarked, "armed": armed}


# ---- the machine ----


class _Emulator:
    """A machine under QEMU that counts time in instructions. Its debug console and QEMU's monitor lead out of it."""

    def __init__(self, firmware, disk, *options):
        argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", "-cpu", "max", "-accel",
                "tcg", "-icount", f"shift={_SHIFT},align=off,sleep=off", "-smp", "1", "-m", "128", "-display", "none",
                "-vga", "std", "-action", "panic=pause", "-device", f"pvpanic,ioport={_PVPANIC}",
                "-drive", f"if=none,id=disk,format=raw,snapshot=on,file={disk.path}",
                "-device", "virtio-blk-pci,drive=disk,bootindex=1", *options]
        if firmware is Firmware.OVMF:
            argv += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_OVMF / 'OVMF_CODE_4M.fd'}",
                     "-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={_OVMF / 'OVMF_VARS_4M.fd'}"]
        self._ends = [socket.socketpair() for _ in range(2)]
        console, monitor = (theirs.fileno() for _, theirs in self._ends)
        argv += ["-chardev", f"socket,id=console,fd={console}", "-device", "isa-debugcon,iobase=0xe9,chardev=console",
                 "-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=[console, monitor],
                                         preexec_fn=die_with_parent)
        self._files = []
        for ours, theirs in self._ends:
            theirs.close()
            ours.settimeout(_PATIENCE_S)
            self._files.append(ours.makefile("rwb"))
        self._events = set()
        self.ask("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        for file in self._files:
            file.close()
        for ours, _ in self._ends:
            ours.close()

    def _read_message(self):
        line = self._files[1].readline()
        if not line:
            raise host.HostError(f"QEMU ended with {self._process.wait()}")
        message = json.loads(line)
        if "event" in message:
            self._events.add(message["event"])
        return message

    def ask(self, command, **arguments):
        self._files[1].write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._files[1].flush()
        while True:
            message = self._read_message()
            if "error" in message:
                raise host.HostError(f"QEMU, {command}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]

    def wait_event(self, name):
        while name not in self._events:
            self._read_message()

    def wait_answer(self, command, key, *values):
        """Asks until the answer's KEY is one of VALUES."""
        while (answer := self.ask(command)).get(key) not in values:
            time.sleep(0.01)
        return answer

    def read_console_line(self):
        return self._files[0].readline().decode()

    def disk_counts(self):
        device = next(entry for entry in self.ask("query-blockstats") if entry["device"] == "disk")
        return device["stats"]


def _save_start(firmware, disk, path):
    """Runs the firmware, and saves the machine as it is when GRUB starts."""
    with _Emulator(firmware, disk) as machine:
        machine.wait_event("GUEST_PANICKED")
        machine.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        machine.ask("migrate", uri=f"exec:cat > {path}")
        status = machine.wait_answer("query-migrate", "status", "completed", "failed")["status"]
        if status != "completed":
            raise host.HostError("QEMU could not save the machine")


def _boot(firmware, disk, start, is_resume):
    with _Emulator(firmware, disk, "-incoming", f"exec:cat {start}") as machine:
        machine.wait_answer("query-status", "status", "guest-panicked", "paused", "postmigrate")
        before = machine.disk_counts()
        machine.ask("cont")
        line = machine.read_console_line()
        after = machine.disk_counts()
    found = re.match(r"([0-9a-f]{8}) .* bench=([0-9a-f]+)", line)
    if not found:
        raise host.HostError(f"{firmware.value}: the kernel was not started as expected: {line!r}")
    if is_resume != (f" resume=UUID={SWAP_UUID}" in line):
        raise host.HostError(f"{firmware.value}: the wrong entry was started: {line!r}")
    ticks = (int(found.group(1), 16) - int(found.group(2), 16)) & _PM_TIMER_MASK
    counts = {key: after[key] - before[key] for key in ("rd_bytes", "wr_bytes", "flush_operations")}
    return Run(ms=ticks * 1000 / _PM_TIMER_HZ / (1 << _SHIFT), sectors=counts["wr_bytes"] // SECTOR,
               flushes=counts["flush_operations"], read_kib=counts["rd_bytes"] // 1024)


def contests(scratch, tools):
    disks = make_disks(scratch, tools)
    result = []
    for firmware in Firmware:
        start = scratch.folder("start") / "machine"
        _save_start(firmware, disks["plain"], start)

        def enter(name, disk, is_resume=False, firmware=firmware, start=start):
            return Contender(name, lambda _number: _boot(firmware, disks[disk], start, is_resume))

        without = enter("the same GRUB without it", "plain")
        for state, is_resume in (("unmarked", False), ("armed", True)):
            ours = enter("GRUB with hibresume.mod", state, is_resume)
            result.append(Contest(f"boot, {firmware.value}, {state}", ours, without))
    return result
