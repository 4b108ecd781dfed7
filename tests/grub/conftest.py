# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Fixtures of the tests of GRUB alone: the module and the grub.d scripts.

HIBRESUME_MODDIR    folder with i386-pc/hibresume.mod; without it the module is built
HIBCTL_GRUB_D       folder with 06_hibctl and 44_hibctl; without it they are made from the sources
HIBCTL_GRUB_LIB     GRUB's modules (default: /usr/lib/grub)
HIBCTL_GRUB_SOURCE  unpacked GRUB source (default: grub in HIBCTL_DEV_CACHE)
"""

import fcntl
import json
import os
import shutil

import pytest

from . import rig, verdict_table


def pytest_collection_modifyitems(items):
    """What takes minutes starts first, while there is enough left for another worker."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_terminal_summary(terminalreporter):
    verdict_table.show(terminalreporter)


@pytest.fixture(scope="session")
def scratch():
    folder = rig.scratch_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Calls a function once per run, also where several workers share the tests; its result passes through JSON."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def call(name, function):
        result = shared / f"{name}.json"
        with open(shared / f"{name}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not result.exists():
                result.write_text(json.dumps(function()))
        return json.loads(result.read_text())

    return call


@pytest.fixture(scope="session")
def module(scratch):
    return rig.module_under_test(scratch)


@pytest.fixture(scope="session")
def kernel(scratch):
    return rig.dummy_kernel(scratch)


@pytest.fixture
def workdir(scratch, request):
    """A folder for one test's disks."""
    folder = scratch / request.node.name.replace("/", "_").replace(" ", "_")[:100]
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
