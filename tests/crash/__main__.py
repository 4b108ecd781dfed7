# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Tries power cuts: a hundred thousand states of a disk, or with less patience a tenth of them.

Run as root by "./dev crash", which sets HIBCTL and HIBRESUME_MODDIR. Exit status 1: something of hibctl's was wrong."""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from cli import rig

from . import table, trials


def _run(trial):
    """In a process of its own, so that what it leaves behind is its own, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    runner = trials.Runner(os.environ["HIBCTL"], _run.keep)
    try:
        return runner.run(trial)
    finally:
        runner.close()


def _start(keep):
    _run.keep = keep


def main():
    parser = argparse.ArgumentParser(prog="./dev crash", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--full", action="store_true", help="all filesystems, all programs, many more states")
    parser.add_argument("--only", metavar="TEXT", default="", help="only trials with this text in their name")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the numbers to FILE as well")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="keep a disk of each kind in which something was wrong")
    parser.add_argument("--report", metavar="FOLDER", type=Path, help="only show what tests have left in FOLDER")
    options = parser.parse_args()
    if options.report:
        print(table.show(trials.load_rows(options.report)))
        return 0
    if os.geteuid() != 0:
        parser.error("loop devices and mounts need root")

    rig.sweep()
    chosen = [trial for trial in (trials.for_full() if options.full else trials.for_check()) if options.only in trial.name]
    if not chosen:
        parser.error(f"no trial has '{options.only}' in its name")
    began, rows = time.monotonic(), []
    with multiprocessing.Pool(os.cpu_count(), _start, (options.keep,), maxtasksperchild=1) as pool:
        for row in pool.imap_unordered(_run, chosen):
            rows.append(row)
            states = sum(row.states for row in rows)
            end = "\r" if sys.stderr.isatty() and len(rows) < len(chosen) else "\n"
            print(f"{len(rows)} of {len(chosen)} trials, {states} states, last: {row.name}\033[K" if end == "\r" else
                  f"{len(rows)} of {len(chosen)} trials, {states} states: {row.name}", end=end, file=sys.stderr, flush=True)
    print(table.show(rows, time.monotonic() - began))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return any(row.ours and row.wrong for row in rows)


if __name__ == "__main__":
    sys.exit(main())
