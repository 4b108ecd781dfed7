# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Is it safe to mount? Filesystems as mkfs and this kernel leave them, with their own tools as the judges.

tests/vm has those that only the guest's kernel can mount; tests/unit has bytes that nobody wrote. fs-state is a program
of the tests around the tool's own code."""

import os
import re
import shutil
import struct
import time
import zlib
from pathlib import Path

import pytest

from . import rig
from .quick import few
from .rig import MIB, run

KINDS = {
    **{kind: made for kind, made in rig.FILESYSTEMS.items() if kind != "vfat"},  # in a virtual machine: tests/vm
    "ext4-mmp": (8 * MIB, ["mkfs.ext4", "-q", "-b", "1024", "-O", "mmp"]),
    "ext4-nocsum": (8 * MIB, ["mkfs.ext4", "-q", "-b", "1024", "-O", "^metadata_csum,^64bit"]),
    "xfs-4k": (320 * MIB, ["mkfs.xfs", "-q", "-s", "size=4096"]),
    "xfs-smalllog": (100 * MIB, ["mkfs.xfs", "-q", "--unsupported", "-l", "size=6m"]),
    "xfs-stripe": (640 * MIB, ["mkfs.xfs", "-q", "-d", "su=256k,sw=2", "-l", "su=256k"]),
}

# Only made here, never mounted: this kernel has none of them, or no longer.
OTHERS = {
    "vfat-12": (8 * MIB, ["mkfs.fat", "-F", "12"]),
    "vfat-16": (32 * MIB, ["mkfs.fat", "-F", "16"]),
    "vfat-32": (64 * MIB, ["mkfs.fat", "-F", "32"]),
    "vfat-4k": (64 * MIB, ["mkfs.fat", "-S", "4096"]),
    "exfat": (64 * MIB, ["mkfs.exfat"]),
    "f2fs": (100 * MIB, ["mkfs.f2fs", "-q"]),
    "f2fs-csum": (100 * MIB, ["mkfs.f2fs", "-q", "-O", "extra_attr,inode_checksum,sb_checksum"]),
    "xfs-v4": (320 * MIB, ["mkfs.xfs", "-q", "-m", "crc=0"]),
    "xfs-v4-log1": (320 * MIB, ["mkfs.xfs", "-q", "-m", "crc=0", "-l", "version=1"]),
}


@pytest.fixture(scope="session")
def fs_state(tool):
    path = Path(os.environ.get("HIBCTL_FS_STATE") or Path(tool.path).parents[1] / "tests/unit/fs-state")
    if not path.is_file():
        pytest.fail(f"{path} is not there: run 'make tests/unit/fs-state', or name it with HIBCTL_FS_STATE")

    def ask(*argv):
        """The state and the reason."""
        done = run(path, *argv, check=False)
        words = re.fullmatch(r"(\S+) (\S+): (.*)\n", done.stdout.decode())
        assert words and done.returncode == (0 if words[1] == "clean" else 1), done
        assert bool(words[3]) == (words[1] != "clean"), "a reason where it is not clean"
        return words[1], words[3]

    return ask


def make_image(scratch, kind, name="fs"):
    size, maker = {**KINDS, **OTHERS}[kind]
    image = scratch.image(name, size)
    run(*maker, image)
    return image


def own_tool_says_clean(kind, image):
    """What the filesystem's own tools think."""
    kind = kind.partition("-")[0]
    if kind.startswith("ext"):
        about = run("dumpe2fs", "-h", image).stdout.decode()
        state = re.search(r"^Filesystem state: +(.*)$", about, re.MULTILINE)[1]
        return state == "clean" and "needs_recovery" not in about and "orphan_present" not in about
    if kind == "xfs":
        about = run("xfs_logprint", "-t", image).stdout.decode(errors="replace")
        assert ("<CLEAN>" in about) != ("<DIRTY>" in about), about
        return "<CLEAN>" in about
    about = run("btrfs", "inspect-internal", "dump-super", image).stdout.decode()
    return re.search(r"^log_root\s+(\d+)$", about, re.MULTILINE)[1] == "0"


def unmount(device, folder):
    """For good: a mount namespace that somebody has just made holds a copy of every mount for as long as it lives."""
    rig.unmount(folder)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
            return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"{device} is still held")


def write_and_fsync(folder):
    """So that something is in the journal, or in a log, and not yet anywhere else."""
    for name in ("a", "b", "c"):
        file = os.open(folder / f"new-{name}", os.O_CREAT | os.O_WRONLY)
        os.write(file, b"x" * 5000)
        os.fsync(file)
        os.close(file)


# What is said of a copy of the device in each state. "idle" is: mounted for writing, nothing changed.
JOURNAL = {"idle": "needs-recovery", "frozen": "clean", "crashed": "needs-recovery"}
FLAG = {"idle": "marked-mounted", "frozen": "marked-mounted", "crashed": "marked-mounted"}
LOG = {"idle": "clean", "frozen": "needs-recovery", "crashed": "needs-recovery"}
STATES = {
    "ext2": FLAG,
    "ext4-nojournal": FLAG,
    "ext4-mmp": {**JOURNAL, "frozen": "marked-mounted"},
    "xfs": LOG,
    "btrfs": {"idle": "clean", "frozen": "clean", "crashed": "needs-recovery"},
}


