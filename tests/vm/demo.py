# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A story: a virtual machine hibernates, is switched off, and comes back by itself through GRUB.

Run by ./dev demo. With --save-kernel another kernel marks for the sleeping system, whose filesystems it must not touch;
with --efi the mark goes into a variable of the firmware; with --debian a whole Debian hibernates, by systemctl.
Exit status 0 only if the same session came back."""

import argparse
import contextlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

from debian.story import play as on_debian
from grub.nvram import MARK, Nvram

from . import envblock, grubcfg, host, scenario
from .disk import DiskMaker, differing_sectors
from .layout import Boot, Layout
from .machine import Came, Firmware, Machine, Witness


class Story:
    """Prints what happens, with the seconds since the start."""

    def __init__(self):
        self.started = time.monotonic()
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.bold, self.plain = ("\033[1m", "\033[0m") if colour else ("", "")

    def tell(self, words):
        print(f"{self.bold}[{time.monotonic() - self.started:5.1f} s]{self.plain} {words}", flush=True)

    def quote(self, text):
        if not self.bold:
            text = re.sub("\x1b\\[[0-9;]*m", "", text)  # the guest cannot know that nobody wants colours here
        for line in text.rstrip().splitlines():
            print(f"            | {line}", flush=True)

    def command(self, machine, command, check=True):
        result = machine.run(command, check=check)
        self.tell(f"guest# {command}")
        self.quote(result.output)
        return result


def wake(story, machine, first_words):
    """The first boot, with a witness of the session; returns that and GRUB's block as it is when nothing is marked."""
    story.tell(f"Power on. {first_words}")
    machine.boot()
    story.tell(f"A stock Debian kernel ({machine.disk.kernel.release}) is up, through {machine.firmware.value} and GRUB.")
    story.command(machine, "hibctl setup --modules=/usr/lib/hibctl", check=False)
    block = machine.disk.grubenv()
    witness = Witness(machine)
    story.tell(f"A process holds the secret {witness.secret} in its memory, and nowhere else. It has counted to "
               f"{witness.count}.")
    machine.run("suspend-to-disk --prepare")  # as systemd does: tells the kernel where the image goes
    return witness, block


def fall_asleep(story, machine):
    witness, block = wake(story, machine, "The disk has nothing of ours in GRUB's environment block yet.")
    story.command(machine, "hibctl mark --store=env")
    story.tell("What GRUB itself now reads from the disk, without any journal:")
    story.quote(f"hib_mark={envblock.mark_text(machine.disk.grubenv()).decode()}")
    story.tell("Hibernating: the kernel writes the machine's memory to the swap partition and switches off.")
    machine.hibernate()
    story.tell("The machine is off.")
    return witness, block


def fall_asleep_for_save_kernel(story, machine):
    witness, block = wake(story, machine, "/boot is a folder of the root filesystem here: whoever sleeps has it mounted.")
    story.tell("While everything can still be asked, the plan for the save kernel is made:")
    story.command(machine, "hibctl prepare --unmount")
    plan = machine.run("cat /run/hibctl/plan").output.encode()
    story.quote(plan.decode())
    story.tell("Hibernating: the kernel writes the machine's memory to the swap partition and switches off. Nothing is "
               "marked.")
    machine.hibernate()
    if not machine.disk.needs_recovery("root"):
        raise machine._error("the root filesystem looks unmounted")
    story.tell("The machine is off. The root filesystem's journal needs recovery: it is still mounted by what sleeps. A "
               "mount now, even a read-only one, would destroy the session.")
    return witness, block, plan + b"\n" * (not plan.endswith(b"\n"))


def mark_in_save_kernel(story, machine, direct):
    disk = machine.disk
    before = {name: disk.read_part(name) for name in disk.parts}
    story.tell("The save kernel: no fstab, no udev, and the plan in its initramfs.")
    with machine.awake_in(direct):
        story.command(machine, "hibctl locate --plan=/etc/hibctl/plan")
        story.tell("Forced to use the environment block, it refuses to mount:")
        if story.command(machine, "hibctl mark --plan=/etc/hibctl/plan --store=env", check=False).status != scenario.REFUSED:
            raise machine._error("a held boot filesystem was not refused")
        story.tell("It writes into the boot bits of the image's own swap area (left to choose, it would take an EFI "
                   "variable where there is UEFI):")
        story.command(machine, "hibctl mark --plan=/etc/hibctl/plan --store=bootbits")
        if "/dev/vda" in machine.run("cat /proc/mounts").output:
            raise machine._error("something of the sleeping system is mounted")
    story.tell("The machine is off again. Compared sector by sector with before:")
    changed = {name: differing_sectors(bytes_before, disk.read_part(name)) for name, bytes_before in before.items()}
    for name, sectors in changed.items():
        story.quote(f"{name:6} {'not one sector differs' if not sectors else 'sectors ' + str(sectors) + ' differ'}")
    if changed.pop("swap") != [0, 1] or any(changed.values()):
        raise machine._error("more than the boot bits was written")
    story.tell("What GRUB's own load_env reads at the start of the swap partition:")
    story.quote(f"hib_mark={envblock.mark_text(disk.boot_bits()).decode()}")


