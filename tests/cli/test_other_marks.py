# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Marks that are not simply this system's own and good: of another system that sleeps, tried already, or of a device
that the boot loader cannot see."""

import dataclasses

import pytest

from . import envblock, rig
from .envblock import Mark


@pytest.fixture
def other(scratch):
    """A swap area that is not the one of this system."""
    return rig.Swap(scratch, "other")


@pytest.fixture
def put(machine, other):
    """Puts a mark of the other area into the slot; returns the block."""
    good = Mark(image=f"UUID={other.uuid}", filesystem=machine.fs.uuid, kernel=f"/boot/{machine.kernel.name}",
                initrd=f"/boot/{machine.initrd.name}", release=rig.RELEASE)

    def call(**change):
        block = envblock.make([(envblock.NAME, dataclasses.replace(good, **change).text()), (b"saved_entry", b"mine")])
        machine.put_block(block)
        return block

    return call


# ---- another system on this machine, which shares the block ----


@pytest.mark.parametrize("verify", ["header", "hint"])
@pytest.mark.parametrize("state", ["armed", "taken"])
def test_mark_of_another_session_stays(machine, other, put, state, verify):
    before = put(state=state, verify=verify)
    other.put_image()
    for argv in (["mark"], ["mark", "--dry-run"], ["mark", f"--image={machine.swap.device}"]):
        machine(*argv).says_no(3, machine.block, other.uuid, "cancel --discard-image")
        assert machine.grub_reads() == before


@pytest.mark.parametrize("state", ["armed", "taken"])
def test_mark_of_another_session_that_is_over(machine, other, put, state):
    """Its image is gone, or the whole device: nothing is lost."""
    before = put(state=state)
    machine("mark").done()
    put(state=state)
    machine.scratch.detach(other.device)
    machine("mark").done()
    after = machine.grub_reads()
    assert envblock.parse(envblock.slot(after))["image"] == f"UUID={machine.swap.uuid}"
    assert envblock.without_slot(after) == envblock.without_slot(before)


def test_mark_of_another_session_that_is_out_of_sight(machine, other, put):
    """On an encrypted device, which that system alone unlocks: it may be there still. Once taken, it is over."""
    before = put(verify="hint")
    machine.scratch.detach(other.device)
    for argv in (["mark"], ["mark", "--dry-run"]):
        result = machine(*argv).says_no(3, machine.block, other.uuid, "'hibctl cancel'")
        assert "cannot be seen" in result.err and machine.grub_reads() == before
    machine("cancel").done()
    machine("mark").done()
    put(verify="hint", state="taken")
    machine("mark").done()


def test_another_area_on_the_same_device(machine, other, put):
    """As two swap files of one filesystem: the offset tells them apart."""
    before = put(offset="16")
    other.write(17 * 4096 - 20, b"SWAPSPACE2S1SUSPEND\0")
    machine("mark", f"--image={other.device}").says_no(3, other.uuid)
    assert machine.grub_reads() == before


@pytest.mark.parametrize("state", ["armed", "taken"])
def test_mark_of_the_same_image_is_renewed(machine, other, put, state):
    put(state=state)
    other.put_image()
    machine("mark", f"--image={other.device}").done()
    fields = envblock.parse(envblock.slot(machine.grub_reads()))
    assert fields["state"] == "armed" and fields["id"] != Mark().id


def test_cancelled_mark_is_nobodys(machine, other, put):
    """GRUB's script only changes the state: the fields that stay are no mark, whatever lies where they point."""
    put(state="none")
    other.put_image()
    machine("mark").done()
    assert envblock.parse(envblock.slot(machine.grub_reads()))["image"] == f"UUID={machine.swap.uuid}"


# ---- tried already ----


def test_settle_leaves_what_was_tried(machine, other, put):
    before = put(state="taken")
    other.put_image()
    result = machine("settle").nothing()
    assert "left alone" in result.err and "hibctl cancel --discard-image" in result.err, result
    assert "one attempt" in result.err, "and why"
    assert machine("--json", "settle").nothing().json() == {"cleared": False, "disarmed": False, "was": "tried"}
    assert machine.grub_reads() == before
    machine("cancel", "--discard-image").done()
    assert other.read(4086, 10) == b"SWAPSPACE2" and envblock.state(machine.grub_reads()) == "none"


