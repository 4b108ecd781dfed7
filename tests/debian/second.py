# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Another Linux on a disk of its own: as much of one as os-prober looks at, and one that starts."""

from vm import grubcfg, guest, host
from vm.layout import MIB

NAME = "Other Linux 1"
UUID = "0e4e2000-1111-4222-8333-444455556666"
_START = MIB
_SIZE = 62 * MIB

_CONFIG = f"""\
menuentry '{NAME}' {{
  linux /boot/vmlinuz root=UUID={UUID} {grubcfg.CMDLINE} quiet
  initrd /boot/initrd.img
}}
"""


def make(folder):
    """Returns the disk's file. The system tells what disks it sees as the tests' command channel, and does no more."""
    tree = folder / "tree"
    for name, text in (("etc/os-release", f'NAME="Other"\nPRETTY_NAME="{NAME}"\n'), ("boot/grub/grub.cfg", _CONFIG),
                       ("lib/ld-linux.so.2", "")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    kernel = host.Kernel()
    (tree / "boot/vmlinuz").write_bytes(kernel.image.read_bytes())
    guest.make_bare_initramfs(kernel, (), folder / "initramfs", tree / "boot/initrd.img")
    path = folder / "second.img"
    with path.open("wb") as file:
        file.truncate(_START + _SIZE + MIB)
    host.run("sfdisk", "-q", path, input=f"label: gpt\nstart={_START // 512},size={_SIZE // 512}\n".encode())
    host.run("mke2fs", "-q", "-t", "ext4", "-F", "-U", UUID, "-d", tree, "-E", f"offset={_START}", path,
             f"{_SIZE // 1024}k")
    return path
