# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Results as a table for people and as JSON for programs."""

import math

from waiting import PATIENCE_S

_HEADINGS = ("work", "program", "ms", "x floor", "ours / it", "x smallest", "CPU ms", "CPU x floor", "peak KiB",
             "syscalls", "sectors", "flushes", "read KiB", "GRUB reads it", "waited, s")

_NOTES = """\
Medians. "floor" is the second program of each work: for a mark the least that could write one, for a boot the same GRUB
without the module. "ours / it" is the first program's time as a multiple of this one's; "x smallest" is a program's own
time as a multiple of that with the fewest devices or the smallest block. Where the machine does other things too, the
CPU's time is the steadier one. The time of a mark is from the program's start to its end, on a disk in memory, where a
flush costs next to nothing; on a real disk count each flush. The time of a boot is in instructions of the guest, at one
nanosecond each, from GRUB's first command to the kernel's start. Among many devices, hibctl, blkid and findfs ask all of
them; only hibctl says so if another one carries the same name, and mark and status look for such a copy too. The floor
stops at the first. "sectors" are the sectors of 512 bytes that reached the disk before the program ended, "flushes" the
orders to write out its cache.

"GRUB reads it": how often GRUB, asked at once when the program had ended, found what had been written. "waited, s": the
longest time from a program's start until GRUB found it, be it because the kernel wrote it out by itself; that is looked
at beneath the kernel, which hastens nothing. What each promises for the moment when it ends:
  hibctl mark               GRUB reads it, which was looked at on the disk; a power cut on the way leaves old or new
  pwrite, fdatasync         the bytes are on the disk; GRUB finds them unless the file was moved shortly before
  ... freeze, thaw          GRUB reads it, not looked at
  grub-reboot, grub-editenv nothing: on a filesystem with a journal GRUB may read the old block for half a minute
  grub-editenv; sync -f     nothing on xfs; a power cut on the way can leave an empty block
  ... mount, umount         GRUB reads it; the shell script's block can be left empty as well
  open, write; efivar       the firmware has it, and GRUB would read it; not looked at
  dd                        the bytes are on the disk; nothing was looked at before or after, not even what was there
hibctl mark --plan has checked before that the device is the one that was planned, and that nobody else holds what it
writes to; the others are told where to write, and do.

EFI variables are written in a virtual machine without a processor's help: only the ratios mean something. Instead of
asking GRUB, the machine's flash memory is looked at, when each program has ended and, for the number of writes, once
more after GRUB has taken a mark. For systemd's write of HibernateLocation a small program makes the same system calls: in systemd it
is part of hibernating, and Debian 12's does not have it yet.\
"""

_SIZE_NOTES = """\
Programs are stripped; libraries are those that Debian 12's initramfs-tools has not by default. One that has systemd in
it (dracut's) has systemd's already. "peak KiB" is the memory that resuming takes until the kernel is told to; hibctl
looks at the image and takes the mark before that, systemd-hibernate-resume only tells it the device.\
"""
_NAMED_LIBRARIES = 2


def _number(value, digits=0):
    return "" if value is None else f"{value:.{digits}f}"


def _ratio(a, b):
    return None if a is None or b is None else a / b


def _cpu_by_floor(contest, contender):
    return _ratio(contender.median("cpu_ms"), contest.floor.median("cpu_ms"))


def _growth(contests, contest, contender):
    """The time as a multiple of that in the first contest of the series, or None."""
    series = [other for other in contests if contest.series and other.series == contest.series]
    first = [other for other in series[:1] for other in other.contenders if other.name == contender.name]
    return _ratio(contender.median("ms"), first[0].median("ms")) if first else None


def _delay(seconds):
    return f"> {PATIENCE_S}" if seconds == math.inf else _number(seconds, 2)


def _row(contests, contest, contender):
    ms, floor, ours = (it.median("ms") for it in (contender, contest.floor, contest.ours))
    seen = contender.times_grub_read_it
    return (contest.work if contender is contest.ours else "", contender.name, _number(ms, 2),
            _number(_ratio(ms, floor), 2), _number(_ratio(ours, ms), 2), _number(_growth(contests, contest, contender), 2),
            _number(contender.median("cpu_ms"), 2), _number(_cpu_by_floor(contest, contender), 2),
            _number(contender.median("peak_kib")),
            _number(contender.syscalls), _number(contender.median("sectors")), _number(contender.median("flushes")),
            _number(contender.median("read_kib")), "" if seen is None else f"{seen} of {len(contender.runs)}",
            _delay(contender.delay))


def _added(libraries):
    """The libraries, the largest first; of many only some by name."""
    largest = sorted(libraries.items(), key=lambda item: -item[1])
    words = [f"{name} {count}" for name, count in largest[:_NAMED_LIBRARIES]]
    if more := len(largest) - len(words):
        words.append(f"{more} more")
    return f"adds {', '.join(words)}" if words else ""


