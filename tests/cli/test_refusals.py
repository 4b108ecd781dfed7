# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Where no mark can be made, or not by everybody: read-only, full, frozen, of a kind that GRUB cannot write."""

import errno
import os
import re
import subprocess

import pytest

from . import envblock, rig
from .rig import AS_NOBODY, is_writable, run

# ---- filesystems that GRUB cannot write to ----


def test_btrfs(make):
    machine = make("btrfs")
    listing = machine.folder_listing()
    machine("setup").says_no(4, machine.block, "btrfs")
    assert machine.folder_listing() == listing
    run("grub-editenv", machine.block, "create")
    machine.block.write_bytes(envblock.make([(envblock.NAME, envblock.EMPTY)]))
    before = machine.block.read_bytes()
    for command in (["setup"], ["mark"], ["mark", "--store=env"], ["mark", "--dry-run", "--store=env"]):
        machine(*command).says_no(4, machine.block, "btrfs")
    explained = machine("mark", "--dry-run")
    assert explained.status == 4 and len(re.findall("^hibctl: store .*: no: ", explained.err, re.MULTILINE)) == 3, explained
    told = machine.env()
    assert told["writable"] is False and "btrfs" in told["why_not_writable"]
    assert machine.block.read_bytes() == before


def test_a_mark_on_btrfs_is_not_resumed_by_itself(make):
    """It could be there all the same, made by other means; GRUB could not consume it: never a loop."""
    machine = make("btrfs")
    machine.swap.put_image()
    mark = envblock.Mark(image=f"UUID={machine.swap.uuid}", filesystem=machine.fs.uuid,
                         kernel=f"/boot/{machine.kernel.name}", initrd="-")
    machine.block.write_bytes(envblock.make([(envblock.NAME, mark.text())]))
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("offer", "cannot-consume")


def test_tmpfs(scratch, tool):
    """Neither a block device nor a type that GRUB knows."""
    root = scratch.folder("root")
    (root / "boot/grub").mkdir(parents=True)
    block = root / "boot/grub/grubenv"
    tool("setup", root=root).says_no(4, block, "tmpfs")
    assert not block.exists()


# ---- read-only ----


@pytest.fixture
def read_only(machine):
    machine("mark").done()
    before = machine.grub_reads()
    run("mount", "-o", "remount,ro", machine.root)
    yield machine
    assert machine.grub_reads() == before, "something was written"


@pytest.mark.parametrize("argv", [["mark"], ["cancel"], ["settle"], ["-q", "setup", "--remove"], ["env", "set", "a=b"],
                                  ["env", "unset", "a"], ["env", "create"]], ids=" ".join)
def test_read_only_filesystem(read_only, argv):
    read_only(*argv).says_no(3, read_only.block, "read-only", "remount")


@pytest.mark.parametrize("argv", [["mark", "--dry-run"], ["mark", "--dry-run", "--store=env"], ["sleep", "check", "hibernate"]],
                         ids=" ".join)
def test_a_read_only_filesystem_is_no_place_for_a_mark(machine, argv):
    """What --dry-run promises, mark must do: a machine that shall not hibernate unmarked asks it before."""
    (machine.root / "etc/hibctl").mkdir()
    machine.write("etc/hibctl/hibctl.conf", "Sleep=require\n")
    machine(*argv).done()
    run("mount", "-o", "remount,ro", machine.root)
    result = machine(*argv)
    assert result.status == 3 and f"{machine.block}: no mark can be written there: the boot filesystem is mounted read-only" \
        in result.err, result


@pytest.mark.parametrize("command", ["cancel", "settle"])
def test_a_read_only_filesystem_with_a_mark_that_was_used(machine, command):
    machine("mark").done()
    machine.change_raw(lambda block: envblock.with_state(block, "taken"))
    run("mount", "-o", "remount,ro", machine.root)
    machine(command).says_no(3, machine.block, "read-only", "remount")


def test_read_only_filesystem_can_be_looked_at(read_only):
    assert read_only.env()["mark"]["state"] == "armed"
    read_only("env", "list").done()


