# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The mark in an EFI variable, and systemd's HibernateLocation, in real GRUB on OVMF: what is believed, what is
started, and which variables are there afterwards."""

import json
import re
import zlib

import pytest

from . import marks, nvram, rig, scripts
from .marks import Mark
from .nvram import LOCATION, MARK, TRIED
from .rig import MIB

PLATFORM = rig.EfiDisk.PLATFORM
FAT_UUID = rig.EfiDisk.UUID
IMAGE = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER = "aaaaaaaa-0000-4000-8000-000000000002"
NOWHERE = "aaaaaaaa-0000-4000-8000-0000000000ff"
HERE = f"UUID={IMAGE}"
PAGE = 4096
GONE, FOREIGN, SECOND, OUTSIDE = 1, 2, 3, 1 << 30  # pages of the area IMAGE
OLD, NEW = "6.1.0-56-amd64", "6.5.0-2-amd64"
FILES = f"--fs {FAT_UUID} --kernel /boot/vmlinuz-{NEW} --initrd /boot/initrd.img-{NEW}"


def mark(**fields):
    fields = {"image": f"UUID={IMAGE}", "fs_uuid": FAT_UUID, "kernel": f"/boot/vmlinuz-{OLD}",
              "initrd": f"/boot/initrd.img-{OLD}", "release": OLD} | fields
    return Mark(**fields).text()


def utf16(text):
    return text.encode("utf-16-le", "surrogatepass") + b"\0\0"


def location(uuid=IMAGE, offset=0, **more):
    """As systemd writes it. A field of None is left out."""
    fields = {"uuid": uuid, "offset": offset, "autoSwap": False, "kernelVersion": OLD, "osReleaseId": "debian",
              "osReleaseVersionId": "12"} | more
    return utf16(json.dumps({k: v for k, v in fields.items() if v is not None}, separators=(",", ":")))


def page(ident=IMAGE, crc=0x12345678, signature=b"S1SUSPEND"):
    """The first page of an area with an image, and the checksum of that image in it (struct swsusp_header)."""
    area = bytearray(marks.swap_area(ident, PAGE, signature, b"SWAPSPACE2"))
    area[0xFDC:0xFE0] = crc.to_bytes(4, "little")
    return bytes(area)


def fingerprint(variable, header):
    return b"%08x" % zlib.crc32(header[1024:], zlib.crc32(variable))


def swap(**fields):
    """The partition: areas of one page each, then something."""
    return (page(**fields) + marks.swap_area(OTHER, PAGE) + page(OTHER, signature=b"ULSUSPEND") + page(OTHER) +
            bytes(i % 251 for i in range(MIB - 4 * PAGE)))


def kernels(kernel):
    """Two kernels, and a ramdisk for each that says which it is."""
    files = {f"/boot/vmlinuz-{release}": kernel for release in (OLD, NEW)}
    return files | {f"/boot/initrd.img-{release}": f"ramdisk {release}".encode() + b"\0" for release in (OLD, NEW)}


@pytest.fixture
def make_disk(workdir, scratch, kernel):
    def make(*commands, files=None, parts=None, probe=FILES):
        config = "\n".join((rig.PRELUDE, "insmod hibresume", f"hibresume probe {probe}",
                            'echo "VERDICT|$hib_verdict|$hib_reason|$hib_words|"', *commands, "echo END", "halt"))
        return rig.EfiDisk(workdir, config, kernels(kernel) | (files or {}), parts or [("swap", swap(), None)],
                           rig.module_under_test(scratch, PLATFORM))

    return make


@pytest.fixture
def ovmf(workdir):
    return rig.Ovmf(workdir)


def started(said):
    """The release of the kernel that was started, the end of its command line, and the ramdisk; or None."""
    found = re.search(r"KERNEL\[BOOT_IMAGE=\(\S+\)/boot/vmlinuz-(\S+) (.*?)\] RAMDISK\[(.*?)\]", said)
    return found.groups() if found else None


def errors(said):
    """But one: there is no display."""
    return re.findall(r"error: .*", said.replace("error: no suitable video mode found.", ""))


def verdict(said):
    return re.findall(r"VERDICT\|(\S*)\|(\S*)\|(.*)\|", said)[-1]


# ---- nobody touches a key ----


@pytest.mark.parametrize("name", [MARK, LOCATION])
def test_menu(workdir, scratch, kernel, ovmf, name):
    """With the distribution's 00_header, and no resume device configured."""
    config = scripts.grub_cfg(scratch, GRUB_HIBCTL_RESUME="none", GRUB_HIBCTL_FS=FAT_UUID,
                              GRUB_HIBCTL_KERNEL=f"/boot/vmlinuz-{NEW}", GRUB_HIBCTL_INITRD=f"/boot/initrd.img-{NEW}")
    disk = rig.EfiDisk(workdir, config, kernels(kernel) | {"/boot/vmlinuz": kernel}, [("swap", swap(), None)],
                       rig.module_under_test(scratch, PLATFORM))
    ovmf.nvram.put(name, {MARK: mark(), LOCATION: location()}[name])
    said = ovmf.boot(disk.path)
    assert started(said) == (OLD, f"root=/dev/vda3 ro {scripts.WORDS} resume={HERE} resume_offset=0", f"ramdisk {OLD}")
    # A mark says when it was made; systemd's variable does not.
    title = "Resume the hibernated session" + (f" of 2026-11-22 16:03 ({OLD})" if name == MARK else "")
    assert f"*{title} Discard" in re.sub(r"[|\s]+", " ", said) and "automatically in 2s" in said

    # Tried once: the ordinary default takes itself.
    said = ovmf.boot(disk.path)
    assert "KERNEL[BOOT_IMAGE=/boot/vmlinuz second]" in said
    assert ("one attempt to resume was made already" in said) == (name == LOCATION)


