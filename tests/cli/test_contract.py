# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What every command promises to the one who calls it: options, exit statuses, messages, JSON, terminals."""

import json
import os
import pty
import re
import string
import subprocess
from pathlib import Path

import pytest

from . import envblock
from .rig import AS_NOBODY, NO_UEFI, RELEASE

# The documented interface. What is not in here must not exist, and what is in here must be in --help.
GLOBAL_OPTIONS = {"root": "DIR", "json": None, "quiet": None, "verbose": None, "help": None, "version": None}
COMMANDS = {
    "status": {"help": None},
    "mark": {"image": "DEVICE", "offset": "PAGES", "kernel": "FILE", "initrd": "FILE", "plan": "FILE", "store": "STORE",
             "check-image": None, "boot-next": None, "dry-run": None, "help": None},
    "cancel": {"discard-image": None, "hibernate-location": None, "help": None},
    "settle": {"at-boot": None, "help": None},
    "check": {"modules": "DIR", "help": None},
    "setup": {"remove": None, "modules": "DIR", "scripts": "DIR", "dry-run": None, "help": None},
    "sleep": {"help": None},
    "locate": {"timeout": "SECONDS", "hooks": "DIR", "plan": "FILE", "help": None},
    "resume": {"plan": "FILE", "device": "DEVICE", "offset": "PAGES", "timeout": "SECONDS", "dry-run": None, "help": None},
    "prepare": {"unmount": None, "lasting": None, "plan": "FILE", "initramfs": "FILE", "hook": "'NAME WORD...'", "image": "DEVICE", "offset": "PAGES",
                "kernel": "FILE", "initrd": "FILE", "dry-run": None, "help": None},
    "env": {"help": None},
}
ENV_VERBS = ["list", "get", "set", "unset", "create", "verify"]


@pytest.fixture
def block_file(scratch):
    path = scratch.path / "block"
    path.write_bytes(envblock.make([(b"a", b"1")]))
    return path


# ---- help ----


def long_options(tool, *command):
    """All long options that the program knows, by asking getopt for each first letter."""
    found = set()
    for letter in string.ascii_lowercase:
        for word in (f"--{letter}=x", f"--{letter}"):
            for text in tool(*command, word).err.splitlines():
                if "unrecognized" not in text and "option" in text:
                    found |= set(re.findall(r"'--([a-z-]{2,})'", text))
    return found


def test_help_lists_every_option(tool):
    told = tool("--help").done().out.decode()
    assert {word.partition("=")[0] for word in re.findall(r"--([a-z-]+)", told)} >= set(GLOBAL_OPTIONS)
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w", told, re.MULTILINE), command
    for status in ("0", "1", "2", "3", "4", "64"):
        assert re.search(rf"\b{status} [a-z]", told), f"exit status {status}"


