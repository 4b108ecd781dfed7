# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""`hibctl status' foretells what the next power-on does; then real GRUB is started on the same bytes and does it. They
must agree in every situation that is drawn, and once more at the power-on after that.

HIBCTL_SITUATIONS  how many are drawn (default: 124, or all 248 with HIBCTL_FULL)
HIBCTL_SITUATION   only these, by their numbers, to repeat a failure: 3,17,40-49
HIBCTL_TEST_LOGS   where the disks are kept of a situation in which they do not agree

A closing table says how many there were of each kind; see verdict_table.py.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from cli import rig as host

from . import nvram, rig, situations
from .situation_rig import BOOT_PART, FAR_PART, Machine, Workshop, changes, ramdisk

ALL_PAIRS = 248
COUNT = int(os.environ.get("HIBCTL_SITUATIONS", ALL_PAIRS if "HIBCTL_FULL" in os.environ else ALL_PAIRS // 2))
ONLY = os.environ.get("HIBCTL_SITUATION")
ORDINARY = " second"


def drawn():
    if not ONLY:
        return situations.draw(COUNT)
    ranges = [[int(end) for end in part.split("-")] for part in ONLY.split(",")]
    numbers = {n for ends in ranges for n in range(ends[0], ends[-1] + 1)}
    return [situation for situation in situations.draw(max(numbers) + 1) if situation.number in numbers]


@pytest.fixture(scope="session")
def workshop(scratch, kernel):
    path = os.environ.get("HIBCTL")
    if not path or not Path(path).is_file():
        pytest.fail("HIBCTL does not name the tool under test")
    if os.geteuid() != 0:
        pytest.fail("this test uses loop devices and mounts; run it as root")
    host.sweep()
    host.stand_alone()
    space = host.Scratch()
    yield Workshop(space, host.Tool(Path(path).resolve()), lambda platform: rig.module_under_test(scratch, platform),
                   kernel)
    space.close()


# ---- comparing ----


def grub_name(machine, fs_uuid):
    """What GRUB calls the device of a filesystem."""
    if fs_uuid == machine.shop.far:
        return f"(hd1,{machine.second.part_name(FAR_PART)})"
    assert fs_uuid == machine.fs_uuid
    return f"(hd0,{machine.first.part_name(BOOT_PART)})"


def check_resumed(machine, foreseen, seen):
    """The kernel that was foreseen was started, with the image that was foreseen, by itself."""
    claim = foreseen.claim
    cmdline, text = seen.started
    device = grub_name(machine, claim["filesystem"])
    assert seen.first, "the entry that resumes is not the chosen one"
    assert cmdline.startswith(f"BOOT_IMAGE={device}{claim['kernel']} "), cmdline
    assert cmdline.endswith(f" resume={claim['image']} resume_offset={claim['offset']}"), cmdline
    where = "far" if device.startswith("(hd1") else "boot"
    wanted = ramdisk(where, claim["initrd"])[:-1].decode() if claim["initrd"] else ""
    assert text == wanted


def check_ordinary(seen):
    cmdline, text = seen.started
    assert cmdline.endswith(ORDINARY) and "resume=" not in cmdline, cmdline
    assert text == "" and not seen.first


def compare(machine, foreseen, seen):
    """What was foreseen is what was done."""
    if foreseen.verdict == "unknown":
        assert is_blind(machine.s), "the tool says that it cannot tell, and could have"
        return
    assert seen.started, "nothing was started"
    if machine.s.module == "there":
        assert seen.path == "module"
        assert (foreseen.verdict, foreseen.reason) == (seen.verdict, seen.reason)
    else:  # the script has other reasons, because it sees less
        assert seen.path == "plain" and foreseen.verdict == seen.verdict
    if foreseen.verdict == "resume":
        check_resumed(machine, foreseen, seen)
    else:
        check_ordinary(seen)
        assert seen.offered == (foreseen.verdict == "offer")


def is_blind(situation):
    """Whether something that GRUB will look at cannot be seen by the running system, or the script that stands in for
    the module does something else than the module would."""
    return situation.kernels == "other fs, not mounted" or situation.module == "missing"


def expected(situation):
    """What GRUB must do, where a glance at the situation tells: so that both cannot be wrong in the same way."""
    if situation.module == "missing":
        return None
    seen = {"env": situation.fs != "btrfs" and situation.verify == "header",
            "bits": situation.configured in ("same", "other name"),
            "efi": situation.verify == "header"}.get(situation.store, False)
    here = situation.image in ("present", "16k", "64k", "16k over 4k")
    fit = situation.kernels in ("present", "no initrd", "symlink", "absolute symlink", "other fs", "configured gone")
    unfit = situation.kernels in ("kernel gone", "initrd gone", "kernel is a folder", "other fs, twice", "fs gone")
    if seen and here and situation.state in ("armed", "taken") and (fit or unfit):
        return "normal" if unfit else {"armed": "resume", "taken": "offer"}[situation.state]
    alone = situation.store in ("none", "env", "bits", "efi") and situation.configured not in ("orphan", "other name")
    if not here and alone:
        return "normal" if situation.verify == "header" else None
    return None


# ---- what became of the mark ----


def check_taken(machine, place, before, after):
    """One mark in PLACE (disk, first byte, end) was armed and is taken; no other byte has changed on any disk."""
    disk, start, end = place
    both = [changes(old, new) for old, new in zip(before, after)]
    assert not both[1 - disk], both
    assert len(both[disk]) == 1, both
    (at, _, _), = both[disk]
    page = at // 4096 * 4096
    old, new = before[disk][page], after[disk][page]
    state = at - page  # "armed" and "taken" differ from their first letter on
    assert old[state - 5 : state + 5] == b"hib1 armed" and new[state - 5 : state + 5] == b"hib1 taken"
    assert old[state + 5 :] == new[state + 5 :]
    assert start <= at < end


def place_of(machine, source):
    """Where a mark may be changed."""
    if source == "env":
        start = machine.first.offsets[BOOT_PART - 1]
        return 0, start, start + machine.shop.boot_fs(machine.s.fs, machine.prefix, machine.s.firmware)[2]
    disk, at = machine.target_place()
    return machine.disks.index(disk), at, at + 1024


def check_changes(machine, foreseen, seen, before, after):
    """BEFORE, AFTER: (disks, variables). One mark is used up if the session was resumed, and else nothing changes."""
    resumed = seen.verdict == "resume"
    if resumed and foreseen.source in ("env", "bootbits"):
        check_taken(machine, place_of(machine, foreseen.source), before[0], after[0])
        assert before[1] == after[1]
        return
    assert before[0] == after[0], [changes(old, new) for old, new in zip(before[0], after[0])]
    if not resumed:
        assert before[1] == after[1]
    elif foreseen.source == "efi":
        assert after[1][nvram.MARK] is None
        assert after[1][nvram.LOCATION] == before[1][nvram.LOCATION]
    else:
        assert after[1][nvram.TRIED] and after[1][nvram.TRIED] != before[1][nvram.TRIED]
        assert {**after[1], nvram.TRIED: None} == {**before[1], nvram.TRIED: None}


# ---- the test ----


def power_on(machine, wanted=None):
    """Foretells, starts, compares. Returns both, and whether anything has changed."""
    before = machine.content_now(), machine.variables()
    foreseen = machine.foresee()
    assert machine.content_now() == before[0], "status has written to a disk"
    seen = machine.start()
    after = machine.content_now(), machine.variables()
    try:
        assert wanted in (None, seen.verdict), f"in such a situation GRUB's verdict must be {wanted}"
        compare(machine, foreseen, seen)
        if foreseen.verdict != "unknown":
            check_changes(machine, foreseen, seen, before, after)
    except AssertionError as error:
        raise Disagreement(error, foreseen, seen) from None
    return foreseen, seen, before != after


def check_once(first, second):
    """No session is resumed a second time by itself by the same mark. Only a mark that was believed without a look at
    the image leaves another one its own attempt."""
    (foreseen, seen, _), (again, seen_again, _) = first, second
    if seen.verdict != "resume" or seen_again.verdict != "resume":
        return
    assert foreseen.source != again.source
    assert seen.started != seen_again.started or foreseen.reason == "ready-hint"


class Disagreement(Exception):
    """What the tool said and what GRUB did."""

    def __init__(self, error, foreseen, seen):
        super().__init__(f"foreseen: {foreseen}\nseen:     {seen}\n{error}")
        self.details = f"{json.dumps(foreseen.everything, indent=2)}\n\n{seen.text}"


def keep(machine, error):
    """The disks of a situation in which tool and GRUB do not agree, and all that both said."""
    if folder := os.environ.get("HIBCTL_TEST_LOGS"):
        kept = Path(folder) / f"situation-{machine.s.number}"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        for disk in machine.disks:
            rig.run("cp", "--sparse=always", disk, kept)
        details = getattr(error, "details", "")
        (kept / "description").write_text(f"seed {situations.SEED}, {machine.s}\n\n{error}\n\n{details}")


def try_it(workshop, situation, record):
    machine = Machine(workshop, situation)
    try:
        first = power_on(machine, expected(situation))
        record("verdict", first[0].verdict)
        record("reason", first[0].reason)
        record("source", first[0].source)
        if first[2]:  # else the next start would only be the same again
            second = power_on(machine)
            record("second", second[0].verdict)
            check_once(first, second)
        return first[0]
    except (AssertionError, Disagreement, EOFError, TimeoutError) as error:
        keep(machine, error)
        again = f"HIBCTL_SITUATION={situation.number}" if isinstance(situation.number, int) else "test_found_before"
        pytest.fail(f"situation {situation}\n(again: {again})\n\n{error}", pytrace=False)
    finally:
        shutil.rmtree(machine.path, ignore_errors=True)


@pytest.mark.parametrize("situation", drawn(), ids=lambda situation: situation.name)
def test_verdict(workshop, situation, record_property):
    record_property("situation", situation.number)
    record_property("firmware", situation.firmware)
    record_property("fs", situation.fs)
    try_it(workshop, situation, record_property)


@pytest.mark.parametrize("situation", situations.DEFECTS, ids=lambda situation: situation.number)
def test_found_before(workshop, situation):
    """Each has been a defect, or stands beside one."""
    foreseen = try_it(workshop, situation, lambda *_: None)
    sure = situation.number in ("script", "script-nothing") or not is_blind(situation)
    assert (foreseen.verdict != "unknown") == sure


def test_what_is_drawn():
    """All pairs of answers come together for BIOS; UEFI takes longer to start, so there are less."""
    usual = situations.draw(ALL_PAIRS)
    assert usual[:7] == situations.draw(7)
    assert not situations.all_pairs("bios") - situations.pairs_of(usual, "bios")
    assert len([s for s in usual if s.firmware == "efi"]) >= 26
