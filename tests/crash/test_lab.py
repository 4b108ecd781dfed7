# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The lab notices programs that are careless in one way each."""

import os

import pytest
from cli import envblock, rig

from . import lab, trials, writers
from .writers import EMPTY, Writer

MARKED = envblock.with_slot(EMPTY, envblock.Mark().text())
BEHIND = envblock.make([*writers.OTHERS, (b"padding", b"p" * 60), (envblock.NAME, envblock.EMPTY), (b"last", b"one")])


def overwrite(machine, block, flush):
    with machine.block.open("r+b") as file:
        file.write(block)
        file.flush()
        if flush:
            os.fdatasync(file.fileno())


def no_flush(machine):
    overwrite(machine, MARKED, flush=False)


def moved_before(machine):
    """Overwritten in place and flushed, but where the file is stands only in the journal."""
    rig.run("grub-editenv", machine.block, "set", "x=1")
    block = machine.block.read_bytes()
    overwrite(machine, envblock.with_state(block, "taken"), flush=True)


def across_sectors(machine):
    """The state and the checksum are in two sectors."""
    overwrite(machine, envblock.with_slot(BEHIND, envblock.Mark().text()), flush=True)


def only_past_the_journal(machine):
    """GRUB reads it, but the journal has it, too, and will write it once more."""
    overwrite(machine, MARKED, flush=True)
    rig.write_device(machine.fs.device, rig.place_on_device(machine.block), MARKED)


def has(state):
    return lambda old, new: envblock.state(new) == state


CARELESS = {
    "no-flush": (Writer("", no_flush, EMPTY, has("armed")), "GRUB: old after the program's end"),
    "moved-before": (Writer("", moved_before, MARKED, has("taken")), "GRUB: old after the program's end"),
    "past-the-journal": (Writer("", only_past_the_journal, EMPTY, has("armed")), "Linux: not taken"),
    "across-sectors": (Writer("", across_sectors, BEHIND, has("armed")), "GRUB: mixed"),
}


CASES = [(name, kind) for name in ("no-flush", "moved-before", "across-sectors") for kind in ("ext4", "xfs")]
CASES.append(("past-the-journal", "ext4-journal"))


@pytest.mark.parametrize("name,kind", CASES)
def test_careless(runner, monkeypatch, name, kind):
    writer, wrong = CARELESS[name]
    monkeypatch.setitem(writers.WRITERS, name, writer)
    outcome = lab.run_cell(runner.tool, runner.program, lab.Cell(kind, name), 60)
    assert wrong in outcome.tally.examples, outcome.tally
