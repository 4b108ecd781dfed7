# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""check: each finding in its good form and in its bad ones, and what all of them come to."""

import json
import os
import re
import struct

import pytest

from . import envblock, rig
from .firmware import BOOT_CURRENT, BOOT_ORDER, GLOBAL, LOCATION, MARK, SECURE_BOOT, TRIED, Firmware
from .healthy import Healthy, hooks_of
from .rig import AS_NOBODY, RELEASE, Filesystem, run
from .test_contract import on_terminal
from .test_finding import make_swap_file, offset_by_filefrag

LONG_AGO = "2001-02-03T04:05:06+00:00"
ATTENTION = {"warning", "problem"}


@pytest.fixture
def healthy(machine):
    return Healthy(machine)


@pytest.fixture
def uefi(machine):
    """The same with UEFI, where this system's boot entry comes first."""
    firmware = Firmware(machine, module=False)
    firmware.put(BOOT_ORDER, b"\3\0\1\0")
    return Healthy(machine, "x86_64-efi", firmware)


# ---- all of it ----


@pytest.mark.parametrize("which", ["healthy", "uefi"])
def test_all_good(request, which):
    healthy = request.getfixturevalue(which)
    result = healthy("--json", "check").done()
    told = result.json()
    assert told["good"] is True and result.err == ""
    assert [one for one in told["findings"] if one["level"] != "ok"] == []
    text = healthy("check").done().out.decode()
    assert "will work" in text.splitlines()[-1]
    assert healthy("-q", "check").done().out == b""


def test_form_of_json(healthy):
    healthy.hook.unlink()
    told = healthy("--json", "check").json()
    assert set(told) == {"findings", "good"} and told["good"] is False
    for one in told["findings"]:
        assert set(one) == {"name", "level", "words", "remedy"} and one["words"], one
        assert one["level"] in {"ok", "note", "unknown", "warning", "problem"}
        assert one["remedy"] or one["level"] in {"ok", "note"}, one
    names = [one["name"] for one in told["findings"]]
    assert len(set(names)) == len(names)


def test_form_of_text(healthy):
    healthy.machine.active_swaps()
    healthy.hook.unlink()
    result = healthy("check")
    lines = result.out.decode().splitlines()
    assert result.status == 3 and result.err == "" and lines[-1] == "2 findings need attention."
    swap = next(i for i, line in enumerate(lines) if line.startswith("        swap  ! no swap area"))
    assert re.fullmatch(r" {16}-> \S.*", lines[swap + 1])
    assert all(re.match(r" {0,11}\S[\w. =]*  [ +!~?] \S| {16}-> ", line) for line in lines[:-2]), lines
    quiet = healthy("-q", "check").out.decode().splitlines()
    assert len(quiet) == 4 and all("swap" in line or "hook" in line for line in quiet), quiet


def test_one_needs_attention(healthy):
    healthy.hook.unlink()
    assert healthy("check").out.decode().splitlines()[-1] == "1 finding needs attention."


def test_look(healthy):
    argv = healthy.argv("check")
    assert b"\x1b[32m" in on_terminal(healthy.machine.tool, argv)
    assert b"\x1b[" not in on_terminal(healthy.machine.tool, argv, {"NO_COLOR": "1"})
    assert b"\x1b" not in healthy("check").out and healthy("check").out.isascii()
    assert "✓" in healthy("check", env={"LC_ALL": "C.UTF-8"}).out.decode()


def test_it_changes_nothing(healthy):
    machine = healthy.machine

    def look():
        mounts = [mount for mount in rig.mount_points() if mount.startswith(f"{machine.root}")]
        return machine.grub_reads(), machine.swap.image.read_bytes(), machine.folder_listing(), mounts

    healthy("check").done()
    before = look()
    log = machine.scratch.path / "calls"
    calls = "trace=mount,unlink,unlinkat,rename,renameat2,mkdir,pwrite64,ftruncate,fsync,fdatasync,fork,vfork,execve"
    healthy("check", prefix=("strace", "-f", "-qq", "-o", log, "-e", calls)).done()
    assert [line for line in log.read_text().splitlines() if "execve" not in line] == []
    log.unlink()
    healthy("check", prefix=("strace", "-f", "-qq", "-o", log, "-e", "trace=openat")).done()
    assert not re.search("O_WRONLY|O_RDWR|O_CREAT", log.read_text())
    assert before == look()


def test_boot_filesystem_that_is_not_mounted(make):
    machine = make(layout="fstab")
    machine("setup").done()
    healthy = Healthy(machine)
    before = machine.fs.image.read_bytes()
    healthy("check").done()
    assert "not mounted" in healthy.one("folder", "ok")["words"]
    machine.fs.wait_until_unused()
    assert machine.fs.image.read_bytes() == before


def test_names_that_are_not_ours(healthy):
    """They must not move a terminal's cursor."""
    healthy.machine.active_swaps(("/dev/\\033[2Jx", "partition"))
    assert b"\x1b" not in healthy("check").out
    assert healthy("--json", "check").json()["findings"]


# ---- not root ----


def test_nobody(healthy):
    result = healthy("--json", "check", prefix=AS_NOBODY)
    told = {one["name"]: one for one in result.json()["findings"]}
    assert result.status == 1 and told["rights"]["level"] == "unknown" and "root" in told["rights"]["remedy"]
    assert {name for name, one in told.items() if one["level"] in ATTENTION} == set()
    for name in ("grub", "module", "hibernation", "swap", "swap-size", "sleep-hook"):
        assert told[name]["level"] == "ok", told[name]
    text = healthy("check", prefix=AS_NOBODY).out.decode()
    assert re.fullmatch(r"\d parts? could not be seen.", text.splitlines()[-1])


