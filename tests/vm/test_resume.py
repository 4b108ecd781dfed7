# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A machine hibernates and comes back by itself through GRUB: the scenarios, on real firmware, GRUB and kernel."""

import pytest

from . import envblock, grubcfg, host, scenario
from .layout import Boot, Layout, Swap
from .machine import COUNTDOWN, PATIENT, Came, Firmware
from .scenario import DISCARD_TITLE, OTHERS, RESUME_TITLE, Finding, findings, wait_finding

READY = Finding("module", "resume", "ready")
NOTHING = Finding("module", "normal", "nothing")

slow = pytest.mark.slow
on_seabios = pytest.mark.parametrize("firmware", [Firmware.SEABIOS], ids=lambda firmware: firmware.value)


def go_and_come_back(machine, prepare=True, menu=False):
    """Boots, marks, hibernates, switches on untouched, settles; checks every step. Returns the environment block. MENU:
    the menus count down."""
    disk, power_ons = machine.disk, machine.power_ons
    machine.boot(menu=menu)
    scenario.setup(machine)
    block = disk.grubenv()
    assert envblock.mark(block)["state"] == "none"
    assert envblock.variables(block).items() >= dict(OTHERS).items()
    witness = scenario.Witness(machine)
    if prepare:
        scenario.mark(machine)
    else:
        machine.run("hibctl mark --store=env")
    scenario.assert_mark(machine, "armed")
    armed = disk.grubenv()
    scenario.assert_only_mark_differs(block, armed)
    machine.hibernate()
    assert disk.grubenv() == armed, "hibernating changed the environment block"
    assert disk.has_image()

    machine.power_on(menu=menu)
    assert machine.wait_guest() is Came.RESUMED
    assert machine.console.says(RESUME_TITLE)
    assert machine.console.says(COUNTDOWN) == menu
    assert len(findings(machine)) == 1
    assert findings(machine)[0].verdict == "resume"
    assert not disk.has_image()
    scenario.assert_mark(machine, "taken")
    scenario.assert_only_mark_differs(armed, disk.grubenv())
    witness.check()

    scenario.settle(machine)
    scenario.assert_nothing_armed(machine)
    assert disk.grubenv() == block, "as GRUB reads it"
    assert machine.read_file(disk.grubenv_path) == block, "as the guest reads it"
    assert machine.power_ons == power_ons + 2
    return block


# 1


@pytest.mark.uefi_too
def test_marked_session_comes_back_by_itself(disks, machine_on, logs):
    machine = machine_on(disks.disk(variables=OTHERS))
    block = go_and_come_back(machine, menu=True)
    assert findings(machine) == [READY]
    machine.shut_down()
    assert machine.disk.grubenv() == block

    # And the machine is what it was: the ordinary menu, an ordinary boot.
    machine.power_on(menu=True)
    assert machine.wait_menu(grubcfg.TITLE) == [grubcfg.TITLE]
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [NOTHING]
    assert not machine.console.says("hibctl:"), "a message without a reason"
    assert machine.disk.grubenv() == block


@slow
def test_resume_entry_is_first_and_default_and_counts_down(sleeper, logs):
    machine, witness = sleeper()
    machine.power_on(menu=True)
    entries = machine.wait_menu(RESUME_TITLE)
    machine.screenshot(logs / "menu.png")
    assert machine.chosen_entry().startswith(RESUME_TITLE)
    assert machine.disk.kernel.release in machine.chosen_entry()
    assert [entries[0].startswith(RESUME_TITLE), entries[1].startswith(DISCARD_TITLE)] == [True, True], entries
    assert entries[2:] == [grubcfg.TITLE]
    assert machine.console.says(f"{COUNTDOWN} 5s")
    assert machine.wait_guest() is Came.RESUMED
    witness.check()


# 2


@slow
def test_failed_hibernation_leaves_a_stale_mark_that_does_nothing(disks, machine_on):
    machine = machine_on(disks.disk(Layout(swap_mib=8), variables=OTHERS)).boot()
    scenario.setup(machine)
    block = machine.disk.grubenv()
    scenario.mark(machine)
    failed = machine.try_hibernate()
    assert failed and failed.status != 0, failed
    scenario.assert_mark(machine, "armed")
    said = scenario.status(machine)
    assert (said["verdict"], said["reason"]) == ("normal", "stale")
    machine.cut_power()

    machine.power_on(menu=True)
    assert machine.wait_menu(grubcfg.TITLE) == [grubcfg.TITLE]
    assert machine.console.says("the mark is stale")
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [Finding("module", "normal", "stale")]
    assert scenario.status(machine)["reason"] == "stale"
    scenario.settle(machine)
    scenario.assert_nothing_armed(machine)
    assert machine.disk.grubenv() == block


