# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Fixtures of the tests that run the tool on real filesystems of this machine. They need root.

HIBCTL  the tool under test
"""

import collections
import json
import os
from pathlib import Path

import pytest

from . import rig


def _recorded(terminalreporter, name):
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                yield from (value for key, value in report.user_properties if key == name)


def pytest_terminal_summary(terminalreporter):
    """How many faults were tried, and what was done at once; as JSON too, into HIBCTL_PROOF_DIR."""
    by_kind = collections.Counter()
    for kinds in _recorded(terminalreporter, "fault_points"):
        by_kind.update(json.loads(kinds))
    together = [json.loads(numbers) for numbers in _recorded(terminalreporter, "together")]
    proof = {}
    if by_kind:
        proof["faults"] = {"points": sum(by_kind.values()), "by_kind": dict(sorted(by_kind.items())),
                           "problems": sum(_recorded(terminalreporter, "fault_problems"))}
    if together:
        proof["concurrency"] = {"runs": together}
    for name, numbers in proof.items():
        terminalreporter.write_line(f"{name}: {json.dumps(numbers)}")
        if folder := os.environ.get("HIBCTL_PROOF_DIR"):
            Path(folder, f"{name}.json").write_text(json.dumps(numbers, indent=2) + "\n")


@pytest.fixture(scope="session")
def tool():
    path = os.environ.get("HIBCTL")
    if not path or not Path(path).is_file():
        pytest.fail("HIBCTL does not name the tool under test")
    if os.geteuid() != 0:
        pytest.fail("these tests use loop devices and mounts; run them as root")
    rig.sweep()
    rig.stand_alone()
    return rig.Tool(Path(path).resolve())


@pytest.fixture
def scratch():
    space = rig.Scratch()
    yield space
    space.close()


@pytest.fixture
def make(scratch, tool):
    """Makes the machine of a test: make(kind="ext4", layout="root", sector=512)."""

    def machine(*args, **kwargs):
        return rig.Machine(scratch, tool, *args, **kwargs)

    return machine


@pytest.fixture
def machine(make):
    """One with an ext4 root filesystem and a reserved slot."""
    made = make()
    made("setup").done()
    return made


@pytest.fixture(scope="module")
def shared_machine(tool):
    """The same for all tests of a module that leave it as it was."""
    space = rig.Scratch()
    try:
        made = rig.Machine(space, tool)
        made("setup").done()
        yield made
    finally:
        space.close()
