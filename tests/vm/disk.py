# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Disk images that boot through the distribution's real GRUB on SeaBIOS and on OVMF.

Everything is made by tools that work on plain files: no root, no loop device, no mount. The same tools look into the
image later, and damage it."""

import itertools
import re
import shutil
import struct
import subprocess

from . import envblock, guest, grubcfg, host, volumes
from .layout import (BOOT_UUID, DISK_GUID, ESP_UUID, MIB, PAGE, ROOT_UUID, SWAP2_UUID, SWAP_FILE, SWAP_UUID,
                     SWAPFILE_UUID, Boot, Layout, Swap)

SECTOR = 512
SWAP_SIGNATURE_AT = PAGE - 10  # struct swsusp_header and union swap_header end with it
SWAP_ORIG_SIGNATURE_AT = PAGE - 20
IMAGE_SIGNATURE = b"S1SUSPEND\0"
_LOG_DISCARD = 4
_RELOCATABLE_AT = 0x234  # relocatable_kernel, Documentation/x86/boot.rst

_GRUB_MODULES = ("part_gpt", "ext2", "fat", "search", "search_fs_uuid", "normal", "configfile")
_MKE2FS = ("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-F")
# No work left for the kernel to do in the background; no backup superblock in the middle of a swap file.
_MKE2FS_EXTENDED = "lazy_itable_init=0,lazy_journal_init=0,num_backup_sb=0,root_owner=0:0"


class Disk:
    """An image file of a known layout. Paths are those that the guest sees."""

    def __init__(self, path, layout, kernel, swap_offset=0):
        self.path = path
        self.layout = layout
        self.kernel = kernel
        self.parts = layout.partitions()
        self.swap_offset = swap_offset  # pages; the kernel's resume_offset
        self.grubenv_path = "/boot/grub/grubenv"

    def copy(self, path):
        host.run("cp", "--sparse=always", self.path, path)
        return Disk(path, self.layout, self.kernel, self.swap_offset)

    # Raw bytes

    def read_raw(self, offset, length):
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def write_raw(self, offset, data):
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    # Files

    def _debugfs(self, part, *requests, write=False):
        flags = ["-w"] if write else []
        target = f"{self.path}?offset={self.parts[part].start}"
        argv = [host.find_tool("debugfs"), *flags, "-f", "-", target]
        done = subprocess.run(argv, input="\n".join(requests).encode(), capture_output=True, check=False)
        # It exits with 0 whatever happens; the first line of its complaints is its version.
        said = "\n".join(done.stderr.decode(errors="replace").splitlines()[1:])
        if done.returncode != 0 or said:
            raise host.HostError(f"debugfs {requests}: {said or done.returncode}")
        return [line for line in done.stdout.decode(errors="replace").splitlines() if not line.startswith("debugfs: ")]

    def _mtools(self, command, part, *words):
        return host.run(command, "-i", f"{self.path}@@{self.parts[part].start}", *words)

    def _locate_to_write(self, path):
        part, inner = self.layout.locate(path)
        if part == "boot" and not self.layout.boot.takes_marks:
            raise host.HostError(f"{path}: on {self.layout.boot.value} files can only be read")
        return part, inner

    def _is_vfat(self, part):
        return part == "esp"

    def read_file(self, path):
        """A file's content, as GRUB itself reads it: without the journal."""
        part, inner = self.layout.locate(path)
        return host.run("grub-fstest", self.path, "cat", f"{volumes.grub_device(self.layout, part)}{inner}")

    def exists(self, path):
        try:
            self.read_file(path)
        except host.HostError:
            return False
        return True

    def write_file(self, path, data):
        """Replaces or makes a file. Only for a filesystem that no sleeping system has mounted."""
        part, inner = self._locate_to_write(path)
        if self._is_vfat(part):
            host.run("mcopy", "-o", "-i", f"{self.path}@@{self.parts[part].start}", "-", f"::{inner}", input=data)
            return
        source = self.path.with_suffix(".write")
        source.write_bytes(b"\xff" * len(data))  # debugfs makes a hole of what is zero
        try:
            if self.exists(path):
                self._debugfs(part, f"rm {inner}", write=True)
            folder, _, name = inner.rpartition("/")
            self._debugfs(part, f"cd {folder or '/'}", f"write {source} {name}", write=True)
            self.overwrite(path, data)
        finally:
            source.unlink()

    def remove_file(self, path):
        """Removes a file; the same warning."""
        part, inner = self._locate_to_write(path)
        if self._is_vfat(part):
            self._mtools("mdel", part, f"::{inner}")
        else:
            self._debugfs(part, f"rm {inner}", write=True)

    def extents(self, path):
        """Where a file's bytes are in the image, as GRUB finds them: list of (offset, length), empty for no file."""
        part, inner = self._locate_to_write(path)
        said = host.run("grub-fstest", self.path, "blocklist", f"{volumes.grub_device(self.layout, part)}{inner}").decode()
        # Whole sectors are SECTOR+COUNT; a piece of one is SECTOR[FIRST-END].
        found = re.findall(r"(\d+)(?:\+(\d+)|\[(\d+)-(\d+)\])", said)
        base = self.parts[part].start
        result = []
        for sector, count, first, end in found:
            begin, size = (0, int(count) * SECTOR) if count else (int(first), int(end) - int(first))
            result.append((base + int(sector) * SECTOR + begin, size))
        return result

    def overwrite(self, path, data, at=0):
        """Overwrites bytes of a file in place: only data sectors change, as when GRUB itself writes."""
        for start, length in self.extents(path) if data else ():
            piece = data[: max(0, length - at)]
            self.write_raw(start + at, piece)
            data, at = data[len(piece) :], max(0, at - length)
        if data:
            raise host.HostError(f"{path}: shorter than the bytes to write")

    def pin_kernel(self):
        """Says in the kernel's header that it is not to be loaded just anywhere. One that can be GRUB on a PC moves in
        the end, with all the room that it asks for, byte by byte: 2 s under an emulated CPU. The kernel, which then
        goes where it wants to be, does not look at it."""
        self.overwrite(f"/boot/vmlinuz-{self.kernel.release}", b"\0", at=_RELOCATABLE_AT)

    # GRUB's environment block

    def grubenv(self):
        return self.read_file(self.grubenv_path)

    def patch_grubenv(self, change):
        """Passes the block through CHANGE, which must keep its length, and writes it in place."""
        before = self.grubenv()
        after = change(before)
        assert len(after) == len(before)
        self.overwrite(self.grubenv_path, after)

    # Partitions as a whole

    def read_part(self, name):
        """All bytes of a partition."""
        return self.read_raw(self.parts[name].start, self.parts[name].size)

    def needs_recovery(self, name):
        """Whether a partition's ext4 has a journal to be replayed: it is mounted, or was when the machine stopped."""
        magic, = struct.unpack_from("<H", self.read_raw(self.parts[name].start + 0x438, 2))
        incompat, = struct.unpack_from("<I", self.read_raw(self.parts[name].start + 0x460, 4))
        assert magic == 0xEF53
        return bool(incompat & 4)

    def looks_clean(self, name):
        """Whether a partition's filesystem looks as if it had been unmounted in order."""
        start = self.parts[name].start
        if self._is_vfat(name):
            return not self.read_raw(start + 0x41, 1)[0] & 1
        state, = struct.unpack_from("<H", self.read_raw(start + 0x43A, 2))
        return not self.needs_recovery(name) and bool(state & 1)

    # Swap areas

    def swap_start(self, second=False):
        """Offset of the first page of a swap area in the image."""
        if second:
            return self.parts["swap2"].start
        part = "root" if self.layout.swap is Swap.FILE else "swap"
        return self.parts[part].start + self.swap_offset * PAGE

    def swap_signature(self, second=False):
        return self.read_raw(self.swap_start(second) + SWAP_SIGNATURE_AT, 10)

    def has_image(self, second=False):
        return self.swap_signature(second) == IMAGE_SIGNATURE

    def boot_bits(self, second=False):
        """The first 1024 bytes of a swap area, which the kernel does not use, as GRUB reads them by a block list."""
        start, device = self.swap_start(second), "(loop0)"
        return host.run("grub-fstest", self.path, "cat", f"{device}{start // SECTOR}+2")

    def plant_image_header(self, second=False):
        """Makes a swap area look as if an image were in it: the kernel's header, and nothing behind it."""
        start = self.swap_start(second)
        signature = self.swap_signature(second)
        assert signature == b"SWAPSPACE2", signature
        self.write_raw(start + SWAP_ORIG_SIGNATURE_AT, signature + IMAGE_SIGNATURE)

    def image_pages(self, second=False):
        """Where the kernel's header says that the image goes on: the page of the first swap map."""
        header = self.read_raw(self.swap_start(second), PAGE)
        return struct.unpack_from("<Q", header, 0xFE0)[0]

    def damage_image(self):
        """Overwrites the pages behind the image's header, which stays as it is."""
        assert self.has_image()
        # Swap map entries count pages of the block device that the area is on, not of the area.
        part = self.parts["root" if self.layout.swap is Swap.FILE else "swap"]
        self.write_raw(part.start + self.image_pages() * PAGE, b"\xa5" * 16 * PAGE)