def test_nobody_and_a_menu_that_only_root_reads(healthy):
    """As grub-mkconfig makes it."""
    (healthy.machine.grub / "grub.cfg").chmod(0o600)
    told = healthy.findings(prefix=AS_NOBODY)
    assert told["grub-cfg"]["level"] == "unknown"


# ---- GRUB ----


def test_grub(healthy):
    words = healthy.one("grub", "ok")["words"]
    assert "i386-pc " + healthy.version in words
    (healthy.platform / "modinfo.sh").write_text("grub_package_version=x\n")
    assert healthy.one("grub", "ok")["words"].endswith("i386-pc")
    assert "which GRUB" in healthy.one("module", "note")["words"]


def test_no_grub(make):
    machine = make()
    (machine.grub / "grub.cfg").unlink()
    machine.grub.rmdir()
    result = machine("--json", "check")
    told = {one["name"]: one for one in result.json()["findings"]}
    assert result.status == 4 and result.err == ""
    assert told["grub"]["level"] == "problem" and "grub-install" in told["grub"]["remedy"]
    assert not {"folder", "slot", "module", "grub-cfg", "store", "grub-cfg-device"} & set(told)


def test_no_modules_folder(machine):
    healthy = Healthy(machine, platform=None)
    assert "release cannot be told" in healthy.one("grub", "note")["words"]
    assert "grub-install" in healthy.one("module", "warning")["remedy"]


def test_folder(healthy):
    machine = healthy.machine
    words = healthy.one("folder", "ok")["words"]
    assert str(machine.grub) in words and "ext4" in words and machine.fs.device in words
    run("mount", "-o", "remount,ro", machine.root)
    assert "remount,rw" in healthy.one("folder", "warning")["remedy"]


def test_folder_where_grub_cannot_write(make):
    """Nor can anything else take a mark: no UEFI, and the swap area is named by no menu."""
    healthy = Healthy(make("btrfs"))
    healthy.machine.grub_looks_at(None)
    healthy.freshen()
    assert "btrfs" in healthy.one("folder", "note")["words"]
    told = healthy.findings()
    assert "slot" not in told
    assert told["store"]["level"] == "problem" and "--dry-run" in told["store"]["remedy"]
    assert healthy("check").status == 4


@pytest.mark.parametrize("block,words", [
    ([], "not reserved"), ([(envblock.NAME, envblock.EMPTY)] * 2, "more than one"), ([(envblock.NAME, b"short")], "width"),
    ([(b"a", b"1" * 300), (envblock.NAME, envblock.EMPTY)], "two sectors")])
def test_slot(healthy, block, words):
    assert str(healthy.machine.block) in healthy.one("slot", "ok")["words"]
    healthy.machine.put_block(envblock.make(block))
    found = healthy.one("slot", "warning")
    assert words in found["words"] and found["remedy"] == "run 'hibctl setup'"
    assert healthy("check").status != 0


def test_block_that_cannot_be_read(healthy):
    healthy.machine.block.unlink()
    healthy.machine.block.mkdir()
    healthy.one("slot", "problem")
    healthy.one("marks", "unknown")


# ---- the module ----


def test_module(healthy):
    assert healthy.version in healthy.one("module", "ok")["words"]


def test_module_is_missing(healthy):
    healthy.module.unlink()
    assert healthy.one("module", "warning")["remedy"] == "run 'hibctl setup'"
    healthy.source.unlink()
    assert "install hibctl" in healthy.one("module", "warning")["remedy"]


def test_module_is_another(healthy):
    data = healthy.module.read_bytes()
    healthy.module.write_bytes(data.replace(b"hibresume", b"hibresumf", 1))
    found = healthy.one("module", "warning")
    assert found["remedy"] == "run 'hibctl setup'" and str(healthy.source) in found["words"]
    healthy.source.unlink()
    healthy.one("module", "ok")


@pytest.mark.parametrize("which", ["module", "source"])
def test_module_that_cannot_be_read(healthy, which):
    path = getattr(healthy, which)
    path.unlink()
    path.mkdir()
    assert str(path) in healthy.one("module", "unknown")["words"]


def test_module_for_another_grub(healthy):
    """Both what is there and what setup would install."""
    for path in (healthy.module, healthy.source):
        path.write_bytes(path.read_bytes().replace(healthy.version.encode(), healthy.version[:-1].encode() + b"X"))
    found = healthy.one("module", "warning")
    assert "will not load" in found["words"] and healthy.version in found["words"] and "for that GRUB" in found["remedy"]


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b'grub_package_version="', b'grub_package_version="2.06', b'grub_package_version=""',
                                  b'grub_package_version="' + b"2" * 200 + b'"', b'grub_package_version="2\n6"'],
                         ids=["nothing", "none", "cut", "not ended", "empty", "long", "two lines"])
def test_module_without_a_version(healthy, data):
    for path in (healthy.module, healthy.source):
        path.write_bytes(data)
    assert "cannot be told" in healthy.one("module", "note")["words"]


def test_module_of_two_platforms(healthy):
    """The one that lacks it counts."""
    healthy.put_platform("x86_64-efi", module=False)
    assert "x86_64-efi" in healthy.one("module", "warning")["words"]
    assert "i386-pc" in healthy.one("grub", "ok")["words"] and "x86_64-efi" in healthy.one("grub", "ok")["words"]


# ---- grub.cfg ----


def test_grub_cfg_does_not_ask(healthy):
    healthy.one("grub-cfg", "ok")
    healthy.machine.write_grub_cfg("linux /vmlinuz\n")
    assert healthy.one("grub-cfg", "problem")["remedy"] == "run 'hibctl setup'"
    assert healthy("check").status == 3


@pytest.mark.parametrize("changed", ["etc/default/grub", "etc/default/grub.d/x.cfg",
                                     *(f"etc/grub.d/{name}" for name in rig.GRUB_D_SCRIPTS)])
