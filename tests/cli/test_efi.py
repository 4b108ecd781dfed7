# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Marks in an EFI variable, systemd's HibernateLocation, BootNext, and which store is chosen. The variables are in a
plain folder."""

import contextlib
import json
import os
import re
import shutil

import pytest

from . import envblock, faults, rig
from .firmware import (BOOT_CURRENT, BOOT_NEXT, BOOT_ORDER, LOCATION, MARK, SECURE_BOOT, SETUP_MODE, SHIM, TRIED, Firmware,
                       location)
from .quick import few
from .rig import AS_NOBODY, RELEASE, run
from .test_save_kernel import SaveKernel, digest, in_use


@pytest.fixture
def uefi(machine):
    """A machine with UEFI; its boot filesystem is mounted, the slot reserved and the module there."""
    return Firmware(machine)


@pytest.fixture
def mark(uefi):
    """Marks in a variable; returns what --json says."""
    return lambda *args: uefi("--json", "mark", "--store=efi", *args).done().json()


def assert_armed(uefi, said=None):
    fields = envblock.parse(uefi.mark())
    assert fields["state"] == "armed" and fields["image"] == f"UUID={uefi.machine.swap.uuid}"
    if said:
        assert fields["id"] == said["id"]
    return fields


# ---- arming and disarming ----


def test_whole_life(uefi):
    machine, before = uefi.machine, uefi.machine.grub_reads()
    said = uefi("--json", "mark", "--store=efi").done().json()
    assert said["store"] == "efi" and said["armed"] is True
    assert_armed(uefi, said)
    assert machine.grub_reads() == before and machine.swap.read(0, 1024) == bytes(1024)
    told = uefi.status()
    assert (told["verdict"], told["reason"]) == ("normal", "stale") and told["stores"]["efi"]["spent"] is True
    machine.swap.put_image()
    told = uefi.status()
    assert (told["verdict"], told["reason"], told["source"]) == ("resume", "ready", "efi")
    efi = told["stores"]["efi"]
    assert efi["place"].endswith(MARK) and efi["status"] == "valid" and efi["writable"] is True
    assert efi["mark"]["id"] == said["id"] and efi["mark"]["image_state"] == "present"
    assert MARK in uefi("status").done().out.decode()
    uefi("settle").nothing()
    assert_armed(uefi, said)
    # The boot loader deletes it, the kernel resumes.
    uefi.path(MARK).unlink()
    machine.swap.remove_image()
    uefi("settle").nothing()
    assert uefi.status()["reason"] == "nothing"


@pytest.mark.parametrize("command", ["cancel", "settle"])
def test_disarmed_is_deleted(uefi, mark, command):
    mark()
    uefi(command).done()
    assert MARK not in uefi.names()
    uefi(command).nothing()
    assert uefi.names() == {BOOT_CURRENT, BOOT_ORDER}


def test_mark_again_is_one_write(uefi, mark):
    mark()
    inode, first = uefi.path(MARK).stat().st_ino, uefi.mark()
    log = uefi.machine.scratch.path / "calls"
    uefi("mark", "--store=efi", prefix=("strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=write,unlink")).done()
    calls = [line for line in log.read_text().splitlines() if MARK in line]
    assert len(calls) == 1 and re.search(r"write\(.*, 404\) += 404$", calls[0]), calls
    assert uefi.path(MARK).stat().st_ino == inode and uefi.mark() != first


def test_first_mark_is_one_write(uefi):
    log = uefi.machine.scratch.path / "calls"
    uefi("mark", "--store=efi", prefix=("strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=write,unlink")).done()
    assert [line.count(" = 404") for line in log.read_text().splitlines() if MARK in line] == [1]


def test_cancel_is_one_delete(uefi, mark):
    mark()
    log = uefi.machine.scratch.path / "calls"
    uefi("cancel", prefix=("strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=write,unlink")).done()
    calls = [line for line in log.read_text().splitlines() if MARK in line]
    assert len(calls) == 1 and "unlink(" in calls[0], calls


def test_the_load_kernel_takes_what_is_still_armed(uefi, mark, scratch):
    """Who comes there by another way than GRUB's module must not find it armed again after a resume that failed."""
    mark()
    swap = uefi.machine.swap
    before = uefi.mark()
    swap.put_image()
    other = rig.Swap(scratch, "other")
    other.put_image()
    uefi("resume", f"--device={other.device}", "--timeout=1").says_no(1, "still there")
    assert uefi.mark() == before, "it is about another image"
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=unlink", "-e", "inject=unlink:error=EIO")
    uefi("resume", f"--device={swap.device}", "--timeout=1", prefix=fault).says_no(1, "HibctlMark")
    uefi("resume", f"--device={swap.device}", "--timeout=1").says_no(1, "still there")
    assert MARK not in uefi.names()


# ---- what may be there already ----


# The first is what is left where the firmware has refused a new one.
@pytest.mark.parametrize("raw", [b"", b"\7\0\0\0", b"\7", b"\7\0"])
def test_without_contents_it_is_absent(uefi, mark, raw):
    uefi.path(MARK).write_bytes(raw)
    told = uefi.status()
    assert told["stores"]["efi"]["status"] == "absent" and told["reason"] == "nothing"
    uefi("cancel").nothing()
    said = mark()
    assert_armed(uefi, said)


BAD = {
    "short": lambda text: text[:-1],
    "long": lambda text: text + b"\0",
    "very long": lambda text: text * 200,
    "one byte": lambda text: b"h",
    "checksum": lambda text: text[:-1] + (b"0" if text[-1:] != b"0" else b"1"),
    "not text": lambda text: bytes(400),
}


@pytest.mark.parametrize("how", BAD)
def test_damaged(uefi, mark, how):
    mark()
    uefi.put(MARK, BAD[how](uefi.mark()))
    uefi.machine.swap.put_image()
    told = uefi.status()
    assert told["stores"]["efi"]["status"] == "damaged" and told["source"] == "configured"
    uefi.machine.swap.remove_image()
    assert (uefi.status()["verdict"], uefi.status()["reason"]) == ("normal", "damaged")
    said = mark()
    assert_armed(uefi, said)
    uefi.put(MARK, BAD[how](uefi.mark()))
    uefi("settle").done()
    assert MARK not in uefi.names()


def test_a_newer_version_is_left_by_settle(uefi, mark):
    mark()
    uefi.put(MARK, b"hib2" + uefi.mark()[4:])
    told = uefi.status()
    assert told["stores"]["efi"]["status"] == "future" and told["reason"] == "future"
    uefi("settle").nothing()
    assert MARK in uefi.names()
    uefi("cancel").done()
    assert MARK not in uefi.names()


def test_other_attributes_are_put_right(uefi, mark):
    """Firmware changes those of no variable: it has to be made anew."""
    mark()
    uefi.put(MARK, uefi.mark(), attributes=3)
    said = mark()
    assert_armed(uefi, said)


