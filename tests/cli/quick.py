# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What a quick run leaves out of many alike."""

import pytest


def few(chosen, every):
    """The parameters in EVERY, of which a quick run takes those in CHOSEN."""
    assert set(chosen) <= set(every)
    return [pytest.param(value, marks=() if value in chosen else pytest.mark.slow) for value in every]