def test_read_only_filesystem_without_a_block(make):
    machine = make()
    run("mount", "-o", "remount,ro", machine.root)
    machine("-q", "setup").says_no(3, machine.block, "read-only", "remount")
    machine("env", "set", "a=b").says_no(3, machine.block, "read-only", "remount")
    machine("mark").says_no(4, machine.block, "hibctl setup")


def test_read_only_module_folder(make):
    machine = make()
    (machine.grub / "i386-pc").mkdir()
    modules = machine.scratch.folder("modules")
    (modules / "i386-pc").mkdir()
    (modules / "i386-pc/hibresume.mod").write_bytes(b"module")
    machine("setup").done()
    run("mount", "-o", "remount,ro", machine.root)
    result = machine("-q", "setup", f"--modules={modules}")
    assert result.status == 3 and "read-only" in result.err and "remount" in result.err, result


def test_read_only_device(make):
    """The device itself refuses, though the filesystem is in fstab for writing."""
    machine = make(layout="fstab")
    machine("setup").done()
    before = machine.fs.image.read_bytes()
    run("blockdev", "--setro", machine.fs.device)
    try:
        result = machine("mark")
        assert result.status in (1, 3) and machine.fs.device in result.err, result
        assert len(result.err.splitlines()) == 1
        assert not machine.fs.is_in_use()
    finally:
        run("blockdev", "--setrw", machine.fs.device)
    assert machine.fs.image.read_bytes() == before


# ---- full ----


