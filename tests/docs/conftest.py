# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Tests of what tells people what happens: manual pages, completions, Markdown. They need neither root nor a mount.

HIBCTL  the tool, which is asked what there is
"""

import os
from pathlib import Path

import pytest

from . import told


@pytest.fixture(scope="session")
def tool():
    path = os.environ.get("HIBCTL")
    if not path or not Path(path).is_file():
        pytest.fail("HIBCTL does not name the tool under test")
    return told.Tool(Path(path).resolve())