# 3


@slow
def test_cancelled_mark_boots_normally(disks, machine_on):
    machine = machine_on(disks.disk(variables=OTHERS)).boot()
    scenario.setup(machine)
    block = machine.disk.grubenv()
    scenario.mark(machine)
    assert machine.disk.grubenv() != block
    machine.run("hibctl cancel")
    assert machine.disk.grubenv() == block
    scenario.assert_nothing_armed(machine)
    assert machine.run("hibctl cancel", check=False).status == scenario.NOTHING
    machine.shut_down()
    assert machine.disk.grubenv() == block
    machine.power_on()
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [NOTHING]


@slow
def test_cancel_from_another_boot_discards_the_image(sleeper):
    """Somebody boots normally although a session sleeps, sees what is there, and gives it up."""
    machine, witness = sleeper(boot_mounted=False)
    machine.power_on(menu=True)
    machine.wait_menu(RESUME_TITLE)
    machine.choose(grubcfg.TITLE)
    assert machine.wait_guest() is Came.BOOTED
    assert witness.is_gone()
    said = scenario.status(machine)
    assert (said["verdict"], said["reason"]) == ("resume", "ready")
    assert machine.disk.has_image()
    machine.run("hibctl cancel --discard-image")
    assert machine.disk.swap_signature() == b"SWAPSPACE2"
    scenario.assert_nothing_armed(machine)
    assert machine.disk.grubenv() == machine.healthy_block
    machine.cut_power()
    machine.power_on()
    assert wait_finding(machine) == NOTHING


@on_seabios
def test_mark_is_where_grub_reads_when_another_tool_has_just_moved_the_block(disks, machine_on):
    """grub-editenv makes the file anew. Where its new block is stands in the journal only, which GRUB does not read."""
    machine = machine_on(disks.disk(variables=OTHERS)).boot(disks.direct())
    disk = machine.disk
    scenario.setup(machine)
    before = disk.extents(disk.grubenv_path)
    machine.run("suspend-to-disk --prepare; grub-editenv /boot/grub/grubenv set keep=else && hibctl mark --store=env")
    machine.cut_power()
    scenario.assert_mark(machine, "armed")
    assert envblock.variables(disk.grubenv())["keep"] == "else"
    assert disk.extents(disk.grubenv_path) != before, "the block was not moved: nothing is shown"


# 4


@pytest.mark.uefi_too
@slow
def test_key_stops_the_countdown_and_discard_boots_normally(sleeper):
    machine, witness = sleeper()
    machine.power_on(menu=True)
    machine.wait_menu(RESUME_TITLE)
    machine.move_to(DISCARD_TITLE)
    machine.rest(8)
    assert COUNTDOWN not in machine.console.screen(), "the countdown goes on"
    assert machine.chosen_entry().startswith(DISCARD_TITLE)
    assert machine.disk.has_image() and envblock.mark(machine.disk.grubenv())["state"] == "armed"
    machine.choose(DISCARD_TITLE)
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [READY, NOTHING]
    assert witness.is_gone()
    assert machine.disk.swap_signature() == b"SWAPSPACE2"
    assert machine.disk.grubenv() == machine.healthy_block
    scenario.assert_nothing_armed(machine)
    machine.cut_power()
    machine.power_on(menu=True)
    assert wait_finding(machine) == NOTHING
    assert machine.wait_menu(grubcfg.TITLE) == [grubcfg.TITLE]


@slow
def test_another_entry_can_be_chosen_and_leaves_everything(sleeper):
    machine, witness = sleeper(boot_mounted=False)
    armed = machine.disk.grubenv()
    machine.power_on(menu=True)
    machine.wait_menu(RESUME_TITLE)
    machine.choose(grubcfg.TITLE)
    machine.wait_text("Loading Linux")
    machine.cut_power()
    assert machine.disk.grubenv() == armed and machine.disk.has_image()
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    witness.check()


# 5


@slow
def test_damaged_image_boots_normally_and_never_loops(sleeper):
    machine, witness = sleeper()
    machine.disk.damage_image()
    machine.power_on()
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [READY]
    assert machine.console.text.count("guest: the kernel did not resume") == 1
    assert witness.is_gone()
    scenario.assert_mark(machine, "taken")
    assert scenario.status(machine)["reason"] == "spent"
    machine.cut_power()  # before anybody settled it

    machine.power_on(menu=True)
    assert machine.wait_menu(grubcfg.TITLE) == [grubcfg.TITLE]
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [Finding("module", "normal", "spent")]
    scenario.settle(machine)
    scenario.assert_nothing_armed(machine)
    assert machine.disk.grubenv() == machine.healthy_block


