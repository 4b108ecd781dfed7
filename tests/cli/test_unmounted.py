# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""/boot is in fstab, but not mounted: the tool mounts it where nobody sees it, for a moment, and leaves it clean."""

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from . import envblock, rig
from .rig import is_mounted, mount_points, run


@pytest.fixture(params=["ext2", "ext4", "ext4-4k", "xfs"])
def any_machine(request, make):
    return make(request.param, layout="fstab")


@pytest.fixture
def unmounted(make):
    machine = make(layout="fstab")
    machine("setup").done()
    return machine


def digest(machine):
    return hashlib.sha256(machine.fs.image.read_bytes()).hexdigest()


def assert_let_go(machine):
    """Nothing is mounted, in no namespace, and the filesystem is as after an orderly unmount."""
    assert not is_mounted(machine.root / "boot")
    assert not machine.fs.is_in_use()
    if machine.fs.type.startswith("ext"):
        machine.fs.assert_clean()


def test_whole_life(any_machine):
    machine = any_machine
    machine("setup").done()
    assert_let_go(machine)
    empty = machine.grub_reads()
    assert envblock.slot(empty) == envblock.EMPTY

    said = machine("--json", "mark").done().json()
    assert_let_go(machine)
    armed = machine.grub_reads()
    fields = envblock.parse(envblock.slot(armed))
    assert envblock.without_slot(armed) == envblock.without_slot(empty)
    assert (fields["state"], fields["id"]) == ("armed", said["id"])
    assert fields["kernel"] == f"/{machine.kernel.name}", "as GRUB sees it, from the root of the boot filesystem"
    assert fields["filesystem"] == machine.fs.uuid

    machine.swap.put_image()
    before = digest(machine)
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("resume", "ready"), "the kernel is on the unmounted filesystem too"
    assert digest(machine) == before, "status writes nothing, not even a mount time"
    assert_let_go(machine)

    machine.swap.remove_image()
    machine("settle").done()
    assert machine.grub_reads() == empty
    assert_let_go(machine)
    machine("mark").done()
    machine("cancel").done()
    assert machine.grub_reads() == empty
    machine("cancel").nothing()
    assert_let_go(machine)

    machine("env", "set", "saved_entry=x").done()
    assert dict(envblock.variables(machine.grub_reads()))[b"saved_entry"] == b"x"
    assert machine("env", "list").done().out.splitlines()[-1] == b"saved_entry=x"
    assert_let_go(machine)
    machine("setup", "--remove").done()
    assert envblock.slot(machine.grub_reads()) is None
    assert_let_go(machine)


@pytest.mark.parametrize("argv", [["mark"], ["mark", "--dry-run"], ["status"], ["cancel"], ["settle"], ["setup"],
                                  ["env", "list"]], ids=" ".join)
def test_what_lies_under_the_mount_point_is_never_touched(unmounted, argv):
    """The root filesystem has an old /boot/grub/grubenv, with another mark in it, under the mount point."""
    machine = unmounted
    machine("mark").done()
    true_block = machine.grub_reads()
    machine.grub.mkdir()
    stale = envblock.make([(envblock.NAME, envblock.Mark(image=f"UUID={machine.swap.uuid}").text()), (b"old", b"1")])
    machine.block.write_bytes(stale)
    (machine.root / "boot/vmlinuz-old").write_bytes(b"")
    before = machine.block.stat()

    result = machine("--json", *argv)
    assert machine.block.read_bytes() == stale
    assert machine.block.stat().st_mtime_ns == before.st_mtime_ns and machine.block.stat().st_ino == before.st_ino
    assert sorted(path.name for path in machine.grub.iterdir()) == ["grubenv"]
    if argv == ["status"]:
        told = result.done().json()
        assert told["stores"]["env"]["mark"]["id"] == envblock.parse(envblock.slot(true_block))["id"]
        assert told["grub_asks"] is True, "the true grub.cfg counts"
    if argv[0] in ("mark", "env"):
        assert result.status == 0 and b"old" not in result.out
    assert_let_go(machine)


def held_up(machine, call, seconds, *argv):
    """Starts the tool, to be held after each system call of this name."""
    inject = f"inject={call}:delay_exit={int(seconds * 1e6)}"
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    return subprocess.Popen([*strace, *machine.tool.argv(*argv, root=machine.root)], stderr=subprocess.PIPE,
                            stdout=subprocess.DEVNULL, env={"PATH": rig.PATH, "LC_ALL": "C", **rig.NO_UEFI})


