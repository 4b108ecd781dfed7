# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What happens to a system on which the packages are installed, upgraded, removed and purged."""

import re
import shutil
from pathlib import Path

import pytest

from cli import envblock, rig

from .system import PLATFORMS

TOP = Path(__file__).resolve().parents[2]
BOTH = set(PLATFORMS)


@pytest.fixture
def before(system):
    """A snapshot of the system before anything was installed. At its end nothing is installed."""
    there = system.snapshot()
    yield there
    system.purge()
    assert system.difference(there) == []


@pytest.fixture
def installed(system, before):
    system.install()
    return system


@pytest.fixture
def set_up(installed):
    """As an administrator does it."""
    installed.run("hibctl", "setup")
    return installed


def slot(system):
    return envblock.slot(system.read("/boot/grub/grubenv"))


def ours_in(grub_cfg):
    """Its lines about us, without those that grub-mkconfig puts around every script."""
    return [line for line in grub_cfg.splitlines() if re.search("hibctl_|hib_|hibresume", line) and line[:4] != "### "]


def update_module(system, platform):
    """As when GRUB's package was unpacked."""
    system.run("dpkg-trigger", "--by-package=grub-pc-bin", f"/usr/lib/grub/{platform}")
    system.dpkg("--triggers-only", "--pending")


def test_installing_changes_nothing_in_the_boot_loader(system, before):
    said = system.install()
    assert "hibctl: " not in said.stderr, said.stderr
    assert not [name for name in system.difference(before) if name.startswith(("boot", "firmware", "run"))]
    again = system.install()
    assert "hibctl: " not in again.stderr, again.stderr
    assert not [name for name in system.difference(before) if name.startswith(("boot", "firmware", "run"))]


def test_the_packages_own_test(installed):
    """debian/tests, as autopkgtest runs it: on a machine where nothing is set up, and on one where it is."""
    shutil.copy(TOP / "debian/tests/installed", installed.root / "tmp")
    try:
        print(installed.run("/tmp/installed").stdout)
        installed.run("hibctl", "setup")
        assert installed.run("/tmp/installed").stdout.endswith("All is well.\n")
    finally:
        (installed.root / "tmp/installed").unlink()


def test_purge_leaves_nothing(set_up, before):
    """Of everything that a machine can have of hibctl."""
    assert ours_in(set_up.grub_cfg()) and slot(set_up) and set_up.modules() == BOTH
    set_up.run("hibctl", "mark", "--store=env", f"--image={set_up.swap.device}")
    assert b"armed" in slot(set_up)
    set_up.put_variable("HibctlMark", b"damaged")
    set_up.put_variable("HibctlTried", b"00000000")
    set_up.write("/etc/hibctl/hibctl.conf", "Store=env\n")
    set_up.write("/etc/hibctl/plan", "of a prepare --lasting\n")
    set_up.run("hibctl", "sleep", "pre", "hibernate", check=False)
    said = set_up.purge()
    assert "hibctl: " not in said.stderr, said.stderr
    assert set_up.variables() == set()
    assert "_hibctl" not in set_up.grub_cfg() and ours_in(set_up.grub_cfg()) == []
    assert b"hib" not in set_up.read("/boot/grub/grubenv")
    assert set_up.difference(before) == []


def test_remove_leaves_only_settings(set_up, before):
    script = set_up.read("/etc/grub.d/06_hibctl")
    set_up.run("hibctl", "mark", "--store=efi", f"--image={set_up.swap.device}")
    assert set_up.variables() == {"HibctlMark"}
    said = set_up.dpkg("--remove", *set_up.packages)
    assert "hibctl: " not in said.stderr, said.stderr
    left = [name for name in set_up.difference(before)
            if "systemd" not in name.split("/") and not name.startswith("var/lib/dpkg/info/hibctl.")]
    assert left == ["etc/hibctl", "etc/hibctl/initramfs.conf"], "but for what dpkg and systemd note until the purge"
    set_up.path("/etc/grub.d/06_hibctl").write_bytes(script)
    set_up.path("/etc/grub.d/06_hibctl").chmod(0o755)
    assert set_up.run("/etc/grub.d/06_hibctl").stdout == "", "without the program it writes nothing"


def test_purge_where_grub_cannot_be_asked(installed, before):
    """It is said, and the package goes all the same."""
    installed.path("/boot/grub").rename(installed.path("/boot/elsewhere"))
    installed.path("/boot/grub").mkdir()
    installed.path("/boot/grub/grubenv").mkdir()
    try:
        said = installed.purge().stderr
    finally:
        shutil.rmtree(installed.path("/boot/grub"))
        installed.path("/boot/elsewhere").rename(installed.path("/boot/grub"))
    assert "/boot/grub/grubenv" in said and "could be undone" in said, said


def test_the_module_is_kept_up_to_date(set_up):
    """By an upgrade of its package, and after grub-install, which deletes modules that are not its own."""
    for platform in PLATFORMS:
        set_up.write(set_up.module(platform), "an old module")
    set_up.install("hibctl-grub-pc", "hibctl-grub-efi-amd64")
    for platform in PLATFORMS:
        assert set_up.read(set_up.module(platform)) == set_up.read(f"/usr/lib/hibctl/{platform}/hibresume.mod")
        set_up.path(set_up.module(platform)).unlink()
        update_module(set_up, platform)
        assert platform in set_up.modules()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_module_where_setup_was_not_run(installed, platform):
    installed.install("hibctl-grub-pc", "hibctl-grub-efi-amd64")
    update_module(installed, platform)
    assert installed.modules() == set() and slot(installed) is None


def test_a_removed_module_package_takes_its_module_along(set_up):
    set_up.dpkg("--remove", "hibctl-grub-pc")
    assert set_up.modules() == {"x86_64-efi"} and slot(set_up)
    set_up.install("hibctl-grub-pc")
    assert set_up.modules() == BOTH


def test_a_module_that_cannot_be_deleted_keeps_no_package(set_up):
    """As on a boot filesystem that is mounted read-only."""
    module = set_up.path("/boot/grub/i386-pc/hibresume.mod")
    rig.run("chattr", "+i", module)
    try:
        said = set_up.dpkg("--remove", "hibctl-grub-pc")
    finally:
        rig.run("chattr", "-i", module)
    assert "hibresume.mod is left" in said.stdout + said.stderr
    set_up.install("hibctl-grub-pc")
    assert set_up.modules() == BOTH


def test_scripts_and_menu_are_kept_up_to_date(set_up):
    new, menu = set_up.read("/etc/grub.d/06_hibctl"), set_up.grub_cfg()
    set_up.write("/etc/grub.d/06_hibctl", "#!/bin/sh\necho of an older version\n")
    set_up.run("update-grub")
    assert "of an older version" in set_up.grub_cfg()
    set_up.install("hibctl")
    assert set_up.read("/etc/grub.d/06_hibctl") == new and set_up.grub_cfg() == menu


def test_the_service_is_for_the_next_start(installed):
    wanted = installed.path("/etc/systemd/system/multi-user.target.wants/hibctl-settle.service")
    assert wanted.is_symlink()
    assert "start" not in installed.read("/var/lib/dpkg/info/hibctl.postinst").decode()