def fill(folder):
    """Takes every block and, with empty files, every inode."""
    with open(folder / "filler", "wb", buffering=0) as file:
        for size in (1 << 16, 1024, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as problem:
                assert problem.errno == errno.ENOSPC
        os.fsync(file.fileno())
    try:
        for i in range(100000):
            (folder / f"filler{i}").touch()
    except OSError as problem:
        assert problem.errno == errno.ENOSPC


@pytest.mark.parametrize("kind", ["ext4", "ext4-nojournal"])
def test_full_filesystem(make, kind):
    machine = make(kind)
    machine("setup").done()
    empty = machine.grub_reads()
    fill(machine.root)
    machine("mark").done()
    assert envblock.state(machine.grub_reads()) == "armed"
    machine("env", "set", "a=b").done()
    machine("env", "unset", "a").done()
    machine("cancel").done()
    assert machine.grub_reads() == empty


@pytest.mark.parametrize("kind", ["ext4", "ext4-nojournal"])
def test_full_filesystem_without_a_block(make, kind):
    machine = make(kind)
    fill(machine.root)
    before = machine.folder_listing()
    for argv in (["setup"], ["env", "set", "a=b"], ["env", "create"]):
        machine("-q", *argv).says_no(1, machine.block, "No space left")
        assert machine.folder_listing() == before, "something was left behind"
        assert machine.grub_reads() is None


def test_full_filesystem_with_inodes_but_no_blocks(make):
    machine = make()
    with open(machine.root / "filler", "wb", buffering=0) as file:
        with pytest.raises(OSError):
            while True:
                file.write(b"x" * 1024)
        os.fsync(file.fileno())
    before = machine.folder_listing()
    machine("-q", "setup").says_no(1, machine.block)
    assert machine.folder_listing() == before
    assert machine.grub_reads() in (None,), "GRUB must not find half a block"


# ---- frozen ----


@pytest.mark.parametrize("argv", [["mark"], ["cancel"], ["env", "set", "a=b"]], ids=" ".join)
def test_frozen_by_another_program(machine, argv):
    """A write would hang, unkillable, with the lock held."""
    machine("mark").done()
    before = machine.grub_reads()
    machine.scratch.thaw_at_end(machine.root)
    run("fsfreeze", "-f", machine.root)
    running = subprocess.Popen([*rig.OWN_LOCK, *machine.tool.argv(*argv, root=machine.root)], stderr=subprocess.PIPE)
    try:
        said = running.communicate(timeout=6)[1].decode()
    except subprocess.TimeoutExpired:
        said = "nothing: it hangs"
    finally:
        run("fsfreeze", "-u", machine.root, check=False)
        running.wait(20)
    assert running.returncode == 3 and "frozen" in said and "thaw" in said, said
    assert machine.grub_reads() == before
    assert is_writable(machine.root)


# ---- not root ----


def test_nobody_may_look(machine):
    machine("mark").done()
    machine.swap.put_image()
    result = machine("--json", "status", prefix=AS_NOBODY)
    told = result.json()
    assert result.status == 0
    assert told["stores"]["env"]["mark"]["state"] == "armed"
    # The device cannot be read: it must not be said that there is no image, nor that there is one.
    assert told["verdict"] not in ("normal", "resume"), told
    assert told["stores"]["env"]["mark"]["image_state"] in ("not-readable", "no-device")
    text = machine("status", prefix=AS_NOBODY).done().out.decode()
    assert "cannot be told" in text.splitlines()[0] and "root" in text


def test_nobody_may_not_change(machine):
    before = machine.grub_reads()
    for argv in (["mark"], ["cancel"], ["cancel", "--discard-image"], ["settle"], ["setup"], ["setup", "--remove"]):
        machine(*argv, prefix=AS_NOBODY).says_no(1, "root")
    for argv in (["env", "set", "a=b"], ["env", "unset", "a"], ["env", "create"]):
        machine(*argv, prefix=AS_NOBODY).says_no(1, machine.block)
    assert machine.grub_reads() == before == machine.block.read_bytes()


def test_nobody_may_dry_run(machine):
    """Looking changes nothing; what cannot be seen is said."""
    result = machine("setup", "--dry-run", prefix=AS_NOBODY)
    assert result.status == 2, result
    machine("mark", "--dry-run", prefix=AS_NOBODY).says_no(3, machine.swap.device)


def test_nobody_with_a_block_of_his_own(scratch, tool):
    block = scratch.path / "mine"
    block.write_bytes(envblock.make([(b"a", b"1")]))
    os.chown(block, rig.NOBODY, rig.NOBODY)
    tool("env", block, "set", "b=2", prefix=AS_NOBODY).done()
    assert envblock.variables(block.read_bytes()) == [(b"a", b"1"), (b"b", b"2")]


def test_nobody_makes_a_block(scratch, tool):
    """Who may not freeze a filesystem may have files all the same."""
    folder = scratch.folder("mine")
    os.chown(folder, rig.NOBODY, rig.NOBODY)
    tool("env", folder / "new", "create", prefix=AS_NOBODY).done()
    tool("env", folder / "set", "set", "b=2", prefix=AS_NOBODY).done()
    assert envblock.variables((folder / "new").read_bytes()) == []
    assert envblock.variables((folder / "set").read_bytes()) == [(b"b", b"2")]


def test_nobody_cannot_read_a_private_block(machine):
    machine.block.chmod(0o600)
    machine("env", "list", prefix=AS_NOBODY).says_no(1, machine.block)
    result = machine("--json", "status", prefix=AS_NOBODY)
    assert result.status == 1 and result.json()["verdict"] not in ("normal", "resume")


# ---- the lock ----


def test_one_run_at_a_time(machine):
    """With the lock held for ever, what changes something gives up and says so; what reads does not wait."""
    lock = 'flock /run/hibctl.lock "$@"'
    held = [*rig.OWN_LOCK, "sh", "-c", lock, "sh"]
    before = machine.grub_reads()
    assert machine("status", prefix=held, timeout=5).status == 2
    assert machine("env", "list", prefix=held, timeout=5).status == 0
    assert machine("mark", "--dry-run", prefix=held, timeout=5).status == 0
    assert machine.grub_reads() == before


@pytest.mark.slow
def test_the_lock_is_not_waited_for_without_end(machine):
    held = [*rig.OWN_LOCK, "sh", "-c", 'flock /run/hibctl.lock "$@"', "sh"]
    before = machine.grub_reads()
    machine("mark", prefix=held, timeout=30).says_no(1, "/run/hibctl.lock")
    assert machine.grub_reads() == before
