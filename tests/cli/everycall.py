# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""One scene, and a fault at its system calls, one after the other. Run as a program:

    python3 -m cli.everycall SCENE COUNT PART PARTS

COUNT: how many faults, or "all". HIBCTL: the tool; HIBCTL_INJECT: inject, compiled. Prints JSON."""

import collections
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from . import envblock, rig, syscalls
from .firmware import Firmware
from .rig import Result, run
from .scenes import SCENES, is_about_search, is_free, kept, reports
from .world import World, canonical

SECONDS = 20
# Where it does not promise that nothing was changed.
MAY_BE_CHANGED = re.compile(r" may (have been|be there|be in the store|find the new|hold a|start this system|not see what was changed|not be true|mount what)")
TRUE_ONLY_IF = {  # what a message may say only after one of these errors
    "another hibctl": (), "another program": ("EBUSY",), "mounted elsewhere": ("EBUSY",), "has been frozen": ("EBUSY",),
    "Success": (), "(null)": (), "Unknown error": (),
}
DONE = re.compile(r"^hibctl: (marked|cancelled|the plan is)", re.MULTILINE)
CLEAR = re.compile(r"^hibctl: (\S.{15,}|out of memory)$")


class Lab:
    """The machine of a scene."""

    def __init__(self, scratch, name):
        self.name, scene = name, SCENES[name]
        self.scene = scene
        self._tool = rig.Tool(Path(os.environ["HIBCTL"]).resolve())
        self.machine = rig.Machine(scratch, self._tool, scene.kind, scene.layout)
        self.work = scratch.folder("work")
        self.plan = self.work / "plan"
        self.firmware = Firmware(self.machine) if scene.uefi else None
        self.env = {"PATH": rig.PATH, "LC_ALL": "C", **(self.firmware.env if self.firmware else rig.NO_UEFI)}
        self.scratch, self.finished = scratch, True
        if scene.layout == "boot":
            run("mount", "-o", "remount,nodev,noatime", self.machine.root / "boot")
        show_only(self.machine)
        self.argv = self._tool.argv(*scene.prepare(self), root=self.machine.root if scene.in_root else None)
        self.world = World(self.machine, self.work, self.firmware)

    def tool(self, *words, in_root=True):
        return self._tool(*words, root=self.machine.root if in_root else None, env=self.env)

    def words(self, command):
        names = {"PLAN": [f"--plan={self.plan}"], "DEVICE": [f"--device=UUID={self.machine.swap.uuid}"], "DEFAULT": []}
        return [word for words in (names.get(word, [word]) for word in command) for word in words]

    def inject(self, what, process=0, number=0):
        report = Path("/run/report")
        command = [os.environ["HIBCTL_INJECT"], str(SECONDS), str(report), str(process), str(number), what, *self.argv]
        try:
            done = subprocess.run(command, env=self.env, capture_output=True, stdin=subprocess.DEVNULL, check=False,
                                  timeout=2 * SECONDS)
        except subprocess.TimeoutExpired as late:  # not even killed: somebody has frozen what it waits for
            return Result(command, None, late.stdout or b"", b"it hangs and cannot be killed"), ""
        text = report.read_text()
        hit, status, hang = (int(word) for word in text.splitlines()[-1].split()[1:])
        result = Result(command, status, done.stdout, done.stderr)
        result.hit, result.hang = hit, hang
        return result, text

    def close(self):
        run("umount", "/proc/partitions", check=False)


def show_only(machine):
    """Of the devices only the machine's own: so that two runs make the same calls, whatever other tests do."""
    lines = ["major minor  #blocks  name\n\n"]
    for device in (machine.fs.device, machine.swap.device):
        major, minor = rig.device_number(device).split(":")
        lines.append(f"{major:>4} {minor:>8} {8192:>10} {os.path.basename(device)}\n")
    path = machine.scratch.path / "partitions"
    path.write_text("".join(lines))
    run("mount", "--bind", path, "/proc/partitions")


