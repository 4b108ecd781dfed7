# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What can become of a system call: which errors its manual page names, and which of the calls of a run change
something. The calls are listed, and the faults made, by inject.c."""

import errno
import functools
import random
import re
from pathlib import Path
from typing import NamedTuple

_HEADERS = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h")


@functools.cache
def numbers():
    """Of each system call, by its name."""
    text = next(Path(header).read_text() for header in _HEADERS if Path(header).exists())
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", text)}


@functools.cache
def names():
    return {number: name for name, number in numbers().items()}


# ---- errors ----

_PATH = "EACCES EIO ENOMEM"
_CHANGE = "EACCES EIO ENOMEM ENOSPC EROFS"
ERRORS = {
    "openat": "EACCES EIO EMFILE ENFILE ENOMEM EINTR", "openat2": "EACCES EIO EMFILE ENOMEM EINTR EAGAIN",
    "newfstatat": _PATH, "statfs": _PATH, "access": _PATH, "readlink": _PATH, "execve": "EACCES EIO ENOMEM",
    "getdents64": "EIO", "lseek": "EINVAL", "fcntl": "EINVAL", "fadvise64": "EINVAL",
    "read": "EIO EINTR", "pread64": "EIO EINTR ENOMEM", "write": "ENOSPC EIO EINTR EPIPE",
    "pwrite64": "ENOSPC EIO EINTR ENOMEM EDQUOT EROFS",
    "fsync": "EIO ENOSPC EDQUOT EINTR", "fdatasync": "EIO ENOSPC EDQUOT EINTR", "syncfs": "EIO ENOSPC EDQUOT",
    "mount": "EACCES EBUSY EINVAL EIO ENODEV ENOMEM EPERM EROFS", "umount2": "EBUSY EINVAL EIO ENOMEM EPERM",
    "fsopen": "EMFILE ENODEV ENOMEM EPERM", "fsconfig": "EBUSY EINVAL EIO ENOMEM EPERM", "fsmount": "EBUSY EMFILE ENOMEM EPERM",
    "move_mount": "EACCES EINVAL EPERM", "unshare": "EPERM ENOMEM ENOSPC",
    "unlink": _CHANGE + " EBUSY", "rename": _CHANGE + " EBUSY", "linkat": _CHANGE + " EEXIST", "mkdir": _CHANGE,
    "fchmod": "EIO EPERM EROFS", "fchown": "EIO EPERM EROFS", "ftruncate": "EIO EINTR EROFS", "fsetxattr": "EIO ENOSPC",
    "clone": "EAGAIN ENOMEM", "clone3": "EAGAIN ENOMEM", "vfork": "EAGAIN ENOMEM", "wait4": "EINTR ECHILD",
    "pipe2": "EMFILE ENFILE", "pidfd_open": "EMFILE ENFILE ENODEV ENOMEM", "poll": "EINTR ENOMEM", "kill": "ESRCH",
    "dup2": "EBUSY EMFILE EINTR", "setpgid": "EACCES EPERM", "setsid": "EPERM", "flock": "EINTR ENOLCK EWOULDBLOCK",
    "mmap": "ENOMEM", "brk": "ENOMEM", "mremap": "ENOMEM", "getrandom": "EINTR ENOSYS",
}
# By the second argument: FIFREEZE and FITHAW, the journal's checkpoint, FS_IOC_FIEMAP, BLKSSZGET.
_REQUESTS = {0xC0045877: "EBUSY EIO EOPNOTSUPP EPERM", 0xC0045878: "EINVAL EIO EOPNOTSUPP EPERM", 0x4004662B: "EIO EROFS EOPNOTSUPP ENOTTY",
             0xC020660B: "EIO EINTR ENOMEM EOPNOTSUPP", 0x1268: "EIO ENOTTY"}
_ANY_REQUEST = "EIO ENOTTY"
# It is done, or half done, and only then fails: a flush that comes back with an error, a file that could not be closed.
_LATE = {"fsync": "EIO", "fdatasync": "EIO", "syncfs": "EIO", "pwrite64": "EIO", "write": "EIO", "close": "EIO EINTR"}
_DEAD_DISK = ("pwrite64", "write", "fsync", "fdatasync", "syncfs", "unlink", "rename", "linkat", "mkdir")
_DEAD_READS = (*_DEAD_DISK, "read", "pread64")
_NO_MEMORY = ("mmap", "brk", "mremap")
_TRANSFERS = ("read", "pread64", "write", "pwrite64")

_F_GETFD = 1
_O_WRONLY, _O_RDWR, _O_CREAT, _O_EXCL, _O_TMPFILE = 1, 2, 0o100, 0o200, 0o20200000 & ~0o200000
_CHANGING = {"pwrite64", "fdatasync", "fsync", "syncfs", "mount", "umount2", "unshare", "move_mount", "fsmount", "fsconfig",
             "clone", "clone3", "vfork", "kill", "wait4", "pipe2", "rename", "linkat", "unlink", "mkdir", "fchmod", "fchown",
             "ftruncate", "flock", "rt_sigprocmask", "fsetxattr", "exit_group"}
_DECISIVE = {"pread64", "openat2", "poll", "pidfd_open"}
_CHANGING_REQUESTS = {0xC0045877, 0xC0045878, 0x4004662B, 0x1261}


class Call(NamedTuple):
    process: int  # 0 is the tool itself, 1 its first child
    number: int  # which call of that process
    nr: int
    args: tuple
    text: str  # the path that it is about

    @property
    def name(self):
        return names().get(self.nr, str(self.nr))

    @property
    def is_direct(self):
        return self.text.startswith("direct:")

    @property
    def is_changing(self):
        if self.name in ("openat", "openat2"):
            return bool(self.args[2] & (_O_WRONLY | _O_RDWR | _O_CREAT | _O_EXCL | _O_TMPFILE)) and self.name == "openat"
        if self.name == "write":
            return self.args[0] > 2
        return self.name in _CHANGING or self.name == "ioctl" and self.args[1] in _CHANGING_REQUESTS

    def __str__(self):
        return f"{self.name}({self.text}) number {self.number}" + (f" of child {self.process}" if self.process else "")


def parse_list(text):
    """The calls in a report of inject, without those that close a descriptor that is not open."""
    found = []
    for line in text.splitlines():
        words = line.split(" ")
        if words[0] == "end":
            break
        process, number, nr = int(words[0]), int(words[1]), int(words[2])
        call = Call(process, number, nr, tuple(int(word, 16) for word in words[3:7]), words[7])
        if call.name != "close" or call.text:
            found.append(call)
    return found


def from_main_on(calls):
    """Without what the loader does before the program starts: to look at its three standard descriptors."""
    start = next(call.number for call in calls if call.process == 0 and call.name == "fcntl")
    return [call for call in calls if call.process != 0 or call.number >= start]


# ---- points ----


class Point(NamedTuple):
    kind: str
    call: Call
    what: str  # for inject

    def __str__(self):
        return f"{self.what} at {self.call}"


def number_of(error):
    return getattr(errno, error)


def _errors_of(call):
    if call.name == "fcntl" and call.args[1] == _F_GETFD:
        return []  # asks whether the descriptor is open, and cannot fail otherwise
    if call.name == "ioctl":
        return _REQUESTS.get(call.args[1] & 0xFFFFFFFF, _ANY_REQUEST).split()
    errors = ERRORS.get(call.name, "").split()
    if call.name == "openat" and call.is_changing:
        errors += ["EROFS", "ENOSPC"] if call.args[2] & (_O_CREAT | _O_TMPFILE) else ["EROFS", "EBUSY"]
    if call.name == "write" and call.args[0] > 2:
        errors.remove("EPIPE")
    return errors


def _short_counts(call):
    """What the kernel may do instead: past the page cache it is whole sectors. libblkid takes a short read of a device
    for its end, which nobody can tell it."""
    size = call.args[2]
    if call.name == "read" and call.text.startswith("/dev/"):
        return []
    if "/sys/power/" in call.text:
        return []  # an attribute is taken whole
    if call.is_direct:
        return sorted({count for count in (512, size // 1024 * 512) if 0 < count < size})
    return sorted({count for count in (1, size // 2, size - 1) if 0 < count < size})


def _points_of_call(call):
    yield Point("kill", call, "kill")
    if call.is_changing and call.process == 0:
        yield Point("term", call, "signal:15")
    for error in _errors_of(call):
        yield Point("error", call, f"error:{number_of(error)}")
    for error in _LATE.get(call.name, "").split():
        yield Point("late", call, f"late:{number_of(error)}")
    if call.name in _TRANSFERS:
        for count in _short_counts(call):
            yield Point("short", call, f"short:{count}")
    if call.is_changing and call.name in _DEAD_DISK:
        for error in ("EIO", "ENOSPC", "EROFS"):
            yield Point("dead", call, dead(error, _DEAD_DISK))
        yield Point("dead", call, dead("EIO", _DEAD_READS))
    if call.name in _NO_MEMORY and call.process == 0:
        yield Point("memory", call, dead("ENOMEM", _NO_MEMORY))


def dead(error, calls):
    return f"dead:{number_of(error)}:" + ",".join(str(numbers()[name]) for name in calls)


def all_points(calls):
    """Every fault at every call. What fails before main is the loader's matter, and what fails in a program that a child
    has become is that program's; that they are killed there is not."""
    in_main = set(from_main_on(calls))
    became = {call.process: call.number for call in calls if call.process != 0 and call.name == "execve"}
    in_main -= {call for call in calls if call.number > became.get(call.process, call.number)}
    return [point for call in calls for point in _points_of_call(call) if point.kind == "kill" or call in in_main]


def some_points(calls, count, seed):
    """COUNT of them, always the same. Four in five are at calls that change something, those right after, and those that
    look at the block, the device or the state of the filesystem to decide."""
    chooser = random.Random(seed)
    points = all_points(calls)
    near = {call for before, call in zip([None, *calls], calls)
            if call.is_changing or before and before.is_changing or call.name in _DECISIVE}
    decisive = [point for point in points if point.call in near]
    rest = [point for point in points if point.call not in near]
    chosen = chooser.sample(decisive, min(len(decisive), count * 4 // 5))
    chosen += chooser.sample(rest, min(len(rest), count - len(chosen)))
    return [point for point in points if point in set(chosen)]
