# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What the sleep hooks do, and what they leave alone."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from . import envblock, rig
from .rig import run

SLEEP = Path(__file__).resolve().parents[2] / "sleep"
IMAGES = ["hibernate", "hybrid-sleep"]
NO_IMAGES = ["suspend", "suspend-after-failed-hibernate", "suspend-then-hibernate", "", "hibernate2"]


@pytest.fixture
def sleeper(machine):
    (machine.root / "var/lib").mkdir(parents=True)
    return machine


def settings(machine, text):
    path = machine.root / "etc/hibctl/hibctl.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def cannot_mark(machine):
    """Without the running kernel's file."""
    machine.kernel.rename(machine.kernel.with_name("away"))


def note(machine):
    return machine.root / "var/lib/hibctl/unmarked"


def state(machine):
    return envblock.state(machine.grub_reads())


@pytest.mark.parametrize("action", IMAGES)
def test_marks_before_and_settles_after(sleeper, action):
    sleeper("sleep", "pre", action).done()
    assert state(sleeper) == "armed"

    # It comes back, as GRUB and the kernel leave things.
    sleeper.change_raw(lambda block: envblock.with_state(block, "taken"))
    sleeper("sleep", "post", action).done()
    assert state(sleeper) == "none"


@pytest.mark.parametrize("action", IMAGES)
def test_hibernating_failed(sleeper, action):
    sleeper("sleep", "pre", action).done()
    result = sleeper("sleep", "post", action).done()
    assert state(sleeper) == "none" and "cleared" in result.err


def test_an_image_that_is_there_keeps_its_mark(sleeper):
    sleeper("sleep", "pre", "hibernate").done()
    sleeper.swap.put_image()
    sleeper("sleep", "post", "hibernate").nothing()
    assert state(sleeper) == "armed"


@pytest.mark.parametrize("action", NO_IMAGES)
@pytest.mark.parametrize("phase", ["pre", "post", "check"])
def test_no_image_no_mark(sleeper, phase, action):
    settings(sleeper, "Sleep=require\n")
    sleeper("mark").done()
    before = sleeper.grub_reads()
    cannot_mark(sleeper)
    result = sleeper("sleep", phase, action).done()
    assert sleeper.grub_reads() == before and not note(sleeper).exists() and not result.err


def test_a_failure_is_told_and_stops_nobody(sleeper):
    cannot_mark(sleeper)
    result = sleeper("sleep", "pre", "hibernate").done()
    assert "hibernating goes on" in result.err and state(sleeper) == "none"
    assert not sleeper("sleep", "check", "hibernate").done().err

    told = sleeper.status()["unmarked"]
    assert "the file of the running kernel" in told["reason"] and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", told["time"])
    text = sleeper("status").out.decode()
    assert f"without a mark at {told['time'][:10]} {told['time'][11:16]}: the file of the running kernel" in text

    # It stays while the session is away, and until there is a mark again.
    sleeper("sleep", "post", "hibernate").nothing()
    assert sleeper.status()["unmarked"] == told
    sleeper.kernel.with_name("away").rename(sleeper.kernel)
    sleeper("sleep", "pre", "hibernate").done()
    assert sleeper.status()["unmarked"] is None and not note(sleeper).exists()


def test_required(sleeper):
    settings(sleeper, "Sleep = require\n")
    sleeper("sleep", "check", "hibernate").done()
    assert state(sleeper) == "none", "to check marks nothing"
    sleeper("sleep", "pre", "hibernate").done()
    assert state(sleeper) == "armed"
    sleeper("cancel").done()

    cannot_mark(sleeper)
    for phase in ("check", "pre"):
        result = sleeper("sleep", phase, "hibernate").says_no(3, "the file of the running kernel", "is gone")
        assert "goes on" not in result.err
    assert sleeper.status()["unmarked"] is not None


def test_off(sleeper):
    settings(sleeper, "Sleep=off\n")
    sleeper("sleep", "pre", "hibernate").done()
    assert state(sleeper) == "none"
    sleeper("mark").done()
    sleeper("sleep", "post", "hibernate").done()
    assert state(sleeper) == "armed", "off is off"


@pytest.mark.parametrize("text, status", [("Store=env\nSleep=perhaps\n", 0), ("Sleep=require\nStore=nowhere\n", 64)],
                         ids=["try", "require"])
def test_settings_that_make_no_sense(sleeper, text, status):
    """What can be read of them counts."""
    settings(sleeper, text)
    for phase in ("pre", "check"):
        result = sleeper("sleep", phase, "hibernate")
        assert result.status == status and state(sleeper) == "none"
        assert phase == "check" or "hibctl.conf, line 2" in result.err
    assert "hibctl.conf, line 2" in sleeper.status()["unmarked"]["reason"]
    sleeper("sleep", "post", "hibernate").nothing()