def _lay_out(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        yield "  ".join(cells).rstrip()


def show(contests, sizes, images):
    """The text of the table."""
    lines = []
    if contests:
        rows = [_HEADINGS, *(_row(contests, contest, contender) for contest in contests for contender in contest.contenders)]
        lines += [*_lay_out(rows), ""]
        for contest in contests:
            for what, count in contest.variable_writes.items():
                lines.append(f"{contest.work}: writes of variables to {what}: {count}")
        lines += ["", _NOTES, ""]
    if sizes:
        rows = [("size", "", "bytes", "with libraries", "peak KiB")]
        for size in sizes:
            rows.append((size.what, _added(size.libraries), str(size.bytes), str(size.total), _number(size.peak_kib)))
        lines += [*_lay_out(rows), ""]
    if images:
        rows = [("whole initramfs", "", "bytes", "of hibctl", "unpacked", "of hibctl")]
        for image in images:
            rows.append((image.what, "", str(image.packed), str(image.added_packed), str(image.unpacked),
                         str(image.added_unpacked)))
        lines += [*_lay_out(rows), ""]
    if sizes:
        lines.append(_SIZE_NOTES)
    return "\n".join(lines)


def _program(contests, contest, contender):
    delay = contender.delay
    never = delay == math.inf
    return {"name": contender.name,
            "role": {contest.ours: "ours", contest.floor: "floor"}.get(contender, "peer"),
            "rounds": len(contender.runs),
            **{what: contender.median(what) for what in ("ms", "cpu_ms", "peak_kib", "sectors", "flushes", "read_kib")},
            "syscalls": contender.syscalls,
            "x_floor": _ratio(contender.median("ms"), contest.floor.median("ms")),
            "cpu_x_floor": _cpu_by_floor(contest, contender),
            "ours_by_it": _ratio(contest.ours.median("ms"), contender.median("ms")),
            "x_smallest": _growth(contests, contest, contender),
            "times_grub_read_it": contender.times_grub_read_it,
            "grub_reads_it_after_s": None if never else delay,
            "grub_never_read_it_within_s": PATIENCE_S if never else None}


def _as_json(contests, contest):
    ours = contest.ours
    return {"work": contest.work, "ours_ms": ours.median("ms"), "floor_ms": contest.floor.median("ms"),
            "peers": {peer.name: peer.median("ms") for peer in contest.peers},
            "sectors": ours.median("sectors"), "flushes": ours.median("flushes"),
            "series": contest.series, "size": contest.size,
            "variable_writes": contest.variable_writes or None,
            "programs": [_program(contests, contest, contender) for contender in contest.contenders]}


def as_json(contests, sizes, images):
    """A list of one object per work. null stands for what is not known or was not measured.

    work             what is done, as in the table
    ours_ms, floor_ms, peers   medians of the times in milliseconds; of the peers by name
    sectors, flushes           of ours: medians of the sectors of 512 bytes that were written, and of the flushes
    series, size     works of one series differ in size only: devices, or bytes of an environment block
    variable_writes  EFI variables: how often one is written to arm a mark, and by GRUB to take it
    programs         one object for each program, ours first:
        name, role ("ours", "floor", "peer"), rounds
        ms, cpu_ms, peak_kib, sectors, flushes, read_kib   medians
        syscalls                      system calls of one run, with all programs that it starts
        x_floor, ours_by_it           ratios of ms: to the floor's; ours to this one's
        cpu_x_floor                   ratio of cpu_ms to the floor's
        x_smallest                    ratio of ms to that of the same program in the first work of the series
        times_grub_read_it            in how many of the rounds GRUB read it when the program had ended
        grub_reads_it_after_s         the longest time from the program's start until GRUB read it
        grub_never_read_it_within_s   so long was waited in vain

    Sizes ("size of ...") have instead: bytes, bytes_with_libraries, peak_kib; of an initramfs ("size of initramfs-tools,
    ...") bytes, bytes_unpacked and, of these, what hibctl adds: bytes_added, bytes_added_unpacked."""
    nothing = {"ours_ms": None, "floor_ms": None, "peers": {}, "sectors": None, "flushes": None}
    sized = [{"work": f"size of {size.what}", **nothing, "bytes": size.bytes, "bytes_with_libraries": size.total,
              "peak_kib": size.peak_kib} for size in sizes]
    packed = [{"work": f"size of {image.what}", **nothing, "bytes": image.packed, "bytes_unpacked": image.unpacked,
               "bytes_added": image.added_packed, "bytes_added_unpacked": image.added_unpacked} for image in images]
    return [_as_json(contests, contest) for contest in contests] + sized + packed
