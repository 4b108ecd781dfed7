# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The harness itself: what the other tests rely on, without any part of the project on the disk."""

import pytest

from . import envblock, grubcfg, host
from .console import Console
from .disk import differing_sectors
from .layout import Boot, Layout, Swap
from .machine import Came, Firmware, MachineError, Witness

RESUME = "Resume by hand"

slow = pytest.mark.slow
on_seabios = pytest.mark.parametrize("firmware", [Firmware.SEABIOS], ids=lambda firmware: firmware.value)


def disk_with_resume_entry(disks, kernel, layout):
    """A disk with a second menu entry, which resumes."""
    parameters = f"resume={layout.resume_tag}"
    if layout.swap is Swap.FILE:
        parameters += f" resume_offset={disks.disk(layout).swap_offset}"
    return disks.disk(layout, entries=grubcfg.entry(layout, kernel, RESUME, parameters, ident="by-hand"))


def choose_resume(machine):
    machine.wait_menu(RESUME)
    machine.choose(RESUME)


def widest_light_run(path):
    """The longest run of light pixels in a row of a PPM picture, as a share of its width: the bar of a menu."""
    _, size, _, pixels = path.read_bytes().split(b"\n", 3)
    width, height = (int(word) for word in size.split())
    assert len(pixels) == 3 * width * height
    rows = (pixels[y * 3 * width : (y + 1) * 3 * width : 3] for y in range(height))  # red is enough
    light = bytes(0 if value < 100 else 1 for value in range(256))
    return max(len(run) for row in rows for run in row.translate(light).split(b"\0")) / width


@slow
def test_same_session_comes_back(plain_disks, kernel, machine_on, logs):
    disk = disk_with_resume_entry(plain_disks, kernel, Layout())
    machine = machine_on(disk).boot()
    witness = Witness(machine)
    machine.hibernate()
    assert disk.has_image()
    machine.power_on(menu=True)
    machine.wait_menu(RESUME)
    machine.screenshot(logs / "menu.png")
    assert (logs / "menu.png").read_bytes().startswith(b"\x89PNG")
    machine.screenshot(logs / "menu.ppm")
    assert widest_light_run(logs / "menu.ppm") > 0.5, "no menu on the display"
    choose_resume(machine)
    assert machine.wait_guest() is Came.RESUMED
    witness.check()
    assert not disk.has_image()
    machine.shut_down()
    assert machine.power_ons == 2


@slow
def test_fresh_boot_is_not_taken_for_a_resume(plain_disks, kernel, machine_on):
    machine = machine_on(disk_with_resume_entry(plain_disks, kernel, Layout())).boot()
    witness = Witness(machine)
    machine.cut_power()
    machine.power_on(menu=True)
    choose_resume(machine)
    assert machine.wait_guest() is Came.BOOTED
    assert machine.console.says("guest: the kernel did not resume")
    assert witness.is_gone()


@slow
@on_seabios
@pytest.mark.parametrize("boot", [Boot.ROOT, Boot.ESP], ids=lambda boot: boot.value)
def test_resume_from_a_swap_file(plain_disks, kernel, machine_on, boot):
    machine = machine_on(disk_with_resume_entry(plain_disks, kernel, Layout(boot, Swap.FILE))).boot()
    witness = Witness(machine)
    machine.hibernate()
    assert machine.disk.has_image()
    machine.power_on(menu=True)
    choose_resume(machine)
    assert machine.wait_guest() is Came.RESUMED
    witness.check()


@slow
@on_seabios
def test_menu_that_waits_for_somebody_waits_also_where_no_menu_is_asked_for(plain_disks, machine_on):
    """Else a boot that hangs there would not be noticed."""
    machine = machine_on(plain_disks.disk(entries="set timeout=-1\n"))
    machine.power_on()
    machine.wait_screen(grubcfg.TITLE)
    machine.rest(3)
    assert not machine.console.says("Loading Linux")
    machine.choose(grubcfg.TITLE)
    assert machine.wait_guest() is Came.BOOTED


@slow
@on_seabios
def test_guest_looks_like_its_fstab(plain_disks, machine_on):
    machine = machine_on(plain_disks.disk()).boot()
    mounts = {line.split()[4]: line.split()[-2] for line in machine.run("cat /proc/self/mountinfo").output.splitlines()}
    for name, where in (("root", "/"), ("boot", "/boot"), ("esp", "/boot/efi")):
        assert mounts[where] == machine.disk.parts[name].device
    assert machine.disk.parts["swap"].device in machine.run("cat /proc/swaps").output


@slow
@on_seabios
def test_command_channel_is_exact(plain_disks, machine_on):
    machine = machine_on(plain_disks.disk()).boot()
    text = "no newline at the end; <<end of what>> 'quotes' \\ $HOME"
    assert machine.run(f"cat <<'E' | tr -d '\\n'\n{text}\nE\n").output == text
    assert machine.run("seq 1 20000 | md5sum; exit 3", check=False).status == 3
    assert machine.run("seq 1 20000").output == "".join(f"{n}\n" for n in range(1, 20001))
    with pytest.raises(MachineError, match="exit status 3"):
        machine.run("exit 3")


