# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The running system makes a plan; a save kernel, which can ask nobody, marks by it. What the sleeping system holds is
not touched, not even by a mount."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import time
import zlib

import pytest

from . import envblock, faults, rig
from .quick import few
from .rig import is_mounted, run

BLANK = bytes(1024)
CRC_LINE = len("crc 01234567\n")


class SaveKernel:
    """A machine with a plan; MARK is what is run in the save kernel, where there is no --root."""

    def __init__(self, machine):
        self.machine = machine
        self.scratch = machine.scratch
        self.boot = machine.root / "boot"
        self.plan = machine.scratch.path / "plan"
        self.swap = machine.swap

    def prepare(self, *args, **more):
        return self.machine("prepare", f"--plan={self.plan}", *args, **more)

    def release(self, *args):
        return self.prepare("--unmount", *args).done()

    def mark(self, *args, **more):
        return self.machine.tool("mark", f"--plan={self.plan}", *args, **more)

    def marked(self, *args, **more):
        """The store that it is in now."""
        return self.machine.tool("--json", "mark", f"--plan={self.plan}", *args, **more).done().json()["store"]

    def lines(self):
        return self.plan.read_text().splitlines()

    def change(self, old, new):
        """Another plan, with a right checksum."""
        body = self.plan.read_bytes()[:-CRC_LINE]
        assert len(re.findall(old, body)) == 1
        self.seal(re.sub(old, new, body))

    def seal(self, body):
        self.plan.write_bytes(body + b"crc %08x\n" % zlib.crc32(body))

    def bits(self):
        return self.swap.read(0, 1024)

    def area(self):
        return digest(self.swap)


def digest(of):
    return hashlib.sha256(of.image.read_bytes()).hexdigest()


@contextlib.contextmanager
def in_use(device):
    """As if it were mounted, or active."""
    holder = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        yield
    finally:
        os.close(holder)


@contextlib.contextmanager
def frozen(folder):
    run("fsfreeze", "-f", folder)
    try:
        yield
    finally:
        run("fsfreeze", "-u", folder)


@pytest.fixture
def start(make):
    """Set up, and without a plan yet."""

    def begin(kind="ext4", layout="boot"):
        machine = make(kind, layout=layout)
        machine("setup").done()
        return SaveKernel(machine)

    return begin


@pytest.fixture
def held(start):
    """The boot filesystem stays mounted; the swap area was active, so that nothing is in its boot bits yet."""
    sk = start()
    with in_use(sk.swap.device):
        sk.prepare().done()
    assert sk.bits() == BLANK
    return sk


@pytest.fixture
def released(start):
    sk = start()
    with in_use(sk.swap.device):
        sk.release()
    return sk


def assert_let_go(sk):
    assert not is_mounted(sk.boot) and not sk.machine.fs.is_in_use()
    if sk.machine.fs.type.startswith("ext"):
        sk.machine.fs.assert_clean()


def assert_armed(bits, sk):
    """A block of GRUB's form with this machine's armed mark in its first sector."""
    assert envblock.is_sound(bits), bits
    fields = envblock.parse(envblock.slot(bits))
    assert fields["state"] == "armed" and fields["image"] == f"UUID={sk.swap.uuid}"
    assert envblock.slot_at(bits) + envblock.WIDTH <= 512
    assert sk.plan.read_bytes().split(b"\n")[2] == b"mark " + envblock.slot(bits), "it is the very mark of the plan"


# ---- the boot filesystem is held: boot bits ----


def test_boot_bits(held):
    sk, machine = held, held.machine
    with frozen(sk.boot):
        before, plan, rest = digest(machine.fs), sk.plan.read_bytes(), sk.swap.read(1024, None)
        log = sk.scratch.path / "calls"
        result = sk.mark("--store=bootbits", prefix=("strace", "-f", "-qq", "-o", log, "-e",
                                                     "trace=mount,fsmount,move_mount,umount2,unshare"))
        result.done()
        assert log.read_text() == "", "something was mounted"
        assert digest(machine.fs) == before and sk.plan.read_bytes() == plan
        assert sk.swap.read(1024, None) == rest
        assert sk.marked() == "bootbits"
        assert digest(machine.fs) == before
    assert_armed(sk.bits(), sk)
    assert run("grub-fstest", sk.swap.image, "cat", "(loop0)0+2").stdout == sk.bits()
    assert is_mounted(sk.boot)
    assert envblock.state(machine.grub_reads()) == "none"

    told = machine.status()
    assert told["stores"]["bootbits"]["mark"]["state"] == "armed" and told["verdict"] == "normal"
    assert sk.swap.device in told["stores"]["bootbits"]["place"]
    sk.swap.put_image()
    told = machine.status()
    assert (told["verdict"], told["reason"], told["source"]) == ("resume", "ready", "bootbits")
    assert_armed(sk.bits(), sk)


def test_held_says_once_why(held):
    result = held.mark().done()
    lines = result.err.splitlines()
    assert len(lines) == 2 and held.machine.fs.uuid in lines[0] and "marked" in lines[1], result
    assert held.machine.tool("-q", "mark", f"--plan={held.plan}").done().err == ""
    held.mark("--store=env").says_no(3, held.machine.fs.uuid)


def test_held_stays_held(held):
    """It looks released: it is mounted nowhere here, it is clean, and not in the list. But the plan calls it held."""
    sk = held
    sk.machine.unmount()
    lines = [line for line in sk.plan.read_bytes().splitlines(keepends=True)[:-1] if not line.startswith(b"held ")]
    sk.seal(b"".join(lines))
    before = digest(sk.machine.fs)
    sk.mark("--store=env").says_no(3, sk.machine.fs.uuid)
    assert sk.marked() == "bootbits"
    assert digest(sk.machine.fs) == before


def written_sectors(sk):
    """Since the device was made."""
    return int(open(f"/sys/block/{os.path.basename(sk.swap.device)}/stat").read().split()[6])


def test_one_sector(held):
    sk = held
    first = written_sectors(sk)
    sk.mark().done()
    assert written_sectors(sk) == first + 2, "a blank area: both sectors of the block"
    block = sk.bits()
    sk.machine("cancel").done()
    assert written_sectors(sk) == first + 3
    empty = sk.bits()
    assert envblock.slot(empty) == envblock.EMPTY and envblock.without_slot(empty) == envblock.without_slot(block)
    sk.mark().done()
    assert written_sectors(sk) == first + 4 and sk.bits() == block
    sk.machine("cancel").done()
    assert sk.bits() == empty, "mark and cancel leave the boot bits as they were"
    sk.machine("cancel").nothing()
    assert written_sectors(sk) == first + 5


