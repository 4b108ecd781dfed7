# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A machine on which everything is as 'hibctl check' wants it."""

import functools
import os
import re
import shutil
from pathlib import Path

from . import rig

# GRUB's own folder of modules, from which grub-install copies modinfo.sh, and the modules that were built.
_GRUB = Path("/usr/lib/grub")
_BUILT = Path(os.environ.get("HIBRESUME_MODDIR", "/nonexistent"))


def hooks_of(found):
    """The places that are named where no sleep hook is: of systemd, and of elogind."""
    return re.findall(r"/\S+/hibctl", found["words"])


@functools.cache
def place_of_hook(tool):
    """As the tool was configured."""
    told = tool("--json", "check").json()
    found = next(one for one in told["findings"] if one["name"] == "sleep-hook")
    return found["words"] if found["level"] == "ok" else hooks_of(found)[0]


class Healthy:
    """MACHINE, with a reserved slot, made healthy. Calling it runs the tool there."""

    def __init__(self, machine, platform="i386-pc", firmware=None):
        self.machine, self.firmware = machine, firmware
        self.modules = machine.scratch.folder("modules")
        with machine.mounted():
            if platform:
                self.put_platform(platform)
        self.running_system()
        self.made_the_initramfs()
        self.hook = self.put(place_of_hook(machine.tool)[1:], "#!/bin/sh\n", mode=0o755)
        self.put("etc/default/grub", "")
        for name in rig.GRUB_D_SCRIPTS:
            self.put(f"etc/grub.d/{name}", "#!/bin/sh\n", mode=0o755)
        self.freshen()

    def put(self, path, text, mode=0o644):
        path = self.machine.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def put_platform(self, platform, module=True):
        self.platform = self.machine.grub / platform
        self.platform.mkdir(exist_ok=True)
        shutil.copy(_GRUB / platform / "modinfo.sh", self.platform)
        self.version = re.search('grub_package_version="(.*)"', (self.platform / "modinfo.sh").read_text())[1]
        self.source = self.modules / platform / "hibresume.mod"
        self.source.parent.mkdir()
        shutil.copy(_BUILT / platform / "hibresume.mod", self.source)
        self.module = self.platform / "hibresume.mod"
        if module:
            shutil.copy(self.source, self.module)

    def running_system(self):
        machine = self.machine
        machine.active_swaps((machine.swap.device, "partition"))
        machine.write("sys/power/disk", "[platform] shutdown reboot suspend test_resume\n")
        machine.write("sys/power/image_size", "500000\n")
        self.memory(4000, 3000)
        machine.write("proc/cmdline", f"BOOT_IMAGE=/vmlinuz root=/dev/x ro resume=UUID={machine.swap.uuid} quiet\n")

    def memory(self, total, free):
        self.machine.write("proc/meminfo", f"MemTotal:       {total} kB\nMemFree:         {free} kB\nBuffers:   0 kB\n")

    def made_the_initramfs(self):
        self.put("usr/sbin/update-initramfs", "#!/bin/sh\n")
        self.put("etc/initramfs-tools/initramfs.conf", "MODULES=most\n")
        self.put("etc/initramfs-tools/conf.d/resume", f"RESUME=UUID={self.machine.swap.uuid}\n")

    def freshen(self):
        """What is made from other files is newer than they are."""
        old = self.machine.root.joinpath
        for path in [*old("etc/default").rglob("*"), *old("etc/grub.d").iterdir(), *old("etc/initramfs-tools").rglob("*")]:
            os.utime(path, (1, 1))

    # ---- the tool ----

    def argv(self, *args):
        return self.machine.tool.argv(*args, f"--modules={self.modules}", root=self.machine.root)

    def __call__(self, *args, env=None, **more):
        modules = [f"--modules={self.modules}"] if "check" in args else []
        return self.machine(*args, *modules, env={**(self.firmware.env if self.firmware else {}), **(env or {})}, **more)

    def findings(self, **more):
        result = self("--json", "check", **more)
        told = {one["name"]: one for one in result.json()["findings"]}
        levels = {one["level"] for one in told.values()}
        assert result.err == "" and result.status == self.status_of(told, levels), result
        lacking = [one for one in told.values() if one["level"] in ("unknown", "warning", "problem") and not one["remedy"]]
        assert not lacking, "what is wrong, and not what to do"
        return told

    @staticmethod
    def status_of(told, levels):
        if "problem" in levels:
            return 4 if "problem" in {told[name]["level"] for name in ("store", "grub") if name in told} else 3
        return 1 if levels & {"warning", "unknown"} else 0

    def one(self, name, level, **more):
        """The finding NAME, which is of this LEVEL."""
        found = self.findings(**more)[name]
        assert found["level"] == level, found
        return found