def test_grub_cfg_is_old(healthy, changed):
    healthy.one("grub-cfg-age", "ok")
    path = healthy.machine.root / changed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o755)
    os.utime(path)
    found = healthy.one("grub-cfg-age", "warning")
    assert str(path) in found["words"] and "update-grub" in found["remedy"]


def test_grub_cfg_whose_age_cannot_be_told(healthy):
    path = healthy.machine.root / "etc/default/grub"
    path.unlink()
    path.symlink_to("grub")
    assert str(path) in healthy.one("grub-cfg-age", "unknown")["words"]


def test_what_is_no_setting_does_not_count(healthy):
    folder = healthy.machine.root / "etc/default/grub.d"
    folder.mkdir()
    (folder / "x.cfg.dpkg-old").touch()
    healthy.one("grub-cfg-age", "ok")


@pytest.mark.parametrize("name", rig.GRUB_D_SCRIPTS)
@pytest.mark.parametrize("how", ["gone", "not executable"])
def test_grub_cfg_would_forget_it(healthy, name, how):
    script = healthy.machine.root / "etc/grub.d" / name
    if how == "gone":
        script.unlink()
    else:
        script.chmod(0o644)
    found = healthy.one("grub-cfg-age", "warning")
    why = "No such file or directory" if how == "gone" else "Permission denied"
    assert f"{script} cannot be run: {why}" in found["words"] and found["remedy"] == "run 'hibctl setup'"


def test_grub_cfg_names_another_device(healthy, scratch):
    machine = healthy.machine
    assert machine.swap.uuid in healthy.one("grub-cfg-device", "ok")["words"]
    other = rig.Swap(scratch, "other")
    for tag, offset, page_size in ((f"UUID={other.uuid}", 0, 4096), (f"UUID={machine.swap.uuid}", 7, 4096),
                                   (f"UUID={machine.swap.uuid}", 0, 8192)):
        machine.grub_looks_at(tag, offset, page_size)
        found = healthy.one("grub-cfg-device", "warning")
        assert tag in found["words"] and "update-grub" in found["remedy"]
    machine.grub_looks_at(None)
    assert "not be found" in healthy.one("grub-cfg-device", "note")["words"]


# ---- stores and marks ----


def test_store(healthy):
    """The swap area is active only in name."""
    assert healthy.one("store", "ok")["words"].startswith("store 'bootbits': ")
    healthy.machine.grub_looks_at(None)
    assert healthy.one("store", "ok")["words"].startswith("store 'env': ")


def test_store_before_anything_is_set_up(healthy):
    no_request(healthy)
    no_slot(healthy)
    assert healthy.one("store", "problem")["remedy"] == "run 'hibctl setup'"
    healthy.machine.grub_looks_at(None)
    assert "mark --dry-run" in healthy.one("store", "problem")["remedy"]


def test_store_of_uefi(uefi):
    assert uefi.one("store", "ok")["words"].startswith("store 'efi': ")


def test_store_that_the_settings_name(healthy):
    folder = healthy.machine.root / "etc/hibctl"
    folder.mkdir()
    (folder / "hibctl.conf").write_text("Store=efi\n")
    assert healthy.one("store", "problem")["remedy"]
    assert healthy("check").status == 4


def test_stale_marks(healthy):
    healthy.one("marks", "ok")
    healthy.machine("mark", "--store=env").done()
    healthy.one("marks", "note")  # the image is yet to come
    healthy.machine.change_raw(lambda block: envblock.with_time(block, LONG_AGO))
    found = healthy.one("marks", "warning")
    assert "settle" in found["remedy"] and str(healthy.machine.block) in found["words"]
    healthy.machine("settle").done()
    healthy.one("marks", "ok")


def test_stale_mark_in_a_variable(uefi):
    uefi("mark", "--store=efi").done()
    assert MARK in uefi.one("marks", "note")["words"]
    text = uefi.firmware.get(MARK)
    uefi.firmware.put(MARK, envblock.Mark(**{**envblock.parse(text), "time": LONG_AGO}).text())
    assert MARK in uefi.one("marks", "warning")["words"]


def test_a_mark_that_will_do_something(healthy):
    healthy.machine("mark").done()
    healthy.machine.swap.put_image()
    assert "cancel" in healthy.one("marks", "note")["remedy"]
    # And there is an image, over which another one must not be written.
    assert "earlier hibernation" in healthy.one("resume", "problem")["words"]


def test_a_mark_of_another_session(healthy, scratch):
    other = rig.Swap(scratch, "other")
    other.put_image()
    healthy.machine("mark", f"--image={other.device}").done()
    assert "another hibernated session" in healthy.one("marks", "problem")["words"]


def test_a_mark_of_a_newer_version(healthy):
    text = envblock.EMPTY.replace(b"hib1", b"hib9")
    healthy.machine.put_block(envblock.make([(envblock.NAME, text)]))
    assert "newer" in healthy.one("marks", "warning")["words"]


# ---- the kernel ----


@pytest.mark.parametrize("disk,level,words", [
    ("[disabled]\n", "problem", "not possible"), ("", "unknown", "does not tell"), (None, "unknown", "does not tell")])
def test_hibernation(healthy, disk, level, words):
    healthy.one("hibernation", "ok")
    path = healthy.machine.root / "sys/power/disk"
    path.unlink() if disk is None else path.write_text(disk)
    assert words in healthy.one("hibernation", level)["words"]


def test_lockdown(healthy):
    (healthy.machine.root / "sys/kernel/security").mkdir(parents=True)
    healthy.machine.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    healthy.machine.write("sys/power/disk", "[disabled]\n")
    found = healthy.one("hibernation", "problem")
    assert "locked down (integrity)" in found["words"] and "Secure Boot" in found["remedy"]


