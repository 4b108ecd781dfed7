# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Secure Boot: the distribution's shim and signed GRUB on a disk, and what an owner signs with a key of their own.

The owner's key is put into shim's list (MokList) in the firmware's flash memory, where MokManager would put it after
somebody has sat in front of the machine."""

import shutil
import struct
import uuid

from grub.nvram import Nvram

from . import host

FILES = host.CACHE / "secure-boot/usr/lib"
SHIM = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")  # EFI_CERT_X509_GUID
_BOOT_ONLY = 3  # non-volatile, boot services: no system can change it
_PREFIX = "/boot/efi/EFI/debian"

# For a GRUB that may load nothing more: all that a grub.cfg of this project's and of 00_header asks for.
_INSIDE = ("normal", "configfile", "minicmd", "search", "search_fs_uuid", "part_gpt", "part_msdos", "ext2", "fat", "linux",
           "linuxefi", "loadenv", "regexp", "test", "echo", "sleep", "gzio", "all_video", "gfxterm", "font", "boot",
           "smbios", "hibresume")


def install(disk):
    """Makes shim the disk's removable loader, and the distribution's signed GRUB what it starts."""
    layout = disk.layout
    disk._mtools("mmd", "esp", "::EFI/debian")
    shim = FILES / "shim"
    disk.write_file("/boot/efi/EFI/BOOT/BOOTX64.EFI", (shim / "shimx64.efi.signed").read_bytes())
    disk.write_file("/boot/efi/EFI/BOOT/mmx64.efi", (shim / "mmx64.efi.signed").read_bytes())
    install_grub(disk, FILES / "grub/x86_64-efi-signed/grubx64.efi.signed")
    # The signed GRUB's prefix. What grub-install puts there.
    stub = (f"search.fs_uuid {layout.boot_uuid} root\nset prefix=($root)'{layout.grub_folder}'\n"
            "configfile $prefix/grub.cfg\n")
    disk.write_file(f"{_PREFIX}/grub.cfg", stub.encode())


def install_grub(disk, image):
    disk.write_file("/boot/efi/EFI/BOOT/grubx64.efi", image.read_bytes())


def disable_validation(nvram):
    """As "mokutil --disable-validation", once it was confirmed: shim, GRUB and the kernel then check nothing."""
    Nvram(nvram).put("MokSBState", b"\1", _BOOT_ONLY, SHIM)


class Owner:
    """Somebody with a key."""

    def __init__(self, folder):
        self.folder = folder
        self._key, self._certificate = folder / "owner.key", folder / "owner.pem"
        host.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=Owner/",
                 "-keyout", self._key, "-out", self._certificate)

    def enroll(self, nvram):
        """Makes shim trust the key: an EFI_SIGNATURE_LIST with one certificate (UEFI specification 32.4.1)."""
        der = host.run("openssl", "x509", "-in", self._certificate, "-outform", "DER")
        size = 16 + len(der)
        text = _X509.bytes_le + struct.pack("<III", 28 + size, 0, size) + SHIM.bytes_le + der
        Nvram(nvram).put("MokList", text, _BOOT_ONLY, SHIM)

    def sign(self, image):
        """The path of a signed copy."""
        signed = self.folder / f"{image.name}.signed"
        host.run("sbsign", "--key", self._key, "--cert", self._certificate, "--output", signed, image)
        return signed

    def free_kernel(self, kernel):
        """A signed kernel that does not lock itself down. It is the stock one, whose loader stub asks the firmware for
        "SecureBoot" under a wrong name: what a kernel without CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT would do."""
        name = "SecureBoot".encode("utf-16-le")
        data = kernel.image.read_bytes()
        assert data.count(name) == 1
        image = self.folder / "vmlinuz"
        image.write_bytes(data.replace(name, "SecureBooX".encode("utf-16-le")))
        host.run("sbattach", "--remove", image)  # the distribution's signature, which is wrong now
        return self.sign(image)

    def grub_with_module(self, moddir, layout):
        """A signed GRUB with hibresume.mod inside, made as docs/secure-boot.md says."""
        parts = self.folder / "x86_64-efi"
        shutil.copytree(host.GRUB_LIB / "x86_64-efi", parts)
        shutil.copy(moddir / "x86_64-efi/hibresume.mod", parts)
        sbat, early, image = (self.folder / name for name in ("sbat.csv", "early.cfg", "grubx64.efi"))
        host.run("objcopy", "-O", "binary", "-j", ".sbat", FILES / "grub/x86_64-efi-signed/grubx64.efi.signed", sbat)
        early.write_text(f"search.fs_uuid {layout.boot_uuid} root\nset prefix=($root)'{layout.grub_folder}'\n")
        host.run("grub-mkimage", "-O", "x86_64-efi", "-d", parts, "-p", layout.grub_folder, "-c", early, "--sbat", sbat,
                 "-o", image, *_INSIDE)
        return self.sign(image)
