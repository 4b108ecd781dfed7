# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The GRUB configuration of a test disk.

It is put together as grub-mkconfig does it: the distribution's own 00_header, the project's 06_hibctl, an entry such as
10_linux makes, the project's 44_hibctl. Ours are the terminals, so that a test can read and type through the serial
line while the display shows the same, and a last line that tells what the section before found out."""

import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path

from . import host
from .layout import PAGE, ROOT_UUID, Swap

HEADER = Path("/etc/grub.d/00_header")
TITLE = "Debian GNU/Linux"
TIMEOUT = 2  # seconds, of the ordinary menu

# Kernel parameters of every boot. Where the kernel panics the machine is to stop, so that no test takes a reboot for
# success.
# Without what an emulated CPU takes long for; and on a busy host its timer comes late, for which the kernel would panic.
LESS_WORK = "mitigations=off cryptomgr.notests init_on_alloc=0 no_timer_check"
CMDLINE = f"console=ttyS0,115200 no_console_suspend loglevel=4 panic=-1 {LESS_WORK}"

_SCRIPTS = ("06_hibctl", "44_hibctl")

# OVMF repeats its own console on the serial line, so a second serial terminal there would show everything twice.
_TERMINALS = """\
if [ "$grub_platform" = pc ]; then
  serial --unit=0 --speed=115200
  terminal_input serial console
  terminal_output serial console
fi
"""

_FINDING = """\
echo "test: path=${hib_path} verdict=${hib_verdict} reason=${hib_reason}."
"""
FINDING = re.compile(r"test: path=(\w*) verdict=(\w*) reason=([\w-]*)\.")

# A machine says in the version of its SMBIOS how it was switched on (Machine.power_on). Without a menu the end of the
# countdown comes at once; a menu that waits for somebody still waits.
NO_MENU, MENU = "menu-0", "menu-1"  # of one length, so that the firmware's tables have one size
HURRY = f"""\
smbios --type 1 --get-string 6 --set test_version
if [ "$test_version" = {NO_MENU} -a "$timeout" -gt 0 ]; then
  set timeout=0
fi
"""


def scripts_under_test():
    """The folder with the built grub.d scripts, or None."""
    path = os.environ.get("HIBCTL_GRUB_D")
    return Path(path).resolve() if path else None


def _header_words():
    """What 00_header reads of /etc/default/grub."""
    return {"GRUB_TIMEOUT": str(TIMEOUT), "GRUB_TIMEOUT_STYLE": "menu", "GRUB_DEFAULT": "0"}


def _mkconfig_words(layout):
    """What grub-mkconfig finds out and exports."""
    return {
        "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
        "pkgdatadir": "/usr/share/grub",
        "GRUB_DEVICE": f"UUID={ROOT_UUID}",  # under this name also where no link in /dev/disk bears it
        "GRUB_DEVICE_UUID": ROOT_UUID,
        "GRUB_DEVICE_BOOT_UUID": layout.boot_uuid,
        "GRUB_FS": "ext2",
        "GRUB_DISTRIBUTOR": "Debian",
        "GRUB_CMDLINE_LINUX": CMDLINE,
        "GRUB_CMDLINE_LINUX_DEFAULT": "",
    }


def _hibctl_words(layout, kernel, swap_offset):
    """What the project's scripts read of /etc/default/grub."""
    folder = layout.boot_folder
    words = {
        "GRUB_HIBCTL_KERNEL": f"{folder}/vmlinuz-{kernel.release}",
        "GRUB_HIBCTL_INITRD": f"{folder}/initrd.img-{kernel.release}",
        "GRUB_HIBCTL_FS": layout.boot_uuid,
    }
    if layout.swap is not Swap.NONE:
        words |= {"GRUB_HIBCTL_RESUME": layout.resume_tag, "GRUB_HIBCTL_RESUME_OFFSET": str(swap_offset),
                  "GRUB_HIBCTL_PAGE_SIZE": str(PAGE)}
    return words


def _run_scripts(scripts, env, words):
    """Runs the project's scripts in an /etc of their own, and returns what each of them writes."""
    with tempfile.TemporaryDirectory() as folder:
        etc = Path(folder)
        (etc / "grub.d").mkdir()
        (etc / "default").mkdir()
        (etc / "default/grub").write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in words.items()))
        for name in _SCRIPTS:
            shutil.copy(scripts / name, etc / "grub.d")
        return [host.run("/bin/sh", etc / "grub.d" / name, env=env).decode() for name in _SCRIPTS]


def entry(layout, kernel, title=TITLE, parameters="", ident="stock", suffix=""):
    """An ordinary menu entry, as 10_linux writes it. SUFFIX: at the end of the kernel's and the initramfs's name."""
    folder = layout.boot_folder
    return f"""\
menuentry '{title}' --class debian --id {ident} {{
  load_video
  search --no-floppy --fs-uuid --set=root {layout.boot_uuid}
  echo 'Loading Linux {kernel.release} ...'
  linux {folder}/vmlinuz-{kernel.release}{suffix} root=UUID={ROOT_UUID} ro {CMDLINE} {parameters}
  echo 'Loading initial ramdisk ...'
  initrd {folder}/initrd.img-{kernel.release}{suffix}
}}
"""


def make_config(layout, kernel, scripts=None, swap_offset=0, settings=None, entries=""):
    """The text of grub.cfg. SCRIPTS: folder with the project's grub.d scripts, if they are to be in it. SETTINGS: more
    of /etc/default/grub. ENTRIES: menu entries between the ordinary one and 44_hibctl."""
    env = _mkconfig_words(layout)
    header = host.run("/bin/sh", HEADER, env=env | _header_words()).decode()
    if not scripts:
        return "\n".join((header, _TERMINALS, entry(layout, kernel), entries))
    words = _hibctl_words(layout, kernel, swap_offset) | (settings or {})
    first, last = _run_scripts(scripts, env, words)
    return "\n".join((header, _TERMINALS, first, entry(layout, kernel), entries, last, _FINDING))
