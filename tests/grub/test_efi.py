# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The module for EFI, in OVMF, with everything on a FAT filesystem."""

import shutil

import pytest

from . import marks, rig
from .marks import Mark
from .rig import MIB

PLATFORM = "x86_64-efi"
FAT_UUID = "1234-ABCD"
IMAGE = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER = "aaaaaaaa-0000-4000-8000-000000000002"
WITH_BITS = "aaaaaaaa-0000-4000-8000-000000000003"
OVMF = rig.Path("/usr/share/OVMF")

# The first boot takes the mark, the second finds that; nothing is typed, because the firmware reads the serial line too.
CONFIG = f"""{rig.PRELUDE}
insmod hibresume
echo "VERSION|$hibresume_version|"
hibresume probe
echo "VERDICT|$hib_verdict|$hib_reason|$hib_time|"
if [ "$hib_verdict" = resume ]; then
  hibresume resume ro
  echo "FAILED"
  halt
fi
hibresume discard
echo "NORESUME|$hib_noresume|"
hibresume probe --device UUID={OTHER} --fs {FAT_UUID} --kernel /junk
echo "VERDICT|$hib_verdict|$hib_reason|$hib_time|"
hibresume probe --device UUID={WITH_BITS} --fs {FAT_UUID} --kernel /junk
echo "BITS|$hib_verdict|$hib_reason|$hib_time|"
hibresume resume ro
hibresume probe --device UUID={WITH_BITS} --fs {FAT_UUID} --kernel /junk
echo "BITS|$hib_verdict|$hib_reason|$hib_time|"
insmod (hd0,gpt1)/other.mod
echo END
halt
"""


@pytest.fixture
def disk(workdir, scratch):
    module = rig.module_under_test(scratch, PLATFORM)
    rig.build_module(workdir / "other.mod", rig.GRUB_LIB / PLATFORM, HIBRESUME_GRUB=rig.OTHER_RELEASE[0])
    core = workdir / "core.efi"
    rig.run("grub-mkimage", "-d", rig.GRUB_LIB / PLATFORM, "-O", PLATFORM, "-p", "(hd0,gpt1)/boot/grub", "-o", core,
            "part_gpt", "fat", "normal", "configfile")
    files = {"/EFI/BOOT/BOOTX64.EFI": core, "/boot/grub/grub.cfg": CONFIG.encode(), "/junk": b"no kernel" * 9999,
             "/boot/grub/grubenv": marks.slot(text()), "/other.mod": workdir / "other.mod"}
    files |= rig.grub_files(module, PLATFORM)
    path = workdir / "disk.img"
    rig.partitioned(path, "gpt", [("esp", rig.fat(workdir, files, 32 * MIB, FAT_UUID), None),
                                  ("swap", marks.image_area(IMAGE, MIB), None),
                                  ("swap", marks.image_area(OTHER, MIB), None),
                                  ("swap", marks.slot(bits()) + marks.image_area(WITH_BITS, MIB)[1024:], None)])
    return path


def text(state="armed"):
    return Mark(f"UUID={IMAGE}", FAT_UUID, state, kernel="/junk", initrd="-").text()


def bits(state="armed"):
    return Mark(f"UUID={WITH_BITS}", FAT_UUID, state, kernel="/junk", initrd="-").text()


@pytest.fixture
def boot(disk, workdir):
    shutil.copy(OVMF / "OVMF_VARS_4M.fd", workdir / "vars.fd")
    firmware = [f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
                f"if=pflash,format=raw,file={workdir}/vars.fd"]

    def run():
        with rig.Boot([disk], extra=[word for drive in firmware for word in ("-drive", drive)]) as machine:
            return machine.wait_end()

    return run


def test_efi(disk, boot):
    before = disk.read_bytes()
    said = boot()
    assert "VERSION|1|" in said and "VERDICT|resume|ready|2026-11-22 16:03|" in said and "FAILED" in said
    assert disk.read_bytes() == before.replace(text(), text("taken"))

    said = boot()
    assert "VERDICT|offer|tried|2026-11-22 16:03|" in said
    assert "NORESUME||" in said
    assert "VERDICT|offer|unmarked||" in said
    assert "BITS|resume|ready|2026-11-22 16:03|" in said and "BITS|offer|tried|2026-11-22 16:03|" in said
    assert f"symbol `{rig.OTHER_RELEASE[1]}' not found" in said
    area = marks.image_area(IMAGE, MIB)
    assert disk.read_bytes() == before.replace(text(), marks.empty()).replace(bits(), bits("taken")).replace(
        area, marks.swap_area(IMAGE, MIB, b"SWAPSPACE2", b"SWAPSPACE2"))
