# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Set up, mark, consume, settle, cancel on each filesystem. GRUB's own reader is the judge after each step, on the bytes
of the device, with nothing synced by the test."""

import datetime
import mmap
import re

import pytest

from . import envblock, rig
from .rig import is_writable, run

ZONE = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))
HELD = ["ext2", "ext3", "ext4", "ext4-4k", "ext4-nojournal", "xfs"]


@pytest.fixture(params=HELD)
def any_machine(request, make):
    return make(request.param)


def judge(machine, state, rest=None):
    """GRUB reads a sound block with this state, the tool says the same, and the file system too. Returns the block."""
    block = machine.grub_reads()
    assert envblock.is_sound(block), block
    assert envblock.state(block) == state
    if rest is not None:
        assert envblock.without_slot(block) == envblock.without_slot(rest), "bytes beside the slot have changed"
    told = machine.env()
    assert told["status"] == "valid" and told["slot"] == "found" and told["mark"]["state"] == state
    assert machine.block.read_bytes() == block, "what the filesystem has is not what GRUB reads"
    return block


def test_whole_life(any_machine):
    machine = any_machine

    machine("setup").done()
    empty = judge(machine, "none")
    assert envblock.slot(empty) == envblock.EMPTY and len(empty) == envblock.SIZE
    machine("setup").nothing()

    said = machine("--json", "mark").done().json()
    armed = judge(machine, "armed", rest=empty)
    fields = envblock.parse(envblock.slot(armed))
    for field in envblock.FIELDS:
        assert fields[field] == str(said[field]), field
    assert fields["image"] == f"UUID={machine.swap.uuid}" and fields["filesystem"] == machine.fs.uuid
    assert fields["kernel"] == "/" + str(machine.kernel.relative_to(machine.root))
    assert machine.status()["reason"] == "stale", "armed, but there is no image yet"

    machine.swap.put_image()
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("resume", "ready")
    machine("settle").nothing()
    judge(machine, "armed", rest=armed)

    # The boot loader consumes the mark; the kernel puts the swap signature back and resumes.
    taken = machine.change_raw(lambda block: envblock.with_state(block, "taken"))
    assert machine.status()["reason"] == "tried"
    machine("settle").nothing()
    machine.swap.remove_image()
    assert machine.status()["reason"] == "spent"
    machine("settle").done()
    assert judge(machine, "none", rest=taken) == empty, "mark, resume and settle leave the block as it was"
    machine("settle").nothing()
    machine("cancel").nothing()


def test_before_it_has_hibernated(machine):
    """There is a mark and no image: not stale, but as it should be, unless the mark is of another boot or cannot be used."""

    def told():
        return machine("status").done().out.decode()

    machine("mark").done()
    assert told().startswith("This session is marked: once it has hibernated, GRUB will resume it")
    assert re.search(r"^ *image    .*no image there$", told(), re.MULTILINE), "nothing is wrong with that"
    kernel = machine.kernel.rename(machine.kernel.with_name("moved"))
    assert "boot normally" in told().splitlines()[0]
    kernel.rename(machine.kernel)
    for time in ("2001-02-03T04:05:06+00:00", datetime.datetime.now(ZONE).isoformat(timespec="seconds")):
        machine.change_raw(lambda block, time=time: envblock.with_time(block, time))
        assert ("mark is stale" in told()) == time.startswith("2001")
        assert bool(re.search(r"^ *image  ! ", told(), re.MULTILINE)) == time.startswith("2001")


def test_mark_then_cancel_leaves_every_byte(any_machine):
    machine = any_machine
    for name, value in [("saved_entry", "Debian GNU/Linux, with \\ and more"), ("x" * 40, "y" * 60), ("z", "1")]:
        run("grub-editenv", machine.block, "set", f"{name}={value}")
    machine("setup").done()
    before = judge(machine, "none")

    machine("mark").done()
    judge(machine, "armed", rest=before)
    machine("mark").done()
    second = judge(machine, "armed", rest=before)
    machine("cancel").done()
    assert judge(machine, "none") == before
    machine("cancel").nothing()
    assert machine.grub_reads() == before
    assert envblock.slot(second) != envblock.slot(before)


def test_every_mark_has_an_id_of_its_own(machine):
    ids = {machine("--json", "mark").done().json()["id"] for _ in range(5)}
    assert len(ids) == 5


@pytest.mark.parametrize("kind", ["ext3", "ext4", "ext4-4k", "xfs"])
def test_after_grub_editenv(make, kind):
    """grub-editenv leaves the new block in the journal only; a mark made straight after it must be seen all the same."""
    machine = make(kind)
    machine("setup").done()
    run("grub-editenv", machine.block, "set", "saved_entry=straight before")
    machine("mark").done()
    block = machine.grub_reads()
    assert envblock.state(block) == "armed"
    assert (b"saved_entry", b"straight before") in envblock.variables(block)

    run("grub-editenv", machine.block, "set", "saved_entry=again")
    machine("cancel").done()
    block = machine.grub_reads()
    assert envblock.slot(block) == envblock.EMPTY
    assert (b"saved_entry", b"again") in envblock.variables(block)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_setup_on_a_block_that_is_only_in_the_journal(make, kind):
    machine = make(kind)
    run("grub-editenv", machine.block, "set", "saved_entry=mine", "next_entry=")
    machine("setup").done()
    block = judge(machine, "none")
    assert envblock.variables(block)[1:] == [(b"saved_entry", b"mine"), (b"next_entry", b"")]


# ---- what the kernel remembers from before GRUB changed the block ----

FOREIGN = [(b"saved_entry", b"before"), (b"padding", b"p" * 60), (b"boot_success", b"0"), (b"counter", b"before")]


@pytest.mark.parametrize("sector", [512, 4096], ids=["sector512", "sector4k"])
@pytest.mark.parametrize("kind", ["ext2", "ext4-4k", "xfs"])
@pytest.mark.parametrize("command", ["cancel", "settle", "mark"])
def test_stale_page_cache(make, kind, sector, command):
    if (kind, sector) == ("ext2", 4096):
        pytest.skip("blocks of 1 KiB do not go with such sectors")
    machine = make(kind, sector=sector)
    machine.put_block(envblock.make(FOREIGN))
    machine("setup").done()
    machine("mark").done()
    machine.block.read_bytes()  # now the kernel remembers

    changed = machine.change_raw(as_grub_does)
    assert changed.count(b"=aftert") == 2 and changed.index(b"counter=") > envblock.SECTOR
    machine(command).done()
    expected = "armed" if command == "mark" else "none"
    block = machine.grub_reads()
    assert envblock.state(block) == expected
    assert envblock.without_slot(block) == envblock.without_slot(changed), "old bytes were written back"

    # An unrelated writer that goes through the page cache must not bring the old block back either.
    run("grub-editenv", machine.block, "set", "other=1")
    machine("env", "set", "more=2").done()
    block = machine.grub_reads()
    assert envblock.state(block) == expected
    found = dict(envblock.variables(block))
    assert (found[b"saved_entry"], found[b"counter"], found[b"other"]) == (b"aftert", b"aftert", b"1")


def as_grub_does(block):
    block = envblock.with_state(block, "taken")
    return block.replace(b"saved_entry=before", b"saved_entry=aftert").replace(b"counter=before", b"counter=aftert")


@pytest.fixture
def stale(make):
    """Makes a machine on which the kernel remembers the block from before GRUB changed both its sectors."""

    def machine(kind):
        made = make(kind)
        made.put_block(envblock.make(FOREIGN))
        made("setup").done()
        made("mark").done()
        made.block.read_bytes()
        made.changed = made.change_raw(as_grub_does)
        return made

    return machine


def assert_kept(machine, state):
    block = machine.grub_reads()
    assert envblock.state(block) == state
    assert envblock.without_slot(block) == envblock.without_slot(machine.changed), "old bytes were written back"
    assert machine.block.read_bytes() == block


@pytest.mark.parametrize("kind", ["ext2", "ext4-4k", "xfs"])
@pytest.mark.parametrize("command,state", [("mark", "armed"), ("settle", "none")])
def test_stale_pages_that_cannot_be_dropped(stale, kind, command, state):
    """As long as a program has the file in its memory, they stay: what is read and written must go past them."""
    machine = stale(kind)
    with machine.block.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        assert held[:] != machine.changed
        machine(command).done()
        assert_kept(machine, state)


@pytest.mark.parametrize("kind", ["ext2", "ext4-4k", "xfs"])
@pytest.mark.parametrize("command,state", [("mark", "armed"), ("settle", "none")])
def test_stale_pages_where_nothing_goes_past_them(stale, kind, command, state):
    """A filesystem that refuses O_DIRECT: they are dropped first."""
    machine = stale(kind)
    refuse = ["strace", "-f", "-qq", "-o", machine.scratch.path / "log", "-P", machine.block, "-e", "trace=openat",
              "-e", "inject=openat:error=EINVAL:when=1+2"]
    machine(command, prefix=refuse).done()
    opens = re.findall("O_DIRECT|INJECTED", (machine.scratch.path / "log").read_text())
    assert opens and opens == ["O_DIRECT", "INJECTED"] * (len(opens) // 2), "the fault was not where it should be"
    assert_kept(machine, state)


@pytest.mark.parametrize("command,state", [("status", "taken"), ("mark", "armed"), ("settle", "none")])
def test_stale_pages_where_data_goes_through_the_journal(stale, command, state):
    """There O_DIRECT is accepted and means nothing."""
    rig.FILESYSTEMS["ext4-data"] = (16 * rig.MIB, ["sh", "-c", 'mkfs.ext4 -q -b 4096 "$@" && tune2fs -o journal_data "$3"', "sh"])
    machine = stale("ext4-data")
    told = machine("--json", command).done().json()
    if command == "status":
        assert told["reason"] == "spent", "it is told what the kernel remembers, not what GRUB has left"
    assert_kept(machine, state)


@pytest.mark.parametrize("kind", ["ext4-4k", "xfs"])
def test_settle_drops_what_is_stale_even_if_nothing_is_spent(make, kind):
    """After a resume, what was changed beside the mark must not be undone by the next writer."""
    machine = make(kind)
    machine.put_block(envblock.make(FOREIGN))
    machine("setup").done()
    machine.block.read_bytes()
    machine.change_raw(lambda block: block.replace(b"counter=before", b"counter=aftert"))
    machine("settle").nothing()
    assert b"counter=aftert" in machine.block.read_bytes()
    run("grub-editenv", machine.block, "set", "other=1")
    machine("env", "set", "more=2").done()
    assert b"counter=aftert" in machine.grub_reads()


@pytest.mark.parametrize("command", [["env", "set", "new=1"], ["env", "unset", "boot_success"], ["setup", "--remove"]],
                         ids=" ".join)
def test_other_writers_on_a_stale_page_cache(make, command):
    machine = make("ext4-4k")
    machine.put_block(envblock.make(FOREIGN))
    machine("setup").done()
    machine.block.read_bytes()
    machine.change_raw(lambda block: block.replace(b"counter=before", b"counter=aftert"))
    machine(*command).done()
    assert b"counter=aftert" in machine.grub_reads()


# ---- setup ----


def test_setup_keeps_what_is_there(make):
    machine = make()
    pairs = [(b"saved_entry", b"x"), (b"hib_mark", b"too short"), (b"b", b"2")]
    machine.put_block(envblock.make(pairs))
    assert machine.env()["slot"] == "width"
    machine("mark").says_no(4, machine.block, "hibctl setup")
    machine("setup").done()
    assert envblock.variables(judge(machine, "none"))[1:] == [pairs[0], pairs[2]]


def test_setup_again_keeps_a_mark(machine):
    machine("mark").done()
    before = machine.grub_reads()
    machine("setup").nothing()
    assert machine.grub_reads() == before


def test_setup_puts_a_shifted_slot_back(machine):
    """As after a tool that wrote the variables anew in another order."""
    block = machine.grub_reads()
    moved = envblock.make([(b"first", b"f" * 100), (envblock.NAME, envblock.slot(block)), (b"last", b"l")])
    machine.put_block(moved)
    assert machine.env()["slot"] == "straddles"
    machine("mark").says_no(4, machine.block, "hibctl setup")
    assert machine.grub_reads() == moved
    machine("setup").done()
    assert envblock.variables(judge(machine, "none"))[1:] == [(b"first", b"f" * 100), (b"last", b"l")]
    machine("mark").done()


def test_a_slot_that_moved_inside_its_sector_is_still_used(machine):
    moved = envblock.make([(b"first", b"f"), (envblock.NAME, envblock.EMPTY), (b"last", b"l")])
    machine.put_block(moved)
    machine("setup").nothing()
    machine("mark").done()
    judge(machine, "armed", rest=moved)


def test_two_slots(machine):
    twice = envblock.make([(envblock.NAME, envblock.EMPTY), (b"a", b"1"), (envblock.NAME, b"x")])
    machine.put_block(twice)
    assert machine.env()["slot"] == "duplicate"
    machine("mark").says_no(4, machine.block, "hibctl setup")
    machine("cancel").says_no(4, machine.block, "hibctl setup")
    machine("setup").done()
    assert envblock.variables(judge(machine, "none"))[1:] == [(b"a", b"1")]


def test_setup_without_room(make):
    machine = make()
    full = envblock.make([(b"a", b"x" * 600)])
    machine.put_block(full)
    machine("setup").says_no(3, machine.block, "room", "env unset")
    assert machine.grub_reads() == full


def test_remove_undoes_setup(make):
    machine = make()
    for platform in ("x86_64-efi", "i386-pc"):
        (machine.grub / platform).mkdir()
    modules = machine.scratch.folder("modules")
    (modules / "i386-pc").mkdir()
    (modules / "i386-pc/hibresume.mod").write_bytes(b"\x7fELF a module")
    machine.put_block(envblock.make([(b"saved_entry", b"x")]))
    before, listing = machine.grub_reads(), machine.folder_listing()

    result = machine("setup", f"--modules={modules}").done()
    assert "i386-pc/hibresume.mod" in result.err and "x86_64-efi" in result.err, "what is missing is said too"
    assert machine.fs.grub_reads("/boot/grub/i386-pc/hibresume.mod") in (None, b"\x7fELF a module")
    assert (machine.grub / "i386-pc/hibresume.mod").read_bytes() == b"\x7fELF a module"
    machine("setup", f"--modules={modules}").nothing()
    (modules / "i386-pc/hibresume.mod").write_bytes(b"\x7fELF another")
    machine("setup", f"--modules={modules}").done()
    assert (machine.grub / "i386-pc/hibresume.mod").read_bytes() == b"\x7fELF another"

    machine("setup", "--remove").done()
    assert machine.grub_reads() == before and machine.folder_listing() == listing
    machine("setup", "--remove").nothing()


def test_dry_runs_change_nothing(make):
    machine = make()
    listing = machine.folder_listing()
    result = machine("setup", "--dry-run").done()
    assert "grubenv" in result.err
    assert machine.folder_listing() == listing
    machine("setup").done()
    before = machine.grub_reads()
    assert str(machine.block) in machine("mark", "--dry-run").done().err
    assert machine("--json", "mark", "--dry-run").done().json()["armed"] is False
    machine("setup", "--remove", "--dry-run").done()
    assert machine.grub_reads() == before == machine.block.read_bytes()
    assert is_writable(machine.grub)


def test_the_module_is_where_grub_reads_it(make):
    """Setup says done: then a power cut must not take the module away."""
    machine = make()
    (machine.grub / "i386-pc").mkdir()
    modules = machine.scratch.folder("modules")
    (modules / "i386-pc").mkdir()
    (modules / "i386-pc/hibresume.mod").write_bytes(b"\x7fELF a module")
    machine("setup", f"--modules={modules}").done()
    assert machine.fs.grub_reads("/boot/grub/i386-pc/hibresume.mod") == b"\x7fELF a module"


# ---- discarding an image ----


def test_discard_image(machine):
    machine("mark").done()
    machine.swap.put_image()
    before = machine.swap.image.read_bytes()
    machine("cancel", "--discard-image").done()
    after = machine.swap.image.read_bytes()
    assert after[4086:4096] == b"SWAPSPACE2"
    assert after[:4086] + before[4086:4096] + after[4096:] == before, "more than the signature has changed"
    assert envblock.state(machine.grub_reads()) == "none"
    assert machine.status()["reason"] == "nothing"
    machine("cancel", "--discard-image").nothing()


def test_discard_an_image_that_nobody_marked(machine):
    machine.swap.put_image()
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("offer", "unmarked")
    machine("cancel").nothing()
    machine("cancel", "--discard-image").done()
    assert machine.swap.read(4086, 10) == b"SWAPSPACE2"


def test_discard_refuses_what_it_cannot_put_back(machine):
    machine("mark").done()
    machine.swap.write(4076, bytes(10) + b"S1SUSPEND\0")
    before = machine.swap.image.read_bytes()
    machine("cancel", "--discard-image").says_no(3, "hibctl status")
    assert machine.swap.image.read_bytes() == before
    assert envblock.state(machine.grub_reads()) == "armed", "a refusal changes nothing"