@pytest.mark.uefi_too
@slow
def test_power_cut_after_the_mark_was_taken_offers_the_session(sleeper):
    """GRUB took the mark, the kernel did not touch the image: nothing is lost, and nothing happens by itself."""
    machine, witness = sleeper()
    machine.power_on()
    machine._until(lambda: envblock.mark(machine.disk.grubenv())["state"] == "taken", PATIENT, "mark to be taken")
    machine.cut_power()
    assert machine.disk.has_image()

    machine.power_on(menu=True)
    assert wait_finding(machine) == Finding("module", "offer", "tried")
    entries = machine.wait_menu(grubcfg.TITLE, RESUME_TITLE)
    assert machine.chosen_entry() == grubcfg.TITLE
    assert entries[0] == grubcfg.TITLE and entries[1].startswith(RESUME_TITLE)
    machine.choose(RESUME_TITLE)
    assert machine.wait_guest() is Came.RESUMED
    witness.check()


# 6

RESCUE_TITLE = "Another kernel"


@slow
@pytest.mark.parametrize("what", ["vmlinuz", "initrd.img"])
def test_kernel_or_initrd_that_is_gone_is_said_in_words(sleeper, kernel, what):
    layout = Layout()
    rescue = grubcfg.entry(layout, kernel, RESCUE_TITLE, ident="rescue", suffix=".rescue")
    machine, witness = sleeper(layout, boot_mounted=False, entries=rescue)
    disk = machine.disk
    for name in ("vmlinuz", "initrd.img"):
        path = f"/boot/{name}-{kernel.release}"
        disk.write_file(f"{path}.rescue", disk.read_file(path))
    disk.remove_file(f"/boot/{what}-{kernel.release}")
    armed = disk.grubenv()

    machine.power_on(menu=True)
    assert machine.wait_menu(grubcfg.TITLE) == [grubcfg.TITLE, RESCUE_TITLE]
    reason, words = {"vmlinuz": ("kernel-gone", "the kernel that the image needs is gone"),
                     "initrd.img": ("initrd-gone", "the initial ramdisk that the image needs is gone")}[what]
    assert findings(machine) == [Finding("module", "normal", reason)]
    assert machine.console.says(words)
    assert machine.console.says(f"/{what}-{kernel.release}"), "the object is not named"
    machine.choose(RESCUE_TITLE)
    assert machine.wait_guest() is Came.BOOTED
    said = scenario.status(machine)
    assert (said["verdict"], said["reason"]) == ("normal", reason)
    assert disk.grubenv() == armed and disk.has_image()
    assert witness.is_gone()


# 7


def flip_checksum(block):
    text = envblock.mark_text(block)
    return block.replace(text, text[:-1] + (b"0" if text[-1:] != b"0" else b"1"))


def reseal(change):
    """A damage that has a right checksum: as somebody would write who wants to mislead."""
    return lambda block: block.replace(envblock.mark_text(block), envblock.seal(change(envblock.mark_text(block))))


def editenv(*words):
    """What grub-editenv makes of the block."""

    def change(block):
        with host.temporary_file(block) as path:
            host.run("grub-editenv", path, *words)
            return path.read_bytes()

    return change


DAMAGES = {
    "missing": lambda block: None,
    "empty": lambda block: b"",
    "one-byte": lambda block: b"#",
    "1025-bytes": lambda block: block + b"\n",
    "no-signature": lambda block: block.replace(b"# GRUB", b"# BURG"),
    "nul-padding": lambda block: block.rstrip(b"#").ljust(len(block), b"\0"),
    "nul-bytes": lambda block: bytes(len(block)),
    "half": lambda block: block[:512],
    "in-the-middle-of-the-mark": lambda block: block[:200],
    "no-padding": lambda block: block.rstrip(b"#"),
    "checksum": flip_checksum,
    "future": reseal(lambda text: text.replace(b"hib1", b"hib2")),
    "state": lambda block: block.replace(b" armed ", b" ARMED "),
    "other-device": reseal(lambda text: text.replace(b"UUID=5ab00001", b"UUID=deadbeef")),
    "slot-removed": editenv("unset", "hib_mark"),
    "all-unset": editenv("unset", "hib_mark", "saved_entry", "keep", "last"),
    "duplicate": lambda block: block.rstrip(b"#").rstrip(b"\n").ljust(len(block), b"#").replace(
        b"last=one", b"last=one\nhib_mark=x\n"),
}


