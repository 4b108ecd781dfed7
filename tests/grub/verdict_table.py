# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The closing table of test_verdict_is_true.py: how many situations, who decided, and whether tool and GRUB agreed.

HIBCTL_PROOF_DIR  a folder for the same numbers, as verdict.json
"""

import collections
import json
import os
from pathlib import Path

from . import situations

VERDICTS = ("resume", "offer", "normal", "unknown")
SOURCES = ("env", "bootbits", "efi", "systemd", "configured", "none")


def rows_of(reports):
    """Of each situation that was tried: what the test recorded, and whether it passed."""
    rows = []
    for report in reports:
        row = dict(report.user_properties)
        if report.when == "call" and "situation" in row:
            rows.append(row | {"agreed": report.passed})
    return sorted(rows, key=lambda row: row["situation"])


def summary(rows):
    foreseen = [row for row in rows if "verdict" in row]
    by_source = {source: collections.Counter() for source in SOURCES}
    for row in foreseen:
        by_source[row["source"] or "none"][row["verdict"]] += 1
    again = [row for row in foreseen if row.get("second")]
    return {
        "seed": situations.SEED, "situations": len(rows), "agreed": sum(row["agreed"] for row in rows),
        "disagreed": [row["situation"] for row in rows if not row["agreed"]],
        "power_ons": len(rows) + len(again),
        "resumed_then": dict(collections.Counter(row["second"] for row in again if row["verdict"] == "resume")),
        "firmware": dict(collections.Counter(row["firmware"] for row in rows)),
        "filesystem": dict(collections.Counter(row["fs"] for row in rows)),
        "verdict": dict(collections.Counter(row["verdict"] for row in foreseen)),
        "reason": dict(collections.Counter(row["reason"] for row in foreseen).most_common()),
        "source": {source: dict(counts) for source, counts in by_source.items()},
    }


def lines(numbers):
    """The table, and a sentence."""
    yield f"{'decided by':<12}" + "".join(f"{verdict:>9}" for verdict in (*VERDICTS, "all"))
    for source in SOURCES:
        counts = numbers["source"][source]
        yield f"{source:<12}" + "".join(f"{counts.get(v, 0):>9}" for v in VERDICTS) + f"{sum(counts.values()):>9}"
    total = numbers["verdict"]
    yield f"{'all':<12}" + "".join(f"{total.get(v, 0):>9}" for v in VERDICTS) + f"{sum(total.values()):>9}"
    firmware = ", ".join(f"{count} {name}" for name, count in sorted(numbers["firmware"].items()))
    yield (f"{numbers['situations']} situations ({firmware}), {numbers['power_ons']} power-ons: tool and GRUB agreed in "
           f"{numbers['agreed']}, the tool could not tell in {total.get('unknown', 0)}; seed {numbers['seed']}")
    if numbers["disagreed"]:
        yield "not in: " + ", ".join(map(str, numbers["disagreed"]))


def show(reporter):
    """For pytest_terminal_summary."""
    rows = rows_of(report for kind in ("passed", "failed") for report in reporter.stats.get(kind, []))
    if not rows:
        return
    numbers = summary(rows)
    reporter.write_sep("-", "what hibctl status foretold, and what GRUB did")
    for line in lines(numbers):
        reporter.write_line(line)
    if folder := os.environ.get("HIBCTL_PROOF_DIR"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "verdict.json").write_text(json.dumps(numbers, indent=2) + "\n")
