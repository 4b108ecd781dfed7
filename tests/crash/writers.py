# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The programs whose writes are tried: this one's commands, and what people use today."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from cli import envblock, rig

# Several variables before and behind the slot, so that a change of another one shows.
OTHERS = [(b"saved_entry", b"debian"), (b"next_entry", b""), (b"keep", b"this")]
NO_SLOT = envblock.make(OTHERS)
# What comes behind the slot is shifted from the first sector into the second.
FULL = envblock.make([*OTHERS, (b"long", b"l" * 60), (b"longer", b"m" * 200), (b"last", b"one")])
EMPTY = envblock.make([(envblock.NAME, envblock.EMPTY), *OTHERS])
ARMED = envblock.make([(envblock.NAME, envblock.Mark().text()), *OTHERS])
TAKEN = envblock.with_state(ARMED, "taken")


def other_variables(block):
    return [pair for pair in envblock.variables(block) if pair[0] != envblock.NAME]


@dataclass(frozen=True)
class Writer:
    """RUN(machine) does the work on a machine of cli/rig.py whose environment block was OLD (None: there was no file,
    or PREPARE has made it). LAYOUT is the machine's. EXPECTED(old, new): whether it has done what it should. PREPARE(machine) comes before, unrecorded.
    BETWEEN(content, old, new): whether what is there between two writes does no harm. STORE: where it writes.
    MAKES_FILE: on a filesystem without a journal only GRUB is asked then, for the checker may have work afterwards.
    INTENDED(old): what should be there in the end; without it, what is."""

    name: str
    run: Callable
    old: bytes
    expected: Callable
    layout: str = "root"
    prepare: Callable = lambda machine: None
    ours: bool = True
    between: Callable = None
    makes_file: bool = False
    intended: Callable = None
    store: str = "env"


# ---- ours ----


def command(*words):
    return lambda machine: machine(*words).done()


def take_mark(machine):
    """As the boot loader does it, before the kernel has put the session back."""
    machine.put_block(EMPTY)
    machine("mark").done()
    machine.change_raw(lambda block: envblock.with_state(block, "taken"))
    rig.run("sh", "-c", "echo 3 >/proc/sys/vm/drop_caches")


def armed_from(old, new):
    return envblock.without_slot(new) == envblock.without_slot(old) and envblock.state(new) == "armed"


def exactly(block):
    return lambda old, new: new == block


def same_others(old, new):
    """Reserving leaves the variables that were there, in their order, and an empty slot."""
    return other_variables(new) == other_variables(old) and envblock.state(new) == "none"


def keeps_all(content, old, new):
    """One of the two sectors is new, and every variable that is the same before and after is there."""
    common = [pair for pair in envblock.variables(old) if pair in envblock.variables(new)]
    mixed = content in (new[:512] + old[512:], old[:512] + new[512:]) and envblock.is_sound(content)
    return mixed and all(pair in envblock.variables(content) for pair in common)


def variable_added(old, new):
    return envblock.variables(new) == [*envblock.variables(old), (b"a", b"1")]


def plan_of(machine):
    return machine.scratch.path / "plan"


def prepare_held(machine):
    """The boot filesystem stays mounted, and the swap area is active: nothing is put into its boot bits yet."""
    holder = os.open(machine.swap.device, os.O_RDONLY | os.O_EXCL)
    try:
        machine("prepare", f"--plan={plan_of(machine)}").done()
    finally:
        os.close(holder)


def prepare_released(machine):
    """Other tests make mount namespaces, which hold a copy of each mount for a moment."""
    deadline = time.monotonic() + 30
    while True:
        result = machine("prepare", f"--plan={plan_of(machine)}", "--unmount")
        if "mounted elsewhere" not in result.err or time.monotonic() > deadline:
            result.done()
            return


def mark_by_plan(machine):
    """As a save kernel does, where there is no --root."""
    machine.tool("mark", f"--plan={plan_of(machine)}").done()


def used_bits(machine):
    """Boot bits that had a mark before."""
    prepare_held(machine)
    mark_by_plan(machine)
    machine("cancel").done()


def armed_bits(machine):
    prepare_held(machine)
    mark_by_plan(machine)


BLANK = bytes(envblock.SIZE)


def bits_armed(old, new):
    return envblock.is_sound(new) and envblock.state(new) == "armed"


def no_block_yet(content, old, new):
    """Of a block in blank boot bits the padding is written first; without its first sector it is none."""
    return not any(content[:512])


def bits_empty(old, new):
    return envblock.is_sound(new) and envblock.state(new) == "none"


