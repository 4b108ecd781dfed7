# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Has states of a disk judged by judge.c, and names what the judges say."""

import array
import os
import re
import struct
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cli import envblock, rig

from . import kinds

UNREADABLE, NOT_FOUND = -1, -2  # as in judge.c

OLD, NEW, BETWEEN = "old", "new", "between"
NO_MOUNT = "does not mount: "


def build(folder):
    program = folder / "judge"
    rig.run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, Path(__file__).with_name("judge.c"))
    return program


@dataclass(frozen=True)
class Said:
    """About one state. GRUB, LINUX: the bytes that were read; None for a file that is not there; a text for another
    error. Or not asked: ..."""

    grub: object
    linux: object
    fsck: object


def write_states(folder, states, versions):
    """The two files that judge.c reads."""
    with (folder / "versions").open("wb") as file:
        for sector, data in versions:
            file.write(struct.pack("=Q", sector) + data)
    with (folder / "states").open("wb") as file:
        for state in states:
            file.write(struct.pack("=I", len(state.versions)))
            array.array("I", state.versions).tofile(file)
    return folder / "versions", folder / "states"


def _number(word):
    return ... if word == "-" else int(word)


def read_verdicts(text):
    contents = {}

    def content(number):
        return contents[number] if number >= 0 else None

    for line in text.splitlines():
        word, *rest = line.split(" ")
        if word == "content":
            contents[int(rest[0])] = bytes.fromhex(rest[1])
            continue
        grub, mount_error, linux, fsck = map(_number, rest)
        if grub is not ...:
            grub = "unreadable" if grub == UNREADABLE else content(grub)
        if mount_error is not ... and mount_error != 0:
            linux = f"{NO_MOUNT}{os.strerror(mount_error)}"
        elif linux is not ... and linux < 0:
            linux = None if linux == -2 else os.strerror(-linux)  # -ENOENT
        elif linux is not ...:
            linux = content(linux)
        yield Said(grub, linux, fsck)


def judge(program, folder, base, states, versions, grub_file, kernel=None):
    """What is said of each state, and what the checker said when it first found something. KERNEL: (type, path of the file on the filesystem), if that is to be mounted and checked,
    too."""
    scratch = folder / "state"
    scratch.touch()
    os.truncate(scratch, base.stat().st_size)
    argv = [program, base, scratch, *write_states(folder, states, versions), "--grub", grub_file]
    device = None
    try:
        if kernel:
            type_, path = kernel
            device = rig.run("losetup", "--find", "--show", scratch).stdout.decode().strip()
            mount_point = folder / "judged"
            mount_point.mkdir(exist_ok=True)
            argv += ["--kernel", device, mount_point, type_, kinds.MOUNT_OPTIONS.get(type_, ""), path.lstrip("/"),
                     "--fsck", *kinds.checker(type_)]
        done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              env={"PATH": rig.PATH, "LC_ALL": "C"}, text=True)
        assert done.returncode == 0, done.stderr
    finally:
        if device:
            rig.run("losetup", "--detach", device)
    said = list(read_verdicts(done.stdout))
    assert len(said) == len(states)
    return said, done.stderr


# ---- names for what they say ----


def name_of(content, old, new, between):
    """What a block is, compared with the one before and the one after."""
    if isinstance(content, str):
        return content
    if content == new:
        return NEW
    if content == old:
        return OLD
    if content is None:
        return "not found"
    if not content:
        return "empty"
    if between and between(content, old, new):
        return BETWEEN
    return "mixed" if envblock.is_sound(content) else "invalid"


@dataclass
class Tally:
    """How many states there were of each kind, and those that must not be."""

    states: int = 0
    late: int = 0
    grub: Counter = field(default_factory=Counter)
    linux: Counter = field(default_factory=Counter)
    late_grub: Counter = field(default_factory=Counter)
    late_linux: Counter = field(default_factory=Counter)
    damaged: int = 0
    taken: int = 0  # late states in which GRUB has then taken the mark
    torn: int = 0  # the kernel does not mount them, for a superblock that was written in part
    examples: dict = field(default_factory=dict)  # what is wrong -> the number of the first such state

    def add(self, number, state, said, old, new, between=None):
        """BETWEEN(content, old, new): whether something else than the two is right."""
        self.states += 1
        self.late += state.late
        fine = {OLD, NEW} | ({BETWEEN} if between else set())
        grub = name_of(said.grub, old, new, between)
        self._count("GRUB", self.grub, self.late_grub, grub, state.late, fine, number)
        if said.linux is ...:
            return
        linux = name_of(said.linux, old, new, between)
        if state.torn and linux.startswith(NO_MOUNT):
            self.torn += 1
            return
        self._count("Linux", self.linux, self.late_linux, linux, state.late, fine, number)
        if said.fsck != 0:
            self.damaged += 1
            self.examples.setdefault("damaged", number)

    def add_taken(self, number, state, said, taken):
        """GRUB has taken the mark in this state; the journal must not bring it back."""
        if said.grub != taken:
            self.examples.setdefault("GRUB: not taken", number)
        if said.linux != taken and not (state.torn and isinstance(said.linux, str)):
            self.examples.setdefault("Linux: not taken", number)
        self.taken += 1

    def _count(self, who, counts, late_counts, name, late, fine, number):
        counts[name] += 1
        if late:
            late_counts[name] += 1
        if name not in fine:
            self.examples.setdefault(f"{who}: {name}", number)
        elif late and name != NEW:
            self.examples.setdefault(f"{who}: {name} after the program's end", number)


def first_sector(disk, grub_file):
    """Of a file, as GRUB finds it."""
    said = rig.run("grub-fstest", disk, "blocklist", grub_file).stdout.decode()
    return int(re.match(r"(\d+)[+\[]", said.strip().split(")")[-1])[1])


def copy_sparse(source, target):
    rig.run("cp", "--sparse=always", "--reflink=never", source, target)


def materialize(base, state, versions, target):
    """Makes the disk of one state, for somebody to look at."""
    copy_sparse(base, target)
    with target.open("r+b") as file:
        for number in state.versions:
            sector, data = versions[number]
            file.seek(sector * len(data))
            file.write(data)