def test_another_session(uefi, mark, scratch):
    other = rig.Swap(scratch, "other")
    other.put_image()
    text = envblock.Mark(image=f"UUID={other.uuid}", filesystem=uefi.machine.fs.uuid).text()
    uefi.put(MARK, text)
    uefi("mark", "--store=efi").says_no(3, other.uuid, "cancel --discard-image")
    assert uefi.mark() == text
    result = uefi("--json", "mark").done()
    said = result.json()
    assert said["store"] == "bootbits" and result.err == "" and said["considered"][0]["usable"] is False
    assert uefi.mark() == text
    other.remove_image()
    said = mark()
    assert_armed(uefi, said)


# ---- failures ----


def assert_as_before(uefi, before, result):
    assert {name: uefi.raw(name) for name in uefi.names()} == before, result


def variables(uefi):
    return {name: uefi.raw(name) for name in uefi.names()}


@pytest.mark.parametrize("old", [False, True], ids=["first", "again"])
def test_full(uefi, mark, old):
    if old:
        mark()
    with uefi.full():
        before = variables(uefi)
        uefi("mark", "--store=efi").says_no(4, "room", "efibootmgr")
        assert_as_before(uefi, before, "")
        assert uefi.status()["efi"]["room"] == 0
        assert uefi("--json", "mark").done().json()["store"] == "bootbits"
        uefi("cancel").done()
        assert MARK not in uefi.names()


@pytest.mark.parametrize("old", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("error,status,words", [
    ("ENOSPC", 4, ["room", "efibootmgr"]), ("EROFS", 4, ["write-protected", "remount,rw"]), ("EPERM", 4, ["chattr -i"]),
    ("EACCES", 4, ["chattr -i"]), ("EIO", 1, ["another store"]), ("EINVAL", 1, ["another store"])])
def test_a_write_that_fails(uefi, mark, old, error, status, words):
    if old:
        mark()
    before = variables(uefi)
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", uefi.path(MARK), "-e", "trace=write",
             "-e", f"inject=write:error={error}")
    result = uefi("mark", "--store=efi", prefix=fault).says_no(status, "HibctlMark", *words)
    assert_as_before(uefi, before, result)
    verbose = uefi("-v", "mark", "--store=efi", prefix=fault)
    assert re.search("hibctl: efivarfs_set_variable: .*|hibctl: efi_set_variable", verbose.err), verbose
    # Without --store the next one is taken.
    result = uefi("--json", "mark", prefix=fault).done()
    assert result.json()["store"] == "bootbits" and "HibctlMark" in result.err
    assert_as_before(uefi, before, result)


@pytest.mark.parametrize("error,status", [("EPERM", 4), ("EROFS", 4), ("EIO", 1)])
def test_a_delete_that_fails(uefi, mark, error, status):
    mark()
    before = variables(uefi)
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=unlink", "-e", f"inject=unlink:error={error}")
    for command in ("cancel", "settle"):
        result = uefi(command, prefix=fault).says_no(status, "HibctlMark")
        assert_as_before(uefi, before, result)


def test_an_immutable_variable(uefi, mark, scratch):
    """As the kernel makes those that it does not know. libefivar takes the flag off."""
    with uefi.mounted(rig.Filesystem(scratch, "ext4", name="variables").device):
        mark()
        run("chattr", "+i", uefi.path(MARK))
        assert_armed(uefi, mark())
        run("chattr", "+i", uefi.path(MARK))
        uefi("cancel").done()
        assert MARK not in uefi.names()
        mark()
        run("chattr", "+a", uefi.path(MARK))
        before = uefi.mark()
        try:
            uefi("mark", "--store=efi").says_no(4, "chattr -i")
            uefi("cancel").says_no(4, "chattr -i")
            assert uefi.mark() == before
        finally:
            run("chattr", "-a", uefi.path(MARK))


def test_read_only(uefi, mark):
    mark()
    uefi.machine.swap.put_image()
    before = variables(uefi)
    with uefi.read_only():
        uefi("mark", "--store=efi", f"--image={uefi.machine.swap.device}").says_no(4, "read-only", "remount,rw")
        uefi("cancel").says_no(4, "read-only", "remount,rw")
        told = uefi.status()
        assert (told["verdict"], told["source"]) == ("resume", "efi"), "GRUB can delete it all the same"
        assert told["stores"]["efi"]["writable"] is False and "read-only" in told["stores"]["efi"]["why_not_writable"]
        assert told["efi"]["access"] == "read-only"
        result = uefi("--json", "mark", f"--image={uefi.machine.swap.device}").done()
        assert result.json()["store"] == "bootbits"
    assert variables(uefi) == before


def test_what_is_read_back_differs(uefi):
    """As where efivarfs is stale after a resume: the write goes nowhere."""
    before = variables(uefi)
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", uefi.path(MARK), "-e", "trace=write",
             "-e", "inject=write:retval=404")
    uefi("mark", "--store=efi", prefix=fault).says_no(1, "read back", "resume")
    assert variables(uefi) == before


def test_a_delete_that_does_nothing(uefi, mark):
    mark()
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=unlink", "-e", "inject=unlink:retval=0")
    uefi("cancel", prefix=fault).says_no(1, "HibctlMark")
    assert_armed(uefi)


def test_old_contents_that_cannot_be_put_back(uefi, mark):
    """One of another length must go first; if nothing can be written after that, it is said."""
    mark()
    uefi.put(MARK, uefi.mark()[:-1])
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", uefi.path(MARK), "-e", "trace=write",
             "-e", "inject=write:error=EIO")
    result = uefi("mark", "--store=efi", prefix=fault)
    assert result.status == 1 and "may have been changed" in result.err, result


def test_not_root(uefi):
    uefi.folder.chmod(0o755)
    assert uefi.status(prefix=AS_NOBODY)["efi"]["boot_current"] == "0003"


SCENARIOS = {"first": (False, ["mark", "--store=efi"]), "again": (True, ["mark", "--store=efi"]), "cancel": (True, ["cancel"])}


@pytest.mark.parametrize("fault", few(("error=EIO",), ("error=EIO", "signal=TERM", "signal=KILL")))
@pytest.mark.parametrize("name", few(("first",), SCENARIOS))
def test_every_call(uefi, mark, name, fault):
    """The old variable or the new one, whole; and the truth is said."""
    armed, args = SCENARIOS[name]
    machine = uefi.machine
    if armed:
        mark()
    old = uefi.mark()
    block = machine.grub_reads()

    def reset():
        for path in uefi.folder.glob("Hibctl*"):
            path.unlink()
        if old is not None:
            uefi.put(MARK, old)

    argv = machine.tool.argv(*args, root=machine.root)
    found = faults.calls(argv, machine.scratch.path / "log", env=uefi.env, about=f"{uefi.folder}/")
    reset()
    bad, effects = [], 0
    points = [call for call in found if call.marked]
    for call in points:
        result = faults.inject(argv, call, fault, env=uefi.env)
        now = uefi.mark() if uefi.get(MARK) else None
        where = f"{fault} at {call.name} number {call.number}, status {result.status}: {result.err}"
        is_new = now is None if name == "cancel" else now != old and now is not None
        if is_new and now is not None:
            envblock.parse(now)
        elif not is_new and now != old:
            bad.append(f"neither old nor new: {where}")
        if result.status == 0 and not is_new or "error" in fault and result.status not in (0, 1, 3, 4):
            bad.append(f"wrong status: {where}")
        if "error" in fault and result.status != 0 and (is_new and "may" not in result.err or not result.err):
            bad.append(f"not the truth: {where}")
        if machine.grub_reads() != block:
            bad.append(f"the block: {where}")
        effects += result.status != 0
        reset()
    assert not bad, "\n".join(bad)
    assert len(points) >= 5 and effects >= 2


