# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""How mark without arguments finds the image's place, the kernel and its ramdisk, and what it refuses."""

import re
import shutil
from uuid import uuid4

import pytest

from . import envblock, rig
from .quick import few
from .rig import RELEASE, VERSION, Filesystem, Swap, kernel_file, run


def marked(machine, *args):
    """The fields of the mark that GRUB reads after mark has succeeded."""
    said = machine("--json", "mark", *args).done().json()
    fields = envblock.parse(envblock.slot(machine.grub_reads()))
    for field in envblock.FIELDS:
        assert fields[field] == (str(said[field]) or "-"), field
    return fields


@pytest.fixture
def refused(machine):
    """Calls mark, which must refuse; nothing may change."""
    before = machine.grub_reads()

    def call(*args, words=(), status=3):
        result = machine("mark", *args).says_no(status, *words)
        assert machine.grub_reads() == before
        return result

    call.machine = machine
    return call


# ---- the place of the image ----


def test_resume_device(machine):
    fields = marked(machine)
    assert (fields["image"], fields["offset"], fields["page_size"]) == (f"UUID={machine.swap.uuid}", "0", "4096")
    assert fields["verify"] == "header"


def test_resume_device_comes_before_active_swaps(machine, scratch):
    other = Swap(scratch, "other")
    machine.active_swaps((other.device, "partition"))
    assert marked(machine)["image"] == f"UUID={machine.swap.uuid}"


def test_active_partition(machine):
    machine.resume_from(None, offset=7)  # of no device
    machine.active_swaps((machine.swap.device, "partition"))
    told = marked(machine)
    assert told["image"] == f"UUID={machine.swap.uuid}" and told["offset"] == "0"


def test_no_power_folder_at_all(machine):
    """A kernel without hibernation."""
    shutil.rmtree(machine.root / "sys/power")
    machine.active_swaps((machine.swap.device, "partition"))
    assert marked(machine)["image"] == f"UUID={machine.swap.uuid}"


def test_zram_does_not_count(machine):
    machine.resume_from(None)
    machine.active_swaps(("/dev/zram0", "partition"), (machine.swap.device, "partition"), ("/dev/zram1", "partition"))
    assert marked(machine)["image"] == f"UUID={machine.swap.uuid}"


def test_only_zram(refused):
    refused.machine.resume_from(None)
    refused.machine.active_swaps(("/dev/zram0", "partition"))
    refused(words=["swap", "swapon", "--image"])


def test_no_swap(refused):
    refused.machine.resume_from(None)
    refused(words=["swap", "swapon", "--image"])


def test_two_swaps(refused, scratch):
    refused.machine.resume_from(None)
    other = Swap(scratch, "other")
    refused.machine.active_swaps((refused.machine.swap.device, "partition"), (other.device, "partition"))
    refused(words=["2 swap areas", "resume=", "--image"])


def test_swaps_cannot_be_read(refused):
    refused.machine.resume_from(None)
    (refused.machine.root / "proc/swaps").unlink()
    refused(words=["/proc/swaps", "mount /proc"], status=1)


@pytest.mark.parametrize("text", ["", "garbage", "8", "8:", ":1", "-1:-1", "0:0"])
def test_garbage_as_resume_device_counts_as_none(refused, text):
    refused.machine.write("sys/power/resume", text)
    refused(words=["swap"])


def test_resume_device_that_is_not_there(refused):
    refused.machine.write("sys/power/resume", "259:999\n")
    refused(words=["259:999", "resume="])


def test_resume_device_that_is_no_swap_area(refused, scratch):
    empty = scratch.loop(scratch.image("empty", rig.MIB))
    refused.machine.resume_from(empty)
    refused(words=[empty, "mkswap"])


def test_resume_offset_outside_the_device(refused):
    refused.machine.resume_from(refused.machine.swap.device, offset=1 << 40)
    refused(words=[refused.machine.swap.device])


