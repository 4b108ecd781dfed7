# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""settle --at-boot: this system was started without the session that it has marked, and has written to its filesystems.
No later power-on may resume that by itself. What another system of the machine has marked is its own."""

import pytest

from . import envblock, rig
from .firmware import BOOT_NEXT, LOCATION, MARK, TRIED, Firmware
from .test_efi import mark, systemd, uefi  # noqa: F401
from .test_other_marks import IMAGES, other, put  # noqa: F401

WORDS = "will not resume it by itself"


def install_modules(machine, release=rig.RELEASE):
    (machine.root / "lib/modules" / release).mkdir(parents=True)


# ---- the environment block ----

OLDER = "6.1.0-older"  # another kernel of this system


@pytest.mark.parametrize("verify", ["header", "hint"])
@pytest.mark.parametrize("image", ["present", "foreign", "no-device"])
def test_a_session_whose_kernel_is_installed(machine, other, put, image, verify):
    """Also where the device was not there at this start: at the next it may be."""
    other.scratch = machine.scratch
    install_modules(machine, OLDER)
    before = put(verify=verify, release=OLDER)
    IMAGES[image](other)
    machine("settle").nothing()
    assert machine.grub_reads() == before, "who does not say that the system has just been started"
    result = machine("settle", "--at-boot").done()
    assert str(machine.block) in result.err and WORDS in result.err and len(result.err.splitlines()) == 1, result
    after = machine.grub_reads()
    assert envblock.state(after) == "taken" and envblock.without_slot(after) == envblock.without_slot(before)
    assert machine.status()["verdict"] == ("offer" if (image, verify) == ("present", "header") else "normal")


def test_a_session_whose_kernel_runs(machine, other, put):
    """As one without modules."""
    put()
    other.put_image()
    machine("settle", "--at-boot").done()
    assert envblock.state(machine.grub_reads()) == "taken"


def test_a_session_where_this_kernel_resumes_from(machine, put):
    put(release=OLDER, image=f"UUID={machine.swap.uuid}")
    machine.swap.put_image()
    result = machine("--json", "settle", "--at-boot").done()
    assert result.json() == {"cleared": False, "disarmed": True, "was": "ready"}
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("offer", "tried")
    machine("settle", "--at-boot").nothing()
    assert machine.status() == told


@pytest.mark.parametrize("verify", ["header", "hint"])
@pytest.mark.parametrize("image", ["present", "foreign", "no-device"])
@pytest.mark.parametrize("grub", ["ours", "theirs"])
def test_a_session_of_another_system(machine, other, put, image, verify, grub):
    """Whatever can be seen of it, and also if its grub.cfg is the one that is in use."""
    other.scratch = machine.scratch
    install_modules(machine)
    before = put(release="6.1.0-another", verify=verify)
    if grub == "theirs":
        machine.grub_looks_at(f"UUID={other.uuid}")
    IMAGES[image](other)
    result = machine("settle", "--at-boot").nothing()
    assert "left alone" in result.err and machine.grub_reads() == before


@pytest.mark.parametrize("release", [".", ".."])
def test_a_release_that_is_none(machine, other, put, release):
    install_modules(machine)
    before = put(release=release)
    other.put_image()
    machine("settle", "--at-boot").nothing()
    assert machine.grub_reads() == before


def test_what_is_spent_is_cleared_as_ever(machine):
    install_modules(machine)
    machine("mark").done()
    result = machine("--json", "settle", "--at-boot").done()
    assert result.json() == {"cleared": True, "disarmed": False, "was": "stale"}
    assert envblock.slot(machine.grub_reads()) == envblock.EMPTY


def test_one_mark_is_spent_and_another_overtaken(uefi, other, put):
    machine = uefi.machine
    uefi("mark", "--store=efi").done()
    machine.swap.put_image()
    put()
    result = uefi("--json", "settle", "--at-boot").done()
    assert result.json() == {"cleared": True, "disarmed": True, "was": "stale"}
    assert WORDS in result.err and "cleared" in result.err
    assert envblock.slot(machine.grub_reads()) == envblock.EMPTY and uefi.mark() is None


def test_boot_bits(make):
    machine = make(layout="boot")
    machine("setup").done()
    machine("mark", "--store=bootbits").done()
    machine.swap.put_image()
    assert machine.status()["source"] == "bootbits"
    machine("settle", "--at-boot").done()
    assert envblock.state(machine.swap.read(0, 1024)) == "taken"
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("offer", "tried")


# ---- EFI variables ----


def test_a_variable_goes(uefi, mark):
    mark("--boot-next")
    uefi.machine.swap.put_image()
    assert uefi.status()["verdict"] == "resume" and BOOT_NEXT in uefi.names()
    assert WORDS in uefi("settle", "--at-boot").done().err
    assert uefi.mark() is None and BOOT_NEXT not in uefi.names()
    told = uefi.status()
    assert (told["verdict"], told["reason"]) == ("offer", "unmarked")


def test_a_variable_that_stays(uefi, mark):
    mark("--boot-next")
    uefi.machine.swap.put_image()
    with uefi.read_only():
        result = uefi("settle", "--at-boot")
        assert result.status == 4 and "read-only" in result.err and WORDS not in result.err, result
    assert uefi.mark() is not None and BOOT_NEXT in uefi.names(), "the one goes with the other"


@pytest.mark.parametrize("note", [False, True])
@pytest.mark.parametrize("image", ["present", "no-device"])
def test_what_systemd_left_behind(systemd, image, note):
    """A note of an earlier try, which Linux may not have seen, keeps nobody from resuming by it."""
    swap = systemd.machine.swap
    swap.scratch = systemd.machine.scratch
    if note:
        systemd.put(TRIED, b"01234567")
    IMAGES[image](swap)
    assert systemd("settle").status == 2 and LOCATION in systemd.names()
    result = systemd("--json", "settle", "--at-boot").done()
    assert result.json() == {"cleared": False, "disarmed": True, "was": "ready" if image == "present" else "no-device"}
    assert "HibernateLocation" in result.err and WORDS in result.err
    assert not {LOCATION, TRIED} & systemd.names()


def test_what_systemd_left_behind_and_was_tried(systemd):
    """GRUB knows that, and goes on knowing it."""
    systemd.put_note(systemd.machine.swap)
    systemd("settle", "--at-boot").nothing()
    assert {LOCATION, TRIED} <= systemd.names()


def test_systemds_variable_goes_first(systemd):
    """Cut off in between, GRUB would resume by it."""
    uefi = systemd
    uefi("mark", "--store=efi", f"--image={uefi.machine.swap.device}").done()
    log = uefi.machine.scratch.path / "calls"
    uefi("settle", "--at-boot", prefix=("strace", "-f", "-qq", "-o", log, "-e", "trace=unlink,unlinkat")).done()
    calls = log.read_text()
    assert 0 < calls.index("HibernateLocation") < calls.index("HibctlMark")
    assert not {LOCATION, MARK} & uefi.names()


@pytest.mark.parametrize("release", ["6.1.0-another", None])
def test_what_another_systemd_left_behind(systemd, other, release):
    systemd.put_location(other, release=release)
    other.put_image()
    systemd("settle", "--at-boot").nothing()
    assert LOCATION in systemd.names()


def test_systemds_variable_stays(systemd):
    with systemd.read_only():
        result = systemd("settle", "--at-boot")
        assert result.status == 4 and "read-only" in result.err and WORDS not in result.err, result
    assert LOCATION in systemd.names()


def test_the_block_cannot_be_reached(make):
    """Then what is marked elsewhere is disarmed all the same."""
    uefi = Firmware(make(layout="fstab"))
    uefi.machine("setup").done()
    uefi("mark", "--store=efi").done()
    uefi.machine.swap.put_image()
    uefi.machine.scratch.detach(uefi.machine.fs.device)
    assert uefi("settle").status != 0 and uefi.mark() is not None
    result = uefi("settle", "--at-boot")
    assert result.status not in (0, 2) and uefi.machine.fs.uuid in result.err and WORDS in result.err, result
    assert uefi.mark() is None


def test_one_is_disarmed_and_another_left_alone(uefi, mark, other, put):
    mark()
    uefi.machine.swap.put_image()
    before = put(release="6.1.0-another")
    other.put_image()
    result = uefi("settle", "--at-boot").done()
    assert WORDS in result.err and "left alone" in result.err, result
    assert uefi.mark() is None and uefi.machine.grub_reads() == before


def test_nothing_is_marked(uefi):
    uefi("settle", "--at-boot").nothing()
    assert MARK not in uefi.names()
