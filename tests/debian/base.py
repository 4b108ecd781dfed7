# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Makes the disk of a Debian system that was never used: python3 -m debian.base --sources FOLDER KERNEL
NEWER_KERNEL

Packages are unpacked and set up on the host, where that is quick. The boot loader is installed as the installer does it,
by grub-install and update-grub in the system itself, which therefore is started once; so its boot entry stands in the
firmware's variables, which are kept beside the disk."""

import argparse
import dataclasses
import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from vm import guest, grubcfg, host
from vm.layout import ESP_UUID, MIB, ROOT_UUID, SWAP_UUID, Boot, Layout, Partition
from vm.disk import Disk, _write_partition_table, _write_swap_header
from vm.machine import Firmware

FOLDER = host.CACHE / "debian"
_ROOT = Path(__file__).resolve().parent / "root"
SUITE = "bookworm"
USER = "ada"

PACKAGES = (
    "systemd-sysv", "udev", "dbus", "libpam-systemd", "kmod", "e2fsprogs", "zstd", "procps", "less",
    "initramfs-tools", "efibootmgr",
    # what hibctl is linked with, and its packages depend on; there is no network in the machine
    "libblkid1", "libmount1", "libefivar1", "libjson-c5", "gettext-base",
)

# There to be installed from OFFLINE, with what they need. Only some tests do that.
LATER = ("dracut", "os-prober")
OFFLINE = "/root/offline"
NEWER_KERNEL = "/root/newer-kernel"

# Without what takes an emulated processor long and nobody here needs.
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
           "fstrim.timer", "getty@tty1.service", "systemd-pstore.service")

_GRUB_DEFAULT = f"""\
GRUB_DEFAULT=0
GRUB_TIMEOUT=5
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=quiet
GRUB_CMDLINE_LINUX="{grubcfg.CMDLINE} systemd.show_status=0"
# On the serial line, too
GRUB_TERMINAL=console
"""

# On a busy host the disk's partitions may take long to come up; systemd would go into emergency mode.
_PATIENT = "[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n"

# With a list of drivers, because what a machine needs cannot be found out on another one.
_INITRAMFS = f"MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\nRESUME=UUID={SWAP_UUID}\n"


class BaseLayout(Layout):
    """ESP, root with /boot in it, swap."""

    def partitions(self):
        result, start = {}, MIB
        types = Layout(Boot.ROOT).partitions()
        for number, (name, mib) in enumerate((("esp", 64), ("root", 1900), ("swap", 512)), 1):
            like = types[name]
            result[name] = Partition(name, number, start, mib * MIB, like.type, like.partuuid)
            start += mib * MIB
        return result


LAYOUT = BaseLayout(Boot.ROOT)


@dataclasses.dataclass(frozen=True)
class Base:
    """The made base. KERNEL: the release of the only one in it. NEWER: of the one that lies in NEWER_KERNEL."""

    disk: Path
    nvram: Path
    kernel: str
    newer: str


def find():
    """The base, or an error that says how it is made."""
    stamp = FOLDER / "stamp"
    if not stamp.exists():
        raise host.HostError(f"no Debian system in {FOLDER}: run './dev check' or './dev demo --debian', which make it")
    _, kernel, newer = stamp.read_text().splitlines()
    return Base(FOLDER / "base.qcow2", FOLDER / "nvram.fd", kernel, newer)


