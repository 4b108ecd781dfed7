# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What 06_hibctl's section of grub.cfg decides, for many environment blocks in one boot of real GRUB: with the module
and, for the plain-script path, without it."""

import re

import pytest

from . import marks, rig
from .rig import BOOT_UUID, MIB
from .scripts import IMAGE, PLAIN, generate, mark, odd_mark

# Variables that the section looks at, set to what would suit an attacker.
HOSTILE = (("hibresume_version", b"1"), ("hib_verdict", b"resume"), ("hib_path", b"module"), ("hib_reason", b"x"),
           ("hib_kernel", b"(hd0,gpt2)/boot/vmlinuz"), ("hib_initrd", b""), ("hib_rest", b"x"), ("hib_state", b"armed"),
           ("hib_wide", b"hib1 armed"), ("hib_root", b"hd0,gpt2"), ("hib_words", b"x"), ("hib_done", b"1"),
           ("hib_config_file", b"/boot/x.cfg"), ("hib_noresume", b"noresume"), ("hib_name", b"x"))

# name: (block or None, verdict and reason with the module, verdict and reason without, object named in words)
CASES = {
    "armed": (marks.slot(mark().text()), ("resume", "ready"), ("resume", "ready-hint"), None),
    "armed, no ramdisk": (marks.slot(mark(initrd="-").text()), ("resume", "ready"), ("resume", "ready-hint"), None),
    "armed, hint": (marks.slot(mark(f"UUID={PLAIN}", verify="hint").text()), ("resume", "ready-hint"),
                    ("resume", "ready-hint"), None),
    "armed, PARTUUID": (marks.slot(mark("PARTUUID=c0ffee42-01").text()), ("offer", "unmarked"),
                        ("resume", "ready-hint"), None),
    "armed, other variables": (marks.slot(mark().text(), ("a", b"b\\\\c"), ("timeout", b"0")), ("resume", "ready"),
                               ("resume", "ready-hint"), None),
    "taken": (marks.slot(mark(state="taken").text()), ("offer", "tried"), ("normal", "nothing"), None),
    "none": (marks.slot(mark(state="none").text()), ("offer", "unmarked"), ("normal", "nothing"), None),
    "empty slot": (marks.slot(marks.empty()), ("offer", "unmarked"), ("normal", "nothing"), None),
    "no slot": (marks.env_block(("saved_entry", b"0")), ("offer", "unmarked"), ("normal", "nothing"), None),
    "no file": (None, ("offer", "unmarked"), ("normal", "nothing"), None),
    "empty file": (b"", ("offer", "unmarked"), ("normal", "nothing"), None),
    "no block": (b"x" * 1024, ("offer", "unmarked"), ("normal", "nothing"), None),
    "hostile": (marks.env_block(*HOSTILE), ("offer", "unmarked"), ("normal", "nothing"), None),
    "hostile and armed": (marks.slot(mark().text(), *HOSTILE), ("resume", "ready"), ("resume", "ready-hint"), None),
    "hostile and damaged": (marks.slot(mark().text()[:-20] + b"x" * 20, *HOSTILE), ("offer", "unmarked"),
                            ("normal", "damaged"), None),
    "kernel gone": (marks.slot(mark(kernel="/boot/gone").text()), ("normal", "kernel-gone"), ("normal", "kernel-gone"),
                    "/boot/gone"),
    "ramdisk gone": (marks.slot(mark(initrd="/boot/gone").text()), ("normal", "initrd-gone"),
                     ("normal", "initrd-gone"), "/boot/gone"),
}

# Marks of which the script takes no part, though their checksum is right; nor does the module.
BROKEN = {
    "a command in a path": odd_mark(b"/boot/vmlinuz", b"/boot/$(halt)"),
    "a semicolon in a path": odd_mark(b"/boot/vmlinuz", b"/boot/vml;halt"),
    "a quote in a path": odd_mark(b"/boot/vmlinuz", b"/boot/'halt'"),
    "a double quote in a path": odd_mark(b"/boot/vmlinuz", b'/boot/"halt"'),
    "a star in a path": odd_mark(b"/boot/vmlinuz", b"/boot/vmlinu*"),
    "a bracket in a path": odd_mark(b"/boot/vmlinuz", b"/boot/)halt"),
    "a backslash in a path": odd_mark(b"/boot/vmlinuz", b"/boot/vml\\\\n"),
    "a path that climbs": odd_mark(b"/boot/vmlinuz", b"/boot/../boot/vmlinuz"),
    "a path with a dot": odd_mark(b"/boot/vmlinuz", b"/boot/./vmlinuz"),
    "a path with a double slash": odd_mark(b"/boot/vmlinuz", b"//boot/vmlinuz"),
    "a path that ends in a slash": odd_mark(b"/boot/vmlinuz", b"/boot/vmlinuz/"),
    "a ramdisk that climbs": odd_mark(b"/boot/initrd", b"/boot/../boot/initrd"),
    "a relative path": odd_mark(b" /boot/vmlinuz", b" boot/vmlinuz"),
    "a space too many": odd_mark(b" header", b"  header"),
    "a word too many": odd_mark(b" header", b" header header"),
    "an image that is no UUID": odd_mark(b"UUID=", b"UUIS="),
    "a UUID like an option": odd_mark(f" {BOOT_UUID}".encode(), b" --help"),
    "another word at the end": odd_mark(b" header", b" heador"),
    "an offset that is no number": odd_mark(b" 0 4096", b" x 4096"),
    "too short": mark().text()[:380] + mark().text()[381:],
    "too long": mark().text()[:380] + b" " + mark().text()[380:],
    "from the future": marks.seal(b"hib2" + mark().text()[4:]),
    "options": b"--help hib1 armed ",
    "a newline": (b"hib1 armed " * 40).replace(b"armed hib1", b"armed\\\nhib1")[:400],
}


def section_commands(name):
    return f"""\
