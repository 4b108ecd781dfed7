# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A plan for the save kernel, taken apart and damaged independently of the code under test."""

import re
import zlib


def seal(plan):
    """The same plan with the right checksum: as somebody would write it who wants to mislead."""
    body = plan[: plan.rindex(b"crc ")]
    return body + b"crc %08x\n" % zlib.crc32(body)


def line(plan, key):
    """The value of the line with this key."""
    return re.search(rb"^%s (.*)$" % key.encode(), plan, re.MULTILINE).group(1)


def with_line(plan, key, value):
    """The same plan with another value in the line with this key, sealed."""
    old = b"%s %s\n" % (key.encode(), line(plan, key))
    return seal(plan.replace(old, b"%s %s\n" % (key.encode(), value)))


def without_line(plan, key):
    return seal(plan.replace(b"%s %s\n" % (key.encode(), line(plan, key)), b""))
