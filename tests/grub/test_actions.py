# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""`hibresume resume' and `hibresume discard' in real GRUB: what is started, and which bytes change on the disks."""

import re

import pytest

from . import marks, rig
from .marks import Mark
from .rig import BOOT_UUID, MIB

IMAGE = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER = "aaaaaaaa-0000-4000-8000-000000000002"
RAMDISK = b"the right ramdisk\0"
VARIABLES = (("saved_entry", b"gnulinux-6"), ("odd", b"a\\\\b\\\nc"), ("next_entry", b""))

CONFIGURED = f"--device UUID={IMAGE} --fs {BOOT_UUID} --kernel /boot/vmlinuz --initrd /boot/initrd"


def mark(image=f"UUID={IMAGE}", **fields):
    return Mark(image, BOOT_UUID, **fields)


def config(*commands, probe="--env (hd0,gpt2)/boot/grub/grubenv"):
    return "\n".join((rig.PRELUDE, "insmod part_msdos", "insmod hibresume", f"hibresume probe {probe}",
                      'echo "VERDICT|$hib_verdict|$hib_reason|"', *commands, "echo END", "halt")).encode()


@pytest.fixture
def make_disk(workdir, module, kernel):
    def make(env, *commands, parts=None, probe=None, files=None, module=module):
        options = {"probe": probe} if probe is not None else {}
        content = rig.grub_files(module) | {
            "/boot/grub/grub.cfg": config(*commands, **options), "/boot/vmlinuz": kernel, "/boot/initrd": RAMDISK}
        if env is not None:
            content["/boot/grub/grubenv"] = env
        if parts is None:
            parts = [("swap", marks.image_area(IMAGE, MIB), None)]
        return rig.Disk(workdir, content | (files or {}), parts)

    return make


def started(said):
    """The command line and the ramdisk of the kernel that was started, or None."""
    found = re.search(r"KERNEL\[(.*?)\] RAMDISK\[(.*?)\]", said)
    return found.groups() if found else None


def with_state(armed, state):
    return armed.replace(b"hib1 armed", b"hib1 " + marks.STATES[state])


# ---- resume ----


def test_resume(make_disk):
    env = marks.slot(mark().text(), *VARIABLES)
    disk = make_disk(env, "hibresume resume root=/dev/vda3 ro quiet")
    before = disk.content()
    said = rig.boot(disk.path)
    assert started(said) == (f"BOOT_IMAGE=(hd0,gpt2)/boot/vmlinuz root=/dev/vda3 ro quiet resume=UUID={IMAGE} "
                             "resume_offset=0", RAMDISK[:-1].decode())
    assert "error" not in said
    after = disk.content()
    # The state and nothing else, on the whole disk.
    assert before.count(mark().text()) == 1
    assert after == before.replace(mark().text(), mark(state="taken").text())
    assert rig.file_in_ext4(disk.path, "/boot/grub/grubenv", disk.offsets[1]) == with_state(env, "taken")


def test_words_stay_words(make_disk):
    """The command line goes to the kernel as it stands: options, quotes, variables and all."""
    env = marks.slot(mark(initrd="-", offset=2).text())
    area = marks.swap_area(IMAGE, 8192) + marks.image_area(OTHER, MIB - 8192)
    disk = make_disk(env, "set x='$y; halt'", "hibresume resume --env 'two words' \"$x\" -- -s ''",
                     parts=[("swap", area, None)])
    cmdline, ramdisk = started(rig.boot(disk.path))
    assert cmdline.startswith("BOOT_IMAGE=(hd0,gpt2)/boot/vmlinuz --env \"two words\" \"$y; halt\" -- -s ")
    assert cmdline.endswith(f" resume=UUID={IMAGE} resume_offset=2")
    assert ramdisk == ""


@pytest.mark.parametrize("env", [marks.slot(mark(state="taken").text()), None], ids=["tried", "unmarked"])
def test_offered_is_resumed_without_writing(make_disk, env):
    disk = make_disk(env, "hibresume resume ro", probe=CONFIGURED)
    before = disk.content()
    said = rig.boot(disk.path)
    assert "VERDICT|offer|" in said
    assert started(said)[0].endswith(f" ro resume=UUID={IMAGE} resume_offset=0")
    assert disk.content() == before