set prefix=(hd0,gpt2)/case/{name}
set default=1
set timeout=9
set timeout_style=hidden
if [ -s $prefix/grubenv ]; then
  load_env
fi
source (hd0,gpt2)/section.cfg
echo "CASE|{name}|$hib_verdict|$hib_reason|$default|$timeout|$timeout_style|$hib_path|$hib_words|"
"""


@pytest.fixture(scope="module", params=["module", "plain"])
def told(request, once, scratch, module):
    """Whether the module was there, and what came out for every block."""
    return once(f"sections-{request.param}", lambda: boot_once(scratch, module if request.param == "module" else None))


def boot_once(scratch, module):
    """Runs the section once for every block. MODULE is None for the plain-script path."""
    with_module = module is not None
    folder = scratch / f"sections-{with_module}"
    folder.mkdir()
    section = re.sub(r"sleep --interruptible \d+", "sleep 0", generate(rig.grub_d_script("06_hibctl", scratch)))
    files = rig.grub_files(module) | {
        "/section.cfg": section.encode(), "/boot/vmlinuz": b"kernel", "/boot/initrd": b"ramdisk"}
    blocks = {name: case[0] for name, case in CASES.items()} | {
        name: marks.slot(text) for name, text in BROKEN.items()}
    # Once prefix has moved to a block's folder, GRUB finds no module any more.
    modules = "loadenv regexp search search_fs_uuid test sleep echo configfile true part_msdos part_gpt serial halt"
    config = [rig.PRELUDE] + [f"insmod {name}" for name in modules.split()]
    config += ["insmod hibresume"] if with_module else []
    for number, (name, block) in enumerate(blocks.items()):
        if block is not None:
            files[f"/case/{number}/grubenv"] = block
        if with_module:
            files[f"/case/{number}/{rig.PLATFORM}/hibresume.mod"] = b""  # it is loaded already
        config.append(section_commands(number))
    config += ["echo END", "halt"]
    files["/boot/grub/grub.cfg"] = "\n".join(config).encode()
    disk = rig.Disk(folder, files, [("swap", marks.image_area(IMAGE, MIB), None)])
    before = disk.content()
    said = rig.boot(disk.path)
    assert disk.content() == before
    assert "END" in said, said
    return with_module, {name: said_of(said, number) for number, name in enumerate(blocks)}


def said_of(said, number):
    found = re.search(rf"^CASE\|{number}\|(.*)\|$", said, re.MULTILINE)
    assert found, said
    keys = ("verdict", "reason", "default", "timeout", "style", "path", "words")
    return dict(zip(keys, found.group(1).split("|"), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_section(told, name):
    with_module, said = told[0], told[1][name]
    _, module_result, plain_result, about = CASES[name]
    verdict, reason = module_result if with_module else plain_result
    assert (said["verdict"], said["reason"]) == (verdict, reason)
    assert said["path"] == ("module" if with_module else "plain")
    if verdict == "resume":
        assert (said["default"], said["timeout"], said["style"]) == ("hibctl-resume", "2", "menu")
    else:
        assert (said["default"], said["timeout"], said["style"]) == ("1", "9", "hidden")
    if about:
        assert said["words"].startswith(f"{about}: ")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_mark(told, name):
    """No part of it is used, and the ordinary menu stays. (The module then finds the unmarked image.)"""
    with_module, said = told[0], told[1][name]
    assert said["verdict"] == ("offer" if with_module else "normal")
    assert (said["default"], said["timeout"], said["style"]) == ("1", "9", "hidden")
