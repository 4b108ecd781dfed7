# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Power is cut at every point, on every filesystem: GRUB reads the old block or the new one."""

import pytest
from cli import rig

from . import trials, writers
from .recording import RecordingScratch

ALL = list(trials.for_check())
QUICK = {"ext4 mark", "ext4 cancel", "ext4-journal mark", "ext2 mark-unmounted", "ext4 bootbits", "ext4 taken by GRUB"}


def params(chosen):
    return [pytest.param(trial, id=trial.name.replace(" ", "-"), marks=[] if trial.name in QUICK else [pytest.mark.slow])
            for trial in chosen]


@pytest.mark.parametrize("trial", params(trial for trial in ALL if trial.is_ours))
def test_ours(runner, trial):
    row = runner.run(trial)
    trials.save_row(row)
    assert not row.wrong, f"{row}\nthe disks are in {runner.keep}\n{row.complaint}"
    assert row.grub.get("old") and row.grub.get("new"), "these are not all states"


# What a program of today leaves GRUB with, and no other will: the lab sees it.
DEFECTS = {
    "ext4 grub-editenv": "GRUB: old after the program's end",
    "ext4 grub-editenv-overtaken": "GRUB: empty",
    "ext4 grub-editenv-killed": "GRUB: empty",
    "ext4 grub-reboot": "GRUB: old after the program's end",
    "ext4 rename": "GRUB: empty",
    "xfs grub-editenv": "GRUB: old after the program's end",
    "xfs grub-reboot": "GRUB: old after the program's end",
    "xfs rename": "GRUB: old after the program's end",
}


@pytest.mark.slow
@pytest.mark.parametrize("trial", params(trial for trial in ALL if not trial.is_ours))
def test_others(runner, trial):
    runner_keep, runner.keep = runner.keep, None
    row = runner.run(trial)
    runner.keep = runner_keep
    trials.save_row(row)
    if trial.name in DEFECTS:
        assert DEFECTS[trial.name] in row.wrong, row


@pytest.mark.parametrize("kind,attribute", [("btrfs", None), ("btrfs", "+C"), ("ext4-inline", None)])
def test_refused_where_grub_could_not_take_it(runner, kind, attribute):
    """Where GRUB cannot overwrite a block in place, nothing is written to it at all; without copy on write neither. (An ext4
    with blocks in inodes GRUB 2.06 does not even read.)"""
    scratch = RecordingScratch()
    try:
        machine = rig.Machine(scratch, runner.tool, kind)
        if attribute:
            machine.block.touch()
            rig.run("chattr", attribute, machine.block)
        machine.block.write_bytes(writers.EMPTY)
        rig.settle_filesystem(machine.block)
        assert not attribute or attribute[1] in rig.run("lsattr", machine.block).stdout.decode().split()[0]
        recorder = scratch.recorders[machine.fs.image]
        begin = recorder.position()
        machine("mark").says_no(4, machine.block)
        rig.settle_filesystem(machine.block)
        writes = recorder.writes(begin, recorder.position())
        assert not any(b"hib1 armed" in write.data for write in writes)
        assert machine.block.read_bytes() == writers.EMPTY
    finally:
        scratch.close()