def test_a_new_block_is_written_from_its_end(held):
    """Until its first sector is there, there is nothing."""
    log = held.scratch.path / "calls"
    held.mark(prefix=("strace", "-qq", "-o", log, "-e", "trace=pwrite64,fdatasync")).done()
    calls = re.findall(r"^(\w+)\(\d+(?:, .*, (\d+), (\d+))?\)", log.read_text(), re.MULTILINE)
    assert calls == [("pwrite64", "512", "512"), ("fdatasync", "", ""), ("pwrite64", "512", "0"), ("fdatasync", "", "")]


def test_first_write_that_was_cut(held):
    held.swap.write(512, b"#" * 512)
    told = held.machine.status()["stores"]["bootbits"]
    assert told["status"] == "absent" and told["writable"]
    held.mark().done()
    assert_armed(held.bits(), held)
    assert held.bits()[512:] == b"#" * 512


def test_prepare_reserves_where_the_area_is_idle(start):
    sk = start()
    sk.prepare().done()
    assert envblock.slot(sk.bits()) == envblock.EMPTY and envblock.is_sound(sk.bits())
    before = sk.bits()
    sk.prepare().done()
    assert sk.bits() == before
    sk.mark().done()
    assert_armed(sk.bits(), sk)


def test_an_image_is_there_already(held):
    """The save kernel writes it, and marks then."""
    held.swap.put_image()
    assert held.marked() == "bootbits"
    told = held.machine.status()
    assert (told["verdict"], told["source"]) == ("resume", "bootbits")


# ---- the boot filesystem is released: the environment block ----


@pytest.mark.parametrize("kind", ["ext2", "ext4", "xfs", "vfat"])
def test_unmount(start, kind):
    if kind not in open("/proc/filesystems").read():
        pytest.skip(f"this kernel cannot mount {kind}")
    sk = start(kind)
    machine = sk.machine
    block = machine.grub_reads()
    before = sk.bits()
    with in_use(sk.swap.device):
        sk.release()
    assert_let_go(sk)
    assert f"boot released {machine.fs.uuid} {kind} /grub" in sk.lines()
    assert not any(line.startswith(f"held {machine.fs.uuid}") for line in sk.lines())
    assert machine.grub_reads() == block

    assert sk.marked() == "env"
    armed = machine.grub_reads()
    assert envblock.state(armed) == "armed" and envblock.without_slot(armed) == envblock.without_slot(block)
    assert_let_go(sk)
    assert sk.bits() == before, "one place is enough"


def test_it_was_not_mounted_at_all(start):
    sk = start(layout="fstab")
    sk.prepare().done()
    assert sk.marked() == "env"
    assert_let_go(sk)


def test_an_older_mark_in_a_block_that_was_not_mounted(start):
    """The save kernel may not get there, and write elsewhere: so it is cleared before."""
    sk = start(layout="fstab")
    sk.machine("mark").done()
    sk.prepare("--dry-run").done()
    assert envblock.state(sk.machine.grub_reads()) == "armed"
    sk.prepare().done()
    assert envblock.slot(sk.machine.grub_reads()) == envblock.EMPTY
    assert_let_go(sk)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_new_ramdisk_is_where_grub_reads_it(start, kind):
    """The save kernel cannot write out what the sleeping system has mounted."""
    sk = start(kind)
    new = sk.boot / "initrd.img-new"
    new.write_bytes(b"a new ramdisk")
    with new.open("rb") as file:
        os.fsync(file.fileno())
    sk.prepare(f"--initrd={new}").done()
    assert sk.machine.fs.grub_reads("/initrd.img-new") == b"a new ramdisk"


# ---- the image is there before the mark ----


def test_the_image_is_looked_at(released):
    sk = released
    for argv in (["--check-image"], ["--check-image", "--dry-run"]):
        sk.mark(*argv).says_no(3, sk.swap.device, "no image")
    assert envblock.state(sk.machine.grub_reads()) == "none" and sk.bits() == BLANK
    sk.swap.put_image()
    log = sk.scratch.path / "calls"
    sk.mark("--check-image", prefix=("strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=fsync,pwrite64")).done()
    calls = [line.partition(" ")[2].strip() for line in log.read_text().splitlines()]
    flushed = [n for n, call in enumerate(calls) if re.match(rf"fsync\(\d+<{sk.swap.device}[<>]", call)]
    written = [n for n, call in enumerate(calls) if call.startswith("pwrite64(")]
    assert flushed and written and flushed[0] < written[0], "what save-image wrote may be in memory still"
    assert envblock.state(sk.machine.grub_reads()) == "armed"


def test_the_image_cannot_be_written_out(released):
    sk = released
    sk.swap.put_image()
    sk.mark("--check-image", prefix=("strace", "-f", "-qq", "-o", "/dev/null", "-P", sk.swap.device, "-e",
                                     "inject=fsync:error=EIO")).says_no(1, sk.swap.device, "Input/output error")
    assert envblock.state(sk.machine.grub_reads()) == "none"


def test_in_the_running_system_there_is_no_image_to_look_at(start):
    start().machine("mark", "--check-image").says_no(64, "--plan")


def test_a_filesystem_that_grub_cannot_write(make):
    """Its release would be of no use."""
    if "btrfs" not in open("/proc/filesystems").read():
        pytest.skip("this kernel cannot mount btrfs")
    sk = SaveKernel(make("btrfs", layout="boot"))
    result = sk.prepare("--unmount").done()
    assert is_mounted(sk.boot) and "stays as it is" in result.err
    assert any(line.startswith("boot unfit") for line in sk.lines())
    sk.mark("--store=env").says_no(4)
    assert sk.marked() == "bootbits"


def mount_line(folder):
    """How it is mounted, without the numbers that each mount has anew."""
    for line in open("/proc/self/mountinfo"):
        fields = line.split()
        if fields[4] == str(folder):
            return fields[2:6] + fields[fields.index("-") + 1 :]
    return None


@contextlib.contextmanager
def process(*argv, **more):
    child = subprocess.Popen(argv, **more)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("how", ["cwd", "file", "mount"])
def test_busy(start, how):
    sk = start()
    run("mount", "-o", "remount,nodev,noatime", sk.boot)
    before = mount_line(sk.boot)
    with contextlib.ExitStack() as undo:
        if how == "cwd":
            who = undo.enter_context(process("sleep", "60", cwd=sk.boot))
            words = ["sleep", who.pid]
        elif how == "file":
            file = undo.enter_context(open(sk.machine.kernel, "rb"))
            who = undo.enter_context(process("sleep", "60", stdin=file))
            words = [who.pid]
        else:
            (sk.boot / "efi").mkdir()
            run("mount", "-t", "tmpfs", "none", sk.boot / "efi")
            undo.callback(run, "umount", sk.boot / "efi")
            words = [sk.boot / "efi"]
        sk.prepare("--unmount").says_no(3, "busy", *words)
        assert mount_line(sk.boot) == before
        assert not sk.plan.exists()
    sk.release()


