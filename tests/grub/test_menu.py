# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The menu that the grub.d scripts make, with the distribution's own 00_header and two ordinary entries, in real GRUB:
what takes itself, what a person can do, and which bytes change on the disk."""

import os
import re

import pytest

from . import marks, rig
from .marks import Mark
from .rig import MIB
from .scripts import ENTRIES, IMAGE, JUNK, OTHERS, PLAIN, WORDS, grub_cfg, mark, odd_mark

RAMDISK = b"the right ramdisk\0"
RESUME = "Resume the hibernated session of 2026-11-22 16:03 (6.1.0-56-cloud-amd64)"
UNMARKED = "Resume the hibernated session"
DISCARD = "Discard the hibernated session and boot normally"
FAILED = "The session was not resumed; the ordinary menu follows."
ESC = b"\x1b"
DOWN = b"\x1b[B"


@pytest.fixture
def make_disk(workdir, scratch, module, kernel):
    def make(env, with_module=True, area=None, files=None, **config):
        content = rig.grub_files(module if with_module else None) | {
            "/boot/grub/grub.cfg": grub_cfg(scratch, **config).encode(), "/boot/vmlinuz": kernel,
            "/boot/initrd": RAMDISK}
        if env is not None:
            content["/boot/grub/grubenv"] = env
        area = marks.image_area(IMAGE, MIB) if area is None else area
        return rig.Disk(workdir, content | (files or {}), [("swap", area, None)])

    return make


both_paths = pytest.mark.parametrize("with_module", [True, False], ids=["module", "plain script"])


def started(said):
    found = re.search(r"KERNEL\[(.*?)\] RAMDISK\[(.*?)\]", said)
    assert found, said
    return found.groups()


def choose(disk, *steps):
    """Plays steps (text to wait for, keys to type then) and returns what was said up to the end."""
    with rig.Boot([disk.path]) as machine:
        for text, keys in steps:
            machine.wait_for(text)
            machine.type(keys)
        return machine.wait_end()


def menu(said):
    """What was said, with the menu's frame and layout taken out."""
    return re.sub(r"[|\s]+", " ", said)


def resumed(said):
    return started(said) == (f"BOOT_IMAGE=(hd0,gpt2)/boot/vmlinuz root=/dev/vda3 ro {WORDS} resume=UUID={IMAGE} "
                             "resume_offset=0", RAMDISK[:-1].decode())


def normal(said):
    """The ordinary default was started, and not by hand."""
    return started(said) == ("BOOT_IMAGE=/boot/vmlinuz second", "")


# ---- nobody touches a key ----


@both_paths
def test_resumes_by_itself(make_disk, with_module):
    disk = make_disk(marks.slot(mark().text(), ("x", b"1")), with_module)
    before = disk.content()
    said = rig.boot(disk.path)
    assert resumed(said)
    # First in the menu, the chosen one, "discard" beside it, counting down.
    assert f"*{RESUME} {DISCARD} First Second Third" in menu(said)
    assert "automatically in 2s" in said and "automatically in 1s" in said
    assert "error" not in said
    assert disk.content() == before.replace(mark().text(), mark(state="taken").text())


@both_paths
def test_menu_as_it_was(make_disk, with_module):
    """Where there is nothing to say, there is nothing to see."""
    area = marks.swap_area(IMAGE, MIB)

    def shown(**options):
        said = rig.boot(make_disk(marks.slot(marks.empty()), with_module, area, **options).path)
        assert normal(said)
        return re.sub(r"automatically in \ds", "", said)

    assert shown() == shown(ours=False)


OFFERED = {
    "tried": (marks.slot(mark(state="taken").text()), RESUME, "one attempt to resume was made already"),
    "unmarked": (None, UNMARKED, "there is a hibernation image that nobody marked"),
}


