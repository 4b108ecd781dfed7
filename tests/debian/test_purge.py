# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What is left when the packages are purged: nothing."""

import pytest

from grub.nvram import TRIED, Nvram

from . import hibctl
from .test_story import armed

pytestmark = pytest.mark.slow


def test_purge_leaves_nothing(debian):
    machine = debian
    machine.run("hibctl mark")
    assert armed(machine) == "armed"
    machine.run("DEBIAN_FRONTEND=noninteractive apt-get purge -q -y 'hibctl*' 2>&1", timeout=900)
    assert armed(machine) is None and Nvram(machine._nvram).get(TRIED) is None
    assert hibctl.differences(machine) == ""
    assert "hibctl" not in machine.run("lsinitramfs /boot/initrd.img-$(uname -r)").output
    machine.shut_down()
