# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Writing a mark into an EFI variable.

Where the bench runs there may be no UEFI, and if there is, its flash memory is not for benchmarks to wear out. So this
runs in a virtual machine with OVMF, without the help of a processor's virtualization: all times are many times longer than
on real hardware, but the programs take turns on the same machine, so that they can be compared. The machine's flash memory
is a file, in which every write can be seen."""

from contest import Contender, Contest, Run
from grub.nvram import MARK, OURS, Nvram
from marks import letter, value
from vm import envblock, host, scenario
from vm.disk import DiskMaker
from vm.machine import Came, Firmware, Machine

_FOLDER = "/sys/firmware/efi/efivars"
_BIN = "/root"
_DISK_STAT = "/sys/block/vda/stat"
_FLOOR, _PEER, _SYSTEMD = "HibctlBenchFloor", "HibctlBenchPeer", "HibctlBenchSystemd"


def _parse(output):
    """Of a round in the guest: the disk's counts before, what the stopwatch says, the disk's counts after."""
    lines = output.splitlines()
    if len(lines) != 3 or lines[1].split()[3:] != ["0"]:
        raise host.HostError(f"a program failed in the virtual machine: {output}")
    before, took, after = ([int(word) for word in line.split()] for line in lines)
    sectors, flushes = (after[at] - before[at] for at in (6, 15))  # Documentation/block/stat.rst
    return Run(ms=took[0] / 1e6, cpu_ms=took[1] / 1e3, peak_kib=took[2], sectors=sectors, flushes=flushes)


class _Writes:
    """How often a variable of ours was written, as the flash memory shows it."""

    def __init__(self, path):
        self._path = path
        self._records = self._all()

    def _all(self):
        ours = (v for v in Nvram(self._path)._walk()[0] if v.owner == OURS)
        return [(v.name, v.state) for v in ours]

    def since(self):
        """How often since the last call. Who writes over a variable adds a record, and then marks the old one; who deletes
        it only marks it."""
        before, self._records = self._records, self._all()
        if len(self._records) < len(before):
            raise host.HostError("the firmware has tidied up its flash memory; the writes cannot be counted")
        added = len(self._records) - len(before)
        changed = sum(old != new for old, new in zip(before, self._records))
        return max(added, changed)


def _contender(machine, name, variable, command, is_wanted, before=lambda _number: ":"):
    """COMMAND(number) is the program of a round; BEFORE(number), shell text, comes first. IS_WANTED(number, bytes): whether
    that is what VARIABLE has to hold afterwards."""

    def measure(number):
        timed = f"{_BIN}/stopwatch {command(number)}"
        run = _parse(machine.run(f"{before(number)}; cat {_DISK_STAT}; {timed}; cat {_DISK_STAT}").output)
        held = [v.data for v in Nvram(machine._nvram).variables() if (v.name, v.owner) == (variable, OURS)]
        run.grub_reads_it = len(held) == 1 and is_wanted(number, held[0])
        return run

    return Contender(name, measure)


def _is_new_mark():
    """Each mark has an id of its own."""
    seen = set()

    def is_new(_number, data):
        mark = envblock.mark(b"hib_mark=" + data)
        found = mark["state"] == "armed" and mark["id"] not in seen
        seen.add(mark["id"])
        return found

    return is_new


def _is_value(number, data):
    return data == value(number).encode()


def _contenders(machine):
    file = f"{_FOLDER}/{_FLOOR}-{OURS}"
    machine.run(f"{_BIN}/floor-efivar {file} - unlock")
    return (_contender(machine, "hibctl mark --store=efi", MARK, lambda _number: "hibctl -q mark --store=efi",
                       _is_new_mark()),
            _contender(machine, "open, write", _FLOOR, lambda number: f"{_BIN}/floor-efivar {file} {letter(number)}",
                       _is_value),
            _contender(machine, "efivar --write", _PEER,
                       lambda _number: f"{_BIN}/efivar --write --name={OURS}-{_PEER} --attributes=7 "
                                       "--fromfile=/run/value",
                       _is_value, lambda number: f"printf %s {value(number)} >/run/value"),
            _contender(machine, "as systemd writes HibernateLocation", _SYSTEMD,
                       lambda number: f"{_BIN}/peer-systemd-efivar {_FOLDER}/{_SYSTEMD}-{OURS} {letter(number)}",
                       _is_value))


def _boot(stack, scratch, tools):
    maker = DiskMaker(scratch, host.Kernel(), tools.hibctl, tools.modules, tools.scripts)
    disk = maker.disk()
    for name, path in (("stopwatch", tools.stopwatch.program), ("floor-efivar", tools.floor_efivar),
                       ("peer-systemd-efivar", tools.peer_systemd_efivar),
                       ("efivar", host.find_tool("efivar"))):
        disk.write_file(f"{_BIN}/{name}", path.read_bytes())
    machine = stack.enter_context(Machine(disk, Firmware.OVMF, scratch.folder("machine")))
    machine.boot(maker.direct())
    machine.run(f"chmod +x {_BIN}/*")
    scenario.setup(machine, on_disk=False)
    machine.run("suspend-to-disk --prepare")
    return machine


def contest(stack, scratch, tools):
    """The contest, and the machine that it is on."""
    machine = _boot(stack, scratch, tools)
    ours, floor, *peers = contenders = _contenders(machine)
    for contender in contenders:
        contender.measure(-1)  # the first time, programs are read from the disk
    return Contest("mark, EFI variable", ours, floor, peers), machine


def count_writes(machine):
    """Writes of variables that a hibernation takes: to arm, and for GRUB to take the mark. There is an image's header
    only, so the machine boots in the end."""
    writes = _Writes(machine._nvram)
    machine.run("hibctl -q mark --store=efi")
    arm = writes.since()
    machine.cut_power()
    machine.disk.plant_image_header()
    machine.power_on()
    if machine.wait_guest() is not Came.BOOTED or not machine.console.says("guest: resume from"):
        raise host.HostError("GRUB did not take the mark")
    machine.cut_power()
    return {"arm": arm, "take": writes.since()}