QUICK_DAMAGES = ("empty", "checksum")
USUAL_DAMAGES = QUICK_DAMAGES + ("missing", "half", "nul-padding", "other-device", "duplicate")


def others_in(block):
    """The bytes of the variables that are not ours."""
    return [line for line in block.split(b"\n") if line.split(b"=")[0] in (b"saved_entry", b"keep", b"last")]


@pytest.mark.parametrize(
    "damage", [pytest.param(name, marks=() if name in QUICK_DAMAGES else slow if name in USUAL_DAMAGES else pytest.mark.full)
               for name in DAMAGES])
def test_damaged_environment_block(sleeper, damage):
    machine, witness = sleeper(boot_mounted=False)
    disk = machine.disk
    block = DAMAGES[damage](disk.grubenv())
    if block is None:
        disk.remove_file(disk.grubenv_path)
    else:
        disk.write_file(disk.grubenv_path, block)

    machine.power_on()
    found = wait_finding(machine)
    if found.verdict == "resume":
        # Only a mark that is whole may be believed, and then it must be the right session, once.
        assert envblock.mark(block)["state"] == "armed"
        assert machine.wait_guest() is Came.RESUMED
        witness.check()
        after = disk.grubenv()
        assert len(after) == len(block) and envblock.mark(after)["state"] == "taken"
    else:
        machine.wait_text("Loading Linux")  # no hang, whatever the menu has
        after = disk.grubenv() if disk.exists(disk.grubenv_path) else None
        assert after == block, "GRUB changed a block that it did not believe"
        assert disk.has_image()
    assert others_in(after or b"") == others_in(block or b"")


HOSTILE = OTHERS + (("hibresume_version", "1"), ("hib_verdict", "resume"), ("hib_path", "module"), ("hib_reason", "x"),
                    ("hib_words", "$(reboot)"), ("hib_kernel", "/nowhere"), ("hib_root", "hd9"), ("timeout", "-1"))


@slow
@pytest.mark.parametrize("module", [True, False], ids=["module", "plain"])
def test_variables_in_the_environment_block_cannot_feign_a_session(disks, machine_on, module):
    machine = machine_on(disks.disk(module=module, variables=HOSTILE)).boot()
    scenario.setup(machine)
    machine.shut_down()
    before = machine.disk.grubenv()
    machine.power_on()
    assert machine.wait_guest() is Came.BOOTED
    assert findings(machine) == [Finding("module" if module else "plain", "normal", "nothing")]
    assert machine.disk.grubenv() == before


@slow
@on_seabios
def test_mark_refuses_a_block_without_a_slot_and_changes_nothing(disks, machine_on):
    machine = machine_on(disks.disk(variables=OTHERS)).boot()
    scenario.setup(machine)
    machine.run("suspend-to-disk --prepare")
    path = machine.disk.grubenv_path
    healthy = machine.read_file(path)
    for name in ("missing", "empty", "one-byte", "no-signature", "nul-bytes", "slot-removed"):
        block = DAMAGES[name](healthy)
        machine.run(f"rm -f {path}")
        if block is not None:
            machine.write_file(path, block)
        result = machine.run("hibctl mark --store=env", check=False)
        assert result.status in (scenario.FAILED, scenario.REFUSED, scenario.NO_STORE), (name, result)
        assert result.output.count("\n") == 1 and path in result.output, (name, result)
        if block is None:
            assert machine.run(f"test ! -e {path}", check=False).status == 0
        else:
            assert machine.read_file(path) == block, name


# 8

LAYOUTS = [pytest.param(boot, swap, marks=pytest.mark.uefi_too if boot is Boot.ESP else ())
           for boot in Boot if boot.takes_marks for swap in (Swap.PARTITION, Swap.FILE)
           if (boot, swap) != (Boot.PARTITION, Swap.PARTITION)]  # that is scenario 1


@slow
@pytest.mark.parametrize("boot, swap", LAYOUTS, ids=lambda value: value.value)
def test_layouts(disks, machine_on, boot, swap):
    machine = machine_on(disks.disk(Layout(boot, swap), variables=OTHERS))
    go_and_come_back(machine)
    assert findings(machine) == [READY]


@slow
@pytest.mark.parametrize("boot", [Boot.PARTITION, Boot.ESP], ids=lambda boot: boot.value)
def test_boot_filesystem_that_is_not_mounted(sleeper, boot):
    """hibctl mounts it for the moment of writing, and leaves it clean."""
    machine, witness = sleeper(Layout(boot), boot_mounted=False)
    scenario.assert_mark(machine, "armed")
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    witness.check()
    assert " /boot " not in machine.run("cat /proc/self/mountinfo").output
    scenario.settle(machine)
    assert machine.disk.grubenv() == machine.healthy_block
    assert " /boot " not in machine.run("cat /proc/self/mountinfo").output


