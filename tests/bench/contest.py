# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Contests: several programs that do the same work, each measured many times, by turns."""

import random
import statistics
import subprocess
from dataclasses import dataclass, field

from vm import host


@dataclass
class Run:
    """What one run took; None where that is not known."""

    ms: float
    cpu_ms: float = None
    peak_kib: int = None
    sectors: int = None  # written
    flushes: int = None
    read_kib: int = None
    grub_reads_it: bool = None


@dataclass(eq=False)
class Contender:
    """A program in a contest. MEASURE(round) does the work once and returns a Run; PREPARE() comes before it, untimed;
    COUNT_SYSCALLS() does the work once more. WAIT_FOR_GRUB(round), where there is one, does the work too and returns a
    Wait."""

    name: str
    measure: callable
    prepare: callable = lambda: None
    count_syscalls: callable = lambda: None
    wait_for_grub: callable = None
    runs: list = field(default_factory=list)
    syscalls: int = None
    delays: list = field(default_factory=list)  # seconds until GRUB read it; infinite where it never did

    def median(self, what):
        values = [getattr(run, what) for run in self.runs]
        return statistics.median(values) if values and None not in values else None

    @property
    def delay(self):
        return max(self.delays, default=None)

    @property
    def times_grub_read_it(self):
        seen = [run.grub_reads_it for run in self.runs]
        return sum(seen) if seen and None not in seen else None


@dataclass
class Contest:
    """One kind of work: the tool, the floor that it is measured against, and what else does the same. Contests of one
    SERIES differ in SIZE only; the first of them is the one that growth is measured against."""

    work: str
    ours: Contender
    floor: Contender
    peers: list = field(default_factory=list)
    series: str = None
    size: int = None
    variable_writes: dict = field(default_factory=dict)  # of EFI variables, for each thing that writes some

    @property
    def contenders(self):
        return [self.ours, self.floor, *self.peers]


def hold(contests, rounds, pause=lambda: None, progress=lambda done: None):
    """Runs all contenders of all contests ROUNDS times. They take turns, in another order each time, so that whatever
    else the machine does hits all alike. PAUSE() comes after the preparations of a round."""
    # One that stands in several contests runs once.
    everyone = list(dict.fromkeys(contender for contest in contests for contender in contest.contenders))
    shuffle = random.Random(0).shuffle
    for number in range(rounds):
        for contender in everyone:
            contender.prepare()
        pause()
        shuffle(everyone)
        for contender in everyone:
            contender.runs.append(contender.measure(number))
        progress(number + 1)
    for contender in everyone:
        contender.prepare()
        contender.syscalls = contender.count_syscalls()


class Stopwatch:
    """Measures programs from outside."""

    def __init__(self, program):
        self.program = program

    def time(self, argv, statuses=(0,)):
        """A program must end with one of STATUSES."""
        done = subprocess.run([self.program, *argv], capture_output=True, text=True, check=False)
        numbers = [int(word) for word in done.stdout.split()]
        if done.returncode != 0 or numbers[3] not in statuses:
            raise host.HostError(f"{' '.join(map(str, argv))}: {numbers[3:]}: {done.stderr.strip()}")
        return Run(ms=numbers[0] / 1e6, cpu_ms=numbers[1] / 1e3, peak_kib=numbers[2])

    @staticmethod
    def count_syscalls(argv):
        """System calls of a program and of all that it starts."""
        log = host.run("strace", "-f", "-qq", "-e", "signal=none", "-o", "!cat", *argv).decode(errors="replace")
        return sum("(" in line and "resumed>" not in line for line in log.splitlines())