@pytest.mark.parametrize("name", OFFERED)
def test_offered_at_the_end(make_disk, name):
    env, title, words = OFFERED[name]
    disk = make_disk(env)
    before = disk.content()
    said = rig.boot(disk.path)
    assert normal(said)
    assert f"hibctl: UUID={IMAGE}: {words}" in said
    assert f"First *Second Third {title} {DISCARD}" in menu(said)
    assert disk.content() == before


@pytest.mark.parametrize("env,image,about,words", [
    (marks.slot(mark(state="taken").text()), True, f"UUID={IMAGE}", "one attempt to resume"),
    (marks.slot(mark().text()), False, f"UUID={IMAGE}", "the mark is stale"),
    (marks.slot(mark(kernel="/boot/gone").text()), True, "/boot/gone", "the kernel that"),
    (marks.slot(odd_mark(b" header", b" heador")), False, "(hd0,gpt2)/boot/grub/grubenv", "the mark is damaged"),
], ids=["tried", "stale", "kernel-gone", "damaged"])
def test_in_the_language_of_the_menu(make_disk, tmp_path, env, image, about, words):
    """A translation may hold any character."""
    gettext = tmp_path / "gettext"
    gettext.write_text("#!/bin/sh\nprintf 'l'\\''autre \"$(halt)\" ${x}: %.25s' \"$1\"\n")
    gettext.chmod(0o755)
    area = marks.image_area(IMAGE, MIB) if image else marks.swap_area(IMAGE, MIB)
    said = rig.boot(make_disk(env, area=area, PATH=f"{tmp_path}:{os.environ['PATH']}").path)
    assert f"hibctl: {about}: l'autre \"$(halt)\" ${{x}}: {words}" in said


def with_bits(text):
    """An image with a mark in the boot bits of its area."""
    return marks.slot(text) + marks.image_area(IMAGE, MIB)[1024:]


def test_resumes_from_the_boot_bits(make_disk):
    disk = make_disk(marks.slot(marks.empty()), area=with_bits(mark().text()))
    before = disk.content()
    said = rig.boot(disk.path)
    assert resumed(said) and "error" not in said
    assert f"*{RESUME} {DISCARD} First Second Third" in menu(said)
    assert "automatically in 2s" in said and "automatically in 1s" in said
    taken = before.replace(mark().text(), mark(state="taken").text())
    assert taken != before and disk.content() == taken
    # The next time it is only offered.
    said = rig.boot(disk.path)
    assert normal(said)
    assert f"First *Second Third {RESUME} {DISCARD}" in menu(said)
    assert disk.content() == taken


def test_plain_script_does_not_read_the_boot_bits(make_disk):
    """It could not look for them without an error on the screen, and could not take the mark."""
    disk = make_disk(marks.slot(marks.empty()), with_module=False, area=with_bits(mark().text()))
    before = disk.content()
    said = rig.boot(disk.path)
    assert normal(said) and "error" not in said and "hibctl" not in said
    assert disk.content() == before


def test_discard_with_the_mark_in_the_boot_bits(make_disk):
    disk = make_disk(None, area=with_bits(mark().text()))
    before = disk.content()
    said = choose(disk, ("automatically in 2s", DOWN), ("*" + DISCARD, b"\r"))
    assert normal(said)
    assert disk.content() == before.replace(mark().text(), marks.empty()).replace(
        b"SWAPSPACE2S1SUSPEND\0", b"SWAPSPACE2SWAPSPACE2")


# ---- a failed attempt ----


@both_paths
def test_after_a_failure_the_normal_menu(make_disk, with_module):
    text = mark(kernel="/boot/junk").text()
    disk = make_disk(marks.slot(text), with_module, files=JUNK)
    before = disk.content()
    said = choose(disk, (FAILED, ESC))
    assert "invalid magic number." in said
    assert normal(said)
    taken = mark(kernel="/boot/junk", state="taken").text()
    assert disk.content() == before.replace(text, taken)
    # And when the machine is switched on again, too.
    assert normal(rig.boot(disk.path))
    assert disk.content() == before.replace(text, taken)


