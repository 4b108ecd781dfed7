# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Finding a device by its UUID among ever more of them.

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
from stage import KIB, MIB, LoopDevice, all_loops, make_sparse, remove_loops
from vm import host

COUNTS = (8, 64, 256, 1024)
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


def contest(crowd, scratch, tools):
    """Among the devices that there are now."""
    name, path = crowd.middle

    def enter(what, *command):
        if (found := host.run(*command).decode().strip()) != str(path):
            raise host.HostError(f"{what}: {found} is not {path}")
        # With strace, this many take too long.
        return Contender(what, lambda _number: tools.stopwatch.time(command))

    return Contest(f"locate, among {len(crowd)}",
                   enter("hibctl locate", tools.hibctl, "locate", f"--hooks={scratch.folder('hooks')}", f"UUID={name}"),
                   enter("one read of each", tools.floor_locate, name),
                   [enter("blkid -U", "blkid", "-c", "/dev/null", "-U", name),
                    enter("findfs", "findfs", f"UUID={name}")])
