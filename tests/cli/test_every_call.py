# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Every command, killed at its system calls, and with each of them failing, cut short or being the last that works:
GRUB reads the old block or the new one, no other variable and no other byte is another, nothing is mounted, frozen or
locked, nothing lies about, and what the exit status and the message say is so.

A choice of points, always the same. With HIBCTL_FAULTS=full in the environment: all of them in one scene of each command, and
a larger choice in the others; with HIBCTL_FAULTS=all: all, which takes hours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import rig, syscalls
from .scenes import SCENES

FAULTS = os.environ.get("HIBCTL_FAULTS")
SOME, MANY = 24, 200
PARTS = 8 if FAULTS else 1
LIMIT = 3600 if FAULTS else 300  # seconds

# One of each command, and of each store that marks.
FULL = ("mark", "mark-bootbits", "mark-efi", "mark-plan-released", "cancel", "settle", "sleep-pre", "sleep-post", "setup",
        "setup-remove", "prepare", "resume-released", "locate", "status", "check", "env-list", "env-get", "env-verify", "env-set",
        "env-unset", "env-create")


assert set(FULL) <= set(SCENES)


def count(scene):
    if FAULTS == "all" or (FAULTS == "full" and scene in FULL):
        return "all"
    return str(MANY if FAULTS else SOME)


@pytest.fixture(scope="session")
def inject(tmp_path_factory):
    """The helper that makes the faults."""
    program = tmp_path_factory.mktemp("inject") / "inject"
    rig.run("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, Path(__file__).parent / "inject.c")
    return program


def try_points(tool, inject, scene, part):
    environment = {**os.environ, "HIBCTL": tool.path, "HIBCTL_INJECT": str(inject)}
    done = subprocess.run([sys.executable, "-m", "cli.everycall", scene, count(scene), str(part), str(PARTS)], env=environment, capture_output=True,
                          stdin=subprocess.DEVNULL, cwd=Path(__file__).parent.parent, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scene", SCENES)
def test_every_call(tool, inject, record_property, scene, part):
    found = try_points(tool, inject, scene, part)
    record_property("fault_points", json.dumps(found["by_kind"]))
    record_property("fault_problems", len(found["problems"]))
    bad = found["problems"]
    assert not bad, f"{len(bad)} of {found['points']}:\n" + "\n".join(bad[:20])
    assert found["points"] >= SOME and found["effects"] > found["points"] // 20, f"hardly any fault has had an effect: {found}"
    assert found["other_call"] <= found["points"] // 10, f"two runs do not make the same calls: {found}"


# ---- the helper itself ----


def run_injected(inject, tmp_path, what, number, *argv):
    report = tmp_path / "report"
    done = subprocess.run([inject, "10", report, "0", str(number), what, *argv], capture_output=True, check=False)
    return done, report.read_text().splitlines()


def listed(inject, tmp_path, *argv):
    _, lines = run_injected(inject, tmp_path, "list", 0, *argv)
    return syscalls.parse_list("\n".join(lines))


def call_of(calls, name, text=""):
    return next(call.number for call in calls if call.name == name and call.text.endswith(text))


@pytest.mark.parametrize("what,expected", [("error:28", (b"", b"No space left")), ("late:5", (b"12345678", b"Input/output")),
                                           ("short:3", (b"12345678", b"")), ("kill", (b"", b""))])
def test_inject(inject, tmp_path, what, expected):
    """What it does really happens, and only once: dd goes on after a short write."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"12345678")
    argv = ["/usr/bin/dd", f"if={source}", f"of={target}", "status=none"]
    number = call_of(listed(inject, tmp_path, *argv), "write")
    target.unlink()
    done, lines = run_injected(inject, tmp_path, what, number, *argv)
    assert target.read_bytes() == expected[0] and expected[1] in done.stderr
    assert lines[0] == f"at {syscalls.numbers()['write']}"
    status = {"kill": 137, "short:3": 0}.get(what, 1)
    assert lines[-1] == f"end 1 {status} 0"
    if what == "short:3":
        counts = [call.args[2] for call in listed(inject, tmp_path, *argv) if call.name == "write"]
        assert counts == [8], "without the fault it is one write"


def test_inject_in_a_child(inject, tmp_path):
    argv = ["/bin/sh", "-c", "/bin/echo one >&2; echo two >&2"]
    calls = listed(inject, tmp_path, *argv)
    number = next(call.number for call in calls if call.process == 1 and call.name == "execve")
    report = tmp_path / "report"
    done = subprocess.run([inject, "10", report, "1", str(number), "error:2", *argv], capture_output=True, check=False)
    assert b"one" not in done.stderr and b"not found" in done.stderr and b"two" in done.stderr


def test_inject_ends_what_hangs(inject, tmp_path):
    report = tmp_path / "report"
    subprocess.run([inject, "1", report, "0", "0", "list", "/bin/sleep", "60"], check=True)
    assert report.read_text().splitlines()[-1] == "end 0 137 1"
