# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""How long it takes until GRUB reads what was written: at once, or when the kernel happens to write it out.

The disk is looked at beneath the kernel, in the image file, so that looking does not hasten anything; and nothing else
touches the filesystem meanwhile, which might write it out. A "sync" of anybody on this machine writes out all
filesystems, and so does the kernel when much is to be written; a tripwire tells, and the round is repeated."""

import math
import sys
import time
from pathlib import Path

PATIENCE_S = 60
_PAUSE_S = 0.1
_REPEAT = 2
_EXPIRE = Path("/proc/sys/vm/dirty_expire_centisecs")  # so old is what the kernel writes out by itself


class Wait:
    """A program that has been run at START; IS_SEEN() asks GRUB."""

    def __init__(self, start, is_seen):
        self._start, self._is_seen = start, is_seen
        self.seconds = None
        self.look()

    def look(self):
        asked = time.monotonic()
        if self._is_seen():
            self.seconds = asked - self._start
        elif asked - self._start > PATIENCE_S:
            self.seconds = math.inf
        return self.seconds is not None


class Tripwire:
    """A file that nobody writes out, on ext2, where everything that is synced is seen at once."""

    def __init__(self, fs):
        self._fs = fs

    def draw(self, number):
        self._fs.quiesce()
        block = self._fs.env_path.read_bytes()[:-8] + f"{number:08}".encode()
        self._fs.put_block(block)
        return Wait(time.monotonic(), lambda: self._fs.seen_by_grub() == block)


def _hold_once(everyone, tripwire, number):
    """False if something was written out early."""
    for contender in everyone:
        contender.prepare()
    wire = tripwire.draw(number)
    waits = [contender.wait_for_grub(number) for contender in everyone]
    while not all([wait.seconds is not None or wait.look() for wait in (*waits, wire)]):
        time.sleep(_PAUSE_S)
    for contender, wait in zip(everyone, waits, strict=True):
        contender.delays.append(wait.seconds)
    return wire.seconds > int(_EXPIRE.read_text(encoding="ascii")) / 100 - 1


def hold(contests, rounds, tripwire, progress=lambda done: None):
    """One program after the other is run, each on its own filesystem; then they are waited for together."""
    everyone = [contender for contest in contests for contender in contest.contenders if contender.wait_for_grub]
    done = 0
    for number in range(rounds + _REPEAT):
        done += _hold_once(everyone, tripwire, number)
        progress(done)
        if done == rounds:
            return
    print(f"wait: the kernel was made to write out early (by sync?); only {done} of {rounds} rounds were left alone, and "
          "the times may be too short", file=sys.stderr)


def tell(waited, contests):
    """Notes in CONTESTS what WAITED, contests too, have found out. Those of WAITED that are not among them are
    returned."""
    timed = {(contest.work, contender.name): contender for contest in contests for contender in contest.contenders}
    for contest in waited:
        for contender in contest.contenders:
            if (contest.work, contender.name) in timed:
                timed[contest.work, contender.name].delays = contender.delays
    works = {contest.work for contest in contests}
    return [contest for contest in waited if contest.work not in works]
