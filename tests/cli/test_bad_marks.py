# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Marks with one thing wrong each, made by a formatter of the tests' own. With an image on the device they would be
believed if anything could be: none may ever lead to an automatic resume, all can be cleared, all else stays."""

import dataclasses
import zlib

import pytest

from . import envblock, rig
from .envblock import Mark

BESIDE = [(b"saved_entry", b"mine"), (b"next_entry", b"")]


@pytest.fixture(scope="module")
def good(shared_machine):
    """A right mark of the machine, whose image is there."""
    shared_machine.swap.put_image()
    kernel = f"/boot/{shared_machine.kernel.name}"
    return Mark(image=f"UUID={shared_machine.swap.uuid}", filesystem=shared_machine.fs.uuid, kernel=kernel,
                initrd=f"/boot/{shared_machine.initrd.name}", release=rig.RELEASE)


def put(machine, text):
    """Puts the line into the slot, in whatever width; returns the block."""
    pairs = [(envblock.NAME, text), *BESIDE]
    block = envblock.make(pairs)
    machine.block.write_bytes(block)
    return block


def told(machine):
    told = machine.status()
    return told["stores"]["env"]["status"], told["verdict"], told["reason"]


def clears(machine, command, block):
    """The command empties the slot and leaves all else."""
    machine(command).done()
    after = machine.grub_reads()
    assert envblock.slot(after) == envblock.EMPTY
    assert envblock.without_slot(after) == envblock.without_slot(block)
    assert envblock.variables(after)[1:] == BESIDE


def test_the_right_one_is_believed(shared_machine, good):
    """Or the tests below would prove nothing."""
    put(shared_machine, good.text())
    assert told(shared_machine) == ("valid", "resume", "ready")
    shared_machine("settle").nothing()


def seal_any(text):
    return envblock.seal(text.ljust(envblock.WIDTH - 8)[: envblock.WIDTH - 8])


WRONG_FIELDS = {
    "id": ["-", "0" * 31, "0" * 33, "0123456789ABCDEF0123456789ABCDEF", "g" * 32],
    "image": ["-", "UUID=", "UUID=-", "UUID=../../x", "/dev/sda1", "LABEL=x", "uuid=66666666", "PARTUUID=", "UUID=" + "a" * 37,
              "PARTUUID=" + "a" * 37, "UUID=a_b", "UUID=$x", "UUID=a;b", "=", "UUID"],
    "offset": ["-", "-1", "+1", "01", "00", "0x1", "1a", str(1 << 44), str(1 << 64), "9" * 30, "1.0", "1e3"],
    "page_size": ["-", "0", "4095", "8192", "32768", "65537", "131072", "04096", "4k"],
    "filesystem": ["-", "a" * 37, "-a", "a b", "a/b", "a$b", "a\"b"],
    "kernel": ["-", "vmlinuz", "/", "//vmlinuz", "/boot//vmlinuz", "/boot/", "/boot/../x", "/boot/./x", "/..", "/.",
               "(hd0)/vmlinuz", "/a$b", "/a'b", "/a\"b", "/a;b", "/a{b", "/a*b", "/" + "k" * 200, "/a\\b"],
    "initrd": ["initrd", "/", "--", "//x", "/boot/..", "/" + "i" * 200, "/a$(b)"],
    "release": ["-", "-x", "r" * 65, "a/b", "a$b", "a=b", "a:b"],
    "time": ["-", "2026-11-22", "2026-11-22T16:03:12", "2026-11-22T16:03:12Z", "2026-11-22T16:03:12+0100",
             "2026-11-22 16:03:12+01:00", "2026/11/22T16:03:12+01:00", "x026-11-22T16:03:12+01:00",
             "2026-11-22T16:03:12+01:000"],
    "verify": ["-", "Header", "headers", "hin", "none", "header,hint"],
}


@pytest.mark.parametrize("field", WRONG_FIELDS)
def test_one_field_wrong(shared_machine, good, field):
    for number, value in enumerate(WRONG_FIELDS[field]):
        mark = dataclasses.replace(good, **{field: value})
        words = [mark.magic, mark.state, *(getattr(mark, name) for name in envblock.FIELDS)]
        if len(" ".join(words)) > envblock.WIDTH - 10:  # make room for what is too long
            mark = dataclasses.replace(mark, **{name: short for name, short in (("kernel", "/k"), ("initrd", "-"))
                                                if name != field})
        block = put(shared_machine, mark.text())
        status, verdict, reason = told(shared_machine)
        assert status == "damaged" and verdict in ("normal", "offer"), (value, verdict)
        assert reason in ("damaged", "unmarked"), (value, reason)
        clears(shared_machine, "cancel" if number % 2 else "settle", block)


# Lines whose frame is wrong: the bytes of the slot.
FRAMES = {
    "nothing": lambda text: b" " * 400,
    "hashes": lambda text: b"#" * 400,
    "a digit of the checksum": lambda text: text[:-1] + (b"0" if text[-1:] != b"0" else b"1"),
    "checksum in capitals": lambda text: text[:-8] + (text[-8:].upper() if text[-8:].upper() != text[-8:] else b"ABCDEF00"),
    "checksum missing": lambda text: text[:-8] + b" " * 8,
    "checksum over the state too": lambda text: text[:-8] + b"%08x" % zlib.crc32(text[:-8]),
    "one bit of the kernel": lambda text: text[:150] + bytes([text[150] ^ 1]) + text[151:],
    "magic": lambda text: seal_any(b"hab" + text[3:-8]),
    "magic in capitals": lambda text: seal_any(b"HIB" + text[3:-8]),
    "version is a letter": lambda text: seal_any(b"hibx" + text[4:-8]),
    "no space after the version": lambda text: seal_any(b"hib1-" + text[5:-8]),
    "unknown state": lambda text: seal_any(text[:5] + b"ARMED" + text[10:-8]),
    "state padded in front": lambda text: seal_any(text[:5] + b" none" + text[10:-8]),
    "state of another length": lambda text: seal_any(b"hib1 arme " + text[10:-8]),
    "a tab": lambda text: seal_any(text[:10] + b"\t" + text[11:-8]),
    "a NUL": lambda text: seal_any(text[:200] + b"\0" + text[201:-8]),
    "a byte over 127": lambda text: seal_any(text[:100] + b"\xe9" + text[101:-8]),
    "two spaces": lambda text: seal_any(text[:43] + b" " + text[43:-8]),
    "a field too many": lambda text: seal_any(text[:-8].rstrip() + b" extra"),
    "a field too few": lambda text: seal_any(text[:-8].rstrip().rpartition(b" ")[0]),
    "padding is not spaces": lambda text: seal_any(text[:-8].rstrip().ljust(392, b"#")),
    "something far behind": lambda text: seal_any(text[:-9] + b"x"),
    "armed, but empty": lambda text: seal_any(b"hib1 armed" + b" -" * 10),
    "half empty": lambda text: seal_any(b"hib1 armed" + b" -" * 5 + b" /boot/vmlinuz - r 2026-11-22T16:03:12+01:00 header"),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_frame_is_wrong(shared_machine, good, frame):
    line = FRAMES[frame](good.text())
    assert len(line) == envblock.WIDTH and b"\n" not in line and line != good.text()
    block = put(shared_machine, line)
    status, verdict, reason = told(shared_machine)
    assert status == "damaged" and verdict in ("normal", "offer") and reason in ("damaged", "unmarked")
    shared_machine("env", "list").done()
    clears(shared_machine, "cancel", block)
    put(shared_machine, line)
    shared_machine("settle").done()
    put(shared_machine, line)
    shared_machine("mark", f"--image={shared_machine.swap.device}").done()
    assert envblock.without_slot(shared_machine.grub_reads()) == envblock.without_slot(block)


@pytest.mark.parametrize("width", [0, 1, 7, 399, 401, 450])
def test_width_is_wrong(shared_machine, good, width):
    """Not a slot: nothing may be written over it; setup puts it in order."""
    line = good.text()[:width].ljust(width)
    block = put(shared_machine, line)
    status, verdict, _ = told(shared_machine)
    assert status == "damaged" and verdict in ("normal", "offer")
    shared_machine("mark", f"--image={shared_machine.swap.device}").says_no(4, shared_machine.block, "hibctl setup")
    for command in ("cancel", "settle"):
        assert shared_machine(command).status in (2, 4)
        assert shared_machine.block.read_bytes() == block
    shared_machine("setup").done()
    after = shared_machine.grub_reads()
    assert envblock.slot(after) == envblock.EMPTY and envblock.variables(after)[1:] == BESIDE


@pytest.mark.parametrize("version", "2356789")
def test_a_later_format(shared_machine, good, version):
    """Only a newer tool knows what it means: settle leaves it, cancel may end it."""
    line = envblock.seal(b"hib" + version.encode() + good.text()[4:-8])
    block = put(shared_machine, line)
    status, verdict, reason = told(shared_machine)
    assert status == "future" and verdict in ("normal", "offer") and reason in ("future", "unmarked")
    shared_machine("settle").nothing()
    assert shared_machine.block.read_bytes() == block
    clears(shared_machine, "cancel", block)


def test_a_later_format_with_another_checksum(shared_machine, good):
    """Nothing can be known of its form behind the version."""
    line = b"hib2" + b" other form of the line, perhaps with no checksum at all".ljust(396)
    block = put(shared_machine, line)
    assert told(shared_machine)[0] == "future"
    shared_machine("settle").nothing()
    clears(shared_machine, "cancel", block)


@pytest.mark.parametrize("time", ["1970-01-01T00:00:00+00:00", "2099-12-31T23:59:59-12:00", "9999-99-99T99:99:99+99:99"])
def test_the_time_decides_nothing(shared_machine, good, time):
    """Clocks are wrong; a mark from tomorrow is as good as one from today."""
    put(shared_machine, dataclasses.replace(good, time=time).text())
    status, verdict, _ = told(shared_machine)
    assert (status, verdict) == ("valid", "resume")


def test_another_release_is_still_that_mark(shared_machine, good):
    put(shared_machine, dataclasses.replace(good, release="1.2.3-other").text())
    assert told(shared_machine)[:2] == ("valid", "resume")


@pytest.mark.parametrize("change,verdict,reason", [
    ({"state": "taken"}, "offer", "tried"),
    ({"state": "none"}, "offer", "unmarked"),
    ({"kernel": "/boot/not-there"}, "normal", "kernel-gone"),
    ({"initrd": "/boot/not-there"}, "normal", "initrd-gone"),
    ({"initrd": "-"}, "resume", "ready"),
    ({"offset": "1"}, "offer", "unmarked"),
    ({"offset": str((1 << 44) - 1)}, "offer", "unmarked"),
    ({"page_size": "16384"}, "offer", "unmarked"),
    ({"image": "UUID=00000000-0000-0000-0000-000000000000"}, "offer", "unmarked"),
    ({"filesystem": "00000000-0000-0000-0000-000000000000"}, None, None),
])
def test_right_marks_of_other_things(shared_machine, good, change, verdict, reason):
    """Formally right, but what they point at is not there: the image that is there was not marked."""
    put(shared_machine, dataclasses.replace(good, **change).text())
    status, said, why = told(shared_machine)
    assert status == "valid"
    if verdict is None:
        assert said != "resume", "a kernel that cannot be seen is not promised"
    else:
        assert (said, why) == (verdict, reason)


def test_cancelled_mark_with_its_fields_is_empty(shared_machine, good):
    """GRUB's script only changes the state; the rest of the line stays."""
    block = put(shared_machine, dataclasses.replace(good, state="none").text())
    assert shared_machine.env()["mark"] == {"state": "none"}
    shared_machine("cancel").nothing()
    assert shared_machine.block.read_bytes() == block