def test_area_that_is_too_small_to_hold_anything(refused, scratch):
    tiny = scratch.loop(scratch.image("tiny", 2048))
    refused.machine.resume_from(tiny)
    refused(words=[tiny])


def test_small_area(machine, scratch):
    """Smaller than the largest page size."""
    small = Swap(scratch, "small", size=40960)
    machine.resume_from(small.device)
    assert marked(machine)["image"] == f"UUID={small.uuid}"


def test_image_is_there_already(machine):
    """Marking after the image was written, as a save kernel does."""
    machine.swap.put_image()
    assert marked(machine, f"--image={machine.swap.device}")["image"] == f"UUID={machine.swap.uuid}"
    assert machine.status()["verdict"] == "resume"


def test_image_of_an_earlier_hibernation(refused):
    """Before a hibernation there must be none: the mark would be for a session that is lost, or still to be had."""
    refused.machine.swap.put_image()
    refused(words=[refused.machine.swap.device, "cancel --discard-image", "--image"])


@pytest.mark.parametrize("signature", [b"ULSUSPEND\0", b"LINHIB0001"])
def test_image_of_another_kind(refused, signature):
    refused.machine.swap.put_image(signature)
    refused(words=[refused.machine.swap.device, "another kind"])


def test_tuxonice(refused):
    refused.machine.swap.write(0, bytes.fromhex("edc302e99856e50c"))
    refused(words=[refused.machine.swap.device])


@pytest.mark.parametrize("page", [4096, 16384, 65536])
def test_page_sizes(machine, scratch, page):
    swap = Swap(scratch, f"pages{page}")
    run("mkswap", "-q", "-p", page, "-U", swap.uuid, swap.device)
    machine.resume_from(swap.device)
    assert marked(machine)["page_size"] == str(page)


# ---- swap files ----


def make_swap_file(machine, how, name="swapfile"):
    path = machine.root / name
    if how == "written":
        path.write_bytes(bytes(rig.MIB))
    else:
        run("fallocate", "-l", rig.MIB, path)
    path.chmod(0o600)
    run("mkswap", "-q", path)
    run("sync", "--file-system", path)
    return path


def offset_by_filefrag(path):
    """In pages, as users are told to find resume_offset."""
    table = run("filefrag", "-v", "-b4096", path).stdout.decode()
    return re.search(r"^ +0: +0\.\. +\d+: +(\d+)\.\.", table, re.MULTILINE).group(1)


@pytest.mark.parametrize("how", ["written", "allocated"])
@pytest.mark.parametrize("kind", few(("ext4-4k",), ("ext4-4k", "xfs")))
def test_swap_file(make, kind, how):
    machine = make(kind)
    machine("setup").done()
    path = make_swap_file(machine, how)
    machine.resume_from(None)
    machine.active_swaps((path, "file"))
    fields = marked(machine)
    assert fields["image"] == f"UUID={machine.fs.uuid}" and fields["offset"] == offset_by_filefrag(path)

    # What the mark says is where the header is: an image there is found.
    end = int(fields["offset"]) * 4096 + 4086
    assert machine.fs.image.read_bytes()[end : end + 10] == b"SWAPSPACE2"
    rig.write_raw(machine.fs, end - 10, b"SWAPSPACE2S1SUSPEND\0")
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("resume", "ready")


def test_swap_file_with_an_odd_name(make):
    """/proc/swaps writes spaces and such as octal numbers."""
    machine = make("ext4-4k")
    machine("setup").done()
    path = make_swap_file(machine, "written", "swap file\twith\\odd name")
    machine.resume_from(None)
    escaped = str(path).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    machine.active_swaps((escaped, "file"))
    assert marked(machine)["offset"] == offset_by_filefrag(path)


def test_swap_file_by_name(make):
    machine = make("ext4-4k")
    machine("setup").done()
    path = make_swap_file(machine, "written")
    assert marked(machine, f"--image={path}")["offset"] == offset_by_filefrag(path)
    machine("mark", f"--image={path}", f"--offset={offset_by_filefrag(path)}").done()
    machine("mark", f"--image={path}", "--offset=5").says_no(64, "--offset=5")


