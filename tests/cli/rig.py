# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Real filesystems on loop devices, a tree of a system on them, the tool on that tree, and GRUB as the judge."""

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from . import envblock

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_MEMORY = Path("/dev/shm")
_PREFIX = "hibctl-cli-"
# For libefivar, which the tool uses: a machine without UEFI. So no test ever writes to the firmware of this one.
NO_UEFI = {"EFIVARFS_PATH": "/nonexistent/efivars/"}
os.environ.update(NO_UEFI)
NOBODY = 65534


def run(*argv, check=True, **more):
    """Runs a tool of the host; a failure carries what it said."""
    argv = [str(arg) for arg in argv]
    more.setdefault("stdin", subprocess.DEVNULL) if "input" not in more else None
    done = subprocess.run(argv, env={"PATH": PATH, "LC_ALL": "C"}, capture_output=True, check=False, **more)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.returncode}: {(done.stdout + done.stderr).decode(errors='replace')}")
    return done


# ---- the tool ----


class Result:
    """How a run of the tool ended."""

    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err.decode(errors="replace")

    def __repr__(self):
        return f"{' '.join(self.argv)}\nexit status {self.status}\nout: {self.out!r}\nerr: {self.err}"

    def json(self):
        return json.loads(self.out)

    def done(self):
        assert self.status == 0, self
        return self

    def nothing(self):
        assert self.status == 2, self
        return self

    def says_no(self, status, *words):
        """A refusal: this exit status, one clear line that holds these words, nothing on standard output."""
        lines = self.err.splitlines()
        assert self.status == status, self
        assert len(lines) == 1 and lines[0].startswith("hibctl: "), f"not one clear message\n{self}"
        for word in words:
            assert str(word) in lines[0], f"no '{word}' in the message\n{self}"
        assert self.out == b"", f"a refusal prints no result\n{self}"
        return self


class Tool:
    """The hibctl under test."""

    def __init__(self, path):
        self.path = str(path)

    def argv(self, *args, root=None):
        return [self.path, *([f"--root={root}"] if root is not None else []), *map(str, args)]

    def __call__(self, *args, root=None, env=None, timeout=40, prefix=(), **more):
        argv = [*map(str, prefix), *self.argv(*args, root=root)]
        environment = {"PATH": PATH, "LC_ALL": "C", **NO_UEFI, **(env or {})}
        more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        done = subprocess.run(argv, env=environment, timeout=timeout, check=False, **more)
        return Result(argv, done.returncode, done.stdout or b"", done.stderr or b"")


AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")

# A lock of its own, for runs that are held up on purpose: the others do not wait for them.
OWN_LOCK = ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")


# ---- scratch space, loop devices, mounts ----


def stand_alone():
    """Gives this process and its children mounts and a /run of their own, for the rest of its life. Whoever else works on
    this computer and makes a mount namespace would hold a copy of each mount, and keep what was unmounted here in use; and
    the tool need not wait for other runs of it, whose lock is in /run."""
    clone_newns = 0x20000  # sched.h
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newns) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    run("mount", "--make-rprivate", "/")
    for mount in reversed(mount_points()):  # nor are copies of theirs held here
        if mount.startswith(f"{_MEMORY}/hibctl-"):
            run("umount", "--lazy", mount, check=False)
    run("mount", "-t", "tmpfs", "none", "/run")


class Scratch:
    """A folder in memory for one test, with everything that hangs on it: loop devices, mounts, processes."""

    def __init__(self):
        while not self._make():
            pass
        self.path.chmod(0o755)  # nobody is to reach it too
        self.undo = contextlib.ExitStack()

    def _make(self):
        """False if another process, which sweeps, removed the folder before the lock was on it."""
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_MEMORY))
        try:
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if self.path.exists():
            return True
        os.close(self._lock)
        return False

    def close(self):
        try:
            self.undo.close()
        finally:
            os.close(self._lock)
            shutil.rmtree(self.path, ignore_errors=True)

    def folder(self, name):
        path = self.path / name
        path.mkdir()
        return path

    def image(self, name, size):
        path = self.path / name
        with path.open("xb") as file:
            file.truncate(size)
        return path

    def loop(self, image, sector=512):
        device = run("losetup", "--find", "--show", "--sector-size", sector, image).stdout.decode().strip()
        self.undo.callback(self.detach, device)
        return device

    def detach(self, device):
        """Does nothing if it is done already: the device may be somebody else's by now."""
        backing = Path(f"/sys/block/{os.path.basename(device)}/loop/backing_file")
        with contextlib.suppress(OSError):
            if backing.read_text().startswith(f"{self.path}/"):
                run("losetup", "--detach", device, check=False)

    def mount(self, device, folder, *options):
        run("mount", *options, device, folder)
        self.undo.callback(unmount, folder)

    def thaw_at_end(self, folder):
        """For a test that could leave the filesystem frozen, which would hang everything after it."""
        self.undo.callback(run, "fsfreeze", "-u", folder, check=False)


