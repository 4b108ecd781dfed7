# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A Debian system to install packages on, without a virtual machine: its root is a real ext4 filesystem on a loop device,
so that grub-mkconfig and hibctl find what they look for; /etc and dpkg's database are copies of this machine's, and /usr is
this machine's, seen through an overlay. EFI variables are in a plain folder."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from cli import rig
from cli.firmware import OURS

PLATFORMS = ("i386-pc", "x86_64-efi")
FIRMWARE = "/firmware/"
# What dpkg, and tools that it calls for any package, keep of what they did.
LOGS = re.compile(r"var/lib/dpkg/(status|available|lock|triggers|diversions|statoverride|updates|info/format)|var/log/"
                  r"|var/cache/|etc/ld\.so\.cache$")


class System:
    def __init__(self, scratch, packages):
        self.packages = packages
        self.root = scratch.folder("system")
        image = scratch.image("disk", 256 * rig.MIB)
        rig.run("mkfs.ext4", "-q", image)
        scratch.mount(scratch.loop(image), self.root)
        self.changed_in_usr = scratch.folder("usr")
        work = scratch.folder("usr-work")
        self._make_tree()
        scratch.mount("overlay", self.root / "usr", "-t", "overlay", "-o",
                      f"lowerdir=/usr,upperdir={self.changed_in_usr},workdir={work}")
        scratch.mount("proc", self.root / "proc", "-t", "proc")
        scratch.mount("/sys", self.root / "sys", "--bind")
        scratch.mount("/dev", self.root / "dev", "--bind")
        self.swap = rig.Swap(scratch)
        self._make_boot()

    def _make_tree(self):
        for name in ("usr", "proc", "dev", "sys", "run", "tmp", "root", "var/lib/systemd", "var/log", "var/cache", "var/tmp",
                     FIRMWARE[1:], *(f"boot/grub/{platform}" for platform in PLATFORMS)):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for path in Path("/").iterdir():
            if path.is_symlink() and os.readlink(path).startswith("usr/"):
                (self.root / path.name).symlink_to(os.readlink(path))
        rig.run("cp", "-a", "/etc", self.root)
        rig.run("cp", "-a", "/var/lib/dpkg", self.root / "var/lib")
        self.write("etc/fstab", "")
        self.write("etc/default/grub", "GRUB_TIMEOUT=5\nGRUB_DISABLE_OS_PROBER=true\n"
                   'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n')

    def _make_boot(self):
        (self.root / f"boot/vmlinuz-{rig.RELEASE}").write_bytes(rig.kernel_file())
        self.write(f"boot/initrd.img-{rig.RELEASE}", "ramdisk")
        for platform in PLATFORMS:
            shutil.copy(f"/usr/lib/grub/{platform}/modinfo.sh", self.root / "boot/grub" / platform)
        self.run("grub-editenv", "/boot/grub/grubenv", "set", "saved_entry=gnulinux")
        self.run("update-grub")

    # files

    def path(self, name):
        return self.root / name.lstrip("/")

    def write(self, name, text):
        self.path(name).write_text(text)

    def read(self, name):
        return self.path(name).read_bytes()

    def has(self, name):
        return os.path.lexists(self.path(name))

    def module(self, platform):
        return f"/boot/grub/{platform}/hibresume.mod"

    def modules(self):
        """The platforms for which GRUB's folder has one."""
        return {platform for platform in PLATFORMS if self.has(self.module(platform))}

    def grub_cfg(self):
        return self.read("/boot/grub/grub.cfg").decode()

    def snapshot(self):
        """What there is, by name; of /var only which files."""
        there = {name: _what(self.root / name) for folder in ("etc", "boot", "firmware", "run")
                 for name in _names(self.root, folder)}
        there |= {name: "" for name in _names(self.root, "var")}
        return {name: what for name, what in there.items() if not LOGS.match(name)}

    def difference(self, before):
        """The files that are not as they were."""
        now = self.snapshot()
        changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        in_usr = {f"usr/{name}" for name in _names(self.changed_in_usr)
                  if _what(self.root / "usr" / name) != _what(Path("/usr") / name)}
        return sorted(changed | in_usr)

    # EFI variables

    def put_variable(self, name, contents):
        self.path(f"{FIRMWARE}{name}-{OURS}").write_bytes(b"\7\0\0\0" + contents)

    def variables(self):
        return {path.name.partition("-")[0] for path in self.path(FIRMWARE).iterdir()}

    # commands

    def run(self, *argv, check=True, **env):
        done = subprocess.run(["chroot", self.root, *map(str, argv)], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root",
                                   "DEBIAN_FRONTEND": "noninteractive", "LIBEFIVAR_OPS": "efivarfs",
                                   "EFIVARFS_PATH": FIRMWARE, **env})
        assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def dpkg(self, *argv):
        return self.run("dpkg", "--force-unsafe-io", *argv)

    def install(self, *names):
        """These, or all packages."""
        files = [self.packages[name] for name in names or self.packages]
        for file in files:
            shutil.copy(file, self.root / "tmp")
        try:
            return self.dpkg("--install", *(f"/tmp/{file.name}" for file in files))
        finally:
            for file in files:
                (self.root / "tmp" / file.name).unlink()

    def purge(self):
        return self.dpkg("--purge", *self.packages)


def _names(folder, below="."):
    return [os.path.relpath(os.path.join(path, name), folder)
            for path, folders, files in os.walk(folder / below) for name in folders + files]


def _what(path):
    """Mode and contents; None if there is nothing."""
    if not os.path.lexists(path):
        return None
    contents = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return path.lstat().st_mode, contents