# ---- without UEFI, or without access ----

BARE = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
        'mount -t tmpfs none /sys/firmware && mkdir -p /sys/firmware/efi/efivars && exec "$@"', "sh")


def test_no_uefi(machine):
    machine("mark", "--store=efi").says_no(4, "not started by UEFI")
    told = machine.status()
    assert told["efi"] is told["systemd"] is told["stores"]["efi"] is None
    assert machine("--json", "mark").done().json()["store"] == "env"


def test_not_mounted(uefi):
    """There is UEFI, but nobody has mounted efivarfs; and this kernel may not know it."""
    machine = uefi.machine
    bare = {"EFIVARFS_PATH": ""}
    machine("mark", "--store=efi", prefix=BARE, env=bare).says_no(4, "mount -t efivarfs")
    told = machine("--json", "status", prefix=BARE, env=bare).json()
    assert told["efi"]["access"] == "not-mounted" and told["efi"]["supported"] is False
    assert told["stores"]["efi"]["status"] == "unreadable" and told["verdict"] == "unknown"
    machine("cancel", prefix=BARE, env=bare).says_no(1, "HibctlMark", "may hold a mark", "mount -t efivarfs")
    machine("settle", prefix=BARE, env=bare).nothing()
    assert machine("--json", "mark", prefix=BARE, env=bare).done().json()["store"] == "bootbits"
    machine.swap.put_image()
    told = machine("--json", "status", prefix=BARE, env=bare).json()
    assert (told["verdict"], told["source"]) == ("resume", "bootbits"), "no later source is asked"
    half_done = machine("cancel", prefix=BARE, env=bare)
    assert half_done.status == 1 and "may hold a mark; what was marked elsewhere is cleared" in half_done.err
    assert machine.status()["stores"]["bootbits"]["mark"] == {"state": "none"}


def test_the_library_is_told_where_variables_will_be(machine):
    """It looks for efivarfs once, before main. Where that is not mounted yet the program begins anew."""
    log = machine.scratch.path / "calls"
    for args, times in (["status"], 2), (["--version"], 2):
        machine(*args, prefix=(*BARE, "env", "-u", "EFIVARFS_PATH", "strace", "-f", "-qq", "-o", log, "-e", "trace=execve"))
        calls = log.read_text().splitlines()
        assert len(calls) == times and "/proc/self/exe" in calls[-1], calls
    machine("status", prefix=("strace", "-f", "-qq", "-o", log, "-e", "trace=execve"))
    assert len(log.read_text().splitlines()) == 1, "without UEFI it does not"


# ---- whether GRUB would see it ----


def test_no_module(machine):
    uefi = Firmware(machine, module=False)
    uefi("mark", "--store=efi").says_no(4, "module", "hibctl setup")
    uefi.put_module("i386-pc")
    uefi("mark", "--store=efi").says_no(4, "module", "hibctl setup")
    assert uefi.status()["efi"]["module"] is False
    uefi.put_module()
    uefi("mark", "--store=efi").done()
    assert uefi.status()["efi"]["module"] is True


def test_secure_boot(uefi, mark):
    mark()
    uefi.machine.swap.put_image()
    before = uefi.mark()
    uefi.put(SECURE_BOOT, b"\1", attributes=6)
    uefi("mark", "--store=efi", f"--image={uefi.machine.swap.device}").says_no(4, "Secure Boot")
    assert uefi.mark() == before
    told = uefi.status()
    assert told["efi"]["secure_boot"] is True and told["verdict"] == "unknown"
    assert "Secure Boot" in uefi("status").out.decode()
    assert uefi("--json", "mark", f"--image={uefi.machine.swap.device}").done().json()["store"] == "env"


@pytest.mark.parametrize("name,data,attributes,on", [
    (SECURE_BOOT, b"\0", 6, False), (SECURE_BOOT, b"\1\1", 6, False), (SECURE_BOOT, b"", 6, False), (SETUP_MODE, b"\0", 6, True),
    (SETUP_MODE, b"\1", 6, False), (f"MokSBStateRT-{SHIM}", b"\1", 6, False), (f"MokSBStateRT-{SHIM}", b"\1", 7, True),
    (f"MokSBStateRT-{SHIM}", b"\0", 6, True)])
def test_when_secure_boot_is_on(uefi, name, data, attributes, on):
    uefi.put(SECURE_BOOT, b"\1", attributes=6)
    uefi.put(name, data, attributes=attributes)
    assert uefi.status()["efi"]["secure_boot"] is on


def test_setup_says_what_secure_boot_does(uefi):
    assert "Secure Boot" not in uefi("setup").nothing().err
    uefi.put(SECURE_BOOT, b"\1", attributes=6)
    said = uefi("setup").nothing().err
    assert "Secure Boot is on" in said and "plain script" in said
    assert "Secure Boot" not in uefi("setup", "--remove").done().err