def test_escaped_line(shared_machine, good):
    """A value with escapes is longer in the block than it reads: not a slot."""
    text = good.text().replace(b"/boot/", b"/b\\\\oot/", 1)[: envblock.WIDTH]
    put(shared_machine, text)
    status, verdict, _ = told(shared_machine)
    assert status == "damaged" and verdict in ("normal", "offer")


def test_image_header_that_is_half_right(shared_machine, good):
    """The signature counts where the page ends, and only there."""
    put(shared_machine, good.text())
    swap = shared_machine.swap
    try:
        for signature in (b"S1SUSPEND ", b"s1suspend\0", b"S1SUSPEN\0\0", b"\0S1SUSPEND", b"S1SUSPENDx"):
            swap.write(4086, signature)
            assert told(shared_machine)[1] == "normal", signature
        swap.write(4086, b"SWAPSPACE2")
        swap.write(16384 - 10, b"S1SUSPEND\0")
        assert told(shared_machine)[1] == "normal", "a page of another size"
        swap.write(16384 - 10, bytes(10))
        for signature in (b"ULSUSPEND\0", b"LINHIB0001"):
            swap.write(4086, signature)
            assert told(shared_machine)[1:] == ("normal", "foreign"), signature
            shared_machine("settle").nothing()
            shared_machine("cancel", "--discard-image").says_no(3)
    finally:
        swap.put_image()
