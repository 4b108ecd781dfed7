# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The same Debian with dracut in the place of initramfs-tools, and a swap file."""

import pytest

from . import base, swapfile
from .machine import LoginSession
from .test_story import sleep_and_come_back

pytestmark = pytest.mark.slow

# For this machine only, as dracut's own manual page shows it.
SETUP = f"""\
set -e
mkdir -p /etc/dracut.conf.d
printf 'hostonly="yes"\\ncompress="zstd -1"\\n' >/etc/dracut.conf.d/host.conf
apt-get install -q -y --no-install-recommends {base.OFFLINE}/*.deb
update-grub
"""


def test_dracut(debian):
    machine = debian
    swapfile.move(machine)
    told = machine.run(f"({SETUP}) 2>&1", timeout=1800).output
    assert "dracut: Generating /boot/initrd.img-" in told, told
    assert "ok installed" not in machine.run("dpkg-query -W -f '${Status}' initramfs-tools", check=False).output
    modules = machine.run("lsinitrd -m /boot/initrd.img-$(uname -r) 2>&1", timeout=600).output.split()
    assert "hibctl" in modules and "resume" in modules, modules
    machine.shut_down()
    machine.boot()
    swapfile.assert_in_use(machine)
    checked = machine.run("hibctl check", check=False)
    assert checked.status == 0 and "made by dracut" in checked.output, checked
    sleep_and_come_back(machine, LoginSession(machine))
