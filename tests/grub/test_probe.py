# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What `hibresume probe' finds out, in real GRUB: one boot, many environment blocks and devices."""

import io
import re
import tarfile

import pytest

from . import marks, rig
from .marks import Mark
from .rig import BOOT_UUID, MIB

IMAGE = "aaaaaaaa-0000-4000-8000-000000000001"
PLAIN = "aaaaaaaa-0000-4000-8000-000000000002"
USWSUSP = "aaaaaaaa-0000-4000-8000-000000000003"
BIG_PAGES = "aaaaaaaa-0000-4000-8000-000000000004"
TWICE = "aaaaaaaa-0000-4000-8000-000000000005"
WITH_FILE = "aaaaaaaa-0000-4000-8000-000000000006"
FS_TWICE = "aaaaaaaa-0000-4000-8000-000000000007"
FAT = "1234-ABCD"
NOWHERE = "aaaaaaaa-0000-4000-8000-0000000000ff"
GPT_PART = "b1c2d3e4-1234-4678-9abc-0123456789ab"
MBR_DISK = "c0ffee42"


def armed(image=f"UUID={IMAGE}", fs_uuid=BOOT_UUID, **fields):
    return Mark(image, fs_uuid, **fields)


def block(*args, **fields):
    return marks.slot(armed(*args, **fields).text())


def spoiled(at, what, text=None):
    """A block whose mark has other bytes at AT."""
    text = text or armed().text()
    return marks.slot(text[:at] + what + text[at + len(what) :])


def resealed(old, new):
    """A block with a right checksum over a mark in which NEW stands for OLD."""
    text = armed().text()
    assert old in text
    return marks.slot(marks.seal(text.replace(old, new, 1)[:392].ljust(392) + b"00000000"))


def configured(tag=f"UUID={IMAGE}", **options):
    words = {"fs": BOOT_UUID, "kernel": "/boot/vmlinuz", "initrd": "/boot/initrd"} | options
    words = {name.replace("_", "-"): value for name, value in words.items() if value}
    return f"--device {tag} " + " ".join(f"--{name} {value}" for name, value in words.items())


