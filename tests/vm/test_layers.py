# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Swap areas and boot filesystems on device-mapper, RAID and network devices, stacked: what "hibctl mark" makes of
them. The devices are real ones, made in a guest; GRUB is not asked."""

import itertools
import json

import pytest

from . import guest, scenario
from .layout import SWAP_UUID
from .machine import Firmware, Machine

# What is made, bottom up: a name, how, and on what. "disk" is the only thing that is just there.
DEVICES = {
    "linear": ("dm", "disk"),
    "crypt": ("crypt", "disk"),
    "lvm": ("lvm", "disk"),
    "raid": ("raid", "disk"),
    "nbd": ("nbd", "disk"),
    "lvm-crypt": ("lvm", "crypt"),
    "lvm-lvm-crypt": ("lvm", "lvm-crypt"),
    "crypt-lvm": ("crypt", "lvm"),
    "crypt-raid": ("crypt", "raid"),
    "raid-crypt": ("raid", "crypt"),
    "lvm-nbd": ("lvm", "nbd"),
    "raid-nbd": ("raid", "nbd"),
    "nbd-partition": ("partition", "nbd"),
    "lvm-nbd-partition": ("lvm", "nbd-partition"),
    "raid-nbd-partition": ("partition", "raid-nbd"),
    "raid-partition": ("partition", "raid"),
    "linear-raid": ("dm", "raid"),
    "multipath": ("mpath", "disk"),
    "multipath-partition": ("kpartx", "multipath"),
    "linear-partition": ("kpartx", "linear"),
}
UNSEEN = ("crypt", "nbd", "linear")  # GRUB finds what is inside on no disk
VERIFY = {name: "hint" if any(kind in name for kind in UNSEEN) else "header" for name in DEVICES}
# Where GRUB could not take a mark, and the word that says why.
NOT_WRITABLE = {"linear": None, "lvm": "LVM", "lvm-crypt": "LVM", "crypt-lvm": "LVM", "lvm-lvm-crypt": "LVM",
                "raid": "RAID", "raid-crypt": "RAID", "crypt-raid": "RAID", "raid-partition": "RAID", "nbd": "network"}

DISK_SECTORS = 24 * 2048
HEADER_SECTORS = 2048  # each layer keeps a header before its data, so that what is inside shows on one device only


QUICK = ("linear", "lvm-crypt", "raid-nbd-partition")


def kinds(names):
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


_md_numbers = itertools.count(512)  # smaller ones cannot be made by hand


class Stacker:
    """Makes devices in a guest, each on a fresh disk (a file in memory), and takes them away again."""

    def __init__(self, machine):
        self.machine = machine
        self.undo = []
        self.disks = 0

    def build(self, name):
        """Makes the device called NAME and all below it; returns its path."""
        if name == "disk":
            return self._disk()
        kind, below = DEVICES[name]
        if kind == "nbd":
            return self._nbd()
        return getattr(self, f"_{kind}")(name, self.build(below))

    def tear_down(self):
        if self.undo:
            self.machine.run("\n".join(f"{step} || exit" for step in reversed(self.undo)))
        self.undo, self.disks = [], 0

    def do(self, command, undo):
        output = self.machine.run(f"set -e\n{command}").output.strip()
        self.undo.append(undo.format(output))
        return output

    def _file(self):
        self.disks += 1
        path = f"/run/disk{self.disks}"
        self.do(f"truncate -s {DISK_SECTORS * 512} {path}", f"rm {path}")
        return path

    def _disk(self):
        path = self._file()
        return self.do(f"loop=$(losetup -f); losetup $loop {path}; echo $loop", "losetup -d {}")

    def _nbd(self):
        path = self._file()
        self.do(f"nbd-file {path} /dev/nbd0", "kill $(cat /sys/block/nbd0/pid); sleep 0.2")
        return "/dev/nbd0"

    def _partition(self, name, below):
        start, size = (n.to_bytes(4, "little") for n in (HEADER_SECTORS, 8 * 2048))
        table = bytes(446) + bytes((0, 0, 0, 0, 0x83, 0, 0, 0)) + start + size + bytes(48) + b"\x55\xaa"
        self.machine.write_file(below, table)
        self.do(f"blockdev --rereadpt {below}; test -b {below}p1", "true")
        return f"{below}p1"

    def _dm(self, name, below, uuid="", target="linear", key=""):
        table = f'echo "0 $(($(blockdev --getsz {below}) - {HEADER_SECTORS})) {target} {key} {below} {HEADER_SECTORS}"'
        flags = f"--noudevsync --noudevrules {'--uuid ' + uuid if uuid else ''}"
        self.do(f"{table} | dmsetup create {name} {flags}", f"dmsetup remove --noudevsync --noudevrules {name}")
        return "/dev/" + self.machine.run(f"dmsetup info -c --noheadings -o blkdevname {name}").output.strip()

    def _lvm(self, name, below):
        # With a dash in it, libblkid would take the volume for one that LVM keeps to itself.
        return self._dm(name, below, f"LVM-qIz7Rj0123456789abcdefghijklmnopqrst{name.replace('-', '')}")

    def _crypt(self, name, below):
        return self._dm(name, below, f"CRYPT-PLAIN-{name}", "crypt", f"aes-xts-plain64 {'5e' * 32} 0")

    def _mpath(self, name, below):
        return self._dm(name, below, f"mpath-{name}")

    def _kpartx(self, name, below):
        whole = self.machine.run(f"cat /sys/class/block/{below.removeprefix('/dev/')}/dm/uuid").output.strip()
        return self._dm(name, below, f"part1-{whole}")

    def _raid(self, name, below):
        """A mirror with one half missing, without a superblock: mdadm is not needed."""
        node = f"md{next(_md_numbers)}"
        self.do(f"""
            echo {node} >/sys/module/md_mod/parameters/new_array
            cd /sys/block/{node}/md
            echo none >metadata_version
            echo raid1 >level
            echo 2 >raid_disks
            echo $(($(blockdev --getsz {below}) / 2 - {HEADER_SECTORS})) >component_size
            cat /sys/class/block/{below.removeprefix('/dev/')}/dev >new_dev
            cd dev-{below.removeprefix('/dev/')}
            echo {HEADER_SECTORS} >offset
            echo 0 >slot
            cd ..
            echo active >array_state
            """, f"echo clear >/sys/block/{node}/md/array_state")
        return f"/dev/{node}"


@pytest.fixture(scope="module")
def machine(scratch, disks):
    """One guest for all of these tests."""
    folder = scratch.folder("layers")
    with Machine(disks.disk(), Firmware.SEABIOS, folder) as machine:
        machine.boot(disks.direct())
        scenario.setup(machine)
        for module in disks.kernel.modules(*guest.LAYER_MODULES):
            machine.run(f"insmod /lib/modules/{module.name}")
        yield machine


@pytest.fixture
def stacker(machine):
    stacker = Stacker(machine)
    yield stacker
    stacker.tear_down()


@pytest.mark.parametrize("name", kinds(DEVICES))
def test_image_below_layers_that_grub_cannot_see(machine, stacker, name):
    device = stacker.build(name)
    machine.run(f"mkswap {device}")
    result = machine.run(f"hibctl -q --json mark --dry-run --image={device}")
    assert json.loads(result.output)["verify"] == VERIFY[name]


@pytest.mark.parametrize("name", kinds(NOT_WRITABLE))
def test_boot_filesystem_on_layers(machine, stacker, name):
    """GRUB could read a mark there, and never consume it. The control is the same filesystem on a plain mapping."""
    boot = machine.disk.parts["boot"].device
    machine.run("umount /boot/efi", check=False)
    stacker.do(f"umount /boot && mount {boot} /mnt", f"umount /mnt && mount {boot} /boot")  # the kernel is there
    device = stacker.build(name)
    stacker.do(f"mke2fs {device} && mount -t ext4 {device} /boot", "umount /boot")
    machine.run("mkdir /boot/grub && hibctl env create && cp -r /mnt/grub/grub.cfg /mnt/grub/i386-pc /boot/grub")
    machine.run("hibctl setup --modules=/usr/lib/hibctl", check=False)
    result = machine.run(f"hibctl mark --dry-run --store=env --image=UUID={SWAP_UUID} --kernel=$(ls /mnt/vmlinuz-*) --initrd=none",
                         check=False)
    why = NOT_WRITABLE[name]
    if not why:
        assert result.status == scenario.DONE, result
        return
    assert result.status == scenario.NO_STORE, result
    assert result.output.count("\n") == 1 and why in result.output, result
