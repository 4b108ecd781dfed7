# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Measures the tool and the GRUB module against the least that could do their work, and against what others use.

Run as root by "./dev bench", which sets:
HIBCTL            the tool
HIBRESUME_MODDIR  folder with x86_64-efi/hibresume.mod and i386-pc/hibresume.mod
HIBCTL_GRUB_D     folder with the grub.d scripts (default: HIBRESUME_MODDIR)
HIBCTL_DEV_CACHE  where the stock kernel and initramfs-tools are (default: /var/cache/hibctl-dev)

Nothing passes or fails here: a slow machine is no error."""

import argparse
import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # for the virtual machines' package, vm

import blocks  # noqa: E402
import boots  # noqa: E402
import locating  # noqa: E402
import marks  # noqa: E402
import savekernel  # noqa: E402
import sizes  # noqa: E402
import stage  # noqa: E402
import table  # noqa: E402
import variables  # noqa: E402
import waiting  # noqa: E402
from contest import Stopwatch, hold  # noqa: E402
from vm import grubcfg, host  # noqa: E402
from vm.machine import MachineError  # noqa: E402

ROUNDS = 20
# Of what takes long, no more than so many.
WAIT_ROUNDS = 2
BLOCK_ROUNDS = 10
DEVICE_ROUNDS = 5
PARTS = ("mark", "wait", "save", "blocks", "efi", "boot", "size", "devices")  # in this order


@dataclass
class Tools:
    """What is measured, and what it is measured with."""

    hibctl: Path
    modules: Path
    scripts: Path
    stopwatch: Stopwatch
    floor_pwrite: Path
    floor_mount: Path
    floor_locate: Path
    floor_efivar: Path
    peer_systemd_efivar: Path


def find_tools(scratch):
    hibctl, modules = host.tool_under_test(), host.modules_under_test()
    if not hibctl or not modules:
        raise host.HostError("HIBCTL and HIBRESUME_MODDIR are not set; './dev bench' sets them")
    folder = scratch.folder("programs")
    for source in FOLDER.glob("*.c"):
        host.run("cc", "-O2", "-Wall", "-Wextra", "-o", folder / source.stem, source)
    return Tools(hibctl, modules, grubcfg.scripts_under_test() or modules, Stopwatch(folder / "stopwatch"),
                 *(folder / name for name in ("floor-pwrite", "floor-mount", "floor-locate", "floor-efivar",
                                              "peer-systemd-efivar")))


def show_progress(what, rounds):
    def progress(done):
        end = "\r" if done < rounds and sys.stderr.isatty() else "\n"
        if end == "\r" or done == rounds:
            print(f"{what}: {done} of {rounds} rounds", end=end, file=sys.stderr, flush=True)

    return progress


def hold_with_progress(what, contests, rounds, pause=lambda: None):
    hold(contests, rounds, pause, show_progress(what, rounds))
    return contests


def run_marks(makers, rounds, scratch, tools):
    """Holds one contest after the other: the tool looks at all block devices, so there should not be many more than on
    a real machine. MAKERS: functions and what each is called with first."""
    contests = []
    for make, kind in makers:
        with ExitStack() as stack:
            contest = make(kind, stack, scratch, tools)
            # For some time after a freeze, the kernel freezes the filesystem again at far less than the usual cost.
            hold_with_progress(contest.work, [contest], rounds, lambda: time.sleep(0.15))
            contests.append(contest)
    return contests


MARKS = [(make, kind) for make in (marks.mounted, marks.unmounted) for kind in marks.KINDS]
SAVE_KERNEL = [*((savekernel.released, kind) for kind in savekernel.KINDS),
               *((savekernel.held, is_blank) for is_blank in (False, True))]


def run_waits(rounds, scratch, tools):
    """How long it takes until GRUB reads a mark."""
    contests = []
    with ExitStack() as stack:
        contests = [marks.mounted(kind, stack, scratch, tools) for kind in marks.KINDS]
        print("wait: until GRUB reads what was written; about half a minute a round", file=sys.stderr)
        tripwire = waiting.Tripwire(stage.Filesystem(stack, scratch, "ext2"))
        waiting.hold(contests, rounds, tripwire, show_progress("wait", rounds))
    return contests


def run_blocks(rounds, scratch, tools):
    contests = []
    with ExitStack() as stack:
        stand = blocks.Stand(stack, scratch, tools)
        for size in blocks.SIZES:
            held = stand.contests(size)
            contests += hold_with_progress(f"env set, list and mark, {blocks.describe(size)}", held, rounds)
    return sorted(contests, key=lambda contest: contest.series)


def run_variables(rounds, scratch, tools):
    print("efi: a virtual machine with UEFI is started", file=sys.stderr)
    with ExitStack() as stack:
        contest, machine = variables.contest(stack, scratch, tools)
        hold_with_progress(contest.work, [contest], rounds)
        contest.variable_writes = variables.count_writes(machine)
    return [contest]


def run_boots(rounds, scratch, tools):
    print("boot: the firmware is run up to GRUB", file=sys.stderr)
    return hold_with_progress("boot", boots.contests(scratch, tools), rounds)


def run_devices(rounds, scratch, tools):
    """Comes last: whatever looks at all block devices while this runs, here or elsewhere, has many to look at."""
    contests = []
    with ExitStack() as stack:
        locating.hide_from_peers(scratch)
        marker = locating.Marker(stack, scratch, tools)
        crowd = locating.Crowd(stack, scratch)
        for size in locating.COUNTS:
            crowd.grow(size)
            held = [locating.locate(crowd, scratch, tools), *marker.contests(crowd)]
            contests += hold_with_progress(f"locate, mark and status, among {len(crowd)}", held, rounds)
            if len(crowd) < size:
                print(f"devices: the kernel makes no more than {len(crowd)}", file=sys.stderr)
                break
    return sorted(contests, key=lambda contest: contest.series)


@dataclass
class Results:
    contests: list = field(default_factory=list)
    sizes: list = field(default_factory=list)
    images: list = field(default_factory=list)


def measure(parts, rounds, scratch, tools, results):
    contests = results.contests
    if "mark" in parts:
        contests += run_marks(MARKS, rounds, scratch, tools)
    if "wait" in parts:
        contests += waiting.tell(run_waits(min(rounds, WAIT_ROUNDS), scratch, tools), contests)
    if "save" in parts:
        contests += run_marks(SAVE_KERNEL, rounds, scratch, tools)
    if "blocks" in parts:
        contests += run_blocks(min(rounds, BLOCK_ROUNDS), scratch, tools)
    if "efi" in parts:
        contests += run_variables(rounds, scratch, tools)
    if "boot" in parts:
        contests += run_boots(rounds, scratch, tools)
    if "size" in parts:
        results.sizes += sizes.measure(scratch, tools)
        print("size: an initramfs is made with hibctl and without", file=sys.stderr)
        results.images += sizes.measure_images(tools)
    if "devices" in parts:
        contests += run_devices(min(rounds, DEVICE_ROUNDS), scratch, tools)


def tell(results, path):
    everything = results.contests, results.sizes, results.images
    print(table.show(*everything))
    if path:
        path.write_text(json.dumps(table.as_json(*everything), indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results to FILE as well")
    parser.add_argument("--rounds", metavar="N", type=int, default=ROUNDS, help=f"how often each is run [{ROUNDS}]")
    parser.add_argument("--only", action="append", choices=PARTS, help="leave out the rest; can be given several times")
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("loop devices and mounts need root")
    parts = options.only or PARTS
    os.environ["EFIVARFS_PATH"] = "/nonexistent/efivars/"  # for libefivar: this machine's firmware is left alone

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    stage.enter_namespace()
    results = Results()
    try:
        with ExitStack() as stack:
            scratch = host.Scratch()
            stack.callback(scratch.remove)
            stage.have_own_run(scratch)
            measure(parts, options.rounds, scratch, find_tools(scratch), results)
    finally:  # what is there is told, however it ended
        tell(results, options.json)


if __name__ == "__main__":
    try:
        main()
    except (host.HostError, MachineError) as error:
        sys.exit(f"bench: {error}")
