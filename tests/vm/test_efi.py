# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Marks in EFI variables, and systemd's HibernateLocation, on real UEFI firmware.

What is in the firmware's variables is looked at in its flash memory while the machine is off."""

import json
import struct
import time
import uuid

import pytest

from grub.nvram import GLOBAL, LOCATION, MARK, OURS, TRIED, Nvram

from . import envblock, grubcfg, host, scenario
from .layout import SWAP_UUID, Boot, Layout
from .machine import PATIENT, Came, Firmware, Witness
from .scenario import OTHERS, RESUME_TITLE, Finding, findings, wait_finding
from .test_save_kernel import HELD, PLAN, READY, UNMARKED, changes, find_once, jump_into_save_kernel, save_mark

pytestmark = [pytest.mark.slow,
              pytest.mark.parametrize("firmware", [Firmware.OVMF], ids=lambda firmware: firmware.value)]

NOTHING = Finding("module", "normal", "nothing")
BOOT_IN_ROOT = Layout(Boot.ROOT)
VARIABLES = "/sys/firmware/efi/efivars"


def nvram(machine):
    return Nvram(machine._nvram)


def armed(machine):
    """The state of the mark in the variable, or None if there is no variable."""
    text = nvram(machine).get(MARK)
    return None if text is None else envblock.mark(b"hib_mark=" + text)["state"]


def location(**more):
    """What systemd writes just before it hibernates."""
    fields = {"uuid": SWAP_UUID, "offset": 0} | more
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode("utf-16-le") + b"\0\0"


def assert_next_boot_is_ordinary(machine):
    machine.power_on()
    assert wait_finding(machine) == NOTHING
    assert machine.wait_guest() is Came.BOOTED
    assert not machine.console.says("guest: resume from")


# ---- the fallback ----


def test_a_mark_in_a_variable_brings_the_session_back_once(sleeper):
    """Nothing is written to a disk for it, and the variable is gone afterwards."""
    machine, witness = sleeper(on_disk=False)
    assert machine.disk.grubenv() == machine.healthy_block
    assert armed(machine) == "armed" and nvram(machine).writes(MARK) == 1
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    witness.check()
    assert machine.run("hibctl settle", check=False).status == scenario.NOTHING
    assert scenario.status(machine)["reason"] == "nothing"
    machine.cut_power()
    assert armed(machine) is None and nvram(machine).writes(MARK) == 1
    assert nvram(machine).get(TRIED) is None
    assert machine.disk.grubenv() == machine.healthy_block
    assert_next_boot_is_ordinary(machine)


UNWRITABLE = {Boot.BTRFS: "btrfs", Boot.LVM: "LVM", Boot.RAID: "RAID"}


@pytest.mark.parametrize("boot", UNWRITABLE, ids=lambda boot: boot.value)
def test_boot_filesystem_that_grub_cannot_write_to(sleeper, boot):
    machine, witness = sleeper(Layout(boot), on_disk=False)
    block = machine.disk.grubenv()
    assert armed(machine) == "armed"
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    witness.check()
    refused = machine.run("hibctl mark --store=env", check=False)
    assert refused.status == scenario.NO_STORE and UNWRITABLE[boot] in refused.output, refused
    machine.cut_power()
    assert armed(machine) is None and machine.disk.grubenv() == block
    assert_next_boot_is_ordinary(machine)


def test_a_save_kernel_marks_in_a_variable_for_a_root_that_sleeps(sleeper, disks):
    machine, witness = sleeper(BOOT_IN_ROOT, on_disk=False, **HELD)
    assert b"\nefi yes\n" in machine.plan
    with changes(machine.disk) as changed:
        with machine.awake_in(disks.save_kernel(machine.plan)):
            assert save_mark(machine) == "efi"
    assert not changed
    assert armed(machine) == "armed"
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    witness.check()
    machine.cut_power()
    assert armed(machine) is None
    assert_next_boot_is_ordinary(machine)