@pytest.mark.parametrize("offset", ["x", "-1", "17592186044416", "4503599627370496"])
def test_offsets_that_are_none(machine, offset):
    """2^44 is what a mark can hold; 2^52 pages would come round to the beginning."""
    machine("mark", f"--image={machine.swap.device}", f"--offset={offset}").says_no(64, offset)


def test_swap_file_by_device_and_offset(make):
    machine = make("ext4-4k")
    machine("setup").done()
    offset = offset_by_filefrag(make_swap_file(machine, "written"))
    assert marked(machine, f"--image={machine.fs.device}", f"--offset={offset}")["offset"] == offset
    machine.resume_from(machine.fs.device, offset)
    assert marked(machine)["offset"] == offset
    machine("cancel").done()
    before = machine.grub_reads()
    machine("mark", f"--image={machine.fs.device}", f"--offset={int(offset) + 1}").says_no(3, machine.fs.device)
    machine("mark", f"--image={machine.fs.device}").says_no(3, machine.fs.device)
    assert machine.grub_reads() == before


def test_swap_file_with_a_hole(make):
    machine = make("ext4-4k")
    machine("setup").done()
    path = machine.root / "sparse"
    with path.open("xb") as file:
        file.truncate(rig.MIB)
    machine("mark", f"--image={path}").says_no(3, path)
    empty = machine.root / "empty"
    empty.touch()
    machine("mark", f"--image={empty}").says_no(3, empty)


def test_swap_file_on_btrfs(machine, scratch):
    """Its extents are of a space of their own, not of the device."""
    other = Filesystem(scratch, "btrfs", "other")
    folder = scratch.folder("other-mounted")
    scratch.mount(other.device, folder)
    path = folder / "swapfile"
    path.touch()
    run("chattr", "+C", path)
    path.write_bytes(bytes(rig.MIB))
    run("mkswap", "-q", path)
    before = machine.grub_reads()
    machine("mark", f"--image={path}").says_no(3, path, "--offset")
    assert machine.grub_reads() == before


# ---- naming an area ----


@pytest.mark.parametrize("form", ["{device}", "UUID={uuid}"])
def test_image_option(machine, scratch, form):
    other = Swap(scratch, "other")
    wish = form.format(device=other.device, uuid=other.uuid)
    assert marked(machine, f"--image={wish}")["image"] == f"UUID={other.uuid}"


@pytest.mark.parametrize("wish", ["/nonexistent", "UUID=no-such-uuid", "/dev/null", "/", "", "nonsense", "LABEL=", "UUID="])
def test_image_option_that_names_nothing(refused, scratch, wish):
    run("mkswap", "-q", "-U", "clear", Swap(scratch, "nameless").device)  # no UUID is not the same as an empty one
    refused(f"--image={wish}", words=[wish])


def test_swap_without_a_uuid(refused, scratch):
    swap = Swap(scratch, "nameless")
    run("mkswap", "-q", "-U", "clear", swap.device)
    refused(f"--image={swap.device}", words=[swap.device, "UUID", "swaplabel"])


@pytest.fixture
def partition(scratch):
    """A partition that is no swap area yet: its node and its UUID in the partition table."""
    image = scratch.image("disk", 4 * rig.MIB)
    run("sfdisk", "-q", image, input=b"label: gpt\nstart=2048, size=2048, type=swap\n")
    disk = scratch.loop(image)
    run("addpart", disk, 1, 2048, 2048)  # by hand: not every kernel looks for partitions on a loop device
    scratch.undo.callback(run, "delpart", disk, 1, check=False)
    node = f"{disk}p1"
    return node, run("blkid", "-p", "-o", "value", "-s", "PART_ENTRY_UUID", node).stdout.decode().strip()


