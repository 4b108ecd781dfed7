# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A save kernel marks for a system that sleeps and has its filesystems mounted still.

Two ways lead there. In the first the machine really hibernates, and the save kernel is then started on its disk: what
GRUB resumes afterwards is the real session. In the other the running system jumps into the save kernel by kexec, as
on a real machine, with no image but a header that looks like one."""

import contextlib
import shutil
import time

import pytest

from . import envblock, grubcfg, plan, scenario
from .disk import SECTOR, differing_sectors, replay
from .layout import PAGE, Boot, Layout, Swap
from .machine import Came, Firmware
from .scenario import OTHERS, Finding, findings, wait_finding

READY = Finding("module", "resume", "ready")
PLAN = "/etc/hibctl/plan"  # in the save kernel's initramfs

slow = pytest.mark.slow
on_seabios = pytest.mark.parametrize("firmware", [Firmware.SEABIOS], ids=lambda firmware: firmware.value)

BOOT_IN_ROOT = Layout(Boot.ROOT)
RELEASED = {"marked": False, "prepared": "--unmount"}  # the boot filesystem is unmounted before the machine sleeps
HELD = {"marked": False, "prepared": ""}


@contextlib.contextmanager
def changes(disk):
    """Which sectors of which partition differ at the end from what they were."""
    found = {}
    before = {name: disk.read_part(name) for name in disk.parts}
    yield found
    for name, bytes_before in before.items():
        sectors = differing_sectors(bytes_before, disk.read_part(name))
        if sectors:
            found[name] = sectors


def save_mark(machine):
    """Marks in the save kernel; returns the store that was used."""
    said = scenario.json_in(machine.run(f"hibctl --json mark --plan={PLAN}").output)
    assert said["armed"] and not said["dry_run"], said
    assert_nothing_mounted(machine)
    return said["store"]


def assert_nothing_mounted(machine):
    assert "/dev/vda" not in machine.run("cat /proc/mounts").output


def assert_refused(machine, command, *words):
    """Refused in one sentence for each store, the last of which has WORDS."""
    result = machine.run(command, check=False)
    assert result.status in (scenario.FAILED, scenario.REFUSED, scenario.NO_STORE), (command, result)
    said = result.output.splitlines()
    assert 1 <= len(said) <= 2 and all(word in said[-1] for word in words), (command, result)
    assert_nothing_mounted(machine)


def resume_through_grub(machine, witness):
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    assert not machine.disk.has_image()
    witness.check()


def assert_next_boot_is_ordinary(machine):
    machine.power_on(menu=True)
    assert wait_finding(machine).verdict == "normal"
    assert machine.wait_menu(grubcfg.TITLE)[0] == machine.chosen_entry() == grubcfg.TITLE
    assert machine.wait_guest() is Came.BOOTED
    assert not machine.console.says("guest: resume from")


# 1


@pytest.mark.uefi_too
@slow
def test_released_boot_filesystem_takes_the_mark_and_is_clean_afterwards(sleeper, disks):
    machine, witness = sleeper(**RELEASED)
    disk = machine.disk
    assert disk.looks_clean("boot") and disk.needs_recovery("root")
    with changes(disk) as changed:
        with machine.awake_in(disks.save_kernel(machine.plan)):
            assert save_mark(machine) == "env"
    assert set(changed) == {"boot"}
    assert disk.looks_clean("boot")
    scenario.assert_mark(machine, "armed")
    scenario.assert_only_mark_differs(machine.healthy_block, disk.grubenv())
    resume_through_grub(machine, witness)
    scenario.assert_mark(machine, "taken")
    assert " /boot " not in machine.run("cat /proc/mounts").output
    scenario.settle(machine)
    scenario.assert_nothing_armed(machine)
    assert disk.grubenv() == machine.healthy_block
    assert " /boot " in machine.run("cat /proc/mounts").output  # as it was before it slept


# 2


@slow
def test_held_boot_filesystem_is_not_touched_and_boot_bits_take_the_mark(sleeper, disks):
    machine, witness = sleeper(BOOT_IN_ROOT, **HELD)
    disk = machine.disk
    assert disk.needs_recovery("root") and disk.boot_bits() == bytes(1024)
    block = disk.grubenv()
    with changes(disk) as changed:
        with machine.awake_in(disks.save_kernel(machine.plan)):
            assert save_mark(machine) == "bootbits"
            assert "hibctl: UUID=" in machine.run("dmesg").output  # what was said, for whoever looks later
    assert changed == {"swap": [0, 1]}
    armed = disk.boot_bits()
    scenario.assert_mark(machine, "armed", armed)
    resume_through_grub(machine, witness)
    scenario.assert_mark(machine, "taken", disk.boot_bits())
    scenario.assert_only_mark_differs(armed, disk.boot_bits())
    assert disk.grubenv() == block
    assert scenario.status(machine)["verdict"] == "normal"
    machine.shut_down()
    assert_next_boot_is_ordinary(machine)


@slow
@on_seabios
def test_settle_where_the_resumed_system_swaps_to_the_area_again(sleeper, disks):
    """What is spent is in boot bits that cannot be written now, and harms nobody."""
    machine, witness = sleeper(BOOT_IN_ROOT, **HELD)
    with machine.awake_in(disks.save_kernel(machine.plan)):
        assert save_mark(machine) == "bootbits"
    resume_through_grub(machine, witness)
    result = machine.run("hibctl settle", check=False)
    assert result.status in (scenario.DONE, scenario.NOTHING), result
    assert scenario.status(machine)["verdict"] == "normal"
    machine.run("swapoff -a && hibctl settle")
    assert envblock.mark_text(machine.disk.boot_bits()) is None or b" none " in machine.disk.boot_bits()


def jump_into_save_kernel(machine, options="", just_before="true"):
    """Prepares in the running system, appends the plan to the save kernel's initramfs, and jumps. An image that is not
    one is there afterwards."""
    machine.run("cp /usr/lib/save-kernel/initrd /run/initrd && cp /boot/vmlinuz-* /run/vmlinuz")
    machine.prepared = scenario.prepare(machine, f"--initramfs=/run/initrd {options}")
    machine.run("jump --load /run/vmlinuz /run/initrd")
    machine.run(just_before)
    machine.disk.plant_image_header()
    machine.jump()
    assert machine.read_file(PLAN) == machine.prepared


@slow
def test_jump_with_a_held_boot_filesystem(disks, machine_on):
    machine = machine_on(disks.disk(BOOT_IN_ROOT, variables=OTHERS)).boot()
    disk = machine.disk
    scenario.setup(machine)
    jump_into_save_kernel(machine)
    assert disk.needs_recovery("root")
    with changes(disk) as changed:
        assert save_mark(machine) == "bootbits"
        machine.shut_down("poweroff -nf")
    assert changed == {"swap": [0, 1]}

    machine.power_on()  # there is no session: the kernel finds out, and boots
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [READY]
    scenario.assert_mark(machine, "taken", disk.boot_bits())
    machine.cut_power()
    assert_next_boot_is_ordinary(machine)


@pytest.mark.uefi_too
@slow
def test_jump_with_a_released_boot_filesystem(disks, machine_on):
    machine = machine_on(disks.disk(variables=OTHERS)).boot()
    disk = machine.disk
    scenario.setup(machine)
    machine.run("umount /boot/efi")
    jump_into_save_kernel(machine, "--unmount")
    with changes(disk) as changed:
        assert save_mark(machine) == "env"
        machine.shut_down("poweroff -nf")
    assert set(changed) == {"boot"} and disk.looks_clean("boot")
    scenario.assert_mark(machine, "armed")
    machine.power_on()
    assert wait_finding(machine) == READY


@slow
@on_seabios
def test_busy_boot_filesystem_is_not_unmounted(disks, machine_on):
    machine = machine_on(disks.disk(variables=OTHERS)).boot()
    scenario.setup(machine)
    machine.run("suspend-to-disk --prepare; cd /boot && sleep 1000 >/dev/null 2>&1 &")
    machine.run("umount /boot/efi")
    result = machine.run("hibctl prepare --unmount", check=False)
    assert result.status not in (scenario.DONE, scenario.NOTHING) and "sleep" in result.output, result
    assert " /boot " in machine.run("cat /proc/mounts").output


# 3

CLEAN_LOOKING = {
    "vfat-read-only": (Layout(Boot.ESP), "mount -o remount,ro /boot"),
    "ext4-read-only": (Layout(), "umount /boot/efi && mount -o remount,ro /boot"),
    "ext4-frozen": (Layout(), "umount /boot/efi && fsfreeze --freeze /boot"),
}


@slow
@on_seabios
@pytest.mark.parametrize("how", CLEAN_LOOKING)
def test_held_boot_filesystem_that_looks_clean(disks, machine_on, how):
    layout, command = CLEAN_LOOKING[how]
    machine = machine_on(disks.disk(layout, variables=OTHERS)).boot()
    disk = machine.disk
    scenario.setup(machine)
    jump_into_save_kernel(machine, just_before=command)
    assert disk.looks_clean(layout.boot_partition)
    with changes(disk) as changed:
        assert save_mark(machine) == "bootbits"
        machine.shut_down("poweroff -nf")
    assert changed == {"swap": [0, 1]}


@slow
@on_seabios
def test_store_that_is_not_safe_cannot_be_forced(sleeper, disks):
    machine, _ = sleeper(BOOT_IN_ROOT, **HELD)
    with changes(machine.disk) as changed:
        with machine.awake_in(disks.save_kernel(machine.plan)):
            assert_refused(machine, f"hibctl mark --plan={PLAN} --store=env")
            assert_refused(machine, "hibctl mark")
    assert not changed


# 4


def other_device(text):
    """A plan whose mark names a device that is not there."""
    mark = plan.line(text, "mark")
    return plan.with_line(text, "mark", envblock.seal(mark.replace(b"UUID=5ab00001", b"UUID=deadbeef")))


BAD_PLANS = {
    "missing": lambda text: None,
    "empty": lambda text: b"",
    "torn": lambda text: text[: len(text) // 2],
    "last-byte-missing": lambda text: text[:-1],
    "last-line-missing": lambda text: text[: text.rindex(b"crc ")],
    "one-byte-more": lambda text: text + b"\n",
    "nul": lambda text: text + b"\0",
    "one-bit": lambda text: text.replace(b"held ", b"helf ", 1),
    "huge": lambda text: text + b"#" * (1 << 20),
    "checksum": lambda text: text[:-9] + (b"00000000\n" if text[-9:] != b"00000000\n" else b"11111111\n"),
    "other-version": lambda text: plan.seal(text.replace(b"hibctl-plan 1", b"hibctl-plan 2")),
    "not-a-plan": lambda text: plan.seal(b"#!/bin/sh\ncrc 00000000\n"),
    "other-machine": lambda text: plan.with_line(text, "machine", b"00000000-1111-4222-8333-444455556666"),
    "device-gone": other_device,
    "device-replaced": lambda text: plan.with_line(text, "image-size", plan.line(text, "image-size") + b"0"),
    "no-machine": lambda text: plan.without_line(text, "machine"),
    "no-mark": lambda text: plan.without_line(text, "mark"),
    "no-size": lambda text: plan.without_line(text, "image-size"),
    "no-boot": lambda text: plan.without_line(text, "boot"),
    "mark-not-armed": lambda text: plan.seal(text.replace(b" armed ", b" taken ")),
    "mark-checksum": lambda text: plan.with_line(text, "mark", plan.line(text, "mark")[:-8] + b"00000000"),
    "mark-short": lambda text: plan.with_line(text, "mark", plan.line(text, "mark")[:-1]),
    "size-nonsense": lambda text: plan.with_line(text, "image-size", b"-1"),
    "boot-nonsense": lambda text: plan.with_line(text, "boot", b"released"),
}


@slow
@on_seabios
def test_bad_plan_is_refused_and_nothing_changes(sleeper, disks):
    machine, witness = sleeper(BOOT_IN_ROOT, **HELD)
    with changes(machine.disk) as changed:
        with machine.awake_in(disks.save_kernel(machine.plan)):
            for damage in BAD_PLANS.values():
                text = damage(machine.plan)
                machine.run("rm -f /run/plan")
                if text is not None:
                    machine.write_file("/run/plan", text[:70000])  # the rest would take long to send
                    machine.run(f"truncate -s {len(text)} /run/plan")
                assert_refused(machine, "hibctl mark --plan=/run/plan")
    assert not changed


# 5


@slow
@on_seabios
def test_swap_file(sleeper, disks):
    machine, witness = sleeper(Layout(Boot.ROOT, Swap.FILE), **HELD)
    disk = machine.disk
    with changes(disk) as changed:
        with machine.awake_in(disks.save_kernel(machine.plan)):
            assert save_mark(machine) == "bootbits"
    first = disk.swap_offset * PAGE // SECTOR
    assert changed == {"root": [first, first + 1]}
    scenario.assert_mark(machine, "armed", disk.boot_bits())
    resume_through_grub(machine, witness)


@slow
@on_seabios
def test_other_swap_area_is_left_alone(sleeper, disks):
    machine, witness = sleeper(Layout(Boot.ROOT, second_swap=True), **HELD)
    with changes(machine.disk) as changed:
        with machine.awake_in(disks.save_kernel(machine.plan)):
            assert save_mark(machine) == "bootbits"
    assert changed == {"swap": [0, 1]}
    resume_through_grub(machine, witness)


FOREIGN = {
    "boot-sector": b"\xeb\x58\x90" + b"LILO".ljust(507) + b"\x55\xaa" + bytes(512),
    "one-byte-late": bytes(1023) + b"x",
    "block-without-slot": envblock.make({"saved_entry": "stock"}),
}


@slow
@on_seabios
@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_boot_bits_are_left_alone(sleeper, disks, what):
    machine, _ = sleeper(BOOT_IN_ROOT, **HELD)
    disk = machine.disk
    disk.write_raw(disk.swap_start(), FOREIGN[what])
    with changes(disk) as changed:
        with machine.awake_in(disks.save_kernel(machine.plan)):
            assert_refused(machine, f"hibctl mark --plan={PLAN}", disk.parts["swap"].device)
    assert not changed


# 6


def cut_states(sleeper, disks, scratch, layout, how, look):
    """What LOOK sees of the disk in every state that a power cut could leave while the save kernel marks."""
    machine, _ = sleeper(layout, **how)
    log = scratch.folder("log") / "writes"
    before = machine.disk.copy(scratch.folder("before") / "disk.img")
    try:
        with machine.awake_in(disks.save_kernel(machine.plan), write_log=log):
            save_mark(machine)
        states = [look(before)]
        for _ in replay(before, log):
            state = look(before)
            if state != states[-1]:
                states.append(state)
        assert states[-1] == look(machine.disk)
        return states
    finally:
        log.unlink()
        before.path.unlink()


@slow
@on_seabios
def test_power_cut_leaves_the_old_environment_block_or_the_new(sleeper, disks, scratch):
    old, new = cut_states(sleeper, disks, scratch, Layout(), RELEASED, lambda disk: disk.grubenv())
    assert envblock.mark(old)["state"] == "none" and envblock.mark(new)["state"] == "armed"
    scenario.assert_only_mark_differs(old, new)


@slow
@on_seabios
def test_power_cut_leaves_boot_bits_without_a_mark_or_with_all_of_it(sleeper, disks, scratch):
    states = cut_states(sleeper, disks, scratch, BOOT_IN_ROOT, HELD, lambda disk: disk.boot_bits())
    assert states[0] == bytes(1024)
    assert states[1] == bytes(512) + b"#" * 512
    assert len(states) == 3 and envblock.mark(states[2])["state"] == "armed"


UNMARKED = Finding("module", "offer", "unmarked")  # somebody has to choose
WAYS = pytest.mark.parametrize("layout, how", [(Layout(), RELEASED), (BOOT_IN_ROOT, HELD)], ids=["released", "held"])
BOOTS = {Firmware.SEABIOS: 9, Firmware.OVMF: 4}  # at most, of each way


def find_once(machine):
    """Switches on until GRUB has looked."""
    machine.power_on()
    found = wait_finding(machine)
    machine.cut_power()
    assert machine.disk.has_image()
    return found


@slow
@WAYS
def test_boot_loader_after_each_power_cut(sleeper, disks, scratch, layout, how):
    """GRUB boots what a cut would leave between two writes of the save kernel; if there are many, a selection."""
    machine, _ = sleeper(layout, **how)
    log = scratch.folder("log") / "writes"
    disk = machine.disk.copy(scratch.folder("cut") / "disk.img")
    states = [disk.copy(disk.path.with_name("0"))]
    with machine.awake_in(disks.save_kernel(machine.plan), write_log=log):
        save_mark(machine)
    for number, _ in enumerate(replay(disk, log, whole=True), 1):
        states.append(disk.copy(disk.path.with_name(f"{number}")))
    boots = BOOTS[machine.firmware]
    chosen = {round(n * (len(states) - 1) / (boots - 1)) for n in range(boots)}
    found = []
    for number, state in enumerate(states):
        if number in chosen:
            state.path.rename(machine.disk.path)
            found.append(find_once(machine))
    shutil.rmtree(disk.path.parent)
    marked = found.index(READY)
    assert 0 < marked and found == [UNMARKED] * marked + [READY] * (len(found) - marked), found


@slow
@WAYS
def test_machine_that_is_switched_off_while_it_marks(sleeper, disks, scratch, layout, how):
    """At moments that are spread over the time that it takes."""
    machine, witness = sleeper(layout, **how)
    kernel = disks.save_kernel(machine.plan)
    asleep = machine.disk.copy(scratch.folder("asleep") / "disk.img")
    with machine.awake_in(kernel):
        began = time.monotonic()
        save_mark(machine)
        takes = time.monotonic() - began
    moments = BOOTS[machine.firmware] // 3 + 1
    for moment in range(moments):
        asleep.copy(machine.disk.path)
        with machine.awake_in(kernel):
            machine._send(f"hibctl mark --plan={PLAN}")
            machine.rest(takes * moment / moments)
            machine.cut_power()
        found = find_once(machine)
        assert found in (UNMARKED, READY), (moment, found)
    asleep.path.unlink()
    if found == UNMARKED:
        machine.power_on(menu=True)
        machine.wait_menu(grubcfg.TITLE, scenario.RESUME_TITLE)
        machine.choose(scenario.RESUME_TITLE)
        assert machine.wait_guest() is Came.RESUMED
        witness.check()
    else:
        resume_through_grub(machine, witness)


# 7


@slow
@on_seabios
@WAYS
def test_load_kernel_resumes_once(sleeper, disks, layout, how):
    """The boot loader did not look: the load kernel does, with the setup of the save kernel."""
    machine, witness = sleeper(layout, **how)
    kernel = disks.save_kernel(machine.plan)
    with machine.awake_in(kernel):
        save_mark(machine)
    machine.come_back(kernel, f"hibctl resume --plan={PLAN}")
    witness.check()
    disk = machine.disk
    scenario.assert_mark(machine, "taken", disk.grubenv() if how is RELEASED else disk.boot_bits())
    assert not machine.disk.has_image()
    machine.cut_power()
    assert_next_boot_is_ordinary(machine)


@slow
@on_seabios
def test_load_kernel_without_an_image_goes_on(sleeper, disks):
    machine, _ = sleeper(BOOT_IN_ROOT, **HELD)
    kernel = disks.save_kernel(machine.plan)
    machine.disk.damage_image()
    with machine.awake_in(kernel):
        save_mark(machine)
    with machine.awake_in(kernel):
        result = machine.run(f"hibctl resume --plan={PLAN}", check=False)
        assert result.status not in (scenario.DONE, scenario.USAGE) and result.output, result
    assert_next_boot_is_ordinary(machine)


# 8


@slow
@on_seabios
@pytest.mark.parametrize("how", [{}, RELEASED], ids=["marked-before", "marked-by-save-kernel"])
def test_another_tool_does_not_bring_the_old_mark_back(sleeper, disks, how):
    """The resumed system may have cached the environment block as it was before GRUB took the mark."""
    machine, witness = sleeper(**how)
    if how:
        with machine.awake_in(disks.save_kernel(machine.plan)):
            save_mark(machine)
    resume_through_grub(machine, witness)
    scenario.settle(machine)
    assert " /boot " in machine.run("cat /proc/mounts").output
    machine.run("grub-editenv /boot/grub/grubenv set keep=else && sync")
    scenario.assert_nothing_armed(machine)
    machine.shut_down()
    block = machine.disk.grubenv()
    assert envblock.mark_text(block).startswith(b"hib1 none ")
    assert envblock.variables(block)["keep"] == "else"
    assert_next_boot_is_ordinary(machine)