def test_mounted_elsewhere_too(start):
    sk = start()
    elsewhere = sk.scratch.folder("elsewhere")
    sk.scratch.mount(sk.machine.fs.device, elsewhere)
    before = mount_line(sk.boot)
    sk.prepare("--unmount").says_no(3, sk.machine.fs.device, "elsewhere")
    assert mount_line(sk.boot) == before and not sk.plan.exists()


def test_a_part_of_a_filesystem(start):
    """/boot is a bind mount: unmounting it releases nothing, and what comes back must be what was there."""
    sk = start()
    elsewhere = sk.scratch.folder("elsewhere")
    sk.machine.unmount()
    sk.scratch.mount(sk.machine.fs.device, elsewhere)
    (elsewhere / "sub").mkdir()
    for name in os.listdir(elsewhere):
        if name not in ("sub", "lost+found"):
            os.rename(elsewhere / name, elsewhere / "sub" / name)
    sk.scratch.mount(elsewhere / "sub", sk.boot, "--bind")
    before = mount_line(sk.boot)
    sk.prepare("--unmount").says_no(3, sk.boot)
    assert mount_line(sk.boot) == before and not sk.plan.exists()
    assert sk.machine.block.exists()


def test_boot_is_on_the_root_filesystem(start):
    sk = start(layout="root")
    result = sk.release()
    assert "root filesystem" in result.err
    assert is_mounted(sk.machine.root)
    assert any(line.startswith(f"boot held {sk.machine.fs.uuid}") for line in sk.lines())
    assert sk.marked() == "bootbits"


def read_only_folder(sk, files=None):
    """FILES: contents by name."""
    folder = sk.scratch.folder("ro")
    sk.scratch.mount("none", folder, "-t", "tmpfs")
    for name, data in (files or {}).items():
        (folder / name).write_bytes(data)
    run("mount", "-o", "remount,ro", folder)
    return folder


@pytest.mark.parametrize("how", ["no folder", "plan is a folder", "plan is a pipe", "read-only", "initramfs read-only"])
def test_failure_after_the_unmount(start, how):
    """The running system goes on as it was, and no plan says otherwise."""
    sk = start()
    run("mount", "-o", "remount,nodev,noexec,noatime", sk.boot)
    before = mount_line(sk.boot)
    args = []
    if how == "no folder":
        sk.plan = sk.scratch.path / "none" / "plan"
    elif how == "plan is a folder":
        sk.plan.mkdir()
    elif how == "plan is a pipe":
        os.mkfifo(sk.plan)
    elif how == "read-only":
        sk.plan = read_only_folder(sk) / "plan"
    else:
        args = [f"--initramfs={read_only_folder(sk, {'initramfs': b'something'})}/initramfs"]
    result = sk.prepare("--unmount", *args)
    assert result.status in (1, 3) and len(result.err.splitlines()) == 1, result
    assert mount_line(sk.boot) == before
    assert "pipe" not in how or sk.plan.is_fifo()
    assert not sk.plan.is_file(), "it would say that the boot filesystem is released"


@pytest.mark.parametrize("how", ["missing", "a folder", "empty"])
def test_an_initramfs_that_is_none(start, how):
    """Said before anything is done."""
    sk = start()
    initramfs = sk.scratch.path / "initramfs"
    if how == "a folder":
        initramfs.mkdir()
    elif how == "empty":
        initramfs.touch()
    before = mount_line(sk.boot)
    sk.prepare("--unmount", f"--initramfs={initramfs}").says_no(3, str(initramfs))
    assert mount_line(sk.boot) == before and not sk.plan.exists()


def test_a_plan_that_is_not_true_any_more(start):
    """A plan of before says "released"; a new one could not be made. The old one must not be used."""
    sk = start()
    sk.release()
    run("mount", sk.machine.fs.device, sk.boot)
    with process("sleep", "60", cwd=sk.boot):
        assert sk.prepare("--unmount").status == 3
    assert not sk.plan.exists()


# ---- released once, and now? ----


def set_bits(device, at, bits):
    with open(device, "rb") as file:
        file.seek(at)
        old = file.read(1)[0]
    rig.write_device(device, at, bytes([old | bits]))


@pytest.mark.parametrize("how", ["dirty", "dirty-fat", "in use", "other type", "twice", "gone", "mounted"])
def test_the_boot_filesystem_is_not_as_planned(start, how):
    sk = start()
    fs = sk.machine.fs
    with in_use(sk.swap.device):
        sk.release()
    status, more = 3, contextlib.nullcontext()
    if how == "dirty":
        set_bits(fs.device, 1024 + 0x60, 4)
    elif how == "dirty-fat":
        fs = rig.Filesystem(sk.scratch, "vfat", "fat")
        sk.change(rb"boot released \S+ ext4", b"boot released %s vfat" % fs.uuid.encode())
        set_bits(fs.device, 0x25, 1)
    elif how == "in use":
        more = in_use(fs.device)
    elif how == "mounted":
        sk.scratch.mount(fs.device, sk.boot, "-o", "ro")
    elif how == "other type":
        run("mkfs.ext2", "-q", "-F", "-U", fs.uuid, fs.device)
    elif how == "twice":
        copy = sk.scratch.path / "copy"
        shutil.copyfile(fs.image, copy)
        sk.scratch.loop(copy)
    else:
        sk.scratch.detach(fs.device)
        status = 4
    before = digest(fs)
    with more:
        result = sk.mark("--store=env").says_no(status)
        assert "dirty" not in how or "fsck" in result.err
        assert sk.bits() == BLANK
        result = sk.mark().done()
    lines = result.err.splitlines()
    assert len(lines) == 2 and (fs.uuid in lines[0] or fs.device in lines[0]), result
    assert_armed(sk.bits(), sk)
    assert digest(fs) == before
    assert is_mounted(sk.boot) == (how == "mounted")


def test_grub_folder_is_gone(released):
    """Mounted, not found, unmounted: and the other place is taken."""
    sk = released
    run("debugfs", "-w", "-R", "ln /grub /other", sk.machine.fs.device)
    run("debugfs", "-w", "-R", "unlink /grub", sk.machine.fs.device)
    sk.mark("--store=env").says_no(4, "/grub")
    assert sk.marked() == "bootbits"
    assert not sk.machine.fs.is_in_use()


def test_nowhere(released):
    """GRUB looks into no boot bits, and the boot filesystem is not clean."""
    released.change(rb"bootbits yes", b"bootbits no")
    set_bits(released.machine.fs.device, 1024 + 0x60, 4)
    before = digest(released.machine.fs)
    result = released.mark()
    assert result.status == 4 and "fsck" in result.err and "boot bits" in result.err, result
    assert released.bits() == BLANK and digest(released.machine.fs) == before


# ---- plans ----