def mounts_of_others(folder):
    """The mount entries of that folder in the namespaces of all processes, by process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            lines = [line for line in path.read_text().splitlines() if line.split()[4] == str(folder)]
        except OSError:
            continue
        if lines:
            found[int(path.parent.name)] = lines
    return found


def test_mounted_in_a_namespace_of_its_own(unmounted):
    machine = unmounted
    boot = machine.root / "boot"
    running = held_up(machine, "fdatasync", 0.5, "mark")
    seen = {}
    while running.poll() is None:
        assert not is_mounted(boot), "the mount is visible from outside"
        seen.update(mounts_of_others(boot))
        time.sleep(0.02)
    assert running.returncode == 0, running.stderr.read()
    assert seen, "the test did not see the mount: was the tool held up?"
    for process, lines in seen.items():
        assert process != os.getpid() and len(lines) == 1
        options = lines[0].split()[5].split(",")
        assert {"rw", "nosuid", "nodev", "noexec"} <= set(options), lines
    assert_let_go(machine)
    running.stderr.close()


def test_status_mounts_read_only_and_replays_nothing(unmounted):
    machine = unmounted
    running = held_up(machine, "pread64", 0.1, "status")
    seen = {}
    while running.poll() is None:
        seen.update(mounts_of_others(machine.root / "boot"))
        time.sleep(0.02)
    running.stderr.close()
    assert seen, "the test did not see the mount: was the tool held up?"
    for lines in seen.values():
        assert "ro" in lines[0].split()[5].split(",")
        assert re.search(r"\b(noload|norecovery)\b", lines[0].split(" - ")[1])
    assert_let_go(machine)


def test_dirty_filesystem_is_refused(unmounted, scratch):
    """As after a power cut: the journal holds what is not yet in its place. Mounting would replay it."""
    machine = unmounted
    with machine.mounted():
        (machine.grub / "written").write_text("x")
        run("sync", "--file-system", machine.grub)
        shutil.copyfile(machine.fs.image, scratch.path / "crashed")
    about = run("dumpe2fs", "-h", scratch.path / "crashed").stdout
    assert b"needs_recovery" in about, "the copy is not what this test needs"
    with machine.fs.image.open("r+b") as file:
        file.write((scratch.path / "crashed").read_bytes())
    run("blockdev", "--flushbufs", machine.fs.device)
    before = digest(machine)
    for argv in (["mark"], ["cancel"], ["settle"], ["setup"], ["env", "set", "a=b"], ["env", "list"], ["status"]):
        result = machine("-q", *argv)
        assert result.status == 3 and machine.fs.device in result.err and "fsck" in result.err, result
        assert len(result.err.splitlines()) == 1, result
        assert digest(machine) == before, argv
    told = machine("--json", "status").json()
    assert told["verdict"] not in ("resume", "normal"), "it cannot be told from here"
    assert not machine.fs.is_in_use()


@pytest.mark.parametrize("field,value,width", [("s_last_orphan", 12, 4), ("s_state error", 3, 2), ("s_state", 0, 2)])
def test_other_signs_of_dirt(unmounted, field, value, width):
    machine = unmounted
    at = {"s_last_orphan": 0x4E8, "s_state error": 0x43A, "s_state": 0x43A}[field]
    rig.write_device(machine.fs.device, at, value.to_bytes(width, "little"))
    before = digest(machine)
    machine("mark").says_no(3, machine.fs.device, "fsck")
    assert digest(machine) == before


# ---- filesystems on which GRUB cannot write ----


def tries_to_mount(machine, *argv):
    """What the tool says, and whether it has tried to mount anything."""
    log = machine.scratch.path / "mounts"
    result = machine(*argv, prefix=["strace", "-f", "-qq", "-o", log, "-e", "trace=mount,fsmount,move_mount,fsopen,unshare"])
    return result, log.read_text()


def other_superblock(scratch, kind):
    """The device and UUID of a filesystem that need not be one that this kernel can mount."""
    if kind == "btrfs":
        filesystem = rig.Filesystem(scratch, kind, "other")
        return filesystem.device, filesystem.uuid
    number = uuid.uuid4()
    image = scratch.image("other", rig.MIB)
    device = scratch.loop(image)
    rig.write_device(device, 1024, struct.pack("<IHH", 0xF2F52010, 1, 16).ljust(108, b"\0") + number.bytes)
    return device, str(number)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["btrfs", "f2fs"])
def test_filesystem_that_grub_cannot_write_is_not_mounted_for_it(make, scratch, kind):
    """Mounting changes it, and nothing could come of that."""
    machine = make(layout="fstab")
    device, number = other_superblock(scratch, kind)
    machine.write("etc/fstab", f"UUID={number} /boot {kind} defaults 0 2\n")
    before = Path(device).read_bytes()
    for argv in (["mark", "--store=env"], ["setup"], ["env", "set", "a=b"]):
        result, mounts = tries_to_mount(machine, *argv)
        result.says_no(4, device, kind)
        assert mounts == "", argv
    assert Path(device).read_bytes() == before and os.listdir(machine.root / "boot") == []


@pytest.mark.slow
def test_where_grub_cannot_write_it_is_looked_at_only(make):
    """A mark may go elsewhere, so what is there is asked; read-only, replaying nothing."""
    machine = make("btrfs", layout="fstab")
    with machine.mounted():
        machine.block.write_bytes(envblock.make([(envblock.NAME, envblock.EMPTY)]))
    before = digest(machine)
    for command, status in (("mark", 4), ("cancel", 2), ("settle", 2)):
        result, mounts = tries_to_mount(machine, command)
        writable = [line for line in mounts.splitlines() if "mount(" in line and "btrfs" in line and "MS_RDONLY" not in line]
        assert result.status == status and "MS_RDONLY" in mounts and not writable, (result, mounts)
        assert_let_go(machine)
    assert digest(machine) == before


def test_btrfs_can_be_looked_at(make):
    machine = make("btrfs", layout="fstab")
    with machine.mounted():
        machine.block.write_bytes(envblock.make([(envblock.NAME, envblock.EMPTY), (b"a", b"1")]))
    before = digest(machine)
    told = machine.env()
    assert (told["status"], told["writable"]) == ("valid", False) and "btrfs" in told["why_not_writable"]
    machine("mark", "--dry-run", "--store=env").says_no(4, "btrfs")
    assert b"a=1" in machine("env", "list").done().out
    assert digest(machine) == before
    assert_let_go(machine)


def test_ambiguous_filesystem_is_refused(unmounted):
    """The signatures of two filesystems: mounting the wrong one would be the end of the other."""
    machine = unmounted
    rig.write_device(machine.fs.device, 0, b"hsqs".ljust(28, b"\0") + b"\4\0")  # squashfs, version 4
    found = run("blkid", "-p", machine.fs.device, check=False)
    assert found.returncode == 8 and b"ambivalent" in found.stderr, found
    before = digest(machine)
    machine("mark").says_no(4, machine.fs.uuid)  # nobody can tell that this is the one
    machine.write("etc/fstab", f"{machine.fs.device} /boot ext4 defaults 0 2\n")
    machine("mark").says_no(3, machine.fs.device)
    assert digest(machine) == before


def test_device_in_use_is_refused(unmounted):
    machine = unmounted
    before = digest(machine)
    holder = os.open(machine.fs.device, os.O_RDONLY | os.O_EXCL)
    try:
        for command in ("mark", "cancel", "setup"):
            machine(command).says_no(3, machine.fs.device)
    finally:
        os.close(holder)
    assert digest(machine) == before
    machine("mark").done()


def test_mounted_elsewhere_is_refused(unmounted, scratch):
    machine = unmounted
    elsewhere = scratch.folder("elsewhere")
    scratch.mount(machine.fs.device, elsewhere)
    before = (elsewhere / "grub/grubenv").read_bytes()
    machine("mark").says_no(3, machine.fs.device)
    assert (elsewhere / "grub/grubenv").read_bytes() == before
    assert not is_mounted(machine.root / "boot")


def test_mounted_in_another_namespace_is_refused(unmounted):
    """As another system in a container has it; the mount table shows nothing."""
    machine = unmounted
    boot = machine.root / "boot"
    other = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                              f"mount {machine.fs.device} {boot} && echo ready && read wait"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"ready\n"
        machine("mark").says_no(3, machine.fs.device)
    finally:
        other.communicate(b"\n", timeout=20)
    machine.fs.wait_until_unused()
    machine("mark").done()


@pytest.mark.parametrize("how", ["UUID", "LABEL", "device", "noauto", "comment"])
def test_forms_of_fstab(unmounted, how):
    machine = unmounted
    label = f"boot-{machine.fs.uuid[:8]}"  # other tests run at the same time
    run("tune2fs", "-L", label, machine.fs.device)
    line = {"UUID": f"UUID={machine.fs.uuid} /boot ext4 defaults 0 2", "LABEL": f"LABEL={label} /boot ext4 defaults 0 2",
            "device": f"{machine.fs.device} /boot auto ro,discard 0 0",
            "noauto": f"UUID=\"{machine.fs.uuid}\" /boot/ ext4 noauto,user,exec 0 0",
            "comment": f"# UUID=no /boot ext4\n\n\t{machine.fs.device}\t/boot\text4"}[how]
    machine.write("etc/fstab", f"proc /proc proc defaults 0 0\n{line}\n/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n")
    machine("mark").done()
    assert envblock.state(machine.grub_reads()) == "armed"
    assert_let_go(machine)


def test_boot_grub_as_a_filesystem_of_its_own(make):
    """Some mount /boot/grub itself; GRUB's prefix is then the root of that filesystem."""
    machine = make(layout="fstab")
    with machine.mounted():
        machine.block.unlink(missing_ok=True)
        shutil.copy(machine.kernel, machine.scratch.path / "kernel")
    machine.grub.mkdir()
    machine.write("etc/fstab", f"UUID={machine.fs.uuid} /boot/grub ext4 defaults 0 2\n")
    machine("setup").done()
    assert envblock.slot(machine.fs.grub_reads("/grubenv")) == envblock.EMPTY
    assert list(machine.grub.iterdir()) == []
    assert_let_go(machine)