def mount_points():
    """In the order in which they were mounted; the kernel writes spaces and such as octal numbers."""
    fields = (line.split()[4] for line in Path("/proc/thread-self/mountinfo").read_text().splitlines())
    return [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field) for field in fields]


def is_mounted(folder):
    return str(folder) in mount_points()


def unmount(folder):
    deadline = time.monotonic() + 20
    while is_mounted(folder) and run("umount", folder, check=False).returncode != 0:
        if time.monotonic() > deadline:
            run("umount", "--lazy", folder)
        time.sleep(0.05)


def sweep():
    """Removes what a run that was killed has left behind."""
    for leftover in _MEMORY.glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            folder = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(leftover)
            finally:
                os.close(folder)
    for name, file in _loops():
        if _PREFIX in file and file.endswith("(deleted)"):
            run("losetup", "--detach", name, check=False)


def _loops():
    """Name and file of each loop device. The path is another one in the mount namespace of whoever has made it."""
    for line in run("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").stdout.decode().splitlines():
        name, _, file = line.strip().partition(" ")
        yield name, file.strip()


def _remove(folder):
    for file in folder.glob("*.pid"):  # of a disk's recorder; see crash/recording.py
        with contextlib.suppress(OSError, ValueError):
            process = int(file.read_text())
            if Path(f"/proc/{process}/comm").read_text().startswith("qemu-storage"):
                os.kill(process, signal.SIGTERM)
    for mount in reversed([mount for mount in mount_points() if mount.startswith(f"{folder}/")]):
        run("fsfreeze", "-u", mount, check=False)
        run("umount", mount, check=False)
    for name, file in _loops():
        if file.startswith(f"{folder}/"):
            run("losetup", "--detach", name, check=False)
    shutil.rmtree(folder, ignore_errors=True)


# ---- filesystems ----

MIB = 1 << 20
FILESYSTEMS = {
    "ext2": (8 * MIB, ["mkfs.ext2", "-q", "-b", "1024"]),
    "ext3": (8 * MIB, ["mkfs.ext3", "-q", "-b", "1024"]),
    "ext4": (8 * MIB, ["mkfs.ext4", "-q", "-b", "1024"]),
    "ext4-4k": (16 * MIB, ["mkfs.ext4", "-q", "-b", "4096"]),
    "ext4-nojournal": (8 * MIB, ["mkfs.ext4", "-q", "-b", "1024", "-O", "^has_journal"]),
    "xfs": (320 * MIB, ["mkfs.xfs", "-q"]),
    "btrfs": (120 * MIB, ["mkfs.btrfs", "-q"]),
    "vfat": (8 * MIB, ["mkfs.vfat"]),
}


class Filesystem:
    """One on a loop device."""

    def __init__(self, scratch, kind, name="fs", sector=512):
        size, maker = FILESYSTEMS[kind]
        self.kind = kind
        self.type = kind.partition("-")[0]
        self.image = scratch.image(name, size)
        self.uuid = str(uuid.uuid4())
        if self.type == "vfat":
            self.uuid = f"{self.uuid[:4]}-{self.uuid[4:8]}".upper()
        if sector == 512:
            run(*maker, *self._uuid_option(), self.image)
        self.device = scratch.loop(self.image, sector)
        if sector != 512:
            run(*maker, *self._uuid_option(), self.device)

    def _uuid_option(self):
        if self.type == "vfat":
            return ["-i", self.uuid.replace("-", "")]
        return ["-m", f"uuid={self.uuid}"] if self.type == "xfs" else ["-U", self.uuid]

    def grub_reads(self, path):
        """The bytes of a file as GRUB reads them from the device now, or None if it finds no such file."""
        done = run("grub-fstest", self.image, "cat", f"(loop0){path}", check=False)
        if done.returncode != 0:
            assert b"not found" in done.stderr, done.stderr
            return None
        return done.stdout

    def is_in_use(self):
        """Whether anybody, in whatever mount namespace, has it mounted."""
        try:
            os.close(os.open(self.device, os.O_RDONLY | os.O_EXCL))
        except OSError:
            return True
        return False

    def wait_until_unused(self, seconds=5):
        """The kernel unmounts what a killed process had mounted a moment after its end."""
        deadline = time.monotonic() + seconds
        while self.is_in_use() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not self.is_in_use(), f"{self.device} is still mounted or held somewhere"

    def assert_clean(self):
        """An unmounted ext filesystem that needs no recovery and no repair."""
        about = run("dumpe2fs", "-h", self.image).stdout.decode()
        assert "needs_recovery" not in about and "Filesystem state:         clean\n" in about, about
        done = run("e2fsck", "-fn", self.image, check=False)
        assert done.returncode == 0, done.stdout


