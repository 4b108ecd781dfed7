# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""locate: finding devices, waiting for them, and the setup hooks."""

import os
import signal
import subprocess
import time

import pytest

from . import rig
from .rig import Swap, run

# Its stamps of hooks that were run are in /run, for the whole machine: each test has its own.
OWN_RUN = ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")


@pytest.fixture
def locate(tool, tmp_path):
    """Calls locate with the hooks in locate.hooks."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()

    def call(*args, timeout=3, **more):
        return tool("locate", f"--timeout={timeout}", f"--hooks={hooks}", *args, prefix=OWN_RUN, **more)

    def hook(name, script, mode=0o755):
        (hooks / name).write_text(f"#!/bin/sh\n{script}\n")
        (hooks / name).chmod(mode)

    call.hooks, call.hook, call.log = hooks, hook, tmp_path / "log"
    return call


@pytest.fixture
def disk(scratch):
    """A disk with one partition that has every kind of name; no other test has the same."""
    label, part_label = f"the {os.urandom(5).hex()}", f"Part {os.urandom(5).hex()}"
    image = scratch.image("disk", 8 * rig.MIB)
    run("sfdisk", "-q", image,
        input=f'label: gpt\nstart=2048, size=8192, type=linux, name="{part_label}"\n'.encode())
    device = scratch.loop(image)
    run("partx", "--update", device)
    scratch.undo.callback(run, "partx", "--delete", device, check=False)  # or they outlive the loop device's image
    part = f"{device}p1"
    run("mkfs.ext2", "-q", "-L", label, part)
    values = run("blkid", "-p", "-o", "export", part).stdout.decode()
    tags = dict(line.split("=", 1) for line in values.splitlines())
    return part, {"UUID": tags["UUID"], "PARTUUID": tags["PART_ENTRY_UUID"], "LABEL": label, "PARTLABEL": part_label}


# ---- finding ----


@pytest.mark.parametrize("kind", ["UUID", "PARTUUID", "LABEL", "PARTLABEL"])
def test_by_tag(locate, disk, kind):
    part, tags = disk
    assert locate(f"{kind}={tags[kind]}").done().out.decode() == f"{part}\n"
    assert locate(f'{kind}="{tags[kind]}"').done().out.decode() == f"{part}\n"


def test_hexadecimal_digits_in_any_case_but_labels_as_they_are(locate, disk):
    part, tags = disk
    assert locate(f"UUID={tags['UUID'].upper()}").done().out.decode() == f"{part}\n"
    label = tags["LABEL"].upper()
    locate(f"LABEL={label}", timeout=0).says_no(1, f"LABEL={label}")


def test_by_path(locate, disk):
    assert locate(disk[0]).done().out.decode() == f"{disk[0]}\n"
    for path in ("/dev/null", "/etc/passwd", "/nonexistent"):
        locate(path, timeout=0).says_no(1, path)


def test_several_and_json(locate, disk, scratch):
    swap = Swap(scratch)
    tags = [f"UUID={swap.uuid}", f"LABEL={disk[1]['LABEL']}"]
    assert locate(*tags).done().out.decode() == f"{swap.device}\n{disk[0]}\n"
    assert locate("--json", *tags).done().json() == dict(zip(tags, [swap.device, disk[0]], strict=True))


@pytest.mark.parametrize("kind", ["UUID", "LABEL"])
def test_two_that_carry_it(locate, scratch, kind):
    for name in ("one", "two"):
        device = scratch.loop(scratch.image(name, rig.MIB))
        run("mkswap", "-q", "-L", "twin", "-U", "01234567-89ab-4def-8123-456789abcdef", device)
    tag = {"UUID": "UUID=01234567-89ab-4def-8123-456789abcdef", "LABEL": "LABEL=twin"}[kind]
    locate(tag).says_no(3, tag, "more than one")


@pytest.mark.parametrize("kind", ["UUID", "LABEL"])
def test_what_it_is_cannot_be_told(locate, scratch, kind):
    """A device with two signatures is nobody's, and does not stand in the way of one with the same name."""
    name = {"UUID": "31234567-89ab-4def-8123-456789abcdef", "LABEL": "odd"}[kind]
    option = {"UUID": "-U", "LABEL": "-L"}[kind]
    image = scratch.image("both", 4 * rig.MIB)  # of what is no larger than a floppy, libblkid takes the first
    run("mkswap", "-q", option, name, image)
    with image.open("r+b") as file:
        file.write(b"-rom1fs-")
    odd = scratch.loop(image)
    assert subprocess.run(["blkid", "-p", odd], capture_output=True, check=False).returncode == 8, "ambivalent"
    locate(f"{kind}={name}", timeout=0).says_no(1, name)
    good = scratch.loop(scratch.image("good", rig.MIB))
    run("mkswap", "-q", option, name, good)
    assert locate(f"{kind}={name}").done().out.decode() == f"{good}\n"


