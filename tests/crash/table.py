# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The closing table: what GRUB reads, and Linux after it has replayed the journal."""

from .judging import BETWEEN, NEW, OLD

_HEAD = ("filesystem", "program", "sectors", "flushes", "states", "old", "new", "between", "wrong", "late", "late old",
         "Linux wrong", "damaged", "torn")

_NOTES = """\
"states": different contents of the disk that a power cut could leave. GRUB reads the old block, the new one, one between two
writes that has every variable, or something wrong: nothing, a mixture, no file. "late": states from after the program has
ended; "late old": of these, those in which GRUB still reads something else than the new block. "Linux wrong": what the kernel
reads after it has replayed the journal is neither old nor new, or it does not mount; "damaged": the filesystem's checker then
finds something. "torn": the kernel does not mount because its own write of the superblock was cut between two sectors, which
can happen to everything that is written there."""


def _wrong(counts):
    return sum(count for name, count in counts.items() if name not in (OLD, NEW, BETWEEN))


def _cells(row):
    late_old = sum(count for name, count in row.late_grub.items() if name != NEW)
    return (row.kind, row.writer + (" (busy)" if row.busy else ""), row.sectors, row.flushes, row.states,
            row.grub.get(OLD, 0), row.grub.get(NEW, 0), row.grub.get(BETWEEN, 0), _wrong(row.grub), row.late, late_old,
            _wrong(row.linux), row.damaged, row.torn)


def _sum(kind, program, rows):
    cells = [_cells(row) for row in rows]
    return (kind, program, "", "", *(sum(column) for column in list(zip(*cells))[4:]))


def _each(rows):
    for ours, name in ((True, "hibctl, all"), (False, "others, all")):
        chosen = [row for row in rows if row.ours is ours]
        if chosen:
            yield from map(_cells, chosen)
            yield _sum(name, "", chosen)


def _summed_up(rows):
    """By filesystem for what is ours, by program and filesystem for the others."""
    groups = {}
    for row in rows:
        groups.setdefault((not row.ours, row.kind, "hibctl" if row.ours else row.writer), []).append(row)
    for (_, kind, program), chosen in sorted(groups.items()):
        yield _sum(kind, program, chosen)
    for ours, name in ((True, "hibctl, all"), (False, "others, all")):
        if chosen := [row for row in rows if row.ours is ours]:
            yield _sum(name, "", chosen)


def show(rows, seconds=None, brief=False):
    """BRIEF: not each trial, but their sums."""
    if not rows:
        return "nothing was tried"
    rows = sorted(rows, key=lambda row: (not row.ours, row.kind, row.busy, row.writer))
    lines = [_HEAD, *(_summed_up(rows) if brief else _each(rows))]
    text = [[str(cell) if cell or cell == "" or i in (4, 9) else "-" for i, cell in enumerate(line)] for line in lines]
    widths = [max(map(len, column)) for column in zip(*text)]
    out = ["  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                     for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in text]
    states, judging = sum(row.states for row in rows), sum(row.seconds for row in rows)
    out += ["", _NOTES, "", f"{states} states in {len(rows)} trials, {states / max(judging, 0.001):.0f} a second and processor"]
    if seconds:
        out[-1] += f", {seconds:.0f} s in all"
    wrong = [f"  {row.name}: {', '.join(row.wrong)}\n{row.complaint}" for row in rows if row.ours and row.wrong]
    return "\n".join(out + (["", "hibctl was wrong:", *wrong] if wrong else []))