@pytest.mark.parametrize("kind", few(("ext4", "xfs", "btrfs"), KINDS))
def test_states(scratch, fs_state, kind):
    image = make_image(scratch, kind)
    type_ = kind.partition("-")[0]
    wanted = STATES.get(kind) or STATES.get(type_) or JOURNAL
    device, folder, copy = scratch.loop(image), scratch.folder("mounted"), scratch.path / "copy"
    checked = {}

    def check(name, state, path):
        said = fs_state(type_, path)
        assert said[0] == state, f"{kind}, {name}: {said}"
        # A frozen multi-mount protected ext4 is clean by its flags; the block beside them says more.
        if not (kind == "ext4-mmp" and name == "frozen"):
            assert own_tool_says_clean(kind, path) == (state == "clean"), f"{kind}, {name}: the judges disagree"
        checked[name] = said

    def check_copy(name):
        shutil.copyfile(image, copy)
        check(name, wanted[name], copy)

    check("made", "clean", image)
    scratch.mount(device, folder)
    run("sync", "--file-system", folder)
    check_copy("idle")
    assert fs_state(device)[0] == "in-use"
    (folder / "file").write_text("x")
    run("sync", "--file-system", folder)
    scratch.thaw_at_end(folder)
    run("fsfreeze", "-f", folder)
    check_copy("frozen")
    run("fsfreeze", "-u", folder)
    write_and_fsync(folder)
    check_copy("crashed")
    unmount(device, folder)
    check("clean", "clean", image)
    assert fs_state(device) == ("clean", "")
    run("mount", "-o", "ro", device, folder)
    shutil.copyfile(image, copy)
    check("read-only", "clean", copy)
    assert fs_state(device)[0] == "in-use", "what a read-only mount does not write, the kernel still tells"
    unmount(device, folder)
    assert len(checked) == 6


@pytest.mark.parametrize("kind", OTHERS)
def test_made_by_mkfs(scratch, fs_state, kind):
    image = make_image(scratch, kind)
    assert fs_state(kind.partition("-")[0], image) == ("clean", "")
    device = scratch.loop(image, 4096 if kind == "vfat-4k" else 512)
    assert fs_state(device) == ("clean", "")


def test_frozen_without_a_change(scratch, fs_state):
    """Nothing but the freeze itself tells that this one is mounted."""
    image = make_image(scratch, "xfs")
    folder = scratch.folder("mounted")
    scratch.mount(scratch.loop(image), folder)
    scratch.thaw_at_end(folder)
    run("fsfreeze", "-f", folder)
    shutil.copyfile(image, scratch.path / "copy")
    run("fsfreeze", "-u", folder)
    said = fs_state("xfs", scratch.path / "copy")[0]
    assert (said == "clean") == own_tool_says_clean("xfs", scratch.path / "copy")
    assert said == "needs-recovery"


@pytest.mark.slow
def test_xfs_whose_log_goes_around(scratch, fs_state):
    """The head of the log at many places, in several passes around it, mounted and unmounted."""
    image = make_image(scratch, "xfs-smalllog")
    device, folder, copy = scratch.loop(image), scratch.folder("mounted"), scratch.path / "copy"
    dirty, heads = 0, []
    for turn in range(40):
        scratch.mount(device, folder)
        for batch in range(turn % 4):
            for n in range(500):
                (folder / f"{batch}-{n}-{'n' * 120}").write_bytes(b"")
            for path in folder.iterdir():
                path.unlink()
            run("sync", "--file-system", folder)
        if turn % 4 == 3:
            run("sync", "--file-system", folder)
            shutil.copyfile(image, copy)
            assert (fs_state("xfs", copy)[0] == "clean") == own_tool_says_clean("xfs", copy), turn
            dirty += fs_state("xfs", copy)[0] != "clean"
        unmount(device, folder)
        assert own_tool_says_clean("xfs", image), turn
        assert fs_state("xfs", image) == ("clean", ""), turn
        about = run("xfs_logprint", "-t", image).stdout.decode(errors="replace")
        heads.append(int(re.search(r"head: (\d+)", about)[1]))
    assert dirty > 5
    assert sum(new < old for old, new in zip(heads, heads[1:])) >= 1, f"the log did not go around: {heads}"


def test_xfs_after_its_repair(scratch, fs_state):
    """xfs_repair -L writes a log of its own, with a record in every few blocks; xfs_admin -U one for the new UUID."""
    image = make_image(scratch, "xfs")
    folder = scratch.folder("mounted")
    device = scratch.loop(image)
    scratch.mount(device, folder)
    write_and_fsync(folder)
    shutil.copyfile(image, scratch.path / "copy")
    unmount(device, folder)
    copy = scratch.path / "copy"
    assert fs_state("xfs", copy)[0] == "needs-recovery"
    run("xfs_repair", "-L", copy)
    assert fs_state("xfs", copy) == ("clean", "")
    run("xfs_admin", "-U", "generate", copy)
    assert fs_state("xfs", copy) == ("clean", "")