def test_a_jump_by_kexec(disks, machine_on):
    """There is no session, only an image's header: GRUB takes the mark, the kernel finds out, and boots."""
    machine = machine_on(disks.disk(BOOT_IN_ROOT, variables=OTHERS)).boot()
    scenario.setup(machine, on_disk=False)
    jump_into_save_kernel(machine)
    with changes(machine.disk) as changed:
        assert save_mark(machine) == "efi"
        machine.shut_down("poweroff -nf")
    assert not changed and armed(machine) == "armed"
    machine.power_on()
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [READY]
    machine.cut_power()
    assert armed(machine) is None
    assert_next_boot_is_ordinary(machine)


# ---- systemd's variable ----


@pytest.fixture
def by_systemd(sleeper, kernel):
    """A machine that sleeps where only systemd's variable says so; a newer kernel was installed meanwhile."""
    machine, witness = sleeper(marked=False, boot_mounted=False, on_disk=False)
    newer = f"9{kernel.release}"
    for name in ("vmlinuz", "initrd.img"):
        machine.disk.write_file(f"/boot/{name}-{newer}", b"not to be started")
    nvram(machine).put(LOCATION, location(kernelVersion=kernel.release, osReleaseId="debian"))
    return machine, witness


def test_the_place_that_systemd_names_is_resumed_with_its_kernel(by_systemd):
    machine, witness = by_systemd
    before = nvram(machine).get(LOCATION)
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    witness.check()
    machine.cut_power()
    assert nvram(machine).get(LOCATION) == before  # systemd clears it
    assert nvram(machine).get(TRIED)
    machine.power_on()
    assert wait_finding(machine) == Finding("module", "normal", "stale")


def test_the_place_that_systemd_names_is_not_tried_twice(by_systemd):
    machine, witness = by_systemd
    machine.power_on()
    machine._until(lambda: tried(machine), PATIENT, "note of the try")
    machine.cut_power()
    assert machine.disk.has_image()
    machine.power_on(menu=True)
    assert wait_finding(machine) == Finding("module", "offer", "tried")
    machine.wait_menu(grubcfg.TITLE, RESUME_TITLE)
    machine.choose(RESUME_TITLE)
    assert machine.wait_guest() is Came.RESUMED
    witness.check()
    machine.cut_power()
    assert tried(machine)  # made while the kernel slept, which then does not see it
    machine.power_on()
    assert machine.wait_guest() is Came.BOOTED
    scenario.settle(machine)
    machine.cut_power()
    assert nvram(machine).get(TRIED) is None


def tried(machine):
    """Also while the firmware is writing."""
    try:
        return nvram(machine).get(TRIED)
    except (AssertionError, UnicodeDecodeError):
        return None


# ---- where no variable can take it ----

FULL = f"""
    for size in 1024 32; do
        {{ printf '\\7\\0\\0\\0'; head -c $size /dev/zero; }} >/run/filler
        n=0
        while dd if=/run/filler of={VARIABLES}/Filler$size.$n-{OURS} bs=2048 2>/dev/null; do
            n=$((n + 1))
        done
    done"""

WITHOUT = {
    "full": (FULL, "room"),
    "not-mounted": (f"umount {VARIABLES}", "not mounted"),
    "read-only": (f"mount -o remount,ro {VARIABLES}", "read-only"),
}


@pytest.mark.parametrize("how", WITHOUT)
def test_where_no_variable_can_be_written_another_store_takes_the_mark(disks, machine_on, how):
    command, word = WITHOUT[how]
    machine = machine_on(disks.disk(variables=OTHERS)).boot(disks.direct())
    scenario.setup(machine, on_disk=False)
    machine.run(f"suspend-to-disk --prepare\n{command}", timeout=4 * PATIENT)
    refused = machine.run("hibctl mark --store=efi", check=False)
    assert refused.status == scenario.NO_STORE and word in refused.output, refused
    said = machine.run("hibctl --json mark").output
    assert scenario.json_in(said)["store"] == "env", said
    assert word in said
    machine.cut_power()
    scenario.assert_mark(machine, "armed")
    assert nvram(machine).get(MARK) is None


# ---- another system comes first ----