def test_kernel(healthy):
    machine = healthy.machine
    assert machine.kernel.name in healthy.one("kernel", "ok")["words"]
    machine.kernel.write_bytes(rig.kernel_file(version="#2 another"))
    assert "another build" in healthy.one("kernel", "problem")["words"]
    machine.kernel.unlink()
    assert "is gone" in healthy.one("kernel", "problem")["words"]
    assert healthy("check").status == 3


@pytest.mark.parametrize("data", [b"", b"\x7fELF", bytes(0x4000)], ids=["empty", "another kind", "zeros"])
def test_kernel_file_that_is_not_compared(healthy, data):
    healthy.machine.kernel.write_bytes(data)
    assert "cannot be told" in healthy.one("kernel", "unknown")["words"]


def test_kernel_without_a_ramdisk(healthy):
    healthy.machine.initrd.unlink()
    assert "update-initramfs" in healthy.one("kernel", "problem")["remedy"]
    assert "initramfs" not in healthy.findings()


def test_kernel_that_a_mark_cannot_hold(healthy):
    kernel = healthy.machine.root / ("boot/" + "k" * 190)
    kernel.write_bytes(healthy.machine.kernel.read_bytes())
    healthy.machine.kernel.unlink()
    healthy.machine.kernel.symlink_to(kernel.name)
    initrd = kernel.with_name("i" * 190)
    healthy.machine.initrd.rename(initrd)
    healthy.machine.initrd.symlink_to(initrd.name)
    assert "too long" in healthy.one("kernel", "problem")["words"]


# ---- the initramfs ----


def test_initramfs_tools(healthy):
    machine = healthy.machine
    healthy.one("initramfs", "ok")
    conf = machine.root / "etc/initramfs-tools/conf.d/resume"
    conf.write_text("RESUME=none\n")
    assert str(conf) in healthy.one("initramfs", "warning")["words"]
    conf.write_text(f"RESUME=UUID={machine.swap.uuid}\n")
    os.utime(conf)
    assert healthy.one("initramfs", "warning")["remedy"] == "run update-initramfs -u"
    os.utime(machine.initrd)
    healthy.one("initramfs", "ok")


@pytest.mark.parametrize("name,text,good", [
    ("zz", "RESUME=none", False), ("aa", "RESUME=none", True), ("zz", ' RESUME="none" # x', False), ("zz", "#RESUME=none", True),
    ("zz.dpkg-old", "RESUME=none", True), (".zz", "RESUME=none", True), ("zz", "XRESUME=none", True), ("zz", "RESUME=nonesuch", True)])
def test_initramfs_tools_which_file_counts(healthy, name, text, good):
    folder = healthy.machine.root / "etc/initramfs-tools/conf.d"
    (folder / name).write_text(text + "\n")
    os.utime(folder / name, (1, 1))
    healthy.one("initramfs", "ok" if good else "warning")


def dracut(healthy):
    root = healthy.machine.root
    (root / "usr/sbin/update-initramfs").unlink()
    (root / "usr/lib/dracut/modules.d/95resume").mkdir(parents=True)
    (root / "usr/lib/dracut/dracut-functions.sh").touch()
    return root


def test_dracut(healthy):
    root = dracut(healthy)
    assert "dracut" in healthy.one("initramfs", "ok")["words"]
    (root / "usr/lib/dracut/modules.d/95resume").rmdir()
    assert "dracut" in healthy.one("initramfs", "warning")["remedy"]
    (root / "usr/lib/dracut/modules.d/94hibctl").mkdir()
    healthy.one("initramfs", "ok")


@pytest.mark.parametrize("text,good", [
    ('omit_dracutmodules+=" resume "', False), ("omit_dracutmodules+='plymouth resume'", False), ("omit_dracutmodules=resume\n", False),
    ('#omit_dracutmodules+=" resume "', True), ('omit_dracutmodules+=" noresume "', True), ('omit_dracutmodules+=" resumes "', True),
    ('add_dracutmodules+=" resume "', True), ("omit_dracutmodules", True), ('omit_dracutmodules+=" noresume resume "', False)])
def test_dracut_that_leaves_it_out(healthy, text, good):
    root = dracut(healthy)
    (root / "etc/dracut.conf.d").mkdir()
    (root / "etc/dracut.conf.d/x.conf").write_text(text)
    healthy.one("initramfs", "ok" if good else "warning")


def test_initramfs_of_something_else(healthy):
    (healthy.machine.root / "usr/sbin/update-initramfs").unlink()
    healthy.one("initramfs", "note")


# ---- swap ----


def test_swap(healthy):
    machine = healthy.machine
    assert machine.swap.device in healthy.one("swap", "ok")["words"]
    machine.active_swaps(("/dev/zram0", "partition"))
    assert "mkswap" in healthy.one("swap", "problem")["remedy"]
    machine.active_swaps()
    assert healthy.one("swap", "problem")
    healthy.one("resume", "note")  # one finding is enough
    assert healthy("check").status == 3
    (machine.root / "proc/swaps").unlink()
    healthy.one("swap", "unknown")


@pytest.mark.parametrize("image,total,free,level", [
    (1020 * 1024, 99000, 1, "ok"), (1020 * 1024 + 1, 99000, 98000, "note"), (1020 * 1024 + 1, 99000, 97000, "warning")])
def test_swap_size(healthy, image, total, free, level):
    """The area has 1020 KiB."""
    healthy.memory(total, free)
    healthy.machine.write("sys/power/image_size", f"{image}\n")
    found = healthy.one("swap-size", level)
    assert healthy.machine.swap.device in found["words"]
    assert (level == "warning") == ("may fail" in found["words"]) == ("larger" in (found["remedy"] or ""))