# ---- devices ----


def blank(scratch, name, size=8 * MIB):
    image = scratch.image(name, size)
    return image, scratch.loop(image)


def lvm_label(size):
    """As _text_write_label of LVM, enough for it to be known."""
    body = struct.pack("<I8s32sQ", 32, b"LVM2 001", b"0123456789abcdef" * 2, size).ljust(492, b"\0")
    crc = zlib.crc32(body, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return struct.pack("<8sQI", b"LABELONE", 1, crc) + body


def test_devices_that_are_something_else(scratch, fs_state):
    image, device = blank(scratch, "nothing")
    assert fs_state(device) == ("unknown", "nothing that is known is on it")

    _, device = blank(scratch, "luks")
    rig.write_device(device, 0, b"LUKS\xba\xbe\0\1" + b"aes".ljust(32, b"\0") + bytes(4056))
    assert fs_state(device) == ("unknown", "it is encrypted (LUKS)")

    _, device = blank(scratch, "lvm")
    rig.write_device(device, 512, lvm_label(8 * MIB))
    assert fs_state(device) == ("unknown", "it belongs to LVM")

    _, device = blank(scratch, "raid")
    rig.write_device(device, 4096, struct.pack("<III", 0xA92B4EFC, 1, 0).ljust(144, b"\1") + struct.pack("<Q", 8))
    assert fs_state(device) == ("unknown", "it is a member of a RAID")

    assert fs_state(rig.Swap(scratch).device) == ("unknown", "it is a swap area")

    _, device = blank(scratch, "squashfs")
    rig.write_device(device, 0, b"hsqs".ljust(28, b"\0") + b"\4\0")
    state, reason = fs_state(device)
    assert state == "unknown" and "type" in reason


def test_ambiguous_device(scratch, fs_state):
    device = scratch.loop(make_image(scratch, "ext4"))
    rig.write_device(device, 0, b"hsqs".ljust(28, b"\0") + b"\4\0")  # squashfs, version 4
    assert fs_state(device) == ("unknown", "it has the signatures of more than one thing")


def test_held_device(scratch, fs_state):
    device = scratch.loop(make_image(scratch, "xfs"))
    assert fs_state(device)[0] == "clean"
    holder = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        assert fs_state(device)[0] == "in-use"
    finally:
        os.close(holder)
    assert fs_state(device)[0] == "clean"


def test_what_is_no_device(scratch, fs_state):
    assert fs_state(scratch.path)[0] == "unknown"
    assert fs_state(scratch.path / "missing")[0] == "unknown"
    assert fs_state(scratch.image("file", MIB)) == ("unknown", "it is not a block device")
    assert fs_state("ext4", scratch.path / "missing")[0] == "unknown"
    assert fs_state("no-such-type", scratch.path / "file")[0] == "unknown"


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "vfat-32", "exfat", "f2fs"])
def test_device_that_ends_early(scratch, fs_state, kind):
    """As on a partition that was made too small, or a copy that was cut off."""
    image = make_image(scratch, kind)
    type_ = kind.partition("-")[0]
    size = image.stat().st_size
    for left in (size - MIB if kind != "f2fs" else size - 8 * MIB, size // 2, 200 * 1024, 65536, 5000, 1023, 512, 0):
        os.truncate(image, left)
        assert fs_state(type_, image)[0] == "unknown", left
        if left > 4096:
            device = scratch.loop(image)
            assert fs_state(device)[0] == "unknown", left
            scratch.detach(device)


# ---- the tool ----


@pytest.mark.slow
def test_xfs_with_changes_in_its_log_is_not_mounted(make, scratch):
    """Its superblock looks the same; mounting it would replay the log."""
    machine = make("xfs", layout="fstab")
    machine("setup").done()
    with machine.mounted():
        write_and_fsync(machine.grub)
        shutil.copyfile(machine.fs.image, scratch.path / "crashed")
    shutil.copyfile(scratch.path / "crashed", machine.fs.image)
    run("blockdev", "--flushbufs", machine.fs.device)
    assert not own_tool_says_clean("xfs", machine.fs.image)
    before = machine.fs.image.read_bytes()
    for argv in (["mark"], ["cancel"], ["settle"], ["setup"], ["env", "set", "a=b"], ["env", "list"], ["status"]):
        result = machine("-q", *argv)
        assert result.status == 3 and machine.fs.device in result.err and "log" in result.err, result
        assert len(result.err.splitlines()) == 1, result
    assert machine.fs.image.read_bytes() == before
    run("mount", machine.fs.device, machine.root / "boot")
    machine.unmount()
    machine("mark").done()


def test_wrong_checksum_is_not_mounted(make):
    machine = make("ext4", layout="fstab")
    machine("setup").done()
    rig.write_device(machine.fs.device, 1024 + 0x78, b"another name")
    machine("mark").says_no(3, machine.fs.device, "checksum")
