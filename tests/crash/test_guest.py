# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Power is cut at every point, on FAT and exFAT: GRUB and the guest's kernel read the old block or the new one.

HIBCTL_TEST_KERNEL  folder of another unpacked kernel package; Debian's kernel for clouds has no f2fs"""

import pytest
from cli import envblock, rig

from . import guest, guest_system, lab, trials, writers

LIMIT = 200
# One variable more, and what comes behind it moves, some of it across the border of the sectors.
WIDE = [*writers.OTHERS, (b"long", b"l" * 200), (b"longer", b"m" * 250), (b"last", b"one")]
BEFORE, SHIFTED = envblock.make(WIDE), envblock.make([(b"first", b"f" * 90), *WIDE])


def overwrite(block, how):
    return lambda system: system.run(f"dd if={system.file('wanted', block)} of={system.block} bs=1024 {how} 2>/dev/null")


# Careless in one way each. A filesystem that is mounted is flushed when it is unmounted, at the latest.
CARELESS = {
    "no-flush": writers.Writer("", overwrite(writers.ARMED, "conv=notrunc oflag=direct"), writers.EMPTY,
                               writers.exactly(writers.ARMED), ours=False),
    "across-sectors": writers.Writer("", overwrite(SHIFTED, "conv=notrunc,fsync"), BEFORE, writers.exactly(SHIFTED),
                                     ours=False),
}
# What a program of today leaves GRUB with.
DEFECTS = {
    "vfat32 grub-editenv": "GRUB: unreadable",
    "vfat32-4k grub-editenv": "GRUB: invalid",
    "vfat32 shell": "GRUB: unreadable",
    "vfat32 rename": "GRUB: unreadable",
    "vfat32 no-flush": "GRUB: old after the program's end",
    "vfat32 across-sectors": "GRUB: mixed",
}


@pytest.mark.slow
def test_power_cuts(runner, monkeypatch):
    cells = guest.for_check() + [lab.Cell("vfat32", name) for name in CARELESS]
    for name, writer in CARELESS.items():
        for table in (guest.WRITERS, writers.WRITERS):
            monkeypatch.setitem(table, name, writer)
    rows = {}
    for outcome in guest.guest_outcomes(runner.tool, LIMIT, cells):
        row = trials.row_of(trials.Trial(outcome.cell, LIMIT), outcome)
        rows[row.name] = row
        if row.writer not in CARELESS:
            trials.save_row(row)
    wrong = [f"{row}\n{row.complaint}" for row in rows.values() if row.ours and row.wrong]
    assert not wrong, "\n".join(wrong)
    assert all(row.grub["old"] and row.grub["new"] for row in rows.values()), "these are not all states"
    for name, defect in DEFECTS.items():
        assert defect in rows[name].wrong, rows[name]


@pytest.mark.skipif(not guest_system.has_module("f2fs"), reason="the guest's kernel has no f2fs; see HIBCTL_TEST_KERNEL")
def test_refused_where_blocks_move(runner):
    scratch = rig.Scratch()
    try:
        with guest_system.Guest(runner.tool, ["f2fs"], scratch.path) as machine:
            system = machine.systems["f2fs"]
            for mounted in (True, False):
                system.arrange(writers.EMPTY, mounted)
                begin = system.position()
                result = system("mark")
                assert result.status == 4 and "f2fs" in result.err, result
                assert system.position() == begin, "something was written"
    finally:
        scratch.close()
