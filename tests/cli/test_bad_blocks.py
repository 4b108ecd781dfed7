# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Environment blocks that are none, and things that are no regular files. Nothing may be changed, crash or hang."""

import os
import random
import signal

import pytest

from . import envblock, rig
from .quick import few

# ---- every length from 0 to 2048 ----

FILLINGS = {
    "random": lambda n: random.Random(n).randbytes(n),
    "hashes": lambda n: b"#" * n,
    "cut off": lambda n: (envblock.SIGNATURE + b"a=1\n").ljust(2048, b"#")[:n],
    "signature and random": lambda n: (envblock.SIGNATURE + random.Random(n).randbytes(2048))[:n],
    "NUL padding": lambda n: (envblock.SIGNATURE + b"a=1\nsaved_entry=x\n").ljust(2048, b"\0")[:n],
    "no newline": lambda n: (envblock.SIGNATURE + b"a=" + b"v" * 2048)[:n],
    "newline at the end": lambda n: envblock.make([(b"a", b"1")], 2048)[: max(n - 1, 0)] + b"\n"[:n],
    "slot at the end": lambda n: (envblock.SIGNATURE + b"p=" + b"p" * max(n - 25 - 3 - 410, 0) + b"\nhib_mark="
                                  + envblock.EMPTY + b"\n")[:n],
    "a line that is none": lambda n: (envblock.SIGNATURE + b"junk\nhib_mark=" + envblock.EMPTY + b"\n").ljust(2048, b"#")[:n],
    "backslashes": lambda n: (envblock.SIGNATURE + b"a=" + b"\\" * 2048)[:n],
}
QUICK_LENGTHS = [0, 1, *range(23, 29), 409, 434, 435, 436, 437, *range(510, 515), *range(1021, 1028), 1535, 2047, 2048]
WORDS = ("valid", "absent", "damaged", "future", "unreadable")


def try_status(machine, data):
    result = machine("--json", "status")
    assert result.status in (0, 1, 2, 3), result
    told = result.json()
    assert told["verdict"] in ("normal", "unknown") and told["stores"]["env"]["status"] in WORDS, result
    return told["stores"]["env"]["slot"] == "found"


def try_mark(machine, data, has_slot):
    """With a usable slot it can be changed, and changed back."""
    if not has_slot:
        result = machine("mark")
        assert result.status in (3, 4), result
        result.says_no(result.status, machine.block)
        return
    machine("mark").done()
    assert envblock.without_slot(machine.block.read_bytes()) == envblock.without_slot(data)
    machine("cancel").done()
    at = envblock.slot_at(data)
    assert machine.block.read_bytes() == data[:at] + envblock.EMPTY + data[at + envblock.WIDTH :]
    machine.block.write_bytes(data)


def try_clearing(machine, data, has_slot):
    for command in ("cancel", "settle"):
        result = machine(command)
        assert result.status in ((0, 2) if has_slot else (2, 3, 4) if command == "cancel" else (2, 3)), result
        if result.status > 2:
            result.says_no(result.status, machine.block)


def try_verify(machine, data, has_slot):
    result = machine("env", "verify")
    assert result.status in (0, 1), result
    assert (result.out == b"") == (result.status == 0) and result.err.count("\n") <= 1, result


TRIALS = [try_mark, try_clearing, try_verify]


def try_block(machine, data, trials=TRIALS):
    """What reads or writes a block, on this one. It must end in order and leave every byte."""
    machine.block.write_bytes(data)
    has_slot = try_status(machine, data)
    for trial in trials:
        trial(machine, data, has_slot)
        if not has_slot:
            assert machine.block.read_bytes() == data, "a block without a slot was changed"


@pytest.mark.parametrize("filling", few(("random", "cut off"), FILLINGS))
def test_lengths(shared_machine, filling):
    for length in QUICK_LENGTHS:
        data = FILLINGS[filling](length)
        assert len(data) == length
        try_block(shared_machine, data)


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.full) for part in (1, 2, 3))])
def test_every_length(shared_machine, part):
    """All of them, each with another filling and another trial; every fourth in an ordinary check."""
    fillings = list(FILLINGS.values())
    for length in range(part, 2049, 4):
        number = length // 4 + part
        data = fillings[number % len(fillings)](length)
        shared_machine.block.write_bytes(data)
        if number // len(fillings) % 2:
            try_verify(shared_machine, data, has_slot=None)
        else:
            has_slot = try_status(shared_machine, data)
            if number % 2:
                try_mark(shared_machine, data, has_slot)
        assert shared_machine.block.read_bytes() == data