def test_no_hidden_commands(tool):
    told = tool("--help").done().out.decode()
    listed = re.findall(r"^  ([a-z]+) +\w", told.partition("Commands:")[2].partition("\n\n")[0], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(tool, command):
    result = tool(command, "--help").done()
    told = result.out.decode()
    assert told.startswith("Usage: hibctl ") and command in told.splitlines()[0] and result.err == ""
    assert tool(command, "-h").done().out == result.out
    for option, argument in COMMANDS[command].items():
        assert re.search(rf"--{option}{'=' + argument if argument else ''}(?!\w)", told), option
    assert all(len(line) <= 100 for line in told.splitlines()[1:])
    if command == "env":
        assert all(re.search(rf"^ +{verb} +\w", told, re.MULTILINE) for verb in ENV_VERBS)


@pytest.mark.slow
def test_no_option_is_missing_from_help(tool):
    """Whatever getopt knows must be documented."""
    for command, known in COMMANDS.items():
        assert long_options(tool, command) == set(known), command
    assert long_options(tool) == set(GLOBAL_OPTIONS)


def test_version(tool):
    assert re.fullmatch(rb"hibctl [0-9][^ ]*\n", tool("--version").done().out)
    assert tool("-V").done().out == tool("--version").out


# ---- wrong usage ----


@pytest.mark.parametrize("argv", [
    [], ["frobnicate"], ["--frobnicate", "status"], ["-x", "status"], ["--json=yes", "status"], ["--root"],
    ["--root=/nonexistent/folder", "status"], ["--root=", "status"], ["statu"], ["Status"], [""], ["status", "extra"],
    ["status", "--frobnicate"], ["mark", "extra"], ["mark", "--image"], ["mark", "--store=floppy"], ["mark", "--store="],
    ["mark", "--offset=7"], ["mark", "-z"], ["mark", "--plan"], ["mark", "--plan=/x", "--image=/y"], ["mark", "--plan=/x", "--kernel=/y"],
    ["prepare", "extra"], ["prepare", "--plan"], ["prepare", "--offset=7"],
    ["locate"], ["locate", "--timeout=x", "/dev/null"], ["locate", "--timeout=-1", "/dev/null"],
    ["locate", "--timeout=86401", "/dev/null"], ["resume", "extra"], ["resume", "--offset=7"],
    ["resume", "--plan=/x", "--device=/y"], ["resume", "--device=/dev/null", "--timeout=1s"], ["cancel", "extra"], ["cancel", "--discard-image=x"], ["cancel", "--hibernate-location=x"],
    ["mark", "--boot-next=x"],
    ["settle", "extra"], ["settle", "--discard-image"], ["setup", "extra"], ["check", "extra"], ["check", "--modules"], ["check", "--frobnicate"], ["setup", "--modules"], ["env"],
    ["env", "frobnicate"], ["env", "/tmp/file"], ["env", "/tmp/file", "frobnicate"], ["env", "-x", "list"],
], ids=" ".join)
def test_wrong_usage(tool, argv):
    result = tool(*argv)
    assert result.status == 64 and result.out == b"", result
    *from_getopt, last = result.err.splitlines()
    assert last.startswith("hibctl: ") and len(from_getopt) <= 1, result
    assert all(line.startswith(("hibctl: ", f"{tool.path}: ")) for line in from_getopt), result
    assert re.search("lists|--help|there are: env, efi, bootbits|shows how|seconds up to|give one|names the device|'prepare'|name the folder|--image", last), f"no remedy: {result}"


@pytest.mark.parametrize("argv", [["list", "name"], ["get"], ["set", "novalue"], ["create", "name"], ["verify", "name"]],
                         ids=" ".join)
def test_wrong_usage_of_env(tool, block_file, argv):
    before = block_file.read_bytes()
    tool("env", block_file, *argv).says_no(64)
    assert block_file.read_bytes() == before


@pytest.mark.parametrize("offset", ["-1", "x", "1x", "", " 1", "0x10", "99999999999999999999999", "1.5"])
def test_offset_is_a_number(machine, offset):
    machine("mark", f"--image={machine.swap.device}", f"--offset={offset}").says_no(64, "--offset")
    assert envblock.state(machine.grub_reads()) == "none"


# ---- exit statuses ----


def test_status_0_and_2(machine):
    machine("status").nothing()
    machine("mark").done()
    machine("status").done()
    machine("cancel").done()
    machine("cancel").nothing()
    machine("settle").nothing()
    machine("setup").nothing()
    machine("env", "get", "nope").nothing()


def test_no_slot_is_4(make):
    machine = make()
    machine("mark").says_no(4, machine.block, "hibctl setup")
    machine("cancel").nothing()
    machine("settle").nothing()
    machine("status").nothing()
    assert machine.env()["status"] == "absent"
    assert not machine.block.exists()


def test_no_grub_is_4(make):
    machine = make()
    machine.grub.joinpath("grub.cfg").unlink()
    machine.grub.rmdir()
    for command in ("mark", "cancel", "settle", "setup"):
        machine(command).says_no(4, "/boot/grub", "--root")
    assert machine("status").status == 4


def test_not_root_is_1(machine):
    for command in (["mark"], ["cancel"], ["settle"], ["setup"]):
        machine(*command, prefix=AS_NOBODY).says_no(1, "root")
    assert envblock.state(machine.grub_reads()) == "none"


# ---- loudness ----


def test_quiet_says_nothing_but_errors(machine):
    for command in (["mark"], ["mark", "--dry-run"], ["cancel"], ["cancel"], ["settle"], ["setup"], ["setup", "--remove"],
                    ["setup"], ["env", "set", "a=b"], ["env", "verify"], ["env", "get", "nope"]):
        result = machine("-q", *command)
        left = [line for line in result.err.splitlines() if not line.startswith("hibctl: now run update-grub")]
        assert (result.out, left) == (b"", []), result
        assert not result.err or command[0] == "setup", "what is left to do by hand is said"
    assert machine("--quiet", "mark", "--image=/nonexistent").says_no(3, "/nonexistent")
    assert machine("-q", "status").out != b"", "what was asked for is printed"


def test_verbose_says_each_step(machine):
    plain, steps = machine("mark").done(), machine("-v", "mark").done()
    assert len(steps.err.splitlines()) > len(plain.err.splitlines())
    assert machine.swap.device in steps.err and machine.fs.uuid in steps.err


def test_messages_are_not_results(machine):
    """What is said goes to standard error, what was asked for to standard output."""
    for command in (["mark"], ["cancel"], ["cancel"], ["setup"], ["setup", "--remove"]):
        result = machine(*command)
        assert result.out == b"" and result.err != "", result
    assert machine("status").err == ""


@pytest.mark.parametrize("text", ["linux /vmlinuz\n", "# hibresume probe\n", "echo hibresume probe\n", "", None])
def test_no_mark_where_grub_does_not_look_for_one(machine, text):
    """It would do nothing."""
    if text is None:
        (machine.grub / "grub.cfg").unlink()
    else:
        machine.write_grub_cfg(text)
    before = machine.grub_reads()
    for argv in (["mark"], ["-q", "mark"], ["mark", "--dry-run"]):
        machine(*argv).says_no(4, "grub.cfg", "'hibctl setup'")
    assert machine.grub_reads() == before


@pytest.mark.parametrize("line", [
    "hibresume probe --device", "hibresume probe --what x", "hibresume probe --device sda1", "hibresume probe --env x",
    "hibresume probe --offset 17592186044416", "hibresume probe --offset -1", "hibresume probe --offset 1x",
    "hibresume probe --page-size 4097", "hibresume probe --page-size 131072", "hibresume probe --page-size 2048",
    "hibresume probe --device UUID=$uuid", "hibresume probe --kernel 'a", "hibresume probe; reboot",
    "hibresume probe --kernel /" + 200 * "k", "hibresume probe\nhibresume probe"])
def test_a_probe_line_that_is_not_understood(machine, line):
    """Somebody has changed it: what GRUB makes of it cannot be told."""
    machine("mark").done()
    machine.swap.put_image()
    machine.write_grub_cfg(f"{line}\n")
    told = machine.status()
    assert told["verdict"] == "unknown" and told["configured"] is None
    machine("mark", f"--image={machine.swap.device}").says_no(4, "grub.cfg", "update-grub")


def test_grub_cfg_that_cannot_be_read(machine):
    machine("mark").done()
    (machine.grub / "grub.cfg").unlink()
    (machine.grub / "grub.cfg").mkdir()
    assert machine.status()["verdict"] == "unknown"
    machine("mark").says_no(4, "grub.cfg", "update-grub")


# ---- JSON ----

MARK_KEYS = {"state", "id", "image", "offset", "page_size", "filesystem", "kernel", "initrd", "release", "time", "verify",
             "image_state", "image_device", "kernel_state", "initrd_state"}
STATUS_KEYS = {"verdict", "reason", "words", "source", "grub_asks", "stores", "systemd", "configured", "efi",
               "hibernation", "unmarked"}
STORE_KEYS = {"place", "status", "slot", "writable", "why_not_writable", "spent", "mark"}
CONFIGURED_KEYS = {"image", "offset", "image_state", "image_device"}


def test_json_of_status(machine):
    machine("mark").done()
    machine.swap.put_image()
    told = machine("--json", "status").done().json()
    assert set(told) == STATUS_KEYS
    assert set(told["stores"]) == {"env", "bootbits", "efi"}
    assert told["stores"]["efi"] is told["systemd"] is told["efi"] is None, "there is no UEFI"
    assert set(told["stores"]["env"]) == set(told["stores"]["bootbits"]) == STORE_KEYS
    assert set(told["stores"]["env"]["mark"]) == MARK_KEYS
    assert set(told["configured"]) == CONFIGURED_KEYS
    assert told["verdict"] == "resume" and told["grub_asks"] is True and told["source"] == "env"
    assert told["stores"]["env"]["spent"] is False and told["stores"]["bootbits"]["status"] == "absent"
    assert told["configured"]["image_state"] == "present" == told["stores"]["env"]["mark"]["image_state"]
    assert told["stores"]["env"]["mark"]["image_device"] == machine.swap.device
    assert type(told["configured"]["offset"]) is int
    text = machine("status").done().out.decode()
    assert text.splitlines()[0] == told["words"]
    session = rf"At the next power-on GRUB will resume the session of \d{{4}}-\d\d-\d\d \d\d:\d\d from {machine.swap.device}\."
    assert re.fullmatch(session, told["words"])
    _, *sections = text.removesuffix("\n").split("\n\n")
    assert len(sections) > 1, "the block with its mark, and what grub.cfg names"
    for line in text.splitlines()[2:]:
        assert not line or re.match(r"[^ ].{11}  . [^ ]| {1,11}[^ ]+.*  . [^ ]", line), f"not aligned: {line}"
        assert not line or line[12:14] == "  ", line


def test_json_without_a_mark(make):
    machine = make()
    told = machine("--json", "status").nothing().json()
    assert set(told) == STATUS_KEYS and set(told["stores"]["env"]) == STORE_KEYS
    assert told["stores"]["env"]["mark"] is None and told["stores"]["env"]["slot"] == "missing"
    machine("setup").done()
    assert machine.env()["mark"] == {"state": "none"}


def test_json_of_what_changes(make):
    machine = make()
    assert machine("--json", "setup", "--dry-run").done().json() == {"changes": 1, "dry_run": True, "removed": False}
    assert machine("--json", "setup").done().json() == {"changes": 1, "dry_run": False, "removed": False}
    assert machine("--json", "setup").nothing().json() == {"changes": 0, "dry_run": False, "removed": False}
    told = machine("--json", "mark").done().json()
    assert set(told) == MARK_KEYS - {"state", "image_state", "image_device", "kernel_state", "initrd_state"} | {
        "armed", "dry_run", "store", "considered"}
    assert told["store"] == "env" and told["armed"] is True and told["release"] == RELEASE
    assert machine("--json", "cancel").done().json() == {"cancelled": True, "was": "stale"}
    assert machine("--json", "cancel").nothing().json() == {"cancelled": False, "was": "nothing"}
    machine("mark").done()
    assert machine("--json", "settle").done().json() == {"cleared": True, "disarmed": False, "was": "stale"}
    assert machine("--json", "settle").nothing().json() == {"cleared": False, "disarmed": False, "was": "nothing"}
    assert machine("--json", "setup", "--remove").done().json() == {"changes": 1, "dry_run": False, "removed": True}


def test_json_of_env(tool, block_file):
    block_file.write_bytes(envblock.make([(b"a", b"1"), (b"quote", b'"<>\\\\'), (b"empty", b"")]))
    assert tool("--json", "env", block_file, "list").done().json() == {"a": "1", "quote": '"<>\\', "empty": ""}
    assert tool("--json", "env", block_file, "get", "a", "b").nothing().json() == {"a": "1", "b": None}


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\x1b[31m", b"tab\there", b"caf\xc3\xa9"])
def test_json_of_odd_bytes_is_json(tool, block_file, value):
    """What is in a block may be anything; the result must parse all the same, as UTF-8."""
    block_file.write_bytes(envblock.make([(b"a", value), (b"b", b"1")]))
    told = json.loads(tool("--json", "env", block_file, "list").done().out.decode("utf-8"))
    assert told["b"] == "1"


def test_json_without_anything_to_see(make):
    """Even where status fails it prints what it knows."""
    machine = make()
    machine.grub.joinpath("grub.cfg").unlink()
    machine.grub.rmdir()
    result = machine("--json", "status")
    told = result.json()
    assert result.status == 4 and told["stores"]["env"]["status"] == "unreadable" and told["verdict"] != "resume"


# ---- terminals ----


def on_terminal(tool, argv, env=None):
    """Standard output of a run whose standard output is a terminal."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL,
                                env={"LC_ALL": "C", "TERM": "xterm", **NO_UEFI} | (env or {}))
        os.close(theirs)
        text = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            text += more
        done.wait(20)
        return text
    finally:
        os.close(ours)


def test_colour_on_a_terminal_only(machine):
    machine("mark").done()
    argv = machine.tool.argv("status", root=machine.root)
    assert b"\x1b[" in on_terminal(machine.tool, argv)
    assert b"\x1b[" not in on_terminal(machine.tool, argv, {"NO_COLOR": "1"})
    assert b"\x1b[" in on_terminal(machine.tool, argv, {"NO_COLOR": ""}), "empty counts as unset"
    assert b"\x1b" not in machine("status").done().out
    assert b"\x1b" not in machine("--json", "status").done().out


def test_no_escape_codes_out_of_a_block(tool, block_file):
    """A hostile block must not reach a terminal as control codes; a program gets the bytes as they are."""
    block_file.write_bytes(envblock.make([(b"a", b"\x1b]0;evil\x07"), (b"n\x1b[2J", b"v"), (b"c1", b"\x9b31m")]))
    assert b"\x1b]0;evil\x07" in tool("env", block_file, "list").done().out
    for verb in (["list"], ["get", "a"], ["verify"]):
        text = on_terminal(tool, tool.argv("env", block_file, *verb))
        assert text and not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", text), (verb, text)


def test_signs_only_where_the_locale_has_them(machine):
    machine("mark").done()
    assert machine("status").done().out.isascii()
    assert "✓" in machine("status", env={"LC_ALL": "C.UTF-8"}).done().out.decode()


# ---- standard output that fails, descriptors that are closed ----

PRINTING = [["--help"], ["--version"], ["mark", "--help"], ["status"], ["--json", "status"], ["check"], ["--json", "check"],
            ["--json", "cancel"], ["--json", "settle"], ["--json", "setup"], ["--json", "mark"], ["env", "list"],
            ["--json", "env", "list"],
            ["env", "get", "hib_mark"], ["env", "get", "hib_mark", "nope"]]


@pytest.mark.parametrize("argv", PRINTING, ids=" ".join)
def test_full_standard_output(shared_machine, argv):
    """A result that was not written is an error, whatever the status would have been."""
    with open("/dev/full", "wb") as full:
        result = shared_machine("-q", *argv, stdout=full)
    assert result.status not in (0, 2), result
    assert "standard output" in result.err


def test_full_standard_output_of_verify(tool, block_file):
    block_file.write_bytes(envblock.make([(b"a", b"1"), (b"a", b"2")]))
    with open("/dev/full", "wb") as full:
        result = tool("env", block_file, "verify", stdout=full)
    assert result.status == 1 and "standard output" in result.err


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("argv", [["mark"], ["--json", "mark"], ["-v", "mark"], ["mark", "--image=/nonexistent"],
                                  ["--json", "cancel"], ["env", "set", "a=b"], ["env", "set", "x=" + "y" * 2000],
                                  ["-v", "setup"]], ids=lambda argv: " ".join(argv)[:25])
def test_closed_descriptors(shared_machine, argv, closed):
    """A file that is opened in place of a closed standard stream must not receive what is printed there."""
    machine = shared_machine
    before = envblock.make([(envblock.NAME, envblock.EMPTY), (b"saved_entry", b"mine"), (b"a", b"b")])
    machine.put_block(before)
    lock = Path("/run/hibctl.lock")
    locked = lock.read_bytes()
    command = machine.tool.argv(*argv, root=machine.root)
    subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command], timeout=40, check=False, capture_output=True,
                   stdin=subprocess.DEVNULL)
    block = machine.grub_reads()
    assert envblock.without_slot(block) == envblock.without_slot(before)
    envblock.parse(envblock.slot(block))
    assert lock.read_bytes() == locked, "something was printed into the lock file"
    machine.put_block(envblock.make([(envblock.NAME, envblock.EMPTY)]))


def test_closed_standard_output_is_an_error(machine):
    argv = machine.tool.argv("--json", "mark", root=machine.root)
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *argv], timeout=40, check=False, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"standard output" in done.stderr


def test_reader_that_goes_away(machine):
    """As with "| head": no death by SIGPIPE half-way."""
    argv = machine.tool.argv("--json", "mark", root=machine.root)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, timeout=40, check=False)
    os.close(writer)
    assert done.returncode == 1 and b"standard output" in done.stderr


# ---- --root ----


def test_root_may_be_relative_or_end_in_a_slash(machine):
    os_cwd = machine.scratch.path
    for root in ("root", "./root/", f"{machine.root}/", f"{machine.root}/../root"):
        assert machine.tool("status", root=root, cwd=os_cwd).status == 2, root


def test_root_with_odd_characters(scratch, make):
    """Mount tables write spaces and such as octal numbers."""
    odd = scratch.folder("a b\tc\\d#é")
    machine = make()
    scratch.mount(machine.root, odd, "--bind")
    machine.tool("setup", root=odd).done()
    machine.tool("mark", root=odd).done()
    assert envblock.state(machine.grub_reads()) == "armed"


def test_root_does_not_leave_its_tree(make, scratch, tool):
    """A link with an absolute target means a path of that system, not of this one."""
    machine = make()
    outside = scratch.folder("outside") / "grubenv"
    outside.write_bytes(envblock.make([(envblock.NAME, envblock.EMPTY)]))
    before = outside.read_bytes()
    machine.block.symlink_to(outside)
    for command in (["mark"], ["setup"], ["env", "set", "a=1"], ["cancel"]):
        machine(*command)
        assert outside.read_bytes() == before, command