# What the kernel says in /sys/power/disk and in .../lockdown, whether it hibernates, which lockdown is on, and words.
KERNELS = {
    "free": ("[platform] shutdown reboot suspend test_resume\n", "[none] integrity confidentiality\n", True, "none", None),
    "locked": ("[disabled]\n", "none [integrity] confidentiality\n", False, "integrity", r"locked down \(integrity\)"),
    "nohibernate": ("[disabled]\n", "[none] integrity confidentiality\n", False, "none", "nohibernate"),
    "no-securityfs": ("[disabled]\n", None, False, None, "locked down, or .*nohibernate"),
    "locked-but-hibernates": ("platform [shutdown]\n", "none [integrity]\n", True, "integrity", None),
    "silent": (None, None, None, None, None),
    "nonsense": ("disabled\n", "[" + 40 * "x" + "]\n", None, None, None),
    "unclosed": ("[disabled", "][", None, None, None),
    "empty": ("", "[]", None, None, None),
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_that_does_not_hibernate(machine, kernel):
    """It is said by status, and by whoever prepares for it; it forbids nothing."""
    disk, lockdown, possible, mode, words = KERNELS[kernel]
    (machine.root / "sys/kernel/security").mkdir(parents=True)
    for path, text in (("sys/power/disk", disk), ("sys/kernel/security/lockdown", lockdown)):
        if text is not None:
            machine.write(path, text)
    told = machine("--json", "status").nothing().json()
    assert told["hibernation"] == {"possible": possible, "lockdown": mode}
    lines = machine("status").nothing().out.decode().splitlines()
    shown = [line for line in lines if line.lstrip().startswith("hibernation ")]
    said = {command: machine(*command.split()).err for command in ("setup", "mark --dry-run", "mark")}
    if not words:
        assert not shown and not any("hibernating" in text for text in said.values())
        return
    assert len(shown) == 1 and re.search(f"not possible: .*{words}", shown[0]), shown
    for command, text in said.items():
        assert re.search(f"hibernating is not possible here: .*{words}", text), (command, text)
    assert envblock.state(machine.grub_reads()) == "armed"
    assert "hibernating" not in machine("setup", "--remove").err


def test_status_of_the_firmware(uefi):
    told = uefi.status()["efi"]
    assert {**told, "room": 0} == {"supported": True, "access": "usable", "secure_boot": False, "module": True,
                                   "boot_current": "0003", "boot_next": None, "room": 0}
    assert type(told["room"]) is int and told["room"] > 0
    text = uefi("status").nothing().out.decode()
    assert re.search(r"UEFI .*variables can be written, \d+ bytes are left", text) and "module" not in text
    shutil.rmtree(uefi.machine.grub / "x86_64-efi")
    assert "hibctl setup" in next(line for line in uefi("status").out.decode().splitlines() if "module " in line)
    assert "UEFI" not in uefi.machine("status").out.decode()
    with uefi.read_only():
        assert re.search("UEFI .*read-only", uefi("status").out.decode())


# ---- which store ----


def considered(uefi, *args):
    said = uefi("--json", "mark", "--dry-run", *args).done().json()
    assert said["armed"] is False
    return said["store"], [(one["store"], one["usable"]) for one in said["considered"]]


def test_efi_comes_before_a_mounted_filesystem(uefi):
    assert considered(uefi) == ("efi", [("efi", True), ("bootbits", True), ("env", True)])
    with in_use(uefi.machine.swap.device):
        assert considered(uefi) == ("efi", [("efi", True), ("bootbits", False), ("env", True)])
    before = uefi.machine.grub_reads()
    said = uefi("--json", "mark").done().json()
    assert said["store"] == "efi" and all(one["why"] for one in said["considered"])
    assert_armed(uefi, said)
    assert uefi.machine.grub_reads() == before and uefi.machine.swap.read(0, 1024) == bytes(1024)


def test_bootbits_come_next(uefi):
    with uefi.full():
        assert considered(uefi) == ("bootbits", [("efi", False), ("bootbits", True), ("env", True)])
        with in_use(uefi.machine.swap.device):
            assert considered(uefi) == ("env", [("efi", False), ("bootbits", False), ("env", True)])
        uefi.machine.grub_looks_at(None)
        assert considered(uefi) == ("env", [("efi", False), ("bootbits", False), ("env", True)])


def test_what_needs_the_module_is_not_chosen_under_secure_boot(uefi):
    uefi.put(SECURE_BOOT, b"\1", attributes=6)
    assert considered(uefi) == ("env", [("efi", False), ("bootbits", False), ("env", True)])
    uefi("mark", "--store=bootbits").says_no(4, "boot bits", "Secure Boot")
    assert uefi.machine.swap.read(0, 1024) == bytes(1024)


def test_released_env_comes_first(make):
    machine = make(layout="fstab")
    machine("setup").done()
    uefi = Firmware(machine)
    store, candidates = considered(uefi)
    assert store == "env" and [name for name, _ in candidates] == ["env", "efi", "bootbits"]
    uefi("mark").done()
    assert envblock.state(machine.grub_reads()) == "armed" and uefi.mark() is None
    assert not rig.is_mounted(machine.root / "boot")


def test_cancel_where_the_boot_filesystem_cannot_be_mounted(make):
    """The variable is disarmed, and it is said that the block was not looked at."""
    machine = make(layout="fstab")
    machine("setup").done()
    uefi = Firmware(machine)
    uefi("mark", "--store=efi").done()
    machine.write("etc/fstab", "UUID=00000000-0000-4000-8000-00000000dead /boot ext4 defaults 0 2\n")
    result = uefi("cancel", "--discard-image")
    assert result.status == 4 and "00000000dead" in result.err, result
    assert "the environment block may hold a mark; what was marked elsewhere is cleared" in result.err
    assert "the image is not discarded" in result.err
    assert uefi.mark() is None and result.out == b""
    result = uefi("cancel")
    assert result.status == 4 and "elsewhere" not in result.err and "discarded" not in result.err


def test_dry_run_explains(uefi):
    """Each store, in the order in which they are taken, and nothing is written."""
    before = variables(uefi), uefi.machine.grub_reads()
    lines = uefi("mark", "--dry-run").done().err.splitlines()
    assert [re.match(r"hibctl: store (\w+): (yes|no): \w", line).groups() for line in lines[:3]] == [
        ("efi", "yes"), ("bootbits", "yes"), ("env", "yes")], lines
    assert MARK in lines[3] and "would mark" in lines[4] and len(lines) == 5
    with in_use(uefi.machine.swap.device):
        assert "in use" in uefi("mark", "--dry-run").done().err.splitlines()[1]
    uefi.put(SECURE_BOOT, b"\1", attributes=6)
    with in_use(uefi.machine.swap.device):
        lines = uefi("mark", "--dry-run").done().err.splitlines()
    assert "Secure Boot" in lines[0] and "Secure Boot" in lines[1] and "mounted" in lines[2]
    assert uefi("-q", "mark", "--dry-run").done().err == ""
    uefi.path(SECURE_BOOT).unlink()
    assert (variables(uefi), uefi.machine.grub_reads()) == before


def test_setup_where_grub_cannot_write(make, scratch):
    """The module is what reads the variable, so it is installed; there is no slot."""
    uefi = Firmware(make("btrfs"), module=False)
    machine, modules = uefi.machine, scratch.folder("modules")
    for folder in (modules, machine.grub):
        (folder / "x86_64-efi").mkdir(exist_ok=True)
    (modules / "x86_64-efi/hibresume.mod").write_bytes(b"\x7fELF the module")
    setup = ("setup", f"--modules={modules}")
    listing = machine.folder_listing()
    away = uefi.folder.rename(scratch.path / "away")
    refused = uefi(*setup)
    refused.says_no(4, machine.block, "btrfs")
    assert "UEFI" in refused.err and machine.folder_listing() == listing
    away.rename(uefi.folder)
    uefi.put(SECURE_BOOT, b"\1", attributes=6)
    uefi(*setup).says_no(4, machine.block, "btrfs", "Secure Boot")
    assert machine.folder_listing() == listing
    uefi.path(SECURE_BOOT).unlink()

    assert "no slot is reserved" in uefi(*setup, "--dry-run").done().err
    assert machine.folder_listing() == listing
    said = uefi(*setup).done().err
    assert "no slot is reserved" in said and "EFI variable" in said and "done: GRUB asks" in said
    assert (machine.grub / "x86_64-efi/hibresume.mod").read_bytes() == b"\x7fELF the module"
    assert not machine.block.exists()
    uefi(*setup).nothing()
    assert "hibctl setup" not in uefi("status").out.decode()
    assert uefi("--json", "mark").done().json()["store"] == "efi"
    uefi("cancel").done()
    uefi(*setup, "--remove").done()
    assert machine.folder_listing() == listing


def test_setup_remove_leaves_no_variable_of_ours(uefi, mark):
    mark()
    uefi.put_location(uefi.machine.swap)
    uefi.put_note(uefi.machine.swap)
    others = uefi.names() - {MARK, TRIED}
    dry = uefi("setup", "--remove", "--dry-run").done().err
    assert f"would do: delete the EFI variable {MARK[:10]}" in dry and "HibctlTried" in dry
    assert uefi.names() == others | {MARK, TRIED}
    uefi("setup", "--remove").done()
    assert uefi.names() == others
    uefi("setup", "--remove").nothing()


@pytest.mark.parametrize("contents", [b"x", bytes(5000)], ids=["damaged", "long"])
def test_setup_remove_deletes_what_nobody_understands(uefi, contents):
    uefi.put(MARK, contents)
    uefi("setup", "--remove").done()
    assert uefi.raw(MARK) is None


def test_setup_remove_where_variables_cannot_be_deleted(uefi, mark):
    """Said, and what is not in variables is undone."""
    mark()
    with uefi.read_only():
        result = uefi("-q", "setup", "--remove")
        why, rest = result.err.splitlines()
        assert result.status == 4 and all(word in why for word in ("HibctlMark", "read-only", "remount,rw")), result
        assert rest == "hibctl: a part of it may have been done; when that is mended, run the same again"
        assert envblock.slot_at(uefi.machine.grub_reads()) is None and MARK in uefi.names()


def test_nothing_takes_it(make):
    uefi = Firmware(make("btrfs"))
    uefi.machine.block.write_bytes(envblock.make([(envblock.NAME, envblock.EMPTY)]))
    assert uefi("--json", "mark").done().json()["store"] == "efi"
    uefi("cancel").done()
    uefi.put(SECURE_BOOT, b"\1", attributes=6)
    with in_use(uefi.machine.swap.device):
        result = uefi("mark")
    assert result.status == 4 and len(result.err.splitlines()) == 2, result
    assert "Secure Boot" in result.err and "btrfs" in result.err


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
@pytest.mark.parametrize("store", ["efi", "bootbits"])
def test_a_new_ramdisk_is_where_grub_reads_it(make, kind, store):
    """As update-initramfs leaves it: on the disk, but its name in a journal, which GRUB does not replay."""
    uefi = Firmware(make(kind, layout="boot"))
    new = uefi.machine.root / "boot/initrd.img-new"
    new.write_bytes(b"a new ramdisk")
    with new.open("rb") as file:
        os.fsync(file.fileno())
    uefi("mark", f"--store={store}", f"--initrd={new}").done()
    assert uefi.machine.fs.grub_reads("/initrd.img-new") == b"a new ramdisk"


def test_a_new_ramdisk_that_cannot_be_written_out(make):
    """Said, and marked all the same: it may be old."""
    uefi = Firmware(make("xfs", layout="boot"))
    uefi.machine("setup").done()
    result = uefi("mark", "--store=efi", prefix=("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=ioctl", "-P",
                                                 uefi.machine.grub, "-e", "inject=ioctl:error=EIO")).done()
    assert str(uefi.machine.grub) in result.err and "may not find it" in result.err, result
    assert_armed(uefi)


# ---- older marks where GRUB looks first ----


@pytest.mark.parametrize("state", ["armed", "taken"])
def test_an_older_mark_in_the_block_goes(uefi, mark, state):
    machine = uefi.machine
    uefi("mark", "--store=env").done()
    if state == "taken":
        machine.change_raw(lambda block: envblock.with_state(block, "taken"))
    said = mark()
    assert_armed(uefi, said)
    assert envblock.slot(machine.grub_reads()) == envblock.EMPTY
    machine.swap.put_image()
    assert uefi.status()["source"] == "efi"


def test_a_hint_of_another_area_goes(uefi, mark, scratch):
    """There is no image any more; but the boot loader, which cannot see that, would believe it first."""
    other = rig.Swap(scratch, "other")
    older = envblock.Mark(image=f"UUID={other.uuid}", filesystem=uefi.machine.fs.uuid, verify="hint",
                          kernel=f"/boot/{uefi.machine.kernel.name}", initrd="-", release=RELEASE)
    uefi.machine.put_block(envblock.make([(envblock.NAME, older.text())]))
    assert_armed(uefi, mark())
    assert envblock.slot(uefi.machine.grub_reads()) == envblock.EMPTY
    uefi.machine.swap.put_image()
    assert uefi.status()["source"] == "efi"


def test_an_older_mark_in_an_unmounted_block_goes(make):
    """Until it is found, nothing is to be written there."""
    uefi = Firmware(make(layout="fstab"))
    uefi.machine("setup").done()
    uefi("mark", "--store=env").done()
    said = uefi("--json", "mark", "--store=efi").done().json()
    assert_armed(uefi, said)
    assert envblock.slot(uefi.machine.grub_reads()) == envblock.EMPTY and not uefi.machine.fs.is_in_use()


def test_an_older_mark_in_a_block_that_cannot_be_mounted_for_writing(make):
    """Found out before the new one is written."""
    uefi = Firmware(make(layout="fstab"))
    machine = uefi.machine
    machine("setup").done()
    uefi("mark", "--store=env").done()
    before = machine.grub_reads()
    run("blockdev", "--setro", machine.fs.device)
    machine.scratch.undo.callback(run, "blockdev", "--setrw", machine.fs.device)
    result = uefi("mark", "--store=efi")
    assert result.status in (1, 3) and machine.fs.device in result.err and len(result.err.splitlines()) == 1, result
    assert MARK not in uefi.names() and machine.grub_reads() == before and not machine.fs.is_in_use()


def test_a_boot_filesystem_that_grub_cannot_write_and_nobody_has_mounted(make):
    """The variable takes the mark all the same, and is cleared."""
    uefi = Firmware(make("btrfs", layout="fstab"))
    assert uefi("--json", "mark").done().json()["store"] == "efi"
    uefi("settle").done()
    assert MARK not in uefi.names()
    uefi("mark").done()
    uefi("cancel").done()
    assert MARK not in uefi.names() and not uefi.machine.fs.is_in_use()


def test_an_older_mark_in_the_boot_bits_goes(uefi, mark):
    machine = uefi.machine
    uefi("mark", "--store=bootbits").done()
    said = mark()
    assert_armed(uefi, said)
    assert envblock.slot(machine.swap.read(0, 1024)) == envblock.EMPTY
    machine.swap.put_image()
    assert uefi.status()["source"] == "efi"


def test_an_older_mark_in_boot_bits_that_are_in_use(uefi):
    uefi("mark", "--store=bootbits").done()
    with in_use(uefi.machine.swap.device):
        said = uefi("--json", "mark").done().json()
    assert said["store"] == "env" and [one["usable"] for one in said["considered"]] == [False, False, True]


def test_an_older_mark_that_cannot_be_cleared(uefi):
    """Then the new one must not stay either: the old one would be found first, and the new one later."""
    uefi("mark", "--store=env").done()
    before = variables(uefi), uefi.machine.grub_reads()
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", uefi.machine.block, "-e", "trace=pwrite64",
             "-e", "inject=pwrite64:error=EIO")
    result = uefi("mark", "--store=efi", prefix=fault)
    assert result.status == 1 and "older mark" in result.err, result
    assert (variables(uefi), uefi.machine.grub_reads()) == before


