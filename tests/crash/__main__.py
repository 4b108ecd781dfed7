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


IN_A_GUEST = "in a guest"


def _run(trial):
    """In a process of its own, so that what it leaves behind is its own, too. Returns rows."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # cleaning up
    runner = trials.Runner(os.environ["HIBCTL"], _run.keep)
    try:
        return runner.run_guest(_run.full) if trial == IN_A_GUEST else [runner.run(trial)]
    except Exception as problem:
        return [trials.row_of_failure(trial, problem)]
    finally:
        runner.close()


def _start(keep, full):
    _run.keep, _run.full = keep, full


def _choose(full, text):
    """The guest first: it takes longest."""
    guest = [IN_A_GUEST] if text in IN_A_GUEST else []
    return guest + [trial for trial in (trials.for_full() if full else trials.for_check()) if text in trial.name]


def _show_progress(text, is_last):
    terminal = sys.stderr.isatty()
    print(f"{text}\033[K" if terminal else text, end="\r" if terminal and not is_last else "\n", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev crash", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--full", action="store_true", help="all filesystems, all programs, many more states")
    parser.add_argument("--only", metavar="TEXT", default="", help="only trials with this text in their name, or 'guest'")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the numbers to FILE as well")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="keep a disk of each kind in which something was wrong")
    parser.add_argument("--brief", action="store_true", help="only sums in the table at the end")
    parser.add_argument("--report", metavar="FOLDER", type=Path, help="only show what tests have left in FOLDER")
    options = parser.parse_args()
    if options.report:
        print(table.show(trials.load_rows(options.report), brief=options.brief))
        return 0
    if os.geteuid() != 0:
        parser.error("loop devices and mounts need root")

    rig.sweep()
    chosen = _choose(options.full, options.only)
    if not chosen:
        parser.error(f"no trial has '{options.only}' in its name")
    began, rows, ended_early = time.monotonic(), [], False
    with multiprocessing.Pool(os.cpu_count(), _start, (options.keep, options.full), maxtasksperchild=1) as pool:
        try:
            for done, new in enumerate(pool.imap_unordered(_run, chosen), 1):
                rows += new
                _show_progress(f"{done} of {len(chosen)} trials, {sum(row.states for row in rows)} states: {new[-1].name}",
                               done == len(chosen))
        except KeyboardInterrupt:
            print("\nended early", file=sys.stderr)
            ended_early = True
    if rows:
        print(table.show(rows, time.monotonic() - began, options.brief))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return ended_early or any(row.ours and row.wrong for row in rows)


if __name__ == "__main__":
    sys.exit(main())
