# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Finding a device by its UUID among ever more of them, and writing a mark, which looks at all of them too.

Every second one is a swap area, the others are ext2; each has a UUID of its own, and the one that is looked for stands
in the middle. All are sparse files in memory, not pieces of one: a partition that somebody left on a loop device could
reach into the next piece. Reading costs next to nothing. blkid and findfs neither read nor write a cache, as if they
were called for the first time since power-on, and do not see udev's links: as it is in a save kernel. They look at all
devices too, but take one that carries the name even if there are others."""

import os
import resource
import uuid
from pathlib import Path

from contest import Contender, Contest
from marks import contender, finish_setup, letter
from stage import KIB, MIB, Filesystem, LoopDevice, Machine, all_loops, make_kernel, make_sparse, remove_loops
from vm import host

COUNTS = (1, 16, 128, 1024)
_UDEV_LINKS = Path("/dev/disk")
_SIZE = 4 * MIB  # libblkid looks less closely at what is as small as a floppy
_HEAD = 64 * KIB
_UUID_AT = {"swap": 0x40C, "ext2": 0x468}


def _make_patterns(scratch):
    """The first bytes of a swap area and of an ext2 filesystem."""
    patterns = {}
    for kind, command in (("swap", ("mkswap",)), ("ext2", ("mkfs.ext2", "-q", "-m", "0"))):
        image = scratch.folder("pattern") / kind
        make_sparse(image, _SIZE)
        host.run(*command, image)
        patterns[kind] = image.read_bytes()[:_HEAD]
    return patterns


def hide_from_peers(scratch):
    """What they would answer from without looking at the devices."""
    os.environ["BLKID_FILE"] = "/nonexistent/blkid.tab"
    if _UDEV_LINKS.exists():
        host.run("mount", "--bind", scratch.folder("disk"), _UDEV_LINKS)


class Crowd:
    """Many block devices."""

    def __init__(self, stack, scratch):
        self._stack = stack
        self._patterns = _make_patterns(scratch)
        self._folder = scratch.folder("crowd")
        self._members = []  # (UUID, path)
        before = all_loops()
        stack.callback(lambda: remove_loops({path for _, path in self._members if path not in before}))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def __len__(self):
        return len(self._members)

    @property
    def middle(self):
        return self._members[len(self) // 2]

    def grow(self, size):
        """Makes them SIZE, or as many as there can be."""
        for number in range(len(self), size):
            name, image = uuid.uuid4(), self._folder / str(number)
            make_sparse(image, _SIZE)
            with image.open("r+b") as file:
                file.write(self._make_head(("swap", "ext2")[number % 2], name))
            try:
                device = LoopDevice(image)
            except OSError:
                return
            self._stack.callback(device.close)
            self._members.append((str(name), device.path))

    def _make_head(self, kind, name):
        head, at = bytearray(self._patterns[kind]), _UUID_AT[kind]
        head[at : at + len(name.bytes)] = name.bytes
        return head


def locate(crowd, scratch, tools):
    """Among the devices that there are now."""
    name, path = crowd.middle

    def enter(what, *command):
        if (found := host.run(*command).decode().strip()) != str(path):
            raise host.HostError(f"{what}: {found} is not {path}")
        # With strace, this many take too long.
        return Contender(what, lambda _number: tools.stopwatch.time(command))

    return Contest(_among("locate", crowd),
                   enter("hibctl locate", tools.hibctl, "locate", f"--hooks={scratch.folder('hooks')}", f"UUID={name}"),
                   enter("one read of each", tools.floor_locate, name),
                   [enter("blkid -U", "blkid", "-c", "/dev/null", "-U", name),
                    enter("findfs", "findfs", f"UUID={name}")], "locate", len(crowd))


def _among(what, crowd):
    return f"{what}, among {len(crowd)} device{'s' if len(crowd) > 1 else ''}"


class Marker:
    """A machine with ext4 on its boot filesystem, whose devices come on top of the crowd."""

    def __init__(self, stack, scratch, tools):
        self._tools = tools
        self._machine = Machine(stack, scratch)
        self._boot = Filesystem(stack, scratch, "ext4", self._machine.boot)
        self._other = Filesystem(stack, scratch, "ext4")
        self._hibctl = [tools.hibctl, "--quiet", f"--root={self._machine.root}"]
        make_kernel(self._machine.boot)
        finish_setup(self._hibctl, self._boot)
        host.run(*self._hibctl, "mark")

    def contests(self, crowd):
        floor, nobody = self._tools.floor_locate, str(uuid.uuid4())
        mark = Contest(
            _among("mark", crowd),
            self._write("hibctl mark", self._boot, lambda _number: [*self._hibctl, "mark"]),
            self._write("one read of each, pwrite, fdatasync", self._other,
                        lambda number: [floor, nobody, self._other.env_path, letter(number)]),
            [], "mark", len(crowd))
        status = Contest(
            _among("status", crowd),
            self._read("hibctl status", [*self._hibctl, "status"], 0),
            self._read("one read of each", [floor, nobody], 2),
            [], "status", len(crowd))
        return [mark, status]

    def _write(self, name, fs, command):
        made = contender(self._tools, name, fs, command, fs.quiesce)
        made.count_syscalls = lambda: None  # with strace, this many take too long
        return made

    def _read(self, name, argv, status):
        return Contender(name, lambda _number: self._tools.stopwatch.time(argv, [status]))
