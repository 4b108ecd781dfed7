# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What is on a test disk: partitions, filesystems, swap areas, all under fixed UUIDs."""

import enum
from dataclasses import dataclass

MIB = 1 << 20
PAGE = 4096

BOOT_UUID = "b0070000-1111-4222-8333-444455556666"
ROOT_UUID = "4007f511-1111-4222-8333-444455556666"
SWAP_UUID = "5ab00001-1111-4222-8333-444455556666"
SWAP2_UUID = "5ab00002-1111-4222-8333-444455556666"
SWAPFILE_UUID = "5abf11e0-1111-4222-8333-444455556666"
ESP_UUID = "E5B0-0001"  # a FAT volume number
DISK_GUID = "0D15C000-1111-4222-8333-444455556666"
SWAP_PARTUUID = "9a270005-1111-4222-8333-444455556666"

SWAP_FILE = "/swapfile"

_TYPE_BIOS_GRUB = "21686148-6449-6E6F-744E-656564454649"
_TYPE_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_TYPE_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
_TYPE_SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"


class Boot(enum.Enum):
    """Where /boot is."""

    PARTITION = "boot-partition"  # an ext4 of its own
    ROOT = "boot-in-root"  # a folder of the ext4 root
    ESP = "boot-on-esp"  # the EFI system partition, vfat
    BTRFS = "boot-on-btrfs"  # these GRUB can read, but not write to
    LVM = "boot-on-lvm"
    RAID = "boot-on-raid"  # RAID 1 of md, two halves

    @property
    def takes_marks(self):
        """GRUB can write there."""
        return self in (Boot.PARTITION, Boot.ROOT, Boot.ESP)


class Swap(enum.Enum):
    """Where the machine swaps, and so hibernates, to."""

    PARTITION = "swap-partition"
    FILE = "swap-file"
    NONE = "no-swap"


@dataclass(frozen=True)
class Partition:
    name: str
    number: int
    start: int  # bytes
    size: int  # bytes
    type: str
    partuuid: str

    @property
    def device(self):
        """Its name in the guest."""
        return f"/dev/vda{self.number}"

    @property
    def grub(self):
        """Its name for grub-fstest, which numbers partitions as GRUB does."""
        return f"(loop0,gpt{self.number})"


@dataclass(frozen=True)
class Layout:
    """One kind of disk. Hashable: disks of equal layout are made once and copied."""

    boot: Boot = Boot.PARTITION
    swap: Swap = Swap.PARTITION
    swap_mib: int = 192
    second_swap: bool = False  # another swap partition, after the one that is used

    @property
    def grub_folder(self):
        """GRUB's prefix on the boot filesystem."""
        return "/boot/grub" if self.boot is Boot.ROOT else "/grub"

    @property
    def boot_folder(self):
        """Where the kernel is on the boot filesystem."""
        return "/boot" if self.boot is Boot.ROOT else ""

    @property
    def boot_uuid(self):
        return {Boot.ROOT: ROOT_UUID, Boot.ESP: ESP_UUID}.get(self.boot, BOOT_UUID)

    @property
    def resume_tag(self):
        """The resume= parameter of the device with the swap area in use."""
        return f"UUID={ROOT_UUID if self.swap is Swap.FILE else SWAP_UUID}"

    def partitions(self):
        """The partitions in disk order, by name."""
        wanted = [("bios", 1, _TYPE_BIOS_GRUB), ("esp", 96 if self.boot is Boot.ESP else 40, _TYPE_ESP)]
        if self.boot_partition == "boot":
            wanted.append(("boot", 160 if self.boot is Boot.BTRFS else 96, _TYPE_LINUX))
        if self.boot is Boot.RAID:
            wanted.append(("boot2", 96, _TYPE_LINUX))
        root_mib = 128 + (self.swap_mib if self.swap is Swap.FILE else 0)
        wanted.append(("root", root_mib, _TYPE_LINUX))
        if self.swap is Swap.PARTITION:
            wanted.append(("swap", self.swap_mib, _TYPE_SWAP))
        if self.second_swap:
            wanted.append(("swap2", 64, _TYPE_SWAP))
        result, start = {}, MIB
        for number, (name, mib, kind) in enumerate(wanted, 1):
            partuuid = SWAP_PARTUUID if name == "swap" else f"9a270000-1111-4222-8333-4444555566{number:02x}"
            result[name] = Partition(name, number, start, mib * MIB, kind, partuuid)
            start += mib * MIB
        return result

    @property
    def size(self):
        last = list(self.partitions().values())[-1]
        return last.start + last.size + MIB  # room for the backup partition table

    def locate(self, path):
        """The partition that an absolute path of the guest is on, and the path within it."""
        if path.startswith("/boot/efi/") and self.boot is not Boot.ESP:
            return "esp", path.removeprefix("/boot/efi")
        if path.startswith("/boot/") and self.boot is not Boot.ROOT:
            return self.boot_partition, path.removeprefix("/boot")
        return "root", path

    @property
    def boot_partition(self):
        return {Boot.ROOT: "root", Boot.ESP: "esp"}.get(self.boot, "boot")

    def fstab(self):
        lines = [f"UUID={ROOT_UUID} / ext4 defaults 0 1"]
        if self.boot_partition == "boot":
            lines.append(f"UUID={BOOT_UUID} /boot {'btrfs' if self.boot is Boot.BTRFS else 'ext4'} defaults 0 2")
        esp = "/boot" if self.boot is Boot.ESP else "/boot/efi"
        lines.append(f"UUID={ESP_UUID} {esp} vfat umask=0077 0 1")
        if self.swap is Swap.PARTITION:
            lines.append(f"UUID={SWAP_UUID} none swap sw 0 0")
        elif self.swap is Swap.FILE:
            lines.append(f"{SWAP_FILE} none swap sw 0 0")
        return "\n".join(lines) + "\n"