@pytest.mark.parametrize("kind", ["UUID", "LABEL"])
def test_half_of_a_mirror(locate, scratch, kind):
    """What a RAID controller mirrors looks like the whole thing, and is not: only the end of the device tells."""
    name = {"UUID": "51234567-89ab-4def-8123-456789abcdef", "LABEL": "half"}[kind]
    option = {"UUID": "-U", "LABEL": "-L"}[kind]
    image = scratch.image("half", 4 * rig.MIB)
    run("mkswap", "-q", option, name, image)
    with image.open("r+b") as file:
        file.seek(4 * rig.MIB - 1024)
        file.write(b"Intel Raid ISM Cfg Sig. 1.0.00\0")
    half = scratch.loop(image)
    assert run("blkid", "-p", "-o", "value", "-s", "TYPE", half).stdout == b"isw_raid_member\n"
    locate(f"{kind}={name}", timeout=0).says_no(1, name)


# ---- waiting ----


def test_the_second_one_comes_late(locate, scratch):
    """What was seen when the first was looked for does not do for the second."""
    swap, late = Swap(scratch), scratch.loop(scratch.image("late", rig.MIB))
    uuid = "41111111-89ab-4def-8123-456789abcdef"
    later = subprocess.Popen(["sh", "-c", f"sleep 1; mkswap -q -U {uuid} {late}"])
    assert locate(f"UUID={swap.uuid}", f"UUID={uuid}", timeout=25).done().out.decode() == f"{swap.device}\n{late}\n"
    later.wait()


def test_waits_and_says_so(locate, scratch):
    """The device comes while it waits."""
    image = scratch.image("late", rig.MIB)
    run("mkswap", "-q", "-U", "11111111-89ab-4def-8123-456789abcdef", image)
    later = subprocess.Popen(["sh", "-c", f"sleep 2; losetup --find --show {image}"], stdout=subprocess.PIPE)
    result = locate("UUID=11111111-89ab-4def-8123-456789abcdef", timeout=25)
    device = later.communicate()[0].decode().strip()
    scratch.undo.callback(scratch.detach, device)
    assert result.done().out.decode() == f"{device}\n"
    assert "waiting for UUID=11111111" in result.err


def test_contents_that_come_later(locate, scratch):
    """The device is there, but what it is named by is written while it waits."""
    device = scratch.loop(scratch.image("empty", rig.MIB))
    uuid = "22222222-89ab-4def-8123-456789abcdef"
    later = subprocess.Popen(["sh", "-c", f"sleep 1; mkswap -q -U {uuid} {device}"])
    assert locate(f"UUID={uuid}", timeout=25).done().out.decode() == f"{device}\n"
    later.wait()


def test_the_limit_holds(locate):
    start = time.monotonic()
    result = locate("UUID=nope", timeout=2)
    assert result.status == 1 and 2 <= time.monotonic() - start < 20
    assert result.err.splitlines()[-1].startswith("hibctl: UUID=nope: ") and result.out == b""


# ---- setup hooks ----


def test_hooks_in_order_and_once(locate, scratch):
    swap = Swap(scratch)
    for name in ("30-c", "10-a", "20-b"):
        locate.hook(name, f"echo {name} >>{locate.log}; echo nonsense; echo more >&2")
    for name in ("40-d.bak", "50-e~", "60 f", ".70-g"):
        locate.hook(name, f"echo {name} >>{locate.log}")
    result = locate(f"UUID={swap.uuid}")
    assert result.done().out.decode() == f"{swap.device}\n" and "nonsense" in result.err
    assert locate.log.read_text().split() == ["10-a", "20-b", "30-c"]
    # A second call since power-on, so in the same /run.
    script = 'mount -t tmpfs none /run && "$@" && "$@"'
    subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", os.environ["HIBCTL"], "locate",
                    f"--hooks={locate.hooks}", f"UUID={swap.uuid}"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    assert locate.log.read_text().split() == 2 * ["10-a", "20-b", "30-c"]


