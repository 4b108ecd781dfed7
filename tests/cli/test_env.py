# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""hibctl env in place of grub-editenv: the same bytes, the same output and the same success, on the same input."""

import os
import random
import string

import pytest

from . import envblock
from .rig import is_mounted, run

# What is meant to differ, and why. Each has its test below, and the generator keeps away from them.
INTENDED = {
    "list of a missing file": "grub-editenv makes the file; a command that only reads should not",
    "unset in a missing file": "likewise: there is nothing to remove",
    "a name that begins with '-'": "grub-editenv takes it for an option even behind the command",
    "more than 1 MiB": "an environment block has 1 KiB; a wrong file is more likely, and work on it must be bounded",
    "create of another size": "grub-editenv makes 1024 bytes anew, by rename; so do we, but a block of 1024 is overwritten",
    "what is no regular file": "grub-editenv reads and writes devices and pipes",
}

# ---- a generator of sessions ----

NAMES = ["a", "b", "saved_entry", "next_entry", "boot_success", "hib_mark", "x" * 40, "odd name", "gr\u00fcn", "a.b", "#hash",
         "A", "ab", "_", "1"]
VALUES = ["", "0", "1", "Debian GNU/Linux, with Linux 6.1", "back\\slash", "\\", "\\\\", "new\nline", "\n", "a=b", "=", "#", "##",
          "tab\there", "\x1b[31m", "\u00e4\u00f6\u00fc", "v" * 100, "v" * 300, "v" * 900, "v" * 996, "v" * 997, "v" * 2000, "\\n", "trailing\\"]


def assignment(chosen):
    value = chosen.choice(VALUES) if chosen.random() < 0.8 else "".join(
        chosen.choice(string.printable[:-2]) for _ in range(chosen.randrange(30)))
    return f"{chosen.choice(NAMES)}={value}"


def command(chosen):
    kind = chosen.choices(["set", "unset", "list", "create"], [10, 5, 3, 1])[0]
    if kind == "set":
        words = [assignment(chosen) for _ in range(chosen.choice([1, 1, 1, 2, 3]))]
        return [kind, *(words if chosen.random() < 0.95 else [*words, "no-equals-sign"])]
    if kind == "unset":
        return [kind, *(chosen.choice(NAMES) for _ in range(chosen.choice([1, 1, 2])))]
    return [kind]


def start(chosen):
    """The bytes that a session starts with, or None for a missing file."""
    kind = chosen.randrange(12)
    if kind == 0:
        return None
    lines = b"".join(chosen.choice([b"a=1\n", b"b=2\n", b"saved_entry=Debian\n", b"a=again\n", b"# a comment\n", b"#a=hidden\n",
                                    b"junk\n", b"\n", b"=\n", b"b\\=x\n", b"a=x\\\ny\n", b"gr\xfcn=\xff\n", b"c\\\n", b"x=\\\\\n"])
                     for _ in range(chosen.randrange(8)))
    size = chosen.choice([26, 64, 512, 1000, 1023, 1024, 1024, 1024, 1025, 2048, 4096])
    padding = chosen.choice([b"#", b"#", b"#", b"\0", b"\n", b" "])
    block = (envblock.SIGNATURE + lines)[:size].ljust(size, padding)
    if kind == 1:
        return block.rstrip(padding)[: chosen.randrange(1, 60)]
    if kind == 2:
        return block[:-1] + b"\n"
    if kind == 3:
        return chosen.randbytes(chosen.choice([0, 1, 100, 1024]))
    return block


class Pair:
    """The same file twice, one for each tool."""

    def __init__(self, scratch, tool):
        self.tool = tool
        self.ours = scratch.folder("ours") / "block"
        self.theirs = scratch.folder("theirs") / "block"

    def put(self, data):
        for path in (self.ours, self.theirs):
            path.unlink(missing_ok=True)
            if data is not None:
                path.write_bytes(data)

    def step(self, *words):
        """Runs one command with both; returns what differs, or None."""
        ours = self.tool("env", self.ours, *words)
        theirs = run("grub-editenv", self.theirs, *words, check=False)
        read = [path.read_bytes() if path.exists() else None for path in (self.ours, self.theirs)]
        if read[0] != read[1]:
            return f"bytes after {words}:\n{read[0]}\n{read[1]}\n{ours}\n{theirs}"
        if ours.out != theirs.stdout:
            return f"output of {words}:\n{ours.out}\n{theirs.stdout}"
        if (ours.status == 0) != (theirs.returncode == 0):
            return f"success of {words}: {ours}\n{theirs}"
        return None