@slow
def test_save_kernel_on_a_machine_that_sleeps(plain_disks, kernel, machine_on):
    """The rig that other tests stand on: another kernel runs between hibernating and resuming, and leaves no trace."""
    disk = disk_with_resume_entry(plain_disks, kernel, Layout())
    machine = machine_on(disk).boot()
    witness = Witness(machine)
    machine.hibernate()
    before = disk.read_raw(0, disk.layout.size)
    with machine.awake_in(plain_disks.save_kernel(plan=b"a plan")):
        assert machine.read_file("/etc/hibctl/plan") == b"a plan"
        mounts = machine.run("cut -d ' ' -f 3 /proc/mounts").output.split()
        assert not {"ext4", "vfat"} & set(mounts), mounts
        assert disk.parts["swap"].device.removeprefix("/dev/") in machine.run("cat /proc/partitions").output
    assert disk.read_raw(0, disk.layout.size) == before
    machine.power_on(menu=True)
    choose_resume(machine)
    assert machine.wait_guest() is Came.RESUMED
    witness.check()


@slow
def test_save_kernel_that_the_running_one_jumps_into(plain_disks, machine_on):
    machine = machine_on(plain_disks.disk()).boot()
    disk = machine.disk
    assert disk.needs_recovery("root") and not disk.looks_clean("root") and not disk.looks_clean("esp")
    machine.run("umount /boot/efi && jump --load && umount /boot")
    assert disk.looks_clean("boot") and disk.looks_clean("esp")
    machine.jump()
    before = {name: disk.read_part(name) for name in disk.parts}
    assert machine.run("ls /usr/sbin/agent; cat /etc/fstab", check=False).status != 0
    device = disk.parts["swap"].device
    machine.run(f"echo here | dd of={device} bs=512 seek=1 conv=notrunc && sync")
    machine.shut_down("poweroff -nf")
    changed = {name: differing_sectors(before[name], disk.read_part(name)) for name in disk.parts}
    assert changed.pop("swap") == [1] and not any(changed.values()), changed
    assert disk.boot_bits()[512:517] == b"here\n"
    assert disk.needs_recovery("root")


@slow
@on_seabios
def test_reset_is_not_taken_for_switching_off(plain_disks, machine_on):
    machine = machine_on(plain_disks.disk()).boot()
    machine._send("reboot -f")
    with pytest.raises(MachineError, match="guest-reset"):
        machine.wait_off()


@slow
@on_seabios
def test_damaged_image_does_not_resume(plain_disks, kernel, machine_on):
    machine = machine_on(disk_with_resume_entry(plain_disks, kernel, Layout())).boot()
    witness = Witness(machine)
    machine.hibernate()
    machine.disk.damage_image()
    machine.power_on(menu=True)
    choose_resume(machine)
    assert machine.wait_guest() is Came.BOOTED
    assert witness.is_gone()


@pytest.mark.parametrize("boot", [boot for boot in Boot if boot.takes_marks], ids=lambda boot: boot.value)
def test_files_of_a_disk(plain_disks, boot):
    disk = plain_disks.disk(Layout(boot), variables=(("saved_entry", "stock"),))
    path = disk.grubenv_path
    before = disk.grubenv()
    assert envblock.variables(before) == {"saved_entry": "stock"}
    disk.patch_grubenv(lambda block: block[:-600] + b"x" * 600)
    assert disk.grubenv() == before[:-600] + b"x" * 600
    disk.write_file(path, b"y" * 1025)
    assert disk.grubenv() == b"y" * 1025
    disk.write_file(path, b"")
    assert disk.exists(path) and disk.grubenv() == b""
    disk.remove_file(path)
    assert not disk.exists(path)


@slow
@pytest.mark.parametrize("boot", [boot for boot in Boot if not boot.takes_marks], ids=lambda boot: boot.value)
def test_files_that_can_only_be_read(plain_disks, boot):
    disk = plain_disks.disk(Layout(boot), variables=(("saved_entry", "stock"),))
    before = disk.read_raw(0, disk.layout.size)
    assert envblock.variables(disk.grubenv()) == {"saved_entry": "stock"}
    for change in (lambda: disk.patch_grubenv(lambda block: block), lambda: disk.write_file(disk.grubenv_path, b"y"),
                   lambda: disk.remove_file(disk.grubenv_path)):
        with pytest.raises(host.HostError, match="only be read"):
            change()
    assert disk.read_raw(0, disk.layout.size) == before


@pytest.mark.slow
def test_swap_areas_of_a_disk(plain_disks):
    for swap in (Swap.PARTITION, Swap.FILE):
        disk = plain_disks.disk(Layout(swap=swap, second_swap=True))
        assert not disk.has_image() and not disk.has_image(second=True)
        disk.plant_image_header(second=True)
        assert not disk.has_image() and disk.has_image(second=True)
        disk.plant_image_header()
        assert disk.has_image()


def test_environment_block_as_grub_editenv_sees_it(tmp_path):
    block = tmp_path / "grubenv"
    block.write_bytes(envblock.make({"a": "1", "b": "two words"}))
    assert host.run("grub-editenv", block, "list") == b"a=1\nb=two words\n"
    host.run("grub-editenv", block, "set", "c=3")
    assert envblock.variables(block.read_bytes()) == {"a": "1", "b": "two words", "c": "3"}


def test_console_that_loses_bytes(tmp_path):
    """OVMF does so on a busy host: two sequences become one that no terminal knows."""
    console = Console(tmp_path / "log")
    for mangled in (b"\x1b[1;2A", b"\x1b[1;2;3H", b"\x1b[2;3B", b"\x1b[3;4d", b"\x1b[1;\a2D"):
        console.feed(mangled + b"on ")
    console.feed(b"\x1b[2;3Hthere")
    assert console.screen().splitlines()[:2] == ["on on on on on", "  there"]