def play_read_only(disk, *steps):
    with rig.Boot([disk.path], read_only=True) as machine:
        for text, keys in steps:
            machine.wait_for(text)
            machine.type(keys)
        return machine.wait_end()


@both_paths
def test_mark_that_cannot_be_taken(make_disk, with_module):
    """It stays armed, but the next menu does not try again by itself: no loop, not even with countdowns."""
    disk = make_disk(marks.slot(mark().text()), with_module)
    before = disk.content()
    said = play_read_only(disk, (FAILED, ESC))
    assert f"First *Second Third {RESUME} {DISCARD}" in menu(said)
    assert normal(said)
    assert disk.content() == before


@both_paths
def test_mark_that_cannot_be_taken_and_a_person(make_disk, with_module):
    """Who may have the session all the same."""
    disk = make_disk(marks.slot(mark().text()), with_module, GRUB_TIMEOUT="-1")
    said = play_read_only(disk, (FAILED, ESC), ("Press ESC for the menu", ESC), ("*Second", DOWN),
                          ("*Third", DOWN + b"\r"))
    assert resumed(said)


# ---- somebody does ----


@both_paths
def test_a_key_stops_the_countdown_and_another_entry_is_chosen(make_disk, with_module):
    disk = make_disk(marks.slot(mark().text()), with_module)
    before = disk.content()
    said = choose(disk, ("automatically in 2s", DOWN), ("*" + DISCARD, DOWN), ("*First", b"\r"))
    assert started(said)[0].endswith(" first")
    assert disk.content() == before


def test_discard(make_disk):
    disk = make_disk(marks.slot(mark().text()))
    before = disk.content()
    said = choose(disk, ("automatically in 2s", DOWN), ("*" + DISCARD, b"\r"))
    assert normal(said)
    assert "The session was discarded" in " ".join(said.split())
    area = marks.image_area(IMAGE, MIB)
    assert "hibernated" not in said.split("*" + DISCARD)[1].split("GNU GRUB", 1)[1]
    assert disk.content() == before.replace(mark().text(), marks.empty()).replace(area, marks.swap_area(
        IMAGE, MIB, b"SWAPSPACE2", b"SWAPSPACE2"))


def test_discard_without_module(make_disk):
    """The image stays, so the kernel is told to leave it alone."""
    disk = make_disk(marks.slot(mark().text()), with_module=False)
    before = disk.content()
    said = choose(disk, ("automatically in 2s", DOWN), ("*" + DISCARD, b"\r"))
    cmdline, ramdisk = started(said)
    assert cmdline.rstrip() == f"BOOT_IMAGE=(hd0,gpt2)/boot/vmlinuz root=/dev/vda3 ro {WORDS} noresume"
    assert ramdisk == RAMDISK[:-1].decode()
    assert disk.content() == before.replace(mark().text(), mark(state="none").text())


def test_discard_of_an_image_out_of_reach(make_disk):
    disk = make_disk(marks.slot(mark(f"UUID={PLAIN}", verify="hint").text()))
    said = choose(disk, ("automatically in 2s", DOWN), ("*" + DISCARD, b"\r"))
    assert "cannot be seen from the boot loader" in said and "was discarded" not in said
    assert started(said)[0].rstrip() == f"BOOT_IMAGE=(hd0,gpt2)/boot/vmlinuz root=/dev/vda3 ro {WORDS} noresume"


def test_esc_reaches_a_hidden_menu(make_disk):
    disk = make_disk(None, GRUB_TIMEOUT="0", GRUB_TIMEOUT_STYLE="hidden")
    said = choose(disk, ("Press ESC for the menu", ESC), ("*Second", DOWN), ("*Third", DOWN),
                  ("*" + UNMARKED, b"\r"))
    assert resumed(said)


