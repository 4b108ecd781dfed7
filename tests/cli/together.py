# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Eight processes at one environment block for a while, and what became of it. Run as a program:

    python3 -m cli.together FILESYSTEM SECONDS alone|grub-editenv

"alone": every process that writes is hibctl, so nothing may be lost and no read may be short. "grub-editenv": one of them
is GRUB's own tool, which takes no lock, empties the file and writes all of it anew from what it had read before. Then it
has to be told who lost what:

- Each variable has one process that sets it, and that process looks for its last value before it sets the next one.
  Nobody else sets it, so a value that was lost stays lost until then: no loss goes unseen.
- What grub-editenv has set and what is gone is hibctl's loss, for nobody else writes. There must be none.
- What hibctl has set and what is gone is grub-editenv's if that read the block before hibctl's write and wrote it after:
  if there is a run of it that began before hibctl's had ended, and ended after hibctl's had begun. Else it is hibctl's.
- A file that is short is grub-editenv's doing if one of its runs was on while the file was read. GRUB replays no journal,
  so it may see the short file longer, until the journal is written out; that hibctl does, too.

The variables are placed so that the two tools never change the same sector: of two programs that take no lock only one
can be right about one sector. HIBCTL: the tool. Prints JSON."""

import collections
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from . import envblock, everycall, rig

OURS, THEIRS, LAST = b"ours", b"theirs", b"last"  # set by hibctl; by grub-editenv; set and unset, the last in the block
PAUSE = 0.002  # seconds, so that those who write get their turn
CONSTANT = [(b"padding", b"p" * 64), (b"saved_entry", b"mine")]
# The slot and OURS fill the first sector with the beginning of the padding; THEIRS and LAST are in the second.
BEFORE = envblock.make([(envblock.NAME, envblock.EMPTY), (OURS, b"0000"), *CONSTANT, (THEIRS, b"0000")])


def check_places():
    assert BEFORE.index(b"\npadding=") < 512 < BEFORE.index(b"\nsaved_entry=") and BEFORE.index(b"ours=0000\n") + 10 < 512


# ---- what a read block may be ----


def problem_of(block):
    """None: sound, with a whole slot, what nobody changes, and every other variable as somebody has set it."""
    try:
        if not envblock.is_sound(block) or len(block) != len(BEFORE):
            return "unsound"
        envblock.parse(envblock.slot(block))
        found = envblock.variables(block)[1:]
    except ValueError as problem:
        return str(problem)
    known = dict(found)
    if len(known) != len(found) or any(pair not in found for pair in CONSTANT):
        return "a variable that nobody changes is another"
    if not known.keys() <= {OURS, THEIRS, LAST, *dict(CONSTANT)} or OURS not in known or THEIRS not in known:
        return "a variable is missing, or one is there that nobody has set"
    if not all(re.fullmatch(rb"\d{4}", known[name]) for name in (OURS, THEIRS, LAST) if name in known):
        return "a value that nobody has set"
    return None


def is_cut(block):
    """As grub-editenv leaves it between two of its steps: empty, or what hibctl wrote just then of a file that had become
    empty under its hands."""
    return block is None or len(block) < len(BEFORE)


# ---- the processes ----


class Diary:
    """What a process did; sent to the one that judges."""

    def __init__(self, name):
        self.name, self.count, self.bad, self.spans, self.lost, self.cuts = name, collections.Counter(), [], [], [], []


class Work:
    def __init__(self, machine, end, diaries):
        self.machine, self.end, self.diaries = machine, end, diaries

    def start(self, name, loop, *args):
        def run():
            diary = Diary(name)
            try:
                loop(diary, *args)
            except BaseException as problem:
                diary.bad.append(f"{name}: {problem!r}")
            self.diaries.put(diary)

        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        return process

    def turns(self):
        number = 0
        while time.monotonic() < self.end:
            yield number
            number += 1

    def tool(self, diary, words, allowed):
        start = time.monotonic()
        result = self.machine(*words)
        span = (start, time.monotonic())
        diary.count[f"{' '.join(words[:2] if words[0] == 'env' else words[:1])} {result.status}"] += 1
        if result.status not in allowed:
            diary.bad.append(repr(result))
        return result, span

    # each loop is one process

    def commands(self, diary, allowed, *commands):
        for number in self.turns():
            self.tool(diary, commands[number % len(commands)], allowed)

    def set_ours(self, diary, allowed, also_last):
        """Sets a variable; and another one, which the first process of the two alone has, comes and goes."""
        value, span = None, None
        for number in self.turns():
            if value is not None:
                now = self.value(OURS)
                diary.count["values looked for"] += 1
                if now is not None and now != value:
                    diary.lost.append((span, value.decode(), now.decode()))
            wanted = b"%04d" % (number % 10000)
            result, span = self.tool(diary, ["env", "set", f"ours={wanted.decode()}"], allowed)
            value = wanted if result.status == 0 else None
            if also_last:
                self.tool(diary, ["env", "set", f"last={wanted.decode()}"], allowed)
                now = self.value(LAST)
                if now != wanted:
                    diary.lost.append((span, wanted.decode(), repr(now)))
                self.tool(diary, ["env", "unset", "last"], allowed)

    def value(self, name):
        """As programs read it; None if the block cannot be read just now."""
        block = self.machine.block.read_bytes()
        try:
            return dict(envblock.variables(block)).get(name)
        except ValueError:
            return None

    def editenv(self, diary, *words):
        start = time.monotonic()
        done = rig.run("grub-editenv", self.machine.block, *words, check=False)
        diary.spans.append((start, time.monotonic()))
        diary.count[f"grub-editenv {words[0]} {done.returncode}"] += 1
        return done.returncode == 0

    def set_theirs(self, diary):
        wanted = {}
        for number in self.turns():
            for name, value in wanted.items():
                diary.count["values looked for"] += 1
                now = self.value(name)
                if now != value:
                    diary.lost.append((diary.spans[-1], repr(value), repr(now)))
            text = b"%04d" % (number % 10000)
            if number % 3 == 2:
                self.note(wanted, LAST, None, self.editenv(diary, "unset", "last"))
            else:
                name = THEIRS if number % 3 == 0 else LAST
                self.note(wanted, name, text, self.editenv(diary, "set", f"{name.decode()}={text.decode()}"))
            time.sleep(0.01)

    @staticmethod
    def note(wanted, name, value, is_done):
        if is_done:
            wanted[name] = value
        else:
            wanted.pop(name, None)

    def read(self, diary, what, read):
        for _ in self.turns():
            start = time.monotonic()
            block = read()
            diary.count[f"blocks that {what} read"] += 1
            if is_cut(block):
                diary.cuts.append((start, time.monotonic()))
            elif problem := problem_of(block):
                diary.bad.append(f"{what} reads: {problem}: {block!r}")
            time.sleep(PAUSE)


def start_all(work, beside):
    machine = work.machine
    changing = (0, 1, 2, 3, 4) if beside else (0, 2)
    looking = (0, 1, 2, 3, 4) if beside else (0, 2)
    processes = [
        work.start("marks", work.commands, changing, ["mark"], ["cancel"]),
        work.start("cancels", work.commands, changing, ["cancel"], ["mark"]),
        work.start("settles", work.commands, changing, ["settle"], ["setup"]),
        work.start("looks", work.commands, looking, ["status"], ["env", "list"], ["env", "verify"]),
        work.start("sets", work.set_ours, changing, not beside),
        work.start("program", work.read, "programs", machine.block.read_bytes),
        work.start("GRUB", work.read, "GRUB", machine.grub_reads),
    ]
    processes.append(work.start("grub-editenv", work.set_theirs) if beside else
                     work.start("marks too", work.commands, changing, ["mark"], ["env", "get", "saved_entry"]))
    return processes


# ---- the judgement ----


def overlaps(span, others):
    return any(start <= span[1] and end >= span[0] for start, end in others)


def judge(diaries, beside):
    theirs = [span for diary in diaries for span in diary.spans]
    problems, lost, cuts = [], collections.Counter(), collections.Counter()
    for diary in diaries:
        problems += diary.bad
        for span, wanted, now in diary.lost:
            who = "grub-editenv" if diary.name == "sets" and overlaps(span, theirs) else "hibctl"
            lost[who] += 1
            if who == "hibctl":
                problems.append(f"what {diary.name} set to {wanted} is {now}, and nobody but hibctl can have done it")
        for span in diary.cuts:
            cuts[diary.name] += 1
            if not beside or diary.name == "program" and not overlaps(span, theirs):
                problems.append(f"{diary.name} reads a short file, and grub-editenv is not running")
    return problems, lost, cuts


def final_problem(machine, diaries):
    rig.settle_filesystem(machine.block)
    block = machine.grub_reads()
    yield from () if block == machine.block.read_bytes() else ["GRUB reads another block than programs at the end"]
    if is_cut(block) or problem_of(block):
        yield f"at the end: {problem_of(block)}: {block!r}"
    if not rig.is_writable(machine.root):
        yield "the filesystem is frozen"


def run_for(machine, seconds, beside):
    queue = multiprocessing.get_context("fork").Queue()
    work = Work(machine, time.monotonic() + seconds, queue)
    processes = start_all(work, beside)
    diaries = [queue.get(timeout=seconds + 60) for _ in processes]
    for process in processes:
        process.join()
    return diaries


def main(kind, seconds, how):
    rig.stand_alone()
    check_places()
    scratch = rig.Scratch()
    try:
        machine = rig.Machine(scratch, rig.Tool(Path(os.environ["HIBCTL"]).resolve()), kind)
        machine.put_block(BEFORE)
        everycall.show_only(machine)
        try:
            beside = how == "grub-editenv"
            diaries = run_for(machine, float(seconds), beside)
            problems, lost, cuts = judge(diaries, beside)
            problems += final_problem(machine, diaries)
        finally:
            subprocess.run(["umount", "/proc/partitions"], check=False)
    finally:
        scratch.close()
    count = sum((diary.count for diary in diaries), collections.Counter())
    print(json.dumps({"filesystem": kind, "beside": how, "seconds": float(seconds), "processes": len(diaries),
                      "count": dict(sorted(count.items())), "lost_by": dict(lost), "short_reads": dict(cuts), "problems": problems}))


if __name__ == "__main__":
    main(*sys.argv[1:])