@pytest.fixture
def pair(scratch, tool):
    return Pair(scratch, tool)


def session(pair, seed):
    chosen = random.Random(seed)
    data = start(chosen)
    pair.put(data)
    words = [command(chosen) for _ in range(chosen.randrange(2, 7))]
    if data is None:
        words.insert(0, ["set", "first=1"] if chosen.random() < 0.5 else ["create"])
    for number, one in enumerate([*words, ["list"]]):
        problem = pair.step(*one)
        assert problem is None, f"seed {seed}, started with {data!r}, then {words[:number]}:\n{problem}"


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 120, 40))
def test_sessions(pair, first):
    for seed in range(first, first + 40):
        session(pair, seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", [1000, *(pytest.param(first, marks=pytest.mark.full) for first in (1100, 1200, 1300))])
def test_more_sessions(pair, first):
    for seed in range(first, first + 100):
        session(pair, seed)


ODD_BLOCKS = {
    "empty file": b"",
    "one byte too few": envblock.SIGNATURE,
    "the least": envblock.SIGNATURE + b"#",
    "no padding": envblock.SIGNATURE + b"a=1\n",
    "no newline at the end": envblock.SIGNATURE + b"a=1",
    "NUL padding": (envblock.SIGNATURE + b"a=1\n").ljust(1024, b"\0"),
    "NUL in a value": envblock.make([(b"a", b"1\x002"), (b"b", b"2")]),
    "NUL in a name": envblock.make([(b"a\0b", b"1"), (b"b", b"2")]),
    "1025 bytes": envblock.make([(b"a", b"1")]) + b"\n",
    "junk line": envblock.SIGNATURE + b"junk\na=1\n" + b"#" * 100,
    "double": envblock.make([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]),
    "double, the last without an end": envblock.SIGNATURE + b"a=1\na=2",
    "empty name": envblock.make([(b"", b"1"), (b"a", b"2")]),
    "backslash at the end": envblock.SIGNATURE + b"a=1\\",
    "backslash before the padding": envblock.SIGNATURE + b"a=1\\\n" + b"#" * 50,
    "comment without an end": envblock.SIGNATURE + b"a=1\n# comment",
    "comment with a backslash": envblock.SIGNATURE + b"# comment\\\na=1\n" + b"#" * 50,
    "warning of a newer grub-editenv": envblock.SIGNATURE + b"# WARNING: Do not edit this file by tools other than "
                                       b"grub-editenv!!!\na=1\n" + b"#" * 900,
    "carriage returns": envblock.SIGNATURE[:-1] + b"\r\na=1\r\n" + b"#" * 50,
    "signature in another case": envblock.SIGNATURE.lower() + b"#" * 1000,
    "signature twice": envblock.SIGNATURE * 2 + b"a=1\n" + b"#" * 100,
    "full": envblock.make([(b"a", b"x" * (1024 - 25 - 3))]),
    "512 bytes": envblock.make([(b"a", b"1")], 512),
    "64 KiB": envblock.make([(b"a", b"1")], 65536),
}
TRIALS = [["list"], ["set", "a=2"], ["set", "a="], ["set", "c=3"], ["set", "a=" + "x" * 60], ["unset", "a"], ["unset", "b"],
          ["set", "a=1", "b=2", "c=3"], ["set", "b=\\", "b=\n"], ["set", ""], ["set", "="], ["unset", ""], ["create"]]


@pytest.mark.parametrize("block", ODD_BLOCKS)
def test_odd_blocks(pair, block):
    for words in TRIALS:
        pair.put(ODD_BLOCKS[block])
        problem = pair.step(*words) or pair.step("list")
        assert problem is None, problem


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\xc3", "\u20ac".encode()])
def test_bytes_that_are_no_text(pair, name):
    pair.put(envblock.make([(b"a", b"1")]))
    word = os.fsdecode(name + b"=" + name)
    assert (pair.step("set", word) or pair.step("list") or pair.step("unset", os.fsdecode(name))) is None


# ---- what is meant to differ ----


def test_missing_file(pair):
    assert "list of a missing file" in INTENDED and "unset in a missing file" in INTENDED
    for words in (["list"], ["unset", "a"], ["get", "a"], ["verify"]):
        pair.tool("env", pair.ours, *words).says_no(1, pair.ours)
        assert not pair.ours.exists()
    run("grub-editenv", pair.theirs, "list")
    assert pair.theirs.exists(), "then it would differ no more"


def test_missing_folder(pair):
    missing = pair.ours / "deeper"
    for words in (["list"], ["set", "a=b"], ["create"]):
        result = pair.tool("env", missing, *words)
        assert result.status in (1, 3) and str(missing) in result.err, result


def test_name_with_a_dash(pair):
    assert "a name that begins with '-'" in INTENDED
    pair.put(envblock.make())
    pair.tool("env", pair.ours, "set", "-x=1", "--help=2").done()
    assert envblock.variables(pair.ours.read_bytes()) == [(b"-x", b"1"), (b"--help", b"2")]
    assert run("grub-editenv", pair.theirs, "set", "-x=1", check=False).returncode != 0


def test_more_than_1_mib(pair):
    assert "more than 1 MiB" in INTENDED
    pair.put(envblock.make([(b"a", b"1")], (1 << 20) + 512))
    for words in (["list"], ["set", "a=b"], ["create"]):
        pair.tool("env", pair.ours, *words).says_no(3, pair.ours)
    assert run("grub-editenv", pair.theirs, "list").stdout == b"a=1\n"


def test_create_keeps_the_file(pair):
    """A block of the usual size is emptied where it is, so that GRUB, which knows its blocks, reads the new one."""
    assert "create of another size" in INTENDED
    pair.put(envblock.make([(b"a", b"1")]))
    inode = pair.ours.stat().st_ino
    assert pair.step("create") is None
    assert pair.ours.stat().st_ino == inode


# ---- beyond grub-editenv ----


def test_get(pair):
    pair.put(envblock.make([(b"a", b"1"), (b"b", b"two\\\\"), (b"a", b"last")]))
    assert pair.tool("env", pair.ours, "get", "b").done().out == b"two\\\n"
    assert pair.tool("env", pair.ours, "get", "a").done().out == b"last\n", "GRUB keeps the last"
    result = pair.tool("env", pair.ours, "get", "b", "nope", "a").nothing()
    assert result.out == b"two\\\nlast\n" and "nope" in result.err


@pytest.mark.parametrize("block,words", [
    (envblock.make([(b"a", b"1")]), []),
    (envblock.make([(b"a", b"1"), (b"a", b"2")]), ["more than once"]),
    (envblock.SIGNATURE + b"junk\na=1\n" + b"#" * 477, ["byte 25"]),
    (envblock.make([(b"a", b"1")]) + b"\n", ["1025"]),
    (envblock.make([(b"a", b"1")])[:1000], ["1000", "512"]),
    ((envblock.SIGNATURE + b"a=1\n").ljust(1024, b"\0"), ["padding", "byte 29"]),
    (envblock.make([(envblock.NAME, b"short")]), ["hib_mark", "hibctl setup"]),
    (envblock.make([(b"p", b"x" * 200), (envblock.NAME, envblock.EMPTY)]), ["sector", "hibctl setup"]),
    (b"#" * 1024, ["signature"]),
    (b"", ["0 bytes"]),
], ids=range(10))
def test_verify(pair, block, words):
    """One line for each finding, on standard output."""
    pair.put(block)
    result = pair.tool("env", pair.ours, "verify")
    assert result.status == (1 if words else 0), result
    said = result.out.decode()
    assert all(line.startswith(f"{pair.ours}: ") for line in said.splitlines())
    for word in words:
        assert word in said, result
    assert pair.ours.read_bytes() == block


def test_failed_set_changes_nothing(pair):
    pair.put(envblock.make([(b"a", b"1")]))
    before = pair.ours.read_bytes()
    pair.tool("env", pair.ours, "set", "b=2", "c=" + "x" * 1000, "d=4").says_no(1, pair.ours, "'c'")
    assert pair.ours.read_bytes() == before


def test_permissions_and_owner_stay(pair):
    pair.put(envblock.make([(b"a", b"1")]))
    pair.ours.chmod(0o640)
    os.chown(pair.ours, 65534, 65534)
    for words in (["set", "b=2"], ["unset", "a"], ["create"]):
        pair.tool("env", pair.ours, *words).done()
        info = pair.ours.stat()
        assert (info.st_mode & 0o7777, info.st_uid, info.st_gid) == (0o640, 65534, 65534), words


def test_new_block_can_be_read_by_all(pair):
    old = os.umask(0o077)
    try:
        pair.tool("env", pair.ours, "create").done()
    finally:
        os.umask(old)
    assert pair.ours.stat().st_mode & 0o7777 == 0o644
    assert [path.name for path in pair.ours.parent.iterdir()] == ["block"], "nothing is left beside it"


def test_dash_is_the_boot_loaders_own(machine):
    machine("env", "-", "set", "a=dash").done()
    assert dict(envblock.variables(machine.grub_reads()))[b"a"] == b"dash"
    assert machine("env", "-", "get", "a").done().out == machine("env", "get", "a").done().out == b"dash\n"


def test_a_file_called_like_a_command(scratch, tool):
    """grub-editenv's first argument is the file; here a command may stand alone and means the boot loader's block."""
    (scratch.path / "list").write_bytes(envblock.make([(b"a", b"1")]))
    assert tool("env", "./list", "list", cwd=scratch.path).done().out == b"a=1\n"
    result = tool("env", "list", "list", root=scratch.path)
    assert result.status in (4, 64) and result.out == b"", result


# ---- what GRUB sees ----


@pytest.mark.parametrize("kind", ["ext2", "ext4", "ext4-4k", "xfs"])
def test_grub_reads_it_at_once(make, kind):
    """The point of it all: grub-editenv returns while GRUB still reads the old block."""
    machine = make(kind)
    machine("env", "create").done()
    assert envblock.variables(machine.grub_reads()) == []
    machine("env", "set", "a=1", "b=2").done()
    assert envblock.variables(machine.grub_reads()) == [(b"a", b"1"), (b"b", b"2")]
    machine("env", "unset", "a").done()
    assert envblock.variables(machine.grub_reads()) == [(b"b", b"2")]
    machine("env", machine.block, "set", "c=by name").done()
    assert envblock.variables(machine.grub_reads())[-1] == (b"c", b"by name")


def test_the_old_way_is_not_at_once(make):
    """Or the test above would prove nothing."""
    machine = make("ext4")
    machine("env", "create").done()
    run("grub-editenv", machine.block, "set", "a=1")
    assert machine.grub_reads() != machine.block.read_bytes()


def test_unmounted_boot_filesystem(make):
    machine = make(layout="fstab")
    machine("env", "set", "a=1").done()
    assert envblock.variables(machine.grub_reads()) == [(b"a", b"1")]
    assert machine("env", "list").done().out == b"a=1\n"
    assert not is_mounted(machine.root / "boot")
    machine.fs.assert_clean()


def test_set_beside_a_mark_keeps_it(machine):
    machine("mark").done()
    slot = envblock.slot(machine.grub_reads())
    machine("env", "set", "a=" + "1" * 80, "b=2").done()
    machine("env", "unset", "a").done()
    block = machine.grub_reads()
    assert envblock.slot(block) == slot and envblock.variables(block)[1:] == [(b"b", b"2")]
