# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Fixtures of the tests with virtual machines.

HIBCTL            the tool under test
HIBRESUME_MODDIR  folder with x86_64-efi/hibresume.mod and i386-pc/hibresume.mod
HIBCTL_GRUB_D     folder with the grub.d scripts 06_hibctl and 44_hibctl
HIBCTL_TEST_LOGS  where the logs of failed tests go (default: tests-logs in the current folder)
HIBCTL_TEST_KEEP_LOGS    if set, logs of passed tests are kept as well
HIBCTL_TEST_PATIENCE     factor on all time-outs
HIBCTL_DEV_CACHE         where the stock kernel is (default: /var/cache/hibctl-dev)
"""

import contextlib
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest

from . import grubcfg, host, scenario
from .disk import DiskMaker
from .layout import Layout
from .machine import Firmware, Machine, Witness


def pytest_collection_modifyitems(items):
    """What takes long starts first, so that at the end no worker waits long for another."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    item.failed_somewhere = getattr(item, "failed_somewhere", False) or report.failed
    folder = getattr(item, "log_folder", None)
    if report.failed and folder:
        report.sections.append(("logs", str(folder)))


@pytest.fixture(scope="session")
def scratch():
    space = host.Scratch(os.environ.get("PYTEST_XDIST_TESTRUNUID"))
    yield space
    space.remove()


@pytest.fixture(scope="session")
def kernel():
    return host.Kernel()


@pytest.fixture(scope="session")
def plain_disks(scratch, kernel):
    """Makes disks without any part of the project."""
    return DiskMaker(scratch, kernel)


@pytest.fixture(scope="session")
def disks(scratch, kernel):
    """Makes disks with the tool, the GRUB module and the grub.d scripts on them."""
    parts = {"HIBCTL": host.tool_under_test(), "HIBRESUME_MODDIR": host.modules_under_test(),
             "HIBCTL_GRUB_D": grubcfg.scripts_under_test()}
    missing = [name for name, path in parts.items() if not path]
    if missing:
        pytest.skip(f"not set: {', '.join(missing)}")
    return DiskMaker(scratch, kernel, *parts.values())


@pytest.fixture(params=[pytest.param(Firmware.OVMF, marks=pytest.mark.full), Firmware.SEABIOS], ids=lambda firmware: firmware.value)
def firmware(request):
    return request.param


@pytest.fixture
def logs(request):
    """A folder for this test's logs, removed if the test passes."""
    base = Path(os.environ.get("HIBCTL_TEST_LOGS", "tests-logs")).absolute()
    folder = base / re.sub(r"[^\w.=-]+", "_", request.node.name).strip("_")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    request.node.log_folder = folder
    yield folder
    if not request.node.failed_somewhere and "HIBCTL_TEST_KEEP_LOGS" not in os.environ:
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # other tests' logs are there
            base.rmdir()


@pytest.fixture
def machine_on(logs, firmware):
    """Makes a machine, switched off, around a disk. At the end of the test machine and disk are gone."""
    with contextlib.ExitStack() as stack:

        def make(disk, **options):
            folder = logs / f"machine{len(list(logs.iterdir())) or ''}"
            folder.mkdir()
            stack.callback(shutil.rmtree, disk.path.parent)
            if firmware is Firmware.SEABIOS:
                disk.pin_kernel()
            return stack.enter_context(Machine(disk, firmware, folder, **options))

        yield make


@pytest.fixture(scope="session")
def asleep_machines(scratch, disks):
    """Machines that hibernated, each kind made once and kept, also for the other workers."""

    def get(firmware, layout, **how):
        with scratch.kept((firmware, layout, sorted(how.items()))) as folder:
            file = folder / "asleep"
            if not file.exists():
                asleep = scenario.fall_asleep(disks, firmware, layout, scratch.folder("asleep"), **how)
                file.write_bytes(pickle.dumps(asleep))
            return pickle.loads(file.read_bytes())

    return get


@pytest.fixture
def sleeper(scratch, asleep_machines, firmware, machine_on):
    """Makes a machine that is switched off and asleep: pair of the machine and the witness of its session."""

    def make(layout=Layout(), **how):
        asleep = asleep_machines(firmware, layout, **how)
        machine = machine_on(asleep.disk.copy(scratch.folder("disk") / "disk.img"), asleep=asleep)
        machine.healthy_block, machine.plan = asleep.block, asleep.plan
        return machine, Witness(machine, asleep)

    return make