# ---- by a plan ----


@pytest.fixture
def save(make):
    """The boot filesystem is held; returns what knows the save kernel's side."""
    machine = make(layout="boot")
    machine("setup").done()
    sk = SaveKernel(machine)
    sk.uefi = Firmware(machine)
    return sk


def prepare(sk, *args):
    return sk.prepare(*args, env=sk.uefi.env)


def by_plan(sk, *args, **more):
    more["env"] = {**sk.uefi.env, **more.get("env", {})}
    return sk.mark(*args, **more)


def test_by_plan(save):
    sk, uefi = save, save.uefi
    with in_use(sk.swap.device):
        assert "EFI variable" in prepare(sk).done().err
    assert "efi yes" in sk.lines() and sk.lines().index("efi yes") == sk.lines().index("bootbits yes") + 1
    before = digest(sk.machine.fs), sk.area()
    assert json.loads(by_plan(sk, "--dry-run").done().out or "{}") == {} and uefi.mark() is None
    result = sk.machine.tool("--json", "mark", f"--plan={sk.plan}", env=uefi.env).done()
    assert result.json()["store"] == "efi"
    assert [(one["store"], one["usable"]) for one in result.json()["considered"]] == [("env", False), ("efi", True)]
    assert sk.plan.read_bytes().split(b"\n")[2] == b"mark " + uefi.mark(), "it is the very mark of the plan"
    assert (digest(sk.machine.fs), sk.area()) == before
    # The same bytes again: not a single write.
    log = sk.scratch.path / "calls"
    by_plan(sk, prefix=("strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=write,unlink")).done()
    assert MARK not in log.read_text()