class Judge:
    """What must hold after every run."""

    def __init__(self, lab):
        self.lab, self.scene, self.world = lab, lab.scene, lab.world
        self.world.remember()
        self.old = self.world.old
        self.good, report = lab.inject("list")
        assert self.good.status == self.scene.good, self.good
        self.calls = syscalls.parse_list(report)
        self.settle()
        lab.good = self.good
        self.new = self.world.look()
        self.expected = {name: canonical(value) for name, value in self.new.items()}
        assert not self.scene.reads or self.new == self.old, "it reads only, and has changed something"
        assert self.scene.reads or self.new != self.old, "it changes nothing"
        self.good_lines = self.good.err.splitlines()
        self.world.put_back(self.new)

    def settle(self):
        """What a killed process had mounted goes a moment after its end."""
        if not self.world.is_boot_mounted:
            self.lab.machine.fs.wait_until_unused()

    def problems(self, point, result):
        """And puts the first state back."""
        lab = self.lab
        lab.point, lab.finished = point, point.kind not in ("kill", "term")
        if result.status is None or result.hang:
            yield "it hangs"
        if self.world.is_frozen():
            yield "it leaves the filesystem frozen"
        if self.world.is_locked():
            yield "it leaves the lock"
        self.settle()
        if not self.world.is_boot_mounted and not self.world.is_clean():
            yield "the filesystem is not clean"
        now = self.world.look()
        for name in [name for name in now if name.endswith(".hibctl-new") and f"{name}: cannot remove it" in result.err]:
            Path(name).unlink()  # it says so; the name is not the right one yet, and the next run would use it up
            del now[name]
        changed = list(self.changes(now))
        yield from (f"neither as before nor as it should be: {name} = {now.get(name)!r}"[:900] for name in changed
                    if not self.is_new(now, name) and not self.is_harmless(now, name, point))
        if lab.finished and result.status is not None:
            yield from self.contract(point, result, now, changed)
        elif result.status == 0 and not self.all_new(now):
            yield "it says done"
        yield from self.scene.check(lab, now, result)
        self.world.put_back(now)

    def changes(self, now):
        return (name for name in sorted(now.keys() | self.old.keys()) if now.get(name) != self.old.get(name))

    def is_new(self, now, name):
        return canonical(now.get(name)) == self.expected.get(name)

    def is_harmless(self, now, name, point):
        """Boot bits without their first sector are blank; a plan may be gone before there is a new one; a new file of
        which the name is not the right one yet is used up by the next run, if nobody could remove it."""
        if name == "boot bits":
            return not any(self.old[name][:512]) and now[name] in (bytes(512) + b"#" * 512, self.old[name])
        if self.scene.between(name, now.get(name)):
            return True
        if name.endswith(".hibctl-new"):
            return point.kind in ("kill", "dead")
        if name.startswith("block"):
            return self.scene.two_sectors and is_between(self.old[name], self.new[name], now[name])
        return name == str(self.lab.plan) and name not in now

    def is_harmless_failure(self, now, name, point):
        """After one that says that nothing was changed. GRUB may see for a while what is not there any more."""
        return name != "block for programs" and not self.scene.two_sectors and self.is_harmless(now, name, point)

    def all_new(self, now):
        return all(self.is_new(now, name) or re.match(self.scene.optional, name) for name in now.keys() | self.new.keys())

    def is_flushed(self, point, now):
        """Programs read the new block; whether GRUB does could not be found out."""
        return (self.scene.unproved and point.call.text.startswith(("/sys/dev/block/", "/dev/"))
                and self.is_new(now, "block for programs"))

    def contract(self, point, result, now, changed):
        """Exit status and message of a run that came to its end."""
        status, err = result.status, result.err
        if status not in (0, 1, 2, 3, 4):
            yield f"exit status {status}: {err}"
        unfound = self.lab.name.startswith("cancel") and is_about_search(point.call)
        if status == 2 and self.scene.good != 2 and "left alone: " not in err and not unfound:
            yield f"it says that there is nothing to do: {err}"
        # Then it is not known that a mark was required, and the battery may be nearly empty.
        unmarked = "cannot read the settings" in err and "hibernating goes on" in err
        if status == 0 and not self.all_new(now) and not self.is_flushed(point, now) and not unmarked:
            yield f"it says done: {err}"
        if status in (1, 3, 4) and not MAY_BE_CHANGED.search(err):
            lies = [name for name in changed if not is_free(self.scene, name) and not self.is_harmless_failure(now, name, point)]
            if lies:
                yield f"it says that nothing was changed: {lies}: {err}"
        if " may have been changed" in err and not changed and point.kind not in ("dead", "memory"):
            yield f"it does not know that it has put everything back: {err}"
        lines = [line for line in err.splitlines() if line not in self.good_lines]
        told = self.scene.report and reports(result)
        if status in (1, 3, 4) and status != self.scene.good and not told:
            if not lines or len(lines) > (5 if point.kind == "dead" else 3) or not all(CLEAR.match(line) for line in lines):
                yield f"exit status {status} without a clear message: {err!r}"
            if DONE.search(err):
                yield f"it says done, and then that it failed: {err}"
        for claim, reasons in TRUE_ONLY_IF.items():
            numbers = [syscalls.number_of(reason) for reason in reasons]
            if claim in err and claim not in self.good.err and not any(f":{number}" in point.what for number in numbers):
                yield f"'{claim}' is not so: {err}"


def is_between(old, new, now):
    """One of two sectors written: allowed where that cannot be avoided, in the order in which no variable that stays is
    lost, if there is one."""
    if now is None or len(now) != len(old):
        return False
    staying = [pair for pair in envblock.variables(old) if pair in envblock.variables(new)]

    def keeps(block):
        try:
            return all(pair in envblock.variables(block) for pair in staying)
        except ValueError:
            return False

    mixed = [new[:512] + old[512:], old[:512] + new[512:]]
    return now in ([block for block in mixed if keeps(block)] or mixed)


def trial(lab, count, part, parts):
    judge = Judge(lab)
    points = syscalls.all_points(judge.calls)
    if count != "all":
        before = dict(zip(judge.calls[1:], judge.calls))
        some = set(syscalls.some_points(judge.calls, int(count), seed=5))
        points = [point for point in points if point in some or kept(lab.name, point, before.get(point.call))]
    by_kind, problems, effects, other = collections.Counter(), [], 0, 0
    for point in points[part::parts]:
        result, report = lab.inject(point.what, point.call.process, point.call.number)
        if result.status is not None and not result.hit:
            other += 1
        elif f"at {point.call.nr}\n" not in report and result.status is not None:
            other += 1
        by_kind[point.kind] += 1
        effects += result.status != judge.good.status
        problems += [f"{point}: {problem}" for problem in judge.problems(point, result)]
    return {"calls": len(judge.calls), "of": len(points), "points": sum(by_kind.values()), "by_kind": dict(by_kind),
            "effects": effects, "other_call": other, "problems": problems}


def main(name, count, part, parts):
    rig.stand_alone()
    start = time.monotonic()
    scratch = rig.Scratch()
    try:
        lab = Lab(scratch, name)
        try:
            result = trial(lab, count, int(part), int(parts))
        finally:
            lab.close()
    finally:
        scratch.close()
    print(json.dumps({"scene": name, **result, "seconds": round(time.monotonic() - start, 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
