# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""From the writes to a disk, the states that a power cut could leave.

The model is that of a disk with a cache of its own: what was written before a flush is there; of what was written since
the last one, each write may be there, be missing, or be there in part, in any order. A sector of 512 bytes is written
whole or not at all. From that:

- every prefix, sector by sector: the disk writes in the order in which it was told to;
- of the writes between two flushes every subset, if there are 12 or fewer, else each alone, all but each, and subsets by
  chance;
- inside a larger write every end without its beginning, and parts by chance, beside all, none and the earlier ones of the
  other writes.

Chance has a fixed seed. States with the same bytes count once."""

import array
import random
from dataclasses import dataclass, field

SECTOR = 512
EXHAUSTIVE = 12


class Versions:
    """The contents that each sector has had. Number None is the one in the base."""

    def __init__(self, base):
        self._base = base  # sector -> its bytes
        self.all = []  # (sector, bytes)
        self._numbers = {}

    def number(self, sector, data):
        key = sector, data
        if key not in self._numbers:
            if data == self._base(sector):
                self._numbers[key] = None
            else:
                self._numbers[key] = len(self.all)
                self.all.append(key)
        return self._numbers[key]


@dataclass
class Epoch:
    """The writes between two flushes, each a list of (sector, number of a version). DONE: how many of them the program had
    made when it ended; None if that was in another epoch."""

    writes: list = field(default_factory=list)
    done: int = None
    after: bool = False  # all of it came after the program's end


@dataclass(frozen=True)
class State:
    """VERSIONS: numbers, as they differ from the base. LATE: the program had ended; what it promised must hold.
    ORDERED: the disk has kept to the order of the writes. TORN: of the filesystem's superblock only a part is new."""

    versions: tuple
    late: bool
    ordered: bool
    torn: bool


def epochs(writes, done, versions):
    """DONE: how many of the WRITES came before the program's end."""
    out = [Epoch()]
    for i, write in enumerate(writes):
        if i == done:
            out[-1].done = len(out[-1].writes)
        if write.is_flush:
            out.append(Epoch(after=i >= done))
            continue
        sectors = [(write.sector + at // SECTOR, write.data[at : at + SECTOR]) for at in range(0, len(write.data), SECTOR)]
        out[-1].writes.append([(sector, versions.number(sector, data)) for sector, data in sectors])
    if done == len(writes):
        out[-1].done = len(out[-1].writes)
    return out


def _apply(disk, write, mask=None):
    """A disk is a dict from a sector to a version. MASK: only these sectors of the write."""
    for i, (sector, version) in enumerate(write):
        if mask is not None and not mask >> i & 1:
            continue
        if version is None:
            disk.pop(sector, None)
        else:
            disk[sector] = version


def prefixes(all_epochs, longest):
    """Yields (disk, late). The disk is the same object each time. Of a write of more than LONGEST sectors only so many
    prefixes."""
    disk, late = {}, False
    for epoch in all_epochs:
        late = late or epoch.after or epoch.done == 0
        yield disk, late
        for i, write in enumerate(epoch.writes):
            step = max(len(write) // longest, 1)
            for at in range(0, len(write), step):
                _apply(disk, write[at : at + step])
                yield disk, late
            if epoch.done == i + 1:
                late = True
                yield disk, late


# ---- writes in another order, or in part ----


@dataclass(frozen=True)
class Choice:
    """What of an epoch has reached the disk: a bit for each write, and of write TORN only the sectors of MASK."""

    epoch: int
    writes: int
    torn: int = None
    mask: int = 0


def _subsets(count, rng, samples):
    if count <= EXHAUSTIVE:
        return range(1 << count)
    everything = (1 << count) - 1
    some = [0] + [1 << i for i in range(count)] + [everything & ~(1 << i) for i in range(count)]
    return some + [rng.getrandbits(count) for _ in range(samples)]


def _tears(epoch, rng, samples):
    for i, write in enumerate(epoch.writes):
        sectors = len(write)
        if sectors == 1:
            continue
        whole = (1 << sectors) - 1
        if sectors <= 4:
            masks = set(range(1, whole))
        else:
            masks = {whole >> n << n for n in (range(1, sectors) if sectors <= 16 else (1, 2, sectors - 1))}
            masks |= {rng.getrandbits(sectors) for _ in range(samples)}
        others = {0, (1 << i) - 1, (1 << len(epoch.writes)) - 1}
        others |= {rng.getrandbits(len(epoch.writes)) for _ in range(2)}
        for rest in others:
            for mask in masks - {0, whole}:
                yield rest & ~(1 << i), i, mask


def choices(all_epochs, rng, samples, limit):
    """The subsets, and tears beside them; of both, which may be very many, LIMIT at most."""
    subsets = [Choice(number, writes) for number, epoch in enumerate(all_epochs)
               for writes in _subsets(len(epoch.writes), rng, samples)]
    tears = [Choice(number, *tear) for number, epoch in enumerate(all_epochs) for tear in _tears(epoch, rng, samples)]
    for some in (subsets, tears):
        yield from some if len(some) <= limit else rng.sample(some, limit)


def _disk_of(choice, epoch, before):
    disk = dict(before)
    for i, write in enumerate(epoch.writes):
        if i == choice.torn:
            _apply(disk, write, choice.mask)
        elif choice.writes >> i & 1:
            _apply(disk, write)
    return disk


def _is_late(epoch):
    """Whether the power may have been cut after the program's end, whatever of the epoch is there: at its end at the
    earliest."""
    return epoch.after or epoch.done is not None


def _superblock(disk, sectors):
    return tuple(disk.get(sector) for sector in sectors)


def whole_superblocks(all_epochs, sectors):
    """The versions of these sectors that have ever been on the disk together."""
    disk = {}
    found = {_superblock(disk, sectors)}
    for epoch in all_epochs:
        for write in epoch.writes:
            _apply(disk, write)
            found.add(_superblock(disk, sectors))
    return found


def crash_states(writes, done, base, limit, superblock=(), seed=1, samples=64, longest=64):
    """The states that writes could leave, and the versions that they are made of. DONE: how many writes came before the
    program's end. BASE(sector): its bytes before. LIMIT: how many subsets, and how many tears, are tried at most; the
    prefixes are always there. SUPERBLOCK: the sectors that the kernel writes together, and of which it cannot bear to lose one."""
    versions = Versions(base)
    all_epochs = epochs(writes, done, versions)
    found = {}

    def add(disk, late, ordered):
        key = array.array("I", sorted(disk.values())).tobytes()
        was = found.get(key, (False, False))
        found[key] = (was[0] or late, was[1] or ordered)

    for disk, late in prefixes(all_epochs, longest):
        add(disk, late, True)

    rest = sorted(choices(all_epochs, random.Random(seed), samples, limit), key=lambda choice: choice.epoch)
    before, reached = {}, 0
    for choice in rest:
        while reached < choice.epoch:
            for write in all_epochs[reached].writes:
                _apply(before, write)
            reached += 1
        epoch = all_epochs[choice.epoch]
        add(_disk_of(choice, epoch, before), _is_late(epoch), False)

    whole = whole_superblocks(all_epochs, superblock)
    states = []
    for key, (late, ordered) in found.items():
        numbers = tuple(array.array("I", key))
        disk = {sector: number for number in numbers if (sector := versions.all[number][0]) in superblock}
        states.append(State(numbers, late, ordered, _superblock(disk, superblock) not in whole))
    return states, versions.all