def test_by_plan_env_comes_first(save):
    sk = save
    with in_use(sk.swap.device):
        sk.release()
    assert "efi no" in sk.lines(), "without UEFI"
    assert by_plan(sk).done() and sk.uefi.mark() is None


def test_by_plan_under_secure_boot(save):
    save.uefi.put(SECURE_BOOT, b"\1", attributes=6)
    with in_use(save.swap.device):
        result = prepare(save)
    assert result.status == 4 and result.err.count("Secure Boot is on") == 2, result
    prepare(save, "--unmount").done()
    assert {"efi no", "bootbits no"} <= set(save.lines())


@pytest.mark.parametrize("why", ["no module", "full", "no uefi", "conf"])
def test_by_plan_no(save, why):
    sk, uefi = save, save.uefi
    with contextlib.ExitStack() as undo:
        undo.enter_context(in_use(sk.swap.device))
        if why == "no module":
            shutil.rmtree(sk.machine.grub / "x86_64-efi")
        elif why == "full":
            undo.enter_context(uefi.full())
        elif why == "no uefi":
            uefi.env = rig.NO_UEFI
        elif why == "conf":
            sk.machine.write("etc/hibctl.conf", "")
            (sk.machine.root / "etc/hibctl").mkdir()
            sk.machine.write("etc/hibctl/hibctl.conf", "Store=env bootbits\n")
        prepare(sk).done()
    assert "efi no" in sk.lines()
    by_plan(sk, "--store=efi").says_no(4, "says the plan")
    assert uefi.mark() is None
    by_plan(sk).done()
    assert envblock.state(sk.bits()) == "armed" and uefi.mark() is None


def test_by_plan_the_firmware_refuses(save):
    sk, uefi = save, save.uefi
    with in_use(sk.swap.device):
        prepare(sk).done()
    with uefi.full():
        result = by_plan(sk).done()
        assert "room" in result.err and uefi.mark() is None
    assert envblock.state(sk.bits()) == "armed"
    with uefi.read_only():
        by_plan(sk, "--store=efi").says_no(4, "read-only")


def test_by_plan_an_older_mark_in_the_block(save):
    """The save kernel cannot clear it: the filesystem is held. So it is done before."""
    sk, uefi = save, save.uefi
    uefi("mark", "--store=env").done()
    prepare(sk, "--dry-run").done()
    assert envblock.state(sk.machine.grub_reads()) == "armed"
    with in_use(sk.swap.device):
        prepare(sk).done()
    assert envblock.slot(sk.machine.grub_reads()) == envblock.EMPTY
    by_plan(sk).done()
    sk.swap.put_image()
    assert uefi.status()["source"] == "efi"


def test_by_plan_efivarfs_is_mounted_if_need_be(save):
    """In a mount namespace of its own. This kernel may have no efivarfs: then the attempt is seen."""
    sk = save
    with in_use(sk.swap.device):
        prepare(sk).done()
    log = sk.scratch.path / "calls"
    result = by_plan(sk, env={"EFIVARFS_PATH": "", "LIBEFIVAR_OPS": ""},
                     prefix=(*BARE, "env", "-u", "LIBEFIVAR_OPS", "strace", "-f", "-qq", "-o", log, "-e", "trace=mount,unshare"))
    calls = log.read_text()
    assert re.search(r'unshare\(CLONE_NEWNS\).*\n.*MS_REC\|MS_PRIVATE.*\n.*mount\("efivarfs", "/sys/firmware/efi/efivars", '
                     r'"efivarfs", MS_NOSUID\|MS_NODEV\|MS_NOEXEC', calls), (calls, result)
    result.done()


# ---- systemd's HibernateLocation ----


@pytest.fixture
def systemd(uefi):
    """A location that names this machine's swap area, the image there, and nothing marked."""
    uefi.put_location(uefi.machine.swap, release=RELEASE, osReleaseId="debian")
    uefi.machine.swap.put_image()
    return uefi


def test_location_is_fresh(systemd):
    told = systemd.status()
    assert (told["verdict"], told["reason"], told["source"]) == ("resume", "ready", "systemd")
    machine = systemd.machine
    assert told["systemd"] == {"status": "valid", "uuid": machine.swap.uuid, "offset": 0, "kernel_version": RELEASE,
                               "kernel": f"/boot/{machine.kernel.name}", "kernel_state": "present",
                               "initrd": f"/boot/{machine.initrd.name}", "image_state": "present",
                               "image_device": machine.swap.device, "tried": False, "error": None}
    text = systemd("status").done().out.decode()
    assert "systemd" in text.splitlines()[0] and machine.swap.device in text


def test_location_is_stale(systemd):
    systemd.machine.swap.remove_image()
    told = systemd.status()
    assert (told["verdict"], told["reason"]) == ("normal", "stale") and told["systemd"]["image_state"] == "gone"
    systemd("settle").nothing()
    assert systemd.get(LOCATION), "it is systemd's to clear"


def test_location_was_tried(systemd):
    systemd.put_note(systemd.machine.swap)
    told = systemd.status()
    assert told["systemd"]["tried"] is True and (told["verdict"], told["reason"]) == ("offer", "tried")
    assert "already" in systemd("status").done().out.decode()
    for command in ("settle", "cancel"):
        result = systemd(command).nothing()
        assert systemd.get(TRIED), "or it would be tried again by itself"
    assert "--hibernate-location" in result.err
    assert systemd.status()["reason"] == "tried"
    # Another hibernation to the same place: another checksum in the header page.
    systemd.machine.swap.write(4096 - 32, b"\1\2\3\4")
    told = systemd.status()
    assert told["systemd"]["tried"] is False and told["verdict"] == "resume"


@pytest.mark.parametrize("command", ["settle", "cancel"])
def test_location_was_tried_and_its_device_is_away(systemd, command):
    """At the next power-on it may be there again, and must not be tried again by itself."""
    machine = systemd.machine
    systemd.put_note(machine.swap)
    device = machine.swap.device
    machine.scratch.detach(device)
    systemd(command).nothing()
    assert {LOCATION, TRIED} <= systemd.names()
    machine.swap.device = machine.scratch.loop(machine.swap.image)
    told = systemd.status()
    assert (told["verdict"], told["reason"]) == ("offer", "tried")