def device_number(device):
    number = os.stat(device).st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


_FIBMAP, _FIGETBSZ = 1, 2


def place_on_device(path):
    """The byte on the device where the first block of a file is, as the kernel knows it."""
    with open(path, "rb") as file:
        block = struct.unpack("i", fcntl.ioctl(file, _FIBMAP, struct.pack("i", 0)))[0]
        size = struct.unpack("i", fcntl.ioctl(file, _FIGETBSZ, struct.pack("i", 0)))[0]
    assert block > 0
    return block * size


def write_device(device, at, data):
    """Through the device, so that what the kernel caches of it is right, and to its end."""
    with open(device, "r+b") as file:
        file.seek(at)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_raw(filesystem, at, data):
    """Writes bytes of a mounted filesystem's device behind its back."""
    with filesystem.image.open("r+b") as image:
        image.seek(at)
        image.write(data)
    run("blockdev", "--flushbufs", filesystem.device)


class Swap:
    """A swap area on a loop device, with or without the header of an image."""

    PAGE = 4096

    def __init__(self, scratch, name="swap", size=MIB, sector=512):
        self.image = scratch.image(name, size)
        self.uuid = str(uuid.uuid4())
        run("mkswap", "-q", "-U", self.uuid, self.image)
        self.device = scratch.loop(self.image, sector)

    def write(self, at, data):
        write_device(self.device, at, data)

    def read(self, at, size):
        return self.image.read_bytes()[at:][:size]

    def put_image(self, signature=b"S1SUSPEND\0"):
        self.write(self.PAGE - 20, b"SWAPSPACE2" + signature)

    def remove_image(self):
        self.write(self.PAGE - 20, bytes(10) + b"SWAPSPACE2")


# ---- a system ----

GRUB_D_SCRIPTS = ("06_hibctl", "30_hibctl", "30_os-prober_hibctl", "44_hibctl")

RELEASE = os.uname().release
VERSION = os.uname().version


def kernel_file(release=RELEASE, version=VERSION):
    """The head of an x86 kernel file: boot protocol magic, and the text that names the build."""
    text = f"{release} (builder@host) {version}\0".encode()
    head = bytearray(0x4000)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x3000).to_bytes(2, "little")
    head[0x3200 : 0x3200 + len(text)] = text
    return bytes(head)


