# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Machines whose swap area is on a device that setup hooks make, and the initramfs that save and load kernel share."""

import re
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

from . import guest, host
from .layout import MIB, PAGE, SWAP_PARTUUID
from .machine import Machine

_PROGRAMS = guest._PROGRAMS
_HOOKS = _PROGRAMS / "hooks"
SECONDS = 30  # that a server may take to start

# What a hook says: its name, a digest of its bytes, its arguments.
_REPORT = re.compile(r"hook: (\S+) ([0-9a-f]{16})(?: (.*?))?\.$", re.MULTILINE)


@dataclass(frozen=True)
class Kind:
    """A device that hooks make."""

    hooks: tuple  # pairs of name and arguments
    modules: tuple  # that the first hook loads, without their dependencies

    def lines(self, kernel):
        """What a plan has of the hooks, in the order in which they must run."""
        loaded = kernel.modules(*guest.MODULES)
        drivers = " ".join(path.stem for path in kernel.modules(*self.modules) if path not in loaded)
        return [f"10-drivers {drivers}", *(f"{name} {words}" for name, words in self.hooks)]


def crypt():
    return Kind((("20-crypt", f"PARTUUID={SWAP_PARTUUID} swap"),), ("dm_mod", "dm_crypt", "xts", "ecb"))


def nbd(port):
    """Under QEMU's user networking the host's loopback is 10.0.2.2."""
    return Kind((("20-network", "eth0 10.0.2.15/24"), ("30-nbd", f"10.0.2.2 {port}")), ("virtio_net", "nbd"))


def reports(text):
    """The hooks that said since power-on that they run: list of their lines in the plan, in that order; and the digests of
    their bytes by name."""
    found = _REPORT.findall(text.replace("\r", ""))
    return [f"{name} {words}".strip() for name, _, words in found], {name: digest for name, digest, _ in found}


def make_initramfs(kernel, kind, hibctl, work):
    """The initramfs of both kernels: the tool, the kind's hooks, and the drivers that they load."""
    tree = guest.Tree(work / "tree")
    tree.add(_PROGRAMS / "init-hooks", "init", 0o755)
    tree.add(_PROGRAMS / "agent", "usr/sbin/agent", 0o755)
    tree.add(hibctl, "usr/sbin/hibctl", 0o755)
    (tree.folder / "usr/bin/dmsetup").unlink(missing_ok=True)
    tree.add(host.find_tool("dmsetup"), "usr/sbin/dmsetup", 0o755)
    host.run("cc", "-std=gnu11", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o",
             tree.folder / "usr/sbin/nbd-connect", _PROGRAMS / "nbd-connect.c")
    for line in kind.lines(kernel):
        name = line.split()[0]
        tree.add(_HOOKS / name, f"etc/hibctl/setup.d/{name}", 0o755)
    tree.add(_PROGRAMS / "report", "etc/hibctl/report")
    guest.add_modules(tree, kernel, guest.MODULES + kind.modules)
    # The hooks load theirs.
    tree.write("lib/modules/order", "".join(f"{path.name}\n" for path in kernel.modules(*guest.MODULES)))
    guest.write_cpio(tree.folder, work / "initrd")
    shutil.rmtree(tree.folder)
    return work / "initrd"


def swap_header(size, uuid):
    """The first page of an empty swap area."""
    with tempfile.NamedTemporaryFile() as area:
        area.truncate(size)
        host.run("mkswap", "-U", uuid, area.name)
        return area.read(PAGE)


class NetworkMachine(Machine):
    """A machine with a network card that leads to the host's loopback."""

    def _boot_arguments(self):
        return super()._boot_arguments() + ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]


class Server:
    """Serves a file of this size to network block devices. A context manager."""

    def __init__(self, folder, size=128 * MIB):
        self.path = folder / "network-disk"
        with self.path.open("wb") as file:
            file.truncate(size)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def __enter__(self):
        self.process = subprocess.Popen(["qemu-nbd", "--bind=127.0.0.1", f"--port={self.port}", "--format=raw",
                                         "--persistent", "--shared=0", self.path], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, "no server"
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.path.unlink()
