# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The module for EFI, in OVMF, with everything on a FAT filesystem."""

import pytest

from . import marks, rig
from .marks import Mark
from .rig import MIB

PLATFORM = rig.EfiDisk.PLATFORM
FAT_UUID = rig.EfiDisk.UUID
IMAGE = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER = "aaaaaaaa-0000-4000-8000-000000000002"
WITH_BITS = "aaaaaaaa-0000-4000-8000-000000000003"

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
    rig.build_module(workdir / "other.mod", rig.GRUB_LIB / PLATFORM, HIBRESUME_GRUB=rig.OTHER_RELEASE[0])
    files = {"/junk": b"no kernel" * 9999, "/boot/grub/grubenv": marks.slot(text()),
             "/other.mod": workdir / "other.mod"}
    parts = [("swap", marks.image_area(IMAGE, MIB), None), ("swap", marks.image_area(OTHER, MIB), None),
             ("swap", marks.slot(bits()) + marks.image_area(WITH_BITS, MIB)[1024:], None)]
    return rig.EfiDisk(workdir, CONFIG, files, parts, rig.module_under_test(scratch, PLATFORM))


def text(state="armed"):
    return Mark(f"UUID={IMAGE}", FAT_UUID, state, kernel="/junk", initrd="-").text()


def bits(state="armed"):
    return Mark(f"UUID={WITH_BITS}", FAT_UUID, state, kernel="/junk", initrd="-").text()


def test_efi(disk, workdir):
    firmware = rig.Ovmf(workdir)
    before = disk.content()
    said = firmware.boot(disk.path)
    assert "VERSION|1|" in said and "VERDICT|resume|ready|2026-11-22 16:03|" in said and "FAILED" in said
    assert disk.content() == before.replace(text(), text("taken"))

    said = firmware.boot(disk.path)
    assert "VERDICT|offer|tried|2026-11-22 16:03|" in said
    assert "NORESUME||" in said
    assert "VERDICT|offer|unmarked||" in said
    assert "BITS|resume|ready|2026-11-22 16:03|" in said and "BITS|offer|tried|2026-11-22 16:03|" in said
    assert f"symbol `{rig.OTHER_RELEASE[1]}' not found" in said
    area = marks.image_area(IMAGE, MIB)
    assert disk.content() == before.replace(text(), marks.empty()).replace(bits(), bits("taken")).replace(
        area, marks.swap_area(IMAGE, MIB, b"SWAPSPACE2", b"SWAPSPACE2"))