@pytest.mark.parametrize("options", [[], ["--initrd=none"]], ids=["ramdisk", "no ramdisk"])
def test_partition_instead_of_a_uuid(machine, partition, options):
    """Without a UUID of its own the partition's is taken."""
    node, uuid = partition
    run("mkswap", "-q", "-U", "clear", node)
    assert marked(machine, f"--image={node}", *options)["image"] == f"PARTUUID={uuid}"
    rig.write_device(node, 4076, b"SWAPSPACE2S1SUSPEND\0")
    assert machine.status()["verdict"] == "resume"


def test_partition_of_a_kernel_without_a_ramdisk(machine, partition):
    """That kernel looks for resume= by itself, and knows the UUIDs of partitions only; a ramdisk knows the area's own."""
    node, uuid = partition
    own = str(uuid4())
    run("mkswap", "-q", "-U", own, node)
    assert marked(machine, f"--image={node}", "--initrd=none")["image"] == f"PARTUUID={uuid}"
    assert machine.env()["mark"]["image_device"] == node
    assert marked(machine, f"--image=PARTUUID={uuid}")["image"] == f"UUID={own}"
    assert marked(machine, f"--image={node}", f"--initrd={machine.initrd}")["image"] == f"UUID={own}"


def test_two_devices_with_one_uuid(machine, scratch):
    """GRUB would not know which one: no automatic resume from a copy of a disk."""
    twin = scratch.image("twin", rig.MIB)
    run("mkswap", "-q", "-U", machine.swap.uuid, twin)
    device = scratch.loop(twin)
    machine.resume_from(machine.swap.device)
    before = machine.grub_reads()
    machine("mark").says_no(3, machine.swap.uuid)
    assert machine.grub_reads() == before
    scratch.detach(device)
    machine("mark").done()
    machine.swap.put_image()
    assert machine.status()["verdict"] == "resume"
    scratch.loop(twin)
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("normal", "no-device"), "what the boot loader says too"


def test_copy_of_a_swap_area_with_an_image(machine, scratch):
    """It looks like another thing than an empty one, and has the same name all the same."""
    twin = Swap(scratch, "twin")
    run("swaplabel", "-U", machine.swap.uuid, twin.image)
    twin.put_image()
    machine("mark").says_no(3, machine.swap.uuid)


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4", "ext4-4k", "xfs"])
def test_two_filesystems_with_one_uuid(make, scratch, kind):
    """GRUB would not know which of them has the kernel."""
    machine = make(kind=kind)
    machine("setup").done()
    machine("mark").done()
    before, twin = machine.grub_reads(), scratch.path / "twin"
    shutil.copyfile(machine.fs.image, twin)
    device = scratch.loop(twin)
    machine("mark").says_no(3, machine.fs.uuid)
    assert machine.grub_reads() == before
    scratch.detach(device)
    machine("mark").done()


def test_area_on_the_filesystem_of_the_kernel(make):
    """Both are looked for by one name, and that is still one device."""
    machine = make("ext4-4k")
    machine("setup").done()
    path = make_swap_file(machine, "written")
    machine.grub_looks_at(f"UUID={machine.fs.uuid}", offset_by_filefrag(path))
    (machine.grub / "i386-pc").mkdir()
    (machine.grub / "i386-pc/hibresume.mod").write_bytes(b"\x7fELF a module")
    bits = machine("--json", "mark", f"--image={path}").done().json()["considered"][1]
    assert bits["store"] == "bootbits" and "in use" in bits["why"]


# ---- kernel and ramdisk ----


def test_kernel_and_ramdisk(machine):
    fields = marked(machine)
    assert fields["kernel"] == f"/boot/vmlinuz-{RELEASE}" and fields["initrd"] == f"/boot/initrd.img-{RELEASE}"
    assert fields["release"] == RELEASE and fields["filesystem"] == machine.fs.uuid


