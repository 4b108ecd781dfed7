# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The mark in the boot bits of a swap area, in real GRUB: what is believed of what stands there, what is started, and
which bytes change on the disks."""

import random
import re

import pytest

from . import marks, rig
from .marks import Mark
from .rig import BOOT_UUID, MIB

# A partition that is cut into areas of one page each, one for each case.
AREAS = "b1c2d3e4-1234-4678-9abc-0123456789ab"
PAGES = 256
PAGE = 4096
SWAP = "aaaaaaaa-0000-4000-8000-000000000001"
BIG_PAGES = "aaaaaaaa-0000-4000-8000-000000000002"
BIG_PART = "b1c2d3e4-1234-4678-9abc-0123456789cd"
WITH_FILE = "aaaaaaaa-0000-4000-8000-000000000003"
LOOPED = "aaaaaaaa-0000-4000-8000-000000000004"
PLAIN = "aaaaaaaa-0000-4000-8000-000000000005"
MARKED = "aaaaaaaa-0000-4000-8000-000000000006"
INSIDE = "aaaaaaaa-0000-4000-8000-000000000007"  # in the header of an area that has another name outside
NOWHERE = "aaaaaaaa-0000-4000-8000-0000000000ff"
BITS = 1024
AREA = f"PARTUUID={AREAS}"
RAMDISK = b"the right ramdisk\0"


def mark(image, fs_uuid=BOOT_UUID, **fields):
    return Mark(image, fs_uuid, **fields)


def with_bits(area, bits):
    assert len(bits) == BITS
    return bits + area[BITS:]


def configured(image, offset=0, page=PAGE):
    return (f"--device {image} --offset {offset} --page-size {page} --fs {BOOT_UUID} --kernel /boot/vmlinuz "
            "--initrd /boot/initrd")


# ---- what is found out ----


def armed(image=AREA, **fields):
    """What makes the boot bits of area number N."""
    return lambda n: marks.slot(mark(image, **({"offset": n} | fields)).text())


def spoiled(at, what):
    def make(n):
        text = mark(AREA, offset=n).text()
        return marks.slot(text[:at] + what + text[at + len(what) :])

    return make


def resealed(old, new):
    def make(n):
        text = mark(AREA, offset=n).text()
        assert old in text
        return marks.slot(marks.seal(text.replace(old, new, 1)[:392].ljust(392) + b"00000000"))

    return make


def cut(first, second):
    """The first and the second sector of what ARMED makes, or other bytes."""
    return lambda n: (first or armed()(n)[:512]) + (second or armed()(n)[512:])


def same(content):
    return lambda n: content.ljust(BITS, b"\0")[:BITS]


def env(image=f"UUID={MARKED}", **fields):
    return marks.slot(mark(image, **fields).text())


FAT = b"\xeb\x3c\x90mkfs.fat".ljust(510, b"\0") + b"\x55\xaa"
NTFS = b"\xeb\x52\x90NTFS    ".ljust(510, b"\0") + b"\x55\xaa"
BOOT_IMG = (rig.GRUB_LIB / rig.PLATFORM / "boot.img").read_bytes()
RANDOM = random.Random(1).randbytes(BITS)
FOREIGN = {"a FAT boot sector": FAT, "an NTFS boot sector": NTFS, "GRUB's boot sector": BOOT_IMG, "random bytes": RANDOM,
           "nothing but zeros": b"", "the start of a signature": marks.ENV_SIGNATURE[:-1],
           "a first write that was cut": bytes(512) + b"#" * 512, "another's environment block": marks.env_block()}

SLOTS_TWICE = marks.env_block(("hib_mark", marks.empty()), ("hib_mark", marks.empty()))

# name: (boot bits, is an image there, environment block or None, verdict, reason, object that the words name)
HERE = "the area itself"
CASES = {
    "armed": (armed(), True, None, "resume", "ready", HERE),
    "armed, no ramdisk": (armed(initrd="-"), True, None, "resume", "ready", HERE),
    "armed, upper-case name": (armed(f"PARTUUID={AREAS.upper()}"), True, None, "resume", "ready", None),
    "armed, other variables behind it": (
        lambda n: marks.slot(mark(AREA, offset=n).text(), ("x", b"y" * 300)), True, None, "resume", "ready", HERE),
    "armed, image gone": (armed(), False, None, "normal", "stale", HERE),
    "armed, kernel gone": (armed(kernel="/boot/gone"), True, None, "normal", "kernel-gone", "/boot/gone"),
    "armed, ramdisk gone": (armed(initrd="/boot/gone"), True, None, "normal", "initrd-gone", "/boot/gone"),
    # Where the mark was read, the image can be looked at.
    "hint, image there": (armed(verify="hint"), True, None, "resume", "ready", HERE),
    "hint, image gone": (armed(verify="hint"), False, None, "normal", "stale", HERE),
    "taken, image there": (armed(state="taken"), True, None, "offer", "tried", HERE),
    "taken, image gone": (armed(state="taken"), False, None, "normal", "spent", HERE),
    "empty slot": (same(marks.slot(marks.empty())), False, None, "normal", "nothing", None),
    "empty slot, image there": (same(marks.slot(marks.empty())), True, None, "offer", "unmarked", HERE),
    "a wrong byte": (spoiled(60, b"~"), False, None, "normal", "damaged", HERE),
    "a wrong byte, image there": (spoiled(60, b"~"), True, None, "offer", "unmarked", HERE),
    "a wrong checksum": (spoiled(392, b"00000000"), False, None, "normal", "damaged", HERE),
    "an unknown state": (spoiled(5, b"ready"), False, None, "normal", "damaged", HERE),
    "from the future": (spoiled(3, b"2"), False, None, "normal", "future", HERE),
    "a path that climbs": (resealed(b"/boot/vmlinuz", b"/boot/../x"), False, None, "normal", "damaged", HERE),
    "an offset of 2^64": (resealed(b" 4096 ", b"18446744073709551616 4096 "), False, None, "normal", "damaged", HERE),
    "slot there twice": (same(SLOTS_TWICE), False, None, "normal", "damaged", HERE),
    "slot across two sectors": (
        lambda n: marks.env_block(("a", b"b" * 200), ("hib_mark", mark(AREA, offset=n).text())), True, None, "offer",
        "unmarked", HERE),
    "only the first sector": (cut(None, bytes(512)), False, None, "normal", "damaged", HERE),
    "only the first sector, image there": (cut(None, bytes(512)), True, None, "offer", "unmarked", HERE),
    "only the second sector": (cut(bytes(512), None), True, None, "offer", "unmarked", HERE),
    "about another offset": (armed(offset=PAGES - 1), False, None, "normal", "damaged", HERE),
    "about another offset, image in both": (armed(offset=PAGES - 1), True, None, "offer", "unmarked", HERE),
    "about another page size": (armed(page_size=16384), False, None, "normal", "damaged", HERE),
    "about another device": (armed(f"PARTUUID={BIG_PART}"), True, None, "offer", "unmarked", HERE),
    "about a device that is gone": (armed(f"UUID={NOWHERE}"), True, None, "offer", "unmarked", HERE),
    "taken, about another offset": (armed(offset=PAGES - 1, state="taken"), False, None, "normal", "damaged", HERE),

    # Beside a mark in the environment block.
    "env stale": (armed(), True, env(f"UUID={PLAIN}"), "resume", "ready", HERE),
    "env's device gone": (armed(), True, env(f"UUID={NOWHERE}"), "resume", "ready", HERE),
    "env empty": (armed(), True, marks.slot(marks.empty()), "resume", "ready", HERE),
    "env damaged": (armed(), True, b"x" * 1024, "resume", "ready", HERE),
    "env armed, image there": (
        armed(kernel="/boot/gone"), True, env(kernel="/boot/other"), "resume", "ready", f"UUID={MARKED}"),
    "env taken, image there": (armed(), True, env(state="taken"), "offer", "tried", f"UUID={MARKED}"),
    "env's kernel gone, image there": (
        armed(), True, env(kernel="/boot/none"), "normal", "kernel-gone", "/boot/none"),
    # That one was tried; whether it failed nobody can see. It is another image.
    "env taken by hint": (
        armed(), True, env(f"UUID={NOWHERE}", state="taken", verify="hint"), "resume", "ready", HERE),
    "env stale, boot bits stale": (armed(), False, env(f"UUID={PLAIN}"), "normal", "stale", f"UUID={PLAIN}"),
    "env stale, boot bits taken": (armed(state="taken"), True, env(f"UUID={PLAIN}"), "offer", "tried", HERE),
    "env stale, boot bits damaged": (spoiled(60, b"~"), True, env(f"UUID={PLAIN}"), "offer", "unmarked", HERE),
}
for what, content in FOREIGN.items():
    CASES[what] = same(content), False, None, "normal", "nothing", None
    CASES[f"{what}, image there"] = same(content), True, None, "offer", "unmarked", HERE

# Other areas: (options of probe, verdict, reason, object)
OTHERS = {
    "swap partition by UUID": (configured(f"UUID={SWAP}"), "resume", "ready", f"UUID={SWAP}"),
    # The mark says UUID, grub.cfg PARTUUID.
    "64 KiB pages, the other name": (
        configured(f"PARTUUID={BIG_PART}", page=65536), "resume", "ready", f"UUID={BIG_PAGES}"),
    "64 KiB pages, looked at with 4 KiB": (
        configured(f"PARTUUID={BIG_PART}"), "normal", "damaged", f"PARTUUID={BIG_PART}"),
    "swap file": (configured(f"UUID={WITH_FILE}", "OFFSET"), "resume", "ready", f"UUID={WITH_FILE}+OFFSET"),
    "the last page": (configured(AREA, PAGES - 1), "resume", "ready", f"{AREA}+{PAGES - 1}"),
    "beyond the end": (configured(AREA, PAGES), "normal", "nothing", None),
    "far beyond the end": (configured(AREA, 2**44 - 1, 65536), "normal", "nothing", None),
    # The boot bits are on the device, but not the whole first page.
    "across the end": (configured(f"UUID={LOOPED}", MIB // 65536, 65536), "normal", "nothing", None),
    "no kernel known": (f"--device UUID={SWAP}", "resume", "ready", f"UUID={SWAP}"),
    "device gone": (configured(f"UUID={NOWHERE}"), "normal", "nothing", None),
    "not configured": ("", "normal", "nothing", None),
    "on a disk that is a file": (configured(f"UUID={LOOPED}"), "offer", "cannot-consume", f"UUID={LOOPED}"),
}


def probe_commands(name, options):
    return f"""\
