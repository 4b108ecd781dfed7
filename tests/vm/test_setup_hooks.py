# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The image's device is one that GRUB cannot see and that only setup hooks make: an encrypted mapping, or a disk at the
other end of a network. Save kernel and load kernel have the same hooks, in the same initramfs.

The machine really hibernates. The save kernel is then started on its disk, marks, and switches off; GRUB starts the
load kernel by the mark alone, and that brings the session back."""

import json
import pickle
from dataclasses import dataclass

import pytest

from . import envblock, grubcfg, guest, hooks, plan, scenario
from .layout import SWAP_PARTUUID, SWAP_UUID
from .machine import Asleep, Came, Firmware, Machine, Witness
from .scenario import OTHERS, Finding, findings, wait_finding

READY = Finding("module", "resume", "ready-hint")
TAG = f"UUID={SWAP_UUID}"
PLAN = "/etc/hibctl/plan"  # in the initramfs of both kernels
UNSEEN = "GRUB cannot see an encrypted, mapped or network device"

slow = pytest.mark.slow
on_seabios = pytest.mark.parametrize("firmware", [Firmware.SEABIOS], ids=lambda firmware: firmware.value)


# ---- going to sleep ----


def initrd_of(disk):
    return f"/boot/initrd.img-{disk.kernel.release}"


def make_disk(disks, kind, folder):
    """A disk whose ordinary initramfs is the one that save and load kernel share; and that, as a file."""
    initrd = hooks.make_initramfs(disks.kernel, kind, disks.hibctl, folder)
    disk = disks.disk(variables=OTHERS)
    disk.pin_kernel()
    disk.write_file(initrd_of(disk), initrd.read_bytes())
    return disk, initrd


def move_swap(machine, device, lines):
    """Moves the running system's swap area to the device that the hooks make."""
    disk = machine.disk
    machine.run(f"""
        set -e
        swapoff -a
        dd if=/dev/zero of={disk.parts["swap"].device} bs=4096 count=1
        cd / && cpio -idu 'etc/hibctl/*' 'usr/lib/modules/*' 'usr/sbin/nbd-connect' <{initrd_of(disk)}
        mv /etc/hibctl/setup.d /etc/hibctl/by-hand""")
    for line in lines:
        machine.run(f"/etc/hibctl/by-hand/{line}")
    size = int(machine.run(f"blockdev --getsize64 {device}").output)
    machine.write_file(device, hooks.swap_header(size, SWAP_UUID))
    machine.run(f"""
        set -e
        sync
        swapon {device}
        echo - 0 >/etc/resume
        cat /sys/class/block/{device.removeprefix("/dev/")}/dev >/sys/power/resume""")


def told(lines):
    return " ".join(f"--hook='{line}'" for line in lines)


def prepare(machine, lines):
    machine.run(f"hibctl prepare --unmount {told(lines)}")
    return machine.read_file(scenario.PLAN)


def give_plan_to_load_kernel(machine, lines):
    """The hooks take their arguments from a plan there too: once for every hibernation to come."""
    machine.run(f"hibctl prepare --lasting --initramfs={initrd_of(machine.disk)} {told(lines)}")
    assert b"\nboot unknown " in machine.read_file(PLAN)


def fall_asleep(machine, device, lines):
    """Boots, sets up, prepares and hibernates to DEVICE. Returns the plan and the witness."""
    machine.boot()
    scenario.setup(machine)
    machine.run("umount /boot/efi")
    move_swap(machine, device, lines)
    refused = machine.run("hibctl prepare", check=False)
    assert refused.status == scenario.NO_STORE and UNSEEN in refused.output, refused
    give_plan_to_load_kernel(machine, lines)
    witness = Witness(machine)
    text = prepare(machine, lines)
    machine.hibernate()
    assert not machine.disk.has_image(), "GRUB could see it"
    assert machine.disk.looks_clean("boot")
    return text, witness


# ---- save kernel and load kernel ----


def mark_in_save_kernel(machine, kernel, device, lines):
    """Returns the digests of the hooks that ran."""
    disk = machine.disk
    with machine.awake_in(kernel):
        for _ in range(2):  # the hooks run the first time only
            assert machine.run(f"hibctl locate --plan={PLAN} 2>/dev/null").output.strip() == device
        refused = machine.run(f"hibctl mark --plan={PLAN} --store=bootbits", check=False)
        assert refused.status == scenario.NO_STORE and refused.output.count("\n") == 1, refused
        assert UNSEEN in refused.output, refused
        said = json.loads(machine.run(f"hibctl -q --json mark --plan={PLAN}").output)
        assert (said["armed"], said["store"], said["verify"]) == (True, "env", "hint"), said
        assert "/dev/vda" not in machine.run("cat /proc/mounts").output
    ran, digests = hooks.reports(machine.console.text)
    assert ran == lines
    assert_mark(disk, "armed")
    assert disk.looks_clean("boot")
    return digests


def assert_mark(disk, state):
    mark = envblock.mark(disk.grubenv())
    assert (mark["state"], mark["image"], mark["verify"]) == (state, TAG, "hint"), mark


def come_back(machine, witness, lines, digests):
    """GRUB goes by the hint, and the load kernel by the hooks."""
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    assert hooks.reports(machine.console.text) == (lines, digests)
    witness.check()
    assert_mark(machine.disk, "taken")


