# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What a machine says on its serial console: as a log with times, as text to search, and as a screen to read."""

import contextlib
import re
import time

import pyte

COLUMNS, LINES = 100, 31  # the largest text mode of OVMF's serial console; GRUB on a PC uses 80 x 24 of it

_FRAME = " |\u2502"  # what an empty line of a GRUB menu is made of

# A cursor movement to a place starts what a reader sees as another line; other sequences only dress text up.
_MOVE = re.compile(r"\x1b\[\d*;?\d*[Hf]")
_DRESS = re.compile(r"\x1b(?:\[[0-9;?=]*[A-Za-z@]|[()][A-Za-z0-9]|[=>78cDEHMNOZ])")
_PARTIAL = re.compile(r"\x1b(?:\[[0-9;?=]*|[()])?\Z")
_UNKNOWN_TO_PYTE = re.compile(r"\x1b\[=\d*[a-z]")


class _Screen(pyte.Screen):
    """One that does nothing on a control sequence with more numbers than it takes. Under load OVMF loses a byte now and
    then; two sequences then become one."""


def _forgiving(method):
    def call(self, *numbers, **private):
        with contextlib.suppress(TypeError):
            method(self, *numbers, **private)

    return call


for _name in set(pyte.Stream.csi.values()):
    setattr(_Screen, _name, _forgiving(getattr(pyte.Screen, _name)))


class Console:
    def __init__(self, log):
        self._log = open(log, "a", encoding="utf-8", errors="replace")
        self._start = time.monotonic()
        self._line = ""
        self.begin("log opened")

    def begin(self, why):
        """Forgets the screen and the text of the last boot; the log goes on."""
        self._flush_line()
        self._note(f"=== {why}")
        self._carry = ""
        self.text = ""
        self._screen = _Screen(COLUMNS, LINES)
        self._stream = pyte.Stream(self._screen)

    def _note(self, line):
        self._log.write(f"[{time.monotonic() - self._start:8.3f}] {line}\n")
        self._log.flush()

    def _flush_line(self):
        if self._line.strip(_FRAME):
            self._note(self._line.rstrip())
        self._line = ""

    def note(self, line):
        """Puts a remark of the test into the log, beside what the machine says."""
        self._flush_line()
        self._note(f"--- {line}")

    def feed(self, data):
        chunk = self._carry + data.decode("cp437")  # OVMF draws frames so; all else is ASCII
        partial = _PARTIAL.search(chunk)
        self._carry = partial.group(0) if partial else ""
        if partial:
            chunk = chunk[: partial.start()]
        self._stream.feed(_UNKNOWN_TO_PYTE.sub("", chunk))
        plain = _DRESS.sub("", _MOVE.sub("\n", chunk)).replace("\r", "")
        self.text += plain
        *lines, self._line = (self._line + plain).split("\n")
        for line in lines:
            if line.strip(_FRAME):
                self._note(line.rstrip())

    def screen(self):
        """The screen as a person would see it now, without empty lines at its end."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def says(self, words):
        """Whether WORDS were printed since the machine was switched on, wherever GRUB broke the line."""
        return words in " ".join(self.text.split())

    def tail(self, lines=40):
        kept = [line for line in self.text.split("\n") if line.strip(_FRAME)]
        return "\n".join(kept[-lines:])

    def close(self):
        self._flush_line()
        self._log.close()