# ---- what is found out ----

STALE = "the mark is stale: there is no hibernation image where it points"
DAMAGED = f"{MARK}: the mark is damaged"
BY_SYSTEMD = f"{LOCATION} ({HERE})"
FIRST = f'{{"uuid":"{IMAGE}","offset":0'

# name: (HibctlMark, HibernateLocation, more options of probe, verdict, reason, words)
MARKS = {
    "nothing": (None, None, "", "normal", "nothing", ""),
    "armed": (mark(), None, "", "resume", "ready", HERE),
    "no ramdisk": (mark(initrd="-"), None, "", "resume", "ready", HERE),
    "hint": (mark(image=f"UUID={NOWHERE}", verify="hint"), None, "", "resume", "ready-hint", NOWHERE),
    "stale": (mark(offset=GONE), None, "", "normal", "stale", STALE),
    "foreign": (mark(offset=FOREIGN), None, "", "normal", "foreign", HERE),
    "no device": (mark(image=f"UUID={NOWHERE}"), None, "", "normal", "no-device", NOWHERE),
    "outside": (mark(offset=OUTSIDE), None, "", "normal", "no-device", HERE),
    "kernel gone": (mark(kernel="/boot/gone"), None, "", "normal", "kernel-gone", "/boot/gone: "),
    "ramdisk gone": (mark(initrd="/boot/gone"), None, "", "normal", "initrd-gone", "/boot/gone: "),
    "taken": (mark(state="taken"), None, "", "offer", "tried", HERE),
    "taken and gone": (mark(state="taken", offset=GONE), None, "", "normal", "spent", HERE),
    "an empty mark": (marks.empty(), None, "", "normal", "nothing", ""),
    "a byte short": (mark()[:-1], None, "", "normal", "damaged", DAMAGED),
    "a byte long": (mark() + b" ", None, "", "normal", "damaged", DAMAGED),
    "a NUL behind it": (mark() + b"\0", None, "", "normal", "damaged", DAMAGED),
    "one byte": (b"h", None, "", "normal", "damaged", DAMAGED),
    "20000 bytes": (mark() * 50, None, "", "normal", "damaged", DAMAGED),
    "a wrong bit": (mark().replace(b"4096", b"4097"), None, "", "normal", "damaged", DAMAGED),
    "a path that climbs": (marks.seal(mark(kernel="/boot/../../x")), None, "", "normal", "damaged", DAMAGED),
    "zeros": (bytes(400), None, "", "normal", "damaged", DAMAGED),
    "a block": (marks.slot(mark()), None, "", "normal", "damaged", DAMAGED),
    "UTF-16": (utf16(mark().decode()), None, "", "normal", "damaged", DAMAGED),
    "of the future": (marks.seal(b"hib2" + mark()[4:]), None, "", "normal", "future", f"{MARK}: the mark was written"),
    "before the configured device": (mark(offset=SECOND), None, f"--device {HERE} --offset 0", "resume", "ready",
                                     f"{HERE}+{SECOND}: "),
    "damaged, and a configured device": (b"x", None, f"--device {HERE}", "offer", "unmarked", HERE),
}

