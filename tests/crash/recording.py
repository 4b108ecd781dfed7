# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Disks that keep a log of what is written to them.

The log is made by QEMU's block driver blklogwrites, in the form of the kernel's dm-log-writes; here behind a loop device,
by way of FUSE, and in a virtual machine's drive. An entry is written before the write that it tells of is reported as
done. So all that was done at a moment is before the end that the log's file has at that moment."""

import os
import signal
import struct
import time
from typing import NamedTuple

from cli import rig

SECTOR = 512
_MAGIC = 0x6A736677736872
_FLUSH, _FUA, _DISCARD = 1, 2, 4


class Write(NamedTuple):
    """DATA from this sector on; no data: an order to write out all that was written before."""

    sector: int
    data: bytes

    @property
    def is_flush(self):
        return not self.data


def read_log(path, begin=SECTOR, end=None):
    """The writes and flushes in a log, from byte BEGIN to byte END of its file."""
    with path.open("rb") as file:
        head = file.read(28)
        # It is written with the first flush.
        assert not any(head) or struct.unpack("<QQQI", head)[::3] == (_MAGIC, SECTOR), f"{path} is no log of writes"
        file.seek(0, os.SEEK_END)
        end = file.tell() if end is None else end
        at = begin
        while at < end:
            file.seek(at)
            sector, count, flags, _ = struct.unpack("<QQQQ", file.read(32))
            at += SECTOR
            assert not flags & _DISCARD, "a discard: what the sectors hold afterwards is not known"
            assert not flags & _FUA, "a write that is on the disk at once, alone: the model has none"
            assert count or flags, "an entry that is still being written"
            if flags & _FLUSH:
                yield Write(0, b"")
            if count:
                file.seek(at)
                data = file.read(count * SECTOR)
                assert len(data) == count * SECTOR
                at += len(data)
                yield Write(sector, data)


class Recorder:
    """A file, to be put under a loop device, that stands for IMAGE and logs what is written to it."""

    def __init__(self, image):
        self.image = image
        self.path = image.with_suffix(".recorded")
        self.log = image.with_suffix(".log")
        pid_file = image.with_suffix(".pid")
        for path in (self.path, self.log):
            path.touch()
        rig.run("qemu-storage-daemon", "--daemonize", "--pidfile", pid_file,
                "--blockdev", f"driver=file,node-name=image,filename={image}",
                "--blockdev", f"driver=file,node-name=log,filename={self.log}",
                "--blockdev", "driver=blklogwrites,node-name=recorded,file=image,log=log",
                "--export", f"type=fuse,id=recorded,node-name=recorded,mountpoint={self.path},writable=on")
        self._process = int(pid_file.read_text())

    def position(self):
        """All that was written until now is before this byte of the log."""
        return max(self.log.stat().st_size, SECTOR)

    def writes(self, begin, end=None):
        return list(read_log(self.log, begin, end))

    def stop(self):
        if not self._process:
            return
        os.kill(self._process, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while os.path.exists(f"/proc/{self._process}") and time.monotonic() < deadline:
            time.sleep(0.01)
        self._process = None
        if rig.is_mounted(self.path):
            rig.run("umount", "--lazy", self.path, check=False)


class RecordingScratch(rig.Scratch):
    """Scratch space whose loop devices are all recorded."""

    def __init__(self):
        super().__init__()
        self.recorders = {}

    def loop(self, image, sector=512):
        recorder = self.recorders[image] = Recorder(image)
        self.undo.callback(recorder.stop)
        return super().loop(recorder.path, sector)

    def detach_all(self):
        """Ends the recording: what is in the images afterwards is not in the logs."""
        for recorder in self.recorders.values():
            for device in loops_on(recorder.path):
                self.detach(device)
            recorder.stop()


def loops_on(path):
    listed = rig.run("losetup", "--noheadings", "--output", "NAME", "--associated", path, check=False).stdout
    return listed.decode().split()