def test_fstab_names_a_device_that_is_not_there(unmounted):
    machine = unmounted
    machine.write("etc/fstab", "UUID=00000000-1111-2222-3333-444444444444 /boot ext4 defaults 0 2\n")
    machine("mark").says_no(4, "UUID=00000000-1111-2222-3333-444444444444", "fstab")


def test_mount_point_is_missing(unmounted):
    machine = unmounted
    (machine.root / "boot").rmdir()
    result = machine("mark")
    assert result.status == 1 and "/boot" in result.err, result
    assert len(result.err.splitlines()) == 1
    assert_let_go(machine)


def test_swap_and_network_entries_of_fstab_do_not_matter(make):
    machine = make()
    machine.write("etc/fstab", f"UUID={machine.swap.uuid} none swap sw 0 0\nserver:/home /home nfs defaults 0 0\n"
                               "tmpfs /tmp tmpfs defaults 0 0\nUUID=nonexistent / ext4 defaults 0 1\n")
    machine("setup").done()
    machine("mark").done()


def test_mounted_boot_filesystem_stays_mounted(make):
    machine = make(layout="boot")
    machine("setup").done()
    machine("mark").done()
    assert is_mounted(machine.root / "boot")
    assert envblock.state(machine.grub_reads()) == "armed"
    fields = envblock.parse(envblock.slot(machine.grub_reads()))
    assert fields["kernel"] == f"/{machine.kernel.name}"
    machine("cancel").done()
    assert is_mounted(machine.root / "boot")