LOCATIONS = {
    "the older kernel": (location(), f"resume|ready|{BY_SYSTEMD}: a hibernated session is marked|{OLD}"),
    "the newer kernel": (location(kernelVersion=NEW), f"resume|ready|{BY_SYSTEMD}|{NEW}"),
    "no kernel named": (location(kernelVersion=None), f"resume|ready|{BY_SYSTEMD}|"),
    "no dashes": (location(IMAGE.replace("-", "").upper()), f"resume|ready|{BY_SYSTEMD}|{OLD}"),
    "at an offset": (location(offset=SECOND), f"resume|ready|{LOCATION} ({HERE}+{SECOND})|{OLD}"),
    "escapes, and no NUL": (utf16(FIRST + ',"kernel\\u0056ersion":"6.1.0-56-\\u0061md64","x":{"y":[]}}')[:-2],
                            f"resume|ready|{BY_SYSTEMD}|{OLD}"),
    "kernel gone": (location(kernelVersion="6.2.0"), "normal|kernel-gone|/boot/vmlinuz-6.2.0: |6.2.0"),
    "ramdisk gone": (location(kernelVersion="6.3.0"), "normal|initrd-gone|/boot/initrd.img-6.3.0: |6.3.0"),
    "stale": (location(offset=GONE), f"normal|stale|{LOCATION} ({HERE}+{GONE}): {STALE}|{OLD}"),
    "foreign": (location(offset=FOREIGN), f"normal|foreign|{LOCATION} (|{OLD}"),
    "a system of 33": (location(osReleaseId="x" * 33), f"resume|ready|{BY_SYSTEMD}|{OLD}"),
    "no device": (location(NOWHERE), f"normal|no-device|{LOCATION} (UUID={NOWHERE}): |{OLD}"),
    "outside": (location(offset=OUTSIDE), f"normal|no-device|{LOCATION} (|{OLD}"),
    "the largest offset": (location(offset=(1 << 44) - 1), f"normal|no-device|{LOCATION} (|{OLD}"),
}

# Each of these is damaged; what the words say of it.
BROKEN = {
    "a byte lost": (location()[1:], "it is not UTF-16 text"),
    "UTF-8": (location().decode("utf-16-le").encode(), "it is not"),
    "UTF-16BE": (location().decode("utf-16-le").encode("utf-16-be"), "it is not"),
    "a byte order mark": (b"\xff\xfe" + location(), "it is not a JSON object"),
    "half a pair": (utf16(FIRST + ',"x":"\ud800"}'), "it is not UTF-16 text"),
    "half a pair, escaped": (utf16(FIRST + ',"x":"\\ud800"}'), "it is not UTF-16 text"),
    "a NUL inside": (utf16(FIRST + "\0}"), "it is not UTF-16 text"),
    "too long": (utf16(FIRST + "}" + " " * 3000), "it is empty or too long"),
    "random": (bytes(range(1, 201)), "it is not"),
    "ones": (b"\xff" * 400, "it is not a JSON object"),
    "zeros": (bytes(400), "it is not a JSON object"),
    "an array": (utf16(f"[{FIRST}}}]"), "it is not a JSON object"),
    "too deep": (utf16(FIRST + ',"x":' + "[" * 5 + "]" * 5 + "}"), "it is nested too deeply"),
    "far too deep": (utf16(FIRST + ',"x":' + "[" * 1900), "it is nested too deeply"),
    "something behind it": (utf16(FIRST + "}x"), "something stands behind its JSON object"),
    "duplicate": (utf16(FIRST + ',"offset":0}'), "it names the same thing twice"),
    "no device": (utf16('{"offset":0}'), "it names no device"),
    "no UUID": (location("../../x"), "what it names as a device is not a UUID"),
    "no offset": (location(offset=None), "it names no offset"),
    "offset -1": (location(offset=-1), "its offset is not a whole number"),
    "offset 2^44": (location(offset=1 << 44), "its offset is not a whole number"),
    "offset 2^64": (location(offset=1 << 64), "its offset is not a whole number"),
    "offset of 1000 digits": (location(offset=10**1000), "its offset is not a whole number"),
    "offset 0.5": (location(offset=0.5), "its offset is not a whole number"),
    "offset of text": (location(offset="0"), "its offset is not a whole number"),
    "kernel that climbs": (location(kernelVersion="../../x"), "what it names as a kernel is not the release of one"),
    "kernel with a script": (location(kernelVersion="$(halt)"), "what it names as a kernel is not the release of one"),
    "kernel of 65": (location(kernelVersion="6" * 65), "what it names as a kernel is not the release of one"),
}