def test_swap_that_is_full(healthy):
    machine = healthy.machine
    machine.write("proc/swaps", f"Filename Type Size Used Priority\n{machine.swap.device} partition 1020 1020 -2\n")
    assert " 0 MiB left" in healthy.one("swap-size", "warning")["words"]


@pytest.mark.parametrize("path,text", [("proc/meminfo", ""), ("proc/meminfo", "MemTotal: 5 kB\nMemFree: 6 kB\n"),
                                       ("proc/meminfo", "MemTotal: x\nMemFree: 6 kB\n"), ("sys/power/image_size", ""), ("sys/power/image_size", "x")])
def test_swap_size_cannot_be_told(healthy, path, text):
    healthy.machine.write(path, text)
    healthy.one("swap-size", "unknown")


# ---- where to resume from ----


def test_resume(healthy, scratch):
    machine, other = healthy.machine, rig.Swap(scratch, "other")
    assert machine.swap.device in healthy.one("resume", "ok")["words"]
    machine.active_swaps((other.device, "partition"))
    found = healthy.one("resume", "problem")
    assert machine.swap.device in found["words"] and "swapon" in found["remedy"]
    machine.active_swaps((other.device, "partition"), (machine.swap.device, "partition"))
    healthy.one("resume", "ok")


def test_resume_is_not_set(healthy, scratch):
    machine = healthy.machine
    machine.resume_from(None)
    assert machine.swap.uuid in healthy.one("resume", "note")["words"]
    machine.active_swaps((machine.swap.device, "partition"), (rig.Swap(scratch, "other").device, "partition"))
    assert "cannot be foretold" in healthy.one("resume", "problem")["words"]


def test_resume_from_what_is_no_swap_area(healthy, scratch):
    image = scratch.image("nothing", rig.MIB)
    healthy.machine.resume_from(scratch.loop(image))
    assert "mkswap" in healthy.one("resume", "problem")["remedy"]


def test_swap_file(make):
    machine = make("ext4-4k")
    machine("setup").done()
    healthy = Healthy(machine)
    path = make_swap_file(machine, "written")
    offset = int(offset_by_filefrag(path))
    machine.active_swaps((path, "file"))
    machine.resume_from(machine.fs.device, offset)
    machine.write("proc/cmdline", f"resume={machine.fs.device} resume_offset={offset}\n")
    (machine.root / "etc/initramfs-tools/conf.d/resume").unlink()
    machine.grub_looks_at(f"UUID={machine.fs.uuid}", offset)
    healthy.freshen()
    assert str(path) in healthy.one("resume", "ok")["words"]
    healthy("check").done()
    # The file was made anew, and is elsewhere now; the old header is there still.
    path.rename(path.with_name("old"))
    path = make_swap_file(machine, "written")
    there = offset_by_filefrag(path)
    assert there != str(offset)
    assert there in healthy.one("resume", "problem")["remedy"]


def btrfs_swap_file(machine, scratch, profile):
    """On a device where what extents tell is another place than the true one."""
    image = scratch.image("other", 300 * rig.MIB)
    run("mkfs.btrfs", "-q", "-m", "dup", "-d", profile, image)
    device, folder = scratch.loop(image), scratch.folder("other-mounted")
    scratch.mount(device, folder)
    for i in range(10):  # so that it is put behind the metadata, which is there twice
        (folder / f"filler{i}").write_bytes(os.urandom(rig.MIB))
        run("sync", "--file-system", folder)
    path = folder / "swapfile"
    path.touch()
    run("chattr", "+C", path)
    path.write_bytes(bytes(rig.MIB))
    run("mkswap", "-q", path)
    run("sync", "--file-system", folder)
    machine.active_swaps((path, "file"))
    return device, image, path