set hib_verdict=
hibresume probe {options}
echo "CASE|{name}|$hib_verdict|$hib_reason|$hib_time|$hib_release|$hib_words|$?|"
"""


def areas():
    """The partition of many areas. What follows the boot bits of one is not zero."""
    swap, image = marks.swap_area(INSIDE, PAGE), marks.image_area(INSIDE, PAGE)
    out = [with_bits(image if there else swap, bits(n)) for n, (bits, there, *_) in enumerate(CASES.values())]
    assert len(out) < PAGES - 1
    out += [swap] * (PAGES - 1 - len(out)) + [with_bits(image, armed()(PAGES - 1))]
    return b"".join(out)


def swap_file(folder):
    """A filesystem with a swap file in it that holds a marked image, and the file's offset in pages."""
    page = marks.image_area(INSIDE, MIB)[:PAGE]  # the file may be in several pieces
    data = rig.ext4(folder, {"/swapfile": page}, 4 * MIB, WITH_FILE)
    at = data.index(page)
    text = mark(f"UUID={WITH_FILE}", offset=at // PAGE).text()
    return data[:at] + marks.slot(text) + data[at + BITS :], at // PAGE


def loop_image():
    """A disk that is a file: an area at its start, and one that its end cuts off."""
    start = with_bits(marks.image_area(LOOPED, MIB), armed(f"UUID={LOOPED}", offset=0)(0))
    return start + armed(f"UUID={LOOPED}", offset=MIB // 65536, page_size=65536)(0).ljust(PAGE, b"\0")


@pytest.fixture(scope="module")
def told(once, scratch, module):
    """What was said about each case, and the offset of the swap file."""
    return once("bootbits", lambda: boot_once(scratch, module))


def boot_once(scratch, module):
    folder = scratch / "bootbits"
    folder.mkdir()
    with_file, offset = swap_file(folder)
    files = rig.grub_files(module) | {"/boot/vmlinuz": b"kernel", "/boot/initrd": b"ramdisk", "/boot/other": b"kernel",
                                      "/loop.img": loop_image()}
    config = [rig.PRELUDE, "insmod hibresume", "loopback loop /loop.img"]
    for n, (name, (_, _, env_block, *_)) in enumerate(CASES.items()):
        if env_block is not None:
            files[f"/env/{n}"] = env_block
        config.append(probe_commands(name, f"--env (hd0,gpt2)/env/{n} {configured(AREA, n)}"))
    for name, (options, *_) in OTHERS.items():
        config.append(probe_commands(name, "--env (hd0,gpt2)/env/none " + options.replace("OFFSET", str(offset))))
    config += ["echo END", "halt"]
    files["/boot/grub/grub.cfg"] = "\n".join(config).encode()
    disk = rig.Disk(folder, files, [
        ("swap", areas(), f"uuid={AREAS}"),
        ("swap", with_bits(marks.image_area(SWAP, MIB), armed(f"UUID={SWAP}")(0)), None),
        ("swap", with_bits(marks.image_area(BIG_PAGES, MIB, 65536), armed(f"UUID={BIG_PAGES}", page_size=65536)(0)),
         f"uuid={BIG_PART}"),
        ("linux", with_file, None),
        ("swap", marks.swap_area(PLAIN, MIB), None),
        ("swap", marks.image_area(MARKED, MIB), None),
    ], fs_size=32 * MIB)
    before = disk.content()
    said = rig.boot(disk.path)
    assert disk.content() == before, "probe wrote to the disk"
    assert "END" in said, said
    return said, offset


def check(told, name, verdict, reason, about):
    text, offset = told
    found = re.search(rf"^CASE\|{re.escape(name)}\|(.*)\|$", text, re.MULTILINE)
    assert found, f"nothing was said about {name!r}:\n{text}"
    said = dict(zip(("verdict", "reason", "time", "release", "words", "status"), found.group(1).split("|"),
                    strict=True))
    assert (said["verdict"], said["reason"], said["status"]) == (verdict, reason, "0")
    if about:
        assert said["words"].startswith(f"{about.replace('OFFSET', str(offset))}: "), said["words"]
    if reason in ("unmarked", "nothing", "damaged", "future"):
        assert (said["time"], said["release"]) == ("", "")
    else:
        assert (said["time"], said["release"]) == ("2026-11-22 16:03", "6.1.0-56-cloud-amd64")


@pytest.mark.parametrize("name", CASES)
def test_area(told, name):
    *_, verdict, reason, about = CASES[name]
    if about == HERE:
        n = list(CASES).index(name)
        about = f"{AREA}+{n}" if n else AREA
    check(told, name, verdict, reason, about)


@pytest.mark.parametrize("name", OTHERS)
def test_place(told, name):
    check(told, name, *OTHERS[name][1:])


def test_probe_is_silent(told):
    lines = [line for line in told[0].splitlines() if line.startswith("error: ")]
    assert lines == []


# ---- what is done ----


def config(*commands, probe=configured(f"UUID={SWAP}")):
    return "\n".join((rig.PRELUDE, "insmod hibresume", f"hibresume probe --env (hd0,gpt2)/boot/grub/grubenv {probe}",
                      'echo "VERDICT|$hib_verdict|$hib_reason|"', *commands, "echo END", "halt")).encode()


@pytest.fixture
def make_disk(workdir, module, kernel):
    def make(parts, *commands, env_block=None, **options):
        content = rig.grub_files(module) | {
            "/boot/grub/grub.cfg": config(*commands, **options), "/boot/vmlinuz": kernel, "/boot/initrd": RAMDISK,
            "/boot/junk": b"not a kernel" * 1000}
        if env_block is not None:
            content["/boot/grub/grubenv"] = env_block
        return rig.Disk(workdir, content, parts)

    return make


def text_of(**fields):
    return mark(f"UUID={SWAP}", **fields).text()


def swap_part(there=True, **fields):
    """A swap partition with a mark in its boot bits."""
    area = marks.image_area(SWAP, MIB) if there else marks.swap_area(SWAP, MIB)
    return "swap", with_bits(area, marks.slot(text_of(**fields), ("other", b"1"))), None


def started(said):
    found = re.search(r"KERNEL\[(.*?)\] RAMDISK\[(.*?)\]", said)
    return found.groups() if found else None


def changed(before, *replacements):
    for old, new in replacements:
        assert before.count(old) == 1 and len(old) == len(new)
        before = before.replace(old, new)
    return before


def cleared(**fields):
    return text_of(**fields), marks.empty()


RESTORED = b"SWAPSPACE2S1SUSPEND\0", b"SWAPSPACE2SWAPSPACE2"


def test_stock_grub_reads_it(make_disk):
    """load_env and list_env, which know nothing of swap areas: at the start of a partition, and at page 5."""
    text = mark(AREA, offset=5).text()
    five = marks.swap_area(PLAIN, 5 * PAGE) + with_bits(marks.image_area(INSIDE, PAGE), marks.slot(text))
    disk = make_disk([swap_part(), ("swap", five, None)], "list_env --file (hd0,gpt3)0+2",
                     "load_env --file (hd0,gpt3)0+2 hib_mark", 'echo "LOADED|$hib_mark|$other|"',
                     f"load_env --file (hd0,gpt4){5 * PAGE // 512}+2", 'echo "LOADED|$hib_mark|"', probe="")
    said = re.sub(r"\s*\n", "", re.sub(r" +", " ", rig.boot(disk.path)))

    def shown(text):
        return re.sub(r" +", " ", text.decode())

    assert f"hib_mark={shown(text_of())}other=1" in said
    assert f"LOADED|{shown(text_of())}||" in said
    assert f"LOADED|{shown(text)}|" in said


# ---- resume ----


def test_resume(make_disk):
    disk = make_disk([swap_part()], "hibresume resume root=/dev/vda3 ro", env_block=marks.slot(marks.empty()))
    before = disk.content()
    said = rig.boot(disk.path)
    assert "VERDICT|resume|ready|" in said and "error" not in said
    assert started(said) == (f"BOOT_IMAGE=(hd0,gpt2)/boot/vmlinuz root=/dev/vda3 ro resume=UUID={SWAP} "
                             "resume_offset=0", RAMDISK[:-1].decode())
    # The state and nothing else, on the whole disk.
    assert disk.content() == changed(before, (text_of(), text_of(state="taken")))
    # And once only.
    said = rig.boot(disk.path)
    assert "VERDICT|offer|tried|" in said
    assert disk.content() == changed(before, (text_of(), text_of(state="taken")))


def test_resume_from_a_swap_file(make_disk, workdir):
    fs, offset = swap_file(workdir)
    disk = make_disk([("linux", fs, None)], "hibresume resume ro", probe=configured(f"UUID={WITH_FILE}", offset))
    before = disk.content()
    said = rig.boot(disk.path)
    assert started(said)[0].endswith(f" ro resume=UUID={WITH_FILE} resume_offset={offset}")
    text = {state: mark(f"UUID={WITH_FILE}", offset=offset, state=state).text() for state in marks.STATES}
    assert disk.content() == changed(before, (text["armed"], text["taken"]))


def test_resume_takes_only_the_mark_that_decided(make_disk):
    """The environment block's mark has no image; it stays as it is. And the other way round."""
    stale = env(f"UUID={PLAIN}", ident="f" * 32)
    disk = make_disk([swap_part()], "hibresume resume ro", env_block=stale)
    before = disk.content()
    assert started(rig.boot(disk.path))
    assert disk.content() == changed(before, (text_of(), text_of(state="taken")))

    good = mark(f"UUID={MARKED}", ident="f" * 32)
    disk = make_disk([swap_part(), ("swap", marks.image_area(MARKED, MIB), None)], "hibresume resume ro",
                     env_block=marks.slot(good.text()))
    before = disk.content()
    assert started(rig.boot(disk.path))[0].endswith(f"resume=UUID={MARKED} resume_offset=0")
    good.state = "taken"
    assert disk.content() == changed(before, (env(f"UUID={MARKED}", ident="f" * 32), marks.slot(good.text())))


def refused(said):
    assert "VERDICT|resume|ready|" in said
    assert "you need to load the kernel first." in said
    assert "END" in said and not started(said)


def test_disk_that_fails_to_write(make_disk):
    disk = make_disk([swap_part()], "hibresume resume ro", "boot", "hibresume discard", 'echo "DISCARDED|$?|"')
    before = disk.content()
    said = rig.boot_read_only(disk.path)
    refused(said)
    assert re.search(r"DISCARDED\|[1-9]", said) and "the mark could not be cleared." in said
    assert disk.content() == before


def test_disk_that_forgets(make_disk, workdir):
    disk = make_disk([swap_part()], "hibresume resume ro", "boot")
    said, writes = rig.boot_deceived(disk.path, workdir / "socket")
    refused(said)
    # One sector, the one with the slot.
    assert writes == [(disk.offsets[2], 512)]
    assert f"UUID={SWAP}: the mark was written, but the disk does not hold it." in said


def test_disk_that_is_a_file(workdir, module, kernel):
    """GRUB cannot write there, so a person must choose; and may."""
    files = rig.grub_files(module) | {
        "/boot/vmlinuz": kernel, "/boot/initrd": RAMDISK, "/loop.img": loop_image(), "/boot/grub/grub.cfg": config(
            f"hibresume probe {configured(f'UUID={LOOPED}')}", 'echo "AGAIN|$hib_verdict|$hib_reason|"',
            "hibresume resume ro", probe="\nloopback loop /loop.img")}
    disk = rig.Disk(workdir, files)
    before = disk.content()
    said = rig.boot(disk.path)
    assert "AGAIN|offer|cannot-consume|" in said and f"UUID={LOOPED}: GRUB cannot write there." in said
    assert started(said)[0].endswith(f"resume=UUID={LOOPED} resume_offset=0")
    assert disk.content() == before


def test_failed_attempt(make_disk):
    """The kernel is none: the mark is taken, and nothing is left to be started."""
    disk = make_disk([swap_part(kernel="/boot/junk")], "hibresume resume ro", "boot")
    before = disk.content()
    refused(rig.boot(disk.path))
    assert disk.content() == changed(
        before, (text_of(kernel="/boot/junk"), text_of(kernel="/boot/junk", state="taken")))


def test_discarded_meanwhile(make_disk):
    disk = make_disk([swap_part()], "hibresume discard", "hibresume resume ro", "boot")
    said = rig.boot(disk.path)
    refused(said)
    assert "nothing is marked" in said


def test_hint_takes_the_mark_in_the_area_too(make_disk):
    """Nobody can tell, at the next start, whether a hint's image was tried: no other mark of its area may bring a second
    try."""
    disk = make_disk([swap_part()], "hibresume resume ro", env_block=marks.slot(text_of(verify="hint")))
    before = disk.content()
    said = rig.boot(disk.path)
    assert "VERDICT|resume|ready-hint|" in said and started(said)
    assert disk.content() == changed(before, (text_of(), text_of(state="taken")),
                                     (text_of(verify="hint"), text_of(verify="hint", state="taken")))
    assert "VERDICT|offer|tried|" in rig.boot(disk.path)


# ---- discard ----


@pytest.mark.parametrize("state", ["armed", "taken"])
def test_discard(make_disk, state):
    disk = make_disk([swap_part(state=state)], "hibresume discard", 'echo "DISCARDED|$?|$hib_noresume|"',
                     f"hibresume probe {configured(f'UUID={SWAP}')}", 'echo "AGAIN|$hib_verdict|$hib_reason|"')
    before = disk.content()
    said = rig.boot(disk.path)
    assert "DISCARDED|0||" in said and "AGAIN|normal|nothing|" in said and "error" not in said
    assert disk.content() == changed(before, cleared(state=state), RESTORED)


def test_discard_in_a_swap_file(make_disk, workdir):
    fs, offset = swap_file(workdir)
    disk = make_disk([("linux", fs, None)], "hibresume discard", probe=configured(f"UUID={WITH_FILE}", offset))
    before = disk.content()
    assert "error" not in rig.boot(disk.path)
    text = mark(f"UUID={WITH_FILE}", offset=offset).text()
    assert disk.content() == changed(before, (text, marks.empty()), RESTORED)


BOTH = {
    # what decides: (mark in the environment block, mark in the boot bits)
    "env": ({"ident": "f" * 32}, {}),
    "env by another name": ({"ident": "f" * 32, "image": f"PARTUUID={BIG_PART}"}, {}),
    "boot bits": ({"ident": "f" * 32, "verify": "hint", "state": "taken"}, {}),
}


@pytest.mark.parametrize("name", BOTH)
def test_discard_clears_every_mark_of_the_image(make_disk, name):
    env_fields, bits_fields = BOTH[name]
    text = mark(**({"image": f"UUID={SWAP}"} | env_fields)).text()
    kind, area, _ = swap_part(**bits_fields)
    disk = make_disk([(kind, area, f"uuid={BIG_PART}")], "hibresume discard", env_block=marks.slot(text))
    before = disk.content()
    said = rig.boot(disk.path)
    assert "VERDICT|resume|ready|" in said and "error" not in said
    assert disk.content() == changed(before, cleared(**bits_fields), (text, marks.empty()), RESTORED)


def test_discard_clears_no_mark_of_another_image(make_disk):
    """What the boot bits' mark and the environment block's mark are about are two images."""
    other = mark(f"UUID={PLAIN}", ident="f" * 32).text()
    disk = make_disk([swap_part()], "hibresume discard", env_block=marks.slot(other))
    before = disk.content()
    assert "VERDICT|resume|ready|" in rig.boot(disk.path)
    assert disk.content() == changed(before, cleared(), RESTORED)


def test_discard_of_the_other_image_leaves_the_boot_bits(make_disk):
    other = mark(f"UUID={MARKED}", ident="f" * 32).text()
    parts = [swap_part(), ("swap", marks.image_area(MARKED, MIB), None)]
    disk = make_disk(parts, "hibresume discard", env_block=marks.slot(other))
    before = disk.content()
    assert "VERDICT|resume|ready|" in rig.boot(disk.path)
    image = marks.image_area(MARKED, MIB)[:PAGE]
    assert disk.content() == changed(before, (other, marks.empty()),
                                     (image, image[:-10] + b"SWAPSPACE2"))


@pytest.mark.parametrize("bits", [FAT, RANDOM, marks.slot(text_of(offset=9)), marks.slot(text_of()[:-1] + b"x")],
                         ids=["FAT", "random", "about another area", "damaged"])
def test_discard_leaves_foreign_boot_bits(make_disk, bits):
    area = with_bits(marks.image_area(SWAP, MIB), bits.ljust(BITS, b"\0"))
    disk = make_disk([("swap", area, None)], "hibresume discard")
    before = disk.content()
    said = rig.boot(disk.path)
    assert "VERDICT|offer|unmarked|" in said and "error" not in said
    assert disk.content() == changed(before, RESTORED)
