# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""One trial: a program's writes to a filesystem are recorded, and every state is judged that they could have left."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cli import envblock, rig

from . import judging, kinds, states
from .recording import RecordingScratch
from .writers import WRITERS, Busy

SECTOR = 512


@dataclass(frozen=True)
class Cell:
    """What is tried: a writer on a kind of filesystem, on a machine that does nothing else, or is busy."""

    kind: str
    writer: str
    busy: bool = False

    @property
    def name(self):
        return f"{self.kind} {self.writer}{' busy' if self.busy else ''}"


@dataclass
class Recorded:
    """What was written to the disk BASE, DONE of it before the program's end, and what was in the block."""

    base: Path
    writes: list
    done: int
    old: bytes
    new: bytes
    grub_file: str
    kernel: tuple  # type and path, or None
    between: Callable = None  # as a writer's


@dataclass
class Outcome:
    cell: Cell
    recorded: Recorded
    all_states: list
    versions: list
    tally: judging.Tally
    complaint: str  # of the checker
    seconds: float

    @property
    def sectors(self):
        return sum(len(write.data) // SECTOR for write in self.recorded.writes[: self.recorded.done])

    @property
    def flushes(self):
        return sum(write.is_flush for write in self.recorded.writes[: self.recorded.done])

    def keep(self, what, target):
        """Writes the disk of the first state in which something was wrong."""
        judging.materialize(self.recorded.base, self.all_states[self.tally.examples[what]], self.versions, target)


# ---- recording ----


class Session:
    """A machine whose disks are recorded while a writer works."""

    def __init__(self, scratch, tool, cell):
        self.scratch, self.writer, self.cell = scratch, WRITERS[cell.writer], cell
        self.machine = machine = rig.Machine(scratch, tool, cell.kind, layout=self.writer.layout)
        if self.writer.store == "bootbits":
            machine("setup").done()
            self.image, self.other = machine.swap.image, machine.fs.image
        else:
            if self.writer.old is not None:
                machine.put_block(self.writer.old)
            self.image, self.other = machine.fs.image, machine.swap.image
        self.writer.prepare(machine)
        self.recorder = scratch.recorders[self.image]

    def read(self):
        if self.writer.store == "bootbits":
            return self.machine.swap.read(0, envblock.SIZE)
        return self.machine.grub_reads()

    def _quiesce(self):
        """Everything is where it belongs, and a copy of the disk is the disk."""
        machine, base = self.machine, self.scratch.path / "base"
        rig.run("sync")
        if rig.is_mounted(machine.root) or rig.is_mounted(machine.root / "boot"):
            rig.settle_filesystem(machine.grub / "grub.cfg")
        for _ in range(50):
            begin = self.recorder.position()
            judging.copy_sparse(self.image, base)
            if self.recorder.position() == begin:
                return base, begin
        raise AssertionError("the disk does not come to rest")

    def _write_back(self):
        """What the kernel has still to write, and what unmounting writes."""
        machine = self.machine
        time.sleep(0.1)
        for folder in (machine.root / "boot", machine.root):
            if rig.is_mounted(folder):
                rig.settle_filesystem(machine.grub / "grub.cfg")
                rig.unmount(folder)
        machine.fs.wait_until_unused(30)

    def _work(self):
        """Returns where the log was when the program ended."""
        other = self.scratch.recorders[self.other]
        other_begin = other.position()
        busy = Busy(self.machine.root) if self.cell.busy else None
        try:
            self.writer.run(self.machine)
            end = self.recorder.position()
        finally:
            if busy:
                busy.stop()
        assert not other.writes(other_begin, other.position()), "the other disk was written to"
        return end

    def _what_is_there(self, old):
        """What should be in the block in the end, after checking what is."""
        new = self.read()
        assert self.writer.expected(old, new), f"{self.cell.name}: this is not what it should do: {new!r}"
        return self.writer.intended(old) if self.writer.intended else new

    def record(self):
        base, begin = self._quiesce()
        old = self.read()
        assert self.writer.old in (None, old)
        end = self._work()
        self._write_back()
        new = self._what_is_there(old)
        self.scratch.detach_all()
        writes, done = self.recorder.writes(begin), len(self.recorder.writes(begin, end))
        assert writes, "nothing was written"
        return Recorded(base, writes, done, old, new, *self._judged_by(writes), self.writer.between)

    def _judged_by(self, writes):
        """What GRUB is asked for; and the kernel, if it is."""
        if self.writer.store == "bootbits":
            assert all(write.sector * SECTOR + len(write.data) <= envblock.SIZE for write in writes), "beyond the boot bits"
            return "(loop0)0+2", None
        path = f"{self.machine.prefix}/grubenv"
        makes_files = self.writer.makes_file or self.cell.busy
        kernel = None if makes_files and self.cell.kind in kinds.NO_JOURNAL else (self.machine.fs.type, path)
        return f"(loop0){path}", kernel


# ---- judging ----


def judge(program, folder, cell, recorded, limit):
    began = time.monotonic()
    with recorded.base.open("rb") as file:

        def base(sector):
            file.seek(sector * SECTOR)
            return file.read(SECTOR)

        all_states, versions = states.crash_states(recorded.writes, recorded.done, base, limit,
                                                   kinds.superblock(cell.kind))
    said, complaint = judging.judge(program, folder, recorded.base, all_states, versions, recorded.grub_file, recorded.kernel)
    tally = judging.Tally()
    for number, (state, words) in enumerate(zip(all_states, said, strict=True)):
        tally.add(number, state, words, recorded.old, recorded.new, recorded.between)
    if recorded.kernel and (envblock.slot(recorded.new) or b"").startswith(b"hib1 armed"):
        take_mark(program, folder, recorded, all_states, versions, tally)
    return Outcome(cell, recorded, all_states, versions, tally, complaint, time.monotonic() - began)


def take_mark(program, folder, recorded, all_states, versions, tally):
    """In each state from after the end of "mark", GRUB takes the mark, as it does before it starts a kernel, by overwriting
    it in place. Then the kernel replays its journal: an armed mark must not come back."""
    final = folder / "final"
    judging.materialize(recorded.base, all_states[-1], versions, final)
    sector = judging.first_sector(final, recorded.grub_file)
    final.unlink()
    taken = envblock.with_state(recorded.new, "taken")
    versions = [*versions, (sector, taken[:SECTOR])]
    chosen = [(number, state) for number, state in enumerate(all_states) if state.late]
    changed = [replace(state, versions=(*(v for v in state.versions if versions[v][0] != sector), len(versions) - 1))
               for _, state in chosen]
    said, _ = judging.judge(program, folder, recorded.base, changed, versions, recorded.grub_file, recorded.kernel)
    for (number, state), words in zip(chosen, said, strict=True):
        tally.add_taken(number, state, words, taken)


def run_cell(tool, program, cell, limit, look=lambda outcome: None):
    """LOOK(outcome) is called while the disks are still there."""
    scratch = RecordingScratch()
    try:
        recorded = Session(scratch, tool, cell).record()
        outcome = judge(program, scratch.path, cell, recorded, limit)
        look(outcome)
        return outcome
    finally:
        scratch.close()
