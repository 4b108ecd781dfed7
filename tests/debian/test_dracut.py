# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The same Debian with dracut in the place of initramfs-tools."""

import pytest

from vm.machine import Came

from . import base
from .machine import LoginSession
from .test_story import sleep_and_come_back

pytestmark = pytest.mark.slow

# The initramfs of the default kernel alone: an emulated processor takes a minute for each. For this machine only, as
# dracut's own manual page shows it.
SETUP = f"""\
set -e
mkdir -p /etc/dracut.conf.d
printf 'hostonly="yes"\\ncompress="zstd -1"\\n' >/etc/dracut.conf.d/host.conf
apt-get purge -q -y "linux-image-$(linux-version list | linux-version sort | head -n 1)"
apt-get install -q -y --no-install-recommends {base.OFFLINE}/*.deb
"""


def test_dracut(debian):
    machine = debian
    told = machine.run(f"({SETUP}) 2>&1", timeout=1800).output
    assert "dracut: Generating /boot/initrd.img-" in told, told
    assert "ok installed" not in machine.run("dpkg-query -W -f '${Status}' initramfs-tools", check=False).output
    modules = machine.run("lsinitrd -m /boot/initrd.img-$(uname -r) 2>&1", timeout=600).output.split()
    assert "hibctl" in modules and "resume" in modules, modules
    checked = machine.run("hibctl check", check=False)
    assert checked.status == 0 and "made by dracut" in checked.output, checked
    machine.shut_down()
    machine.power_on()
    assert machine.wait_guest() is Came.BOOTED
    sleep_and_come_back(machine, LoginSession(machine))
