# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What the contests are run on: filesystems on loop devices in memory, in a mount namespace of this process.

Nothing outlives the process, however it ends: its mounts go with the namespace, and a loop device frees itself when
nothing has it open any more."""

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import struct
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vm import envblock, host

KIB, MIB = 1 << 10, 1 << 20
PAGE = 4 * KIB

_SIZES = {"ext2": 64 * MIB, "ext4": 64 * MIB, "xfs": 320 * MIB}  # mkfs.xfs makes nothing under 300 MiB

# sched.h, sys/mount.h
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000
# linux/loop.h
_LOOP_CONFIGURE, _LOOP_CTL_REMOVE, _LOOP_CTL_GET_FREE = 0x4C0A, 0x4C81, 0x4C82
_LO_FLAGS_AUTOCLEAR, _LO_FLAGS_PARTSCAN = 4, 8
# linux/fs.h
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878

# sys/prctl.h
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def enter_namespace():
    """Gives this process mounts of its own."""
    if _libc.unshare(_CLONE_NEWNS) or _libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None):
        raise host.HostError(f"no mount namespace: {os.strerror(ctypes.get_errno())}")


def have_own_run(scratch):
    """Puts a file and a folder of our own in the place of the tool's in /run, so that no other run of the tool is
    waited for, and none finds what ours leave there."""
    lock, ours = Path("/run/hibctl.lock"), scratch.folder("lock") / "lock"
    lock.touch()
    ours.touch()
    host.run("mount", "--bind", ours, lock)
    folder = Path("/run/hibctl")
    folder.mkdir(exist_ok=True)
    host.run("mount", "--bind", scratch.folder("run"), folder)


def die_with_parent():
    """For a child to call before it becomes another program."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def make_sparse(path, size):
    with path.open("wb") as file:
        file.truncate(size)
    path.chmod(0o600)


class LoopDevice:
    """A loop device around an image file, or around a piece of it."""

    def __init__(self, image, start=0, size=0):
        self._file = _configure_loop(image, start, size)
        name = os.readlink(f"/proc/self/fd/{self._file}").removeprefix("/dev/")
        self.path = Path("/dev", name)
        self._stat = Path("/sys/block", name, "stat")

    def close(self):
        os.close(self._file)

    @property
    def number(self):
        """MAJOR:MINOR."""
        device = os.stat(self.path).st_rdev
        return f"{os.major(device)}:{os.minor(device)}"

    def counts(self):
        """Sectors written and flushes since the device was made: Documentation/block/stat.rst."""
        fields = self._stat.read_text(encoding="ascii").split()
        return int(fields[6]), int(fields[15])


def _configure_loop(image, start, size):
    backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    # Without a scan for partitions, those of whoever had the device before may still be there.
    flags = _LO_FLAGS_AUTOCLEAR | _LO_FLAGS_PARTSCAN
    # struct loop_config, with struct loop_info64 in it
    info = struct.pack("=5Q4I64s64s32s2Q", 0, 0, 0, start, size, 0, 0, 0, flags, b"", b"", b"", 0, 0)
    config = struct.pack("=2I", backing, 512) + info + bytes(64)
    try:
        with open("/dev/loop-control", "rb") as control:
            while True:
                device = os.open(f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}", os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.ioctl(device, _LOOP_CONFIGURE, config)
                    return device
                except OSError as error:
                    os.close(device)
                    if error.errno != errno.EBUSY:  # another process was faster
                        raise
    finally:
        os.close(backing)


def all_loops():
    """The loop devices that the kernel has, used or not."""
    return {Path("/dev", path.name) for path in Path("/sys/block").glob("loop*")}


def remove_loops(paths):
    """Takes idle loop devices away. The kernel takes its time for each, but not for each after the other."""

    def remove(path):
        with contextlib.suppress(OSError), open("/dev/loop-control", "rb") as control:
            fcntl.ioctl(control, _LOOP_CTL_REMOVE, int(path.name.removeprefix("loop")))

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(remove, paths))


