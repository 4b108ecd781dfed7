# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Fixtures of the crash lab's tests. They need root.

HIBCTL            the tool under test
HIBRESUME_MODDIR  folder with i386-pc/hibresume.mod
HIBCTL_TEST_LOGS  where disks go that show what was wrong
HIBCTL_PROOF_DIR  where the numbers go, for the closing table"""

import os
from pathlib import Path

import pytest
from cli import rig

from . import trials


@pytest.fixture(scope="session")
def runner():
    tool = os.environ.get("HIBCTL")
    if not tool or not Path(tool).is_file():
        pytest.fail("HIBCTL does not name the tool under test")
    if os.geteuid() != 0:
        pytest.fail("these tests use loop devices and mounts; run them as root")
    rig.sweep()
    runner = trials.Runner(Path(tool).resolve(), Path(os.environ.get("HIBCTL_TEST_LOGS", "test-logs")) / "crash")
    yield runner
    runner.close()
