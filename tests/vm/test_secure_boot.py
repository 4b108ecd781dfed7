# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Secure Boot: what is refused and said, and what works all the same. Firmware with Microsoft's keys, the distribution's
shim, signed GRUB and signed kernel."""

import re

import pytest

from . import grubcfg, host, scenario, secure
from .machine import Came, Firmware, Witness
from .scenario import OTHERS, Finding, findings, wait_finding

pytestmark = [pytest.mark.slow,
              pytest.mark.parametrize("firmware", [Firmware.SECURE_BOOT], ids=lambda firmware: firmware.value)]

PLAIN_NOTHING = Finding("plain", "normal", "nothing")
PLAIN_READY = Finding("plain", "resume", "ready-hint")
MEMORY_MIB = 512  # shim and GRUB keep a kernel several times while it is checked; with 256 it does not start
REFUSED = "prohibited by secure boot policy"


@pytest.fixture
def machine(disks, machine_on):
    """A machine that starts by shim, without the module in GRUB's folder."""
    disk = disks.disk(variables=OTHERS)
    secure.install(disk)
    return machine_on(disk, memory_mib=MEMORY_MIB)


@pytest.fixture
def owner(scratch):
    return secure.Owner(scratch.folder("owner"))


def set_up(machine):
    return scenario.setup(machine, on_disk=False)


def mark(machine):
    """Without a wish; says where the mark went."""
    return scenario.json_in(machine.run("suspend-to-disk --prepare && hibctl --json mark").output)["store"]


def come_back(machine, witness, finding):
    """Wakes it up, and looks whether it is the same session, and whether only once."""
    assert machine.disk.has_image()
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [finding]
    witness.check()
    machine.run("hibctl settle", check=False)
    machine.cut_power()
    machine.power_on()
    assert wait_finding(machine) == Finding(finding.path, "normal", "nothing")


# ---- nothing but what the distribution signed ----


def test_what_is_refused_and_said(machine):
    machine.boot()
    assert findings(machine) == [PLAIN_NOTHING] and not machine.console.says(REFUSED)
    said = set_up(machine)
    assert "Secure Boot is on: GRUB does not load the module" in said and "locked down (integrity)" in said

    told = scenario.status(machine)
    assert told["efi"]["secure_boot"] is True and told["efi"]["module"] is True
    assert told["hibernation"] == {"possible": False, "lockdown": "integrity"}
    text = machine.run("NO_COLOR=1 hibctl status", check=False).output
    assert re.search(r"Secure Boot +\S on: GRUB loads no module", text)
    assert re.search(r"hibernation +\S not possible: .*locked down \(integrity\)", text)

    refused = machine.run("hibctl mark --store=efi", check=False)
    assert refused.status == scenario.NO_STORE and "Secure Boot is on" in refused.output
    marked = machine.run("suspend-to-disk --prepare; hibctl mark", check=False)
    assert marked.status == scenario.DONE and "hibernating is not possible here" in marked.output, marked
    failed = machine.try_hibernate()
    assert failed and failed.status != 0
    machine.shut_down()

    # GRUB's module is there now, and is refused in words. The plain script cannot see that no image is there: the mark
    # costs one countdown, and the kernel, which is locked down, boots.
    machine.power_on()
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [PLAIN_READY] and machine.console.says(REFUSED)
    machine.shut_down()
    scenario.assert_mark(machine, "taken")

    machine.power_on(menu=True)
    assert wait_finding(machine) == PLAIN_NOTHING
    machine.wait_menu(grubcfg.TITLE)


# ---- where the owner has a word ----


def test_kernel_that_may_hibernate_comes_back_by_the_plain_script(machine, owner, kernel):
    owner.enroll(machine._nvram)
    machine.disk.write_file(f"/boot/vmlinuz-{kernel.release}", owner.free_kernel(kernel).read_bytes())
    machine.boot()
    set_up(machine)
    told = scenario.status(machine)
    assert told["efi"]["secure_boot"] is True and told["hibernation"] == {"possible": True, "lockdown": "none"}
    witness = Witness(machine)
    assert mark(machine) == "env"
    machine.hibernate()
    come_back(machine, witness, PLAIN_READY)


def test_grub_with_the_module_inside(machine, owner, kernel):
    """It sees the image, as without Secure Boot."""
    owner.enroll(machine._nvram)
    machine.disk.write_file(f"/boot/vmlinuz-{kernel.release}", owner.free_kernel(kernel).read_bytes())
    secure.install_grub(machine.disk, owner.grub_with_module(host.modules_under_test(), machine.disk.layout))
    machine.boot()
    assert findings(machine) == [Finding("module", "normal", "nothing")]
    set_up(machine)
    assert scenario.status(machine)["efi"]["secure_boot"] is True
    witness = Witness(machine)
    scenario.mark(machine, "--store=env")
    machine.hibernate()
    come_back(machine, witness, Finding("module", "resume", "ready"))


def test_shim_that_was_told_to_check_nothing(machine):
    """Then it is as without Secure Boot, and hibctl knows."""
    secure.disable_validation(machine._nvram)
    machine.boot()
    assert "Secure Boot" not in set_up(machine)
    told = scenario.status(machine)
    assert told["efi"]["secure_boot"] is False and told["hibernation"] == {"possible": True, "lockdown": "none"}
    witness = Witness(machine)
    assert mark(machine) == "efi"
    machine.hibernate()
    come_back(machine, witness, Finding("module", "resume", "ready"))


def test_unsigned_kernel_is_refused(machine, owner, kernel):
    """The machine does check signatures: what the owner signed does not start where the key is not known."""
    machine.disk.write_file(f"/boot/vmlinuz-{kernel.release}", owner.free_kernel(kernel).read_bytes())
    machine.power_on()
    machine.wait_text("bad shim signature")
    machine.wait_text("Press any key")