@pytest.mark.parametrize("kernel", ["vmlinux-{}", "kernel-{}", "Image-{}"])
def test_other_names_of_kernels(machine, kernel):
    name = kernel.format(RELEASE)
    machine.kernel.rename(machine.kernel.with_name(name))
    assert marked(machine)["kernel"] == f"/boot/{name}"


@pytest.mark.parametrize("initrd", ["initramfs-{}.img", "initrd-{}", "initrd-{}.img"])
def test_other_names_of_ramdisks(machine, initrd):
    name = initrd.format(RELEASE)
    machine.initrd.rename(machine.initrd.with_name(name))
    assert marked(machine)["initrd"] == f"/boot/{name}"


def test_no_ramdisk_wanted(machine):
    machine.initrd.unlink()
    assert marked(machine, "--initrd=none")["initrd"] == "-"
    machine.swap.put_image()
    assert machine.status()["verdict"] == "resume"


def test_kernel_is_gone(refused):
    refused.machine.kernel.unlink()
    refused(words=[RELEASE, "gone", "install"])


def test_ramdisk_is_gone(refused):
    refused.machine.initrd.unlink()
    refused(words=[RELEASE, "ramdisk", "--initrd=none"])


@pytest.mark.parametrize("release,version", [
    (RELEASE, VERSION + "x"), (RELEASE, VERSION[:-1]), (RELEASE + "x", VERSION), (RELEASE[:-1], VERSION),
    ("6.1.0-99-amd64", "#1 SMP Debian 6.1.999-1"), (RELEASE, ""),
])
def test_kernel_of_another_build(refused, release, version):
    """The package was upgraded in place under the same name."""
    refused.machine.kernel.write_bytes(kernel_file(release, version))
    refused(words=[refused.machine.kernel, "another build"])


def test_builder_with_odd_words(machine):
    """The text has more parentheses: "RELEASE (user@host) (gcc (Debian) 12) VERSION" does not exist, but hosts vary."""
    text = f"{RELEASE} (debian-kernel@lists.debian.org) {VERSION}\0".encode()
    data = bytearray(kernel_file())
    data[0x3200 : 0x3200 + len(text)] = text
    machine.kernel.write_bytes(data)
    marked(machine)


def test_kernel_file_that_is_no_bzimage_is_not_compared(machine):
    """Other architectures: nothing is known of the build."""
    machine.kernel.write_bytes(b"\x7fELF something")
    marked(machine)


def test_kernel_file_that_cannot_be_read(refused):
    """GRUB could not read it, either. Of a process's own memory the kernel cannot read the beginning."""
    refused("--kernel=/proc/self/mem", words=["/proc/self/mem", "cannot be read: Input/output error"])


@pytest.mark.parametrize("size", [0, 0x202, 0x210, 0x300])
def test_kernel_file_that_is_cut_off(machine, size):
    """Half a kernel cannot resume; but this tool proves only the build. It must not crash."""
    machine.kernel.write_bytes(kernel_file()[:size])
    assert machine("mark").status in (0, 3)


def test_kernel_option(machine):
    other = machine.kernel.with_name("my-kernel")
    machine.kernel.rename(other)
    assert marked(machine, f"--kernel={other}")["kernel"] == "/boot/my-kernel"


@pytest.mark.parametrize("option", ["--kernel", "--initrd"])
@pytest.mark.parametrize("wish", ["/nonexistent", "", "/dev/null", "/"])
def test_options_that_name_no_file(refused, option, wish):
    refused(f"{option}={wish}", words=[wish])


def test_kernel_on_another_filesystem_than_the_ramdisk(refused, scratch):
    other = Filesystem(scratch, "ext4", "other")
    folder = scratch.folder("other-mounted")
    scratch.mount(other.device, folder)
    initrd = folder / "initrd"
    initrd.write_bytes(b"ramdisk")
    refused(f"--initrd={initrd}", words=[refused.machine.kernel, initrd, "one"])


