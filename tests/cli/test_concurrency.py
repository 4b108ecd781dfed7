# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Several processes at once, and other programs that take no lock."""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from . import envblock, rig
from .rig import is_writable, run

LIMIT = 300  # seconds, for machines that are slow and busy


class Load(threading.Thread):
    """Makes a number of calls, or one after the other for as long as those with a number last; keeps what went wrong."""

    def __init__(self, call, turns, others_done):
        super().__init__(daemon=True)
        self.call, self.turns, self.others_done, self.bad, self.count = call, turns, others_done, [], 0

    def is_done(self):
        return self.count > 0 and self.others_done.is_set() if self.turns is None else self.count == self.turns

    def run(self):
        while not self.is_done():
            try:
                problem = self.call(self.count)
            except Exception as problem_of_the_test:
                problem = repr(problem_of_the_test)
            if problem:
                self.bad.append(problem)
            self.count += 1


def run_together(*calls):
    """Each call with the number of its turns, or None."""
    done = threading.Event()
    loads = [Load(call, turns, done) for call, turns in calls]
    end = time.monotonic() + LIMIT
    for load in loads:
        load.start()
    for load in sorted(loads, key=lambda load: load.turns is None):
        if load.turns is None:
            done.set()
        load.join(max(0, end - time.monotonic()))
    done.set()
    assert not any(load.is_alive() for load in loads), f"not done after {LIMIT} seconds: {[load.count for load in loads]}"
    return loads


# The slot and enough that what other programs change lies in the second sector: two programs that take no lock cannot
# both be right about one sector.
BEFORE = envblock.make([(envblock.NAME, envblock.EMPTY), (b"padding", b"p" * 64), (b"constant", b"c"), (b"counter", b"0"),
                        (b"tail", b"t")])


def changer(machine, *commands, allowed=(0, 2)):
    def call(count):
        result = machine(*commands[count % len(commands)])
        return None if result.status in allowed else repr(result)

    return call


def reader(machine, check):
    """Reads the file as programs do, and as GRUB does."""

    def call(count):
        return check(machine.grub_reads() if count % 2 else machine.block.read_bytes())

    return call


def sound_and_complete(block):
    if not envblock.is_sound(block):
        return f"an unsound block: {block!r}"
    if envblock.without_slot(block) != envblock.without_slot(BEFORE):
        return f"other bytes than the slot's have changed: {block!r}"
    envblock.parse(envblock.slot(block))
    return None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_many_at_once(make, kind):
    """Only this tool: every reader sees a whole block at any time, and no run fails for the others' sake."""
    machine = make(kind)
    machine.put_block(BEFORE)
    loads = run_together(
        (changer(machine, ["mark"], ["cancel"]), 20),
        (changer(machine, ["cancel"], ["mark"], ["settle"]), 21),
        (changer(machine, ["status"], ["env", "list"], ["setup"]), 21),
        (reader(machine, sound_and_complete), None),
    )
    for load in loads:
        assert not load.bad, f"{len(load.bad)} of {load.count}:\n" + "\n".join(load.bad[:5])
    assert is_writable(machine.root)


@pytest.mark.slow
def test_beside_grub_editenv(make):
    """grub-editenv empties the file and writes it anew, without a lock. What it has changed must never be lost."""
    machine = make("ext4")
    machine.put_block(BEFORE)
    wanted = [0]

    def set_counter(count):
        wanted[0] = (count + 1) % 10
        run("grub-editenv", machine.block, "set", f"counter={wanted[0]}")
        listed = run("grub-editenv", machine.block, "list").stdout.splitlines()
        return None if b"counter=%d" % wanted[0] in listed else f"counter={wanted[0]} was lost: {listed}"

    # It may find the file empty or changing and then refuses; it must never damage it.
    loads = run_together(
        (changer(machine, ["mark"], ["cancel"], allowed=(0, 1, 2, 4)), 100),
        (changer(machine, ["cancel"], ["mark"], allowed=(0, 1, 2, 4)), 100),
        (changer(machine, ["status"], ["env", "list"], ["env", "verify"], allowed=(0, 1, 2, 3)), None),
        (set_counter, None),
    )
    lost = loads[3].bad
    assert not lost, f"{len(lost)} of {loads[3].count}:\n" + "\n".join(lost[:5])
    for load in loads[:3]:
        assert not load.bad, f"{len(load.bad)} of {load.count}:\n" + "\n".join(load.bad[:5])
    machine("cancel")
    rig.settle_filesystem(machine.block)
    block = machine.grub_reads()
    expected = BEFORE.replace(b"counter=0", b"counter=%d" % wanted[0])
    assert envblock.without_slot(block) == envblock.without_slot(expected)
    assert envblock.state(block) in ("none", "armed")