def test_a_mark_that_comes_and_goes_in_the_boot_bits_is_no_other_image(systemd):
    systemd.put_note(systemd.machine.swap)
    systemd.machine.swap.write(0, envblock.make([(envblock.NAME, envblock.EMPTY)]))
    assert systemd.status()["systemd"]["tried"] is True


@pytest.mark.parametrize("note", [b"", b"0", b"01234567", b"0123456789", bytes(8)])
def test_notes_of_something_else(systemd, note):
    systemd.put(TRIED, note)
    assert systemd.status()["systemd"]["tried"] is False
    systemd.machine.swap.remove_image()
    if note:
        systemd("settle").done()
    assert systemd.get(TRIED) is None


def test_marks_come_first(systemd):
    systemd("mark", "--store=efi", f"--image={systemd.machine.swap.device}").done()
    assert systemd.status()["source"] == "efi"


def test_kernel_of_the_location_is_gone(systemd):
    systemd.put_location(systemd.machine.swap, release="6.9.9-other")
    told = systemd.status()
    assert told["reason"] == "kernel-gone" and told["systemd"]["kernel_state"] == "missing"
    (systemd.machine.root / "boot/kernel-6.9.9-other").write_bytes(b"k")
    (systemd.machine.root / "boot/initramfs-6.9.9-other.img").write_bytes(b"i")
    told = systemd.status()
    assert told["verdict"] == "resume" and told["systemd"]["kernel"] == "/boot/kernel-6.9.9-other"
    assert told["systemd"]["initrd"] == "/boot/initramfs-6.9.9-other.img"


def test_location_without_a_kernel(systemd):
    systemd.put_location(systemd.machine.swap)
    told = systemd.status()
    assert told["verdict"] == "resume" and told["systemd"]["kernel_version"] is None
    assert told["systemd"]["kernel"] == f"/boot/{systemd.machine.kernel.name}"


@pytest.mark.parametrize("data", [
    location("", text="{}"), location("", text="["), location("x"), location("", text='{"uuid":"' + "a" * 5000 + '"}'),
    b"{}", b"\0", b"{", bytes(2), location("", text='{"offset":1e99}')], ids=range(9))
def test_location_is_damaged(systemd, data):
    systemd.put(LOCATION, data)
    systemd.machine.swap.remove_image()
    told = systemd.status()
    assert told["systemd"]["status"] == "damaged" and told["systemd"]["error"], told
    assert (told["verdict"], told["reason"]) == ("normal", "damaged")
    assert "HibernateLocation is damaged: " in systemd("status").done().out.decode()


def test_location_without_contents(systemd):
    systemd.path(LOCATION).write_bytes(b"")
    assert systemd.status()["systemd"]["status"] == "absent"


def test_cancel_of_the_location(systemd):
    systemd.put_note(systemd.machine.swap)
    result = systemd("cancel", "--hibernate-location").done()
    assert "HibernateLocation" in result.err and systemd.names() == {BOOT_CURRENT, BOOT_ORDER}
    systemd("cancel", "--hibernate-location").nothing()


def test_the_load_kernel_forgets_the_location(systemd, scratch):
    """As systemd's own tool does before it resumes; and as that, it goes on if it cannot."""
    other, swap = rig.Swap(scratch, "other"), systemd.machine.swap
    other.put_image()
    systemd("resume", f"--device={other.device}", "--timeout=1").says_no(1, "still there")
    assert systemd.get(LOCATION), "it is about another image"
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=unlink", "-e", "inject=unlink:error=EIO")
    result = systemd("resume", f"--device={swap.device}", "--timeout=1", prefix=fault)
    assert result.status == 1 and "HibernateLocation" in result.err and "still there" in result.err, result
    systemd("resume", f"--device={swap.device}", "--timeout=1").says_no(1, "still there")
    assert systemd.names() == {BOOT_CURRENT, BOOT_ORDER}
    assert systemd.status()["verdict"] != "resume"


def test_discarding_the_image_of_the_location(systemd):
    systemd.put_note(systemd.machine.swap)
    systemd("cancel", "--discard-image").done()
    assert systemd.machine.swap.read(4086, 10) == b"SWAPSPACE2"
    assert systemd.get(LOCATION) and not systemd.get(TRIED)


# ---- BootNext ----


def test_boot_next(uefi):
    uefi("mark", "--boot-next").done()
    assert uefi.raw(BOOT_NEXT) == b"\7\0\0\0\3\0" and uefi.get(BOOT_ORDER) == uefi.order
    told = uefi.status()["efi"]
    assert (told["boot_current"], told["boot_next"]) == ("0003", "0003")
    assert "0003" in uefi("status").out.decode()
    uefi("cancel").done()
    assert BOOT_NEXT not in uefi.names() and uefi.get(BOOT_ORDER) == uefi.order


def test_boot_next_of_somebody_else_comes_back(uefi):
    uefi.put(BOOT_NEXT, b"\x2a\0")
    uefi("mark", "--boot-next").done()
    uefi("mark", "--boot-next").done()
    assert uefi.get(BOOT_NEXT) == b"\3\0"
    uefi("cancel").done()
    assert uefi.get(BOOT_NEXT) == b"\x2a\0"
    uefi("cancel").nothing()
    assert uefi.get(BOOT_NEXT) == b"\x2a\0"


def test_boot_next_that_somebody_has_set_since(uefi):
    uefi("mark", "--boot-next").done()
    uefi.put(BOOT_NEXT, b"\x2a\0")
    uefi("cancel").done()
    assert uefi.get(BOOT_NEXT) == b"\x2a\0"


def test_boot_next_that_was_right_already(uefi):
    uefi.put(BOOT_NEXT, b"\3\0")
    uefi("mark", "--boot-next").done()
    uefi("cancel").done()
    assert uefi.get(BOOT_NEXT) == b"\3\0"


def test_boot_next_that_the_firmware_has_used(uefi):
    uefi("mark", "--boot-next").done()
    uefi.path(BOOT_NEXT).unlink()
    uefi("cancel").done()
    assert BOOT_NEXT not in uefi.names()


def test_settle_and_boot_next(uefi):
    """While a mark may yet be resumed it stays; when hibernating has failed it goes with the mark."""
    uefi("mark", "--boot-next").done()
    uefi.machine.swap.put_image()
    uefi("settle").nothing()
    assert uefi.get(BOOT_NEXT) == b"\3\0"
    uefi.machine.swap.remove_image()
    uefi("settle").done()
    assert BOOT_NEXT not in uefi.names()


@pytest.mark.parametrize("data", [None, b"", b"\3", b"\3\0\0"])
def test_boot_next_without_boot_current(uefi, data):
    if data is None:
        uefi.path(BOOT_CURRENT).unlink()
    else:
        uefi.put(BOOT_CURRENT, data)
    before = variables(uefi)
    uefi("mark", "--boot-next").says_no(1, "BootCurrent", "--boot-next")
    assert variables(uefi) == before and envblock.state(uefi.machine.grub_reads()) == "none"