# name: (environment block or None, options, verdict, reason, object that the words name)
CASES = {
    "armed": (block(), "", "resume", "ready", f"UUID={IMAGE}"),
    "armed, other variables around it": (
        marks.slot(armed().text(), ("saved_entry", b"x"), ("y", b"a\\\\b")), "", "resume", "ready", None),
    "armed, no ramdisk": (block(initrd="-"), "", "resume", "ready", None),
    "armed, upper-case UUIDs": (
        block(f"UUID={IMAGE.upper()}", BOOT_UUID.upper()), "", "resume", "ready", None),
    "armed, no image": (block(f"UUID={PLAIN}"), "", "normal", "stale", f"UUID={PLAIN}"),
    "armed, not at that offset": (block(offset=3), "", "normal", "stale", f"UUID={IMAGE}+3"),
    "armed, beyond the end of the device": (block(offset=256), "", "normal", "no-device", None),
    "armed, far beyond the end": (block(offset=2**44 - 1, page_size=65536), "", "normal", "no-device", None),
    "armed, device gone": (block(f"UUID={NOWHERE}"), "", "normal", "no-device", f"UUID={NOWHERE}"),
    "armed, two devices of that name": (block(f"UUID={TWICE}"), "", "normal", "no-device", None),
    "armed, image of uswsusp": (block(f"UUID={USWSUSP}"), "", "normal", "foreign", None),
    "armed, 64 KiB pages": (block(f"UUID={BIG_PAGES}", page_size=65536), "", "resume", "ready", None),
    "armed, other page size": (block(f"UUID={BIG_PAGES}"), "", "normal", "stale", None),
    "armed, GPT partition": (block(f"PARTUUID={GPT_PART}"), "", "resume", "ready", f"PARTUUID={GPT_PART}"),
    "armed, MBR partition": (block(f"PARTUUID={MBR_DISK}-01"), "", "resume", "ready", None),
    "armed, logical MBR partition": (block(f"PARTUUID={MBR_DISK}-05"), "", "resume", "ready", None),
    "armed, MBR partition gone": (block(f"PARTUUID={MBR_DISK}-03"), "", "normal", "no-device", None),
    "armed, swap file": (block(f"UUID={WITH_FILE}", offset=-1), "", "resume", "ready", None),
    "armed, swap file moved": (block(f"UUID={WITH_FILE}", offset=1), "", "normal", "stale", None),
    "armed, two filesystems of that name": (block(f"UUID={FS_TWICE}"), "", "normal", "no-device", None),
    "armed, kernel gone": (block(kernel="/boot/vmlinuz-5"), "", "normal", "kernel-gone", "/boot/vmlinuz-5"),
    "armed, kernel is a folder": (block(kernel="/boot"), "", "normal", "kernel-gone", None),
    "armed, ramdisk gone": (block(initrd="/boot/initrd-5"), "", "normal", "initrd-gone", "/boot/initrd-5"),
    "armed, kernel's filesystem gone": (block(fs_uuid=NOWHERE), "", "normal", "kernel-gone", None),
    "armed, kernel's filesystem there twice": (block(fs_uuid=FS_TWICE), "", "normal", "kernel-gone", None),
    "armed, kernel on another filesystem": (
        block(fs_uuid=WITH_FILE, kernel="/vmlinuz", initrd="-"), "", "resume", "ready", None),
    # GRUB has not loaded the driver for it yet.
    "armed, kernel on a FAT filesystem": (
        block(fs_uuid=FAT, kernel="/vmlinuz", initrd="-"), "", "resume", "ready", None),
    "armed, device not to be seen": (block(f"UUID={NOWHERE}", verify="hint"), "", "resume", "ready-hint", None),
    "taken, image there": (block(state="taken"), "", "offer", "tried", None),
    "taken, image gone": (block(f"UUID={PLAIN}", state="taken"), "", "normal", "spent", None),
    "none, fields left over": (block(state="none"), "", "normal", "nothing", None),
    "empty slot": (marks.slot(marks.empty()), "", "normal", "nothing", None),
    "empty slot, taken": (marks.slot(marks.empty("taken")), "", "normal", "nothing", None),
    "no slot": (marks.env_block(("saved_entry", b"0")), "", "normal", "nothing", None),
    "no file": (None, "", "normal", "nothing", None),
    "empty file": (b"", "", "normal", "damaged", None),
    "no environment block": (b"x" * 1024, "", "normal", "damaged", None),
    "zero bytes": (bytes(1023) + b"x", "", "normal", "damaged", None),
    # save_env would refuse to add a variable to the first, and to touch the second.
    "1025 bytes": (block() + b"\n", "", "resume", "ready", None),
    "padded with zero bytes": (block().replace(b"#" * 8, bytes(8)), "", "normal", "damaged", None),
    "512 bytes": (marks.slot(armed().text(), size=512), "", "resume", "ready", None),
    "64 KiB": (marks.slot(armed().text(), size=65536), "", "resume", "ready", None),
    "too large a block": (marks.slot(armed().text(), size=MIB + 1), "", "normal", "source-unreadable", None),
    "slot there twice": (
        marks.env_block(("hib_mark", armed().text()), ("hib_mark", armed().text())), "", "normal", "damaged", None),
    "slot across two sectors": (
        marks.env_block(("a", b"b" * 200), ("hib_mark", armed().text())), "", "normal", "damaged", None),
    "slot behind a line that swallows it": (
        marks.ENV_SIGNATURE + (b"junk\nhib_mark=" + armed().text() + b"\n").ljust(999, b"#"),
        "", "normal", "nothing", None),
    "too short": (marks.slot(armed().text()[:-1]), "", "normal", "damaged", None),
    "too long": (marks.slot(armed().text() + b"x"), "", "normal", "damaged", None),
    "a wrong byte": (spoiled(60, b"~"), "", "normal", "damaged", None),
    "a wrong checksum": (spoiled(392, b"00000000"), "", "normal", "damaged", None),
    "an unknown state": (spoiled(5, b"ready"), "", "normal", "damaged", None),
    "a control character": (spoiled(60, b"\x1b"), "", "normal", "damaged", None),
    "another word": (spoiled(0, b"xyz"), "", "normal", "damaged", None),
    "from the future": (spoiled(3, b"2"), "", "normal", "future", None),
    "a path with a bracket": (resealed(b"/boot/vmlinuz", b"/boot/(x)linuz"), "", "normal", "damaged", None),
    "a path with a dollar sign": (resealed(b"/boot/vmlinuz", b"/boot/$linuz"), "", "normal", "damaged", None),
    "a path that climbs": (resealed(b"/boot/vmlinuz", b"/boot/../x"), "", "normal", "damaged", None),
    "an offset of 2^64": (resealed(b" 0 4096", b" 18446744073709551616 4096"), "", "normal", "damaged", None),
    "a page size of 5000": (resealed(b" 0 4096", b" 0 5000"), "", "normal", "damaged", None),
    "configured, image": (None, configured(), "offer", "unmarked", f"UUID={IMAGE}"),
    "configured, no image": (None, configured(f"UUID={PLAIN}"), "normal", "nothing", None),
    "configured, device gone": (None, configured(f"UUID={NOWHERE}"), "normal", "nothing", None),
    "configured, swap file": (
        None, configured(f"UUID={WITH_FILE}", offset=-1, page_size=4096), "offer", "unmarked", None),
    "configured, image of uswsusp": (None, configured(f"UUID={USWSUSP}"), "normal", "foreign", None),
    "configured, kernel gone": (None, configured(kernel="/boot/none"), "normal", "kernel-gone", "/boot/none"),
    "configured, no kernel known": (
        None, configured(fs=None, kernel=None, initrd=None), "normal", "nothing", None),
    "configured, no ramdisk": (None, configured(initrd=None), "offer", "unmarked", None),
    "configured, slot empty": (marks.slot(marks.empty()), configured(), "offer", "unmarked", None),
    "configured, mark damaged": (spoiled(60, b"~"), configured(), "offer", "unmarked", None),
    "configured, another marked": (
        block(f"PARTUUID={GPT_PART}"), configured(), "resume", "ready", f"PARTUUID={GPT_PART}"),
    "configured, the marked one gone": (block(f"UUID={PLAIN}"), configured(), "offer", "unmarked", f"UUID={IMAGE}"),
    "configured, nothing there": (
        block(f"UUID={PLAIN}"), configured(f"UUID={NOWHERE}"), "normal", "stale", f"UUID={PLAIN}"),
}

