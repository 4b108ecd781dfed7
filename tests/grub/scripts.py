# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What the tests of the grub.d scripts share: settings, marks, and the whole grub.cfg."""

import functools
import os
import shlex

from . import marks, rig
from .marks import Mark
from .rig import BOOT_UUID

IMAGE = "aaaaaaaa-0000-4000-8000-000000000001"
PLAIN = "aaaaaaaa-0000-4000-8000-000000000002"
JUNK = {"/boot/junk": b"not a kernel" * 1000}
WORDS = "console=ttyS0 quiet"

# Where the terminal is wide enough, a line of the menu is not cut.
SETTINGS = {
    "pkgdatadir": "/usr/share/grub", "GRUB_TERMINAL_INPUT": "serial", "GRUB_TERMINAL_OUTPUT": "serial",
    "GRUB_SERIAL_COMMAND": "serial --unit=0 --speed=115200\nterminfo -g 120x40 serial vt100",
    "GRUB_TIMEOUT": "1", "GRUB_TIMEOUT_STYLE": "menu", "GRUB_DEFAULT": "1", "GRUB_DEVICE": "/dev/vda3",
    "GRUB_CMDLINE_LINUX": "console=ttyS0 resume=UUID=1", "GRUB_CMDLINE_LINUX_DEFAULT": "noresume quiet",
    "GRUB_HIBCTL_RESUME": f"UUID={IMAGE}", "GRUB_HIBCTL_TIMEOUT": "2", "GRUB_HIBCTL_KERNEL": "/boot/vmlinuz",
    "GRUB_HIBCTL_INITRD": "/boot/initrd", "GRUB_HIBCTL_FS": BOOT_UUID}

# "default" is the number 1, the second of these.
ENTRIES = """
menuentry 'First' { linux /boot/vmlinuz first ; boot }
menuentry 'Second' --id second { linux /boot/vmlinuz second ; boot }
menuentry 'Third' { linux /boot/vmlinuz third ; boot }
"""


def mark(image=f"UUID={IMAGE}", **fields):
    return Mark(image, BOOT_UUID, **fields)


def generate(script, **settings):
    """What a script writes. A setting of None is left out."""
    env = {"PATH": os.environ["PATH"]} | SETTINGS | settings
    return _run(script, tuple(sorted((name, value) for name, value in env.items() if value is not None)))


@functools.cache
def _run(script, env):
    return rig.run("sh", script, env=dict(env)).decode()


# As 30_os-prober writes them.
OTHERS = """
menuentry 'Another system (on /dev/vda9)' --class windows --class os $menuentry_id_option 'osprober-chain-1' {
  savedefault
  linux /boot/vmlinuz another ; boot
}
submenu 'Advanced options for a third' $menuentry_id_option 'osprober-gnulinux-advanced-2' {
  menuentry 'A third' { linux /boot/vmlinuz a third ; boot }
}
set timeout_style=menu
if [ "${timeout}" = 0 ]; then
  set timeout=10
fi
"""


def grub_cfg(scratch, ours=True, entries=ENTRIES, others="", **settings):
    """The whole file, as grub-mkconfig puts it together: the distribution's 00_header, our sections, entries of this system
    and of others. The settings are where they are in /etc."""
    guard = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()
                    if name.startswith("GRUB_HIBCTL_GUARD"))
    etc = scratch / f"etc-{guard.strip()}"  # a folder for each, so that what was written once can be used again
    (etc / "default").mkdir(parents=True, exist_ok=True)
    (etc / "default/grub").write_text(guard)

    def section(name):
        return generate(rig.grub_d_script(name, scratch), sysconfdir=str(etc), **settings) if ours else ""

    return "\n".join((generate("/etc/grub.d/00_header", **settings), section("06_hibctl"), entries, section("30_hibctl"), others,
                      section("30_os-prober_hibctl"), section("44_hibctl")))


def odd_mark(old, new):
    """A mark with NEW for OLD in it, at the same width, and with a right checksum."""
    text = mark().text()
    assert old in text
    return marks.seal(text.replace(old, new, 1)[:392].rstrip().ljust(392) + b"00000000")
