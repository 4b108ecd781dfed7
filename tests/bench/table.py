# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Results as a table for people and as JSON for programs."""

_HEADINGS = ("work", "program", "ms", "x floor", "ours / it", "CPU ms", "peak KiB", "syscalls", "sectors", "flushes",
             "read KiB", "GRUB reads it")

_NOTES = """\
Medians. "floor" is the second program of each work: for a mark the least that could write one, for a boot the same GRUB
without the module. "ours / it" is the first program's time as a multiple of this one's. The time of a mark is from the
program's start to its end, on a disk in memory, where a flush costs next to nothing; on a real disk count each flush.
The time of a boot is in instructions of the guest, at one nanosecond each, from GRUB's first command to the kernel's
start. To find a device among many, hibctl, blkid and findfs ask all of them; only hibctl says so if another one carries
the same name. The floor stops at the first that does. "sectors" are the sectors of 512 bytes that reached the disk
before the program ended, "flushes" the orders to write out its cache.

"GRUB reads it": how often GRUB, asked at once when the program had ended, found what had been written. What each
promises for that moment:
  hibctl mark               GRUB reads it, which was looked at on the disk; a power cut on the way leaves old or new
  pwrite, fdatasync         the bytes are on the disk; GRUB finds them unless the file was moved shortly before
  ... freeze, thaw          GRUB reads it, not looked at
  grub-reboot ID            nothing: on a filesystem with a journal GRUB may read the old block for half a minute
  grub-editenv; sync -f     nothing on xfs; a power cut on the way can leave an empty block
  ... mount, umount         GRUB reads it; the shell script's block can be left empty as well
  open, write; efivar       the firmware has it, and GRUB would read it; not looked at
  dd                        the bytes are on the disk; nothing was looked at before or after, not even what was there
hibctl mark --plan has checked before that the device is the one that was planned, and that nobody else holds what it
writes to; the others are told where to write, and do.

EFI variables are written in a virtual machine without a processor's help: only the ratios mean something. Instead of asking
GRUB, the machine's flash memory is looked at, when each program has ended and, for the number of writes, once more after
GRUB has taken a mark. systemd's write of HibernateLocation is not among them: it is part of hibernating, and Debian 12's
systemd does not have it yet.\
"""

_SIZE_NOTES = """\
Programs are stripped; libraries are those that Debian 12's initramfs-tools has not by default. One that has systemd in
it (dracut's) has systemd's already. "peak KiB" is the memory that resuming takes until the kernel is told to; hibctl
looks at the image and takes the mark before that, systemd-hibernate-resume only tells it the device.\
"""
_NAMED_LIBRARIES = 2


def _number(value, digits=0):
    return "" if value is None else f"{value:.{digits}f}"


def _row(contest, contender):
    ms, floor, ours = (it.median("ms") for it in (contender, contest.floor, contest.ours))
    seen = contender.times_grub_read_it
    return (contest.work if contender is contest.ours else "", contender.name, _number(ms, 2), _number(ms / floor, 2),
            _number(ours / ms, 2), _number(contender.median("cpu_ms"), 2), _number(contender.median("peak_kib")),
            _number(contender.syscalls), _number(contender.median("sectors")), _number(contender.median("flushes")),
            _number(contender.median("read_kib")), "" if seen is None else f"{seen} of {len(contender.runs)}")


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


def show(contests, sizes):
    """The text of the table."""
    lines = []
    if contests:
        rows = [_HEADINGS, *(_row(contest, contender) for contest in contests for contender in contest.contenders)]
        lines += [*_lay_out(rows), ""]
        for contest in contests:
            for what, count in contest.variable_writes.items():
                lines.append(f"{contest.work}: writes of variables to {what}: {count}")
        lines += ["", _NOTES, ""]
    if sizes:
        rows = [("size", "", "bytes", "with libraries", "peak KiB")]
        for size in sizes:
            rows.append((size.what, _added(size.libraries), str(size.bytes), str(size.total), _number(size.peak_kib)))
        lines += [*_lay_out(rows), "", _SIZE_NOTES]
    return "\n".join(lines)


def as_json(contests, sizes):
    """A list of one object per work. Works that take no time have sizes instead; those about EFI variables also have how
    often variables are written to arm a mark, and by GRUB to take it."""
    timed = [{"work": contest.work, "ours_ms": contest.ours.median("ms"), "floor_ms": contest.floor.median("ms"),
              "peers": {peer.name: peer.median("ms") for peer in contest.peers},
              "sectors": contest.ours.median("sectors"), "flushes": contest.ours.median("flushes")}
             | ({"variable_writes": contest.variable_writes} if contest.variable_writes else {})
             for contest in contests]
    sized = [{"work": f"size of {size.what}", "ours_ms": None, "floor_ms": None, "peers": {}, "sectors": None,
              "flushes": None, "bytes": size.bytes, "bytes_with_libraries": size.total,
              "peak_kib": size.peak_kib} for size in sizes]
    return timed + sized
