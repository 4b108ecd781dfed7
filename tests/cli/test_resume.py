# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""resume, up to what it writes for the kernel: below --root that is a file. That the kernel resumes is for the virtual
machines' tests."""

import pytest

from . import envblock, rig
from .rig import Swap, device_number

PAGE = 4096


@pytest.fixture
def load(make):
    """A load kernel on the machine: nothing is mounted. Calls resume."""
    machine = make(layout="boot")
    machine("setup").done()
    power = machine.root / "sys/power"

    def call(*args, cmdline=None, **more):
        (power / "resume").write_text("")
        (power / "resume_offset").write_text("")
        machine.write("proc/cmdline", f"root=/dev/x ro {cmdline or ''} quiet\n")
        return machine("resume", "--timeout=2", *args, **more)

    def handed():
        return (power / "resume").read_text(), (power / "resume_offset").read_text()

    call.machine, call.swap, call.handed = machine, machine.swap, handed
    return call


def mark_in_boot_bits(load, state="armed"):
    """As a save kernel leaves it."""
    plan = load.machine.scratch.path / "plan"
    load.machine("prepare", f"--plan={plan}").done()
    load.machine.tool("mark", f"--plan={plan}").done()
    if state != "armed":
        block = load.swap.read(0, 1024)
        load.swap.write(0, block.replace(b" armed ", b" taken ", 1))
    assert envblock.state(load.swap.read(0, 1024)) == state
    return plan


def test_hands_over(load):
    load.swap.put_image()
    result = load(cmdline=f"resume=UUID={load.swap.uuid}")
    assert load.handed() == (device_number(load.swap.device), "0")
    # The file took it, no kernel did: that is a failed resume, and the image is there still.
    result.says_no(1, load.swap.device, "still there")


def test_the_last_word_counts(load, scratch):
    other = Swap(scratch, "other")
    other.put_image()
    load(cmdline=f"resume=/dev/nonexistent resume_offset=x resume=UUID={other.uuid} resume_offset=0").says_no(1)
    assert load.handed() == (device_number(other.device), "0")


def test_named_on_the_command_line_of_the_tool(load, scratch):
    other = Swap(scratch, "other")
    other.put_image()
    load(f"--device={other.device}", cmdline=f"resume=UUID={load.swap.uuid}").says_no(1)
    assert load.handed()[0] == device_number(other.device)


def test_swap_file(load):
    load.swap.write(5 * PAGE + PAGE - 20, b"SWAPSPACE2" + b"S1SUSPEND\0")
    load(f"--device=UUID={load.swap.uuid}", "--offset=5").says_no(1)
    assert load.handed() == (device_number(load.swap.device), "5")
    load(f"--device=UUID={load.swap.uuid}", "--offset=6").nothing()


def test_no_offset_file(load):
    """A kernel that cannot resume from a swap file: fine for a partition, said for a file."""
    load.swap.put_image()
    load.swap.write(5 * PAGE + PAGE - 20, b"SWAPSPACE2" + b"S1SUSPEND\0")
    machine = load.machine
    (machine.root / "sys/power/resume").write_text("")
    (machine.root / "sys/power/resume_offset").unlink()
    machine("resume", f"--device={load.swap.device}").says_no(1, "still there")
    (machine.root / "sys/power/resume").write_text("")
    machine("resume", f"--device={load.swap.device}", "--offset=5").says_no(1, "resume_offset")
    assert (machine.root / "sys/power/resume").read_text() == ""


@pytest.mark.parametrize("cmdline,word", [("", "resume="), ("resume=", "resume="), ("noresume", "noresume"),
                                          ("resume={tag} noresume", "noresume")])
def test_nothing_to_do(load, cmdline, word):
    load.swap.put_image()
    result = load(cmdline=cmdline.format(tag=f"UUID={load.swap.uuid}")).nothing()
    assert word in result.err and load.handed() == ("", "")


@pytest.mark.parametrize("how", ["--device", "--plan"])
def test_who_chose_noresume_has_given_the_session_up(load, how):
    """Whatever else names the image."""
    plan = mark_in_boot_bits(load)
    load.swap.put_image()
    before = load.swap.read(0, PAGE)
    result = load(f"{how}={plan if how == '--plan' else load.swap.device}", cmdline="noresume").nothing()
    assert "noresume" in result.err and load.handed() == ("", "") and load.swap.read(0, PAGE) == before


