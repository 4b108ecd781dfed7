# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The story of ./dev demo --debian: a Debian system as its installer leaves it, hibctl's packages, and nothing by hand
after that."""

from grub.nvram import MARK, Nvram
from vm import host, scenario
from vm.machine import Came

from . import base, hibctl
from .machine import DebianMachine, LoginSession, Overlay

ROUNDS = 3


def _install(story, machine):
    machine.run("mkdir -p /root/packages && tar -xf /dev/vdb -C /root/packages")
    story.command(machine, "ls /root/packages")
    story.tell("guest# apt-get install ./packages/*.deb")
    hibctl.install(machine)
    story.command(machine, "hibctl setup")
    story.command(machine, "hibctl check")
    story.command(machine, "hibctl status", check=False)


def _night(story, machine, session, picture):
    """Hibernates, switches on untouched, and looks whether it is the same session."""
    story.tell("guest# systemctl hibernate")
    machine.hibernate()
    story.tell("The machine is off. systemd has called hibctl, which has put into the firmware's memory:")
    story.quote(f"{MARK} = {Nvram(machine._nvram).get(MARK).decode()}")
    story.tell("Power on. From here on nobody touches a key.")
    machine.power_on(menu=True)
    machine.wait_menu(scenario.RESUME_TITLE)
    machine.screenshot(picture)
    story.tell(f"GRUB's menu ({picture}):")
    story.quote("\n".join(line.rstrip() for line in machine.console.screen().splitlines() if line.strip()))
    if machine.wait_guest() is not Came.RESUMED:
        raise machine._error("the machine booted afresh instead of resuming")
    before = session.count
    session.check()
    story.tell(f"The machine is back: the shell, process {session.pid}, still knows {session.secret}; what it started had "
               f"counted to {before} and is at {session.count}.")


def play(story, logs):
    scratch = host.Scratch()
    try:
        found = base.find()
        cargo = hibctl.pack(scratch.path / "packages.tar")
        with DebianMachine(Overlay(scratch.path / "disk.qcow2", found.disk), folder=logs, nvram=found.nvram,
                           cargo=cargo) as machine:
            story.tell(f"Power on: Debian 12, systemd, Linux {found.kernel}, UEFI, GRUB, /boot on ext4, a swap partition.")
            machine.boot()
            _install(story, machine)
            session = LoginSession(machine)
            story.tell(f"{base.USER} is logged in on the console, in a shell with process number {session.pid}. It has "
                       f"{session.secret} in a variable, and nowhere else.")
            for number in range(ROUNDS):
                _night(story, machine, session, logs / f"menu-{number + 1}.png")
            story.command(machine, "hibctl status", check=False)
            story.command(machine, "journalctl --boot --no-pager --output=short-iso --unit=systemd-hibernate.service")
            if machine.power_ons != 1 + ROUNDS:
                raise machine._error(f"{machine.power_ons} times switched on instead of {1 + ROUNDS}")
            machine.shut_down()
    finally:
        scratch.remove()
