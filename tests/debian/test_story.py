# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Somebody is logged in, hibernates, switches on, and goes on working: three times in a row."""

import pytest

from grub.nvram import MARK, TRIED, Nvram
from vm import envblock, scenario
from vm.machine import Came
from vm.scenario import RESUME_TITLE, Finding, findings

from . import hibctl
from .machine import LoginSession

pytestmark = pytest.mark.slow

READY = Finding("module", "resume", "ready")
ROUNDS = 3


def armed(machine):
    """The state of the mark in the firmware's variable, or None if there is no variable."""
    text = Nvram(machine._nvram).get(MARK)
    return None if text is None else envblock.mark(b"hib_mark=" + text)["state"]


def assert_settled(machine):
    """As if nothing had ever been marked."""
    said = scenario.status(machine)
    assert (said["verdict"], said["reason"]) == ("normal", "nothing"), said
    assert not machine.run("systemctl --failed --plain --no-legend").output
    assert (armed(machine), Nvram(machine._nvram).get(TRIED)) == (None, None)


def sleep_and_come_back(machine, session, picture=None):
    """One round: nobody calls hibctl, and nobody touches a key."""
    assert armed(machine) is None
    machine.hibernate()
    assert armed(machine) == "armed"
    machine.power_on(menu=picture is not None)
    if picture:
        entries = machine.wait_menu(RESUME_TITLE)
        machine.screenshot(picture)
        assert entries[0].startswith(RESUME_TITLE), entries
    assert machine.wait_guest() is Came.RESUMED
    assert machine.last_result.output == "success\n"
    assert findings(machine) == [READY]
    session.check()
    assert_settled(machine)


def test_a_login_session_lives_through_three_nights(debian, logs):
    machine = debian
    checked = machine.run("hibctl check", check=False)
    assert checked.status == 0, checked
    session = LoginSession(machine)
    for number in range(ROUNDS):
        sleep_and_come_back(machine, session, logs / f"menu-{number + 1}.png")
    assert machine.power_ons == 1 + ROUNDS

    # The journal, which slept as well, tells it all.
    told = hibctl.journal(machine)
    assert told.count("Entering sleep state 'hibernate'...") == ROUNDS
    assert told.count("hibctl: marked: ") == ROUNDS
    assert told.count("System returned from sleep state.") == ROUNDS
    machine.shut_down()
