# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Disks that a power cut could leave while, or just after, another program changed GRUB's environment block: the defects
that docs/proof.md speaks of, for everybody to see. Each is a whole filesystem, and was kept by `./dev crash --keep'."""

import lzma
import shutil
from pathlib import Path

import pytest
from cli import envblock, rig

EXAMPLES = Path(__file__).with_name("examples")
READS_OLD = ("ext4-grub-reboot-old", "xfs-grub-editenv-old")
READS_NOTHING = ("ext4-grub-editenv-empty", "ext4-rename-empty")
CANNOT_READ = ("vfat32-grub-editenv-unreadable",)


@pytest.fixture
def grub_reads(tmp_path):
    def read(name):
        disk = tmp_path / "disk.img"
        with lzma.open(EXAMPLES / f"{name}.img.xz") as source, disk.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        folder = "/grub" if name in CANNOT_READ else "/boot/grub"
        return rig.run("grub-fstest", disk, "cat", f"(loop0){folder}/grubenv", check=False)

    return read


def test_all_are_looked_at():
    names = {path.name.removesuffix(".img.xz") for path in EXAMPLES.glob("*")}
    assert names == {*READS_OLD, *READS_NOTHING, *CANNOT_READ}


@pytest.mark.parametrize("name", READS_OLD)
def test_old_although_the_program_had_ended(grub_reads, name):
    done = grub_reads(name)
    names = {name for name, _ in envblock.variables(done.stdout)}
    assert done.returncode == 0 and b"hib_mark" not in names
    assert (b"next_entry", b"") in envblock.variables(done.stdout)


@pytest.mark.parametrize("name", READS_NOTHING)
def test_empty(grub_reads, name):
    done = grub_reads(name)
    assert done.returncode == 0 and done.stdout == b""


@pytest.mark.parametrize("name", CANNOT_READ)
def test_not_to_be_read(grub_reads, name):
    assert grub_reads(name).returncode != 0
