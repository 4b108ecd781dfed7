# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Faults at chosen system calls of the tool, by strace."""

import re
import subprocess
from collections import Counter
from typing import NamedTuple

from .rig import NO_UEFI, PATH, Result

# Calls that leave something outside the process in another state than before.
_CHANGING = re.compile(r"""
    ^(pwrite64|write|fdatasync|fsync|syncfs|sync|mount|umount2|unshare|move_mount|fsmount|fsconfig|clone3?|vfork|kill|wait4
      |pipe2|rename\w*|link|linkat|symlink\w*|unlink\w*|f?chmod\w*|f?chown\w*|ftruncate|fallocate|flock|rt_sigprocmask
      |fsetxattr|exit_group)\(
    | ^openat2?\(.*O_(RDWR|WRONLY|CREAT|TMPFILE|EXCL)
    | ^ioctl\(\d+,\ (FIFREEZE|FITHAW|BLKFLSBUF|_IOC\(_IOC_WRITE,\ 0x66,\ 0x2b)  # the last: write the journal out
""", re.VERBOSE)
# Calls that look at the file, at the mounts or at the device for the decision what to do; the rest is done many times
# over, mostly when devices are searched for a tag, and one in so many is enough.
_DECISIVE = {"pread64", "access", "openat2", "poll", "pidfd_open", "statfs", "fcntl", "getrandom"}
_ONE_IN = Counter({"read": 100, "lseek": 200})
_ONE_IN_OTHERS = 15
# No disk and no kernel makes these fail; or nothing could be done about it.
_NEVER_FAIL = {"rt_sigprocmask", "exit_group", "wait4", "kill", "close", "brk", "mmap", "munmap", "mprotect", "fadvise64",
               "getpid", "geteuid", "uname", "futex", "clock_nanosleep"}

_CALL = re.compile(r"^(\d+) +(([a-z0-9_]+)\(.*)")


class Call(NamedTuple):
    name: str
    number: int  # how often it was called, counted from the start of the program: what strace's "when" means
    changing: bool
    marked: bool = False  # it is about what was asked for


def calls(argv, log, env=None, about=None):
    """The system calls that the tool's main process makes in one good run, from the lock on. ABOUT: a text in the calls
    that are wanted."""
    names = ["-y"] if about else []  # of the files behind descriptors
    done = subprocess.run(["strace", "-f", "-qq", *names, "-o", log, *argv], check=False, capture_output=True,
                          env={"PATH": PATH, "LC_ALL": "C", **NO_UEFI, **(env or {})}, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 0, done.stderr
    counts, found, process, locked = Counter(), [], None, False
    for line in log.read_text(errors="replace").splitlines():
        call = _CALL.match(line)
        process = process or call[1]
        if not call or call[1] != process:
            continue
        counts[call[3]] += 1
        locked = locked or "/run/hibctl.lock" in line
        if locked:
            found.append(Call(call[3], counts[call[3]], bool(_CHANGING.match(call[2])), bool(about and about in call[2])))
    assert about or {"flock", "fdatasync", "fsync"} & {call.name for call in found}, "this is no log of a run that writes"
    return found


def _thin_out(points):
    seen = Counter()
    for call in points:
        seen[call.name] += not call.changing
        if call.changing or call.name in _DECISIVE or seen[call.name] % (_ONE_IN[call.name] or _ONE_IN_OTHERS) == 1:
            yield call


def points_for_errors(found):
    return [call for call in _thin_out(found) if call.name not in _NEVER_FAIL]


def points_for_signals(found):
    """The calls that change something, and the first one after each: between two such nothing makes a difference."""
    return [call for before, call in zip(found, found[1:]) if before.changing or call.changing]


def inject(argv, call, what, seconds=30, env=None):
    """Runs the tool with a fault at that call. Ends when all of its processes have ended."""
    quick = ["--seccomp-bpf"] if what.startswith("error") else []  # it loses signals
    command = ["strace", "-f", "-qq", "-o", "/dev/null", *quick, "-e", f"trace={call.name}",
               "-e", f"inject={call.name}:{what}:when={call.number}", *argv]
    done = subprocess.run(command, env={"PATH": PATH, "LC_ALL": "C", **NO_UEFI, **(env or {})}, check=False, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=seconds)
    return Result(command, done.returncode, done.stdout, done.stderr)