def test_not_root_sees_that_it_cannot_see(unmounted):
    machine = unmounted
    machine("mark").done()
    machine.swap.put_image()
    result = machine("--json", "status", prefix=rig.AS_NOBODY)
    assert result.status != 0 and result.json()["verdict"] not in ("normal", "resume"), result


# ---- an automount, as systemd makes it of x-systemd.automount and for the EFI partition ----

# In a process group of its own: the kernel lets that one see what lies under the mount.
AUTOMOUNTER = """
import ctypes, fcntl, os, struct, subprocess, sys
device, folder = sys.argv[1:]
reader, writer = os.pipe()
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={writer},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct".encode()
if libc.mount(b"automounter", folder.encode(), b"autofs", 0, options) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.close(writer)
root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
print("ready", flush=True)
while packet := os.read(reader, 304):
    kind, token = struct.unpack_from("iI", packet, 4)
    done = subprocess.run(["mount", "-i", device, folder])
    fcntl.ioctl(root, 0x9360 if done.returncode == 0 else 0x9361, token)  # AUTOFS_IOC_READY, AUTOFS_IOC_FAIL
"""


@pytest.fixture
def automounted(unmounted):
    """The boot filesystem is mounted by the first who looks at it."""
    boot = unmounted.root / "boot"
    daemon = subprocess.Popen([sys.executable, "-c", AUTOMOUNTER, unmounted.fs.device, boot], start_new_session=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if daemon.stdout.readline() != b"ready\n":
        pytest.skip(f"no autofs here: {daemon.communicate()[1].decode()}")
    yield unmounted
    for _ in range(2):
        run("umount", "--lazy", boot, check=False)
    daemon.kill()
    daemon.communicate(timeout=10)
    unmounted.fs.wait_until_unused()


@pytest.mark.parametrize("argv", [["mark"], ["status"], ["setup", "--remove"], ["env", "set", "a=b"]], ids=" ".join)
def test_automount(automounted, argv):
    """What is mounted changes while the tool looks."""
    machine = automounted
    boot = machine.root / "boot"
    assert mount_points().count(str(boot)) == 1, "the test has triggered it itself"
    result = machine("--json", *argv)
    assert mount_points().count(str(boot)) == 2
    assert result.status == (2 if argv == ["status"] else 0), result
    if argv == ["status"]:
        assert result.json()["stores"]["env"]["writable"] is True
    else:
        block = machine.grub_reads()
        assert envblock.state(block) == {"mark": "armed", "env": "none"}.get(argv[0])
        assert (b"a=b" in block) == (argv[0] == "env")