ALL = "HIBCTL_FAULTS" in os.environ
SECONDS = {"alone": 20 if ALL else 3, "grub-editenv": 60 if ALL else 5}


@pytest.mark.slow
@pytest.mark.parametrize("beside", SECONDS)
@pytest.mark.parametrize("kind", ["ext4", "xfs", *(["ext2"] if ALL else [])])
def test_eight_processes(tool, record_property, kind, beside):
    """For a minute with HIBCTL_FAULTS in the environment, else for seconds: no torn block, and no variable lost but by the other tool."""
    done = subprocess.run([sys.executable, "-m", "cli.together", kind, str(SECONDS[beside]), beside], env={**os.environ, "HIBCTL": tool.path}, capture_output=True,
                          stdin=subprocess.DEVNULL, cwd=Path(__file__).parent.parent, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found = json.loads(done.stdout)
    bad, count = found["problems"], found["count"]
    record_property("together", json.dumps({**found, "problems": len(bad)}))
    assert not bad, f"{len(bad)}:\n" + "\n".join(bad[:10])
    assert "hibctl" not in found["lost_by"]
    # On a machine that is slow and busy there are few of each, but they are all there.
    for what in ("mark 0", "env set 0", "blocks that GRUB read", "blocks that programs read"):
        assert count.get(what, 0) > 0, found
    assert beside == "alone" or count["grub-editenv set 0"] > 5, found


def last_read_before_the_write(machine):
    """Which pread64 of a mark is the last look at the block before it is overwritten."""
    log = machine.scratch.path / "log"
    run("strace", "-f", "-qq", "-o", log, "-P", machine.block, "-e", "trace=pread64,pwrite64", *machine.tool.argv("mark", root=machine.root))
    before, found, _ = log.read_text().partition("pwrite64(")
    assert found
    return before.count("pread64(")


@pytest.mark.parametrize("after", [0, 1], ids=["before the write", "after the write"])
def test_another_writer_at_the_worst_moment(make, after):
    """What another program changes after the block was read is seen, even in the slot's sector, and not undone."""
    machine = make()
    machine.put_block(envblock.make([(envblock.NAME, envblock.EMPTY), (b"saved_entry", b"before")]))
    number = last_read_before_the_write(machine)
    machine("cancel").done()
    running = held_up_mark(machine, "pread64", number + after, 1)
    time.sleep(0.5)
    run("grub-editenv", machine.block, "set", "saved_entry=aftert")
    assert running.poll() is None, "the mark was not held up"
    said = running.communicate(timeout=30)[1].decode()
    assert running.returncode == 0, said
    block = machine.grub_reads()
    assert envblock.state(block) == "armed"
    assert envblock.variables(block)[1:] == [(b"saved_entry", b"aftert")], "the other program's change was undone"


def held_up_mark(machine, call, number, seconds):
    """A mark that stands still for a while at one system call on the block, with a lock of its own. The calls on devices
    are not counted: how many of those there are changes while other tests run."""
    inject = f"inject={call}:delay_enter={int(seconds * 1e6)}:when={number}"
    return subprocess.Popen([*rig.OWN_LOCK, "strace", "-f", "-qq", "-o", "/dev/null", "-P", machine.block, "-e",
                             f"trace={call}", "-e", inject, *machine.tool.argv("mark", root=machine.root)], stderr=subprocess.PIPE)


def thaw_number(machine):
    """Which ioctl of a mark thaws."""
    log = machine.scratch.path / "log"
    run("strace", "-f", "-qq", "-o", log, "-P", machine.block, "-e", "trace=ioctl", *machine.tool.argv("mark", root=machine.root))
    lines = log.read_text().splitlines()
    process = lines[0].split()[0]
    calls = [line for line in lines if line.startswith(f"{process} ") and "resumed>" not in line and "ioctl(" in line]
    return next(i + 1 for i, line in enumerate(calls) if "FITHAW" in line)


@pytest.mark.slow
def test_watchdog_thaws(make):
    """The tool stands still while it has frozen the filesystem: after a while it is thawed all the same, and the mark is
    not there, since nobody can tell what GRUB would have read."""
    machine = make("xfs")
    machine("setup").done()
    number = thaw_number(machine)
    machine("cancel").done()
    before = machine.grub_reads()
    machine.scratch.thaw_at_end(machine.root)
    running = held_up_mark(machine, "ioctl", number, 18)
    time.sleep(2)
    writer = subprocess.Popen(["sh", "-c", 'echo x >"$0"', machine.root / "file"])
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(1)  # it is frozen
    assert writer.wait(12) == 0 and running.poll() is None, "nobody has thawed it"
    said = running.communicate(timeout=30)[1].decode()
    assert running.returncode == 1 and "frozen" in said, said
    assert machine.grub_reads() == before
    assert is_writable(machine.root)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_signals_at_work(make, name):
    """Asked to end while it works, it first brings itself into an order that may be left."""
    machine = make(layout="fstab")
    machine("setup").done()
    empty = machine.grub_reads()
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=400000"]
    running = subprocess.Popen([*strace, *machine.tool.argv("mark", root=machine.root)], stderr=subprocess.PIPE)
    time.sleep(0.2)
    for child in subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, check=True).stdout.split():
        os.kill(int(child), getattr(signal, name))
    running.communicate(timeout=30)
    machine.fs.wait_until_unused()
    machine.fs.assert_clean()
    block = machine.grub_reads()
    assert envblock.without_slot(block) == envblock.without_slot(empty)
    assert envblock.state(block) in ("none", "armed")
    assert running.returncode != 0 or envblock.state(block) == "armed"


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT"])
def test_signal_between_two_writes(make, name):
    """To reserve the slot shifts what was in the first sector into the second: asked to end after one of the two is
    written, it writes the other too."""
    machine = make()
    before = [(b"saved_entry", b"s" * 200), (b"next_entry", b"n" * 100)]
    machine.put_block(envblock.make(before))
    inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", f"inject=pwrite64:signal={name}:when=1"]
    result = machine("setup", prefix=inject)
    assert result.status == -getattr(signal, f"SIG{name}"), result
    assert machine.grub_reads() == envblock.make([(envblock.NAME, envblock.EMPTY), *before])
    assert is_writable(machine.root)


