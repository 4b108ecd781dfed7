# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Initramfs that mkinitramfs and dracut made, booted on a stock kernel. The machine's disk is a swap area."""

import uuid
import zlib

import pytest

from cli import rig as cli
from grub import marks
from vm.guest import write_cpio

from . import rig

pytestmark = pytest.mark.slow

SIZE = 64 << 20
SIGNATURE_AT = 4096 - 10
MAKERS = ("initramfs-tools", "dracut")
# What ends the machine where it would wait for its root filesystem.
NO_ROOT = {"initramfs-tools": "", "dracut": "root=/dev/vda rd.retry=5 rd.shell=0 rd.emergency=poweroff",
           "systemd": "root=/dev/vda rd.retry=5 rd.shell=0 rd.emergency=poweroff"}


class Disk:
    def __init__(self, scratch):
        self.path = scratch.image("disk", SIZE)
        self.uuid = str(uuid.uuid4())
        cli.run("mkswap", "-q", "-U", self.uuid, self.path)
        self.mark = marks.Mark(f"UUID={self.uuid}", "-")

    def _write(self, at, data):
        with self.path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def put_image(self):
        """Its header only: the kernel takes it for an image, and finds that it is none."""
        self._write(SIGNATURE_AT - 10, b"SWAPSPACE2S1SUSPEND\0")

    def put_mark(self):
        self.mark.fs_uuid = str(uuid.uuid4())
        self._write(0, marks.slot(self.mark.text()))

    def signature(self):
        return self.path.read_bytes()[SIGNATURE_AT:][:10]

    def marked(self):
        """The state of the mark in the boot bits, or None."""
        bits = self.path.read_bytes()[:1024]
        _, found, rest = bits.partition(b"hib_mark=hib1 ")
        return rest[:5].decode().strip() if found else None

    def plan(self, bootbits="yes", boot="unfit"):
        self.mark.fs_uuid = str(uuid.uuid4())
        text = (f"hibctl-plan 1\nmachine -\nmark {self.mark.text().decode()}\nimage-size {SIZE}\nbootbits {bootbits}\nefi no\n"
                f"boot {boot} {self.mark.fs_uuid} ext4 /boot/grub\n").encode()
        return text + b"crc %08x\n" % zlib.crc32(text)


@pytest.fixture
def disk(scratch):
    return Disk(scratch)


@pytest.fixture
def scratch(build):
    space = cli.Scratch()
    yield space
    space.close()


@pytest.fixture
def load(stage, images, disk):
    def boot(maker, words="", disks=(disk.path,)):
        kind = "systemd" if maker == "systemd" else "load"
        made = images("dracut" if maker == "systemd" else maker, kind)
        return rig.boot(stage, made.file, disks, f"{NO_ROOT[maker]} {words}")

    return boot


@pytest.fixture
def save(stage, images, disk, scratch):
    def boot(maker, plan=None, words=""):
        file = scratch.path / "initramfs"
        file.write_bytes(images(maker, "save").file.read_bytes())
        if plan:
            tree = scratch.folder("member")
            (tree / "etc/hibctl").mkdir(parents=True)
            (tree / "etc/hibctl/plan").write_bytes(plan)
            write_cpio(tree, scratch.path / "plan.cpio")
            data = file.read_bytes()
            file.write_bytes(data + bytes(-len(data) % 4) + (scratch.path / "plan.cpio").read_bytes())
        return rig.boot(stage, file, [disk.path], f"rdinit=/usr/lib/hibctl/save {words}")

    return boot


# ---- the load kernel ----


@pytest.mark.parametrize("maker", ["systemd", *MAKERS])
def test_an_image_is_taken_up_once(load, disk, maker):
    """The mark is taken before the kernel gets the image; that it is none is said, and the machine boots on."""
    disk.put_mark()
    disk.put_image()
    came = load(maker, f"resume=UUID={disk.uuid}")
    assert disk.marked() == "taken", came
    # Under systemd it goes by way of the journal.
    assert "the session is lost" in came.raw and "the image was not resumed; booting on" in came.raw, came
    assert disk.signature() == b"SWAPSPACE2"
    assert came.raw.count("PM: Image signature found, resuming") <= 1, came


@pytest.mark.parametrize("words", ["", "resume=UUID={uuid}", "resume=UUID={uuid} noresume"])
@pytest.mark.parametrize("maker", MAKERS)
def test_an_ordinary_boot_is_silent(load, disk, maker, words):
    disk.put_mark()
    if "noresume" in words:
        disk.put_image()
    came = load(maker, words.format(uuid=disk.uuid))
    assert came.ours() == [], came
    assert disk.marked() == "armed", came
    assert (disk.signature() == b"S1SUSPEND\0") == ("noresume" in words)


def test_a_device_that_is_not_there_is_said(load, disk):
    came = load("initramfs-tools", f"resume=UUID={uuid.uuid4()}")
    assert any("not resumed by hibctl, because the device could not be set up or found" in line for line in came.ours()), came


@pytest.mark.parametrize("maker", MAKERS)
def test_what_hibctl_refuses_nobody_else_does(load, scratch, disk, maker):
    """Two disks with the same UUID and an image: the scripts behind hibctl's would resume from one of them."""
    disk.put_image()
    copy = scratch.path / "copy"
    copy.write_bytes(disk.path.read_bytes())
    came = load(maker, f"resume=UUID={disk.uuid}", [disk.path, copy])
    assert "more than one device carries it" in came.text, came
    assert "not resumed; booting on" in came.text, came
    assert disk.signature() == copy.read_bytes()[SIGNATURE_AT:][:10] == b"S1SUSPEND\0", came


# ---- the save kernel ----


@pytest.mark.parametrize("maker", MAKERS)
def test_an_image_is_saved_and_marked(save, images, disk, maker):
    """That there are nodes in the image's own /dev does not mean that somebody has mounted it."""
    assert images(maker, "save").has("dev/null") == (maker == "dracut")
    disk.put_image()  # which the save-image of these tests does not do
    came = save(maker, disk.plan())
    lines = came.text.splitlines()
    assert "save-image /dev/vda 0" in lines, came
    assert "hibctl: the image is saved and marked; powering off" in lines, came
    assert "reboot: Power down" in came.raw, came
    assert "systemd-udevd" not in came.raw
    assert disk.marked() == "armed"


@pytest.mark.parametrize("maker", MAKERS)
def test_without_a_plan_it_goes_back(save, disk, maker):
    before = disk.path.read_bytes()
    came = save(maker)
    assert "go-back setup" in came.text.splitlines(), came
    assert "save-image" not in came.text and disk.path.read_bytes() == before, came


def test_what_was_not_saved_is_not_marked(save, disk):
    """Whatever save-image says of itself."""
    before = disk.path.read_bytes()
    came = save("initramfs-tools", disk.plan())
    lines = came.text.splitlines()
    assert "save-image /dev/vda 0" in lines and "go-back mark" in lines, came
    assert disk.path.read_bytes() == before, came


def test_what_cannot_be_marked_is_not_saved(save, disk):
    before = disk.path.read_bytes()
    came = save("initramfs-tools", disk.plan(bootbits="no"))
    lines = came.text.splitlines()
    assert "go-back check" in lines, came
    assert "save-image" not in came.text and disk.path.read_bytes() == before, came
