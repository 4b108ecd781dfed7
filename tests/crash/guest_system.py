# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A guest, which is its initramfs alone, with filesystems on disks of which QEMU logs the writes."""

import base64
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from cli import rig
from vm import guest as initramfs
from vm import host
from vm.layout import MIB
from vm.machine import BareMachine

from . import judging, lab
from .recording import SECTOR, read_log

# ---- filesystems ----


@dataclass(frozen=True)
class Kind:
    """FLAG: the byte in the first sector, and the bits of it, that say that the filesystem is mounted."""

    type: str
    mib: int
    maker: tuple
    checker: tuple
    flag: tuple


def _fat(bits, mib, cluster):
    return Kind("vfat", mib, ("mkfs.fat", "-F", bits, "-s", cluster // SECTOR), ("fsck.fat", "-n"),
                (0x41 if bits == 32 else 0x25, 1))


def _exfat(cluster):
    return Kind("exfat", 32, ("mkfs.exfat", "-c", cluster), ("fsck.exfat", "-n"), (0x6A, 2))


# As large as the number of clusters must be for this width of the table.
KINDS = {
    "vfat12": _fat(12, 1, 512),
    "vfat12-4k": _fat(12, 8, 4096),
    "vfat16": _fat(16, 8, 512),
    "vfat16-4k": _fat(16, 32, 4096),
    "vfat32": _fat(32, 40, 512),
    "vfat32-4k": _fat(32, 272, 4096),
    "exfat": _exfat(512),
    "exfat-4k": _exfat(4096),
}
# Where the tool refuses to write.
REFUSED = {"f2fs": Kind("f2fs", 100, ("mkfs.f2fs", "-q"), ("fsck.f2fs", "--dry-run"), None)}
MODULES = ("vfat", "exfat", "f2fs", "crc32_generic", "nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8", "loop")


def kind_of(name):
    return KINDS.get(name) or REFUSED[name]


def kernel_under_test():
    folder = os.environ.get("HIBCTL_TEST_KERNEL")
    return host.Kernel(Path(folder)) if folder else host.Kernel()


def has_module(name):
    return bool(kernel_under_test().modules(name))


# ---- the guest ----


class RecordedMachine(BareMachine):
    """What is written to the DISKS is logged, what is to the PLAIN ones is not."""

    def __init__(self, kernel, initrd, disks, plain, folder):
        self._plain = plain
        super().__init__(kernel, initrd, [*disks, *plain], folder)

    def _drive(self, path):
        if path in self._plain:
            return super()._drive(path)
        log = log_of(path)
        log.touch()
        return f"driver=blklogwrites,file.driver=file,file.filename={path},log.driver=file,log.filename={log}"


def log_of(disk):
    return disk.with_suffix(".log")


def disk_name(number):
    return f"/dev/vd{chr(ord('a') + number)}"


class System:
    """The tree of a system in the guest, its boot filesystem on a disk that is recorded. It has what writers.py uses of
    the machines of cli/rig.py."""

    def __init__(self, machine, name, image, device, release, swap, swap_uuid):
        self.machine, self.kind, self.image, self.device, self.release = machine, kind_of(name), image, device, release
        self.root, self.boot, self.grub = f"/lab/{name}", f"/lab/{name}/boot", f"/lab/{name}/boot/grub"
        self.block = f"{self.grub}/grubenv"
        self.scratch = SimpleNamespace(path=Path(self.root))
        uuid = host.run("blkid", "-p", "-o", "value", "-s", "UUID", image).decode().strip()
        self._make(uuid, swap, swap_uuid)

    def run(self, text, **more):
        return self.machine.run(text, **more)

    def tool(self, *words):
        argv = ["hibctl", *map(str, words)]
        result = self.run(" ".join(argv), check=False)
        return rig.Result(argv, result.status, b"", result.output.encode())

    def __call__(self, *words):
        return self.tool(f"--root={self.root}", *words)

    def _make(self, uuid, swap, swap_uuid):
        probe = (f"hibresume probe --device 'UUID={swap_uuid}' --offset 0 --page-size 4096 --fs '{uuid}'"
                 f" --kernel '/vmlinuz-{self.release}' --initrd '/initrd.img-{self.release}'")
        self.run(f"""
set -e
mkdir -p {self.root} && cd {self.root} && mkdir -p boot etc run proc sys/power
mount -t {self.kind.type} {self.device} boot && mkdir boot/grub
cp /lab/vmlinuz boot/vmlinuz-{self.release} && echo ramdisk >boot/initrd.img-{self.release}
cat >boot/grub/grub.cfg <<END
{probe}
END
umount boot
printf 'Filename\\t\\t\\t\\tType\\t\\tSize\\t\\tUsed\\t\\tPriority\\n' >proc/swaps
echo 'UUID={uuid} /boot {self.kind.type} defaults 0 2' >etc/fstab
cat /sys/class/block/{swap.removeprefix("/dev/")}/dev >sys/power/resume
echo 0 >sys/power/resume_offset""")

    def arrange(self, block, mounted):
        """The file is there anew, nothing of it is cached, and the filesystem mounted or not."""
        put = f"echo {base64.b64encode(block).decode()} | base64 -d >{self.block}" if block else "true"
        mount = f"mount -t {self.kind.type} {self.device} {self.boot}"
        self.write_back()
        self.run(f"set -e; {mount}; rm -f {self.block}; {put}; umount {self.boot}; {mount if mounted else 'true'}; sync")

    def file(self, name, data):
        """The path of a file, elsewhere, with DATA in it."""
        path = f"{self.root}/{name}"
        self.machine.write_file(path, data)
        return path

    def write_back(self):
        """What the kernel has still to write, and what unmounting writes."""
        self.run(f"sync; while grep -q ' {self.boot} ' /proc/mounts; do umount {self.boot}; done; sync")

    def start_busy(self):
        """As writers.Busy."""
        self.run(f"""
touch {self.root}/busy
(cd {self.boot}; n=0
while [ -e {self.root}/busy ]; do n=$((n + 1)); echo $n >busy$((n % 4)); sync -f .; done
touch {self.root}/idle) &
sleep 0.05""")

    def stop_busy(self):
        self.run(f"rm {self.root}/busy; until rm {self.root}/idle 2>/dev/null; do sleep 0.01; done")

    def grub_reads(self):
        done = rig.run("grub-fstest", self.image, "cat", "(loop0)/grub/grubenv", check=False)
        if done.returncode != 0:
            assert b"not found" in done.stderr, done.stderr
            return None
        return done.stdout

    def position(self):
        """All that was written until now is before this byte of the log."""
        return max(log_of(self.image).stat().st_size, SECTOR)


class Guest:
    """A guest that is running, with a disk for each of the KINDS."""

    def __init__(self, tool, kinds, folder):
        self.folder, self.systems = folder, {}
        images = {name: self._make_filesystem(name) for name in kinds}
        swap, self._exchange = folder / "swap.img", folder / "exchange.img"
        for path in (swap, self._exchange):
            self._make_file(path, 16)
        host.run("mkswap", "-q", swap)
        self._swap_uuid = host.run("blkid", "-p", "-o", "value", "-s", "UUID", swap).decode().strip()
        kernel = kernel_under_test()
        self.machine = RecordedMachine(kernel, self._make_initramfs(kernel, tool), list(images.values()),
                                       [swap, self._exchange], folder)
        self._images = images

    def __enter__(self):
        self.machine.__enter__()
        try:
            self._start()
        except BaseException:
            self.machine.__exit__()
            raise
        return self

    def __exit__(self, *what):
        self.machine.__exit__(*what)

    @staticmethod
    def _make_file(path, mib):
        with path.open("xb") as file:
            file.truncate(mib * MIB)
        return path

    def _make_filesystem(self, name):
        kind = kind_of(name)
        image = self._make_file(self.folder / f"{name}.img", kind.mib)
        host.run(*kind.maker, image)
        return image

    def _make_initramfs(self, kernel, tool):
        judge = self.folder / "judge-static"
        host.run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", judge, Path(__file__).with_name("judge.c"))
        tree, out = self.folder / "tree", self.folder / "initramfs"
        programs = {"grub-editenv": host.find_tool("grub-editenv"), "judge": judge}
        initramfs.make_bare_initramfs(kernel, MODULES, tree, out, hibctl=host.program_of(tool.path), programs=programs)
        return out

    def _start(self):
        self.machine.boot()
        caches = set(self.machine.run("cat /sys/block/vd*/queue/write_cache").output.split("\n"))
        assert caches == {"write back", ""}, f"the guest does not flush its disks: {caches}"
        release, version = self.machine.run("mkdir /lab /lab/judge /lab/judged; uname -r; uname -v").output.splitlines()
        self.machine.write_file("/lab/vmlinuz", rig.kernel_file(release, version))
        swap = disk_name(len(self._images))
        for number, (name, image) in enumerate(self._images.items()):
            self.systems[name] = System(self.machine, name, image, disk_name(number), release, swap, self._swap_uuid)

    # what is written

    def _quiesce(self, system, name):
        base = self.folder / f"{name}.base"
        for _ in range(50):
            begin = system.position()
            judging.copy_sparse(system.image, base)
            if system.position() == begin:
                return base, begin
        raise AssertionError("the disk does not come to rest")

    def record(self, cell, writer):
        system = self.systems[cell.kind]
        system.arrange(writer.old, mounted=writer.layout != "fstab")
        writer.prepare(system)
        base, begin = self._quiesce(system, cell.name.replace(" ", "-"))
        old = system.grub_reads()
        assert writer.old in (None, old)
        if cell.busy:
            system.start_busy()
        writer.run(system)
        end = system.position()
        if cell.busy:
            system.stop_busy()
        system.write_back()
        new = system.grub_reads()
        assert writer.expected(old, new), f"{cell.name}: this is not what it should do: {new!r}"
        if writer.intended:
            new = writer.intended(old)
        writes = list(read_log(log_of(system.image), begin, system.position()))
        done = len(list(read_log(log_of(system.image), begin, end)))
        assert writes, "nothing was written"
        # Without a journal, one who makes a file leaves the checker some work, whoever it is.
        kernel = None if writer.makes_file or cell.busy else (system.kind.type, "/grub/grubenv")
        return lab.Recorded(base, writes, done, old, new, "(loop0)/grub/grubenv", kernel, writer.between)

    # what the guest's kernel says

    def ask_kernel(self, kind, base, all_states, versions):
        """What the base holds comes as more versions, which every state has before its own, on a disk of zeros: a disk's
        image is long, and what is on it is little."""
        sectors = list(_sectors_in(base))
        shift = len(sectors)
        full = [SimpleNamespace(versions=(*range(shift), *(shift + number for number in state.versions)))
                for state in all_states]
        judging.write_states(self.folder, full, sectors + versions)
        with tarfile.open(self._exchange, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name in ("versions", "states"):
                archive.add(self.folder / name, name)
        assert self._exchange.stat().st_size <= 16 * MIB
        os.truncate(self._exchange, 16 * MIB)
        exchange = disk_name(len(self._images) + 1)
        words = self.machine.run(f"""
cd /lab/judge && rm -f * && tar -x -f {exchange} && truncate -s {base.stat().st_size} base state || exit
losetup /dev/loop0 state || exit
judge base state versions states --kernel /dev/loop0 /lab/judged {kind.type} '' grub/grubenv
status=$?
losetup -d /dev/loop0
exit $status""", timeout=300)
        said = list(judging.read_verdicts(words.output))
        assert len(said) == len(all_states)
        return [one.linux for one in said]


def _sectors_in(path):
    """Those that are not all zeros, and their bytes."""
    with path.open("rb") as file:
        at, size = 0, path.stat().st_size
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # the rest is a hole
                return
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            for sector in range(at // SECTOR, end // SECTOR):
                data = os.pread(file.fileno(), SECTOR, sector * SECTOR)
                if data.strip(b"\0"):
                    yield sector, data
            at = end