@pytest.mark.parametrize("text", ["Store=nowhere\nSleep=require\n", "Sleep=require\nSleep=requiere\n", "\x01\nSleep=require\n"])
def test_what_is_wrong_does_not_hide_the_rest(sleeper, text):
    """A machine that shall not hibernate unmarked does not, whatever else is in the settings, and in whatever order."""
    settings(sleeper, text)
    for phase in ("check", "pre"):
        assert sleeper("sleep", phase, "hibernate").status == 64
    settings(sleeper, "Store=nowhere\n")
    (sleeper.root / "etc/hibctl/hibctl.conf.d").mkdir()
    (sleeper.root / "etc/hibctl/hibctl.conf.d/x.conf").write_text("Sleep=require\n")
    assert sleeper("sleep", "check", "hibernate").status == 64


def test_the_note_cannot_be_written(sleeper):
    cannot_mark(sleeper)
    (sleeper.root / "var/lib").rmdir()
    (sleeper.root / "var/lib").write_text("no folder")
    result = sleeper("sleep", "pre", "hibernate").done()
    assert "cannot note this" in result.err and "hibernating goes on" in result.err


@pytest.mark.parametrize("text", [b"", b"2026-01-01T00:00:00", b"2026-01-01T00:00:00 ", b"x" * 400 + b" y", b"a " + b"z" * 3000],
                         ids=["empty", "no reason", "blank", "no time", "long"])
def test_a_note_that_is_none(sleeper, text):
    note(sleeper).parent.mkdir(parents=True)
    note(sleeper).write_bytes(text)
    assert sleeper.status()["unmarked"] is None


def test_a_note_does_not_move_the_cursor(sleeper):
    note(sleeper).parent.mkdir(parents=True)
    note(sleeper).write_bytes(b"2026-01-01T00:00:00 a\x1b[2Jb\nc\x7f")
    assert sleeper.status()["unmarked"]["reason"] == "a [2Jb c "
    assert b"\x1b[2J" not in sleeper("status").out
    note(sleeper).unlink()
    os.mkfifo(note(sleeper))
    assert sleeper.status()["unmarked"] is None


@pytest.mark.parametrize("words", [[], ["pre"], ["pre", "hibernate", "now"], ["during", "hibernate"]])
def test_wrong_usage(machine, words):
    machine("sleep", *words).says_no(64, "there are: pre" if words[:1] == ["during"] else "sleep --help")


# ---- the hook itself ----


@pytest.fixture
def hook(sleeper, tmp_path):
    """As installed, but for where the tool is."""
    tool = tmp_path / "hibctl"
    tool.write_text(f'#!/bin/sh\nexec {" ".join(sleeper.tool.argv(root=sleeper.root))} "$@"\n')
    tool.chmod(0o755)
    script = tmp_path / "hook"
    script.write_text((SLEEP / "hibctl-sleep.in").read_text().replace("@sbindir@", str(tmp_path)))
    script.chmod(0o755)

    def call(*words, step=None):
        env = {"PATH": rig.PATH, "LC_ALL": "C", **rig.NO_UEFI}
        if step is not None:
            env["SYSTEMD_SLEEP_ACTION"] = step
        return subprocess.run([script, *words], env=env, capture_output=True, text=True, check=False)

    call.tool = tool
    return call


def test_hook(sleeper, hook):
    for words, step, expected in [
        (("pre", "suspend"), "suspend", "none"),
        (("post", "suspend"), "suspend", "none"),
        (("pre", "suspend-then-hibernate"), "suspend", "none"),
        (("post", "suspend-then-hibernate"), "suspend", "none"),
        (("pre", "suspend-then-hibernate"), "hibernate", "armed"),
        (("post", "suspend-then-hibernate"), "hibernate", "none"),
        (("pre", "suspend-then-hibernate"), "suspend-after-failed-hibernate", "none"),
        (("pre", "hibernate"), "hibernate", "armed"),
        (("post", "hibernate"), "hibernate", "none"),
        (("pre", "hybrid-sleep"), None, "armed"),
        (("post", "hybrid-sleep"), None, "none"),
    ]:
        result = hook(*words, step=step)
        assert result.returncode == 0, result
        assert state(sleeper) == expected, (words, step)


def test_hook_without_the_tool(sleeper, hook):
    """As after the package was removed, but not purged."""
    hook.tool.unlink()
    assert hook("pre", "hibernate").returncode == 0
    assert state(sleeper) == "none"


def test_systemd_takes_the_units(tmp_path):
    """If its checker is here."""
    for name in ("hibctl-settle.service", "refuse-unmarked.conf"):
        text = (SLEEP / f"{name}.in").read_text().replace("@sbindir@", "/bin").replace("/hibctl ", "/true ")
        (tmp_path / name).write_text(text)
    try:
        done = run("systemd-analyze", "verify", "--man=no", tmp_path / "hibctl-settle.service", check=False)
    except FileNotFoundError:
        pytest.skip("no systemd-analyze")
    assert done.returncode == 0 and not done.stderr, done