def assert_next_boot_is_ordinary(machine):
    machine.power_on(menu=True)
    assert wait_finding(machine).verdict == "normal"
    assert machine.wait_menu(grubcfg.TITLE)[0] == machine.chosen_entry() == grubcfg.TITLE
    assert machine.wait_guest() is Came.BOOTED
    assert not machine.console.says("looking for an image")
    assert hooks.reports(machine.console.text)[0] == []


def assert_holds_no_image(machine, device):
    signature = machine.run(f"dd if={device} bs=4096 count=1 iflag=direct 2>/dev/null | tail -c 10").output
    assert signature == "SWAPSPACE2", signature


# ---- dm-crypt ----


@dataclass(frozen=True)
class OnCrypt:
    asleep: Asleep
    kernel: object  # the save kernel
    lines: list  # of the plan, for the hooks

    device = "/dev/dm-0"


def make_on_crypt(disks, scratch):
    kind = hooks.crypt()
    lines = kind.lines(disks.kernel)
    disk, initrd = make_disk(disks, kind, scratch.folder("initrd"))
    with Machine(disk, Firmware.SEABIOS, scratch.folder("crypt")) as machine:
        text, witness = fall_asleep(machine, OnCrypt.device, lines)
        kernel = disks.save_kernel(text, initrd)
        return OnCrypt(machine.leave_asleep(witness, disk.grubenv(), text), kernel, lines)


@pytest.fixture(scope="module")
def on_crypt(disks, scratch):
    """A machine that sleeps in an encrypted mapping, made once and kept, also for the other workers."""
    with scratch.kept("on-crypt") as folder:
        file = folder / "asleep"
        if not file.exists():
            file.write_bytes(pickle.dumps(make_on_crypt(disks, scratch)))
        return pickle.loads(file.read_bytes())


@pytest.fixture
def sleeper(on_crypt, scratch, machine_on):
    """Such a machine, switched off; and the witness of its session."""
    asleep = on_crypt.asleep
    machine = machine_on(asleep.disk.copy(scratch.folder("disk") / "disk.img"), asleep=asleep)
    return machine, Witness(machine, asleep)


@slow
@on_seabios
def test_session_in_an_encrypted_mapping_comes_back(sleeper, on_crypt):
    machine, witness = sleeper
    digests = mark_in_save_kernel(machine, on_crypt.kernel, on_crypt.device, on_crypt.lines)
    scenario.assert_only_mark_differs(on_crypt.asleep.block, machine.disk.grubenv())
    come_back(machine, witness, on_crypt.lines, digests)
    assert_holds_no_image(machine, on_crypt.device)
    scenario.settle(machine)
    scenario.assert_nothing_armed(machine)
    machine.shut_down()
    assert_next_boot_is_ordinary(machine)


def break_hook_of_load_kernel(disk, text, lines, folder):
    """The load kernel's hook is told another partition, which is not there. Returns what the hooks are told now."""
    wrong = [line.replace(SWAP_PARTUUID, "9a27dead" + SWAP_PARTUUID[8:]) for line in lines]
    (old,) = set(lines) - set(wrong)
    (new,) = set(wrong) - set(lines)
    (folder / "before").write_bytes(disk.read_file(initrd_of(disk)))
    text = plan.seal(text.replace(f"hook {old}\n".encode(), f"hook {new}\n".encode()))
    disk.write_file(initrd_of(disk), guest.append_file(folder / "before", PLAN.lstrip("/"), text, folder).read_bytes())
    return wrong


@slow
@on_seabios
def test_hook_that_fails_in_the_load_kernel_does_not_hold_the_machine_up(sleeper, on_crypt, scratch):
    machine, witness = sleeper
    mark_in_save_kernel(machine, on_crypt.kernel, on_crypt.device, on_crypt.lines)
    wrong = break_hook_of_load_kernel(machine.disk, on_crypt.asleep.plan, on_crypt.lines, scratch.folder("load"))
    machine.power_on()
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [READY]
    assert hooks.reports(machine.console.text)[0] == wrong, "more than once"
    assert machine.console.says("20-crypt: the setup hook failed with status 1")
    assert machine.console.says("hibctl locate: status 1")
    assert witness.is_gone()
    assert_mark(machine.disk, "taken")
    machine.shut_down()
    assert_next_boot_is_ordinary(machine)


# ---- network ----


@slow
@on_seabios
def test_session_on_a_network_disk_comes_back(disks, scratch, logs, firmware):
    device = "/dev/nbd0"
    folder = scratch.folder("network")
    with hooks.Server(folder) as server:
        kind = hooks.nbd(server.port)
        lines = kind.lines(disks.kernel)
        disk, initrd = make_disk(disks, kind, folder)
        with hooks.NetworkMachine(disk, firmware, logs) as machine:
            text, witness = fall_asleep(machine, device, lines)
            digests = mark_in_save_kernel(machine, disks.save_kernel(text, initrd), device, lines)
            come_back(machine, witness, lines, digests)
            # The connection of the kernel that came back ended when the machine was switched off. It learns that when
            # it uses it, and only then takes another.
            machine.run(f"""
                dd if={device} of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null &
                sleep 2
                nbd-connect --again 10.0.2.2 {server.port} 0 && wait $!""")
            assert_holds_no_image(machine, device)
            scenario.settle(machine)
            scenario.assert_nothing_armed(machine)
            machine.shut_down()
            assert_next_boot_is_ordinary(machine)