def test_settle_names_no_remedy_where_none_is_needed(machine, other, put):
    put()
    other.put_image()
    result = machine("settle").nothing()
    assert "left alone" in result.err and "cancel" not in result.err, result


# ---- hints ----

IMAGES = {
    "present": lambda other: other.put_image(),
    "gone": lambda other: other.remove_image(),
    "foreign": lambda other: other.put_image(b"ULSUSPEND\0"),
    "no-device": lambda other: other.scratch.detach(other.device),
}


@pytest.mark.parametrize("state,image,reason,spent", [
    ("armed", "present", "ready-hint", False),
    ("armed", "gone", "ready-hint", True),
    ("armed", "foreign", "ready-hint", False),
    ("armed", "no-device", "ready-hint", False),
    ("taken", "present", "spent", False),
    ("taken", "gone", "spent", True),
    ("taken", "foreign", "spent", True),
    ("taken", "no-device", "spent", True),
])
def test_hint(machine, scratch, other, put, state, image, reason, spent):
    """The verdict is that of the boot loader, which cannot look and believes the mark once. What is seen from here is
    shown beside it, and decides what settle clears."""
    other.scratch = scratch
    before = put(state=state, verify="hint")
    IMAGES[image](other)
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("resume" if state == "armed" else "normal", reason)
    assert told["stores"]["env"]["spent"] is spent
    mark = told["stores"]["env"]["mark"]
    assert (mark["verify"], mark["image_state"]) == ("hint", image)
    assert mark["image_device"] == (None if image == "no-device" else other.device)
    words = {"present": "image there", "gone": "no image there", "foreign": "another kind", "no-device": "not there"}
    assert words[image] in next(line for line in machine("status").done().out.decode().splitlines() if other.uuid in line)

    result = machine("settle")
    after = machine.grub_reads()
    assert envblock.without_slot(after) == envblock.without_slot(before)
    if spent:
        assert result.status == 0 and "cleared" in result.err, result
        assert envblock.slot(after) == envblock.EMPTY
    else:
        assert result.status == 2 and "left alone" in result.err, result
        assert after == before


@pytest.mark.parametrize("state,image,words", [
    ("armed", "present", "left alone: a hibernated session is marked and its image is there"),
    ("armed", "gone", "cleared: the mark is stale"),
    ("taken", "present", "left alone ('hibctl cancel --discard-image' gives the session up): one attempt"),
    ("taken", "gone", "cleared: the mark was used already"),
])
def test_settle_tells_of_a_hint_what_is_seen_here(machine, scratch, other, put, state, image, words):
    """Not what the boot loader would say, which cannot look."""
    put(state=state, verify="hint")
    IMAGES[image](other)
    assert words in machine("settle").err


def test_settle_tells_of_the_mark(machine, put):
    """Not of an image on another device, about which it does nothing."""
    machine.swap.put_image()
    put()
    result = machine("--json", "settle").done()
    assert "cleared: the mark is stale" in result.err and result.json() == {"cleared": True, "disarmed": False, "was": "stale"}, result


def test_hint_without_its_kernel(machine, put):
    """The mark is believed, not the kernel: that can be seen."""
    put(verify="hint", kernel="/boot/not-there")
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("normal", "kernel-gone")


def test_hint_is_discarded_as_others_are(machine, other, put):
    put(verify="hint")
    other.put_image()
    machine("cancel", "--discard-image").done()
    assert other.read(4086, 10) == b"SWAPSPACE2" and envblock.state(machine.grub_reads()) == "none"


def test_hint_without_an_image_is_not_promised(machine, put, other):
    """The boot loader believes it, and starts the kernel for nothing."""
    put(verify="hint")
    first = machine("status").done().out.decode().splitlines()[0]
    assert "no image" in first and other.device in first and "boot normally" in first, first
    other.put_image()
    assert "will resume the session" in machine("status").done().out.decode().splitlines()[0]


def test_cancel_tells_of_the_image_that_stays(machine, other, put):
    """An initramfs may resume it; the power-on is not an ordinary one for sure."""
    put()
    other.put_image()
    result = machine("cancel").done()
    assert other.uuid in result.err and "--discard-image" in result.err and "boots normally" not in result.err, result
    put()
    other.remove_image()
    assert "boots normally" in machine("cancel").done().err
