# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A machine that really hibernated comes back through an initramfs that mkinitramfs or dracut made. The boot loader is
passed over, so that the mark is still armed: it is hibctl in the initramfs that takes it."""

import pytest

from cli import rig as cli
from grub import marks
from vm import envblock, grubcfg, host, scenario
from vm.disk import DiskMaker
from vm.layout import BOOT_UUID, ROOT_UUID, SWAP_UUID, Layout
from vm.machine import Came, Firmware, Machine, Witness

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sessions")]  # one machine that falls asleep is enough

MEMORY_MIB = 512  # what is in these initramfs is for every machine
RESUME = f"resume=UUID={SWAP_UUID}"
ROOT = f"console=ttyS0 panic=-1 {grubcfg.LESS_WORK} root=UUID={ROOT_UUID} rd.shell=0"


@pytest.fixture(scope="module")
def sleeping():
    """The machine, and space for copies of it."""
    space = host.Scratch()
    disks = DiskMaker(space, host.Kernel(), host.tool_under_test(), host.modules_under_test(), grubcfg.scripts_under_test())
    yield space, scenario.fall_asleep(disks, Firmware.SEABIOS, Layout(), space.folder("asleep"), marked=False,
                                      memory_mib=MEMORY_MIB)
    space.remove()


@pytest.fixture
def machine(sleeping):
    """Switched off, asleep, with an armed mark in the boot bits."""
    space, asleep = sleeping
    folder = space.folder("machine")
    disk = asleep.disk.copy(folder / "disk.img")
    disk.write_raw(disk.swap_start(), marks.env_block(("hib_mark", marks.Mark(f"UUID={SWAP_UUID}", BOOT_UUID).text())))
    with Machine(disk, Firmware.SEABIOS, folder, MEMORY_MIB, asleep=asleep) as machine:
        yield machine
    disk.path.unlink()


@pytest.mark.parametrize("maker,kind", [("initramfs-tools", "load"), ("dracut", "load"), ("dracut", "systemd")])
def test_a_session_comes_back(machine, sleeping, stage, images, maker, kind):
    _, asleep = sleeping
    direct = host.Direct(stage.kernel, images(maker, kind).file, f"{ROOT} {RESUME}")
    machine.power_on(direct)
    assert machine.wait_guest() is Came.RESUMED
    Witness(machine, asleep).check()
    assert envblock.mark(machine.disk.boot_bits())["state"] == "taken"
    assert not machine.disk.has_image()


def lasting_plan(build, hook):
    space = cli.Scratch()
    try:
        machine = cli.Machine(space, cli.Tool(build / "hibctl/hibctl"))
        machine("setup").done()
        machine("prepare", "--lasting", f"--hook={hook}").done()
        return (machine.root / "etc/hibctl/plan").read_text()
    finally:
        space.close()


def test_hooks_are_told_what_the_lasting_plan_has(machine, sleeping, stage, build, request):
    """The hook notes what it was told; the system that comes back never sees it, but the console does."""
    _, asleep = sleeping
    stage.hook("40-told", 'echo "told: $*" >/dev/console')
    request.addfinalizer((stage.root / "etc/hibctl/setup.d/40-told").unlink)
    stage.write("etc/hibctl/plan", lasting_plan(build, "40-told UUID=1234 swap"))
    request.addfinalizer((stage.root / "etc/hibctl/plan").unlink)
    made = stage.make("initramfs-tools", "load", "lasting")
    machine.power_on(host.Direct(stage.kernel, made.file, f"{ROOT} {RESUME}"))
    assert machine.wait_guest() is Came.RESUMED
    assert machine.console.says("told: UUID=1234 swap"), machine.console.text[-9000:]
    Witness(machine, asleep).check()
