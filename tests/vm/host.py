# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What the tests need from the machine that runs them: tools, inputs, scratch space."""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("HIBCTL_DEV_CACHE", "/var/cache/hibctl-dev"))
GRUB_LIB = Path("/usr/lib/grub")
PLATFORMS = ("i386-pc", "x86_64-efi")

# Where a Debian user without root does not look, but mke2fs, sfdisk and friends are.
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_SCRATCH_PREFIX = "hibctl-vm-"
_SCRATCH_ROOM = 2 << 30  # bytes free in /dev/shm below which the disks go to the temporary folder


class HostError(RuntimeError):
    """A tool of the host failed, or an input is missing."""


def run(*argv, input=None, env=None, cwd=None):
    """Runs a host tool and returns its standard output as bytes; a failure carries what the tool said."""
    argv = [str(arg) for arg in argv]
    environment = dict(os.environ if env is None else env, PATH=_PATH, LC_ALL="C")
    done = subprocess.run(argv, input=input, env=environment, cwd=cwd, capture_output=True, check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise HostError(f"{' '.join(argv)}: exit status {done.returncode}: {said}")
    return done.stdout


def find_tool(name):
    path = shutil.which(name, path=_PATH)
    if not path:
        raise HostError(f"{name} is not installed")
    return Path(path)


def shared_libraries(binary):
    """The shared libraries that a dynamic program loads, as paths on the host."""
    try:
        listing = run("ldd", binary).decode()
    except HostError:
        return []  # a static program: ldd says so and fails
    words = (word for line in listing.splitlines() for word in line.split())
    return sorted({Path(word) for word in words if word.startswith("/")})


@contextlib.contextmanager
def temporary_file(data):
    """A file with DATA in it, gone afterwards."""
    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)
        path.write_bytes(data)
        yield path


class Kernel:
    """The stock kernel under test: its image and its modules."""

    def __init__(self, folder=CACHE / "kernel"):
        images = sorted((folder / "boot").glob("vmlinuz-*"))
        if not images:
            raise HostError(f"no kernel in {folder}/boot: run './dev install-deps'")
        self.image = images[-1]
        self.release = self.image.name.removeprefix("vmlinuz-")
        self._modules = {path.stem.replace("-", "_"): path
                         for path in (folder / "lib/modules" / self.release / "kernel").rglob("*.ko")}

    def modules(self, *names):
        """The module files for these names and all that they depend on, in the order in which they must be loaded. A
        name without a file is built into the kernel."""
        order = []

        def add(name):
            path = self._modules.get(name)
            if path is None or path in order:
                return
            for dependency in _module_dependencies(path):
                add(dependency)
            order.append(path)

        for name in names:
            add(name.replace("-", "_"))
        return order


@dataclasses.dataclass(frozen=True)
class Direct:
    """A kernel that QEMU starts by itself, without a boot loader."""

    kernel: Path
    initrd: Path
    cmdline: str


def _module_dependencies(path):
    """Reads the "depends=" entry of a module's .modinfo section, a list of NUL-terminated strings."""
    _, found, rest = path.read_bytes().partition(b"\0depends=")
    names = rest.split(b"\0", 1)[0].decode() if found else ""
    return [name for name in names.split(",") if name]


def program_of(path):
    """The program itself, where libtool has put a script that starts it."""
    path = Path(path).resolve()
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            path = path.parent / ".libs" / path.name
    return path


def tool_under_test():
    """The hibctl binary that the guest gets, or None."""
    path = os.environ.get("HIBCTL")
    return program_of(path) if path else None


def modules_under_test():
    """The folder with <platform>/hibresume.mod for each platform, or None."""
    path = os.environ.get("HIBRESUME_MODDIR")
    return Path(path).resolve() if path else None


class Scratch:
    """A folder for disks and sockets, in memory if there is room, gone at the end.

    Of this process alone, or of all processes of a RUN that has a name. Locks on the folder tell the living from the
    dead, so that what a killed run left behind is removed by the next one."""

    def __init__(self, run=None):
        base = self._choose_base()
        self._sweep(base)
        while not self._make(base, run):
            pass

    def _make(self, base, run):
        """False if another process, which sweeps or leaves, removed the folder before the lock was on it."""
        if run:
            self.path = base / f"{_SCRATCH_PREFIX}{run}"
            self.path.mkdir(mode=0o700, exist_ok=True)
        else:
            self.path = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=base))
        try:
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._lock), os.stat(self.path)):
                return True
        os.close(self._lock)
        return False

    @staticmethod
    def _choose_base():
        memory = Path("/dev/shm")
        if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _SCRATCH_ROOM:
            return memory
        return Path(tempfile.gettempdir())

    @staticmethod
    def _sweep(base):
        for leftover in base.glob(_SCRATCH_PREFIX + "*"):
            try:
                folder = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)
            except OSError:
                pass  # its owner lives
            finally:
                os.close(folder)

    def folder(self, name):
        return Path(tempfile.mkdtemp(prefix=name + "-", dir=self.path))

    @contextlib.contextmanager
    def kept(self, key):
        """The folder of that key. One process at a time has it, so what one makes there, others find."""
        folder = self.path / f"kept-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"
        folder.mkdir(exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(lock)

    def remove(self):
        with contextlib.suppress(BlockingIOError):  # other processes of the run go on
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
