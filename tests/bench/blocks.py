# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Environment blocks of many sizes, on ext4: a variable is set to another value of the same length, all are listed, a
mark is written. Three quarters of a block are filled with variables; the one that is set comes last."""

from contest import Contender, Contest
from marks import contender, finish_setup, letter
from stage import KIB, Filesystem, Machine, make_kernel
from vm import envblock

SIZES = (512, KIB, 4 * KIB, 16 * KIB, 64 * KIB)  # the largest that hibctl takes
_LAST = "last"


def describe(size):
    return f"block of {size} B" if size < KIB else f"block of {size // KIB} KiB"


def _fill(size, reserve=0):
    """A block of SIZE with room for RESERVE bytes more."""
    variables, room = {}, min(size * 3 // 4, size - reserve - 16) - len(envblock.SIGNATURE) - len(f"{_LAST}=x\n")
    while room >= 32:
        name = f"v{len(variables):05}"
        variables[name] = "x" * (32 - len(f"{name}=\n"))
        room -= 32
    return envblock.make({**variables, _LAST: "-"}, size)


class Stand:
    """A filesystem for each that writes, the same for all sizes of the block."""

    def __init__(self, stack, scratch, tools):
        self._tools = tools
        self._machine = Machine(stack, scratch)
        self._boot = Filesystem(stack, scratch, "ext4", self._machine.boot)
        make_kernel(self._machine.boot)
        self._hibctl = [tools.hibctl, "--quiet", f"--root={self._machine.root}"]
        self._others = {name: Filesystem(stack, scratch, "ext4") for name in ("ours", "floor", "editenv", "mark")}

    def contests(self, size):
        for fs in self._others.values():
            fs.put_block(_fill(size))
        self._boot.put_block(_fill(size, reserve=420))
        finish_setup(self._hibctl, self._boot)
        return [self._set(size), self._list(size), self._mark(size)]

    def _set(self, size):
        hibctl, last = self._tools.hibctl, f"{_LAST}="
        return Contest(
            f"env set, {describe(size)}",
            self._write("hibctl env set", "ours", lambda env, n: [hibctl, "-q", "env", env, "set", last + letter(n)]),
            self._pwrite("floor"),
            [self._write("grub-editenv set", "editenv", lambda env, n: ["grub-editenv", env, "set", last + letter(n)])],
            "env set", size)

    def _list(self, size):
        env = self._others["ours"].env_path
        return Contest(
            f"env list, {describe(size)}",
            self._read("hibctl env list", self._tools.hibctl, "env", env, "list"),
            self._read("cat", "cat", env),
            [self._read("grub-editenv list", "grub-editenv", env, "list")],
            "env list", size)

    def _mark(self, size):
        ours = contender(self._tools, "hibctl mark", self._boot, lambda _number: [*self._hibctl, "mark"],
                         self._boot.quiesce)
        return Contest(f"mark, {describe(size)}", ours, self._pwrite("mark"), [], "mark, block", size)

    def _pwrite(self, which):
        return self._write("pwrite, fdatasync", which, lambda env, n: [self._tools.floor_pwrite, env, letter(n)])

    def _write(self, name, which, command):
        fs = self._others[which]
        return contender(self._tools, name, fs, lambda number: command(fs.env_path, number), fs.quiesce)

    def _read(self, name, *argv):
        return Contender(name, lambda _number: self._tools.stopwatch.time(argv),
                         count_syscalls=lambda: self._tools.stopwatch.count_syscalls(argv))
