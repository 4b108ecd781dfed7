# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Fixtures of the tests on a real Debian.

HIBCTL_PACKAGES   folder with the Debian packages under test
HIBCTL_TEST_LOGS, HIBCTL_TEST_KEEP_LOGS, HIBCTL_TEST_PATIENCE, HIBCTL_DEV_CACHE   as for the other virtual machines
"""

import pickle
import shutil

import pytest

from vm.conftest import logs, pytest_runtest_makereport, scratch  # noqa: F401

from . import hibctl
from .machine import DebianMachine, Overlay


@pytest.fixture(scope="session")
def installed(scratch):
    """A system that runs and has hibctl in it. Made once per run."""
    with scratch.kept("debian") as folder:
        file = folder / "frozen"
        if not file.exists():
            file.write_bytes(pickle.dumps(hibctl.make_installed(folder / "system")))
        return pickle.loads(file.read_bytes())


@pytest.fixture
def debian(installed, scratch, logs):
    """A machine that goes on from there."""
    folder = scratch.folder("debian")
    with DebianMachine(Overlay(folder / "disk.qcow2", installed.disk), folder=logs, nvram=installed.nvram,
                       cargo=installed.cargo) as machine:
        yield machine.thaw(installed)
    shutil.rmtree(folder)