def test_kernel_on_another_filesystem_than_the_block(machine, scratch):
    """That is fine: the mark names the kernel's filesystem."""
    other = Filesystem(scratch, "ext4", "other")
    folder = scratch.folder("other-mounted")
    scratch.mount(other.device, folder)
    for file in (machine.kernel, machine.initrd):
        shutil.copy(file, folder)
    fields = marked(machine, f"--kernel={folder / machine.kernel.name}", f"--initrd={folder / machine.initrd.name}")
    assert fields["filesystem"] == other.uuid and fields["kernel"] == f"/{machine.kernel.name}"
    machine.swap.put_image()
    assert machine.status()["verdict"] == "resume"


def test_kernel_through_a_symbolic_link(machine):
    """GRUB is given the file itself: what the link says when the machine wakes does not matter."""
    link = machine.root / "vmlinuz"
    link.symlink_to(f"boot/{machine.kernel.name}")
    assert marked(machine, f"--kernel={link}")["kernel"] == f"/boot/{machine.kernel.name}"


def test_kernel_through_a_bind_mount(machine, scratch):
    """The path is the one on the filesystem, not the one here."""
    folder = scratch.folder("bound")
    scratch.mount(machine.root / "boot", folder, "--bind")
    fields = marked(machine, f"--kernel={folder / machine.kernel.name}", f"--initrd={folder / machine.initrd.name}")
    assert fields["kernel"] == f"/boot/{machine.kernel.name}"


def test_kernel_in_memory(refused, scratch):
    path = scratch.path / "kernel"
    path.write_bytes(kernel_file())
    refused(f"--kernel={path}", words=[path, "block device"])


@pytest.mark.parametrize("name", ["with space", "dollar$x", "quote'", 'quote"', "back\\slash", "new\nline", "grün", "a;b",
                                  "{x}", "tab\t", "#hash", "per%cent"])
def test_paths_that_a_mark_cannot_hold(refused, name):
    path = refused.machine.root / "boot" / name
    path.write_bytes(kernel_file())
    result = refused.machine("mark", f"--kernel={path}")
    assert result.status == 3 and "character" in result.err, result
    assert envblock.state(refused.machine.grub_reads()) == "none"


@pytest.mark.parametrize("length", [190, 199, 200, 201, 220])
def test_longest_path(machine, length):
    folder = machine.root / "boot" / ("d" * 90)
    folder.mkdir()
    name = folder / ("k" * (length - len("/boot/") - 90 - 1))
    name.write_bytes(kernel_file())
    grub_path = f"/{name.relative_to(machine.root)}"
    assert len(grub_path) == length
    # How much else must fit beside it: see the line's form.
    if length <= 200 and len(envblock.Mark(kernel=grub_path, initrd="-", release=RELEASE, image="UUID=" + "u" * 36,
                                           ).text().split(b"header")[1]) > 9:
        assert marked(machine, f"--kernel={name}", "--initrd=none")["kernel"] == grub_path
    else:
        machine("mark", f"--kernel={name}", "--initrd=none").says_no(3, grub_path[:50])


def test_both_paths_long(refused):
    folder = refused.machine.root / "boot" / ("d" * 80)
    folder.mkdir()
    kernel, initrd = folder / ("k" * 30), folder / ("i" * 30)
    kernel.write_bytes(kernel_file())
    initrd.write_bytes(b"x")
    refused(f"--kernel={kernel}", f"--initrd={initrd}", words=["too long", "shorter"])


def test_status_when_the_kernel_goes_after_the_mark(machine):
    machine("mark").done()
    machine.swap.put_image()
    machine.initrd.unlink()
    assert machine.status()["reason"] == "initrd-gone"
    machine.kernel.unlink()
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("normal", "kernel-gone")