def load_option(disk, path):
    """An EFI_LOAD_OPTION for a file on the ESP (UEFI specification 3.1.3, device paths 10.3.5.1 and 10.3.5.4)."""
    esp = disk.parts["esp"]
    drive = struct.pack("<BBHIQQ16sBB", 4, 1, 42, esp.number, esp.start // 512, esp.size // 512,
                        uuid.UUID(esp.partuuid).bytes_le, 2, 2)
    name = path.replace("/", "\\").encode("utf-16-le") + b"\0\0"
    file = struct.pack("<BBH", 4, 4, 4 + len(name)) + name
    end = b"\x7f\xff\x04\x00"
    paths = drive + file + end
    return struct.pack("<IH", 1, len(paths)) + "Another system".encode("utf-16-le") + b"\0\0" + paths


@pytest.fixture
def second(disks, machine_on, scratch):
    """A machine that has been started once by our GRUB, and would otherwise start another boot loader."""
    disk = disks.disk(variables=OTHERS)
    folder = scratch.folder("other")
    (folder / "cfg").write_text("echo 'this is another system'\nsleep 1000\n")
    host.run("grub-mkimage", "-d", host.GRUB_LIB / "x86_64-efi", "-O", "x86_64-efi", "-p", "/none", "-c", folder / "cfg",
             "-o", folder / "efi", "normal", "echo", "sleep", "part_gpt", "fat")
    disk.write_file("/boot/efi/OTHER.EFI", (folder / "efi").read_bytes())
    machine = machine_on(disk).boot()
    scenario.setup(machine, on_disk=False)
    entry = b"\7\0\0\0" + load_option(disk, "/OTHER.EFI")
    machine.write_file(f"{VARIABLES}/Boot0077-{GLOBAL}", entry)
    order = machine.read_file(f"{VARIABLES}/BootOrder-{GLOBAL}")
    machine.write_file(f"{VARIABLES}/BootOrder-{GLOBAL}", order[:4] + b"\x77\0" + order[4:])
    return machine


def test_boot_next_brings_grub_back_once(second):
    machine = second
    witness = Witness(machine)
    order = machine.read_file(f"{VARIABLES}/BootOrder-{GLOBAL}")
    scenario.mark(machine, "--store=efi --boot-next")
    machine.hibernate()
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    witness.check()
    assert machine.run("hibctl settle", check=False).status == scenario.NOTHING
    assert machine.read_file(f"{VARIABLES}/BootOrder-{GLOBAL}") == order

    # Once more, over variables that are gone and that this kernel still lists.
    scenario.mark(machine, "--store=efi --boot-next")
    machine.cut_power()
    assert armed(machine) == "armed"
    machine.power_on()
    assert wait_finding(machine) == Finding("module", "normal", "stale")
    machine.cut_power()
    machine.power_on()
    machine.wait_text("this is another system")


def test_cancel_takes_boot_next_back(second):
    machine = second
    scenario.mark(machine, "--store=efi --boot-next")
    machine.run(f"test -e {VARIABLES}/BootNext-{GLOBAL}")
    machine.run("hibctl cancel")
    machine.run(f"test ! -e {VARIABLES}/BootNext-{GLOBAL}")
    machine.cut_power()
    assert armed(machine) is None
    machine.power_on()
    machine.wait_text("this is another system")


# ---- power cuts ----


def test_machine_that_is_switched_off_while_the_variable_is_written(sleeper, disks, scratch):
    machine, _ = sleeper(BOOT_IN_ROOT, on_disk=False, **HELD)
    kernel = disks.save_kernel(machine.plan)
    empty = machine._nvram.read_bytes()
    with machine.awake_in(kernel):
        began = time.monotonic()
        save_mark(machine)
        takes = time.monotonic() - began
    seen = set()
    for moment in range(5):
        machine._nvram.write_bytes(empty)
        with machine.awake_in(kernel):
            machine._send(f"hibctl mark --plan={PLAN} --store=efi")
            machine.rest(takes * moment / 4)
            machine.cut_power()
        state = armed(machine)
        assert state in (None, "armed")
        assert find_once(machine) == (UNMARKED if state is None else READY)
        seen.add(state)
    assert None in seen
