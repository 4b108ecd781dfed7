# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Is it safe to mount? For the filesystems that the guest's kernel can mount and the host's may not.

The guest is its initramfs alone, and every filesystem a disk. The host copies the disks while the guest has them
mounted, frozen, unmounted, and at last without power, and asks the tool what it thinks of each copy. What the
filesystem's own checker says is the judge of those that were left in order.

HIBCTL_TEST_KERNEL  folder of another unpacked kernel package; Debian's kernel for clouds has no f2fs"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import guest, host
from .layout import MIB
from .machine import BareMachine

# What the filesystems ask for by another name than a dependency.
MODULES = ("crc32c_generic", "crc32_generic", "nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8")


@dataclass(frozen=True)
class Kind:
    """STATES: what is said of a copy in each state. "idle" is: mounted for writing, nothing changed;
    "changed": a file was fsynced; "synced": everything was; "frozen" is asked where it can be."""

    type: str
    module: str
    mib: int
    maker: tuple
    states: dict
    checker: tuple = ()  # exits with 0 if all is well


FLAG = {"idle": "marked-mounted", "changed": "marked-mounted", "synced": "marked-mounted", "crashed": "marked-mounted"}
LOG = {"idle": "clean", "changed": "needs-recovery", "frozen": "needs-recovery", "crashed": "needs-recovery"}
KINDS = {
    "fat12": Kind("vfat", "vfat", 8, ("mkfs.fat", "-F", "12"), FLAG, ("fsck.fat", "-n")),
    "fat16": Kind("vfat", "vfat", 32, ("mkfs.fat", "-F", "16"), FLAG, ("fsck.fat", "-n")),
    "fat32": Kind("vfat", "vfat", 64, ("mkfs.fat", "-F", "32"), FLAG, ("fsck.fat", "-n")),
    # Its flag is set with the first change, and gone after a sync.
    "exfat": Kind("exfat", "exfat", 32, ("mkfs.exfat",),
                  {"idle": "clean", "changed": "marked-mounted", "synced": "clean", "crashed": "marked-mounted"},
                  ("fsck.exfat", "-n")),
    # "crashed" comes after an unmount: its flag is still set, and only the nodes that were fsynced since then tell.
    "f2fs": Kind("f2fs", "f2fs", 100, ("mkfs.f2fs", "-q"),
                 {"idle": "clean", "changed": "marked-mounted", "frozen": "marked-mounted",
                  "crashed": "needs-recovery"}, ("fsck.f2fs", "--dry-run")),
    "xfs": Kind("xfs", "xfs", 320, ("mkfs.xfs", "-q"), LOG, ("xfs_repair", "-n")),
    "btrfs": Kind("btrfs", "btrfs", 120, ("mkfs.btrfs", "-q"),
                  {"idle": "clean", "changed": "needs-recovery", "frozen": "clean", "crashed": "needs-recovery"},
                  ("btrfs", "check", "--readonly")),
}


@pytest.fixture(scope="module")
def any_kernel(kernel):
    folder = os.environ.get("HIBCTL_TEST_KERNEL")
    return host.Kernel(Path(folder)) if folder else kernel


@pytest.fixture
def fs_state():
    tool = os.environ.get("HIBCTL")
    program = os.environ.get("HIBCTL_FS_STATE") or (tool and Path(tool).resolve().parents[1] / "tests/unit/fs-state")
    if not program or not Path(program).is_file():
        pytest.fail("HIBCTL_FS_STATE does not name tests/unit/fs-state, and it is not beside the tool under test")

    def ask(type_, path):
        done = subprocess.run([program, type_, path], capture_output=True, check=False)
        words = re.fullmatch(r"(\S+) (\S+): (.*)\n", done.stdout.decode())
        assert words and bool(words[3]) == (words[1] != "clean"), done
        return words[1]

    return ask


@pytest.mark.slow
def test_states(any_kernel, scratch, logs, fs_state):
    kinds = {name: kind for name, kind in KINDS.items() if any_kernel.modules(kind.module)}
    assert {"fat12", "fat16", "fat32", "exfat"} <= set(kinds)
    folder = scratch.folder("fsstate")
    disks = {name: folder / f"{name}.img" for name in kinds}
    for name, kind in kinds.items():
        with disks[name].open("xb") as file:
            file.truncate(kind.mib * MIB)
        host.run(*kind.maker, disks[name])
    initramfs = folder / "initramfs"
    guest.make_bare_initramfs(any_kernel, [*MODULES, *(kind.module for kind in kinds.values())], folder / "tree",
                              initramfs)
    said, wanted = {}, {}

    def look(state):
        for name, kind in kinds.items():
            if state == "clean" or state in kind.states:
                wanted[name, state] = "clean" if state == "clean" else kind.states[state]
                said[name, state] = fs_state(kind.type, disks[name])

    with BareMachine(any_kernel, initramfs, disks.values(), logs) as machine:
        machine.boot()

        def each(command):
            for number, (name, kind) in enumerate(kinds.items()):
                machine.run(command.format(type=kind.type, dir=f"/mnt/{name}", device=f"/dev/vd{chr(97 + number)}",
                                           freezes="true" if "frozen" in kind.states else "false"))

        look("clean")
        each("mkdir -p {dir} && mount -t {type} {device} {dir}")
        look("idle")
        each("echo x >{dir}/a && mkdir {dir}/b && sync {dir}/a && echo y >{dir}/b/c && sync {dir}/b/c")
        look("changed")
        each("sync; if {freezes}; then fsfreeze --freeze {dir}; fi")
        look("synced")
        look("frozen")
        each("if {freezes}; then fsfreeze --unfreeze {dir}; fi; umount {dir}")
        look("clean")
        for name, kind in kinds.items():
            host.run(*kind.checker, disks[name])
        each("mount -t {type} {device} {dir} && for n in 1 2 3 4; do dd if=/dev/urandom of={dir}/n$n bs=5k count=1 "
             "conv=fsync 2>/dev/null; done")
        machine.cut_power()
    look("crashed")
    wrong = {key: value for key, value in said.items() if value != wanted[key]}
    assert not wrong, f"wanted {({key: wanted[key] for key in wrong})}, got {wrong}"