def test_status_looks_where_grub_looks(machine, scratch):
    """An image that nobody marked, on the device that grub.cfg names: the running kernel's may be another one."""
    other = Swap(scratch, "other")
    other.put_image()
    assert machine.status()["reason"] == "nothing"
    machine.grub_looks_at(f"UUID={other.uuid}")
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("offer", "unmarked")
    assert told["configured"]["image_device"] == other.device
    machine.grub_looks_at(None)
    told = machine.status()
    assert (told["verdict"], told["configured"]) == ("normal", None)


def test_status_looks_at_grubs_offset(machine, scratch):
    big = Swap(scratch, "big", 1 << 20)
    big.write(5 * 4096 + 4076, b"SWAPSPACE2" + b"S1SUSPEND\0")
    machine.grub_looks_at(f"UUID={big.uuid}", 5)
    assert machine.status()["reason"] == "unmarked"
    machine.grub_looks_at(f"UUID={big.uuid}", 6)
    assert machine.status()["reason"] == "nothing"


def test_status_of_an_unmarked_image_without_its_kernel(machine):
    """The kernel is the one that grub.cfg names."""
    machine.swap.put_image()
    assert machine.status()["reason"] == "unmarked"
    machine.initrd.unlink()
    assert machine.status()["reason"] == "initrd-gone"
    machine.kernel.unlink()
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("normal", "kernel-gone")


def test_status_of_an_unmarked_image_where_grub_knows_no_kernel(machine):
    """The line names a device, for a mark in its boot bits; but there is nothing to start for an image without one."""
    machine.swap.put_image()
    machine.write_grub_cfg(f"hibresume probe --device 'UUID={machine.swap.uuid}' --offset 0 --page-size 4096\n")
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("normal", "nothing")
    machine.swap.write(0, b"# GRUB Environment Block\nhib_mark=short\n".ljust(1024, b"#"))
    assert machine.status()["stores"]["bootbits"]["status"] == "damaged"


def test_discard_without_a_mark(machine, scratch):
    """What grub.cfg names; if it names nothing, what the running kernel would resume from."""
    other = Swap(scratch, "other")
    other.put_image()
    machine.swap.put_image()
    machine.grub_looks_at(f"UUID={other.uuid}")
    machine("cancel", "--discard-image").done()
    assert b"S1SUSPEND" not in other.read(0, 4096) and b"S1SUSPEND" in machine.swap.read(0, 4096)
    machine.grub_looks_at(None)
    machine("cancel", "--discard-image").done()
    assert b"S1SUSPEND" not in machine.swap.read(0, 4096)


def test_status_when_grub_does_not_ask(machine):
    machine("mark").done()
    machine.swap.put_image()
    machine.write_grub_cfg("linux /vmlinuz\n")
    told = machine.status()
    assert told["verdict"] == "normal" and told["grub_asks"] is False and "hibctl setup" in told["words"]


def test_status_when_grub_cfg_cannot_be_read(machine):
    """Whether GRUB asks cannot be told then."""
    machine("mark").done()
    machine.swap.put_image()
    (machine.grub / "grub.cfg").unlink()
    (machine.grub / "grub.cfg").mkdir()
    told = machine.status()
    assert told["verdict"] == "unknown" and "cannot be told" in told["words"]


def test_status_when_the_device_goes(machine):
    machine("mark", f"--image={machine.swap.device}").done()
    machine.resume_from(None)
    machine.scratch.detach(machine.swap.device)
    told = machine.status()
    assert (told["verdict"], told["reason"]) == ("normal", "no-device")
    machine("settle").nothing()
    assert envblock.state(machine.grub_reads()) == "armed", "the device may be there again at the next power-on"


# ---- the clock ----


@pytest.mark.parametrize("zone,offset", [("UTC0", "+00:00"), ("XYZ-05:30", "+05:30"),
                                         ("XYZ+09:30", "-09:30"), ("XYZ-14", "+14:00")])
def test_time_zones(machine, zone, offset):
    machine("mark", env={"TZ": zone}).done()
    time = envblock.parse(envblock.slot(machine.grub_reads()))["time"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d" + re.escape(offset), time)