@slow
def test_kernel_that_chooses_the_only_swap_area(disks, machine_on):
    """Nobody told the kernel where to: it takes the swap area that is active, and hibctl knows."""
    machine = machine_on(disks.disk(variables=OTHERS)).boot()
    machine.run("echo - 0 >/etc/resume")
    assert machine.run("cat /sys/power/resume").output == "0:0\n"
    machine.shut_down()
    go_and_come_back(machine, prepare=False)


@slow
def test_second_swap_area_with_a_stale_image_is_left_alone(sleeper):
    machine, witness = sleeper(Layout(second_swap=True))
    machine.disk.plant_image_header(second=True)
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    witness.check()
    assert machine.disk.has_image(second=True)
    scenario.settle(machine)
    scenario.assert_nothing_armed(machine)


@slow
def test_image_only_in_the_second_swap_area_is_not_taken(disks, machine_on):
    machine = machine_on(disks.disk(Layout(second_swap=True), variables=OTHERS)).boot()
    scenario.setup(machine)
    scenario.mark(machine)  # names the first; the machine never hibernates
    machine.cut_power()
    machine.disk.plant_image_header(second=True)
    machine.power_on()
    assert wait_finding(machine) == Finding("module", "normal", "stale")
    machine.wait_text("Loading Linux")
    assert machine.disk.has_image(second=True)


# 9


@slow
@pytest.mark.parametrize("boot", [Boot.PARTITION, Boot.ESP], ids=lambda boot: boot.value)
def test_plain_script_resumes_without_the_module(disks, machine_on, boot):
    machine = machine_on(disks.disk(Layout(boot), module=False, variables=OTHERS))
    block = go_and_come_back(machine, menu=boot is Boot.PARTITION)
    assert findings(machine)[0].path == "plain"
    machine.shut_down()
    machine.power_on()
    assert wait_finding(machine) == Finding("plain", "normal", "nothing")
    assert machine.disk.grubenv() == block


@slow
def test_plain_script_discards(sleeper):
    """It cannot reach the image, but the kernel that it starts leaves the image alone, and the mark is cleared."""
    machine, witness = sleeper(module=False)
    machine.power_on(menu=True)
    machine.wait_menu(RESUME_TITLE)
    machine.choose(DISCARD_TITLE)
    assert machine.wait_guest() is Came.BOOTED
    assert witness.is_gone()
    assert envblock.mark_text(machine.disk.grubenv()).startswith(b"hib1 none ")
    machine.cut_power()
    machine.power_on()
    assert wait_finding(machine) == Finding("plain", "normal", "nothing")


@slow
def test_plain_script_never_loops(sleeper):
    machine, witness = sleeper(module=False)
    machine.disk.damage_image()
    machine.power_on()
    assert machine.wait_guest() is Came.BOOTED
    assert witness.is_gone()
    machine.cut_power()
    machine.power_on()
    assert wait_finding(machine).verdict == "normal"
    assert machine.wait_guest() is Came.BOOTED
    assert not machine.console.says("guest: resume from")


# 10


@slow
def test_image_without_a_mark_is_offered(sleeper):
    machine, witness = sleeper(marked=False)
    before = machine.disk.grubenv()
    machine.power_on(menu=True)
    assert wait_finding(machine) == Finding("module", "offer", "unmarked")
    entries = machine.wait_menu(grubcfg.TITLE, RESUME_TITLE)
    assert entries[0] == machine.chosen_entry() == grubcfg.TITLE
    assert [entries[1].startswith(RESUME_TITLE), entries[2].startswith(DISCARD_TITLE)] == [True, True], entries
    assert machine.console.says("there is a hibernation image that nobody marked")
    machine.choose(RESUME_TITLE)
    assert machine.wait_guest() is Came.RESUMED
    witness.check()
    assert machine.disk.grubenv() == before
    scenario.assert_nothing_armed(machine)


@slow
def test_offer_that_nobody_takes_boots_as_ever(sleeper):
    machine, _ = sleeper(marked=False, boot_mounted=False)
    machine.power_on()
    assert wait_finding(machine).verdict == "offer"
    machine.wait_text("Loading Linux")
    assert machine.wait_guest() is Came.BOOTED
    assert not machine.console.says("guest: resume from")
    assert machine.disk.has_image()