def test_hook_that_makes_the_device(locate, scratch):
    image = scratch.image("made", rig.MIB)
    run("mkswap", "-q", "-U", "33333333-89ab-4def-8123-456789abcdef", image)
    locate.hook("10-loop", f"losetup --find {image}")
    device = locate("UUID=33333333-89ab-4def-8123-456789abcdef", timeout=20).done().out.decode().strip()
    run("losetup", "--detach", device)


@pytest.mark.parametrize("script,word", [("exit 7", "status 7"), ("kill -9 $$", "signal 9"), ("sleep 60", "too long"),
                                         ("trap '' TERM INT; sleep 60 & wait", "too long")])
def test_hook_that_fails(locate, scratch, script, word):
    swap = Swap(scratch)
    locate.hook("10-bad", script)
    locate.hook("20-next", f"touch {locate.log}")
    start = time.monotonic()
    result = locate(f"UUID={swap.uuid}", timeout=2).says_no(1, "10-bad", word)
    assert time.monotonic() - start < 20 and not locate.log.exists(), result


def test_hook_that_left_a_child_behind_is_ended_whole(locate, scratch):
    swap = Swap(scratch)
    locate.hook("10-bad", f"sleep 777 & echo $! >{locate.log}; wait")
    locate(f"UUID={swap.uuid}", timeout=1).says_no(1, "too long")
    deadline = time.monotonic() + 10
    pid = int(locate.log.read_text())
    while os.path.exists(f"/proc/{pid}") and "zombie" not in open(f"/proc/{pid}/status").read():
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.05)


def test_hook_that_cannot_be_run(locate, scratch):
    swap = Swap(scratch)
    locate.hook("10-plain", "true", mode=0o644)
    locate(f"UUID={swap.uuid}").says_no(1, "10-plain", "chmod")
    (locate.hooks / "10-plain").unlink()
    (locate.hooks / "20-broken").write_bytes(b"\x00\x01")
    (locate.hooks / "20-broken").chmod(0o755)
    locate(f"UUID={swap.uuid}").says_no(1, "20-broken", "127")


def test_hook_environment(locate, scratch):
    """Nothing of the caller's gets in, and no signal is held."""
    swap = Swap(scratch)
    locate.hook("10-env", f"env >{locate.log}; grep SigBlk /proc/self/status >>{locate.log}; pwd >/dev/null; read x")
    locate(f"UUID={swap.uuid}", env={"LD_TRACE": "x", "IFS": "x"})
    text = locate.log.read_text()
    assert "LD_TRACE" not in text and "PATH=/usr/sbin" in text and "SigBlk:\t0000000000000000" in text


def test_hook_that_looks_for_the_device_below(locate, scratch):
    swap = Swap(scratch)
    for name in ("10-first", "20-second"):
        locate.hook(name, f'echo {name} >>{locate.log}\n"{os.environ["HIBCTL"]}" locate --timeout=1 '
                          f"--hooks={locate.hooks} UUID={swap.uuid}")
    result = locate(f"UUID={swap.uuid}").done()
    assert result.out.decode() == f"{swap.device}\n" and result.err.split() == 2 * [swap.device], result
    assert locate.log.read_text().split() == ["10-first", "20-second"]


def test_arguments_from_the_plan(locate, make):
    machine = make(layout="boot")
    machine("setup").done()
    plan = machine.scratch.path / "plan"
    machine("prepare", f"--plan={plan}", "--hook=20-net host $HOME 'x'", "--hook=10-crypt UUID=a swap").done()
    for name in ("10-crypt", "20-net", "30-none"):
        locate.hook(name, f'printf "%s|" "$#" "$@" >>{locate.log}; echo >>{locate.log}')
    assert locate(f"--plan={plan}").done().out.decode() == f"{machine.swap.device}\n", "the plan's image, if none is named"
    assert locate.log.read_text().splitlines() == ["2|UUID=a|swap|", "3|host|$HOME|'x'|", "0|"]


@pytest.mark.parametrize("hook", ["", "name", " word", "name ", "na\tme x", "n " + 300 * "x", "n \u00e4"])
def test_arguments_that_a_plan_cannot_hold(make, hook):
    machine = make(layout="boot")
    machine("setup").done()
    result = machine("prepare", f"--plan={machine.scratch.path}/plan", f"--hook={hook}")
    assert result.status == 64 and not (machine.scratch.path / "plan").exists(), result


def test_ctrl_c_while_waiting(locate, tool):
    child = subprocess.Popen(tool.argv("locate", "--timeout=60", "--hooks=/nonexistent", "UUID=nope"),
                             stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    assert child.wait(10) == -signal.SIGINT
    child.stderr.close()