# Blocks that are read but cannot be written: on a disk that is a file, in a filesystem that save_env must not touch.
NOT_WRITABLE = {"loop": "(loop)/env", "tar": "(hd0,gpt13)/env"}

# What grub.cfg can get wrong: said in words, and the variables are there all the same.
WRONG_OPTIONS = {
    "unknown option": ("--sleep 1", "unknown option `--sleep'"),
    "no value": ("--device", "--device: a value is missing"),
    "no number": ("--offset x", "--offset x: not a number, or too large"),
    "too large a number": (f"--offset {2**44}", f"--offset {2**44}: not a number, or too large"),
    "far too large": (f"--offset {2**70}", f"--offset {2**70}: not a number, or too large"),
    "no page size": ("--page-size 5000", "--page-size 5000: not a page size"),
    "too long a path": (f"--kernel /{'x' * 200}", "too long"),
    "too long a device": (f"--device UUID={'1' * 80}", "too long"),
}


def swap_file_fs(scratch):
    """A filesystem with a swap file in it that holds an image, and the file's offset in pages."""
    data = rig.ext4(scratch, {"/swapfile": marks.image_area(NOWHERE, MIB), "/vmlinuz": b"kernel"}, 4 * MIB, WITH_FILE)
    at = data.index(b"S1SUSPEND\0") + 10 - 4096
    assert at % 4096 == 0 and at > 0
    return data, at // 4096