@pytest.mark.parametrize("filling", ["random", "signature and random", "backslashes", "NUL padding"])
def test_setup_changes_nothing_that_it_does_not_understand(shared_machine, filling):
    for length in (0, 10, 25, 26, 27, 511, 512, 1023, 1024, 1025, 2048):
        data = FILLINGS[filling](length)
        shared_machine.block.write_bytes(data)
        result = shared_machine("-q", "setup")
        if result.status == 0:
            block = shared_machine.grub_reads()
            assert len(block) == len(data) and envblock.slot(block) == envblock.EMPTY
        else:
            assert result.status == 3 and len(result.err.splitlines()) == 1 and "env create" in result.err, result
            assert shared_machine.block.read_bytes() == data


# ---- too much ----


@pytest.mark.parametrize("data", [
    pytest.param(envblock.SIGNATURE + b"a=1\n" * 1000000, id="a million lines"),
    pytest.param(b"a\n" * 1000000, id="a million lines of nothing"),
    pytest.param(envblock.SIGNATURE + b"a=" + b"x" * (5 << 20) + b"\n", id="one long line"),
])
def test_a_million_lines(shared_machine, data):
    machine = shared_machine
    machine.block.write_bytes(data)
    machine("mark").says_no(3, machine.block, "env create")
    for argv in (["cancel"], ["settle"], ["env", "set", "a=b"], ["env", "list"], ["env", "verify"], ["setup"]):
        machine(*argv, timeout=10).says_no(3, machine.block)
    assert machine("--json", "status").json()["verdict"] not in ("resume", "offer")
    assert machine.block.read_bytes() == data
    machine.block.write_bytes(b"")


def test_many_lines_that_are_still_taken(shared_machine):
    """Up to the limit it must work, and in bearable time."""
    machine = shared_machine
    lines = 100000
    data = envblock.SIGNATURE + b"".join(b"v%06d=%d\n" % (i, i % 10) for i in range(lines // 2))
    data = data.ljust(1 << 20, b"#")
    machine.block.write_bytes(data)
    assert len(machine("env", "list", timeout=10).done().out.splitlines()) == lines // 2
    assert machine("env", "get", "v049999", timeout=10).done().out == b"9\n"
    machine("env", "verify", timeout=10).done()
    machine("setup", timeout=10).done()
    machine("mark", timeout=10).done()
    machine("cancel", timeout=10).done()
    machine("setup", "--remove", timeout=10).done()
    assert machine.block.read_bytes() == data
    machine.block.write_bytes(b"")


# ---- what is no regular file ----


def assert_refused_everywhere(machine, path, env_file=None):
    """No command takes it, hangs on it or replaces it."""
    before = os.lstat(path)
    for argv in (["mark"], ["cancel"], ["settle"], ["setup"], ["env", "list"], ["env", "set", "a=b"], ["env", "create"],
                 ["env", "verify"], ["env", "unset", "a"]):
        result = machine(*argv, timeout=10)
        assert result.status == 3, result
        assert len(result.err.splitlines()) == 1 and "regular file" in result.err, result
    for verb in (["list"], ["set", "a=b"], ["create"]):
        machine("env", env_file or path, *verb, timeout=10).says_no(3, "regular file")
    result = machine("--json", "status", timeout=10)
    assert result.status == 3 and result.json()["verdict"] not in ("resume", "offer")
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)


def make_fifo(path):
    os.mkfifo(path)


def make_folder(path):
    path.mkdir()


def make_null(path):
    os.mknod(path, 0o20666, os.makedev(1, 3))


def make_endless(path):
    os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero


def make_socket(path):
    os.mknod(path, 0o140666)


KINDS = [make_fifo, make_folder, make_null, make_endless]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__[5:])
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "through a link"])
def test_no_regular_file(make, kind, linked):
    machine = make()
    if linked:
        kind(machine.grub / "target")
        machine.block.symlink_to("target")
    else:
        kind(machine.block)
    assert_refused_everywhere(machine, machine.block)


def test_socket(make):
    """It cannot even be opened."""
    machine = make()
    make_socket(machine.block)
    for argv in (["mark"], ["setup"], ["env", "list"]):
        result = machine("-q", *argv)
        assert result.status in (1, 3) and str(machine.block) in result.err, result


def test_block_device(make):
    """A link to the disk itself, whose first sector may hold anything."""
    machine = make()
    machine.swap.write(0, envblock.make([(envblock.NAME, envblock.EMPTY)]))
    before = machine.swap.image.read_bytes()
    number = os.stat(machine.swap.device).st_rdev
    os.mknod(machine.grub / "device", 0o60600, number)
    machine.block.symlink_to("device")
    assert_refused_everywhere(machine, machine.block)
    assert machine.swap.image.read_bytes() == before


