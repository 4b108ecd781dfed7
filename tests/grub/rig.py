# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Small disks with the distribution's real GRUB on them, booted in QEMU through SeaBIOS or OVMF; what GRUB says is read
from the serial line. Everything is made in files, without root."""

import functools
import os
import re
import select
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from . import nbd, nvram

TOP = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("HIBCTL_DEV_CACHE", "/var/cache/hibctl-dev"))
GRUB_SOURCE = Path(os.environ.get("HIBCTL_GRUB_SOURCE", CACHE / "grub"))
GRUB_LIB = Path(os.environ.get("HIBCTL_GRUB_LIB", "/usr/lib/grub"))
PLATFORM = "i386-pc"
BOOT_UUID = "11111111-2222-3333-4444-555555555555"

MIB = 1 << 20
SECTOR = 512
CORE_AT = 2048  # sector of the BIOS boot partition
CORE_MODULES = ["biosdisk", "part_gpt", "part_msdos", "ext2", "normal", "configfile"]
PATIENCE = float(os.environ.get("HIBCTL_TEST_PATIENCE", "1")) * 60  # seconds

GPT_TYPES = {"bios": "21686148-6449-6E6F-744E-656564454649", "linux": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
             "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"}

# Puts GRUB on the serial line, and has it say what it found out.
PRELUDE = """\
serial --unit=0 --speed=115200
terminfo -g 250x60 serial vt100
terminal_input serial
terminal_output serial
set pager=0
function load_video {
  set video=loaded
}
"""


def run(*argv, **options):
    env = options.pop("env", os.environ)
    env = dict(env, PATH=env.get("PATH", "") + ":/usr/sbin:/sbin", LC_ALL="C")
    done = subprocess.run([str(arg) for arg in argv], env=env, capture_output=True, check=False, **options)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise RuntimeError(f"{argv[0]}: exit status {done.returncode}: {said}")
    return done.stdout


def scratch_folder():
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="hibctl-grub-", dir=base))


# ---- the GRUB under test ----


def modinfo(platform=PLATFORM):
    return (GRUB_LIB / platform / "modinfo.sh").read_text()


def package_version():
    """Of the GRUB package, as Debian counts: 2.06-13+deb12u2."""
    return re.search(r'^grub_package_version="(.*)"', modinfo(), re.MULTILINE).group(1)


# A release for which a module is built to be refused, and the symbol that the GRUB under test does not export.
OTHER_RELEASE = {"2.06": ("212", "grub_env_get_bool"), "2.12": ("214", "grub_strtok")}.get(package_version()[:4])


# ---- what goes on a disk ----


def build_module(output, lib=GRUB_LIB / PLATFORM, **env):
    """Builds the module as a user does; returns what the script said."""
    script = TOP / "grub-module" / "build-module"
    return run(script, "--grub-source", GRUB_SOURCE, "--grub-lib", lib, "--output", output,
               env=dict(os.environ, TARGET_CPPFLAGS="-Werror", **env)).decode()


def build_test_module(name, folder, platform):
    """Builds tests/grub/NAME.c as a module, by the same script. Returns its path."""
    text = (TOP / "grub-module" / "build-module").read_text().replace("hibresume", name)
    text = re.sub(r"^c_files=.*", f"c_files={name}.c", text, flags=re.MULTILINE)
    text = re.sub(r"^mark_files=.*", "mark_files=", text, flags=re.MULTILINE)
    script = folder / f"build-{name}"
    script.write_text(text.replace('-I"$srcdir/.."', f'-I"{TOP}"'))
    output = folder / platform / f"{name}.mod"
    run("sh", script, "--grub-source", GRUB_SOURCE, "--grub-lib", GRUB_LIB / platform, "--output", output, "--srcdir",
        TOP / "tests" / "grub", env=dict(os.environ, TARGET_CPPFLAGS="-Werror"))
    return output


def module_under_test(folder, platform=PLATFORM):
    """The built module: the one that HIBRESUME_MODDIR has, or a fresh one."""
    if "HIBRESUME_MODDIR" in os.environ:
        return Path(os.environ["HIBRESUME_MODDIR"]) / platform / "hibresume.mod"
    output = folder / platform / "hibresume.mod"
    if not output.exists():
        build_module(output, GRUB_LIB / platform)
    return output


def grub_d_script(name, folder):
    """A grub.d script, as `make' writes it."""
    if "HIBCTL_GRUB_D" in os.environ:
        return Path(os.environ["HIBCTL_GRUB_D"]) / name
    values = {"prefix": "/usr", "exec_prefix": "/usr", "datarootdir": "/usr/share", "sysconfdir": "/etc",
              "localedir": "/usr/share/locale", "PACKAGE": "hibctl", "sbindir": "/usr/sbin"}
    source, = (TOP / "grub-module").glob(f"{name}*.in")
    text = source.read_text()
    path = folder / name
    path.write_text(re.sub(r"@(\w+)@", lambda match: values[match.group(1)], text))
    return path


def dummy_kernel(folder):
    """A bzImage that prints its command line and the text of its ramdisk."""
    source = Path(__file__).with_name("kernel.S")
    run("gcc", "-m32", "-c", "-o", folder / "kernel.o", source)
    run("objcopy", "-O", "binary", "-j", ".text", folder / "kernel.o", folder / "kernel.bin")
    setup = bytearray(2 * SECTOR)  # the boot sector and one sector of setup code
    setup[0x1F1] = 1  # setup_sects
    struct.pack_into("<H", setup, 0x1FE, 0xAA55)
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x0206)  # protocol
    setup[0x211] = 1  # loaded high
    struct.pack_into("<I", setup, 0x214, 0x100000)  # code32_start
    struct.pack_into("<I", setup, 0x22C, 0x37FFFFFF)  # initrd_addr_max
    struct.pack_into("<I", setup, 0x238, 2047)  # cmdline_size
    return bytes(setup) + (folder / "kernel.bin").read_bytes().ljust(4096, b"\0")


# ---- disks ----


def _lay_out(tree, files):
    """Writes FILES ({path: content}) under the folder TREE: bytes, another file's Path, or the size of a hole."""
    tree.mkdir()
    for path, content in files.items():
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, target)
        elif isinstance(content, int):
            with open(target, "wb") as f:
                f.truncate(content)
        else:
            target.write_bytes(content)


def fat(folder, files, size, ident):
    """A FAT filesystem with FILES in it, as bytes. IDENT is its UUID: 1234-ABCD."""
    tree, image = folder / "fat.tree", folder / "fat.img"
    _lay_out(tree, files)
    image.write_bytes(bytes(size))
    run("mkfs.vfat", "-i", ident.replace("-", ""), image)
    run("mcopy", "-s", "-i", image, *sorted(tree.iterdir()), "::")
    shutil.rmtree(tree)
    return image.read_bytes()


def ext4(folder, files, size, ident, name="ext4"):
    """An ext4 filesystem with FILES in it, as bytes. No journal: GRUB would not replay it."""
    tree, image = folder / f"{name}.tree", folder / f"{name}.img"
    _lay_out(tree, files)
    image.unlink(missing_ok=True)
    with open(image, "wb") as f:
        f.truncate(size)
    run("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-U", ident, "-d", tree, image)
    data = image.read_bytes()
    shutil.rmtree(tree)
    image.unlink()
    return data


def partitioned(path, label, parts, label_id=None):
    """Writes a disk. PARTS: (type, bytes, options for sfdisk). Returns the offset of each part in bytes."""
    at, table, offsets = CORE_AT * SECTOR, [f"label: {label}", "unit: sectors"], []
    if label_id:
        table.append(f"label-id: {label_id}")
    for kind, data, options in parts:
        size = -(-len(data) // MIB) * MIB
        kind = GPT_TYPES[kind] if label == "gpt" else {"swap": "82", "linux": "83"}[kind]
        table.append(f"start={at // SECTOR}, size={size // SECTOR}, type={kind}" + (f", {options}" if options else ""))
        offsets.append(at)
        at += size
    with open(path, "wb") as f:
        f.truncate(at + MIB)
    run("sfdisk", "-q", "--no-reread", path, input="\n".join(table).encode())
    with open(path, "r+b") as f:
        for offset, (_, data, _) in zip(offsets, parts, strict=True):
            f.seek(offset)
            f.write(data)
    return offsets


def make_core(folder, modules=CORE_MODULES, prefix="(hd0,gpt2)/boot/grub"):
    """The core image, as grub-install makes it."""
    core = folder / "core.img"
    run("grub-mkimage", "-d", GRUB_LIB / PLATFORM, "-O", PLATFORM, "-p", prefix, "-o", core, *modules)
    return core.read_bytes()


@functools.cache
def _usual_core():
    with tempfile.TemporaryDirectory() as folder:
        return make_core(Path(folder))


def install_boot_sector(path, core):
    """Makes the disk start the core in its first partition, as grub-bios-setup does."""
    boot = bytearray((GRUB_LIB / PLATFORM / "boot.img").read_bytes())
    struct.pack_into("<Q", boot, 0x5C, CORE_AT)
    boot[0x66:0x68] = b"\x90\x90"
    core = bytearray(core)
    struct.pack_into("<Q", core, 0x1F4, CORE_AT + 1)
    assert len(core) <= MIB
    with open(path, "r+b") as f:
        f.write(boot[:440])
        f.seek(CORE_AT * SECTOR)
        f.write(core)


def grub_files(module=None, platform=PLATFORM):
    """What grub-install puts into /boot/grub, and the module."""
    folder = GRUB_LIB / platform
    files = {f"/boot/grub/{platform}/{p.name}": p
             for pattern in ("*.mod", "*.lst", "modinfo.sh") for p in sorted(folder.glob(pattern))}
    if module:
        files[f"/boot/grub/{platform}/hibresume.mod"] = module
    return files


class Disk:
    """A disk that boots: GPT with a BIOS boot partition, an ext4 filesystem with GRUB, and what a test adds."""

    def __init__(self, folder, files, parts=(), fs_size=24 * MIB):
        self.path = folder / "disk.img"
        boot = ext4(folder, files, fs_size, BOOT_UUID)
        core = _usual_core()
        self.offsets = partitioned(self.path, "gpt", [("bios", bytes(MIB), None), ("linux", boot, None), *parts],
                                   "0FC63DAF-0000-4000-8000-00000000D15C")
        install_boot_sector(self.path, core)

    def content(self):
        return self.path.read_bytes()


class EfiDisk:
    """A disk that boots on UEFI: everything on a FAT filesystem, the EFI system partition."""

    PLATFORM = "x86_64-efi"
    UUID = "1234-ABCD"

    def __init__(self, folder, config, files, parts=(), module=None):
        self.path = folder / "disk.img"
        core = folder / "core.efi"
        run("grub-mkimage", "-d", GRUB_LIB / self.PLATFORM, "-O", self.PLATFORM, "-p", "(hd0,gpt1)/boot/grub", "-o",
            core, "part_gpt", "fat", "normal", "configfile")
        files = {"/EFI/BOOT/BOOTX64.EFI": core, "/boot/grub/grub.cfg": config.encode()} | files
        files |= grub_files(module or module_under_test(folder, self.PLATFORM), self.PLATFORM)
        self.offsets = partitioned(self.path, "gpt", [("esp", fat(folder, files, 32 * MIB, self.UUID), None), *parts])

    def content(self):
        return self.path.read_bytes()


def file_in_ext4(disk, path, offset):
    """The bytes of a file in the filesystem at OFFSET of a disk, as debugfs reads them."""
    return run("debugfs", "-R", f"cat {path}", f"{disk}?offset={offset}")


# ---- running ----

_ESCAPES = re.compile(rb"\x1b\[[0-9;?=]*[A-Za-z]|\r")


# Virtual time goes by with the instructions, so GRUB's countdowns take no time of ours. Not for who wants to type.
FAST_CLOCK = ("-icount", "shift=8,sleep=off")


class Boot:
    """QEMU with disks. Reads the serial line until GRUB halts, the kernel ends, or a text appears; can type."""

    def __init__(self, disks, read_only=False, extra=(), address="file={}"):
        argv = ["qemu-system-x86_64", "-M", "q35", "-m", "128", "-accel", "tcg", "-nodefaults", "-display", "none",
                "-serial", "stdio", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", *extra]
        for i, disk in enumerate(disks):
            # AHCI, because SeaBIOS sleeps over each request to virtio, up to 55 ms; but it cannot be read-only.
            device = f"virtio-blk-pci,drive=d{i}" if read_only else f"ide-hd,drive=d{i},bus=ide.{i}"
            mode = "on" if read_only else "off"
            argv += ["-drive", f"if=none,id=d{i},format=raw,cache=unsafe,readonly={mode},{address.format(disk)}",
                     "-device", device]
        self.process = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.raw = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    @property
    def text(self):
        return _ESCAPES.sub(b"", self.raw).decode(errors="replace")

    def _read(self, deadline, what):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
            raise TimeoutError(f"{what} did not come; the serial line said:\n{self.text}")
        chunk = os.read(self.process.stdout.fileno(), 65536)
        self.raw += chunk
        return bool(chunk)

    def wait_for(self, text, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while text not in self.text:
            if not self._read(deadline, repr(text)):
                raise EOFError(f"{text!r} did not come before the end; the serial line said:\n{self.text}")

    def wait_for_more(self, patience=PATIENCE):
        if not self._read(time.monotonic() + patience, "more"):
            raise EOFError(f"it ended; the serial line said:\n{self.text}")

    def wait_end(self, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while self._read(deadline, "the end"):
            pass
        self.process.wait()
        return self.text

    def type(self, keys):
        self.process.stdin.write(keys)
        self.process.stdin.flush()


def boot(*disks):
    """Boots, and returns what the serial line said until the machine went off."""
    with Boot(disks, extra=FAST_CLOCK) as machine:
        return machine.wait_end()


class Ovmf:
    """UEFI firmware with variables of its own, which are kept from one boot to the next."""

    FILES = Path("/usr/share/OVMF")

    def __init__(self, folder):
        self.path = folder / "vars.fd"
        shutil.copy(self.FILES / "OVMF_VARS_4M.fd", self.path)

    @property
    def nvram(self):
        return nvram.Nvram(self.path)

    def boot(self, *disks, **options):
        drives = [f"if=pflash,format=raw,readonly=on,file={self.FILES}/OVMF_CODE_4M.fd",
                  f"if=pflash,format=raw,file={self.path}"]
        extra = [word for drive in drives for word in ("-drive", drive)]
        with Boot(disks, extra=[*FAST_CLOCK, *extra], **options) as machine:
            return machine.wait_end()


def boot_read_only(disk):
    """The same with a disk that refuses every write."""
    with Boot([disk], read_only=True, extra=FAST_CLOCK) as machine:
        return machine.wait_end()


def boot_deceived(disk, socket):
    """The same with a disk that takes every write and keeps none. Returns the writes, too: (offset, length)."""
    with nbd.ForgetfulServer(disk, socket) as server:
        with Boot([socket], address="file.driver=nbd,file.path={}") as machine:
            return machine.wait_end(), server.writes
