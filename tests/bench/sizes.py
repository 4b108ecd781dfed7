# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What is added to an initramfs and to GRUB's folder, in bytes."""

from dataclasses import dataclass

from vm import host

# The shared libraries in an initramfs of Debian 12 as initramfs-tools makes it by default (MODULES=most, nothing
# configured): what the programs need that its hooks copy. From the packages busybox, e2fsprogs, klibc-utils, kmod,
# logsave, udev and util-linux: busybox, fsck, e2fsck, logsave, kmod, udevadm, ata_id, scsi_id, blkid. libmount is there
# for fsck, so only as long as a filesystem in fstab is to be checked.
INITRAMFS = {
    "ld-linux-x86-64.so.2", "libacl.so.1", "libblkid.so.1", "libc.so.6", "libcap.so.2", "libcom_err.so.2",
    "libcrypto.so.3", "libe2p.so.2", "libext2fs.so.2", "libkmod.so.2", "liblzma.so.5", "libmount.so.1",
    "libpcre2-8.so.0", "libresolv.so.2", "libselinux.so.1", "libuuid.so.1", "libzstd.so.1",
}


@dataclass
class Size:
    what: str
    bytes: int
    libraries: dict  # name: bytes

    @property
    def total(self):
        return self.bytes + sum(self.libraries.values())


def _program(name, path, scratch):
    """A program without its symbols, and the libraries that it brings."""
    stripped = scratch.folder("size") / name
    host.run("strip", "-o", stripped, path)
    added = {library.name: library.stat().st_size for library in host.shared_libraries(path)
             if library.name not in INITRAMFS}
    return Size(f"{name}, in an initramfs", stripped.stat().st_size, added)


def measure(scratch, tools):
    sizes = [_program("hibctl", tools.hibctl, scratch),
             _program("grub-editenv", host.find_tool("grub-editenv"), scratch)]
    for platform in host.PLATFORMS:
        module = tools.modules / platform / "hibresume.mod"
        sizes.append(Size(f"hibresume.mod, {platform}", module.stat().st_size, {}))
    return sizes