def assert_refused(sk, status=3, root=None, words=()):
    before, fs = sk.area(), digest(sk.machine.fs)
    for store in ([], ["--store=env"], ["--store=bootbits"]):
        result = sk.machine.tool("mark", f"--plan={sk.plan}", *store, root=root, timeout=20)
        result.says_no(status, *words)
        assert sk.area() == before and digest(sk.machine.fs) == fs
    assert not sk.machine.fs.is_in_use()


def test_torn_plans(released):
    whole = released.plan.read_bytes()
    cuts = {0, 1, len(whole) - 1, *(at + 1 for at in range(len(whole) - 1) if whole[at] == ord("\n"))}
    for cut in sorted(cuts):
        released.plan.write_bytes(whole[:cut])
        assert_refused(released, words=[released.plan])
    released.plan.write_bytes(whole)
    assert released.marked() == "env"


@pytest.mark.parametrize("how", ["missing", "folder", "fifo", "device", "large", "zeros"])
def test_no_plan(released, how):
    released.plan.unlink()
    if how == "folder":
        released.plan.mkdir()
    elif how == "fifo":
        os.mkfifo(released.plan)
    elif how == "device":
        released.plan.symlink_to("/dev/zero")
    elif how == "large":
        released.seal(b"hibctl-plan 1\n" + b"x" * (1 << 20))
    elif how == "zeros":
        released.plan.write_bytes(bytes(1000))
    assert_refused(released, words=[released.plan])


@pytest.mark.parametrize("old,new", [
    (rb"^hibctl-plan 1", b"hibctl-plan 2"),
    (rb"mark hib1 armed", b"mark hib1 taken"),
    (rb"boot released", b"boot free"),
    (rb" /grub\n", b" /../grub\n"),
    (rb"bootbits yes", b"bootbits maybe"),
    (rb"image-size 1048576", b"image-size 1048577"),
    (rb"image-size 1048576", b"image-size 0"),
])
def test_wrong_plans(released, old, new):
    released.change(old, new)
    assert_refused(released)


def test_contradiction(released):
    """Released, and yet listed as held: whoever wrote that is not to be trusted."""
    uuid = released.machine.fs.uuid
    released.seal(released.plan.read_bytes()[:-CRC_LINE] + b"held %s ext4 /boot\n" % uuid.encode())
    before = digest(released.machine.fs)
    released.mark().says_no(3, uuid, "contradicts")
    released.mark("--store=bootbits").says_no(3, uuid, "contradicts")
    assert digest(released.machine.fs) == before


def machine_id(sk, text):
    folder = sk.machine.root / "sys/class/dmi/id"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "product_uuid").write_text(text)


HERE, THERE = "11111111-2222-3333-4444-AAAAAAAAAAAA\n", "11111111-2222-3333-4444-BBBBBBBBBBBB\n"


def test_another_machine(start):
    sk = start()
    machine_id(sk, HERE)
    sk.prepare().done()
    assert f"machine {HERE.strip().lower()}" in sk.lines()
    machine_id(sk, THERE)
    before = sk.area()
    sk.machine("mark", f"--plan={sk.plan}").says_no(3, THERE.strip().lower())
    assert sk.area() == before
    machine_id(sk, HERE.lower())
    sk.machine("mark", f"--plan={sk.plan}").done()


@pytest.mark.parametrize("text", ["", "00000000-0000-0000-0000-000000000000\n", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n",
                                  "Not Specified\n"])
def test_a_machine_without_a_name(start, text):
    sk = start()
    machine_id(sk, text)
    sk.prepare().done()
    assert "machine -" in sk.lines()
    machine_id(sk, THERE)
    sk.machine("mark", f"--plan={sk.plan}").done()


@pytest.mark.parametrize("how", ["gone", "grown", "no swap", "page size", "twice", "foreign image"])
def test_the_swap_area_is_not_as_planned(released, how):
    sk = released
    if how == "gone":
        sk.scratch.detach(sk.swap.device)
    elif how == "grown":
        with sk.swap.image.open("r+b") as file:
            file.truncate(2 * rig.MIB)
        run("losetup", "--set-capacity", sk.swap.device)
    elif how == "no swap":
        run("mkfs.ext2", "-q", "-F", "-U", sk.swap.uuid, sk.swap.device)
    elif how == "page size":
        run("mkswap", "-q", "-p", "16384", "-U", sk.swap.uuid, sk.swap.device)
    elif how == "twice":
        copy = sk.scratch.path / "copy"
        shutil.copyfile(sk.swap.image, copy)
        sk.scratch.loop(copy)
    else:
        sk.swap.put_image(b"ULSUSPEND\0")
    assert_refused(sk, words=["more than one"] if how == "twice" else [])


# ---- boot bits that are not ours ----


def boot_sector():
    return (b"\xeb\x3c\x90MSDOS5.0" + bytes(499) + b"\x55\xaa").ljust(1024, b"\0")