def test_filesystem_gone(make_disk):
    """The plain script's own search finds nothing."""
    disk = make_disk(marks.slot(Mark(f"UUID={IMAGE}", PLAIN).text()), with_module=False)
    before = disk.content()
    said = rig.boot(disk.path)
    assert "hibctl: /boot/vmlinuz: the kernel that the image needs is gone" in said
    assert normal(said)
    assert disk.content() == before


# ---- what else is in the block and in the settings ----

def test_plain_script_with_the_slot_twice(make_disk):
    """load_env takes the last one and save_env writes the first: the mark cannot be taken, so nothing is resumed."""
    disk = make_disk(marks.env_block(("hib_mark", marks.empty()), ("hib_mark", mark().text())), with_module=False)
    with rig.Boot([disk.path]) as machine:
        machine.wait_for("The mark cannot be taken, so the session is not resumed.")
    assert "KERNEL" not in machine.text


def test_refused_module_leads_to_the_plain_script(make_disk, workdir):
    release, symbol = rig.OTHER_RELEASE
    rig.build_module(workdir / "other.mod", HIBRESUME_GRUB=release)
    disk = make_disk(marks.slot(mark().text()), files={
        f"/boot/grub/{rig.PLATFORM}/hibresume.mod": workdir / "other.mod"})
    said = rig.boot(disk.path)
    assert f"symbol `{symbol}' not found" in said
    assert resumed(said)


def test_saved_default_is_not_spoiled(make_disk):
    """An entry chosen after a failure is saved under its own name, and GRUB_SAVEDEFAULT finds it."""
    disk = make_disk(marks.slot(mark(kernel="/boot/junk").text(), ("saved_entry", b"first")),
                     GRUB_DEFAULT="saved", files=JUNK,
                     entries=ENTRIES.replace("second ;", "second ; savedefault ;"))
    said = choose(disk, (FAILED, ESC), ("*First", DOWN), ("*Second", b"\r"))
    assert started(said)[0].endswith(" second")
    assert b"\nsaved_entry=second\n" in rig.file_in_ext4(disk.path, "/boot/grub/grubenv", disk.offsets[1])


def test_superusers(make_disk):
    """Whoever sits there may have the session back, but must not destroy it."""
    password = "\nset superusers=root\nexport superusers\npassword root secret\n"
    entries = password + ENTRIES.replace(" {", " --unrestricted {")
    disk = make_disk(marks.slot(mark().text()), entries=entries)
    assert resumed(rig.boot(disk.path))
    disk = make_disk(marks.slot(mark().text()), entries=entries)
    before = disk.content()
    with rig.Boot([disk.path]) as machine:
        machine.wait_for("automatically in 2s")
        machine.type(DOWN)
        machine.wait_for("*" + DISCARD)
        machine.type(b"\r")
        machine.wait_for("Enter username:")
    assert disk.content() == before


# ---- other systems ----

GUARD = "Other systems (a hibernated session may be lost)"
ANOTHER, THIRD = "Another system (on /dev/vda9)", "Advanced options for a third"
UNGUARDED = [marks.slot(marks.empty()), marks.slot(mark().text())]


@both_paths
@pytest.mark.parametrize("guard", ["true", "false", None])
def test_other_systems_while_a_session_is_asleep(make_disk, with_module, guard):
    disk = make_disk(marks.slot(mark().text()), with_module, others=OTHERS, GRUB_HIBCTL_GUARD=guard)
    said = rig.boot(disk.path)
    assert resumed(said), "it changes nothing for who does not touch a key"
    shown = f"First Second Third {GUARD}" if guard == "true" else f"First Second Third {ANOTHER} {THIRD}"
    assert shown in menu(said) and "error" not in said
    assert (GUARD in said) == (guard == "true")


@pytest.mark.parametrize("name", OFFERED)
def test_guarded_where_a_session_is_offered(make_disk, name):
    env, title, _words = OFFERED[name]
    said = rig.boot(make_disk(env, others=OTHERS, GRUB_HIBCTL_GUARD="true").path)
    assert normal(said) and f"First *Second Third {GUARD} {title} {DISCARD}" in menu(said)


