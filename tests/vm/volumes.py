# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Boot filesystems that GRUB reads and cannot write to: on btrfs, on a logical volume of LVM, on a RAID 1 of md.

The containers are written by hand, without root, device-mapper or md on this machine; that GRUB and the guest's kernel
find what is in them shows that they are right."""

import struct
import zlib

from . import host
from .layout import BOOT_UUID, MIB, Boot

_SECTOR = 512
DATA_AT = MIB  # of the filesystem in the partition
MD_NAME = "boot"
_MD_UUID = bytes.fromhex("0d0d0d0d111142228333444455556666")
_VG, _LV = "vg", "boot"
_EXTENT = 2048  # sectors
_IDS = {name: (name * 6)[:6] + "-" + "-".join([name[0] * 4] * 5) + "-" + name[0] * 6 for name in ("pv", "vg", "lv")}
MODULES = {Boot.BTRFS: ("btrfs",), Boot.LVM: ("dm_mod",), Boot.RAID: ("md_mod", "raid1")}
GRUB_MODULES = {Boot.BTRFS: ("btrfs",), Boot.LVM: ("lvm",), Boot.RAID: ("mdraid1x",)}


def make_boot(disk, folder):
    """Puts what is in FOLDER on the boot filesystem of a disk."""
    kind, part = disk.layout.boot, disk.parts["boot"]
    image = folder.parent / "volume"
    if kind is Boot.BTRFS:
        _fresh(image, part.size)
        host.run("mkfs.btrfs", "-q", "-m", "single", "-U", BOOT_UUID, "--rootdir", folder, image)
        _write(disk, part.start, image)
        return
    size = part.size - 2 * MIB
    _fresh(image, size)
    host.run("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-F", "-U", BOOT_UUID, "-E",
             "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", "-d", folder, image)
    halves = ("boot", "boot2") if kind is Boot.RAID else ("boot",)
    for number, name in enumerate(halves):
        start = disk.parts[name].start
        _write(disk, start + DATA_AT, image)
        if kind is Boot.RAID:
            disk.write_raw(start + 8 * _SECTOR, _md_superblock(number, size // _SECTOR))
        else:
            disk.write_raw(start, _physical_volume(part.size, size // _SECTOR))
    image.unlink()


def _fresh(path, size):
    with path.open("wb") as file:
        file.truncate(size)


def _write(disk, at, image):
    host.run("dd", f"if={image}", f"of={disk.path}", "bs=1M", f"seek={at}", "oflag=seek_bytes", "conv=notrunc,sparse",
             "status=none")


def grub_device(layout, part):
    """GRUB's name of the device that the boot filesystem is on."""
    if part == "boot" and layout.boot is Boot.LVM:
        return f"(lvm/{_VG}-{_LV})"
    if part == "boot" and layout.boot is Boot.RAID:
        return f"(md/{MD_NAME})"
    return layout.partitions()[part].grub


def script(layout, kernel):
    """What the guest runs before it mounts anything, or ""."""
    lines = [f"insmod /lib/modules/{path.name}" for path in kernel.modules(*MODULES.get(layout.boot, ()))]
    parts = layout.partitions()
    if layout.boot is Boot.LVM:
        sectors = (parts["boot"].size - 2 * MIB) // _SECTOR
        ids = "".join(_IDS[name].replace("-", "") for name in ("vg", "lv"))
        lines.append(f'echo "0 {sectors} linear {parts["boot"].device} {DATA_AT // _SECTOR}" | '
                     f"dmsetup create {_VG}-{_LV} --noudevsync --noudevrules --uuid LVM-{ids}")
    if layout.boot is Boot.RAID:
        lines += ["echo md512 >/sys/module/md_mod/parameters/new_array", "cd /sys/block/md512/md",
                  "echo 1.2 >metadata_version"]
        lines += [f"cat /sys/class/block/{parts[name].device.removeprefix('/dev/')}/dev >new_dev"
                  for name in ("boot", "boot2")]
        lines += ["echo active >array_state", "cd /"]
    return "".join(f"{line}\n" for line in lines)


# ---- md, version 1.2 (struct mdp_superblock_1 in the kernel's linux/raid/md_p.h) ----


def _md_superblock(number, sectors):
    roles = struct.pack("<2H", 0, 1) + b"\xff\xff" * 126
    text = struct.pack("<IIII16s32sQIIQIIi", 0xA92B4EFC, 1, 0, 0, _MD_UUID, MD_NAME.encode(), 0, 1, 0, sectors, 0, 2, 0)
    text = text.ljust(128, b"\0")
    text += struct.pack("<QQQQII16sBBHI", DATA_AT // _SECTOR, sectors, 8, 0, number, 0, bytes([number + 1]) * 16, 0, 0, 0, 0)
    text += struct.pack("<QQQ", 0, 1, 0xFFFFFFFFFFFFFFFF)  # events; nothing to be synchronised
    text += struct.pack("<II", 0, 128) + bytes(32) + roles
    assert len(text) == 512
    total = sum(struct.unpack("<128I", text))
    return text[:216] + struct.pack("<I", ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF) + text[220:]


# ---- LVM (lib/format_text/layout.h of LVM2) ----


def _crc(data):
    return zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def _physical_volume(size, sectors):
    """The first MiB: a label, and the metadata as text."""
    area, area_size = 4096, DATA_AT - 4096
    text = _metadata(size, sectors)
    header = b"\x20LVM2\x20x[5A%r0N*>" + struct.pack("<IQQ", 1, area, area_size)
    header += struct.pack("<QQII", 512, len(text), _crc(text), 0)
    header = header.ljust(508, b"\0")
    pv = _IDS["pv"].replace("-", "").encode() + struct.pack("<Q", size)
    pv += struct.pack("<4Q", DATA_AT, 0, 0, 0) + struct.pack("<4Q", area, area_size, 0, 0)
    checked = struct.pack("<I8s", 32, b"LVM2 001") + pv
    checked = checked.ljust(_SECTOR - 20, b"\0")
    label = b"LABELONE" + struct.pack("<QI", 1, _crc(checked)) + checked
    out = bytes(_SECTOR) + label
    return out.ljust(area, b"\0") + struct.pack("<I", _crc(header)) + header + text


def _metadata(size, sectors):
    extents = sectors // _EXTENT
    return f"""{_VG} {{
id = "{_IDS['vg']}"
seqno = 1
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = {_EXTENT}
max_lv = 0
max_pv = 0
metadata_copies = 0

physical_volumes {{

pv0 {{
id = "{_IDS['pv']}"
device = "/dev/vda3"
status = ["ALLOCATABLE"]
flags = []
dev_size = {size // _SECTOR}
pe_start = {DATA_AT // _SECTOR}
pe_count = {extents}
}}
}}

logical_volumes {{

{_LV} {{
id = "{_IDS['lv']}"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
segment_count = 1

segment1 {{
start_extent = 0
extent_count = {extents}

type = "striped"
stripe_count = 1

stripes = [
"pv0", 0
]
}}
}}
}}

}}
contents = "Text Format Volume Group"
version = 1
description = ""
creation_host = "sleeper"
creation_time = 0
""".encode() + b"\0"
