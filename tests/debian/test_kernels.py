# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A new kernel is installed, so that the one that runs is not the default any more; then the one that runs is removed. With
a swap file."""

import pytest

from vm.machine import Came
from vm.scenario import REFUSED, Finding, findings

from . import base, hibctl, swapfile
from .machine import LoginSession
from .test_story import armed, sleep_and_come_back

pytestmark = pytest.mark.slow

INSTALL = f"DEBIAN_FRONTEND=noninteractive apt-get install -q -y {base.NEWER_KERNEL}/*.deb 2>&1"


def assert_runs(machine, release):
    assert machine.run("uname -r").output.strip() == release


def test_a_new_kernel_and_then_the_old_one_is_gone(debian):
    machine, older, newer = debian, base.find().kernel, base.find().newer
    swapfile.move(machine)
    machine.run("(update-initramfs -u && update-grub) 2>&1", timeout=900)
    machine.shut_down()
    machine.boot()
    session = LoginSession(machine)
    machine.run(INSTALL, timeout=900)
    first = machine.run("grep -m 1 '^[[:space:]]*linux' /boot/grub/grub.cfg").output
    assert f"vmlinuz-{newer} " in first, first
    machine.run("hibctl check")
    swapfile.assert_in_use(machine)
    sleep_and_come_back(machine, session)
    assert_runs(machine, older)

    remove_the_running_kernel(machine, session, older)
    shut_down_and_sleep_with(machine, newer)


def remove_the_running_kernel(machine, session, older):
    """As "apt autoremove" does it after an update. What could resume a session goes with it."""
    machine.run(f"DEBIAN_FRONTEND=noninteractive apt-get remove -q -y linux-image-{older} 2>&1", timeout=900)
    for command in ("mark", "mark --dry-run", "check"):
        said = machine.run(f"hibctl {command} 2>&1", check=False)
        assert said.status == REFUSED and f"the file of the running kernel {older} is gone" in said.output, said
    assert armed(machine) is None

    # If that is asked for, a machine that cannot be marked stays awake.
    machine.run("mkdir -p /etc/hibctl/hibctl.conf.d && echo Sleep=require >/etc/hibctl/hibctl.conf.d/require.conf")
    failed = machine.try_hibernate()
    assert failed and failed.status != 0, failed
    session.check()
    machine.run("rm /etc/hibctl/hibctl.conf.d/require.conf && systemctl reset-failed")

    # Otherwise it hibernates, and GRUB offers what nobody has marked. It starts the kernel that is there; on this processor
    # that puts back the session of another, too.
    machine.hibernate()
    assert armed(machine) is None
    machine.power_on()
    assert machine.wait_guest() is Came.RESUMED
    assert findings(machine) == [Finding("module", "offer", "unmarked")]
    assert_runs(machine, older)
    session.check()
    assert "hibernating goes on" in hibctl.journal(machine)
    told = machine.run("hibctl status", check=False).output
    assert "without a mark" in told and f"the file of the running kernel {older} is gone" in told, told


def shut_down_and_sleep_with(machine, newer):
    """Nothing is in the way of the other one."""
    machine.shut_down()
    machine.boot()
    assert_runs(machine, newer)
    sleep_and_come_back(machine, LoginSession(machine))