def test_guarded_where_the_kernel_is_gone(make_disk):
    said = rig.boot(make_disk(marks.slot(mark(kernel="/boot/gone").text()), others=OTHERS, GRUB_HIBCTL_GUARD="true").path)
    assert normal(said) and f"First *Second Third {GUARD}" in menu(said) and ANOTHER not in said


@pytest.mark.parametrize("env", UNGUARDED, ids=["nothing", "stale"])
def test_nothing_to_guard(make_disk, env):
    """There is no image: the entries stand where they always do, and the default is what it was."""
    area = marks.swap_area(IMAGE, MIB)
    said = rig.boot(make_disk(env, area=area, others=OTHERS, GRUB_HIBCTL_GUARD="true", GRUB_DEFAULT="3").path)
    assert f"First Second Third *{ANOTHER} {THIRD}" in menu(said) and GUARD not in said
    assert started(said) == ("BOOT_IMAGE=/boot/vmlinuz another", "")


@pytest.mark.parametrize("env,with_module", [(marks.slot(mark(state="taken").text()), True), (marks.slot(marks.empty()), False)],
                         ids=["spent", "nothing that the script can see"])
def test_guarded_where_nobody_has_looked(make_disk, env, with_module):
    """A mark that was used may have been about an image that cannot be seen; the script sees no image at all."""
    area = marks.swap_area(IMAGE, MIB)
    said = rig.boot(make_disk(env, with_module, area, others=OTHERS, GRUB_HIBCTL_GUARD="true").path)
    assert normal(said) and f"First *Second Third {GUARD}" in menu(said) and ANOTHER not in said


def test_no_other_systems(make_disk):
    """grub-mkconfig without os-prober: the function is empty but for what GRUB needs."""
    said = rig.boot(make_disk(marks.slot(marks.empty()), others="", GRUB_HIBCTL_GUARD="true", area=marks.swap_area(IMAGE, MIB)).path)
    assert normal(said) and "error" not in said


def test_through_the_warning(make_disk):
    disk = make_disk(marks.slot(mark().text()), others=OTHERS, GRUB_HIBCTL_GUARD="true")
    said = choose(disk, ("automatically in 2s", DOWN * 5 + b"\r"), ("Press ESC to see", ESC), (ANOTHER, b"\r"))
    for words in ("A hibernated session of this machine may be asleep", "Another system that writes", "discard it."):
        assert words in said
    assert started(said) == ("BOOT_IMAGE=/boot/vmlinuz another", "") and mark().text() in disk.content()


def test_back_from_the_warning(make_disk):
    """Who waits comes back to the menu, and can resume."""
    disk = make_disk(marks.slot(mark().text()), others=OTHERS, GRUB_HIBCTL_GUARD="true")
    with rig.Boot([disk.path]) as machine:
        machine.wait_for("automatically in 2s")
        machine.type(DOWN * 5 + b"\r")
        machine.wait_for("Press ESC to see")
        shown = machine.text.count(f"*{RESUME}")
        while machine.text.count(f"*{RESUME}") == shown:
            machine.wait_for_more()
        machine.type(b"\r")
        said = machine.wait_end()
    assert resumed(said) and ANOTHER not in said


@pytest.mark.parametrize("missing", ["30_hibctl", "30_os-prober_hibctl"])
def test_one_script_alone_is_refused(make_disk, scratch, missing, monkeypatch):
    """By grub-script-check, which grub-mkconfig calls before it puts a new grub.cfg in the old one's place."""
    path = rig.grub_d_script
    monkeypatch.setattr(rig, "grub_d_script", lambda name, folder: "/dev/null" if name == missing else path(name, folder))
    text = grub_cfg(scratch, others=OTHERS, GRUB_HIBCTL_GUARD="true")
    (scratch / "half.cfg").write_text(text)
    with pytest.raises(RuntimeError, match="[Ss]yntax"):
        rig.run("grub-script-check", scratch / "half.cfg")
