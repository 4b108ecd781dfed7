# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A root of its own with initramfs-tools, dracut and hibctl in it, the initramfs that they make, and a machine that
boots one.

The root is this machine's own, seen through an overlay: nothing of the machine is changed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from cli import rig
from vm.grubcfg import LESS_WORK
from vm.machine import CPU

CACHE = Path(os.environ.get("HIBCTL_DEV_CACHE", "/var/cache/hibctl-dev"))
SHARE = "/usr/local/share/hibctl"  # as ./dev build configures it


class Stage:
    """The root. DRIVERS and PROGRAMS are what /etc/hibctl/initramfs.conf names."""

    def __init__(self, scratch, build, drivers=(), programs=()):
        images = sorted((CACHE / "kernel/boot").glob("vmlinuz-*"))
        makers = CACHE / "initramfs-makers"
        assert images and makers.is_dir(), f"kernel or initramfs makers are missing in {CACHE}: ./dev install-deps"
        self.kernel = images[-1]
        self.release = self.kernel.name.removeprefix("vmlinuz-")
        self.root = scratch.folder("stage")
        upper, work = scratch.folder("upper"), scratch.folder("work")
        rig.run("cp", "-a", f"{makers}/.", upper)
        scratch.mount("overlay", self.root, "-t", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}")
        scratch.mount("proc", self.root / "proc", "-t", "proc")
        scratch.mount("/dev", self.root / "dev", "--bind")
        self._add_kernel()
        shutil.rmtree(self.root / "etc/hibctl", ignore_errors=True)
        rig.run("make", "-s", "-C", build, "install", f"DESTDIR={self.root}", "prefix=/usr/local",
                "initramfstoolsdir=/usr/share/initramfs-tools", "dracutdir=/usr/lib/dracut")
        self.configure(drivers, programs)
        (self.root / "out").mkdir()

    def _add_kernel(self):
        modules = self.root / "usr/lib/modules"
        modules.mkdir(exist_ok=True)
        shutil.copytree(CACHE / "kernel/lib/modules" / self.release, modules / self.release, symlinks=True)
        (self.root / "boot").mkdir(exist_ok=True)
        shutil.copy(CACHE / f"kernel/boot/config-{self.release}", self.root / "boot")
        self.run("depmod", self.release)

    def share(self, scratch, folder):
        """FOLDER becomes out/shared. An initramfs that is unpacked there can be used as a root: device nodes work."""
        (self.root / "out/shared").mkdir()
        scratch.mount(folder, self.root / "out/shared", "--bind", "-o", "dev,suid,exec")

    def run(self, *argv, check=True):
        return rig.run("chroot", self.root, *argv, check=check)

    def configure(self, drivers=(), programs=()):
        self.write("etc/hibctl/initramfs.conf", f'PROGRAMS="{" ".join(programs)}"\nMODULES="{" ".join(drivers)}"\n')

    def write(self, path, text, mode=0o644):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def hook(self, name, text="", mode=0o755):
        self.write(f"etc/hibctl/setup.d/{name}", f"#!/bin/sh\n{text}\n", mode)

    def remove_hibctl(self):
        """As if it had never been installed, for whatever makes an initramfs."""
        for path in ("usr/share/initramfs-tools/hooks/hibctl", "usr/share/initramfs-tools/scripts/local-premount/hibctl"):
            (self.root / path).unlink()
        shutil.rmtree(self.root / "usr/lib/dracut/modules.d/94hibctl")

    def command(self, maker, kind, name):
        out = f"/out/{name}"
        if maker == "initramfs-tools":
            more = ["-d", f"{SHARE}/save-initramfs-tools"] if kind == "save" else []
            return ["mkinitramfs", *more, "-o", out, self.release]
        more = ["--no-hostonly", "--omit", "systemd systemd-initrd dracut-systemd"]
        if kind == "save":
            more = ["--conf", f"{SHARE}/save-dracut/save.conf", "--confdir", f"{SHARE}/save-dracut/conf.d"]
        elif kind == "systemd":
            more = ["--no-hostonly"]
        return ["dracut", "--force", "--compress", "zstd -1", *more, out, self.release]

    def try_make(self, maker, kind, name=None):
        """Result of the program that makes an initramfs for the kernel of KIND: load or save."""
        return self.run(*self.command(maker, kind, name or f"{maker}-{kind}"), check=False)

    def make(self, maker, kind, name=None):
        name = name or f"{maker}-{kind}"
        done = self.try_make(maker, kind, name)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        self.run("unmkinitramfs", f"/out/{name}", f"/out/{name}.tree")
        return Initramfs(self, name)


class Initramfs:
    """One that was made, and unpacked."""

    def __init__(self, stage, name):
        self.stage = stage
        self.file = stage.root / "out" / name
        self.tree = stage.root / f"out/{name}.tree"
        if (self.tree / "main").is_dir():  # beside "early", the processor's microcode
            self.tree = self.tree / "main"

    def drivers(self):
        """Names as the kernel prints them."""
        return {path.name.partition(".")[0].replace("-", "_") for path in self.tree.rglob("*.ko*")}

    def read(self, path):
        return self.tree.joinpath(path).read_bytes()

    def has(self, path):
        return self.tree.joinpath(path).exists()

    def run(self, *argv):
        return rig.run("chroot", self.tree, *argv, check=False)

    def size(self):
        """Bytes of all files, unpacked; hard links count once."""
        files = {(path.lstat().st_ino, path.lstat().st_size) for path in self.tree.rglob("*")
                 if path.is_file() and not path.is_symlink()}
        return sum(size for _, size in files)


class Came:
    """What a machine said, from switching on to its end."""

    def __init__(self, argv, text):
        self.text = "\n".join(re.sub(r"^\[ *\d+\.\d+\] .*|\x1b\[[0-9;]*[A-Za-z]", "", line) for line in text.splitlines())
        self.raw = text
        self.argv = argv

    def ours(self):
        """The lines that are hibctl's."""
        return [line.strip() for line in self.text.splitlines() if "hibctl" in line]

    def __repr__(self):
        return self.raw[-6000:]


def boot(stage, initramfs, disks, words, seconds=240):
    """Boots the kernel with this initramfs, as a boot loader does it, until the machine switches itself off, resets or
    panics. DISKS: /dev/vda and so on."""
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", "-cpu", CPU, "-accel", "tcg",
            "-smp", "1", "-m", "512", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-kernel", stage.kernel, "-initrd", initramfs, "-append", f"console=ttyS0 panic=-1 {LESS_WORK} {words}"]
    for number, disk in enumerate(disks):
        argv += ["-drive", f"if=none,id=disk{number},format=raw,file={disk}",
                 "-device", f"virtio-blk-pci,drive=disk{number}"]
    try:
        done = subprocess.run([str(arg) for arg in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds, check=False)
        return Came(argv, done.stdout.decode(errors="replace"))
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"the machine did not end: {(late.stdout or b'').decode(errors='replace')[-6000:]}") from late
