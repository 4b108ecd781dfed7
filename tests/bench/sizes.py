# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What is added to an initramfs and to GRUB's folder, in bytes; and how much memory the programs take there. And a
whole initramfs, as initramfs-tools makes it with hibctl and without."""

import contextlib
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cli.rig import Scratch
from initramfs.rig import Stage
from stage import Machine
from vm import host

SYSTEMD_RESUME = Path("/lib/systemd/systemd-hibernate-resume")
_POWER = Path("/sys/power")

# The shared libraries in an initramfs of Debian 12 as initramfs-tools makes it by default (MODULES=most, nothing
# configured): what the programs need that its hooks copy. From the packages busybox, e2fsprogs, klibc-utils, kmod,
# logsave, udev and util-linux: busybox, fsck, e2fsck, logsave, kmod, udevadm, ata_id, scsi_id, blkid. libmount is there
# for fsck, so only as long as a filesystem in fstab is to be checked.
INITRAMFS = {
    "ld-linux-x86-64.so.2", "libacl.so.1", "libblkid.so.1", "libc.so.6", "libcap.so.2", "libcom_err.so.2",
    "libcrypto.so.3", "libe2p.so.2", "libext2fs.so.2", "libkmod.so.2", "liblzma.so.5", "libmount.so.1",
    "libpcre2-8.so.0", "libresolv.so.2", "libselinux.so.1", "libuuid.so.1", "libzstd.so.1",
}


@dataclass
class Size:
    what: str
    bytes: int
    libraries: dict  # name: bytes
    peak_kib: int = None  # while it does its work

    @property
    def total(self):
        return self.bytes + sum(self.libraries.values())


def _program(name, path, scratch, peak_kib=None):
    """A program without its symbols, and the libraries that it brings."""
    stripped = scratch.folder("size") / path.name
    host.run("strip", "-o", stripped, path)
    added = {library.name: library.stat().st_size for library in host.shared_libraries(path)
             if library.name not in INITRAMFS}
    return Size(f"{name}, in an initramfs", stripped.stat().st_size, added, peak_kib)


@contextlib.contextmanager
def _covered_power(cover):
    """Keeps a program that knows no --root from telling the kernel to resume. Without hibernation the kernel has no
    such folder, and then there is nothing to tell."""
    if not _POWER.exists():
        yield
        return
    host.run("mount", "--bind", cover, _POWER)
    try:
        yield
    finally:
        host.run("umount", _POWER)


def _check_told(power, swap):
    """The kernel would have been told. The next one starts anew."""
    told = power / "resume"
    if told.read_text(encoding="ascii").strip() != swap.device.number:
        raise host.HostError("the kernel would not have been told to resume")
    told.write_text("0:0\n", encoding="ascii")


def _peaks(scratch, tools):
    """How much memory resuming takes, up to the moment when the kernel is told: (the tool, systemd's program or None).
    Nobody is resumed, so the tool fails then, as it should; systemd's does not look."""
    with ExitStack() as stack:
        machine = Machine(stack, scratch)
        machine.swap.plant_image_header()
        swap, power = machine.swap.device.path, machine.root / "sys/power"
        ours = tools.stopwatch.time([tools.hibctl, "--quiet", f"--root={machine.root}", "resume", f"--device={swap}"],
                                    statuses=[1])
        _check_told(power, machine.swap)
        if not SYSTEMD_RESUME.exists():
            print(f"size: {SYSTEMD_RESUME} is not there (package systemd), so it is left out", file=sys.stderr)
            return ours.peak_kib, None
        with _covered_power(power):
            systemd = tools.stopwatch.time(["env", "SYSTEMD_IN_INITRD=1", SYSTEMD_RESUME, swap], statuses=[0, 1])
            if _POWER.exists():
                _check_told(power, machine.swap)
        return ours.peak_kib, systemd.peak_kib


def measure(scratch, tools):
    ours, systemd = _peaks(scratch, tools)
    sizes = [_program("hibctl", tools.hibctl, scratch, ours),
             _program("grub-editenv", host.find_tool("grub-editenv"), scratch)]
    if systemd:
        sizes.append(_program("systemd-hibernate-resume", SYSTEMD_RESUME, scratch, systemd))
    for platform in host.PLATFORMS:
        module = tools.modules / platform / "hibresume.mod"
        sizes.append(Size(f"hibresume.mod, {platform}", module.stat().st_size, {}))
    return sizes


@dataclass
class Image:
    """An initramfs; bytes."""

    what: str
    packed: int
    unpacked: int
    added_packed: int = 0  # by hibctl
    added_unpacked: int = 0


def measure_images(tools):
    """Nothing is configured: the tool, its libraries and its scripts. The maker sees this machine's root through an
    overlay, and the kernel for virtual machines."""
    build = tools.hibctl.resolve().parent
    while not (build / "Makefile").exists():
        if build == build.parent:
            raise host.HostError("HIBCTL does not name the tool in its build folder, from which it could be installed")
        build = build.parent
    with contextlib.closing(Scratch()) as scratch:
        stage = Stage(scratch, build)
        stage.run("strip", "/usr/local/sbin/hibctl")  # as packages do
        try:
            made = {"with hibctl": stage.make("initramfs-tools", "load", "with")}
            stage.remove_hibctl()
            made = {"without": stage.make("initramfs-tools", "load", "without"), **made}
        except AssertionError as error:
            raise host.HostError(f"mkinitramfs failed: {error}") from error
        images = [Image(f"initramfs-tools, {name}", one.file.stat().st_size, one.size()) for name, one in made.items()]
    images[1].added_packed = images[1].packed - images[0].packed
    images[1].added_unpacked = images[1].unpacked - images[0].unpacked
    return images