def test_offered_where_the_mark_cannot_be_taken(make_disk, workdir):
    inner = rig.ext4(workdir, {"/env": marks.slot(mark().text())}, MIB, OTHER)
    disk = make_disk(None, "loopback loop /loop.img", "hibresume probe --env (loop)/env",
                     'echo "AGAIN|$hib_verdict|$hib_reason|"', "hibresume resume ro", files={"/loop.img": inner})
    before = disk.content()
    said = rig.boot(disk.path)
    assert "AGAIN|offer|cannot-consume|" in said
    assert "(loop)/env: GRUB cannot write there." in said
    assert started(said)
    assert disk.content() == before


def test_disk_that_fails_to_write(make_disk):
    """The mark cannot be taken, so nothing is started by itself."""
    disk = make_disk(marks.slot(mark().text()), "hibresume resume ro", "boot")
    before = disk.content()
    said = rig.boot_read_only(disk.path)
    assert "VERDICT|resume|ready|" in said
    assert re.search(r"error: .*(writing|write)", said)
    assert "you need to load the kernel first." in said
    assert "END" in said and not started(said)
    assert disk.content() == before


def test_disk_that_forgets(make_disk, workdir):
    """It says that all is written; but when it is asked again, the mark is armed as before. So nothing is started."""
    disk = make_disk(marks.slot(mark().text()), "hibresume resume ro", "boot", "hibresume discard",
                     'echo "NORESUME|$hib_noresume|$?|"')
    said, _ = rig.boot_deceived(disk.path, workdir / "socket")
    assert "VERDICT|resume|ready|" in said
    assert "grubenv: the mark was written, but the disk does not hold it." in said
    assert "you need to load the kernel first." in said
    assert f"UUID={IMAGE}: the swap signature was written, but the device does not hold it." in said
    assert re.search(r"NORESUME\|noresume\|[1-9]", said)
    assert "END" in said and not started(said)


def refused(make_disk, meanwhile, env=None):
    disk = make_disk(env or marks.slot(mark().text()), *meanwhile, "hibresume resume ro", "boot")
    said = rig.boot(disk.path)
    assert "you need to load the kernel first." in said
    assert "END" in said and not started(said)
    return said, disk


def test_taken_meanwhile(make_disk):
    said, _ = refused(make_disk, [f"set hib_mark='{mark(state='taken').text().decode()}'", "save_env hib_mark"])
    assert "one attempt to resume was made already" in said


def test_another_mark_meanwhile(make_disk):
    another = mark(ident="f" * 32)
    said, disk = refused(make_disk, [f"set hib_mark='{another.text().decode()}'", "save_env hib_mark"])
    assert "the mark has changed since the menu was made." in said
    assert another.text() in disk.content()


def test_discarded_meanwhile(make_disk):
    said, _ = refused(make_disk, ["hibresume discard"])
    assert "nothing is marked" in said


def test_stale(make_disk):
    said, disk = refused(make_disk, [], marks.slot(mark(kernel="/boot/gone").text()))
    assert "the kernel that the image needs is gone." in said
    assert mark(kernel="/boot/gone").text() in disk.content()


def test_resume_without_probe(workdir, module):
    files = rig.grub_files(module) | {"/boot/grub/grub.cfg": "\n".join((
        rig.PRELUDE, "insmod hibresume", "hibresume resume ro", "hibresume discard", "halt")).encode()}
    said = rig.boot(rig.Disk(workdir, files).path)
    assert said.count("`hibresume probe' was not run.") == 2


def failed_after_taking(make_disk, files, **fields):
    env = marks.slot(mark(**fields).text())
    disk = make_disk(env, "hibresume resume ro", "boot", files=files)
    before = disk.content()
    said = rig.boot(disk.path)
    # Not even the kernel alone is left for the menu to start.
    assert "you need to load the kernel first." in said
    assert "END" in said and not started(said)
    text = mark(**fields).text()
    assert disk.content() == before.replace(text, with_state(text, "taken"))
    return said


def test_kernel_is_no_kernel(make_disk):
    said = failed_after_taking(make_disk, {"/boot/junk": b"not a kernel" * 1000}, kernel="/boot/junk")
    assert "invalid magic number." in said


def test_ramdisk_too_large(make_disk):
    said = failed_after_taking(make_disk, {"/boot/large": 200 * MIB}, initrd="/boot/large")
    assert re.search(r"error: .*(memory|large)", said)


