# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Makes a situation: two disks, their filesystems mounted as a running system has them, and the firmware's variables.
Asks the tool what it foresees, and starts the very same disks."""

import contextlib
import functools
import json
import os
import re
import shutil
import struct
import time
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

from cli import firmware as efivars
from cli import rig as host

from . import marks, nvram, rig, scripts
from .marks import Mark
from .rig import MIB

PAGE = 4096
OLD, NEW, GONE = "6.1.0-56-amd64", "6.5.0-2-amd64", "5.10.0-0-amd64"
AREA_SIZE = MIB + 2 * PAGE  # a large page across its end still begins with a whole small one
FILE_SIZE = 256 * 1024
FAR_SIZE = 4 * MIB + 2 * PAGE
PAGE_SIZES = {"16k": 4 * PAGE, "16k over 4k": 4 * PAGE, "64k": 16 * PAGE, "across the end": 16 * PAGE}  # as marked
BOOT_PART, AREA_PART = 2, 3  # of the first disk
ORPHAN_PART, FAR_PART, TWIN_PART = 1, 2, 3  # of the second one
FILESYSTEMS = {"ext2": ("mkfs.ext2", "-q", "-U"), "ext4": ("mkfs.ext4", "-q", "-U"), "xfs": ("mkfs.xfs", "-q", "-m"),
               "btrfs": ("mkfs.btrfs", "-q", "-U")}
SIZES = {"xfs": 304 * MIB, "btrfs": 120 * MIB}
GRUB_FS = {"ext2": "ext2", "ext4": "ext2", "xfs": "xfs", "btrfs": "btrfs"}
MODULES = {"bios": rig.PLATFORM, "efi": rig.EfiDisk.PLATFORM}

PATIENCE = 60  # seconds


def new_uuid():
    return str(uuid.uuid4())


# ---- files with holes ----


def pieces(path):
    """What is in a file: (offset, bytes), without its holes."""
    found, at = [], 0
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while at < end:
            try:
                start = file.seek(at, os.SEEK_DATA)
            except OSError:
                break
            at = file.seek(start, os.SEEK_HOLE)
            file.seek(start)
            found.append((start, file.read(at - start)))
    return found


def put_pieces(path, what, base=0):
    with open(path, "r+b") as file:
        for offset, data in what:
            file.seek(base + offset)
            file.write(data)


def pages(path):
    """What is in a file, by page; pages of zeros are left out."""
    found = {}
    for start, data in pieces(path):
        for at in range(0, len(data), PAGE):
            page = data[at : at + PAGE]
            if page.count(0) != len(page):
                found[start + at] = page
    return found


def changes(before, after):
    """Where two files differ, as pages() returned them: (offset of the first byte, old bytes, new bytes) per page."""
    out = []
    for at in sorted(before.keys() | after.keys()):
        old, new = before.get(at, bytes(PAGE)), after.get(at, bytes(PAGE))
        if old != new:
            differ = [i for i, (a, b) in enumerate(zip(old, new)) if a != b]
            first, last = differ[0], differ[-1] + 1
            out.append((at + first, old[first:last], new[first:last]))
    return out


# ---- disks ----


def partition(path, label, label_id, parts):
    """Makes a disk with PARTS (type, bytes, UUID or None), and returns where each begins, in bytes."""
    at, lines, offsets = MIB, [f"label: {label.removeprefix('ms')}", f"label-id: {label_id}", "unit: sectors"], []
    for kind, size, ident in parts:
        kind = rig.GPT_TYPES[kind] if label == "gpt" else {"swap": "82"}.get(kind, "83")
        lines.append(f"start={at // 512}, size={size // 512}, type={kind}" + (f", uuid={ident}" if ident else ""))
        offsets.append(at)
        at += -(-size // MIB) * MIB
    with open(path, "wb") as file:
        file.truncate(at + MIB)
    rig.run("sfdisk", "-q", "--no-reread", path, input="\n".join(lines).encode())
    return offsets


@dataclass
class Disk:
    """A disk as it is before a situation is put on it."""

    label: str
    label_id: str
    offsets: list
    uuids: list  # of its partitions; GPT only
    image: Path

    def part_uuid(self, number):
        return self.uuids[number - 1] if self.label == "gpt" else f"{self.label_id[2:]}-{number:02x}"

    def part_name(self, number):
        return f"{self.label}{number}"


class Workshop:
    """What all situations of one process have in common. The names of its filesystems and areas are its own: the tool
    sees every device of this computer, and another process may be at work."""

    def __init__(self, scratch, tool, module, kernel):
        self.scratch, self.tool, self.module, self.kernel = scratch, tool, module, kernel
        self.path = scratch.folder("templates")
        self.area, self.orphan, self.inside, self.far, self.nowhere = (new_uuid() for _ in range(5))
        self.fs_uuids = {}

    # One filesystem with GRUB on it, made by mounting it.

    @contextlib.contextmanager
    def mounted(self, image):
        folder = self.path / "mnt"
        folder.mkdir(exist_ok=True)
        device = self.scratch.loop(image)
        self.scratch.mount(device, folder)
        try:
            yield folder
        finally:
            release(device, folder)
            self.scratch.detach(device)

    def make_fs(self, kind, image, size, ident):
        with image.open("wb") as file:
            file.truncate(size)
        argv = FILESYSTEMS[kind]
        host.run(*argv, f"uuid={ident}" if kind == "xfs" else ident, image)

    @functools.cache
    def boot_fs(self, kind, prefix, firmware):
        """Pieces of a filesystem with GRUB's modules in its folder PREFIX; its UUID, and its size."""
        ident = self.fs_uuids.setdefault(kind, new_uuid())
        image = self.path / f"{kind}{prefix.replace('/', '-')}.{firmware}"
        size = SIZES.get(kind, 16 * MIB)
        self.make_fs(kind, image, size, ident)
        platform = MODULES[firmware]
        with self.mounted(image) as folder:
            target = folder / prefix.strip("/") / platform
            target.mkdir(parents=True)
            for path, source in rig.grub_files(self.module(platform), platform).items():
                shutil.copyfile(source, target / Path(path).name)
        return self.compact(image), ident, size

    def compact(self, image):
        what = [(at, page) for at, page in pages(image).items()]
        image.unlink()
        return what

    @functools.cache
    def far_fs(self):
        """Pieces of a filesystem with a swap file and a kernel, and where in it the file's area begins."""
        image = self.path / "far"
        pattern = os.urandom(FILE_SIZE)
        self.make_fs("ext4", image, FAR_SIZE, self.far)
        with self.mounted(image) as folder:
            (folder / "swapfile").write_bytes(pattern)
            self.put_kernels(folder, "far", "")
        data = image.read_bytes()
        at = -(-data.index(pattern) // 65536) * 65536
        return self.compact(image), at

    def put_kernels(self, folder, where, prefix):
        """Two kernels, with ramdisks that say what they are."""
        for release in (OLD, NEW):
            (folder / f"vmlinuz-{release}").write_bytes(self.kernel)
            (folder / f"initrd.img-{release}").write_bytes(ramdisk(where, f"{prefix}/initrd.img-{release}"))

    # Two disks.

    @functools.cache
    def core(self, firmware, label, fs, prefix):
        modules = ["part_gpt", "part_msdos", GRUB_FS[fs], "normal", "configfile"]
        prefix = f"(hd0,{label}{BOOT_PART}){prefix}"
        if firmware == "bios":
            return rig.make_core(self.path, ["biosdisk", *modules], prefix)
        core, platform = self.path / "core.efi", MODULES["efi"]
        rig.run("grub-mkimage", "-d", rig.GRUB_LIB / platform, "-O", platform, "-p", prefix, "-o", core, *modules)
        return core.read_bytes()

    @functools.cache
    def first_disk(self, firmware, label, fs, prefix):
        what, _, size = self.boot_fs(fs, prefix, firmware)
        image = self.path / f"first.{firmware}.{label}.{fs}{prefix.replace('/', '-')}"
        uuids = [new_uuid() if label == "gpt" else None for _ in range(3)]
        label_id = new_uuid() if label == "gpt" else f"0x{new_uuid()[:8]}"
        kind, start = ("bios", MIB) if firmware == "bios" else ("esp", 4 * MIB)
        offsets = partition(image, label, label_id,
                            [(kind, start, uuids[0]), ("linux", size, uuids[1]), ("swap", AREA_SIZE, uuids[2])])
        core = self.core(firmware, label, fs, prefix)
        if firmware == "bios":
            rig.install_boot_sector(image, core)
        else:
            (self.path / "core.efi").write_bytes(core)
            esp = rig.fat(self.path, {"/EFI/BOOT/BOOTX64.EFI": self.path / "core.efi"}, start, new_fat_id())
            put_pieces(image, [(offsets[0], esp)])
        put_pieces(image, what, offsets[1])
        return Disk(label, label_id, offsets, uuids, self.compacted(image))

    @functools.cache
    def second_disk(self, label):
        image = self.path / f"second.{label}"
        uuids = [new_uuid() if label == "gpt" else None for _ in range(3)]
        label_id = new_uuid() if label == "gpt" else f"0x{new_uuid()[:8]}"
        offsets = partition(image, label, label_id, [
            ("swap", MIB, uuids[0]), ("linux", FAR_SIZE, uuids[1]), ("linux", FAR_SIZE, uuids[2])])
        put_pieces(image, self.far_fs()[0], offsets[FAR_PART - 1])
        return Disk(label, label_id, offsets, uuids, self.compacted(image))

    @staticmethod
    def compacted(image):
        rig.run("cp", "--sparse=always", image, f"{image}.compact")
        return Path(f"{image}.compact")


def new_fat_id():
    ident = new_uuid().upper()
    return f"{ident[:4]}-{ident[4:8]}"


def ramdisk(where, path):
    return f"ramdisk {where}:{path}".encode() + b"\0"


# ---- one situation ----


@dataclass
class Area:
    """A swap area: how a mark or grub.cfg names it, and where its bytes are."""

    tag: str
    offset: int = 0
    page_size: int = PAGE


@dataclass
class Foreseen:
    """What the tool said."""

    verdict: str
    reason: str
    source: str
    claim: dict  # image, offset, kernel, initrd, filesystem; None where nothing decided
    everything: dict

    def __str__(self):
        return f"{self.verdict}, {self.reason}, by {self.source}"


@dataclass
class Seen:
    """What GRUB did."""

    verdict: str  # of the module
    reason: str
    path: str  # "module" or "plain"
    started: tuple  # command line and ramdisk of the kernel that was started; None if there was none
    offered: bool  # the menu has the entry that resumes
    first: bool  # that entry is the chosen one
    text: str

    def __str__(self):
        offered = "offered" if self.offered else "not offered"
        return f"{self.verdict}, {self.reason}, by {self.path}; resuming {offered}; started: {self.started}"


class Machine:
    """A situation on disks."""

    def __init__(self, workshop, situation):
        self.shop, self.s = workshop, situation
        self.path = workshop.scratch.folder(f"situation-{situation.number}")
        self.root = self.path / "root"
        self.folder = "/boot" if situation.layout == "root" else ""
        self.prefix = f"{self.folder}/grub"
        self.first = workshop.first_disk(situation.firmware, situation.label, situation.fs, self.prefix)
        self.second = workshop.second_disk("msdos" if situation.label == "gpt" else "gpt")
        self.disks = [self.path / "first.img", self.path / "second.img"]
        for disk, image in zip((self.first, self.second), self.disks):
            rig.run("cp", "--sparse=always", disk.image, image)
        self.fs_uuid = workshop.fs_uuids[situation.fs]
        self.target = self.target_area()
        self.vars = {}  # of the firmware
        self.put_areas()
        if situation.firmware == "efi":
            self.flash = rig.Ovmf(self.path)
            self.efivars = workshop.scratch.folder(f"efivars-{situation.number}")
            self.put_variables()
        for tree in ("etc", "run", "proc", "sys/power", "boot"):
            (self.root / tree).mkdir(parents=True, exist_ok=True)
        with self.attached(writable=True), self.mounted(writable=True):
            self.put_files()

    # areas

    def target_place(self):
        """Disk and byte where the area begins that the situation is about."""
        if self.s.named == "file":
            return self.disks[1], self.second.offsets[FAR_PART - 1] + self.shop.far_fs()[1]
        return self.disks[0], self.first.offsets[AREA_PART - 1]

    def target_area(self):
        """As the mark names it."""
        page = PAGE_SIZES.get(self.s.image, PAGE)
        names = {"uuid": f"UUID={self.shop.area}", "file": f"UUID={self.shop.far}",
                 "partuuid": f"PARTUUID={self.first.part_uuid(AREA_PART)}"}
        offset = self.shop.far_fs()[1] // page if self.s.named == "file" else 0
        if self.s.image == "beyond":
            offset = (FAR_SIZE if self.s.named == "file" else AREA_SIZE) // PAGE
        if self.s.image == "across the end":
            offset = (FAR_SIZE if self.s.named == "file" else AREA_SIZE) // page
        tag = names[self.s.named]
        if self.s.image == "no device":
            tag = f"{tag.partition('=')[0]}={self.shop.nowhere}"
        return Area(tag, offset, page)

    def other_name(self):
        """The same area, by the other one of its names."""
        tag = {"uuid": f"PARTUUID={self.first.part_uuid(AREA_PART)}", "partuuid": f"UUID={self.shop.area}",
               "file": f"PARTUUID={self.second.part_uuid(FAR_PART)}"}[self.s.named]
        return Area(tag, self.target.offset, self.target.page_size)

    def orphan_area(self):
        return Area(f"UUID={self.shop.orphan}")

    def configured_area(self):
        """What grub.cfg names."""
        here = self.target
        return {"same": here, "other name": self.other_name(), "none": None, "orphan": self.orphan_area(),
                "another": self.orphan_area(), "gone": Area(f"UUID={self.shop.nowhere}"),
                "other offset": Area(here.tag, here.offset + 1, here.page_size)}[self.s.configured]

    def content(self):
        """The bytes of the area."""
        in_file = self.s.named == "file"
        ident, size = (self.shop.inside, FILE_SIZE // 2) if in_file else (self.shop.area, AREA_SIZE)
        kind = self.s.image
        if kind == "zeros":
            return bytes(size)
        if kind == "swap":
            return marks.swap_area(ident, size)
        if kind == "uswsusp":
            return marks.swap_area(ident, size, b"ULSUSPEND", b"SWAPSPACE2")
        page = 16 * PAGE if kind == "64k, said 4k" else PAGE_SIZES.get(kind, PAGE)
        area = bytearray(marks.image_area(ident, size // page * page, page))
        if kind == "16k over 4k":  # what a kernel with smaller pages has left
            area[PAGE - 10 : PAGE] = b"SWAPSPACE2"
        return bytes(area)

    def put_areas(self):
        place, at = self.target_place()
        content = bytearray(self.content())
        if kind := self.bits():
            content[: len(kind)] = kind
        put_pieces(place, [(at, bytes(content))])
        if self.s.image == "across the end":
            part = self.second.offsets[FAR_PART - 1] if self.s.named == "file" else at
            put_pieces(place, [(part + self.target.offset * self.target.page_size,
                                marks.image_area(self.shop.inside, PAGE))])
        orphan = marks.image_area if self.s.configured == "orphan" else marks.swap_area
        put_pieces(self.disks[1], [(self.second.offsets[ORPHAN_PART - 1], orphan(self.shop.orphan, MIB))])
        twin = self.second.offsets[TWIN_PART - 1]
        if self.s.kernels == "other fs, twice" or (self.s.image == "twice" and self.s.named == "file"):
            put_pieces(self.disks[1], self.shop.far_fs()[0], twin)
        elif self.s.image == "twice":
            put_pieces(self.disks[1], [(twin, bytes(content))])

    # marks

    def mark(self, state="armed", area=None, **fields):
        area = area or self.target
        fs, folder = self.fs_uuid, self.folder
        if self.s.kernels.startswith("other fs"):
            fs, folder = self.shop.far, ""
        elif self.s.kernels == "fs gone":
            fs = self.shop.nowhere
        kernel = {"kernel gone": f"vmlinuz-{GONE}", "kernel is a folder": "a-folder", "symlink": "link",
                  "absolute symlink": "absolute-link"}.get(self.s.kernels, f"vmlinuz-{OLD}")
        initrd = {"initrd gone": f"{folder}/initrd.img-{GONE}", "no initrd": "-"}.get(
            self.s.kernels, f"{folder}/initrd.img-{OLD}")
        given = {"kernel": f"{folder}/{kernel}", "initrd": initrd, "release": OLD, "verify": self.s.verify,
                 "offset": area.offset, "page_size": area.page_size} | fields
        return Mark(area.tag, fs, state, **given).text()

    def text(self, area=None):
        """The text of the mark in its state; None where the block is to be something else."""
        good = self.mark("taken" if self.s.state == "taken" else "armed", area)
        return {
            "reserved": marks.empty(), "leftover": self.mark("none"), "checksum": good[:60] + b"~" + good[61:],
            "future": marks.seal(b"hib2" + good[4:]), "short": good[:-1], "long": good + b" ", "empty": b"",
        }.get(self.s.state, good)

    def block(self, area=None):
        """An environment block with the mark in its state."""
        text = self.text(area)
        if self.s.state == "duplicate":
            return marks.env_block(("hib_mark", text), ("hib_mark", text))
        if self.s.state == "straddles":
            return marks.env_block(("saved_entry", b"b" * 200), ("hib_mark", text))
        if self.s.state == "no block":
            return b"not a block".ljust(1024, b"x")
        return marks.slot(text, ("saved_entry", b"x"))

    def env(self):
        spent = self.mark("taken", Area(f"UUID={self.shop.orphan}"))
        broken = self.mark()
        return {
            "env": self.block, "env and bits": self.block, "env, bits taken": self.block, "env and efi": self.block,
            "spent env, bits": lambda: marks.slot(spent), "spent env, systemd": lambda: marks.slot(spent),
            "broken env, bits": lambda: marks.slot(broken[:100] + b"~" + broken[101:]),
            "stale env, bits": lambda: marks.slot(self.mark(area=self.orphan_area())),
            "stale env, efi": lambda: marks.slot(self.mark(area=self.orphan_area())),
            "hint taken in env, bits": lambda: marks.slot(
                self.mark("taken", Area(f"UUID={self.shop.nowhere}"), verify="hint")),
            "none": lambda: None if self.s.state == "empty" else marks.env_block(("saved_entry", b"x")),
        }.get(self.s.store, lambda: marks.slot(marks.empty()))()

    def bits(self):
        if self.s.store in ("bits", "bits, systemd") or self.s.store.endswith(" bits"):
            return self.block()
        if "bits taken" in self.s.store:
            return marks.slot(self.mark("taken"))
        return b""

    # firmware

    def put_variables(self):
        store, state = self.s.store, self.s.state
        if "efi" in store.replace("efi stale", "").replace("efi broken", ""):
            self.vars[nvram.MARK] = self.text()
        if "efi stale" in store:
            self.vars[nvram.MARK] = self.mark(area=self.orphan_area())
        if "efi broken" in store:
            self.vars[nvram.MARK] = self.mark()[:-1]
        if "systemd" in store:
            self.vars[nvram.LOCATION] = self.location()
            if state == "taken":
                page = self.first_page()
                self.vars[nvram.TRIED] = b"%08x" % zlib.crc32(page, zlib.crc32(self.vars[nvram.LOCATION]))
        for name, data in self.vars.items():
            self.flash.nvram.put(name, data)

    def location(self):
        """systemd's variable, about the same image."""
        tag, state = self.target.tag, self.s.state
        release = {"kernel gone": GONE, "no initrd": None}.get(self.s.kernels, OLD)
        fields = {"uuid": tag.partition("=")[2], "offset": self.target.offset, "kernelVersion": release}
        if state == "leftover":
            del fields["kernelVersion"]
        if state == "future":
            del fields["offset"]
        text = json.dumps({name: value for name, value in fields.items() if value is not None})
        data = (text + "\0").encode("utf-16-le")
        return {"checksum": data[1:], "short": data[: len(data) // 4 * 2], "long": data + b" \0" * 3000, "empty": b"",
                "reserved": b"\0\0"}.get(state, data)

    def first_page(self):
        place, at = self.target_place()
        with open(place, "rb") as file:
            file.seek(at)
            return file.read(PAGE)

    def show_variables(self):
        """The folder that the tool takes for efivarfs, as the firmware has it now."""
        shutil.rmtree(self.efivars)
        self.efivars.mkdir()
        for variable in self.flash.nvram.variables():
            data = struct.pack("<I", variable.attributes) + variable.data
            (self.efivars / f"{variable.name}-{variable.owner}").write_bytes(data)

    def variables(self):
        if self.s.firmware == "bios":
            return {}
        now = self.flash.nvram
        return {name: now.get(name) for name in nvram.OWNERS}

    # files

    def put_files(self):
        boot = self.root / "boot"
        self.shop.put_kernels(boot, "boot", self.folder)
        (boot / "vmlinuz").write_bytes(self.shop.kernel)
        (boot / "a-folder").mkdir()
        (boot / "link").symlink_to(f"vmlinuz-{OLD}")
        (boot / "absolute-link").symlink_to(f"{self.folder}/vmlinuz-{OLD}")
        if self.s.module == "missing":
            (boot / "grub" / MODULES[self.s.firmware] / "hibresume.mod").unlink()
        (boot / "grub/grub.cfg").write_text(self.grub_cfg())
        if (env := self.env()) is not None:
            (boot / "grub/grubenv").write_bytes(env)
        if self.s.layout != "root":
            fstab = f"UUID={self.fs_uuid} /boot {self.s.fs} defaults 0 2\n"
            (self.root / "etc/fstab").write_text(fstab)

    def grub_cfg(self):
        """By the scripts of grub.d, and an administrator's line that says what they found out."""
        area = self.configured_area()
        release = GONE if self.s.kernels == "configured gone" else NEW
        initrd = None if self.s.kernels == "no initrd" else f"{self.folder}/initrd.img-{release}"
        text = grub_d(self.shop.path, area.tag if area else "none", area.offset if area else 0,
                      area.page_size if area else PAGE, f"{self.folder}/vmlinuz-{release}", initrd, self.fs_uuid,
                      self.folder)
        return text + '\necho "SAID|$hib_path|$hib_verdict|$hib_reason|"\n'

    # the computer at work

    @contextlib.contextmanager
    def attached(self, writable=False):
        """The disks as block devices, with their partitions."""
        self.devices = []
        with contextlib.ExitStack() as undo:
            for image in self.disks:
                options = [] if writable else ["--read-only"]
                device = host.run("losetup", "--find", "--show", "--partscan", *options, image).stdout.decode().strip()
                undo.callback(self.shop.scratch.detach, device)
                undo.callback(drop_partitions, device)
                if not partitions_of(device):  # a kernel that knows no partition tables is told
                    host.run("partx", "--add", device)
                self.devices.append(device)
            yield

    @contextlib.contextmanager
    def mounted(self, writable=False):
        """As a running system has them. WRITABLE: all of them, whatever the situation says."""
        quiet = {"ext4": "ro,noload", "xfs": "ro,norecovery", "btrfs": "ro", "ext2": "ro"}
        wanted = []
        if writable or self.s.layout != "fstab":
            wanted.append((f"{self.devices[0]}p{BOOT_PART}", self.s.fs,
                           self.root if self.s.layout == "root" else self.root / "boot"))
        if not writable and self.s.kernels in ("other fs", "other fs, twice"):
            wanted.append((f"{self.devices[1]}p{FAR_PART}", "ext4", self.path / "mnt"))
        with contextlib.ExitStack() as undo:
            for device, kind, folder in wanted:
                folder.mkdir(exist_ok=True)
                host.run("mount", "-t", kind, "-o", "rw" if writable else quiet[kind], device, folder)
                undo.callback(release, device, folder)
            yield

    def foresee(self):
        """What the tool says of the next start, as this system is running."""
        env = {}
        if self.s.firmware == "efi":
            self.show_variables()
            env = {"LIBEFIVAR_OPS": "efivarfs", "EFIVARFS_PATH": f"{self.efivars}/"}
        with self.attached(), self.mounted():
            result = self.shop.tool("--json", "status", root=self.root, env=env)
        assert result.status in (0, 2), result
        said = result.json()
        source = said["source"]
        if source is None:
            claim = None
        elif source == "systemd":
            claim = said["systemd"]
            claim = {**claim, "image": f"UUID={claim['uuid']}", "filesystem": self.fs_uuid} if claim["uuid"] else None
        elif source == "configured":
            claim = said["configured"]
        else:
            claim = said["stores"][source]["mark"]
        return Foreseen(said["verdict"], said["reason"], source, claim, said)

    def content_now(self):
        return [pages(disk) for disk in self.disks]

    def start(self):
        """Switches the machine on, and touches no key."""
        if self.s.firmware == "efi":
            said = self.flash.boot(*self.disks)
        else:
            said = rig.boot(*self.disks)
        return look_at(said)


def partitions_of(device):
    name = os.path.basename(device)
    return [part.name.removeprefix(f"{name}p") for part in Path(f"/sys/block/{name}").glob(f"{name}p*")]


def drop_partitions(device):
    """The kernel would keep them for whoever gets the loop device next. One cannot go while it is open, and every tool
    that looks for a UUID on this computer opens it for a moment."""
    deadline = time.monotonic() + PATIENCE
    while left := partitions_of(device):
        assert time.monotonic() < deadline, f"{device}: cannot get rid of its partitions {left}"
        for number in left:
            host.run("delpart", device, number, check=False)


def release(device, folder):
    """Unmounts for good: a process with a mount namespace of its own may hold a copy for a moment, as the tool does."""
    host.unmount(folder)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
            return
        except OSError:
            assert time.monotonic() < deadline, f"{device} is still in use"
            time.sleep(0.01)


@functools.cache
def grub_d(folder, tag, offset, page_size, kernel, initrd, fs_uuid, boot):
    """The whole grub.cfg; making it takes as long as a start of GRUB."""
    entries = scripts.ENTRIES.replace("/boot/vmlinuz", f"{boot}/vmlinuz")
    return scripts.grub_cfg(folder, entries=entries, GRUB_HIBCTL_RESUME=tag, GRUB_HIBCTL_RESUME_OFFSET=str(offset),
                            GRUB_HIBCTL_PAGE_SIZE=str(page_size), GRUB_HIBCTL_KERNEL=kernel, GRUB_HIBCTL_INITRD=initrd,
                            GRUB_HIBCTL_FS=fs_uuid)


def look_at(text):
    """Reads a start of GRUB off the serial line."""
    found = re.search(r"SAID\|(\w*)\|(\w*)\|([\w-]*)\|", text)
    assert found, f"grub.cfg was not read to its end:\n{text}"
    path, verdict, reason = found.groups()
    started = re.search(r"KERNEL\[(.*?)\] RAMDISK\[(.*?)\]", text)
    menu = re.sub(r"[|\s]+", " ", text[found.end() :])
    return Seen(verdict, reason, path, started.groups() if started else None,
                "Resume the hibernated session" in menu, "*Resume the hibernated session" in menu, text)
