# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The manual pages, taken apart: they are written by hand, in few macros."""

import re
import shlex

from . import told

ALL = ("hibctl.8", "hibctl.conf.5", "hibresume.7")
_ALTERNATING = {"BI", "BR", "IB", "IR", "RB", "RI"}
_SIGNS = {r"\-": "-", r"\(lq": '"', r"\(rq": '"', r"\&": "", r"\ ": " ", r"\e": "\\", r"\(dq": '"'}


def _plain(text):
    text = re.sub(r"\\f[BIRP]", "", text)
    text = re.sub(r"\\\[u([0-9A-F]{4})\]", lambda code: chr(int(code[1], 16)), text)
    return re.sub(r"\\(?:\(..|.)", lambda sign: _SIGNS[sign[0]], text)


def _words(text):
    """The arguments of a macro; a backslash before a space keeps it."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape, lexer.quotes = True, "", "", '"'
    return list(lexer)


def _line(line):
    """The text of a line, or None if it has none."""
    if not line.startswith("."):
        return _plain(line)
    macro, _, rest = line[1:].partition(" ")
    if macro in _ALTERNATING:
        return _plain("".join(_words(rest.replace("\\ ", "\0"))).replace("\0", "\\ "))
    return _plain(" ".join(_words(rest))) if macro in ("B", "I", "SH", "SS", "IP") else None


class Page:
    """One of them. sections: {heading: {subheading: [line]}}; what stands before the first subheading has ""."""

    def __init__(self, name):
        self.path = told.TOP / "man" / name
        text = self.path.read_text(encoding="utf-8").replace("\\\n", "")
        self.sections = {}
        into = []
        for line in text.splitlines():
            if line.startswith(".SH "):
                section = self.sections[_line(line)] = {}
                into = section[""] = []
            elif line.startswith(".SS "):
                into = section[_line(line)] = []
            elif not line.startswith('.\\"'):
                into.append(line)

    def tags(self, section, part=None):
        """The words that stand out before their explanation: of all parts, or of one."""
        parts = self.sections[section].values() if part is None else [self.sections[section][part]]
        return [_line(lines[i + 1]) for lines in parts for i, line in enumerate(lines)
                if line.split()[0:1] in ([".TP"], [".TQ"])]

    def text(self, section=None, part=None):
        """As one line."""
        sections = self.sections.values() if section is None else [self.sections[section]]
        lines = [line for parts in sections for name, part_lines in parts.items()
                 for line in ([name] if part is None else []) + part_lines if part in (None, name)]
        return " ".join(" ".join(filter(None, map(_line, lines))).split())

    def paragraphs(self, section, part):
        """Each as one line."""
        text = "\n".join("" if line == ".PP" else _line(line) or "" for line in self.sections[section][part])
        return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip())]


def options_in(tags):
    """Those that stand in tags, with and without their values."""
    return {name for tag in tags for name in re.findall(r"(?:^|, )(--?[a-zA-Z][a-z-]*)", tag)}