OURS = [
    Writer("mark", command("mark"), EMPTY, armed_from),
    Writer("mark-unmounted", command("mark"), EMPTY, armed_from, "fstab"),
    Writer("cancel", command("cancel"), ARMED, exactly(EMPTY)),
    Writer("cancel-unmounted", command("cancel"), ARMED, exactly(EMPTY), "fstab"),
    Writer("settle", command("settle"), None, exactly(EMPTY), prepare=take_mark),
    Writer("setup", command("setup"), NO_SLOT, exactly(EMPTY)),
    Writer("setup-shifting", command("setup"), FULL, same_others, between=keeps_all),
    Writer("setup-unmounted", command("setup"), FULL, same_others, "fstab", between=keeps_all),
    Writer("setup-new-file", command("setup"), None, lambda old, new: envblock.state(new) == "none", makes_file=True),
    Writer("env-create", command("env", "create"), NO_SLOT + b"\n", lambda old, new: not envblock.variables(new), makes_file=True),
    Writer("env-set", command("env", "set", "a=1"), EMPTY, variable_added),
    Writer("mark-plan", mark_by_plan, EMPTY, armed_from, "boot", prepare_released),
    Writer("bootbits", mark_by_plan, BLANK, bits_armed, "boot", prepare_held, store="bootbits", between=no_block_yet),
    Writer("bootbits-again", mark_by_plan, None, bits_armed, "boot", used_bits, store="bootbits"),
    Writer("bootbits-cancel", command("cancel"), None, bits_empty, "boot", armed_bits, store="bootbits"),
]

# ---- what people use today ----

VALUE = "resume-from-disk"


def editenv(machine):
    rig.run("grub-editenv", machine.block, "set", f"hib_mark={VALUE}")


def reboot(machine):
    rig.run("grub-reboot", f"--boot-directory={machine.root}/boot", "resume-from-disk")


def rename(machine):
    """As many programs write files, rightly, for Linux's own eyes."""
    new = machine.block.with_name("grubenv.new")
    with new.open("xb") as file:
        file.write(after_editenv(machine.block.read_bytes()))
        file.flush()
        os.fsync(file.fileno())
    new.rename(machine.block)
    folder = os.open(machine.grub, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def shell(machine):
    """The sequence that is found in scripts: mount, change, sync, unmount."""
    rig.run("mount", machine.fs.device, machine.root / "boot")
    editenv(machine)
    rig.run("sync")
    machine.unmount()


def after_editenv(block):
    return envblock.make([*envblock.variables(block), (b"hib_mark", VALUE.encode())])


def by_editenv(old, new):
    return new == after_editenv(old)


def by_reboot(old, new):
    return (b"next_entry", b"resume-from-disk") in envblock.variables(new)


def is_empty(old, new):
    return new == b""


def under_strace(machine, inject):
    """Between emptying the file and filling it, which is when a machine that has other things to do may stop it."""
    return subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=write", "-e", f"inject=write:{inject}:when=1",
                             "grub-editenv", machine.block, "set", f"hib_mark={VALUE}"], env={"PATH": rig.PATH, "LC_ALL": "C"})


def editenv_killed(machine):
    under_strace(machine, "signal=KILL").wait()
    rig.run("sync", "-f", machine.block)


def editenv_overtaken(machine):
    """Meanwhile another program has everything written out."""
    running = under_strace(machine, "delay_enter=400000")
    while machine.block.stat().st_size:
        time.sleep(0.01)
    rig.run("sync", "-f", machine.block)
    assert running.wait() == 0


PEERS = [
    Writer("grub-editenv", editenv, NO_SLOT, by_editenv, ours=False),
    Writer("grub-editenv-overtaken", editenv_overtaken, NO_SLOT, by_editenv, ours=False),
    Writer("grub-editenv-killed", editenv_killed, NO_SLOT, is_empty, ours=False, intended=after_editenv),
    Writer("grub-reboot", reboot, NO_SLOT, by_reboot, ours=False),
    Writer("rename", rename, NO_SLOT, by_editenv, ours=False),
    Writer("shell", shell, NO_SLOT, by_editenv, "fstab", ours=False),
]

WRITERS = {writer.name: writer for writer in OURS + PEERS}


# ---- a machine that has something else to do ----


class Busy:
    """Another program that writes small files on the same filesystem and has them written out, again and again."""

    SCRIPT = 'cd "$0" || exit; n=0; while kill -0 $PPID; do n=$((n + 1)); echo $n >busy$((n % 4)); sync -f .; done'

    def __init__(self, folder):
        self._process = subprocess.Popen(["sh", "-c", self.SCRIPT, folder], stdin=subprocess.DEVNULL)
        time.sleep(0.05)

    def stop(self):
        self._process.terminate()
        self._process.wait()