def tar_archive(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def mbr_disk(path):
    """An image in a primary and in a logical partition."""
    area = marks.image_area(NOWHERE, MIB)
    with open(path, "wb") as f:
        f.truncate(6 * MIB)
    rig.run("sfdisk", "-q", "--no-reread", path, input=f"""label: dos
label-id: 0x{MBR_DISK}
start=2048, size=2048, type=82
start=4096, size=6144, type=5
start=6144, size=2048, type=82
""".encode())
    with open(path, "r+b") as f:
        for sector in (2048, 6144):
            f.seek(sector * 512)
            f.write(area)


def probe_commands(name, options, env):
    env = f"--env (hd0,gpt2)/env/{env} "
    return f"""\
set hib_verdict=
hibresume probe {env}{options}
echo "CASE|{name}|$hib_verdict|$hib_reason|$hib_time|$hib_release|$hib_words|$?|"
"""


@pytest.fixture(scope="module")
def told(once, scratch, module):
    """What was said about each case."""
    return once("probe", lambda: boot_once(scratch, module))


def boot_once(scratch, module):
    folder = scratch / "probe"
    folder.mkdir()
    with_file, offset = swap_file_fs(folder)
    files = rig.grub_files(module) | {"/boot/vmlinuz": b"kernel", "/boot/initrd": b"ramdisk"}
    config = [rig.PRELUDE, "insmod part_msdos", "insmod hibresume", 'echo "VERSION|$hibresume_version|"']
    for i, (name, (env, options, *_)) in enumerate(CASES.items()):
        if env is not None:
            if b" -1 4096" in env:  # the swap file's offset was not known yet
                env = marks.slot(armed(f"UUID={WITH_FILE}", offset=offset).text())
            files[f"/env/{i}"] = env
        config.append(probe_commands(name, options.replace("--offset -1", f"--offset {offset}"), i))
    # Blocks that GRUB reads but cannot write.
    files["/loop.img"] = rig.ext4(folder, {"/env": block()}, MIB, NOWHERE)
    loop, tar = (probe_commands(name, "", "x").replace("(hd0,gpt2)/env/x", path)
                 for name, path in NOT_WRITABLE.items())
    config += ["loopback loop /loop.img", loop, "loopback -d loop", tar]
    config += [probe_commands(name, options, "none") for name, (options, _) in WRONG_OPTIONS.items()]
    config += ["hibresume", "hibresume sleep", "hibresume discard x", "echo END", "halt"]
    files["/boot/grub/grub.cfg"] = "\n".join(config).encode()

    twice = rig.ext4(folder, {"/boot/vmlinuz": b"kernel"}, 2 * MIB, FS_TWICE)
    disk = rig.Disk(folder, files, [
        ("swap", marks.image_area(IMAGE, MIB), None),
        ("swap", marks.swap_area(PLAIN, MIB), None),
        ("swap", marks.swap_area(USWSUSP, MIB, b"ULSUSPEND", b"SWAPSPACE2"), None),
        ("swap", marks.image_area(BIG_PAGES, MIB, 65536), None),
        ("swap", marks.image_area(TWICE, MIB), None),
        ("swap", marks.image_area(TWICE, MIB), None),
        ("linux", with_file, None),
        ("linux", twice, None),
        ("linux", twice, None),
        ("linux", rig.fat(folder, {"/vmlinuz": b"kernel"}, MIB, FAT), None),
        ("linux", tar_archive({"env": block()}), None),
        ("swap", marks.image_area(NOWHERE[:-2] + "aa", MIB), f"uuid={GPT_PART}"),
    ], fs_size=32 * MIB)
    second = folder / "second.img"
    mbr_disk(second)
    before = disk.content(), second.read_bytes()
    said = rig.boot(disk.path, second)
    assert (disk.content(), second.read_bytes()) == before, "probe wrote to a disk"
    assert "END" in said, said
    return said


def said_of(told, name):
    found = re.search(rf"^CASE\|{re.escape(name)}\|(.*)\|$", told, re.MULTILINE)
    assert found, f"nothing was said about {name!r}:\n{told}"
    keys = ("verdict", "reason", "time", "release", "words", "status")
    return dict(zip(keys, found.group(1).split("|"), strict=True))


def test_loaded(told):
    assert "VERSION|1|" in told


@pytest.mark.parametrize("name", CASES)
def test_case(told, name):
    env, _, verdict, reason, words_about = CASES[name]
    said = said_of(told, name)
    assert (said["verdict"], said["reason"]) == (verdict, reason)
    assert said["status"] == "0"
    if words_about:
        assert said["words"].startswith(f"{words_about}: "), said["words"]
    else:
        assert said["words"]
    if verdict != "normal" and reason != "unmarked":
        assert (said["time"], said["release"]) == ("2026-11-22 16:03", "6.1.0-56-cloud-amd64")
    if reason in ("unmarked", "nothing", "damaged"):
        assert (said["time"], said["release"]) == ("", "")


@pytest.mark.parametrize("name", NOT_WRITABLE)
def test_not_writable(told, name):
    said = said_of(told, name)
    assert (said["verdict"], said["reason"]) == ("offer", "cannot-consume")
    assert said["words"].startswith(f"{NOT_WRITABLE[name]}: ")


@pytest.mark.parametrize("name", WRONG_OPTIONS)
def test_wrong_options(told, name):
    assert WRONG_OPTIONS[name][1] in told
    said = said_of(told, name)
    assert (said["verdict"], said["reason"]) == ("normal", "nothing")
    assert said["status"] != "0"


def test_probe_is_silent(told):
    """Between two results stands nothing but errors in the use of the command."""
    lines = [line for line in told.split("VERSION|1|")[1].splitlines() if line.strip()]
    others = [line for line in lines if not line.startswith(("CASE|", "error: ", "END"))]
    errors = [line for line in lines if line.startswith("error: ")]
    assert others == []
    assert len(errors) == len(WRONG_OPTIONS) + 3, errors


def test_subcommands(told):
    assert told.count("one of `probe', `resume' and `discard' is expected") == 3