# ---- discard ----


def restored(area, page=4096):
    """An image's area with its swap signature back."""
    return area[: page - 10] + b"SWAPSPACE2" + area[page:]


def changed(before, replacements):
    for old, new in replacements:
        assert before.count(old) == 1 and len(old) == len(new)
        before = before.replace(old, new)
    return before


@pytest.mark.parametrize("page", [4096, 65536])
@pytest.mark.parametrize("state", ["armed", "taken"])
def test_discard(make_disk, state, page):
    area, text = marks.image_area(IMAGE, MIB, page), mark(state=state, page_size=page).text()
    disk = make_disk(marks.slot(text, *VARIABLES), "hibresume discard", 'echo "NORESUME|$hib_noresume|$hib_mark|"',
                     "hibresume probe", 'echo "AGAIN|$hib_verdict|$hib_reason|"', parts=[("swap", area, None)])
    before = disk.content()
    said = rig.boot(disk.path)
    assert "error" not in said
    # The variable that save_env needed is not left behind.
    assert "NORESUME|||" in said and "AGAIN|normal|nothing|" in said
    assert disk.content() == changed(before, [(area, restored(area, page)), (text, marks.empty())])


def test_discard_in_a_swap_file(make_disk, workdir):
    page = marks.image_area(OTHER, MIB)[:4096]  # the file may be in several pieces
    fs = rig.ext4(workdir, {"/swapfile": page}, 4 * MIB, IMAGE)
    text = mark(offset=fs.index(page) // 4096).text()
    disk = make_disk(marks.slot(text), "hibresume discard", parts=[("linux", fs, None)])
    before = disk.content()
    assert "error" not in rig.boot(disk.path)
    assert disk.content() == changed(before, [(page, restored(page)), (text, marks.empty())])


def test_discard_unmarked(make_disk):
    area = marks.image_area(IMAGE, MIB)
    disk = make_disk(None, "hibresume discard",
                     probe=f"--device UUID={IMAGE} --fs {BOOT_UUID} --kernel /boot/vmlinuz")
    before = disk.content()
    said = rig.boot(disk.path)
    assert "VERDICT|offer|unmarked|" in said and "error" not in said
    assert disk.content() == changed(before, [(area, restored(area))])


def test_discard_leaves_other_images_alone(make_disk):
    area, other = marks.image_area(IMAGE, MIB), marks.image_area(OTHER, MIB)
    disk = make_disk(marks.slot(mark().text()), "hibresume discard",
                     parts=[("swap", other, None), ("swap", area, None)])
    before = disk.content()
    rig.boot(disk.path)
    assert disk.content() == changed(before, [(area, restored(area)), (mark().text(), marks.empty())])


def test_discard_stale_mark(make_disk):
    """There is no image: only the mark goes."""
    area = marks.swap_area(IMAGE, MIB)
    disk = make_disk(marks.slot(mark().text()), "set hib_mark=mine", "hibresume discard",
                     'echo "NORESUME|$hib_noresume|$hib_mark|"', parts=[("swap", area, None)])
    before = disk.content()
    said = rig.boot(disk.path)
    assert "error" not in said and "NORESUME||mine|" in said
    assert disk.content() == changed(before, [(mark().text(), marks.empty())])


@pytest.mark.slow
@pytest.mark.parametrize("state", ["armed", "taken"])
def test_discard_leaves_the_mark_of_another_image(make_disk, state):
    """An image that nobody marked is offered and discarded; what the mark names is another one, out of sight now."""
    area, text = marks.image_area(IMAGE, MIB), mark(f"UUID={OTHER}", state=state).text()
    disk = make_disk(marks.slot(text), "hibresume discard", 'echo "NORESUME|$hib_noresume|$?|"',
                     probe=f"--env (hd0,gpt2)/boot/grub/grubenv {CONFIGURED}")
    before = disk.content()
    said = rig.boot(disk.path)
    assert "VERDICT|offer|unmarked|" in said and "error" not in said
    assert "NORESUME||0|" in said
    assert disk.content() == changed(before, [(area, restored(area))])


NOT_TO_BE_RESTORED = {
    "no saved signature": (marks.swap_area(IMAGE, MIB, b"S1SUSPEND", b"GARBAGE"), {},
                           f"UUID={IMAGE}: no image with a saved swap signature."),
    "device not to be seen": (marks.image_area(OTHER, MIB), {"verify": "hint"},
                              f"UUID={IMAGE}: cannot be seen from the boot loader; the image stays there."),
}


@pytest.mark.parametrize("name", NOT_TO_BE_RESTORED)
def test_discard_what_cannot_be_restored(make_disk, name):
    """The mark goes all the same, and grub.cfg learns that the kernel must be told."""
    area, fields, message = NOT_TO_BE_RESTORED[name]
    disk = make_disk(marks.slot(mark(**fields).text()), "hibresume discard", 'echo "NORESUME|$hib_noresume|$?|"',
                     parts=[("swap", area, None)])
    before = disk.content()
    said = rig.boot(disk.path)
    assert message in said
    assert "the image could not be discarded." in said
    assert re.search(r"NORESUME\|noresume\|[1-9]", said)
    assert disk.content() == changed(before, [(mark(**fields).text(), marks.empty())])


def test_discard_on_a_disk_that_fails_to_write(make_disk):
    disk = make_disk(marks.slot(mark().text()), "hibresume discard", 'echo "NORESUME|$hib_noresume|$?|"')
    before = disk.content()
    said = rig.boot_read_only(disk.path)
    assert re.search(r"NORESUME\|noresume\|[1-9]", said)
    assert said.count("error: ") >= 2  # the image, and the mark
    assert disk.content() == before


# ---- the module itself ----

LOAD = ("set hibresume_version=", "insmod hibresume", 'echo "VERSION|$hibresume_version|"', "hibresume probe",
        'echo "VERDICT|$hib_verdict|"', "echo END", "halt")


def load(workdir, module, **replaced):
    files = rig.grub_files(module) | {"/boot/grub/grub.cfg": "\n".join((rig.PRELUDE, *LOAD)).encode()}
    for name, content in replaced.items():
        files[f"/boot/grub/{rig.PLATFORM}/{name.replace('_', '.')}"] = content
    return rig.boot(rig.Disk(workdir, files).path)


@pytest.mark.slow
def test_module_of_another_release(workdir):
    output = workdir / "other" / "hibresume.mod"
    release, symbol = rig.OTHER_RELEASE
    rig.build_module(output, HIBRESUME_GRUB=release)
    said = load(workdir, output)
    assert f"symbol `{symbol}' not found" in said
    assert "VERSION||" in said and "VERDICT||" in said and "END" in said


def modinfo(version):
    text = rig.modinfo()
    changed_text = re.sub(r'^grub_package_version=.*$', f'grub_package_version="{version}"', text, flags=re.MULTILINE)
    assert changed_text != text
    return changed_text.encode()


@pytest.mark.parametrize("version", ["2.05", rig.package_version() + "2", ""])
def test_module_of_another_build(workdir, module, version):
    said = load(workdir, module, modinfo_sh=modinfo(version))
    assert f"hibresume: built for GRUB {rig.package_version()}, which is not the one in" in said
    assert "VERSION||" in said and "VERDICT||" in said and "END" in said


@pytest.mark.parametrize("content", [b"", b"grub_package_version", b"x" * 70000])
def test_version_that_cannot_be_told(workdir, module, content):
    assert "VERSION|1|" in load(workdir, module, modinfo_sh=content)


def test_version_stands(make_disk, workdir, module):
    """Once the module is there, it stays, and neither grub.cfg nor a second pass through it can hide that."""
    inner = "\n".join(("set hibresume_version=", "insmod hibresume", 'echo "INNER|$hibresume_version|"', "")).encode()
    disk = make_disk(None, "set hibresume_version=7", 'echo "SET|$hibresume_version|"', "unset hibresume_version",
                     'echo "UNSET|$hibresume_version|"', "configfile /boot/grub/inner.cfg", "rmmod hibresume",
                     'echo "STILL|$hibresume_version|"', "hibresume probe", 'echo "AGAIN|$hib_verdict|"',
                     files={"/boot/grub/inner.cfg": inner})
    said = rig.boot(disk.path)
    for line in ("SET|1|", "UNSET|1|", "INNER|1|", "STILL|1|", "AGAIN|normal|"):
        assert line in said
