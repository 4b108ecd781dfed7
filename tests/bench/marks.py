# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Writing a mark: on a boot filesystem that is mounted, and on one that fstab names and that must be mounted first.

Each contender has a filesystem of its own, so that none pays for what another has left behind."""

import string
import time

from contest import Contender, Contest
from stage import Filesystem, Machine, make_kernel
from vm import host
from waiting import Wait

KINDS = ("ext2", "ext4", "xfs")
_SECTOR = 512

_EDITENV = 'grub-editenv "$1" set "hib_mark=$2" && sync -f "$1"'
MOUNT_EDITENV = 'mount "$1" "$2" && grub-editenv "$3" set "hib_mark=$4" && sync && umount "$2"'


def letter(number):
    """Something new to write in each round."""
    return string.ascii_letters[number % len(string.ascii_letters)]


def value(number):
    """As long as a mark."""
    return 400 * letter(number)


def contender(tools, name, fs, command, prepare=lambda: None):
    """COMMAND(number) is the argument vector for a round."""

    def measure(number):
        before = fs.device.counts()
        run = tools.stopwatch.time(command(number))
        run.sectors, run.flushes = (new - old for new, old in zip(fs.device.counts(), before, strict=True))
        run.grub_reads_it = fs.does_grub_read_it()
        return run

    return Contender(name, measure, prepare, lambda: tools.stopwatch.count_syscalls(command(-1)))


def add_wait(entered, tools, fs, command, written):
    """Lets it be waited for that GRUB reads what COMMAND(number) has written, which WRITTEN(number) is a part of."""

    def wait_for_grub(number):
        old, start = fs.seen_by_grub(), time.monotonic()
        tools.stopwatch.time(command(number))
        return Wait(start, lambda: (new := fs.seen_by_grub()) != old and written(number) in new)

    entered.wait_for_grub = wait_for_grub
    return entered


def finish_setup(hibctl, fs, options=""):
    """What setup and update-grub do for us."""
    host.run(*hibctl, "setup")
    fs.env_path.with_name("grub.cfg").write_text(f"hibresume probe{options}\n", encoding="ascii")


def mounted(kind, stack, scratch, tools):
    """The boot filesystem is mounted, as on most machines."""

    def enter(name, command, written, mount_point=None):
        fs = Filesystem(stack, scratch, kind, mount_point)
        entered = contender(tools, name, fs, lambda number: command(fs, number), fs.quiesce)
        return fs, add_wait(entered, tools, fs, lambda number: command(fs, number), written)

    def sector(n):
        return _SECTOR * letter(n).encode()

    def variable(n):
        return f"\nhib_mark={value(n)}\n".encode()

    machine = Machine(stack, scratch)
    hibctl = [tools.hibctl, "--quiet", f"--root={machine.root}"]
    fs, ours = enter("hibctl mark", lambda fs, n: [*hibctl, "mark"], lambda n: b" armed ", machine.boot)
    make_kernel(machine.boot)
    finish_setup(hibctl, fs)
    fs.make_old()

    pwrite = tools.floor_pwrite
    _, floor = enter("pwrite, fdatasync", lambda fs, n: [pwrite, fs.env_path, letter(n)], sector)
    peers = [enter("pwrite, fdatasync, freeze, thaw", lambda fs, n: [pwrite, fs.env_path, letter(n), "freeze"], sector),
             enter("grub-reboot ID", lambda fs, n: ["grub-reboot", f"--boot-directory={fs.mount_point}", f"id-{n}"],
                   lambda n: f"\nnext_entry=id-{n}\n".encode()),
             enter("grub-editenv set", lambda fs, n: ["grub-editenv", fs.env_path, "set", f"hib_mark={value(n)}"],
                   variable),
             enter("grub-editenv set; sync -f", lambda fs, n: ["sh", "-c", _EDITENV, "sh", fs.env_path, value(n)],
                   variable)]
    return Contest(f"mark, {kind} mounted", ours, floor, [peer for _, peer in peers])


def unmounted(kind, stack, scratch, tools):
    """The filesystem of GRUB's folder is in fstab and not mounted. The kernel is in /boot, which is."""

    def enter(name, command, mount_point=None):
        fs = Filesystem(stack, scratch, kind, mount_point, env="grubenv")
        return fs, contender(tools, name, fs, lambda number: command(fs, number), fs.unmount)

    machine = Machine(stack, scratch)
    Filesystem(stack, scratch, "ext4", machine.boot)
    make_kernel(machine.boot)
    hibctl = [tools.hibctl, "--quiet", f"--root={machine.root}"]
    fs, ours = enter("hibctl mark", lambda fs, n: [*hibctl, "mark"], machine.boot / "grub")
    finish_setup(hibctl, fs)
    (machine.root / "etc/fstab").write_text(f"{fs.device.path} /boot/grub {kind} defaults 0 2\n", encoding="ascii")

    _, floor = enter("mount, pwrite, fdatasync, umount", lambda fs, n: [
        tools.floor_mount, fs.device.path, fs.mount_point, kind, fs.env_path, letter(n)])
    _, shell = enter("sh: mount, grub-editenv, sync, umount", lambda fs, n: [
        "sh", "-c", MOUNT_EDITENV, "sh", fs.device.path, fs.mount_point, fs.env_path, value(n)])
    return Contest(f"mark, {kind} unmounted", ours, floor, [shell])
