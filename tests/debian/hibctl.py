# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""hibctl in a Debian system: its packages installed, set up as README.md says, and what it says of itself."""

import os
import tarfile
from pathlib import Path

from vm import host

from . import base
from .machine import DebianMachine, Overlay

_NEEDED = ("hibctl", "hibctl-grub-efi-amd64")


def packages():
    """The built packages that a machine with UEFI needs."""
    folder = Path(os.environ.get("HIBCTL_PACKAGES") or "/nonexistent")
    found = [path for path in sorted(folder.glob("*.deb")) if path.name.partition("_")[0] in _NEEDED]
    if not found:
        raise host.HostError("HIBCTL_PACKAGES does not name a folder with hibctl's packages; ./dev check makes them")
    return found


def pack(out):
    """Writes the packages into an archive, which the machine reads from a disk."""
    with tarfile.open(out, "w") as archive:
        for path in packages():
            archive.add(path, path.name)
    return out


# Every name on the root filesystem, and the contents of what configures it, without what packages' tools keep of their
# work. An initramfs that is made anew has other bytes.
_LIST = """\
{ find / -xdev -path /root -prune -o -path /home -prune -o -path /tmp -prune -o -path '/var/log' -prune -o \\
        -path '/var/lib/apt' -prune -o -path '/var/cache' -prune -o -path '/var/lib/dpkg' -prune -o \\
        -path /var/lib/systemd -prune -o -path '/var/tmp' -prune -o -print
  find /etc /boot -xdev -type f ! -name 'initrd.img-*' -exec sha256sum {} +
} | sort
"""


def install(machine):
    """Installs the packages; returns what was said."""
    machine.run(f"({_LIST}) >/root/before")
    machine.run("mkdir -p /root/packages && tar -xf /dev/vdb -C /root/packages")
    return machine.run("DEBIAN_FRONTEND=noninteractive apt-get install -q -y /root/packages/*.deb 2>&1", timeout=600).output


def set_up(machine):
    return machine.run("hibctl setup 2>&1", timeout=600).output


def make_installed(folder):
    """A system that runs, with hibctl installed and set up."""
    found = base.find()
    folder.mkdir(exist_ok=True)
    disk = Overlay(folder / "installed.qcow2", found.disk)
    cargo = pack(folder / "packages.tar")
    with DebianMachine(disk, folder=folder, nvram=found.nvram, cargo=cargo) as machine:
        machine.boot()
        install(machine)
        set_up(machine)
        return machine.freeze(folder)


def differences(machine):
    """Between the system as it is and as it was before hibctl was installed, as lines of diff."""
    result = machine.run(f"({_LIST}) >/root/now; diff /root/before /root/now", check=False)
    return result.output


def journal(machine):
    """What the journal has of this boot, the messages alone."""
    return machine.run("journalctl --boot --no-pager --output=cat").output
