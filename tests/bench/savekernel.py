# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Writing a mark in a save kernel, by a plan: to the boot filesystem that the sleeping system has released, or, where
it is held, to the boot bits of the swap area.

The tool finds its devices by their UUIDs, checks the plan, the image's place and the filesystem, and proves what it has
written; the others are told the device and write. A mark that is there already is not written again, so there are two
plans, by turns."""

import itertools

from contest import Contender, Contest
from marks import MOUNT_EDITENV, contender, finish_setup, letter, value
from stage import Filesystem, Machine, Swap, make_kernel
from vm import envblock, host

KINDS = ("ext2", "ext4", "xfs")
_SECTOR = 512


def _make_machine(kind, stack, scratch, tools):
    """A machine whose grub.cfg looks into the boot bits too."""
    machine = Machine(stack, scratch)
    hibctl = [tools.hibctl, "--quiet", f"--root={machine.root}"]
    boot = Filesystem(stack, scratch, kind, machine.boot)
    make_kernel(machine.boot)
    finish_setup(hibctl, boot, f" --device 'UUID={machine.swap.uuid}' --offset 0 --page-size 4096")
    return machine, hibctl, boot


def _make_plans(scratch, hibctl, boot, *options):
    plans = [scratch.folder("plan") / "plan" for _ in range(2)]
    for plan in plans:
        boot.unmount()
        boot.mount()
        host.run(*hibctl, "prepare", f"--plan={plan}", *options)
    return itertools.cycle(plans)


def released(kind, stack, scratch, tools):
    """The boot filesystem is not mounted, and the plan says that the sleeping system has released it."""
    _, hibctl, boot = _make_machine(kind, stack, scratch, tools)
    plans = _make_plans(scratch, hibctl, boot, "--unmount")
    ours = contender(tools, "hibctl mark --plan", boot, lambda _number: [*hibctl, "mark", f"--plan={next(plans)}"],
                     boot.unmount)

    def enter(name, command):
        fs = Filesystem(stack, scratch, kind)
        return contender(tools, name, fs, lambda number: command(fs, number), fs.unmount)

    floor = enter("mount, pwrite, fdatasync, umount", lambda fs, n: [
        tools.floor_mount, fs.device.path, fs.mount_point, kind, fs.env_path, letter(n)])
    shell = enter("sh: mount, grub-editenv, sync, umount", lambda fs, n: [
        "sh", "-c", MOUNT_EDITENV, "sh", fs.device.path, fs.mount_point, fs.env_path, value(n)])
    return Contest(f"save kernel, {kind} released", ours, floor, [shell])


def _bits_contender(tools, name, swap, command, prepare=lambda: None):
    """COMMAND(number) is the argument vector for a round, and what has to be in the boot bits after it."""

    def measure(number):
        argv, wanted = command(number)
        before = swap.device.counts()
        run = tools.stopwatch.time(argv)
        run.sectors, run.flushes = (new - old for new, old in zip(swap.device.counts(), before, strict=True))
        run.grub_reads_it = wanted in host.run("grub-fstest", swap.image, "cat", "(loop0)0+2")
        return run

    return Contender(name, measure, prepare, lambda: tools.stopwatch.count_syscalls(command(-1)[0]))


def held(is_blank, stack, scratch, tools):
    """The boot filesystem stays mounted. IS_BLANK: nothing was ever in the boot bits, so their block is written too."""
    machine, hibctl, boot = _make_machine("ext4", stack, scratch, tools)
    plans = _make_plans(scratch, hibctl, boot)

    def ours(_number):
        plan = next(plans)
        mark = next(line for line in plan.read_bytes().splitlines() if line.startswith(b"mark "))
        return [*hibctl, "mark", f"--plan={plan}"], mark.removeprefix(b"mark ")

    def clear():
        with machine.swap.image.open("r+b") as file:
            file.write(bytes(envblock.SIZE))

    def pwrite(swap, number):
        return [tools.floor_pwrite, swap.device.path, letter(number)], _SECTOR * letter(number).encode()

    sector = scratch.folder("dd") / "sector"

    def dd(swap, number):
        data = _SECTOR * letter(number).encode()
        sector.write_bytes(data)
        return ["dd", f"if={sector}", f"of={swap.device.path}", "bs=512", "count=1", "oflag=direct",
                "conv=fsync,notrunc", "status=none"], data

    def enter(name, command):
        swap = Swap(stack, scratch)
        return _bits_contender(tools, name, swap, lambda number: command(swap, number))

    prepare = clear if is_blank else lambda: None
    return Contest("save kernel, blank boot bits" if is_blank else "save kernel, boot bits",
                   _bits_contender(tools, "hibctl mark --plan", machine.swap, ours, prepare),
                   enter("pwrite, fdatasync", pwrite), [enter("dd oflag=direct conv=fsync", dd)])