# Two sources: (HibctlMark, HibernateLocation, more options of probe, verdict, reason, words)
BOTH = {
    "ours comes first": (mark(offset=SECOND), location(), "", "resume", "ready", f"{HERE}+{SECOND}: "),
    "ours is stale": (mark(offset=GONE), location(), "", "resume", "ready", BY_SYSTEMD),
    "ours is damaged": (b"x", location(), "", "resume", "ready", BY_SYSTEMD),
    "ours is damaged, systemd's stale": (b"x", location(offset=GONE), "", "normal", "damaged", DAMAGED),
    "before the configured device": (None, location(offset=SECOND), f"--device {HERE}", "resume", "ready",
                                     f"{LOCATION} ({HERE}+{SECOND})"),
    "stale, and a configured device": (None, location(offset=GONE), f"--device {HERE}", "offer", "unmarked", HERE),
}


def case(number, variables, probe):
    """Sets both variables, and says what is made of them."""
    lines = [f"putvar {name}" + (f" /v/{number}.{name}" if data else "") for name, data in variables]
    return lines + [f"hibresume probe {probe}",
                    f'echo "CASE|{number}|$hib_verdict|$hib_reason|$hib_words|$hib_release|"']


def test_many_variables(make_disk, scratch, ovmf):
    cases = MARKS | {f"location: {name}": (None, data, "", *want.split("|"))
                     for name, (data, want) in LOCATIONS.items()}
    cases |= {f"broken: {name}": (None, data, "", "normal", "damaged", f"{LOCATION}: {words}")
              for name, (data, words) in BROKEN.items()}
    cases |= {f"both: {name}": row for name, row in BOTH.items()}
    files, lines = {"/boot/vmlinuz-6.3.0": b"x"}, ["insmod putvar"]
    for number, (ours, systemd, more, *_) in enumerate(cases.values()):
        variables = ((MARK, ours), (LOCATION, systemd))
        files |= {f"/v/{number}.{name}": data for name, data in variables if data}
        lines += case(number, variables, f"{FILES} {more}")
    files |= {"/v/x." + LOCATION: location(), "/boot/grub/x86_64-efi/putvar.mod": rig.build_test_module(
        "putvar", scratch, PLATFORM)}
    # Without a configured kernel there is no folder to look in.
    lines += case("x", ((MARK, None), (LOCATION, location())), "")
    # Every piece of a good one.
    files["/v/cut"] = location()
    for length in range(2, len(location()) - 2, 2):
        lines += [f"putvar {LOCATION} /v/cut {length}", f"hibresume probe {FILES}",
                  f'echo "CUT|{length}|$hib_verdict|$hib_reason|$hib_words|"']
    said = ovmf.boot(make_disk(*lines, files=files).path)

    wrong = []
    for number, (name, (_, _, _, *want)) in enumerate(cases.items()):
        found = re.search(rf"CASE\|{number}\|(.*?)\|(.*?)\|(.*?)\|(.*?)\|", said)
        is_ = found.groups() if found else ("", "", "", "")
        if is_[:2] != tuple(want[:2]) or want[2] not in is_[2] or (len(want) > 3 and want[3] != is_[3]):
            wrong.append((name, is_, want))
    assert not wrong
    assert f"CASE|x|normal|kernel-gone|{OLD}: the kernel that the image needs is gone|{OLD}|" in said
    cut = re.findall(r"CUT\|(\d+)\|(.*?)\|(.*?)\|(.*?)\|", said)
    assert len(cut) == len(location()) // 2 - 2
    assert {row[1:] for row in cut} == {("normal", "damaged", f"{LOCATION}: it is not a JSON object")}
    assert "END" in said and not errors(said)


def test_no_length(make_disk, ovmf):
    """What some firmware leaves behind is a variable that is not there."""
    for name in (MARK, LOCATION, TRIED):
        ovmf.nvram.put(name, b"")
    said = ovmf.boot(make_disk().path)
    assert verdict(said) == ("normal", "nothing", "nothing is marked and no hibernation image was found")


# ---- our variable ----