# ---- symbolic links ----


@pytest.mark.parametrize("target", ["real", "../real", "../../boot/./grub/real"])
def test_link_to_a_regular_file(make, target):
    """As Fedora has it: the link stays, its target is overwritten in place."""
    machine = make()
    real = (machine.grub / target).resolve()
    real.write_bytes(envblock.make([(b"a", b"1")]))
    inode = real.stat().st_ino
    machine.block.symlink_to(target)
    machine("setup").done()
    machine("mark").done()
    assert machine.block.is_symlink() and os.readlink(machine.block) == target and real.stat().st_ino == inode
    block = machine.grub_reads()
    assert envblock.state(block) == "armed" and block == real.read_bytes()
    machine("env", "set", "b=2").done()
    machine("env", "create").done()
    assert machine.block.is_symlink() and real.stat().st_ino == inode
    assert dict(envblock.variables(machine.grub_reads())) == {}


@pytest.fixture
def linked(make, scratch):
    """Makes a machine whose block is a link to one on another filesystem, as where /boot/efi holds it."""

    def machine(kind, other_kind):
        made = make(kind)
        made.other = rig.Filesystem(scratch, other_kind, "other")
        made.efi = made.root / "boot/efi"
        made.efi.mkdir()
        scratch.mount(made.other.device, made.efi)
        (made.efi / "EFI").mkdir()
        made.real = made.efi / "EFI/grubenv"
        made.real.write_bytes(envblock.make([(b"a", b"1")]))
        rig.settle_filesystem(made.real)
        made.block.symlink_to("../efi/EFI/grubenv")
        (made.grub / "i386-pc").mkdir()
        made.modules = scratch.folder("modules")
        (made.modules / "i386-pc").mkdir()
        (made.modules / "i386-pc/hibresume.mod").write_bytes(b"\x7fELF a module")
        return made

    return machine


@pytest.mark.parametrize("kind,other_kind", [("ext4", "ext4-nojournal"), ("xfs", "ext4"), ("btrfs", "ext2"), ("ext2", "xfs")])
def test_link_to_another_filesystem(linked, kind, other_kind):
    """The block's filesystem decides whether a mark can be written, and each of the two is written out for what is new
    on it."""
    machine = linked(kind, other_kind)
    inode = machine.real.stat().st_ino

    def judge(state):
        block = machine.other.grub_reads("/EFI/grubenv")
        assert block == machine.real.read_bytes() and envblock.state(block) == state
        assert dict(envblock.variables(block))[b"a"] == b"1"
        told = machine.env()
        assert told["mark"]["state"] == state and told["writable"] is True
        assert machine.block.is_symlink() and machine.real.stat().st_ino == inode

    machine("setup", f"--modules={machine.modules}").done()
    assert machine.fs.grub_reads("/boot/grub/i386-pc/hibresume.mod") == b"\x7fELF a module"
    judge("none")
    machine("mark", "--store=env").done()
    judge("armed")
    machine("cancel").done()
    judge("none")
    machine("setup", "--remove").done()
    assert machine.other.grub_reads("/EFI/grubenv") == envblock.make([(b"a", b"1")])
    assert machine.fs.grub_reads("/boot/grub/i386-pc/hibresume.mod") is None
    assert machine.block.is_symlink()


def test_link_to_a_filesystem_that_grub_cannot_write(linked):
    machine = linked("ext4", "btrfs")
    before, listing = machine.real.read_bytes(), machine.folder_listing()
    for argv in (["setup", f"--modules={machine.modules}"], ["mark"], ["mark", "--store=env", "--dry-run"]):
        machine(*argv).says_no(4, machine.block, "btrfs")
    assert machine.env()["writable"] is False
    assert machine.real.read_bytes() == before and machine.folder_listing() == listing


def test_link_to_nothing(make):
    """The link is somebody's wish: it is not replaced."""
    machine = make()
    machine.block.symlink_to("not-there")
    for argv in (["mark"], ["setup"], ["env", "set", "a=b"], ["env", "create"]):
        machine("-q", *argv).says_no(3, machine.block, "not-there")
        assert machine.block.is_symlink(), f"{argv} has replaced the link"
    assert machine("env", machine.block, "create").status in (1, 3)
    assert sorted(path.name for path in machine.grub.iterdir()) == ["grub.cfg", "grubenv"]