def test_no_command_line(load):
    """Then nobody knows what was chosen in the boot menu."""
    load.swap.put_image()
    (load.machine.root / "proc/cmdline").unlink()
    load.machine("resume", f"--device={load.swap.device}").says_no(1, "proc/cmdline")


def test_what_is_named_overrides_the_command_line(load):
    load.swap.put_image()
    load(f"--device={load.swap.device}", cmdline="resume=UUID=nope resume_offset=x").says_no(1, "still there")
    assert load.handed() == (device_number(load.swap.device), "0")


def test_no_image(load):
    result = load(cmdline=f"resume=UUID={load.swap.uuid}").nothing()
    assert "no hibernation image" in result.err and load.handed() == ("", "")


@pytest.mark.parametrize("signature", [b"ULSUSPEND\0", b"LINHIB0001"])
def test_image_of_another_kind(load, signature):
    load.swap.put_image(signature)
    load(cmdline=f"resume=UUID={load.swap.uuid}").says_no(3, load.swap.device)
    assert load.handed() == ("", "")


def test_image_of_another_page_size(load):
    load.swap.write(16384 - 20, b"SWAPSPACE2" + b"S1SUSPEND\0")
    load.swap.write(PAGE - 20, bytes(20))
    load(cmdline=f"resume={load.swap.device}").says_no(3, "16384")


def test_device_that_does_not_come(load):
    result = load(cmdline="resume=UUID=nope")
    assert result.status == 1 and "UUID=nope: the device did not appear" in result.err


@pytest.mark.parametrize("offset", ["x", "-1", "1x", "17592186044416"])
def test_bad_offsets(load, offset):
    load.swap.put_image()
    load(cmdline=f"resume=UUID={load.swap.uuid} resume_offset={offset}").says_no(64, offset)
    load(f"--device={load.swap.device}", f"--offset={offset}").says_no(64, offset)
    assert load.handed() == ("", "")


def test_dry_run(load):
    mark_in_boot_bits(load)
    load.swap.put_image()
    before = load.swap.read(0, PAGE)
    assert "would resume" in load("--dry-run", cmdline=f"resume=UUID={load.swap.uuid}").done().err
    assert load.handed() == ("", "") and load.swap.read(0, PAGE) == before


# ---- the mark ----


def test_takes_an_armed_mark_first(load):
    """Whoever comes here without GRUB must not leave it armed."""
    mark_in_boot_bits(load)
    load.swap.put_image()
    load(cmdline=f"resume=UUID={load.swap.uuid}").says_no(1)
    assert envblock.state(load.swap.read(0, 1024)) == "taken" and load.handed()[0]
    assert load.machine.status()["reason"] == "tried"


def test_a_taken_mark_stays(load):
    mark_in_boot_bits(load, state="taken")
    load.swap.put_image()
    before = load.swap.read(0, PAGE)
    load(cmdline=f"resume=UUID={load.swap.uuid}").says_no(1)
    assert load.swap.read(0, PAGE) == before and load.handed()[0]


def test_no_handover_with_a_mark_that_cannot_be_taken(load):
    mark_in_boot_bits(load)
    load.swap.put_image()
    rig.run("blockdev", "--setro", load.swap.device)
    load.machine.scratch.undo.callback(rig.run, "blockdev", "--setrw", load.swap.device)
    before = load.swap.read(0, PAGE)
    load(cmdline=f"resume=UUID={load.swap.uuid}").says_no(1, load.swap.device)
    assert load.handed() == ("", "") and load.swap.read(0, PAGE) == before


def test_a_mark_in_a_released_boot_filesystem(load):
    machine, plan = load.machine, load.machine.scratch.path / "plan"
    machine("prepare", "--unmount", f"--plan={plan}").done()
    machine.tool("mark", f"--plan={plan}").done()
    assert envblock.state(machine.grub_reads()) == "armed"
    load.swap.put_image()
    load(f"--plan={plan}").says_no(1)
    assert envblock.state(machine.grub_reads()) == "taken" and load.handed()[0]
    assert not machine.fs.is_in_use()


def test_a_mark_in_a_held_boot_filesystem_is_not_touched(load):
    """GRUB has taken it, or nobody can."""
    machine, plan = load.machine, load.machine.scratch.path / "plan"
    machine("prepare", f"--plan={plan}").done()
    machine("mark").done()
    load.swap.put_image()
    load(f"--plan={plan}").says_no(1)
    assert envblock.state(machine.grub_reads()) == "armed" and load.handed()[0]


def test_not_root(load):
    result = load.machine.tool("resume", prefix=rig.AS_NOBODY)
    assert result.status == 1