class Filesystem:
    """A filesystem of one type, mounted on a folder, with an environment block at ENV, a path from its top."""

    def __init__(self, stack, scratch, kind, mount_point=None, env="grub/grubenv"):
        self.kind = kind
        self._env = env
        self.image = scratch.folder(kind) / "image"
        self.mount_point = mount_point or scratch.folder("mount")
        self.mount_point.mkdir(exist_ok=True)
        make_sparse(self.image, _SIZES[kind])
        host.run(f"mkfs.{kind}", "-q", self.image)
        self.device = LoopDevice(self.image)
        stack.callback(self.device.close)
        self.mount()
        stack.callback(self.unmount)
        self.env_path.parent.mkdir(parents=True, exist_ok=True)
        self.put_block(envblock.make({"saved_entry": "0"}))

    @property
    def env_path(self):
        return self.mount_point / self._env

    def put_block(self, block):
        self.env_path.write_bytes(block)

    def mount(self):
        host.run("mount", self.device.path, self.mount_point)

    def unmount(self):
        if os.path.ismount(self.mount_point):
            host.run("umount", self.mount_point)

    def make_old(self):
        """Makes the folders look as if nothing had been made in them for long, where that can be done: the tool takes
        its time with what has just been made. No file may be made afterwards."""
        if not self.kind.startswith("ext"):
            return
        self.unmount()
        for folder in ("/", f"/{os.path.dirname(self._env)}"):
            host.run("debugfs", "-w", "-R", f"set_inode_field {folder} ctime 20200101", self.image)
        self.mount()

    def quiesce(self):
        """Writes everything out to where it belongs, so that no run pays for what was before it."""
        folder = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _FIFREEZE, 0)
            fcntl.ioctl(folder, _FITHAW, 0)
        finally:
            os.close(folder)

    def seen_by_grub(self):
        """The environment block that GRUB finds on the disk now. The image file is read and not the loop device, whose
        page cache is where ext4 keeps what is only in its journal."""
        return host.run("grub-fstest", self.image, "cat", f"(loop0)/{self._env}")

    def does_grub_read_it(self):
        """Whether that is the one that Linux shows. GRUB comes first: Linux may write when it reads."""
        seen = self.seen_by_grub()
        was_mounted = os.path.ismount(self.mount_point)
        if not was_mounted:
            self.mount()
        same = seen == self.env_path.read_bytes()
        if not was_mounted:
            self.unmount()
        return same


class Swap:
    """A swap area that nobody uses."""

    def __init__(self, stack, scratch):
        self.image = scratch.folder("swap") / "image"
        self.uuid = str(uuid.uuid4())
        make_sparse(self.image, 16 * MIB)
        host.run("mkswap", "-U", self.uuid, self.image)
        self.device = LoopDevice(self.image)
        stack.callback(self.device.close)

    def plant_image_header(self):
        """Makes it look as if an image were in it: the kernel's signature, and the old one where the kernel keeps
        it."""
        signature = b"SWAPSPACE2"
        with self.image.open("r+b") as file:
            file.seek(PAGE - 2 * len(signature))
            file.write(signature + b"S1SUSPEND\0")


class Machine:
    """A root folder for the tool's --root, with a resume device. The boot filesystem is for the contest to put."""

    def __init__(self, stack, scratch):
        self.root = scratch.folder("root")
        for name in ("boot", "etc", "run", "sys/power"):
            (self.root / name).mkdir(parents=True)
        self.boot = self.root / "boot"
        self.swap = Swap(stack, scratch)
        (self.root / "sys/power/resume").write_text(f"{self.swap.device.number}\n", encoding="ascii")
        (self.root / "sys/power/resume_offset").write_text("0\n", encoding="ascii")


def make_kernel(folder):
    """Puts into FOLDER an initramfs and a file that the tool takes for the running kernel's: the boot sector's magic,
    and the text that it points to (Documentation/arch/x86/boot.rst)."""
    running = os.uname()
    text_at = 0x3000
    image = bytearray(64 * KIB)
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x20E, text_at - 0x200)
    text = f"{running.release} (bench) {running.version}\0".encode()
    image[text_at : text_at + len(text)] = text
    (folder / f"vmlinuz-{running.release}").write_bytes(image)
    (folder / f"initrd.img-{running.release}").write_bytes(bytes(KIB))
