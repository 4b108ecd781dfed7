# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Fixtures of the tests of the Debian packages. They need root.

HIBCTL_PACKAGES  folder with the packages, as "./dev package" makes them
"""

import os
from pathlib import Path

import pytest

from cli import rig

from .system import System

NAMES = ("hibctl", "hibctl-grub-efi-amd64", "hibctl-grub-pc")


@pytest.fixture(scope="session")
def packages():
    """The files, by the packages' names."""
    folder = os.environ.get("HIBCTL_PACKAGES")
    found = {name: list(Path(folder or "/nonexistent").glob(f"{name}_*.deb")) for name in NAMES}
    if not all(len(files) == 1 for files in found.values()):
        pytest.fail(f"HIBCTL_PACKAGES={folder}: not one of each package is there: {found}")
    return {name: files[0].resolve() for name, files in found.items()}


@pytest.fixture(scope="module")
def system(packages):
    """A Debian system on which the packages are not installed."""
    rig.sweep()
    space = rig.Scratch()
    try:
        yield System(space, packages)
    finally:
        space.close()
