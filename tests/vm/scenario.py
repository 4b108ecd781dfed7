# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Steps that the scenarios share: using hibctl in a guest, falling asleep, reading what GRUB found out."""

import json
from dataclasses import dataclass

from . import envblock, grubcfg
from .machine import MEMORY_MIB, PATIENT, Firmware, Machine, Witness

DONE, FAILED, NOTHING, REFUSED, NO_STORE, USAGE = 0, 1, 2, 3, 4, 64

PLAN = "/run/hibctl/plan"

RESUME_TITLE = "Resume the hibernated session"
DISCARD_TITLE = "Discard the hibernated session"

# Variables that other tools may have in the environment block. None of them may ever change.
OTHERS = (("saved_entry", "stock"), ("keep", "this, and a \\\\\\\\ too"), ("last", "one"))


@dataclass(frozen=True)
class Finding:
    """What the section in grub.cfg found out when the machine was switched on."""

    path: str
    verdict: str
    reason: str


def findings(machine):
    """One for each time that GRUB read its configuration since the machine was switched on."""
    return [Finding(*found) for found in grubcfg.FINDING.findall(machine.console.text)]


def wait_finding(machine, timeout=PATIENT):
    """Waits until GRUB has read its configuration, and returns what it found."""
    machine._until(lambda: findings(machine), timeout, "GRUB's configuration to be read")
    return findings(machine)[-1]


# ---- hibctl in the guest ----


# Most tests are about marks on disk, also on machines with UEFI, where a variable would be the first choice.
ON_DISK = "/etc/hibctl/hibctl.conf.d/on-disk.conf"


def setup(machine, on_disk=True):
    """Returns what it said."""
    if on_disk:
        machine.run(f"mkdir -p {ON_DISK.rpartition('/')[0]} && echo Store=env bootbits >{ON_DISK}")
    result = machine.run("hibctl setup --modules=/usr/lib/hibctl", check=False)
    assert result.status in (DONE, NOTHING), result
    return result.output


def json_in(output):
    """Of what "hibctl --json" said; explanations may stand before it."""
    return json.loads(output[output.index("{"):])


def mark(machine, options="--store=env"):
    """Marks as the sleep hook does: the kernel knows already where the image will be."""
    machine.run(f"suspend-to-disk --prepare && hibctl mark {options}")


def status(machine):
    """What hibctl says of the next power-on."""
    result = machine.run("hibctl --json status", check=False)
    assert result.status in (DONE, NOTHING), result
    said = json.loads(result.output)
    assert (result.status == NOTHING) == (said["reason"] == "nothing"), result
    return said


def assert_nothing_armed(machine):
    said = status(machine)
    assert (said["verdict"], said["reason"]) == ("normal", "nothing"), said
    assert said["stores"]["env"]["mark"] == {"state": "none"}, said


def settle(machine):
    machine.run("hibctl settle")


# ---- the environment block ----


def assert_only_mark_differs(before, after):
    """The slot is where it was, and every byte outside it is what it was."""
    assert len(after) == len(before)
    assert envblock.without_mark(after) == envblock.without_mark(before)


def assert_mark(machine, state, block=None):
    """The mark in the environment block, or in BLOCK, has this state, and names this machine's image and kernel."""
    disk = machine.disk
    mark_ = envblock.mark(disk.grubenv() if block is None else block)
    layout, release = disk.layout, disk.kernel.release
    expected = {"magic": "hib1", "state": state, "image": layout.resume_tag, "offset": str(disk.swap_offset),
                "page_size": "4096", "fs_uuid": layout.boot_uuid, "kernel": f"{layout.boot_folder}/vmlinuz-{release}",
                "initrd": f"{layout.boot_folder}/initrd.img-{release}", "release": release, "verify": "header"}
    assert expected.items() <= mark_.items()


# ---- falling asleep ----


def prepare(machine, options=""):
    """Prepares for a save kernel, and returns the plan."""
    machine.run(f"suspend-to-disk --prepare && hibctl prepare {options}")
    return machine.read_file(PLAN)


def fall_asleep(disks, firmware, layout, folder, marked=True, boot_mounted=True, module=True, variables=OTHERS,
                entries="", prepared=None, memory_mib=MEMORY_MIB, on_disk=True):
    """Boots a machine, sets hibctl up, marks and hibernates. BOOT_MOUNTED: whether the sleeping system still has its
    boot filesystem mounted. PREPARED: options of "hibctl prepare", which then takes the place of marking. ON_DISK: no mark
    goes into an EFI variable."""
    disk = disks.disk(layout, module=module, variables=variables, entries=entries)
    if firmware is Firmware.SEABIOS:
        disk.pin_kernel()
    with Machine(disk, firmware, folder, memory_mib) as machine:
        machine.boot()
        setup(machine, on_disk)
        block = disk.grubenv()
        witness = Witness(machine)
        if not boot_mounted:
            machine.run("umount /boot/efi; umount /boot")
        plan = None
        if prepared is not None:
            if "--unmount" in prepared:
                machine.run("umount /boot/efi", check=False)  # it is on top of /boot
            plan = prepare(machine, prepared)
        elif marked:
            mark(machine, "--store=env" if on_disk else "")
        else:
            machine.run("suspend-to-disk --prepare")
        machine.hibernate()
        return machine.leave_asleep(witness, block, plan)
