# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Another system in GRUB's menu, which os-prober has found, while this one is asleep: with the guard and without."""

import pytest

from vm.machine import Came
from vm.scenario import RESUME_TITLE, findings

from . import base, second
from .machine import LoginSession
from .test_story import READY, armed, assert_settled

pytestmark = pytest.mark.slow

OTHER = f"{second.NAME} (on /dev/vdc1)"
GUARD = "Other systems (a hibernated session may be lost)"

SETUP = f"""\
apt-get install -q -y {base.OFFLINE}/os-prober*.deb
echo GRUB_DISABLE_OS_PROBER=false >>/etc/default/grub
update-grub
"""


def stop_countdown(machine):
    """And leave the highlight where it was."""
    machine.press("down")
    machine._settle(lambda: not machine.chosen_entry().startswith(RESUME_TITLE))
    machine.move_to(RESUME_TITLE)


def test_another_system_stands_behind_a_warning(debian, scratch, logs):
    machine = debian
    machine.shut_down()
    machine.others = [second.make(scratch.folder("second"))]
    machine.boot()
    session = LoginSession(machine)

    # As GRUB's own scripts leave it: the other system is one key away.
    told = machine.run(f"({SETUP}) 2>&1", timeout=900).output
    assert f"Found {second.NAME} on /dev/vdc1" in told, told
    machine.hibernate()
    machine.power_on(menu=True)
    entries = machine.wait_menu(RESUME_TITLE, OTHER)
    assert entries[0].startswith(RESUME_TITLE) and OTHER in entries and GUARD not in entries, entries
    machine.screenshot(logs / "dual-boot.png")
    assert machine.wait_guest() is Came.RESUMED
    session.check()

    machine.run("echo GRUB_HIBCTL_GUARD=true >>/etc/default/grub && update-grub 2>&1", timeout=900)
    machine.hibernate()
    machine.power_on(menu=True)
    entries = machine.wait_menu(RESUME_TITLE, GUARD)
    assert entries[0].startswith(RESUME_TITLE) and OTHER not in entries, entries
    stop_countdown(machine)
    machine.screenshot(logs / "dual-boot-guard.png")
    machine.choose(GUARD)
    machine.wait_screen("may be asleep on its disks")
    machine.screenshot(logs / "dual-boot-warning.png")

    # Who waits is led back, with the mark untouched.
    machine.wait_menu(RESUME_TITLE, GUARD, counting=False)
    assert armed(machine) == "armed"

    # Who insists gets the other system. It leaves the session alone here, and the mark is not spent on it.
    machine.choose(GUARD)
    machine.wait_screen("may be asleep on its disks")
    machine.press("escape")
    machine.wait_screen(OTHER)
    with machine.left_asleep():
        machine.choose(OTHER)
        assert machine.wait_guest() is Came.BOOTED
        assert "/dev/vda3" not in machine.run("cat /proc/swaps").output
    assert armed(machine) == "armed"
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    session.check()
    assert_settled(machine)

    # Nothing sleeps, nothing is in the way.
    machine.shut_down()
    machine.power_on(menu=True)
    entries = machine.wait_menu(OTHER)
    assert GUARD not in entries and not any(entry.startswith(RESUME_TITLE) for entry in entries), entries