def _digest(packages):
    """Of everything that a base is made from."""
    parts = [" ".join(packages).encode()]
    parts += [path.read_bytes() for path in (Path(__file__), Path(grubcfg.__file__), *sorted(_ROOT.iterdir()))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


# ---- the files ----


def _download(folder, *packages):
    """A hook for mmdebstrap that puts packages there, with what they need."""
    return (f'--customize-hook=mkdir -p "$1{folder}/partial" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q -y '
            f'--no-install-recommends --download-only -o Dir::Cache::archives="$1{folder}" install {" ".join(packages)}')


def _bootstrap(sources, packages, newer, tree, work):
    """Unpacks and sets up the packages."""
    hook = f'mkdir -p "$1/etc/initramfs-tools/conf.d" && cp {work}/initramfs.conf "$1/etc/initramfs-tools/conf.d/resume"'
    drivers = (f'mkdir -p "$1/etc/initramfs-tools/hooks" && '
               f'cp {_ROOT}/drivers "$1/etc/initramfs-tools/hooks/drivers"')
    (work / "initramfs.conf").write_text(_INITRAMFS)
    host.run("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}",
             "--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/doc/*",
             "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
             f"--essential-hook={hook}", f"--essential-hook={drivers}",
             _download(OFFLINE, *LATER), _download(NEWER_KERNEL, newer), SUITE, tree,
             *sorted(path for path in sources.iterdir() if path.stat().st_size))
    for leftover in (tree / "etc/dpkg/dpkg.cfg.d").iterdir():
        leftover.unlink()


def _configure(tree, work):
    """What an installer asks for, and what the tests add."""
    def write(path, text, mode=0o644):
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    write("etc/fstab", f"UUID={ROOT_UUID} / ext4 errors=remount-ro 0 1\n"
                       f"UUID={ESP_UUID} /boot/efi vfat umask=0077 0 1\nUUID={SWAP_UUID} none swap sw 0 0\n")
    write("etc/hostname", "sleeper\n")
    write("etc/hosts", "127.0.0.1 localhost sleeper\n")
    write("etc/default/grub", _GRUB_DEFAULT)
    write("etc/grub.d/99_tests", f"#!/bin/sh\ncat <<'END'\n{grubcfg._FINDING}{grubcfg.HURRY}END\n", 0o755)
    write("etc/systemd/system.conf.d/patient.conf", _PATIENT)
    write("etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf",
          f"[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin {USER} --noclear --keep-baud 115200 %I linux\n")
    write("etc/systemd/system/tests.service", (_ROOT / "tests.service").read_text())
    (tree / "boot/efi").mkdir(exist_ok=True)
    shutil.copy(guest._PROGRAMS / "agent", tree / "usr/local/sbin/agent")
    (tree / "usr/local/sbin/agent").chmod(0o755)
    guest.make_programs(work)
    shutil.copy(work / "witness", tree / "usr/local/bin/witness")
    _in(tree, "useradd", "--create-home", "--shell", "/bin/bash", USER)
    _in(tree, "systemctl", "enable", "tests.service")
    _in(tree, "systemctl", "mask", *_MASKED)


def _in(tree, *argv):
    return host.run("chroot", tree, *argv)


# ---- the disk ----


def _make_disk(tree, path):
    with path.open("wb") as file:
        file.truncate(LAYOUT.size)
    disk = Disk(path, LAYOUT, None)
    _write_partition_table(disk)
    root, esp, swap = (disk.parts[name] for name in ("root", "esp", "swap"))
    host.run("mke2fs", "-q", "-t", "ext4", "-F", "-U", ROOT_UUID, "-d", tree, "-E",
             f"offset={root.start},lazy_itable_init=0,lazy_journal_init=0", path, f"{root.size // 1024}k")
    host.run("mkfs.vfat", "-F", "32", "-s", "1", "-i", ESP_UUID.replace("-", ""), "--offset", esp.start // 512, path,
             esp.size // 1024)
    _write_swap_header(disk, swap.start, swap.size, SWAP_UUID)
    return disk


def _release(tree):
    """Of the installed kernel."""
    return _in(tree, "linux-version", "list").decode().strip()


def _install_boot_loader(disk, tree, release, folder):
    """In the system, which QEMU starts for this once. Returns the file with the firmware's variables."""
    from .machine import DebianMachine

    boot = tree / "boot"
    direct = host.Direct(boot / f"vmlinuz-{release}", boot / f"initrd.img-{release}",
                         f"root=UUID={ROOT_UUID} {grubcfg.CMDLINE} quiet systemd.show_status=0")
    with DebianMachine(disk, Firmware.OVMF, folder) as machine:
        machine.boot(direct)
        machine.run("grub-install 2>&1 && update-grub 2>&1", timeout=600)
        machine.shut_down()
        nvram = folder / "kept-nvram.fd"
        shutil.copy(machine._nvram, nvram)
    return nvram


def make(sources, kernel, newer):
    """Makes the base if there is none, or if it was made from something else."""
    # The same release of GRUB as on the host, which the module is built for.
    grub = host.run("dpkg-query", "--show", "--showformat=${Version}", "grub-common").decode()
    packages = (*PACKAGES, f"grub-efi-amd64={grub}", kernel)
    digest = _digest((*packages, newer))
    stamp = FOLDER / "stamp"
    if stamp.exists() and stamp.read_text().split("\n", 1)[0] == digest:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="hibctl-debian-") as folder:
        work = Path(folder)
        tree = work / "tree"
        _say("unpacking and setting up packages")
        _bootstrap(sources, packages, newer, tree, work)
        _configure(tree, work)
        _say("making the disk")
        disk = _make_disk(tree, work / "disk.img")
        _say("installing the boot loader in it")
        release = _release(tree)
        nvram = _install_boot_loader(disk, tree, release, work)
        host.run("qemu-img", "convert", "-O", "qcow2", disk.path, FOLDER / "base.qcow2")
        shutil.copy(nvram, FOLDER / "nvram.fd")
        stamp.write_text("\n".join((digest, release, newer.removeprefix("linux-image-"))) + "\n")
        _say("done")


_started = time.monotonic()


def _say(words):
    print(f"debian: [{time.monotonic() - _started:5.1f} s] {words}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="debian.base")
    parser.add_argument("--sources", type=Path, required=True, help="folder with apt's source lists")
    parser.add_argument("kernel", help="kernel package")
    parser.add_argument("newer", help="kernel package that can be installed later")
    options = parser.parse_args()
    os.umask(0o022)
    try:
        make(options.sources, options.kernel, options.newer)
    except (AssertionError, host.HostError) as error:
        print(f"debian: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
