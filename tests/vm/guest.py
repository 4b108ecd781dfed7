# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The small system inside a test machine: an initramfs around the stock kernel, and a root filesystem."""

import shutil
import stat
from pathlib import Path

from . import host, volumes
from .layout import Swap

_PROGRAMS = Path(__file__).resolve().parent / "guest"
_MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
SAVE_INITRD = "/usr/lib/save-kernel/initrd"  # in the root filesystem
PROGRAMS = ("witness", "nbd-file")
MODULES = ("virtio_pci", "virtio_blk", "efivarfs", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8")
LAYER_MODULES = ("loop", "dm_mod", "dm_crypt", "xts", "ecb", "md_mod", "raid1", "nbd")  # not loaded until wanted


def write_cpio(folder, out):
    """Writes FOLDER as a cpio archive of the "newc" form that the kernel unpacks, all of it owned by root."""
    with open(out, "wb") as file:
        paths = sorted(folder.rglob("*"))
        for number, path in enumerate(paths, 1):
            info = path.lstat()
            if path.is_symlink():
                data = bytes(path.readlink())
            else:
                data = path.read_bytes() if path.is_file() else b""
            _write_member(file, number, path.relative_to(folder), info.st_mode, data)
        _write_member(file, 0, "TRAILER!!!", 0, b"")


def _write_member(file, inode, name, mode, data):
    name = bytes(name, "ascii") if isinstance(name, str) else bytes(name)
    name += b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    for part in (header, data):
        file.write(part + b"\0" * (-len(part) % 4))


def append_file(archive, path, data, folder):
    """Makes a copy of an initramfs that has another file: a second archive behind the first, as the kernel takes it."""
    target = folder / "tree" / path
    target.parent.mkdir(parents=True)
    target.write_bytes(data)
    write_cpio(folder / "tree", folder / "member")
    out = folder / "initrd"
    out.write_bytes(archive.read_bytes() + (folder / "member").read_bytes())
    return out


class Tree:
    """A root filesystem in the making, with /usr merged as on Debian."""

    def __init__(self, folder):
        self.folder = folder
        for link, target in _MERGED.items():
            (folder / target).mkdir(parents=True)
            (folder / link).symlink_to(target)
        for name in ("dev", "proc", "sys", "run", "root", "tmp", "etc"):
            (folder / name).mkdir()
        self._add_busybox()

    def _add_busybox(self):
        busybox = host.find_tool("busybox")
        self.add(busybox, "usr/bin/busybox")
        for applet in host.run(busybox, "--list").decode().split():
            link = self.folder / "usr/bin" / applet
            if applet != "busybox":
                link.symlink_to("busybox")

    def add(self, source, target, mode=None):
        """Copies a file; a program brings its shared libraries."""
        path = self.folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a busybox applet of the same name
        shutil.copy(source, path)
        if mode:
            path.chmod(mode)
        if source.stat().st_mode & stat.S_IXUSR:
            for library in host.shared_libraries(source):
                self._add_library(library)

    def _add_library(self, library):
        # The same folder as on the host, which may name it through a link of the merged /usr.
        target = self.folder / str(library).lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)

    def write(self, target, text):
        path = self.folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def add_modules(tree, kernel, names):
    """Adds kernel modules and all that they depend on, and in lib/modules/order their names in the order of loading."""
    order = kernel.modules(*names)
    for module in order:
        tree.add(module, f"lib/modules/{module.name}")
    tree.write("lib/modules/order", "".join(f"{module.name}\n" for module in order))


def make_initramfs(kernel, work, out):
    """Makes the initramfs, uncompressed: unpacking costs more here than reading does."""
    tree = Tree(work)
    blkid = host.find_tool("blkid")
    (work / "usr/bin/blkid").unlink(missing_ok=True)
    tree.add(blkid, "usr/sbin/blkid")
    tree.add(_PROGRAMS / "init", "init", 0o755)
    add_modules(tree, kernel, MODULES)
    write_cpio(work, out)


def make_bare_initramfs(kernel, modules, work, out, hibctl=None, programs=None):
    """Makes an initramfs that is the whole guest: a shell, these modules, the command channel, and if given the tool
    under test and more PROGRAMS, by name."""
    tree = Tree(work)
    tree.add(_PROGRAMS / "init-bare", "init", 0o755)
    tree.add(_PROGRAMS / "agent", "usr/sbin/agent", 0o755)
    if hibctl:
        tree.add(hibctl, "usr/sbin/hibctl", 0o755)
    for name, path in (programs or {}).items():
        tree.add(path, f"usr/sbin/{name}", 0o755)
    add_modules(tree, kernel, ("virtio_pci", "virtio_blk", *modules))
    write_cpio(work, out)


def make_programs(folder):
    """Compiles the guest's own programs."""
    for name in PROGRAMS:
        source = _PROGRAMS / f"{name}.c"
        host.run("cc", "-std=gnu11", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o", folder / name, source)


def make_root(work, layout, kernel, programs, hibctl=None, moddir=None):
    """Fills WORK with the root filesystem's files: a shell, the tools, the configuration of LAYOUT, and if given the
    tool under test and its GRUB modules."""
    tree = Tree(work)
    for name in ("mnt", "boot", "boot/efi"):
        (work / name).mkdir(exist_ok=True)
    for name in ("blkid", "grub-editenv", "dmsetup", "kexec"):
        (work / "usr/bin" / name).unlink(missing_ok=True)
        tree.add(host.find_tool(name), f"usr/sbin/{name}")
    add_modules(tree, kernel, LAYER_MODULES + volumes.MODULES.get(layout.boot, ()))
    tree.add(_PROGRAMS / "rc", "usr/sbin/init", 0o755)
    (work / "usr/bin/init").unlink()
    for name in ("agent", "suspend-to-disk", "shut-down", "jump"):
        tree.add(_PROGRAMS / name, f"usr/sbin/{name}", 0o755)
    tree.add(programs / "save-initrd", SAVE_INITRD.lstrip("/"))
    for name in PROGRAMS:
        tree.add(programs / name, f"usr/bin/{name}", 0o755)
    if hibctl:
        tree.add(hibctl, "usr/sbin/hibctl", 0o755)
    if moddir:
        for platform in host.PLATFORMS:
            tree.add(moddir / platform / "hibresume.mod", f"usr/lib/hibctl/{platform}/hibresume.mod", 0o644)
    tree.write("etc/fstab", layout.fstab())
    tree.write("etc/volumes", volumes.script(layout, kernel))
    tree.write("etc/hostname", "sleeper\n")
    tree.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    tree.write("etc/group", "root:x:0:\n")
    # suspend-to-disk reads it; the offset of a swap file is known only when the filesystem is made.
    tree.write("etc/resume", "- 0\n" if layout.swap is not Swap.PARTITION else f"{layout.resume_tag} 0\n")