# ---- children that outlive the tool ----


def children(process):
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def state(process):
    """The kernel's letter for what a process does, or None."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def wait_for(what, seconds=10):
    """The first true value that WHAT returns."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # the process is not there yet
            if found := what():
                return found
        time.sleep(0.01)
    raise AssertionError(f"nothing came in {seconds} seconds")


def assert_nobody_is_kept(running, lock):
    """Whoever reads the tool's output sees its end, and whoever wants its lock gets it."""
    for stream in (running.stdout, running.stderr):
        ready, _, _ = select.select([stream], [], [], 5)
        assert ready, "the output does not end"
        while os.read(stream.fileno(), 4096):
            ready, _, _ = select.select([stream], [], [], 5)
            assert ready, "the output does not end"
        stream.close()
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_canary_keeps_nobody(machine):
    """The child that asks whether the filesystem is frozen hangs until somebody thaws it, and cannot be killed."""
    machine.scratch.thaw_at_end(machine.root)
    run("fsfreeze", "-f", machine.root)
    running = subprocess.Popen([*rig.OWN_LOCK, *machine.tool.argv("mark", root=machine.root)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    canary, = wait_for(lambda: [child for child in children(running.pid) if state(child) == "D"])
    with open(f"/proc/{running.pid}/root/run/hibctl.lock", "rb") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        running.kill()
        running.wait(10)
        try:
            assert state(canary) == "D", "it does not hang, so this proves nothing"
            assert_nobody_is_kept(running, lock)
        finally:
            run("fsfreeze", "-u", machine.root, check=False)


@pytest.mark.slow
def test_watchdog_keeps_nobody(make):
    """The child that is there to thaw outlives a tool that was killed, and here it takes its time."""
    machine = make("xfs")
    machine("setup").done()
    number = thaw_number(machine)
    machine("cancel").done()
    machine.scratch.thaw_at_end(machine.root)
    # Without -f: strace ends with the tool, and does not hold the output either.
    strace = ["strace", "-qq", "-o", "/dev/null", "-P", machine.block, "-e", "trace=ioctl", "-e",
              f"inject=ioctl:delay_enter=4000000:when={number}"]
    running = subprocess.Popen([*rig.OWN_LOCK, *strace, *machine.tool.argv("mark", root=machine.root)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    tool, watchdog = wait_for(lambda: [(tool, child) for tool in children(running.pid) for child in children(tool)
                                       if os.getsid(child) == child])[0]
    time.sleep(1)
    with open(f"/proc/{running.pid}/root/run/hibctl.lock", "rb") as lock:
        os.kill(watchdog, signal.SIGSTOP)
        try:
            os.kill(tool, signal.SIGKILL)
            running.wait(20)
            assert state(watchdog) == "T"
            assert_nobody_is_kept(running, lock)
        finally:
            os.kill(watchdog, signal.SIGCONT)
    assert is_writable(machine.root), "it has not thawed"