def test_link_to_itself(make):
    machine = make()
    machine.block.symlink_to("grubenv")
    for argv in (["mark"], ["setup"], ["env", "set", "a=b"], ["env", "list"]):
        result = machine("-q", *argv)
        assert result.status in (1, 3) and str(machine.block) in result.err, result
    assert machine.block.is_symlink()


def test_grub_folder_is_a_link(make):
    machine = make()
    machine.grub.rename(machine.grub.with_name("grub2"))
    machine.grub.symlink_to("grub2")
    machine("setup").done()
    machine("mark").done()
    assert envblock.state(machine.fs.grub_reads("/boot/grub2/grubenv")) == "armed"


def test_grub2_folder(make):
    machine = make()
    machine.grub.rename(machine.grub.with_name("grub2"))
    machine("setup").done()
    machine("mark").done()
    assert envblock.state(machine.fs.grub_reads("/boot/grub2/grubenv")) == "armed"


def test_hard_link(machine):
    """Two names for one file: in place means both."""
    other = machine.grub / "other"
    os.link(machine.block, other)
    machine("mark").done()
    assert other.read_bytes() == machine.grub_reads()


# ---- blocks that GRUB could read but not overwrite ----


def test_block_that_is_a_hole_is_made_anew(make):
    """What is recommended where the bytes have no place of their own."""
    machine = make()
    machine.block.unlink(missing_ok=True)
    with machine.block.open("wb") as file:
        file.truncate(envblock.SIZE)
    rig.settle_filesystem(machine.block)
    machine("env", "create").done()
    machine("setup").done()
    machine("mark").done()
    assert envblock.state(machine.grub_reads()) == "armed"


def test_block_with_a_hole(make):
    """GRUB's save_env refuses sparse files: no mark that it could not consume."""
    machine = make("ext4")
    data = envblock.make([(envblock.NAME, envblock.EMPTY)], 4096)
    with machine.block.open("xb") as file:
        file.write(data[:1024])
        file.truncate(4096)
    # The hole reads as NUL bytes, which are no padding: the slot is not one that GRUB would overwrite.
    result = machine("mark")
    assert result.status == 4, result
    assert str(machine.block) in result.err


def test_block_that_is_allocated_but_never_written(make):
    """The slot lies in written bytes, the rest in an extent without data: GRUB reads zeros or garbage there."""
    machine = make("ext4")
    machine("setup").done()
    fd = os.open(machine.block, os.O_WRONLY)
    os.posix_fallocate(fd, 0, 4096)
    os.close(fd)
    before = machine.block.read_bytes()
    result = machine("mark")
    assert result.status == 4, result
    assert machine.block.read_bytes() == before


def test_inline_data(make, scratch, tool):
    """Tiny files may live inside the inode, where GRUB's ext2 driver does not look. Blocks are too big for that with
    small inodes; with inodes of 4 KiB they are not."""
    rig.FILESYSTEMS["ext4-inline"] = (16 * rig.MIB, ["mkfs.ext4", "-q", "-b", "4096", "-I", "4096", "-N", "256", "-O", "inline_data"])
    machine = make("ext4-inline")
    machine.block.write_bytes(envblock.make([(envblock.NAME, envblock.EMPTY)]))
    before = machine.block.read_bytes()
    result = machine("mark")
    assert result.status in (1, 4) and str(machine.block) in result.err, result
    assert machine.block.read_bytes() == before


def test_immutable_block(machine):
    rig.run("chattr", "+i", machine.block)
    try:
        before = machine.grub_reads()
        result = machine("mark")
        assert result.status in (1, 3) and str(machine.block) in result.err, result
        assert machine.grub_reads() == before
    finally:
        rig.run("chattr", "-i", machine.block)


@pytest.mark.slow
def test_no_death_by_signal(shared_machine):
    """Blocks that are made to upset parsers."""
    chosen = random.Random(4711)
    for _ in range(25):
        size = chosen.choice([26, 27, 64, 512, 1023, 1024, 1025, 4096])
        body = b"".join(chosen.choice([b"hib_mark=", envblock.EMPTY, b"=", b"\n", b"\\", b"#", b"a", b"\0", b"\xff"])
                        for _ in range(chosen.randrange(60)))
        data = (envblock.SIGNATURE + body).ljust(size, chosen.choice([b"#", b"\0", b"\\", b"\n"]))
        shared_machine.block.write_bytes(data)
        for argv in (["status"], ["mark"], ["cancel"], ["setup"], ["env", "list"], ["env", "verify"],
                     ["env", "set", "a=b"], ["env", "unset", "hib_mark"]):
            result = shared_machine("-q", *argv)
            assert 0 <= result.status <= 4, f"{result}\n{data!r}"
            assert result.status != -signal.SIGSEGV