class DiskMaker:
    """Makes disks, and keeps one of each kind to copy from."""

    def __init__(self, scratch, kernel, hibctl=None, moddir=None, scripts=None):
        self.scratch = scratch
        self.kernel = kernel
        self.hibctl = hibctl
        self.moddir = moddir
        self.scripts = scripts
        self.kept = {}
        self._shared = None

    def disk(self, layout=Layout(), module=True, settings=(), variables=(), entries=""):
        """A fresh disk of its own. MODULE: with hibresume.mod in its root, for "hibctl setup" to install. SETTINGS:
        pairs for /etc/default/grub. VARIABLES: pairs for the environment block. ENTRIES: more menu entries."""
        key = (layout, module, tuple(settings), tuple(variables), entries)
        if key not in self.kept:
            self.kept[key] = self._make(*key)
        return self.kept[key].copy(self.scratch.folder("disk") / "disk.img")

    def direct(self, cmdline=""):
        """The ordinary system, started by QEMU without a boot loader: much faster where GRUB is not the matter."""
        cmdline = f"root=UUID={ROOT_UUID} {grubcfg.CMDLINE} {cmdline}"
        return host.Direct(self.kernel.image, self._shared_parts() / "initrd", cmdline)

    def save_kernel(self, plan=None, initrd=None):
        """The save kernel, started by QEMU. PLAN: the text of a plan that its initramfs has. INITRD: another initramfs."""
        initrd = initrd or self._shared_parts() / "save-initrd"
        if plan is not None:
            initrd = guest.append_file(initrd, "etc/hibctl/plan", plan, self.scratch.folder("save"))
        return host.Direct(self.kernel.image, initrd, grubcfg.CMDLINE)

    def _shared_parts(self):
        """Initramfs and programs are the same on all disks."""
        if not self._shared:
            folder = self.scratch.folder("parts")
            guest.make_programs(folder)
            guest.make_initramfs(self.kernel, folder / "initramfs", folder / "initrd")
            guest.make_bare_initramfs(self.kernel, guest.MODULES, folder / "save-initramfs", folder / "save-initrd",
                                      self.hibctl)
            self._shared = folder
        return self._shared

    def _make(self, layout, module, settings, variables, entries):
        folder = self.scratch.folder("make")
        path = folder.with_suffix(".img")
        with path.open("wb") as file:
            file.truncate(layout.size)
        disk = Disk(path, layout, self.kernel)
        _write_partition_table(disk)
        # The root filesystem first: where a swap file begins is known only then, and grub.cfg names the place.
        root = folder / "root"
        root.mkdir()
        if layout.swap is Swap.FILE:
            _fill_swap_file(root / SWAP_FILE.lstrip("/"), layout.swap_mib * MIB)
        guest.make_root(root, layout, self.kernel, self._shared_parts(), self.hibctl, self.moddir if module else None)
        boot = root / "boot" if layout.boot is Boot.ROOT else folder / "boot"
        boot.mkdir(exist_ok=True)
        self._fill_boot(boot, layout, variables)
        _make_ext4(disk, "root", ROOT_UUID, root)
        if layout.boot is Boot.PARTITION:
            _make_ext4(disk, "boot", BOOT_UUID, boot)
        _make_esp(disk, boot if layout.boot is Boot.ESP else None)
        _make_swap(disk)
        config = grubcfg.make_config(layout, self.kernel, self.scripts, disk.swap_offset, dict(settings), entries)
        config += grubcfg.HURRY
        if layout.boot in volumes.MODULES:
            (boot / "grub/grub.cfg").write_text(config)
            volumes.make_boot(disk, boot)
        else:
            disk.write_file("/boot/grub/grub.cfg", config.encode())
        _install_grub(disk, folder)
        shutil.rmtree(folder)
        return disk

    def _fill_boot(self, boot, layout, variables):
        (boot / "grub").mkdir()
        if layout.boot is not Boot.ESP:
            (boot / "efi").mkdir(exist_ok=True)  # mount point of the ESP
        shutil.copy(self.kernel.image, boot / f"vmlinuz-{self.kernel.release}")
        shutil.copy(self._shared_parts() / "initrd", boot / f"initrd.img-{self.kernel.release}")
        for platform in host.PLATFORMS:
            target = boot / "grub" / platform
            target.mkdir()
            for pattern in ("*.mod", "*.lst"):
                for source in (host.GRUB_LIB / platform).glob(pattern):
                    shutil.copy(source, target)
        (boot / "grub/grubenv").write_bytes(envblock.make(dict(variables)))


