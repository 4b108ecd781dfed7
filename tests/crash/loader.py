# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The boot loader's own write: GRUB takes the mark, in a virtual machine whose disk is recorded.

The filesystem is a disk without partitions; GRUB itself, its configuration and the module come from another one."""

from cli import envblock, rig
from grub import marks
from grub import rig as grub

from . import lab, recording
from .judging import copy_sparse
from .writers import OTHERS

IMAGE = "aaaaaaaa-0000-4000-8000-000000000001"
BOOTBITS, FAT16, FAT32 = "boot bits", "vfat16", "vfat32"
FAT_UUID = "1234-ABCD"
FAT = {FAT16: (16, "-F", "16", "-s", "8"), FAT32: (40, "-F", "32", "-s", "1")}  # MiB; clusters of 4 KiB, and of a sector
RAMDISK = b"the right ramdisk\0"


def armed(fs_uuid):
    return marks.Mark(f"UUID={IMAGE}", fs_uuid)


def block(fs_uuid):
    return marks.slot(armed(fs_uuid).text(), *((name.decode(), value) for name, value in OTHERS))


class Loader:
    """What stays the same for all filesystems."""

    def __init__(self, folder):
        self.folder = folder
        self.kernel = grub.dummy_kernel(folder)
        self.swap = folder / "swap.img"
        self.swap.write_bytes(marks.image_area(IMAGE, grub.MIB))
        self.module = grub.module_under_test(folder)

    def files(self, fs_uuid):
        return {"boot/vmlinuz": self.kernel, "boot/initrd": RAMDISK, "boot/grub/grubenv": block(fs_uuid)}

    def make(self, scratch, kind):
        """A filesystem, without partitions, with an armed mark: (image, UUID, type)."""
        if kind in FAT:
            return self._make_fat(scratch, kind)
        fs = rig.Filesystem(scratch, kind)
        folder = scratch.folder("mounted")
        scratch.mount(fs.device, folder)
        for name, data in self.files(fs.uuid).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        rig.settle_filesystem(folder / "boot/grub/grubenv")
        rig.unmount(folder)
        scratch.detach(fs.device)
        return fs.image, fs.uuid, fs.type

    def _make_fat(self, scratch, kind):
        size, *words = FAT[kind]
        image = scratch.image("fs", size * rig.MIB)
        rig.run("mkfs.vfat", *words, "-i", FAT_UUID.replace("-", ""), image)
        tree = scratch.folder("tree")
        for name, data in self.files(FAT_UUID).items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(data)
        rig.run("mcopy", "-s", "-i", image, tree / "boot", "::")
        return image, FAT_UUID, "vfat"

    def boot(self, scratch, probe, *recorded):
        """GRUB resumes; the disks RECORDED, after the first, are (hd1), (hd2)... Returns what each was written."""
        config = "\n".join((grub.PRELUDE, "insmod hibresume", *("insmod xfs", "insmod fat"), f"hibresume probe {probe}",
                            "hibresume resume ro", "echo END", "halt"))
        folder = scratch.folder("loader")
        disk = grub.Disk(folder, grub.grub_files(self.module) | {"/boot/grub/grub.cfg": config.encode()})
        addresses, logs = [f"file={disk.path}"], []
        for number, image in enumerate(recorded):
            logs.append(folder / f"log{number}")
            logs[-1].touch()
            addresses.append("file.driver=blklogwrites,file.file.driver=file,file.log.driver=file,"
                             f"file.file.filename={image},file.log.filename={logs[-1]}")
        with grub.Boot(addresses, address="{}") as machine:
            said = machine.wait_end()
        assert "KERNEL[" in said, f"the kernel was not started:\n{said}"
        return [list(recording.read_log(log)) if log.stat().st_size else [] for log in logs]


def consume(loader, program, kind, limit, look=lambda outcome: None):
    """GRUB takes a mark on that kind of filesystem, or in boot bits."""
    scratch = rig.Scratch()
    try:
        if kind == BOOTBITS:
            recorded = _boot_bits(loader, scratch)
        else:
            recorded = _environment_block(loader, scratch, kind)
        outcome = lab.judge(program, scratch.path, lab.Cell(kind, "taken by GRUB"), recorded, limit)
        look(outcome)
        return outcome
    finally:
        scratch.close()


def _recorded(base, writes, old, new, grub_file, kernel):
    assert envblock.with_state(old, "taken") == new
    # GRUB orders no disk to write its cache out. So nothing is promised for the moment after its end.
    return lab.Recorded(base, writes, len(writes) + 1, old, new, grub_file, kernel)


def _environment_block(loader, scratch, kind):
    image, uuid, type_ = loader.make(scratch, kind)
    base = scratch.path / "base"
    copy_sparse(image, base)
    path = "/boot/grub/grubenv"
    writes, on_swap = loader.boot(scratch, f"--env (hd1){path}", image, loader.swap)
    assert not on_swap
    old, new = (rig.run("grub-fstest", disk, "cat", f"(loop0){path}").stdout for disk in (base, image))
    kernel = None if type_ == "vfat" else (type_, path)
    return _recorded(base, writes, old, new, f"(loop0){path}", kernel)


def _boot_bits(loader, scratch):
    image, uuid, _ = loader.make(scratch, "ext4")
    swap = scratch.image("swap", 0)
    swap.write_bytes(block(uuid) + loader.swap.read_bytes()[envblock.SIZE :])
    base = scratch.path / "base"
    copy_sparse(swap, base)
    area = f"--device UUID={IMAGE} --offset 0 --page-size 4096 --fs {uuid} --kernel /boot/vmlinuz --initrd /boot/initrd"
    on_fs, writes = loader.boot(scratch, area, image, swap)
    assert not on_fs
    old, new = (disk.read_bytes()[: envblock.SIZE] for disk in (base, swap))
    return _recorded(base, writes, old, new, "(loop0)0+2", None)
