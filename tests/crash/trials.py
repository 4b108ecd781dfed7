# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What is tried: which program on which filesystem, and how many states of each. And how one trial is run, to a row of
the table."""

import itertools
import json
import lzma
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cli import rig

from . import guest, judging, lab, loader
from .writers import OURS, PEERS, WRITERS

BY_GRUB = "taken by GRUB"
EVERYWHERE = ["ext2", "ext2-4k", "ext3", "ext4", "ext4-4k", "ext4-old", "ext4-journal", "ext4-writeback", "ext4-nojournal",
              "xfs", "xfs-noreflink"]
LOADED = ["ext2", "ext4", "xfs", loader.FAT16, loader.FAT32, loader.BOOTBITS]
# What a machine may do that is busy; the other writers have the filesystem for themselves.
MOUNTED = [writer.name for writer in OURS if writer.layout == "root"]
PEERS_ON = ["ext2", "ext4", "xfs", "btrfs"]
# Here the kernel takes its time to mount, or the checker to check.
_SLOW = ("xfs", "btrfs")


@dataclass(frozen=True)
class Trial:
    """A cell, and how many subsets and tears of it are tried at most; see states.py."""

    cell: lab.Cell
    limit: int

    @property
    def name(self):
        return self.cell.name

    @property
    def is_ours(self):
        return self.cell.writer == BY_GRUB or WRITERS[self.cell.writer].ours


def _trials(cells, limit, slow_limit):
    for cell in cells:
        yield Trial(cell, slow_limit if cell.kind.startswith(_SLOW) else limit)


def _cells(kinds, writers, busy=False):
    return [lab.Cell(kind, writer, busy) for kind, writer in itertools.product(kinds, writers)]


# Unmounting XFS writes much, so these have many states; "xfs mark-unmounted" is enough for a check.
_LONG = {"xfs mark-plan", "xfs cancel-unmounted", "xfs setup-unmounted", "xfs shell", "xfs-noreflink mark-unmounted"}
_ALWAYS = [writer.name for writer in OURS]
_SOME = ["mark", "mark-unmounted", "cancel"]


def for_check():
    """Every writer on ext4, nearly every one on XFS, some on all, and the busy machines."""
    return (trial for trial in _of_check() if trial.name not in _LONG)


def _of_check():
    others = [kind for kind in EVERYWHERE if kind not in ("ext4", "xfs")]
    yield from _trials(_cells(["ext4", "xfs"], _ALWAYS), 160, 24)
    yield from _trials(_cells(others, _SOME), 120, 20)
    yield from _trials(_cells(["ext2", "ext3", "ext4", "ext4-4k", "ext4-journal", "ext4-writeback", "xfs"], ["mark"], busy=True),
                       350, 40)
    yield from _trials(_cells(["ext4", "ext4-journal", "xfs"], ["cancel", "setup-shifting"], busy=True), 280, 30)
    yield from _trials(_cells(["ext4", "xfs"], [writer.name for writer in PEERS]), 100, 25)
    yield from _trials(_cells(["ext4"], ["grub-editenv"], busy=True), 150, 0)
    yield from _trials(_cells(LOADED, [BY_GRUB]), 10, 10)


def for_full():
    yield from _trials(_cells(EVERYWHERE, _ALWAYS), 2000, 250)
    yield from _trials(_cells(EVERYWHERE, MOUNTED, busy=True), 600, 150)
    yield from _trials(_cells(PEERS_ON, [writer.name for writer in PEERS if writer.layout == "root"]), 600, 120)
    yield from _trials(_cells(["ext2", "ext4", "xfs"], ["shell"]), 600, 120)
    yield from _trials(_cells(PEERS_ON, ["grub-editenv", "grub-reboot", "rename"], busy=True), 600, 120)
    yield from _trials(_cells(LOADED, [BY_GRUB]), 10, 10)


# Of each of the guest's, all in one.
GUEST_LIMITS = {"check": 200, "full": 1500}

# ---- running ----


@dataclass
class Row:
    """What came of a trial: numbers of states. WRONG: what must not be in one of ours, in words. COMPLAINT: the checker's."""

    kind: str
    writer: str
    busy: bool
    ours: bool
    sectors: int
    flushes: int
    states: int
    late: int
    grub: dict
    linux: dict
    late_grub: dict
    late_linux: dict
    torn: int
    damaged: int
    seconds: float
    wrong: list = field(default_factory=list)
    complaint: str = ""

    @property
    def name(self):
        return f"{self.kind} {self.writer}{' busy' if self.busy else ''}"


def row_of(trial, outcome):
    tally, cell = outcome.tally, trial.cell
    return Row(cell.kind, cell.writer, cell.busy, trial.is_ours, outcome.sectors, outcome.flushes, tally.states, tally.late,
               dict(tally.grub), dict(tally.linux), dict(tally.late_grub), dict(tally.late_linux), tally.torn, tally.damaged,
               round(outcome.seconds, 2), sorted(tally.examples), outcome.complaint)


def row_of_failure(trial, problem):
    """One that could not be tried is wrong, too."""
    cell = trial.cell if isinstance(trial, Trial) else lab.Cell(trial, "all")
    return Row(cell.kind, cell.writer, cell.busy, True, 0, 0, 0, 0, {}, {}, {}, {}, 0, 0, 0, ["not tried"], repr(problem))


class Runner:
    """Runs trials, one after the other, in one process. KEEP: a folder for the first disk of each kind that was wrong."""

    def __init__(self, tool, keep=None):
        rig.stand_alone()
        self.tool, self.keep = rig.Tool(tool), keep
        self._scratch = rig.Scratch()
        self.folder = self._scratch.path
        self.program = judging.build(self.folder)
        self._loader = None

    def close(self):
        self._scratch.close()

    def run(self, trial):
        look = lambda outcome: self._keep(trial, outcome)  # noqa: E731
        if trial.cell.writer == BY_GRUB:
            self._loader = self._loader or loader.Loader(self.folder)
            outcome = loader.consume(self._loader, self.program, trial.cell.kind, trial.limit, look)
        else:
            outcome = lab.run_cell(self.tool, self.program, trial.cell, trial.limit, look)
        return row_of(trial, outcome)

    def run_guest(self, full):
        """What is tried in a guest, as rows."""
        limit = GUEST_LIMITS["full" if full else "check"]
        cells = guest.for_full() if full else guest.for_check()

        def trial(outcome):
            return Trial(outcome.cell, limit)

        outcomes = guest.guest_outcomes(self.tool, limit, cells, lambda outcome: self._keep(trial(outcome), outcome))
        return [row_of(trial(outcome), outcome) for outcome in outcomes]

    def _keep(self, trial, outcome):
        """Compressed: what is in a small filesystem is mostly nothing."""
        for what in outcome.tally.examples if self.keep else ():
            name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{trial.name} {what}").strip("-")
            disk = self.folder / "example"
            outcome.keep(what, disk)
            self.keep.mkdir(parents=True, exist_ok=True)
            with disk.open("rb") as source, lzma.open(self.keep / f"{name}.img.xz", "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            disk.unlink()


def save_row(row):
    """Where HIBCTL_PROOF_DIR says, for the closing table."""
    folder = os.environ.get("HIBCTL_PROOF_DIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        name = f"crash-{row.name.replace(' ', '-')}-{time.time_ns()}.json"
        (Path(folder) / name).write_text(json.dumps(asdict(row)))


def load_rows(folder):
    return [Row(**json.loads(path.read_text())) for path in sorted(Path(folder).glob("crash-*.json"))]
