# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Sleep that does not end in GRUB: suspend, hybrid-sleep that wakes up from memory, hibernation that fails; and a
hybrid-sleep through which the power fails."""

import pytest

from grub.nvram import MARK, Nvram
from vm import scenario
from vm.machine import Came
from vm.scenario import RESUME_TITLE, Finding, findings

from . import hibctl
from .machine import LoginSession
from .test_story import READY, armed, assert_settled, sleep_and_come_back

pytestmark = pytest.mark.slow

SUCCESS = (0, "success\n")


def woken(machine):
    result = machine.wake_up()
    return result.status, result.output


def test_what_is_no_hibernation_leaves_no_mark(debian):
    machine = debian
    session = LoginSession(machine)

    machine.suspend()
    assert armed(machine) is None
    assert woken(machine) == SUCCESS
    assert_settled(machine)
    assert Nvram(machine._nvram).writes(MARK) == 0, "marked for a suspend"

    # Its image is for the case that the power fails, and so is the mark.
    machine.suspend("hybrid-sleep")
    assert armed(machine) == "armed"
    assert woken(machine) == SUCCESS
    assert_settled(machine)
    session.check()

    machine.suspend("hybrid-sleep")
    machine.cut_power()
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [READY]
    session.check()
    assert_settled(machine)


def test_an_ordinary_start_clears_what_is_spent(debian):
    """Marked, and then switched off without hibernating."""
    machine = debian
    machine.run("hibctl mark")
    machine.shut_down()
    assert armed(machine) == "armed"
    machine.boot()
    machine.run("systemctl is-system-running --wait", check=False)
    assert_settled(machine)
    assert "cleared: the mark is stale" in machine.run("journalctl --boot --no-pager -u hibctl-settle.service").output


# The ordinary entry leaves the session alone, and so does the system that it starts: neither resumes, nor swaps there.
PASS_OVER = """\
sed -i "s/=quiet$/='quiet noresume systemd.swap=0'/" /etc/default/grub
update-grub 2>&1
"""


def test_an_ordinary_start_over_a_marked_session(debian):
    """It has written to the session's filesystems. From then on GRUB offers that session, and does not resume it by itself."""
    machine = debian
    machine.run(PASS_OVER, timeout=900)
    machine.hibernate()
    assert armed(machine) == "armed"
    for wanted in ([READY], [Finding("module", "offer", "unmarked")]):
        machine.power_on(menu=True)
        if wanted == [READY]:
            machine.wait_menu(RESUME_TITLE)
            machine.choose("Debian GNU/Linux")
        assert machine.wait_guest() is Came.BOOTED
        assert findings(machine) == wanted
        machine.run("systemctl is-system-running --wait", check=False)
        assert armed(machine) is None and not machine.run("systemctl --failed --plain --no-legend").output
        told = machine.run("journalctl --boot --no-pager -u hibctl-settle.service").output
        assert ("was not resumed at this start" in told) is (wanted == [READY]), told
        machine.shut_down()


TOO_SMALL = """\
swapoff -a
mkswap -U $(blkid -o value -s UUID /dev/vda3) /dev/vda3 %d
swapon /dev/vda3
"""


def test_the_kernel_refuses_to_hibernate(debian):
    """The swap area is large enough for systemd, which asks for the memory of programs only, but not for the kernel."""
    machine = debian
    machine.run(TOO_SMALL % (24 << 10))
    failed = machine.try_hibernate()
    assert failed and failed.status != 0, failed
    assert armed(machine) is None
    said = scenario.status(machine)
    assert (said["verdict"], said["reason"]) == ("normal", "nothing"), said
    told = hibctl.journal(machine)
    for line in ("hibctl: marked: ", "No space left on device", "hibctl: cleared: the mark is stale"):
        assert told.count(line) == 1, told

    # Nothing is the worse for it.
    machine.run(TOO_SMALL % (512 << 10))
    machine.run("systemctl reset-failed")
    sleep_and_come_back(machine, LoginSession(machine))