def come_back(story, machine, picture):
    story.tell("Power on. From here on nobody touches a key.")
    machine.power_on(menu=True)
    machine.wait_menu(scenario.RESUME_TITLE)
    machine.screenshot(picture)
    story.tell(f"GRUB looked at the mark, at the image's own header and at the kernel, and counts down ({picture}):")
    story.quote("\n".join(line.rstrip() for line in machine.console.screen().splitlines() if line.strip()))
    came = machine.wait_guest()
    if came is not Came.RESUMED:
        raise machine._error("the machine booted afresh instead of resuming")
    story.tell("The machine is back.")


def prove(story, machine, witness, block, power_ons):
    before = witness.count
    witness.check()
    story.tell(f"The process still tells the same secret and went on counting: {before}, now {witness.count}. It is the "
               "same session.")
    story.command(machine, "hibctl settle", check=False)
    story.command(machine, "hibctl status", check=False)
    if machine.disk.grubenv() != block:
        raise machine._error("GRUB's environment block is not what it was")
    story.tell("GRUB's environment block is byte for byte what it was before the mark.")
    if machine.power_ons != power_ons:
        raise machine._error(f"{machine.power_ons} times switched on instead of {power_ons}")


def one_kernel(story, maker, machine, logs):
    """As systemd hibernates: the kernel that runs writes the image, after the mark."""
    witness, block = fall_asleep(story, machine)
    come_back(story, machine, logs / "menu.png")
    prove(story, machine, witness, block, power_ons=2)


def save_kernel(story, maker, machine, logs):
    """Another kernel marks, after the image."""
    witness, block, plan = fall_asleep_for_save_kernel(story, machine)
    mark_in_save_kernel(story, machine, maker.save_kernel(plan))
    come_back(story, machine, logs / "menu.png")
    prove(story, machine, witness, block, power_ons=3)


def efi(story, maker, machine, logs):
    """Where GRUB cannot write, the firmware keeps the mark."""
    witness, block = wake(story, machine, "/boot is on btrfs here: GRUB can read it, but not write to it.")
    story.tell("Which store would take the mark, and why:")
    story.command(machine, "hibctl mark --dry-run")
    story.command(machine, "hibctl mark")
    story.tell("Hibernating: the kernel writes the machine's memory to the swap partition and switches off.")
    machine.hibernate()
    story.tell("The machine is off. In the firmware's flash memory there is now:")
    story.quote(f"{MARK} = {Nvram(machine._nvram).get(MARK).decode()}")
    come_back(story, machine, logs / "menu.png")
    if Nvram(machine._nvram).get(MARK) is not None:
        raise machine._error("the variable is still there")
    story.tell("GRUB has deleted the variable before it started the kernel: no second attempt can happen by itself.")
    prove(story, machine, witness, block, power_ons=2)


def play(story, plot, layout, firmware, logs):
    scratch = host.Scratch()
    with contextlib.ExitStack() as stack:
        stack.callback(scratch.remove)
        boot = {Boot.ROOT: "/ (ext4) with /boot in it", Boot.BTRFS: "/boot (btrfs), / (ext4)"}.get(
            layout.boot, "/boot (ext4), / (ext4)")
        story.tell(f"Making a disk: ESP, {boot}, swap; the distribution's GRUB; a stock Debian kernel.")
        maker = DiskMaker(scratch, host.Kernel(), host.tool_under_test(), host.modules_under_test(),
                          grubcfg.scripts_under_test())
        disk = maker.disk(layout)
        with Machine(disk, firmware, logs) as machine:
            plot(story, maker, machine, logs)
            machine.shut_down()


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description="A machine hibernates and comes back through GRUB.")
    parser.add_argument("--bios", action="store_true", help="with SeaBIOS instead of UEFI (OVMF)")
    parser.add_argument("--save-kernel", action="store_true", help="a save kernel marks, hands off what sleeps")
    parser.add_argument("--efi", action="store_true", help="the mark goes into an EFI variable, because /boot is on btrfs")
    parser.add_argument("--debian", action="store_true", help="Debian 12 with the packages, three times in a row")
    parser.add_argument("--logs", type=Path, default=Path("demo-logs"), help="folder for logs and the picture of the menu")
    options = parser.parse_args()
    logs = options.logs.absolute()
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    story = Story()
    plot, layout = one_kernel, Layout()
    if options.save_kernel:
        plot, layout = save_kernel, Layout(Boot.ROOT)
    elif options.efi:
        plot, layout = efi, Layout(Boot.BTRFS)
    try:
        if options.debian:
            on_debian(story, logs)
        else:
            play(story, plot, layout, Firmware.SEABIOS if options.bios else Firmware.OVMF, logs)
    except (AssertionError, host.HostError) as error:
        print(f"\n{error}", file=sys.stderr)
        print(f"\nThe session did not come back. Logs are in {logs}.", file=sys.stderr)
        return 1
    story.tell(f"Done: hibernated, switched off, came back by itself. Logs and the picture of the menu: {logs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
