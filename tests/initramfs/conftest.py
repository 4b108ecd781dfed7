# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Fixtures of the tests of the initramfs parts. They need root.

HIBCTL            the tool under test, in its build folder
HIBCTL_DEV_CACHE  where the stock kernel, initramfs-tools and dracut are (default: /var/cache/hibctl-dev)
"""

import contextlib
import fcntl
import os
from pathlib import Path

import pytest

from cli import rig as cli

from . import rig

DRIVERS = ("virtio_pci", "virtio_blk", "dm-crypt")
_SHARED = pytest.StashKey()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Tells a worker which folder is for what all workers use. It is the run's own, and goes when the run ends."""
    if _SHARED not in node.config.stash:
        space = node.config.stash[_SHARED] = cli.Scratch()
        node.config.add_cleanup(space.close)
    node.workerinput["shared"] = str(node.config.stash[_SHARED].path)


def pytest_collection_modifyitems(items):
    """The tests that only one worker can run start first, while there is enough left for the others."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@contextlib.contextmanager
def _alone(what):
    """One worker at a time."""
    with open(f"{what}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def build():
    tool = os.environ.get("HIBCTL")
    folder = Path(tool or "/").resolve().parents[1] if tool else None
    if not folder or not (folder / "Makefile").is_file():
        pytest.fail("HIBCTL does not name the tool under test in its build folder")
    if os.geteuid() != 0:
        pytest.fail("these tests mount and chroot; run them as root")
    cli.sweep()
    return folder


@pytest.fixture(scope="session")
def shared(request, build):
    """A folder for what is made once per run."""
    if "shared" in getattr(request.config, "workerinput", {}):
        yield Path(request.config.workerinput["shared"])
        return
    space = cli.Scratch()
    yield space.path
    space.close()


@pytest.fixture(scope="session")
def stage(build, shared):
    """Two hooks, a program that they need, and a plan's worth of drivers. Tests that change it put it back."""
    space = cli.Scratch()
    try:
        with _alone(shared / "install"):  # make builds what is not up to date
            made = rig.Stage(space, build, DRIVERS, ("blockdev",))
        made.share(space, shared)
        made.hook("20-second", "echo second >>/run/hooks")
        made.hook("10-first", "echo first >>/run/hooks")
        made.hook("30-backup~", "exit 1")
        made.write("etc/hibctl/save-image", "#!/bin/sh\necho save-image \"$@\"\n", 0o755)
        made.write("etc/hibctl/go-back", "#!/bin/sh\necho go-back \"$@\"\necho o >/proc/sysrq-trigger\nsleep 60\n", 0o755)
        _add_foreign_parts(made)
        _be_a_machine(made)
        yield made
    finally:
        space.close()


def _add_foreign_parts(stage):
    """What another package brings: a driver that nobody named."""
    stage.write("usr/share/initramfs-tools/hooks/foreign", "#!/bin/sh\n[ \"$1\" != prereqs ] || exit 0\n"
                ". /usr/share/initramfs-tools/hook-functions\nmanual_add_modules nbd\n", 0o755)
    stage.write("etc/initramfs-tools/conf.d/resume", "RESUME=none\n")
    stage.write("etc/initramfs-tools/conf.d/quick", "COMPRESS=zstd\nCOMPRESSLEVEL=1\n")
    stage.write("etc/dracut.conf.d/foreign.conf", 'add_drivers+=" nbd "\n')


def _be_a_machine(stage):
    """dracut leaves out the nodes of /dev where it finds itself in a container, which these tests may be in."""
    stage.write("usr/bin/systemd-detect-virt", "#!/bin/sh\necho none\nexit 1\n", 0o755)


@pytest.fixture(scope="session")
def images(stage, shared):
    """Makes an initramfs of each kind once per run: images("dracut", "save")."""

    def get(maker, kind):
        name = f"{maker}-{kind}"
        with _alone(shared / name):
            made = shared / f"{name}.made"
            if not made.exists():
                stage.make(maker, kind, f"shared/{name}")
                made.touch()
        return rig.Initramfs(stage, f"shared/{name}")

    return get