def differing_sectors(before, after):
    """Numbers of the sectors in which two images of a partition differ."""
    assert len(before) == len(after)
    chunks = (at for at in range(0, len(before), MIB) if before[at : at + MIB] != after[at : at + MIB])
    return [at // SECTOR for chunk in chunks for at in range(chunk, min(chunk + MIB, len(before)), SECTOR)
            if before[at : at + SECTOR] != after[at : at + SECTOR]]


def replay(disk, log, whole=False):
    """Repeats on DISK, sector by sector or in WHOLE writes, what a machine wrote to another copy of it, and yields after
    each: the states that a power cut could have left. LOG is of the form that the kernel's dm-log-writes has."""
    with log.open("rb") as file, disk.path.open("r+b") as target:
        magic, _, entries, size = struct.unpack("<QQQI", file.read(28))
        assert magic == 0x6A736677736872
        file.seek(size)
        for _ in range(entries):
            sector, count, flags, _ = struct.unpack("<QQQQ", file.read(size)[:32])
            if flags & _LOG_DISCARD:
                continue
            data = file.read(count * size)
            step = len(data) or SECTOR if whole else SECTOR
            for at in range(0, len(data), step):
                target.seek(sector * size + at)
                target.write(data[at : at + step])
                target.flush()
                yield