@pytest.mark.slow
def test_swap_file_on_btrfs(healthy, scratch):
    """Where it really is, is what btrfs-progs says."""
    machine = healthy.machine
    device, image, path = btrfs_swap_file(machine, scratch, "single")
    offset = int(run("btrfs", "inspect-internal", "map-swapfile", "-r", path).stdout)
    assert image.read_bytes()[offset * 4096 :][4086:4096] == b"SWAPSPACE2" and str(offset) != offset_by_filefrag(path)
    machine.resume_from(device, offset)
    assert str(path) in healthy.one("resume", "ok")["words"]
    # An old header is somewhere else.
    rig.write_device(device, image.stat().st_size - 4096, image.read_bytes()[offset * 4096 :][:4096])
    machine.resume_from(device, image.stat().st_size // 4096 - 1)
    assert str(offset) in healthy.one("resume", "problem")["remedy"]


def test_swap_file_on_btrfs_without_a_resume_device(healthy, scratch):
    """mark would have to be told; what to boot with is said."""
    device, _, path = btrfs_swap_file(healthy.machine, scratch, "single")
    healthy.machine.resume_from(None)
    offset = run("btrfs", "inspect-internal", "map-swapfile", "-r", path).stdout.decode().strip()
    found = healthy.one("resume", "problem")
    assert found["remedy"] == f"boot with resume={device} resume_offset={offset}" and str(path) in found["words"]


def test_swap_file_on_btrfs_that_is_in_two_places(healthy, scratch):
    """Which the kernel would not take."""
    _, _, path = btrfs_swap_file(healthy.machine, scratch, "dup")
    found = healthy.one("resume", "unknown")
    assert str(path) in found["words"] and "map-swapfile" in found["remedy"]


def test_resume_on_the_command_line(healthy, scratch):
    machine, other = healthy.machine, rig.Swap(scratch, "other")
    healthy.one("resume-settings", "ok")
    for line in (f"resume=UUID={other.uuid}", f"resume=UUID={machine.swap.uuid} resume_offset=5", "resume=/nonexistent",
                 f"resume=UUID={machine.swap.uuid} resume=UUID={other.uuid}"):
        machine.write("proc/cmdline", f"quiet {line} splash\n")
        assert "update-grub" in healthy.one("resume-settings", "warning")["remedy"]
    for line in (f"resume=UUID={machine.swap.uuid}", f"resume={machine.swap.device} resume_offset=0", "quiet", "xresume=/nonexistent"):
        machine.write("proc/cmdline", f"{line}\n")
        healthy.one("resume-settings", "ok")


def test_resume_in_the_initramfs(healthy, scratch):
    other = rig.Swap(scratch, "other")
    conf = healthy.machine.root / "etc/initramfs-tools/conf.d/resume"
    for value, good in ((f"UUID={other.uuid}", False), ("auto", True), ("none", True), (healthy.machine.swap.device, True), ("", True)):
        conf.write_text(f"RESUME={value}\n")
        healthy.one("resume-settings", "ok" if good else "warning")


def test_settings_of_others_that_cannot_be_read(healthy):
    root = healthy.machine.root
    (root / "proc/cmdline").unlink()
    assert "mount /proc" in healthy.one("resume-settings", "unknown")["remedy"]
    healthy.machine.write("proc/cmdline", "quiet\n")
    (root / "etc/initramfs-tools/conf.d/odd").mkdir()
    assert "conf.d/odd" in healthy.one("resume-settings", "unknown")["words"]
    assert "conf.d/odd" in healthy.one("initramfs", "unknown")["words"]
    dracut(healthy)
    healthy.one("initramfs", "ok")
    (root / "etc/dracut.conf").mkdir()
    assert "dracut.conf" in healthy.one("initramfs", "unknown")["words"]
    (root / "etc/crypttab").mkdir()
    prefix = mapped(healthy.machine, "CRYPT-PLAIN")
    assert healthy.findings(prefix=prefix)["encryption"]["level"] == "unknown"


# ---- encryption ----


def mapped(machine, kind):
    """Words that run a program on a machine whose swap area is a mapping, as sysfs tells it."""
    fake = machine.scratch.folder("mapping")
    (fake / "dm").mkdir()
    (fake / "dm/uuid").write_text(f"{kind}-x\n")
    (fake / "dm/name").write_text("swap_crypt\n")
    (fake / "uevent").write_text(f"DEVNAME={os.path.basename(machine.swap.device)}\n")
    number = rig.device_number(machine.swap.device)
    script = (f"mkdir /run/block && cp -a /sys/dev/block/. /run/block && rm /run/block/{number} && ln -s {fake} /run/block/{number} &&"
              ' for l in /run/block/*; do ln -sfn "$(readlink -f /sys/dev/block/${l##*/})" "$l.n"; done;'
              f" ln -sfn {fake} /run/block/{number}.n; for l in /run/block/*.n; do mv -T $l ${{l%.n}}; done;"
              ' mount --bind /run/block /sys/dev/block && exec "$@"')
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", f"mount -t tmpfs none /run && {script}", "sh")


@pytest.mark.parametrize("table,level", [
    ("", "note"), ("swap_crypt /dev/x /dev/urandom swap,cipher=aes\n", "problem"), ("swap_crypt /dev/x /dev/random\n", "problem"),
    ("# swap_crypt /dev/x /dev/urandom\n", "note"), ("other /dev/x /dev/urandom\n", "note"), ("swap_crypt UUID=1 none luks\n", "note")])
def test_encrypted(healthy, table, level):
    machine = healthy.machine
    assert "GRUB can see" in healthy.one("encryption", "ok")["words"]
    machine.write("etc/crypttab", table)
    found = healthy.findings(prefix=mapped(machine, "CRYPT-PLAIN"))["encryption"]
    assert found["level"] == level, found
    assert ("random" in found["words"]) == (level == "problem")


def test_mapped(healthy):
    """Another mapping than dm-crypt needs no key."""
    healthy.machine.write("etc/crypttab", "swap_crypt /dev/x /dev/urandom\n")
    assert healthy.findings(prefix=mapped(healthy.machine, "OTHER"))["encryption"]["level"] == "note"


# ---- the sleep hook ----


def test_sleep_hook(healthy):
    healthy.hook.chmod(0o644)
    assert healthy.one("sleep-hook", "warning")["remedy"] == f"chmod +x {healthy.hook}"
    healthy.hook.unlink()
    found = healthy.one("sleep-hook", "warning")
    assert "hibctl mark" in found["remedy"]
    assert [name.split("/")[-3:] for name in hooks_of(found)] == [[who, "system-sleep", "hibctl"] for who in ("systemd", "elogind")]
    for name in hooks_of(found):
        hook = healthy.machine.root / name[1:]
        hook.parent.mkdir(parents=True, exist_ok=True)
        hook.touch(mode=0o755)
        assert healthy.one("sleep-hook", "ok")["words"] == str(hook)
        hook.unlink()


def test_sleep_hook_that_was_told_to_do_nothing(healthy):
    healthy.put("etc/hibctl/hibctl.conf", "Sleep=off\n")
    assert "Sleep=off" in healthy.one("sleep-hook", "warning")["words"]
    assert healthy("check").status == 1


# ---- settings ----


@pytest.mark.parametrize("text,level,words", [
    ("Store=floppy\n", "problem", "unknown store"), ("BootNext=perhaps\n", "problem", "yes or no"), ("Stoer=env\n", "warning", "Stoer"),
    ("nonsense\n", "warning", "nonsense"), ("Store=env\n", "ok", "makes sense")])
def test_settings(healthy, text, level, words):
    folder = healthy.machine.root / "etc/hibctl"
    folder.mkdir()
    (folder / "hibctl.conf").write_text(text)
    assert words in healthy.one("settings", level)["words"]
    assert healthy("-q", "check").status == healthy("check").status == {"problem": 3, "warning": 1, "ok": 0}[level]


# ---- the firmware ----


END_OF_PATH = b"\x7f\xff\x04\0"


def on_partition(guid, kind=2, number=1):
    """The node of a device path."""
    return struct.pack("<BBHIQQ16sBB", 4, 1, 42, number, 2048, 1 << 20, guid, 2, kind)


def load_option(name, active=True, path=END_OF_PATH):
    return struct.pack("<IH", int(active), len(path)) + name.encode("utf-16-le") + b"\0\0" + path


def entry(number):
    return f"Boot{number:04X}-{GLOBAL}"


def test_no_uefi(healthy):
    assert not {"secure-boot", "variables", "boot-order", "systemd"} & set(healthy.findings())


def test_secure_boot(uefi):
    uefi.one("secure-boot", "ok")
    uefi.firmware.put(SECURE_BOOT, b"\1", attributes=6)
    assert "loads no module" in uefi.one("secure-boot", "note")["words"]
    assert uefi("check").status == 0, "the script resumes by a mark in the environment block"
    assert uefi.one("store", "ok")["words"].startswith("store 'env'")


def test_variables(uefi):
    uefi.one("variables", "ok")
    with uefi.firmware.full():
        found = uefi.one("variables", "warning")
        assert "efibootmgr" in found["remedy"] and "room" in found["words"]
    with uefi.firmware.read_only():
        assert "remount,rw" in uefi.one("variables", "warning")["remedy"]


def test_variables_are_not_mounted(uefi):
    env = {"LIBEFIVAR_OPS": "none"}
    assert "mount -t efivarfs" in uefi.one("variables", "warning", env=env)["remedy"]
    uefi.one("secure-boot", "unknown", env=env)
    assert "boot-order" not in uefi.findings(env=env)


def test_an_image_that_cannot_be_read(uefi):
    uefi("mark", "--store=env").done()
    uefi.firmware.put_location(uefi.machine.swap)
    told = uefi.findings(prefix=AS_NOBODY)
    assert told["marks"]["level"] == told["systemd"]["level"] == "unknown"


def test_boot_order(uefi):
    firmware = uefi.firmware
    uefi.one("boot-order", "ok")
    firmware.put(BOOT_ORDER, b"\1\0\2\0\3\0\4\0")
    uefi.one("boot-order", "ok")  # there are no such entries
    firmware.put(entry(4), load_option("comes later"))
    firmware.put(entry(2), load_option("not active", active=False))
    uefi.one("boot-order", "ok")
    firmware.put(entry(1), load_option("Windows Boot Manager"))
    found = uefi.one("boot-order", "warning")
    assert "0001 Windows Boot Manager:" in found["words"] and "0003" in found["words"] and "it comes" in found["words"]
    assert "--boot-next" in found["remedy"] and "BootNext=yes" in found["remedy"]
    firmware.put(entry(2), load_option("Other"))
    assert "0001 Windows Boot Manager, 0002 Other: they come" in uefi.one("boot-order", "warning")["words"]
    (uefi.machine.root / "etc/hibctl").mkdir()
    uefi.machine.write("etc/hibctl/hibctl.conf", "BootNext=yes\n")
    uefi.one("boot-order", "note")
    assert uefi("check").status == 0


ESP, OTHER_ESP = bytes(range(16)), bytes(range(1, 17))
ACPI = b"\x02\x01\x0c\0" + bytes(8)


@pytest.mark.parametrize("ours,theirs,shared", [
    (on_partition(ESP) + END_OF_PATH, ACPI + on_partition(ESP) + END_OF_PATH, True),
    (on_partition(ESP) + END_OF_PATH, on_partition(OTHER_ESP) + END_OF_PATH, False),
    (on_partition(bytes(16), kind=0) + END_OF_PATH, on_partition(bytes(16), kind=0) + END_OF_PATH, False),
    (on_partition(b"mbr!", kind=1) + END_OF_PATH, on_partition(b"mbr!", kind=1, number=2) + END_OF_PATH, False),
    (ACPI + END_OF_PATH, ACPI + END_OF_PATH, False), (on_partition(ESP) + END_OF_PATH, on_partition(ESP)[:41], False),
    (on_partition(ESP) + END_OF_PATH, b"\4\1\3\0" + on_partition(ESP), False),
    (on_partition(ESP) + END_OF_PATH, END_OF_PATH + on_partition(ESP), False)])
def test_what_another_system_shares(uefi, ours, theirs, shared):
    uefi.firmware.put(entry(3), load_option("debian", path=ours))
    uefi.firmware.put(entry(1), load_option("Windows", path=theirs))
    uefi.firmware.put(BOOT_ORDER, b"\1\0\3\0")
    words = uefi.one("boot-order", "warning")["words"]
    assert words.startswith("0001 Windows (on the same EFI system partition):" if shared else "0001 Windows:"), words


def test_boot_order_that_is_not_in_it(uefi):
    """Started by hand: all of them come first."""
    uefi.firmware.put(entry(1), load_option("Windows"))
    uefi.firmware.put(BOOT_ORDER, b"\1\0")
    uefi.one("boot-order", "warning")


@pytest.mark.parametrize("name,data", [(BOOT_CURRENT, None), (BOOT_CURRENT, b"\1"), (BOOT_ORDER, None), (BOOT_ORDER, b"\1\0\2"),
                                       (BOOT_ORDER, bytes(2000))],
                         ids=["no current", "odd current", "no order", "odd order", "long order"])
def test_boot_order_cannot_be_told(uefi, name, data):
    uefi.firmware.path(name).unlink() if data is None else uefi.firmware.put(name, data)
    assert "does not tell" in uefi.one("boot-order", "note")["words"]


@pytest.mark.parametrize("name,finding", [(BOOT_CURRENT, "boot-order"), (BOOT_ORDER, "boot-order"), (SECURE_BOOT, "secure-boot"),
                                          (LOCATION, "systemd")])
def test_variables_that_cannot_be_read(uefi, name, finding):
    """Something else than a file; as an error of the firmware."""
    uefi.firmware.path(name).unlink(missing_ok=True)
    uefi.firmware.path(name).mkdir()
    uefi.one(finding, "unknown")


@pytest.mark.parametrize("data,name", [
    (load_option("caf\xe9 \x1b[2J"), "caf? ?[2J"), (load_option("x" * 300), "x" * 127), (load_option(""), ""), (b"\1\0\0\0\4", None),
    (b"\1\0\0\0\4\0a\0b\0", None), (b"\1\0\0\0\4\0a\0b", None), (b"", None), (bytes(5000), None)],
    ids=["odd", "long", "no name", "short", "not ended", "half a character", "nothing", "too long"])
def test_boot_entry_of_any_form(uefi, data, name):
    uefi.firmware.put(BOOT_ORDER, b"\1\0\3\0")
    uefi.firmware.put(entry(1), data)
    if name is None:
        uefi.one("boot-order", "ok")
    else:
        assert uefi.one("boot-order", "warning")["words"].startswith(f"0001 {name}: ")


def test_systemd(uefi):
    firmware, swap = uefi.firmware, uefi.machine.swap
    uefi.one("systemd", "ok")
    firmware.put_location(swap, release=RELEASE)
    assert "--hibernate-location" in uefi.one("systemd", "warning")["remedy"]
    swap.put_image()
    uefi.one("systemd", "note")
    firmware.put(LOCATION, b"nonsense")
    assert "damaged" in uefi.one("systemd", "warning")["words"]
    firmware.path(LOCATION).unlink()
    swap.remove_image()
    firmware.put(TRIED, b"00000000")
    assert uefi.one("systemd", "warning")["remedy"] == "run 'hibctl settle'"
    uefi("settle").done()
    uefi.one("systemd", "ok")


# ---- beside mark --dry-run ----


def no_slot(healthy):
    healthy.machine.put_block(envblock.make([]))


def no_block(healthy):
    healthy.machine.block.unlink()


def no_request(healthy):
    healthy.machine.write_grub_cfg("linux /vmlinuz\n")


def odd_request(healthy):
    healthy.machine.write_grub_cfg("hibresume probe --device UUID=$x\n")


def old_image(healthy):
    healthy.machine.swap.put_image()


def foreign_image(healthy):
    healthy.machine.swap.put_image(b"ULSUSPEND\0")


def no_kernel(healthy):
    healthy.machine.kernel.unlink()


def other_kernel(healthy):
    healthy.machine.kernel.write_bytes(rig.kernel_file(release="1.2.3"))


def no_ramdisk(healthy):
    healthy.machine.initrd.unlink()


def no_swap(healthy):
    healthy.machine.resume_from(None)
    healthy.machine.active_swaps()


def copy_of_the_area(healthy):
    copy = healthy.machine.scratch.image("copy", rig.MIB)
    copy.write_bytes(healthy.machine.swap.image.read_bytes())
    healthy.machine.scratch.loop(copy)


def wrong_settings(healthy):
    (healthy.machine.root / "etc/hibctl").mkdir()
    healthy.machine.write("etc/hibctl/hibctl.conf", "Store=floppy\n")


def only_efi(healthy):
    (healthy.machine.root / "etc/hibctl").mkdir()
    healthy.machine.write("etc/hibctl/hibctl.conf", "Store=efi\n")


def damaged_block(healthy):
    healthy.machine.put_block(b"x" * envblock.SIZE)


def block_is_a_folder(healthy):
    healthy.machine.block.unlink()
    healthy.machine.block.mkdir()


def no_grub(healthy):
    healthy.machine.grub.rename(healthy.machine.grub.with_name("elsewhere"))


def other_session(healthy):
    other = rig.Swap(healthy.machine.scratch, "other")
    other.put_image()
    healthy.machine("mark", f"--image={other.device}").done()


def nothing(_healthy):
    pass


TREES = [nothing, no_slot, no_block, no_request, odd_request, old_image, foreign_image, no_kernel, other_kernel, no_ramdisk, no_swap,
         copy_of_the_area, wrong_settings, only_efi, damaged_block, block_is_a_folder, no_grub, other_session]


@pytest.mark.parametrize("which", ["healthy", "uefi"])
@pytest.mark.parametrize("change", TREES)
def test_it_agrees_with_mark(request, which, change):
    """Whenever mark would refuse, check has said so; and not only that it is unsure."""
    healthy = request.getfixturevalue(which)
    change(healthy)
    marking = healthy("mark", "--dry-run")
    result = healthy("--json", "check")
    bad = [one for one in result.json()["findings"] if one["level"] in ATTENTION]
    if marking.status != 0:
        assert bad and result.status in (1, 3, 4), (marking, result)
    if change is nothing:
        assert marking.status == result.status == 0


def test_it_agrees_with_mark_as_nobody(healthy):
    assert healthy("mark", "--dry-run", prefix=AS_NOBODY).status != 0
    assert healthy("check", prefix=AS_NOBODY).status != 0


def test_json_is_json_whatever_is_there(uefi):
    uefi.firmware.put(BOOT_ORDER, b"\1\0\3\0")
    uefi.firmware.put(entry(1), load_option("\ud7ff\x00"))
    uefi.machine.active_swaps((b"/dev/\\377".decode(), "partition"))
    assert json.loads(uefi("--json", "check").out.decode("utf-8"))["good"] is False