def test_resume(make_disk, ovmf):
    disk = make_disk("hibresume resume root=/dev/vda3 ro", probe=f"{FILES} --device {HERE}")
    ovmf.nvram.put(MARK, mark())
    before = disk.content()
    said = ovmf.boot(disk.path)
    assert verdict(said)[:2] == ("resume", "ready") and not errors(said)
    assert started(said) == (OLD, f"root=/dev/vda3 ro resume={HERE} resume_offset=0", f"ramdisk {OLD}")
    assert ovmf.nvram.get(MARK) is None and ovmf.nvram.writes(MARK) == 1 and ovmf.nvram.writes(TRIED) == 0
    assert disk.content() == before
    # It was there once, and is not any more: a person may still choose what is on the configured device.
    assert verdict(ovmf.boot(disk.path))[:2] == ("offer", "unmarked")


@pytest.mark.parametrize("name", [MARK, TRIED])
def test_firmware_that_refuses(make_disk, ovmf, name):
    """A variable with other attributes can be neither deleted nor changed, so nothing is started by itself."""
    variables = {MARK: mark(), TRIED: b"00000000", LOCATION: location()}
    disk = make_disk("hibresume resume ro", "boot", "hibresume probe " + FILES,
                     'echo "AGAIN|$hib_verdict|$hib_reason|"', "hibresume resume again")
    for other in [MARK] if name == MARK else [TRIED, LOCATION]:
        ovmf.nvram.put(other, variables[other], attributes=3 if other == name else nvram.USUAL)
    said = ovmf.boot(disk.path)
    assert verdict(said)[:2] == ("resume", "ready")
    assert f"{name}: the firmware does not change this variable." in said
    assert "you need to load the kernel first." in said
    # A person who chooses it then gets it.
    assert "AGAIN|offer|cannot-consume|" in said
    assert started(said)[:2] == (OLD, f"again resume={HERE} resume_offset=0")
    assert ovmf.nvram.get(name) == variables[name]


def test_failed_attempt(make_disk, ovmf):
    """The variable is gone, but as long as GRUB runs a person can choose the session again, or discard it."""
    again = [f"hibresume probe {FILES}", 'echo "AGAIN|$hib_verdict|$hib_reason|$hib_time|"']
    disk = make_disk("hibresume resume ro", "boot", *again, "hibresume resume ro", "boot", "hibresume discard", *again,
                     files={"/boot/junk": b"no kernel" * 9999})
    ovmf.nvram.put(MARK, mark(kernel="/boot/junk"))
    before = disk.content()
    said = ovmf.boot(disk.path)
    assert verdict(said)[:2] == ("resume", "ready")
    assert said.count("you need to load the kernel first.") == 2
    assert re.findall(r"AGAIN\|(.*)\|", said) == ["offer|tried|2026-11-22 16:03", "normal|nothing|"]
    assert "END" in said and ovmf.nvram.get(MARK) is None
    assert disk.content() == before.replace(page(), page(signature=b"SWAPSPACE2"))


def test_changed_meanwhile(make_disk, scratch, ovmf):
    files = {"/boot/grub/x86_64-efi/putvar.mod": rig.build_test_module("putvar", scratch, PLATFORM),
             "/other": mark(ident="f" * 32), "/location": location(), "/another": location(kernelVersion=NEW)}
    disk = make_disk("insmod putvar", f"putvar {MARK} /other", "hibresume resume 1", f"putvar {MARK}",
                     "hibresume resume 2", f"putvar {LOCATION} /location", "hibresume resume 3",
                     f"hibresume probe {FILES}", f"putvar {LOCATION} /another", "hibresume resume 4", files=files)
    ovmf.nvram.put(MARK, mark())
    said = ovmf.boot(disk.path)
    assert said.count("the mark has changed since the menu was made.") == 3 and "nothing is marked and no" in said
    assert "END" in said and not started(said)


@pytest.mark.parametrize("name", [MARK, LOCATION], ids=["ours", "systemd's"])
def test_discard(make_disk, ovmf, name):
    disk = make_disk("hibresume discard", 'echo "DISCARDED|$?|$hib_noresume|"', f"hibresume probe {FILES}",
                     'echo "VERDICT|$hib_verdict|$hib_reason|$hib_words|"')
    if name == MARK:
        ovmf.nvram.put(MARK, mark())
    ovmf.nvram.put(LOCATION, location())
    before = disk.content()
    said = ovmf.boot(disk.path)
    assert "DISCARDED|0||" in said and not errors(said)
    assert verdict(said)[:2] == ("normal", "stale")
    assert ovmf.nvram.get(MARK) is None and ovmf.nvram.get(TRIED) is None and ovmf.nvram.get(LOCATION) == location()
    assert before.count(page()) == 1
    assert disk.content() == before.replace(page(), page(signature=b"SWAPSPACE2"))


