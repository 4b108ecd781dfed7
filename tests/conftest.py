# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What of all tests a run takes.

Markers:
slow      left out by ./dev check --quick
full      only ./dev check --full has it: what other tests show too, on more points or on the other firmware
uefi_too  a test of machines that is run on UEFI as well, not by ./dev check --full alone

HIBCTL_FULL   if set, nothing that is "full" is left out
HIBCTL_QUICK  if set, what is "slow" is left out, and of a test's parameters all but the first and the last
"""

import os
import signal
import threading

import pytest


def pytest_configure(config):
    for marker in ("slow: left out by ./dev check --quick", "full: only ./dev check --full has it",
                   "uefi_too: on UEFI as well, in every run"):
        config.addinivalue_line("markers", marker)
    if threading.current_thread() is not threading.main_thread():
        return  # a worker that came up in another way; then only the cleaning up is less thorough
    # What is ignored here, as after nohup, the programs under test would ignore too.
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL),
                          (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)
    # Let the fixtures clean up as they do after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def _of_check(items):
    return [item for item in items if not item.get_closest_marker("full") or item.get_closest_marker("uefi_too")]


def _of_quick(items):
    alike = {}
    for item in items:
        if not item.get_closest_marker("slow"):
            alike.setdefault(item.nodeid.partition("[")[0], []).append(item)
    chosen = {item for some in alike.values() for item in (some[0], some[-1])}
    return [item for item in items if item in chosen]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    chosen = items if "HIBCTL_FULL" in os.environ else _of_check(items)
    if "HIBCTL_QUICK" in os.environ:
        chosen = _of_quick(chosen)
    left_out = set(items).difference(chosen)
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = chosen
