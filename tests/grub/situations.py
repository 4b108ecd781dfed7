# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What can be on a machine's disks and in its firmware when it is switched on: descriptions only, drawn with a fixed
seed. Number N of a seed is always the same situation, however many are drawn."""

import dataclasses
import functools
import itertools
import random

SEED = 2

# Each is a question that the verdict depends on; the answers are words that a person understands in a failure.
_COMMON = {
    "layout": ("root", "boot", "fstab"),  # /boot: a folder; a filesystem of its own; likewise, not mounted
    "fs": ("ext4", "xfs", "btrfs", "ext2"),
    "state": ("armed", "taken", "reserved", "leftover", "checksum", "future", "short", "long", "empty"),
    "verify": ("header", "hint"),
    "image": ("present", "swap", "zeros", "uswsusp", "16k", "64k", "64k, said 4k", "16k over 4k", "no device",
              "twice", "beyond", "across the end"),
    "named": ("uuid", "partuuid", "file"),
    "configured": ("same", "other name", "none", "orphan", "another", "other offset", "gone"),
    "kernels": ("present", "no initrd", "kernel gone", "initrd gone", "kernel is a folder", "symlink",
                "absolute symlink", "other fs", "other fs, not mounted", "other fs, twice", "fs gone",
                "configured gone"),
}
BIOS = _COMMON | {
    "label": ("gpt", "msdos"),
    "store": ("env", "bits", "none", "env and bits", "spent env, bits", "broken env, bits", "stale env, bits",
              "hint taken in env, bits", "env, bits taken"),
    "state": _COMMON["state"] + ("duplicate", "straddles", "no block"),
}
EFI = _COMMON | {
    "label": ("gpt",),
    "store": ("efi", "systemd", "efi and systemd", "efi stale, systemd", "efi broken, systemd", "stale env, efi",
              "spent env, systemd", "bits taken, efi", "bits, systemd", "env and efi", "none"),
}
DIMENSIONS = {"bios": BIOS, "efi": EFI}
EFI_EVERY = 9  # a start of UEFI firmware takes as long as six of the other

# For situations in which more than one thing at a time is seldom wrong.
_LIKELY = {"state": {"armed": 30, "taken": 12}, "verify": {"header": 4},
           "image": {"present": 40, "16k": 4, "64k": 4}, "kernels": {"present": 20, "no initrd": 6, "other fs": 6},
           "configured": {"same": 20, "other name": 8, "orphan": 4}, "fs": {"ext4": 3, "xfs": 3, "ext2": 2},
           "store": {"env": 10, "bits": 10, "efi": 10, "systemd": 10, "env, bits taken": 3, "efi and systemd": 3}}


@dataclasses.dataclass(frozen=True)
class Situation:
    number: int | str
    firmware: str
    layout: str
    fs: str
    label: str
    store: str
    state: str
    verify: str
    image: str
    named: str
    configured: str
    kernels: str
    module: str = "there"

    def __str__(self):
        return (f"{self.number}: {self.firmware}, {self.label}, {self.layout} on {self.fs}; mark in [{self.store}], "
                f"{self.state}, {self.verify}; image: {self.image}, by {self.named}; grub.cfg's device: "
                f"{self.configured}; kernels: {self.kernels}; GRUB's module: {self.module}")

    @property
    def name(self):
        return str(self).replace("/", "-")


def _is_possible(choice):
    return not (choice["named"] == "partuuid" and choice["image"] == "twice")


def _pairs(choice):
    return set(itertools.combinations(sorted(choice.items()), 2))


def all_pairs(firmware):
    """Every two answers to two questions that can come together."""
    pairs = set()
    for (one, answers), (other, others) in itertools.combinations(sorted(DIMENSIONS[firmware].items()), 2):
        pairs |= {((one, a), (other, b)) for a in answers for b in others}
    return pairs - {(("image", "twice"), ("named", "partuuid"))}


class _Drawer:
    """Draws choices for one kind of firmware. Every fourth (UEFI: second) is a likely one; the others are the best of
    many at covering pairs of answers that have not come together yet, until all have."""

    CANDIDATES = 100

    def __init__(self, firmware, seed):
        self.likely_every = 2 if firmware == "efi" else 4
        self.dimensions = DIMENSIONS[firmware]
        self.random = random.Random(f"{seed} {firmware}")
        self.missing = all_pairs(firmware)
        self.turn = 0

    def _one(self, fixed, likely):
        choice = dict(fixed)
        for question, answers in self.dimensions.items():
            if question not in choice:
                weights = [_LIKELY.get(question, {}).get(answer, 1) if likely else 1 for answer in answers]
                choice[question] = self.random.choices(answers, weights)[0]
        return choice

    def _possible(self, fixed=(), likely=False):
        while not _is_possible(choice := self._one(fixed, likely)):
            pass
        return choice

    def next(self):
        self.turn += 1
        if self.turn % self.likely_every == 1 or not self.missing:
            choice = self._possible(likely=True)
        else:
            missing = sorted(self.missing)
            candidates = [self._possible(self.random.choice(missing)) for _ in range(self.CANDIDATES)]
            choice = max(candidates, key=lambda candidate: len(_pairs(candidate) & self.missing))
        self.missing -= _pairs(choice)
        return choice


@functools.cache
def draw(count, seed=SEED):
    """The first COUNT situations."""
    drawers = {firmware: _Drawer(firmware, seed) for firmware in DIMENSIONS}
    out = []
    for number in range(count):
        firmware = "efi" if number % EFI_EVERY == EFI_EVERY - 1 else "bios"
        out.append(Situation(number=number, firmware=firmware, **drawers[firmware].next()))
    return tuple(out)


def pairs_of(situations, firmware):
    """What of all_pairs has been drawn."""
    found = set()
    for situation in situations:
        if situation.firmware == firmware:
            choice = {question: getattr(situation, question) for question in DIMENSIONS[firmware]}
            found |= _pairs(choice)
    return found


# ---- situations in which tool and GRUB did not agree once ----

_PLAIN = {"firmware": "bios", "layout": "boot", "fs": "ext4", "label": "gpt", "store": "env", "state": "armed",
          "verify": "header", "image": "present", "named": "uuid", "configured": "same", "kernels": "present"}
_DEFECTS = {
    "folder": {"kernels": "kernel is a folder"},  # was taken for a kernel
    "link": {"kernels": "absolute symlink"},  # was followed from the root of the running system
    "hint": {"verify": "hint", "kernels": "other fs, not mounted"},  # "the kernel is gone", and GRUB found it
    "fs-gone": {"kernels": "fs gone"},  # "unknown", and it could be told
    "fs-twice": {"kernels": "other fs, twice"},
    "end": {"image": "across the end"},  # "stale" where the device ends inside the page
    "sizes": {"image": "16k over 4k"},  # the smaller one was believed, whatever the mark said
    # Where the module is missing, a script does what it can; status took it for the module.
    "script": {"module": "missing"},
    "script-stale": {"module": "missing", "image": "swap"},
    "script-tried": {"module": "missing", "state": "taken"},
    "script-damaged": {"module": "missing", "state": "checksum"},
    "script-bits": {"module": "missing", "store": "bits"},
    "script-nothing": {"module": "missing", "store": "none", "image": "swap"},
    "no-swap": {"store": "bits", "image": "zeros", "named": "partuuid"},  # boot bits that only GRUB read
}
DEFECTS = [Situation(number=name, **_PLAIN | more) for name, more in _DEFECTS.items()]