def test_discard_leaves_another_image(make_disk, ovmf):
    env = {"/boot/grub/grubenv": marks.slot(mark(offset=SECOND, ident="f" * 32))}
    disk = make_disk("hibresume discard", 'echo "DISCARDED|$?|"', files=env)
    ovmf.nvram.put(MARK, mark())
    said = ovmf.boot(disk.path)
    assert verdict(said)[0] == "resume" and f"{HERE}+{SECOND}" in verdict(said)[2] and "DISCARDED|0|" in said
    assert ovmf.nvram.get(MARK) == mark()


def test_discard_where_the_image_stays(make_disk, ovmf):
    """The disk takes no writes: then the image is still there, and must not come back by itself."""
    again = ["hibresume discard", 'echo "DISCARDED|$?|$hib_noresume|"', f"hibresume probe {FILES}",
             'echo "VERDICT|$hib_verdict|$hib_reason|$hib_words|"']
    disk = make_disk(*again)
    ovmf.nvram.put(MARK, mark())
    ovmf.nvram.put(LOCATION, location())
    said = ovmf.boot(disk.path, read_only=True)
    assert re.search(r"DISCARDED\|[1-9]\d*\|noresume\|", said)
    assert verdict(said)[:2] == ("offer", "tried")
    assert ovmf.nvram.get(MARK) is None and ovmf.nvram.get(TRIED) == fingerprint(location(), page())


# ---- systemd's variable ----


def test_resume_from_systemd(make_disk, ovmf):
    disk = make_disk("hibresume resume root=/dev/vda3 ro", parts=[("swap", swap(), None)])
    ovmf.nvram.put(LOCATION, location())
    before = disk.content()
    said = ovmf.boot(disk.path)
    assert verdict(said)[:2] == ("resume", "ready") and not errors(said)
    assert started(said) == (OLD, f"root=/dev/vda3 ro resume={HERE} resume_offset=0", f"ramdisk {OLD}")
    # systemd's own is for systemd to clear.
    assert ovmf.nvram.get(LOCATION) == location()
    assert ovmf.nvram.get(TRIED) == fingerprint(location(), page())
    assert disk.content() == before

    # The same image is offered, and starting it again writes nothing.
    said = ovmf.boot(disk.path)
    assert verdict(said)[:2] == ("offer", "tried") and started(said)[0] == OLD
    assert ovmf.nvram.writes(TRIED) == 1

    # Another image at the same place is another one.
    disk.path.write_bytes(before.replace(page(), page(crc=0x12345679)))
    said = ovmf.boot(disk.path)
    assert verdict(said)[:2] == ("resume", "ready") and started(said)[0] == OLD
    assert ovmf.nvram.get(TRIED) == fingerprint(location(), page(crc=0x12345679))

    # And so is the same image where systemd says something else of it.
    ovmf.nvram.drop(LOCATION)
    ovmf.nvram.put(LOCATION, location(kernelVersion=None))
    said = ovmf.boot(disk.path)
    assert verdict(said)[:2] == ("resume", "ready") and started(said) == (
        NEW, f"root=/dev/vda3 ro resume={HERE} resume_offset=0", f"ramdisk {NEW}")


def test_both_about_one_image(make_disk, ovmf):
    """Our mark is deleted when it is taken; systemd's word about the same image must not bring a second try."""
    disk = make_disk("hibresume resume ro")
    ovmf.nvram.put(MARK, mark())
    ovmf.nvram.put(LOCATION, location(kernelVersion=NEW))
    assert started(ovmf.boot(disk.path))[0] == OLD
    assert ovmf.nvram.get(MARK) is None
    assert ovmf.nvram.get(TRIED) == fingerprint(location(kernelVersion=NEW), page())
    assert verdict(ovmf.boot(disk.path))[:2] == ("offer", "tried")


def test_both_about_two_images(make_disk, ovmf):
    disk = make_disk("hibresume resume ro")
    ovmf.nvram.put(MARK, mark(offset=SECOND))
    ovmf.nvram.put(LOCATION, location())
    assert started(ovmf.boot(disk.path))[1].endswith(f"resume_offset={SECOND}")
    assert ovmf.nvram.get(TRIED) is None
    assert started(ovmf.boot(disk.path))[1].endswith("resume_offset=0")
