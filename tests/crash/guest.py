# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The filesystems that a boot partition has and the host's kernel may not: FAT and exFAT.

Programs write to them in a guest. GRUB and the checker look at the states on the host, the kernel at the same states in
the guest."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from cli import envblock, rig

from . import judging, lab, states, writers
from .guest_system import KINDS, Guest
from .recording import SECTOR

# ---- programs ----


def _script(text):
    return lambda system: system.run(text.format(block=system.block, grub=system.grub, boot=system.boot,
                                                 type=system.kind.type, device=system.device, value=writers.VALUE))


def _rename(system):
    new, after = f"{system.grub}/grubenv.new", system.file("after", writers.after_editenv(writers.NO_SLOT))
    system.run(f"cp {after} {new} && sync {new} && mv {new} {system.block} && sync {system.grub}")


def _take_mark(system):
    """As the boot loader leaves it; nothing of it is in a cache."""
    system.arrange(writers.EMPTY, mounted=True)
    system("mark").done()
    system.write_back()
    system.arrange(envblock.with_state(system.grub_reads(), "taken"), mounted=True)


_PEERS = {
    "grub-editenv": _script("grub-editenv {block} set hib_mark={value}"),
    "rename": _rename,
    "shell": _script("mount -t {type} {device} {boot} && grub-editenv {block} set hib_mark={value} && sync &&"
                     " umount {boot}"),
}
_OURS = ("mark", "mark-unmounted", "cancel", "cancel-unmounted", "setup", "setup-shifting", "setup-unmounted",
         "setup-new-file", "env-set", "mark-plan")
WRITERS = {name: writers.WRITERS[name] for name in _OURS}
WRITERS["settle"] = replace(writers.WRITERS["settle"], prepare=_take_mark)
WRITERS |= {name: replace(writers.WRITERS[name], run=run) for name, run in _PEERS.items()}


# ---- judging on the host ----


def _run_judge(program, folder, base, all_states, versions, *words):
    paths = judging.write_states(folder, all_states, versions)
    done = rig.run(program, base, folder / "state", *paths, *words)
    (folder / "state").unlink()
    said = list(judging.read_verdicts(done.stdout.decode()))
    assert len(said) == len(all_states)
    return said, done.stderr.decode(errors="replace")


def without_flag(kind, base, versions, folder):
    """The same disk, but not marked as mounted: the checkers would find fault with that alone."""
    at, bits = kind.flag

    def cleared(data):
        return data[:at] + bytes([data[at] & ~bits]) + data[at + 1 :]

    clean = folder / "clean"
    judging.copy_sparse(base, clean)
    with clean.open("r+b") as file:
        first = cleared(file.read(SECTOR))
        file.seek(0)
        file.write(first)
    return clean, [(sector, data if sector else cleared(data)) for sector, data in versions]


def judge_on_host(program, folder, kind, recorded, all_states, versions):
    """What GRUB and the checker say of each state, all that the checker says where it first finds something, and how
    many seconds that took."""
    began = time.monotonic()
    folder.mkdir()
    said, complaint = _run_judge(program, folder, recorded.base, all_states, versions, "--grub", recorded.grub_file)
    if recorded.kernel:
        clean, clean_versions = without_flag(kind, recorded.base, versions, folder)
        checked, complaint = _run_judge(program, folder, clean, all_states, clean_versions, "--fsck", *kind.checker)
        said = [replace(words, fsck=more.fsck) for words, more in zip(said, checked, strict=True)]
    return said, complaint, time.monotonic() - began


def states_of(recorded, limit):
    with recorded.base.open("rb") as file:

        def base(sector):
            file.seek(sector * SECTOR)
            return file.read(SECTOR)

        return states.crash_states(recorded.writes, recorded.done, base, limit)


# ---- all of it ----


def for_check():
    """Some on all of them, all on one."""
    cells = [lab.Cell(kind, name) for kind in KINDS for name in ("mark", "mark-unmounted")]
    cells += [lab.Cell("vfat32", name) for name in WRITERS]
    cells += [lab.Cell("vfat32-4k", "grub-editenv"), lab.Cell("vfat16", "mark", busy=True)]
    return list(dict.fromkeys(cells))


def for_full():
    mounted = [name for name, writer in WRITERS.items() if writer.layout == "root"]
    alone = [lab.Cell(kind, name) for kind in KINDS for name in WRITERS]
    return alone + [lab.Cell(kind, name, busy=True) for kind in KINDS for name in mounted]


def guest_outcomes(tool, limit, cells, look=lambda outcome: None):
    """Boots one guest, runs the CELLS in it, and returns a list of lab.Outcome in the same order. LIMIT: about how many
    states of each. LOOK(outcome) is called while the disks are still there."""
    kinds = list(dict.fromkeys(cell.kind for cell in cells))
    scratch = rig.Scratch()
    try:
        program = judging.build(scratch.path)
        with Guest(tool, kinds, scratch.path) as guest, ThreadPoolExecutor(1) as pool:
            pending = [Judged(guest, pool, program, cell, WRITERS[cell.writer], limit) for cell in cells]
            outcomes = [judged.outcome() for judged in pending]
        for outcome in outcomes:
            look(outcome)
        return outcomes
    finally:
        scratch.close()


class Judged:
    """A cell that was recorded. While the guest's kernel is asked of one cell, others are judged on the host."""

    def __init__(self, guest, pool, program, cell, writer, limit):
        began = time.monotonic()
        self.cell, self.recorded = cell, guest.record(cell, writer)
        self.states, self.versions = states_of(self.recorded, limit)
        folder = guest.folder / f"judged-{cell.name.replace(' ', '-')}"
        self._host = pool.submit(judge_on_host, program, folder, KINDS[cell.kind], self.recorded, self.states,
                                 self.versions)
        self._linux = [...] * len(self.states)
        if self.recorded.kernel:
            self._linux = guest.ask_kernel(KINDS[cell.kind], self.recorded.base, self.states, self.versions)
        self._seconds = time.monotonic() - began

    def outcome(self):
        said, complaint, seconds = self._host.result()
        tally, recorded = judging.Tally(), self.recorded
        for number, (state, words, linux) in enumerate(zip(self.states, said, self._linux, strict=True)):
            tally.add(number, state, replace(words, linux=linux), recorded.old, recorded.new, recorded.between)
        return lab.Outcome(self.cell, recorded, self.states, self.versions, tally, complaint, self._seconds + seconds)
