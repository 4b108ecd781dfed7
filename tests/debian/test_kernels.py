# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Two kernels, of which the one that runs is not the default; a swap file; a kernel that was removed."""

import pytest

from vm.machine import Came
from vm.scenario import REFUSED, Finding, findings

from . import base, hibctl
from .machine import LoginSession
from .test_story import armed, sleep_and_come_back

pytestmark = pytest.mark.slow

# As an administrator does it: systemd hibernates only to where the kernel was told to resume from.
SWAP_FILE = """\
set -e
swapoff -a
sed -i '/swap/d' /etc/fstab
dd if=/dev/zero of=/swapfile bs=1M count=400
chmod 600 /swapfile
mkswap /swapfile
echo '/swapfile none swap sw 0 0' >>/etc/fstab
offset=$(filefrag -v /swapfile | awk '$1 == "0:" {sub(/[.]*$/, "", $4); print $4}')
root=UUID=$(findmnt -n -o UUID /)
sed -i "s/^RESUME=.*/RESUME=$root/" /etc/initramfs-tools/conf.d/resume
sed -i "s/=quiet$/='quiet resume=$root resume_offset=$offset'/" /etc/default/grub
update-initramfs -u -k all
update-grub
"""


def boot_older(machine):
    """By the menu, as a person would."""
    newest, older = base.find().kernels
    machine.power_on(menu=True)
    machine.wait_menu("Advanced options")
    machine.choose("Advanced options")
    machine.wait_screen(f"with Linux {older}")
    machine.choose(f"Debian GNU/Linux, with Linux {older}")
    assert machine.wait_guest() is Came.BOOTED
    assert machine.run("uname -r").output.strip() == older
    return newest, older


def test_the_running_kernel_is_not_the_default(debian):
    machine = debian
    machine.run(f"({SWAP_FILE}) 2>&1", timeout=900)
    machine.shut_down()
    newest, older = boot_older(machine)
    machine.run("hibctl check")
    session = LoginSession(machine)
    sleep_and_come_back(machine, session)
    assert machine.run("uname -r").output.strip() == older

    remove_the_running_kernel(machine, session, newest, older)


def remove_the_running_kernel(machine, session, newest, older):
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
    assert machine.run("uname -r").output.strip() == older
    session.check()
    assert "hibernating goes on" in hibctl.journal(machine)
    told = machine.run("hibctl status", check=False).output
    assert "without a mark" in told and f"the file of the running kernel {older} is gone" in told, told

    # Nothing is in the way of the other one.
    machine.shut_down()
    machine.boot()
    assert machine.run("uname -r").output.strip() == newest
    sleep_and_come_back(machine, LoginSession(machine))