def test_boot_next_without_uefi(machine):
    machine("mark", "--boot-next").says_no(1, "UEFI", "--boot-next")
    assert envblock.state(machine.grub_reads()) == "none"


def test_boot_next_that_cannot_be_set(uefi):
    before = variables(uefi)
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", uefi.path(BOOT_NEXT), "-e", "trace=write",
             "-e", "inject=write:error=ENOSPC")
    uefi("mark", "--boot-next", "--store=env", prefix=fault).says_no(4, "BootNext", "room")
    assert variables(uefi) == before and envblock.state(uefi.machine.grub_reads()) == "none"
    # Nothing is remembered either: what somebody sets later is not ours to take away.
    uefi.put(BOOT_NEXT, b"\3\0")
    uefi("cancel").nothing()
    assert uefi.get(BOOT_NEXT) == b"\3\0"


def test_boot_next_is_put_back_if_the_mark_fails(uefi):
    uefi.put(BOOT_NEXT, b"\x2a\0")
    before = variables(uefi)
    fault = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", uefi.path(MARK), "-e", "trace=write",
             "-e", "inject=write:error=EIO")
    uefi("mark", "--boot-next", "--store=efi", prefix=fault).says_no(1, "HibctlMark")
    assert variables(uefi) == before


def test_dry_run_leaves_boot_next(uefi):
    before = variables(uefi)
    assert "would set BootNext" in uefi("mark", "--boot-next", "--dry-run").done().err
    assert "BootNext" not in uefi("mark", "--dry-run").done().err
    assert variables(uefi) == before


# ---- hibctl.conf ----


class Conf:
    def __init__(self, root):
        self.etc, self.vendor = root / "etc/hibctl", root / "usr/lib/hibctl"
        for folder in (self.etc, self.vendor):
            (folder / "hibctl.conf.d").mkdir(parents=True)
        self.main = self.etc / "hibctl.conf"

    def drop_in(self, name, text, vendor=False):
        path = (self.vendor if vendor else self.etc) / "hibctl.conf.d" / name
        path.write_text(text)
        return path


@pytest.fixture
def conf(uefi):
    return Conf(uefi.machine.root)


def order(uefi):
    return [name for name, _ in considered(uefi)[1]]


def test_store_in_conf(uefi, conf):
    conf.main.write_text("# what we want\n\n ; here\n\tStore = env, efi \r\n")
    assert considered(uefi) == ("env", [("env", True), ("efi", True)])
    assert "ignored" not in uefi("mark", "--dry-run").done().err
    conf.main.write_text("Store=bootbits efi env\n")
    assert considered(uefi)[0] == "bootbits"
    uefi("mark").done()
    assert envblock.state(uefi.machine.swap.read(0, 1024)) == "armed"
    uefi("mark", "--store=env").done()
    assert envblock.state(uefi.machine.grub_reads()) == "armed", "--store is stronger"


def test_only_stores_that_do_not_work(uefi, conf):
    uefi.put(SECURE_BOOT, b"\1", attributes=6)
    conf.main.write_text("Store=efi\n")
    result = uefi("mark")
    assert result.status == 4 and "Secure Boot" in result.err and "Store=" in result.err
    assert envblock.state(uefi.machine.grub_reads()) == "none"


def test_order_of_files(uefi, conf):
    (conf.vendor / "hibctl.conf").write_text("Store=env\n")
    assert order(uefi) == ["env"]
    conf.main.write_text("Store=efi\n")
    assert order(uefi) == ["efi"], "ours in place of the vendor's"
    conf.drop_in("50-b.conf", "Store=bootbits\n", vendor=True)
    assert order(uefi) == ["bootbits"], "drop-ins come after"
    conf.drop_in("20-a.conf", "Store=env efi\n")
    assert order(uefi) == ["bootbits"], "by name, whatever the folder"
    conf.drop_in("50-b.conf", "Store=efi env\n")
    assert order(uefi) == ["efi", "env"], "one of ours takes the place of the vendor's"
    (conf.etc / "hibctl.conf.d/50-b.conf").unlink()
    (conf.etc / "hibctl.conf.d/50-b.conf").symlink_to("/dev/null")
    assert order(uefi) == ["env", "efi"], "or of none"
    conf.drop_in("90-c.conf", "Store=\n")
    assert order(uefi) == ["efi", "bootbits", "env"], "nothing is the default"
    conf.drop_in("95-c.conf~", "Store=nonsense\n")
    conf.drop_in(".99.conf", "Store=nonsense\n")
    assert order(uefi) == ["efi", "bootbits", "env"]


def test_boot_next_in_conf(uefi, conf):
    conf.main.write_text("BootNext=yes\n")
    uefi("mark").done()
    assert uefi.get(BOOT_NEXT) == b"\3\0"
    uefi("cancel").done()
    conf.drop_in("x.conf", "BootNext=no\n")
    uefi("mark").done()
    assert BOOT_NEXT not in uefi.names()
    conf.drop_in("x.conf", "BootNext=yes\n")
    uefi.machine("mark").done()  # without UEFI there is none: no reason to refuse


@pytest.mark.parametrize("text,words", [
    ("Stores=env\n", ["hibctl.conf", "line 1", "Stores"]), ("\nstore=env\n", ["line 2", "store"]),
    ("[General]\n", ["line 1", "[General]"]), ("nonsense\n", ["line 1", "nonsense"]), ("Label=B\u00fcro\n", ["line 1", "Label"])])
def test_unknown_keys_are_said(uefi, conf, text, words):
    conf.main.write_text(text)
    result = uefi("mark").done()
    line = result.err.splitlines()[0]
    assert all(word in line for word in [str(conf.main), *words]) and "ignored" in line, result
    assert uefi.mark()


BAD_CONF = {
    "store": (b"Store=floppy\n", ["line 1", "floppy", "env, efi, bootbits"]),
    "store twice": (b"Store=env efi env\n", ["line 1", "env", "twice"]),
    "later": (b"BootNext=yes\nStore=env\nStore=a b\n", ["line 3"]),
    "boot next": (b"BootNext=maybe\n", ["line 1", "maybe", "yes or no"]),
    "not text": (b"\x1b[31mStore=env\n", ["line 1", "not text"]),
    "nul": (b"Store=env\0\n", ["not text"]),
    "large": (b"#" * 70000, ["large"]),
}


@pytest.mark.parametrize("how", BAD_CONF)
@pytest.mark.parametrize("command", ["mark", "prepare"])
def test_bad_values(uefi, conf, how, command):
    text, words = BAD_CONF[how]
    path = conf.drop_in("10.conf", "")
    path.write_bytes(text)
    before = variables(uefi)
    uefi(command).says_no(64, path, *words)
    assert variables(uefi) == before and envblock.state(uefi.machine.grub_reads()) == "none"
    uefi("status").nothing()
    uefi("cancel").nothing()


@pytest.mark.parametrize("what", ["folder", "pipe", "dangling"])
def test_conf_that_is_no_file(uefi, conf, what):
    if what == "folder":
        conf.main.mkdir()
    elif what == "pipe":
        run("mkfifo", conf.main)
    else:
        conf.main.symlink_to("/nonexistent")
    uefi("mark", timeout=10).says_no(64, conf.main)