def _write_partition_table(disk):
    lines = ["label: gpt", f"label-id: {DISK_GUID}"]
    for part in disk.parts.values():
        lines.append(f"start={part.start // SECTOR},size={part.size // SECTOR},type={part.type},uuid={part.partuuid}")
    host.run("sfdisk", "-q", disk.path, input="\n".join(lines).encode())


def _make_ext4(disk, name, uuid, folder):
    part = disk.parts[name]
    extended = f"{_MKE2FS_EXTENDED},offset={part.start},hash_seed={uuid}"
    journal = f"size=4,location={(part.size - 8 * MIB) // 4096}"
    host.run(*_MKE2FS, "-O", "sparse_super2", "-J", journal, "-U", uuid, "-E", extended, "-d", folder, disk.path,
             f"{part.size // 1024}k")


def _make_esp(disk, folder):
    part = disk.parts["esp"]
    first = part.start // SECTOR
    host.run("mkfs.vfat", "-F", "32", "-s", "1", "-h", first, "-i", ESP_UUID.replace("-", ""), "--offset", first,
             disk.path, part.size // 1024)
    if folder:
        host.run("mcopy", "-s", "-m", "-i", f"{disk.path}@@{part.start}", *sorted(folder.iterdir()), "::")


def _fill_swap_file(path, size):
    """A file without holes and without zeros, for which mke2fs allocates every block."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(b"\xff" * MIB)
    path.chmod(0o600)


def _make_swap(disk):
    layout = disk.layout
    if layout.swap is Swap.PARTITION:
        _write_swap_header(disk, disk.parts["swap"].start, disk.parts["swap"].size, SWAP_UUID)
    elif layout.swap is Swap.FILE:
        _make_swap_file(disk)
    if layout.second_swap:
        _write_swap_header(disk, disk.parts["swap2"].start, disk.parts["swap2"].size, SWAP2_UUID)


def _write_swap_header(disk, start, size, uuid):
    area = disk.path.with_suffix(".swap")
    with area.open("wb") as file:
        file.truncate(size)
    try:
        host.run("mkswap", "-U", uuid, area)
        with area.open("rb") as file:
            disk.write_raw(start, file.read(PAGE))
    finally:
        area.unlink()


def _make_swap_file(disk):
    """Turns the file that was copied into the root filesystem into an empty swap area, and notes where it is. Blocks
    that were only allocated would not do: the kernel reads the header through the filesystem."""
    size = disk.layout.swap_mib * MIB
    extents = disk.extents(SWAP_FILE)
    start = extents[0][0]
    if any(before + length != after for (before, length), (after, _) in itertools.pairwise(extents)):
        raise host.HostError("the swap file is not in one piece")
    disk.swap_offset = (start - disk.parts["root"].start) // PAGE
    host.run("fallocate", "--punch-hole", "--offset", start, "--length", size, disk.path)
    _write_swap_header(disk, start, size, SWAPFILE_UUID)
    resume = f"{disk.layout.resume_tag} {disk.swap_offset}\n"
    disk.write_file("/etc/resume", resume.encode())


def _install_grub(disk, folder):
    """Installs the distribution's GRUB twice: in the bios_grub partition, and as the ESP's removable loader."""
    layout = disk.layout
    early = folder / "early.cfg"
    early.write_text(f"search --no-floppy --set=root --fs-uuid {layout.boot_uuid}\n"
                     f"set prefix=($root){layout.grub_folder}\n")
    images = {}
    for platform in host.PLATFORMS:
        images[platform] = folder / f"core-{platform}"
        modules = _GRUB_MODULES + (("biosdisk",) if platform == "i386-pc" else ())
        modules += volumes.GRUB_MODULES.get(layout.boot, ())
        host.run("grub-mkimage", "-d", host.GRUB_LIB / platform, "-O", platform, "-p", layout.grub_folder, "-c", early,
                 "-o", images[platform], *modules)
    for name in ("EFI", "EFI/BOOT"):
        disk._mtools("mmd", "esp", f"::{name}")
    disk._mtools("mcopy", "esp", images["x86_64-efi"], "::EFI/BOOT/BOOTX64.EFI")
    _embed_bios_grub(disk, images["i386-pc"].read_bytes())


def _embed_bios_grub(disk, core):
    """What grub-bios-setup does: boot.img finds core.img's first sector, that one finds the rest. Offsets from
    include/grub/i386/pc/boot.h and from the block list at the end of core.img's first sector."""
    part = disk.parts["bios"]
    assert len(core) <= part.size
    first = part.start // SECTOR
    boot = bytearray((host.GRUB_LIB / "i386-pc/boot.img").read_bytes())
    struct.pack_into("<Q", boot, 0x5C, first)  # GRUB_BOOT_MACHINE_KERNEL_SECTOR
    boot[0x66:0x68] = b"\x90\x90"  # GRUB_BOOT_MACHINE_DRIVE_CHECK: trust the BIOS's drive number
    core = bytearray(core)
    struct.pack_into("<Q", core, SECTOR - 12, first + 1)
    disk.write_raw(0, bytes(boot[:440]))
    disk.write_raw(part.start, bytes(core))