class Machine:
    """The tree of a system: boot filesystem, kernel, ramdisk, swap area and what the kernel tells of them.

    LAYOUT: "root": /boot is a folder of the root filesystem; "boot": it is a filesystem of its own, mounted;
    "fstab": likewise, in fstab, but not mounted."""

    def __init__(self, scratch, tool, kind="ext4", layout="root", sector=512):
        self.scratch, self.tool, self.layout = scratch, tool, layout
        self.fs = Filesystem(scratch, kind, sector=sector)
        self.root = scratch.folder("root")
        if layout == "root":
            scratch.mount(self.fs.device, self.root)
            self.prefix = "/boot/grub"
        else:
            self.prefix = "/grub"
            (self.root / "boot").mkdir()
            scratch.mount(self.fs.device, self.root / "boot")
        for folder in ("boot/grub", "etc", "run", "proc", "sys/power"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.grub = self.root / "boot/grub"
        self.block = self.grub / "grubenv"
        self.kernel = self.root / f"boot/vmlinuz-{RELEASE}"
        self.initrd = self.root / f"boot/initrd.img-{RELEASE}"
        self.kernel.write_bytes(kernel_file())
        self.initrd.write_bytes(b"ramdisk")
        self.write("proc/cmdline", "root=/dev/x ro quiet\n")
        self.write("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
        if layout != "root":
            self.write("etc/fstab", f"UUID={self.fs.uuid} /boot {self.fs.type} defaults 0 2\n")
        if layout == "fstab":
            self.unmount()
        self.swap = Swap(scratch)
        self.resume_from(self.swap.device)
        self.grub_looks_at(f"UUID={self.swap.uuid}")

    # what the system says of itself

    def write(self, path, text):
        (self.root / path).write_text(text)

    def resume_from(self, device, offset=0):
        self.write("sys/power/resume", f"{device_number(device) if device else '0:0'}\n")
        self.write("sys/power/resume_offset", f"{offset}\n")

    def grub_looks_at(self, tag, offset=0, page_size=4096):
        """grub.cfg asks for a mark, and names this resume device; None: it names none."""
        folder = self.prefix.removesuffix("grub")
        line = "hibresume probe"
        if tag:
            line += (f" --device '{tag}' --offset {offset} --page-size {page_size} --fs '{self.fs.uuid}'"
                     f" --kernel '{folder}{self.kernel.name}' --initrd '{folder}{self.initrd.name}'")
        self.write_grub_cfg(f"set x=1\nif true; then\n  {line}\nfi\n")

    def write_grub_cfg(self, text):
        with self.mounted():
            (self.grub / "grub.cfg").write_text(text)

    def active_swaps(self, *areas):
        rows = [f"{name}\t\t\t\t{kind}\t\t1020\t\t0\t\t-2\n" for name, kind in areas]
        self.write("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" + "".join(rows))

    # the tool

    def __call__(self, *args, **more):
        return self.tool(*args, root=self.root, **more)

    def status(self, **more):
        """The JSON of status; it may exit with 0 or, if nothing is marked, with 2."""
        result = self("--json", "status", **more)
        assert result.status in (0, 2), result
        return result.json()

    def env(self):
        return self.status()["stores"]["env"]

    # the block

    def grub_reads(self):
        return self.fs.grub_reads(f"{self.prefix}/grubenv")

    @contextlib.contextmanager
    def mounted(self):
        """The boot filesystem mounted for the test's own hands where the layout leaves it unmounted."""
        if self.layout != "fstab":
            yield
            return
        run("mount", self.fs.device, self.root / "boot")
        try:
            yield
        finally:
            self.unmount()

    def unmount(self):
        """For good: a namespace that somebody has just made holds a copy of every mount for as long as it lives."""
        run("umount", self.root / "boot")
        self.fs.wait_until_unused(30)

    def put_block(self, data):
        """Writes the whole file anew and makes sure that GRUB reads it."""
        with self.mounted():
            self.block.write_bytes(data)
            settle_filesystem(self.block)
        assert self.grub_reads() == data

    def change_raw(self, change):
        """Changes the block under the mounted filesystem as GRUB does it; CHANGE maps bytes to as many bytes."""
        with self.mounted():
            at = place_on_device(self.block)
        with self.fs.image.open("r+b") as file:
            file.seek(at)
            old = file.read(envblock.SIZE)
            new = change(old)
            assert old.startswith(envblock.SIGNATURE) and len(new) == len(old)
            file.seek(at)
            file.write(new)
        assert self.grub_reads() == new
        return new

    def folder_listing(self):
        with self.mounted():
            return sorted(str(path.relative_to(self.grub)) for path in self.grub.rglob("*"))


def overwrite(path, data):
    """In place and flushed: enough for GRUB to read it if it knows the file's blocks already."""
    with open(path, "r+b") as file:
        file.write(data)
        file.flush()
        os.fdatasync(file.fileno())


def settle_filesystem(path):
    """Makes GRUB see what was written to PATH: flushes it, and all that is only in a journal."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
        run("sync", "--file-system", os.path.dirname(path))
        freeze, thaw = 0xC0045877, 0xC0045878
        try:
            fcntl.ioctl(folder, freeze, 0)
        except OSError:
            return  # ext2 without a journal, tmpfs: nothing more is needed
        fcntl.ioctl(folder, thaw, 0)
    finally:
        os.close(folder)


def is_writable(folder, seconds=15):
    """Whether a small file can be made there in time: on a frozen filesystem that hangs, and cannot be killed."""
    child = subprocess.Popen(["sh", "-c", 'echo x >"$0" && rm "$0"', Path(folder) / "trial"], stdin=subprocess.DEVNULL)
    try:
        return child.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        run("fsfreeze", "-u", folder, check=False)
        child.wait()
        return False