FOREIGN = {
    "boot sector": boot_sector(),
    "last bytes": bytes(1022) + b"\x55\xaa",
    "random": bytes(i * 7 % 251 + 1 for i in range(1024)),
    "one byte": bytes(300) + b"x" + bytes(723),
    "#": b"#" * 1024,
    "a block without a slot": envblock.make([(b"saved_entry", b"x")]),
    "half a block": envblock.make([(b"saved_entry", b"x")])[:512] + bytes(512),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_boot_bits(start, what):
    sk = start()
    sk.prepare().done()  # a plan of before
    sk.swap.write(0, FOREIGN[what])
    before = sk.area()
    result = sk.mark("--store=bootbits").says_no(4, sk.swap.device, "left alone")
    assert sk.mark().status == 4
    assert sk.area() == before
    told = sk.machine.status()["stores"]["bootbits"]
    assert not told["writable"] and told["mark"] is None, result
    sk.prepare("--dry-run").says_no(4, sk.machine.fs.device, f"UUID={sk.swap.uuid}")
    sk.prepare().says_no(4, sk.machine.fs.device, f"UUID={sk.swap.uuid}")
    sk.machine("cancel").nothing()
    assert sk.area() == before
    sk.release()
    assert "bootbits no" in sk.lines() and sk.marked() == "env"
    assert sk.area() == before


SLOT = envblock.make([(envblock.NAME, envblock.EMPTY)])


@pytest.mark.parametrize("what", ["image", "offset", "page size"])
def test_a_mark_that_names_another_area(held, what):
    """A copy of somebody's boot bits: nothing to go by."""
    sk = held
    named = {"image": f"UUID={sk.swap.uuid}", "kernel": f"/{sk.machine.kernel.name}", "initrd": "-",
             "filesystem": sk.machine.fs.uuid}
    named |= {"image": {"image": "UUID=66666666-7777-8888-9999-aaaaaaaaaaaa"}, "offset": {"offset": "1"},
              "page size": {"page_size": "16384"}}[what]
    sk.swap.put_image()
    sk.swap.write(0, envblock.with_slot(SLOT, envblock.Mark(**named).text()))
    told = sk.machine.status()
    assert told["stores"]["bootbits"]["status"] == "damaged"
    assert told["verdict"] != "resume"
    sk.mark().done()
    assert sk.machine.status()["verdict"] == "resume"


@pytest.mark.parametrize("how", ["byte", "straddles", "twice", "width"])
def test_a_damaged_block(held, how):
    sk = held
    line = envblock.NAME + b"=" + envblock.EMPTY + b"\n"
    damaged = {
        "byte": envblock.with_slot(SLOT, envblock.EMPTY[:-1] + b"!"),
        "straddles": envblock.make([(b"x", b"y" * 200), (envblock.NAME, envblock.EMPTY)]),
        "twice": (envblock.SIGNATURE + line + line).ljust(1024, b"#"),
        "width": envblock.make([(envblock.NAME, envblock.EMPTY[:-1])]),
    }[how]
    sk.swap.write(0, damaged)
    if how == "byte":
        assert sk.machine.status()["stores"]["bootbits"]["status"] == "damaged"
        assert sk.marked() == "bootbits"
        return
    before = sk.area()
    assert sk.mark("--store=bootbits").says_no(4, sk.swap.device)
    assert sk.area() == before


def test_grub_does_not_look_there(start):
    """grub.cfg names another area, or none."""
    sk = start()
    for tag, offset in ((None, 0), (f"UUID={sk.swap.uuid}", 1), ("UUID=66666666-7777-8888-9999-aaaaaaaaaaaa", 0)):
        sk.machine.grub_looks_at(tag, offset)
        sk.prepare().says_no(4, "GRUB_HIBCTL_RESUME")
        assert sk.bits() == BLANK and not sk.plan.exists()
    sk.release()
    assert "bootbits no" in sk.lines()
    sk.mark("--store=bootbits").says_no(4, "boot bits")
    assert sk.marked() == "env"
    assert sk.bits() == BLANK


# ---- the swap area is in use ----


def test_area_in_use(held):
    sk = held
    with in_use(sk.swap.device):
        result = sk.mark("--store=bootbits").says_no(3, sk.swap.device)
        assert sk.mark().status == 3, result
        assert sk.bits() == BLANK
    sk.mark().done()
    before = sk.area()
    with in_use(sk.swap.device):
        sk.mark("--store=bootbits").done()  # it is there
        sk.machine("cancel").says_no(3, sk.swap.device)
        sk.machine("settle").says_no(3, sk.swap.device)
        assert sk.area() == before
    sk.machine("settle").done()
    assert envblock.slot(sk.bits()) == envblock.EMPTY


def test_cancel_clears_every_store(released):
    sk = released
    assert sk.marked("--store=env") == "env" and sk.marked("--store=bootbits") == "bootbits"
    run("mount", sk.machine.fs.device, sk.boot)
    sk.machine("cancel").done()
    assert envblock.slot(sk.bits()) == envblock.EMPTY
    assert envblock.slot(sk.machine.grub_reads()) == envblock.EMPTY


def test_cancel_clears_the_other_store_all_the_same(released):
    sk = released
    sk.marked("--store=env")
    sk.marked("--store=bootbits")
    run("mount", sk.machine.fs.device, sk.boot)
    before = sk.area()
    with in_use(sk.swap.device):
        sk.machine("cancel").says_no(3, sk.swap.device)
    assert sk.area() == before
    assert envblock.slot(sk.machine.grub_reads()) == envblock.EMPTY


# ---- other devices ----


def use_area(sk, swap, tag, offset=0):
    sk.swap = swap
    sk.machine.resume_from(swap.device, offset)
    sk.machine.grub_looks_at(tag, offset)


def test_large_sectors(start):
    sk = start()
    use_area(sk, swap := rig.Swap(sk.scratch, "large", sector=4096), f"UUID={sk.machine.swap.uuid}")
    sk.machine.grub_looks_at(f"UUID={swap.uuid}")
    with in_use(swap.device):
        sk.prepare().done()
    rest = swap.read(1024, None)
    assert sk.marked() == "bootbits"
    assert_armed(sk.bits(), sk)
    sk.machine("cancel").done()
    assert envblock.slot(sk.bits()) == envblock.EMPTY
    assert swap.read(1024, None) == rest


class SwapFile:
    """On a filesystem of its own, at whole pages of its device."""

    def __init__(self, scratch):
        self.fs = rig.Filesystem(scratch, "ext4-4k", "data")
        self.folder = scratch.folder("data-mounted")
        self.image, self.device = self.fs.image, self.fs.device
        run("mount", self.device, self.folder)
        file = self.folder / "swapfile"
        with file.open("wb") as out:
            out.write(os.urandom(3 * 4096) + bytes(rig.MIB))
        run("mkswap", "-q", file)
        rig.settle_filesystem(file)
        self.at = rig.place_on_device(file)
        assert self.at % 4096 == 0 and self.at > 0
        self.uuid = self.fs.uuid

    def unmount(self):
        run("umount", self.folder)
        self.fs.wait_until_unused()

    def read(self, at, size):
        return self.image.read_bytes()[self.at + at :][:size]


def test_swap_file(start):
    sk = start()
    file = SwapFile(sk.scratch)
    try:
        use_area(sk, file, f"UUID={file.uuid}", file.at // 4096)
        rig.write_device(file.device, file.at, BLANK)  # mkswap leaves the boot bits alone
        sk.prepare().done()
        assert sk.bits() == BLANK, "its filesystem is mounted"
    finally:
        file.unmount()
    assert f"image-size {file.image.stat().st_size}" in sk.lines()
    before = file.image.read_bytes()
    assert sk.marked() == "bootbits"
    after = file.image.read_bytes()
    assert after[: file.at] == before[: file.at] and after[file.at + 1024 :] == before[file.at + 1024 :]
    assert_armed(sk.bits(), sk)
    assert envblock.parse(envblock.slot(sk.bits()))["offset"] == str(file.at // 4096)
    assert run("grub-fstest", file.image, "cat", f"(loop0){file.at // 512}+2").stdout == sk.bits()
    assert sk.machine.status()["stores"]["bootbits"]["mark"]["state"] == "armed"
    sk.machine("cancel").done()
    assert envblock.slot(sk.bits()) == envblock.EMPTY
    file.fs.assert_clean()


# ---- the plan in an initramfs ----


def unpack(initramfs, into, skip=0):
    into.mkdir()
    run("cpio", "-i", "--quiet", input=initramfs.read_bytes()[skip:], cwd=into)
    return (into / "etc/hibctl/plan").read_bytes()


def test_initramfs(start):
    sk = start()
    initramfs = sk.scratch.path / "initramfs"
    old = os.urandom(5001)
    initramfs.write_bytes(old)
    initramfs.chmod(0o600)
    sk.prepare(f"--initramfs={initramfs}").done()
    assert initramfs.read_bytes()[: len(old)] == old and initramfs.stat().st_mode & 0o777 == 0o600
    assert unpack(initramfs, sk.scratch.path / "1", 5004) == sk.plan.read_bytes()
    size = initramfs.stat().st_size
    for i in range(3):
        sk.prepare(f"--initramfs={initramfs}").done()
        assert initramfs.stat().st_size == size and initramfs.read_bytes()[: len(old)] == old
    sk.release(f"--initramfs={initramfs}")
    assert unpack(initramfs, sk.scratch.path / "2", 5004) == sk.plan.read_bytes()
    assert {path.name for path in sk.scratch.path.glob("initramfs*")} == {"initramfs"}

    # And by that copy the save kernel marks.
    sk.plan = sk.scratch.path / "2/etc/hibctl/plan"
    assert sk.marked() == "env"


def test_initramfs_of_a_failing_prepare(start):
    sk = start()
    initramfs = sk.scratch.path / "initramfs"
    initramfs.write_bytes(b"x" * 5001)
    with process("sleep", "60", cwd=sk.boot):
        assert sk.prepare("--unmount", f"--initramfs={initramfs}").status == 3
    sk.plan = sk.scratch.path / "none/plan"
    assert sk.prepare(f"--initramfs={initramfs}").status == 1
    assert initramfs.read_bytes() == b"x" * 5001
    assert sk.prepare("--dry-run", f"--initramfs={initramfs}").status == 0
    assert initramfs.read_bytes() == b"x" * 5001


def test_no_older_plan_stays_in_the_initramfs_of_a_failing_prepare(start):
    """It calls released what is mounted again."""
    sk = start()
    initramfs = sk.scratch.path / "initramfs"
    initramfs.write_bytes(b"x" * 5001)
    sk.release(f"--initramfs={initramfs}")
    run("mount", sk.machine.fs.device, sk.boot)
    with process("sleep", "60", cwd=sk.boot):
        sk.prepare("--unmount", "--dry-run", f"--initramfs={initramfs}")
        assert initramfs.stat().st_size > 5001
        assert sk.prepare("--unmount", f"--initramfs={initramfs}").status == 3
    assert initramfs.read_bytes().rstrip(b"\0") == b"x" * 5001


def test_an_older_plan_that_cannot_be_taken_out(start):
    """Found out while the boot filesystem is still mounted."""
    sk = start()
    initramfs = sk.scratch.path / "initramfs"
    initramfs.write_bytes(b"x" * 5001)
    sk.prepare(f"--initramfs={initramfs}").done()
    folder = read_only_folder(sk, {"initramfs": initramfs.read_bytes()})
    before = mount_line(sk.boot)
    sk.prepare("--unmount", f"--initramfs={folder}/initramfs").says_no(1, folder / "initramfs")
    assert mount_line(sk.boot) == before and not sk.plan.exists()


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["for real", "dry run"])
def test_an_unmounted_boot_filesystem_that_grub_cannot_write(make, dry_run):
    sk = SaveKernel(make("btrfs", layout="fstab"))
    sk.prepare(*dry_run).done()
    if not dry_run:
        assert sk.marked() == "bootbits"
    assert not is_mounted(sk.boot) and not sk.machine.fs.is_in_use()


def test_what_only_the_running_system_sees_was_asked_there(start, scratch):
    """An older mark of an encrypted area, which is not unlocked in the save kernel: prepare has seen that it is over."""
    other, sk = rig.Swap(scratch, "other"), start()
    mark = envblock.Mark(image=f"UUID={other.uuid}", filesystem=sk.machine.fs.uuid, verify="hint")
    sk.machine.put_block(envblock.make([(envblock.NAME, mark.text())]))
    sk.release()
    scratch.detach(other.device)
    assert sk.marked() == "env"


def test_a_held_boot_filesystem_needs_no_slot(start):
    """No mark will go there, so it does not matter that nothing can be written to it."""
    sk = start()
    run("mount", "-o", "remount,ro", sk.boot)
    sk.prepare().done()
    assert sk.marked() == "bootbits"
    sk.prepare("--unmount").says_no(3, sk.machine.block, "read-only")


# ---- a plan that lasts ----


@pytest.fixture
def lasting(start):
    """In the load kernel's initramfs it stays from one hibernation to the next."""
    sk = start()
    sk.plan = sk.machine.root / "etc/hibctl/plan"
    sk.machine("prepare", "--lasting", "--hook=10-crypt UUID=1 swap").done()
    return sk


def test_a_lasting_plan_has_what_hooks_are_told(lasting):
    lines = lasting.lines()
    assert [line for line in lines if line.startswith(("bootbits ", "boot ", "held ", "hook "))] == [
        "bootbits no", next(line for line in lines if line.startswith("boot unknown ")), "hook 10-crypt UUID=1 swap"]
    assert not (lasting.machine.root / "run/hibctl").exists()
    assert is_mounted(lasting.boot) and lasting.bits() == BLANK


def test_no_mark_is_written_by_a_lasting_plan(lasting):
    lasting.machine.unmount()
    before = digest(lasting.machine.fs)
    for store in ((), ("--store=env",), ("--store=bootbits",)):
        lasting.mark(*store).says_no(3, str(lasting.plan), "hibctl prepare")
    lasting.change(rb"bootbits no", b"bootbits yes")
    lasting.mark().says_no(3, str(lasting.plan), "hibctl prepare")
    assert digest(lasting.machine.fs) == before and lasting.bits() == BLANK


def test_a_lasting_plan_outlives_a_failure_to_make_another(lasting):
    before = lasting.plan.read_bytes()
    lasting.machine("prepare", "--lasting", "--image=UUID=none").says_no(3, "UUID=none")
    assert lasting.plan.read_bytes() == before
    assert lasting.machine("prepare", "--lasting", "--unmount").status == 64
    lasting.machine("prepare", "--lasting", "--dry-run", "--hook=20-other word").done()
    assert lasting.plan.read_bytes() == before
    lasting.machine("prepare", "--lasting", "--hook=20-other word").done()
    assert "hook 20-other word" in lasting.lines()


def test_a_lasting_plan_can_be_put_into_an_initramfs_on_the_boot_filesystem(start):
    sk = start()
    initrd = sk.boot / "initrd.img"
    initrd.write_bytes(b"x" * 5001)
    sk.plan = sk.machine.root / "etc/hibctl/plan"
    sk.machine("prepare", "--lasting", f"--initramfs={initrd}").done()
    assert unpack(initrd, sk.scratch.path / "1", 5004) == sk.plan.read_bytes()


# ---- what it says, and what it does not do ----


def test_json(start):
    sk = start()
    told = sk.machine("--json", "prepare", f"--plan={sk.plan}").done().json()
    mark = envblock.parse(sk.lines()[2].removeprefix("mark ").encode())
    assert (told["dry_run"], told["boot"], told["bootbits"], told["plan"]) == (False, "held", True, str(sk.plan))
    assert told["held"] == sum(line.startswith("held ") for line in sk.lines()) > 0
    for field in envblock.FIELDS:
        assert mark[field] == str(told[field]), field
    told = sk.machine("--json", "prepare", "--unmount", "--dry-run").done().json()
    assert (told["dry_run"], told["boot"], told["plan"]) == (True, "released", None)
    assert is_mounted(sk.boot)
    result = sk.machine.tool("--json", "-q", "mark", f"--plan={sk.plan}", "--dry-run").done()
    told = result.json()
    assert (told["armed"], told["dry_run"], told["store"], told["id"]) == (False, True, "bootbits", mark["id"])
    told = sk.machine.tool("--json", "mark", f"--plan={sk.plan}").done().json()
    assert (told["armed"], told["dry_run"], told["store"], told["id"]) == (True, False, "bootbits", mark["id"])


@pytest.mark.parametrize("unmount", [[], ["--unmount"]], ids=["held", "unmount"])
def test_dry_run(start, unmount):
    sk = start()
    with frozen(sk.boot):
        before, listing = digest(sk.machine.fs), sorted(os.listdir(sk.scratch.path))
        sk.prepare("--dry-run", *unmount).done()
        assert sk.area() == hashlib.sha256(sk.swap.image.read_bytes()).hexdigest() and sk.bits() == BLANK
        assert digest(sk.machine.fs) == before and sorted(os.listdir(sk.scratch.path)) == listing
    assert is_mounted(sk.boot)
    with in_use(sk.swap.device):
        (sk.release if unmount else sk.prepare)().done()
    before, area, plan = digest(sk.machine.fs) if unmount else None, sk.area(), sk.plan.read_bytes()
    for store in [[], ["--store=bootbits"], *([["--store=env"]] if unmount else [])]:
        sk.mark("--dry-run", *store).done()
        assert sk.area() == area and sk.plan.read_bytes() == plan
        assert not unmount or digest(sk.machine.fs) == before
    if unmount:
        assert_let_go(sk)


def test_usage(start, tool):
    sk = start()
    for args in (["--image=UUID=1"], ["--kernel=/x"], ["--initrd=none"], ["--store=none"], ["x"]):
        assert sk.mark(*args).status == 64
    for args in (["--offset=1"], ["--store=env"], ["x"]):
        assert sk.prepare(*args).status == 64
    assert not sk.plan.exists()
    assert sk.prepare(prefix=rig.AS_NOBODY).status == 1
    assert not sk.plan.exists() and sk.bits() == BLANK


# ---- faults ----


class Trial:
    """mark --plan, again and again from the same state."""

    def __init__(self, sk, store):
        self.sk, self.store = sk, store
        self.at = None
        self.first = {"env": sk.machine.grub_reads(), "bootbits": sk.bits()}
        if store == "env":
            self.at = sk.machine.fs.image.read_bytes().find(self.first["env"])
        self.argv = sk.machine.tool.argv("mark", f"--plan={sk.plan}", f"--store={store}")
        self.calls = faults.calls(self.argv, sk.scratch.path / "strace.log")
        self.new = self.now()
        assert envblock.state(self.new[store]) == "armed"
        self.reset()

    def now(self):
        return {"env": self.sk.machine.grub_reads(), "bootbits": self.sk.bits()}

    def reset(self):
        if self.store == "env":
            rig.write_device(self.sk.machine.fs.device, self.at, self.first["env"])
        else:
            self.sk.swap.write(0, self.first["bootbits"])
        assert self.now() == self.first

    def problems(self, result, fault):
        self.sk.machine.fs.wait_until_unused()
        now = self.now()
        old, new = now == self.first, now == self.new
        cut = self.store == "bootbits" and not any(now["bootbits"][:512]) and now["env"] == self.first["env"]
        if not old and not new and not (cut and fault == "kill" and now["bootbits"][512:] == b"#" * 512):
            yield f"neither old nor new: {now}"
        if result.status == 0 and not new:
            yield "it says done"
        if fault == "error" and result.status in (1, 3, 4) and not old and " may " not in result.err:
            yield f"it says that nothing was changed: {result.err}"
        if fault == "error" and (result.status not in (0, 1, 3, 4) or result.status and not result.err):
            yield f"exit status {result.status}: {result.err}"
        if is_mounted("/run/hibctl/boot"):
            yield "it is still mounted"
        if fault == "term" and not old and not new:
            yield "a signal was not held"
        if now != self.first:
            self.reset()

    def run(self, fault, part=0, parts=1):
        points = (faults.points_for_errors if fault == "error" else faults.points_for_signals)(self.calls)
        bad, changed = [], 0
        for point in points[part::parts]:
            result = faults.inject(self.argv, point, {"error": "error=EIO", "term": "signal=TERM", "kill": "signal=KILL"}[fault])
            changed += result.status != 0
            bad += [f"{fault} at {point.name} number {point.number}: {one}" for one in self.problems(result, fault)]
        assert not bad, f"{len(bad)} of {len(points[part::parts])}:\n" + "\n".join(bad[:10])
        assert changed > 0, "no fault has had any effect"


@pytest.fixture(params=["env", "bootbits", "bootbits-blank"])
def fault_trial(request, start):
    sk = start()
    if request.param == "env":
        with in_use(sk.swap.device):
            sk.release()
    elif request.param == "bootbits":
        sk.release()
        assert sk.bits() != BLANK
    else:
        with in_use(sk.swap.device):
            sk.release()
    return Trial(sk, request.param.partition("-")[0])


@pytest.mark.parametrize("fault", few(("error",), ("error", "term", "kill")))
def test_some_faults(fault_trial, fault):
    fault_trial.run(fault, part=1, parts=4)


@pytest.mark.full
@pytest.mark.parametrize("fault", ["error", "term", "kill"])
def test_every_fault(fault_trial, fault):
    fault_trial.run(fault)


def errors_in_prepare(start, part=0, parts=1):
    """Either there is a plan and the boot filesystem is unmounted, or none, and it is mounted as it was."""
    sk = start()
    run("mount", "-o", "remount,nodev,noatime", sk.boot)
    before, block, bad, failed = mount_line(sk.boot), sk.machine.grub_reads(), [], 0
    argv = sk.machine.tool.argv("prepare", "--unmount", f"--plan={sk.plan}", root=sk.machine.root)
    initramfs = sk.scratch.path / "initramfs"
    initramfs.write_bytes(b"x" * 500)
    argv.append(f"--initramfs={initramfs}")
    sk.release()
    run("mount", "-o", "nodev,noatime", sk.machine.fs.device, sk.boot)
    assert mount_line(sk.boot) == before
    calls = faults.calls(argv, sk.scratch.path / "strace.log")
    points = faults.points_for_errors(calls)[part::parts]
    for point in points:
        run("mount", "-o", "nodev,noatime", sk.machine.fs.device, sk.boot, check=False)
        sk.plan.unlink(missing_ok=True)
        initramfs.write_bytes(b"x" * 500)
        result = faults.inject(argv, point, "error=EIO")
        now, where = mount_line(sk.boot), f"{point.name} number {point.number}: "
        failed += result.status != 0
        if result.status not in (0, 1, 3, 4) or result.status and not result.err:
            bad.append(where + f"exit status {result.status}: {result.err}")
        if result.status == 0 and (now or not sk.plan.exists() or b"boot released" not in initramfs.read_bytes()):
            bad.append(where + f"it says done: {now}")
        if result.status != 0 and (now != before and "mount it" not in result.err):
            bad.append(where + f"it was {before} and is {now}: {result.err}")
        if result.status != 0 and sk.plan.exists():
            bad.append(where + f"there is a plan: {result.err}")
        for path in sk.scratch.path.glob("*hibctl-new"):
            if f"{path.name}: cannot remove it" not in result.err:
                bad.append(where + f"it leaves something behind: {path.name}")
            path.unlink()
        if sk.machine.grub_reads() != block:
            bad.append(where + "the environment block is another")
    assert not bad, f"{len(bad)} of {len(points)}:\n" + "\n".join(bad[:10])
    assert failed > 5


@pytest.mark.slow
def test_some_errors_in_prepare(start):
    errors_in_prepare(start, part=1, parts=3)


@pytest.mark.full
def test_every_error_in_prepare(start):
    errors_in_prepare(start)


@pytest.mark.parametrize("name,number", [("pwrite64", 1), ("pwrite64", 2), ("fdatasync", 1), ("fdatasync", 2)])
def test_a_write_fails(held, name, number):
    """The bytes of before are put back, and another try succeeds."""
    argv = held.machine.tool.argv("mark", f"--plan={held.plan}", "--store=bootbits")
    result = faults.inject(argv, faults.Call(name, number, True), "error=EIO")
    assert result.status == 1 and held.swap.device in result.err, result
    assert held.bits() == BLANK or not any(held.bits()[:512]) and "may" in result.err
    held.mark().done()
    assert_armed(held.bits(), held)


def test_the_wrong_bytes_are_there(released):
    """A device that takes a write and does not keep it: what was written is read back."""
    argv = released.machine.tool.argv("mark", f"--plan={released.plan}", "--store=bootbits")
    result = faults.inject(argv, faults.Call("pwrite64", 2, True), "retval=512")
    assert result.status == 1, result
    assert not any(released.bits()[:512])


# ---- after the resume ----


def test_settle_undoes_what_prepare_did(start):
    """Mounts the boot filesystem again as it was, and forgets the plan: it was for one jump."""
    sk = start()
    run("mount", "-o", "remount,nosuid,noatime", sk.boot)
    plan = sk.machine.root / "run/hibctl/plan"
    sk.machine("prepare", "--unmount").done()
    assert not is_mounted(sk.boot) and plan.exists()
    result = sk.machine("settle").done()
    assert is_mounted(sk.boot) and not plan.exists() and str(sk.boot) in result.err
    options = run("findmnt", "-no", "OPTIONS", sk.boot).stdout.decode()
    assert "nosuid" in options and "noatime" in options
    sk.machine("settle").nothing()
    assert not list((sk.machine.root / "run/hibctl").iterdir())


def test_settle_leaves_what_is_mounted_already(start):
    sk = start()
    sk.machine("prepare", "--unmount").done()
    run("mount", sk.machine.fs.device, sk.boot)
    before = rig.mount_points().count(str(sk.boot))
    sk.machine("settle").nothing()
    assert rig.mount_points().count(str(sk.boot)) == before == 1


def test_settle_that_cannot_mount_again(start):
    """It is tried again by the next one."""
    sk = start()
    sk.machine("prepare", "--unmount").done()
    sk.boot.rmdir()
    sk.machine("settle").says_no(1, sk.boot, "mount it")
    sk.boot.mkdir()
    sk.machine("settle").done()
    assert is_mounted(sk.boot)


def test_settle_that_cannot_forget_the_plan(start):
    """That calls the boot filesystem released: it stays unmounted, until the plan is gone."""
    sk = start()
    sk.machine("prepare", "--unmount").done()
    folder = sk.machine.root / "run/hibctl"
    run("chattr", "+i", folder / "plan")
    try:
        sk.machine("settle").says_no(1, folder / "plan", "cannot remove the plan", "remove it")
        assert not is_mounted(sk.boot)
    finally:
        run("chattr", "-i", folder / "plan")
    sk.machine("settle").done()
    assert is_mounted(sk.boot) and not list(folder.iterdir())


@pytest.mark.parametrize("text", ["", "/dev/x\n", "a\nb\nc\n", "a\nb\nc\nd"])
def test_a_damaged_note_of_what_to_mount(start, text):
    sk = start()
    folder = sk.machine.root / "run/hibctl"
    folder.mkdir()
    (folder / "unmounted").write_text(text)
    sk.machine("settle").says_no(1, folder / "unmounted", "damaged")


def test_initramfs_on_the_boot_filesystem(start):
    """Once that is unmounted, nobody could load it."""
    sk = start()
    initrd = sk.boot / "save.img"
    initrd.write_bytes(b"an initramfs")
    sk.machine("prepare", "--unmount", f"--initramfs={initrd}").says_no(3, initrd, "--unmount")
    assert is_mounted(sk.boot) and initrd.read_bytes() == b"an initramfs"
    sk.machine("prepare", f"--initramfs={initrd}").done()


def test_a_prepare_that_fails_late_leaves_no_note(start):
    """What it unmounted it has mounted again: settle must not, if somebody unmounts it for good afterwards."""
    sk = start()
    initramfs = read_only_folder(sk, {"initramfs": b"something"}) / "initramfs"
    sk.machine("prepare", "--unmount", f"--initramfs={initramfs}").says_no(1, initramfs)
    assert is_mounted(sk.boot) and not list((sk.machine.root / "run/hibctl").iterdir())


@pytest.mark.slow
def test_settle_waits_its_turn(start):
    """Another hibctl may be making the plan, or unmounting, at this moment."""
    sk = start()
    sk.machine("prepare", "--unmount").done()
    hold = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
            'mount -t tmpfs none /run && exec flock /run/hibctl.lock "$@"', "sh")
    sk.machine("settle", prefix=hold).says_no(1, "another hibctl")
    assert not is_mounted(sk.boot) and (sk.machine.root / "run/hibctl/plan").exists()
    sk.machine("settle").done()
    assert is_mounted(sk.boot)
