# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What mkinitramfs and dracut put into an initramfs, looked at without booting it."""

import os
import shutil
import stat

import pytest

from cli import rig as cli

from .conftest import DRIVERS

MAKERS = ("initramfs-tools", "dracut")
SHARED = ("usr/sbin/hibctl", "usr/lib/hibctl/load", "usr/lib/hibctl/save", "etc/hibctl/initramfs.conf",
          "etc/hibctl/setup.d/10-first", "etc/hibctl/setup.d/20-second", "etc/hibctl/save-image", "etc/hibctl/go-back")
ALWAYS = {"efivarfs"}  # where the kernel has it as a module, as this one
# What modprobe loads for the named ones.
NEEDED = ALWAYS | {"virtio", "virtio_ring", "virtio_pci", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_blk",
          "dm_mod", "dm_crypt"}


@pytest.fixture(params=MAKERS)
def maker(request):
    return request.param


@pytest.fixture(params=["load", "save"])
def initramfs(request, maker, images):
    return images(maker, request.param)


def test_the_tool_finds_its_libraries(initramfs):
    done = initramfs.run("/usr/sbin/hibctl", "--version")
    assert done.returncode == 0 and done.stdout.startswith(b"hibctl "), done


def test_hooks_run_in_order(initramfs):
    ran = initramfs.tree / "run/hooks"
    ran.unlink(missing_ok=True)
    shutil.rmtree(initramfs.tree / "run/hibctl", ignore_errors=True)
    device = initramfs.tree / "dev/disk-for-test"
    device.parent.mkdir(exist_ok=True)
    os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(7, 0))
    try:
        done = initramfs.run("/usr/sbin/hibctl", "locate", "/dev/disk-for-test")
    finally:
        device.unlink()
    assert done.returncode == 0, done
    assert ran.read_text() == "first\nsecond\n"
    assert not initramfs.has("etc/hibctl/setup.d/30-backup~")


def test_named_programs_run(initramfs):
    done = initramfs.run("/usr/sbin/blockdev", "--version")
    assert done.returncode == 0, done


def test_named_drivers_can_be_loaded(stage, initramfs):
    for name in DRIVERS:
        done = initramfs.run("/sbin/modprobe", f"--set-version={stage.release}", "--show-depends", name)
        assert done.returncode == 0 and b"insmod" in done.stdout, done


def test_efivarfs_comes_along_by_itself(stage, initramfs):
    """Nobody has named it."""
    assert "efivarfs" not in DRIVERS
    assert "efivarfs" in initramfs.drivers()
    done = initramfs.run("/sbin/modprobe", f"--set-version={stage.release}", "--show-depends", "efivarfs")
    assert done.returncode == 0 and b"efivarfs.ko" in done.stdout, done


def test_both_kernels_have_the_same(maker, images):
    load, save = images(maker, "load"), images(maker, "save")
    for path in SHARED:
        assert load.read(path) == save.read(path), path
        assert (load.tree / path).stat().st_mode == (save.tree / path).stat().st_mode, path


def test_a_save_kernel_has_only_the_named_drivers(maker, images):
    """The load kernel has what it always has: also what another package put in."""
    assert "nbd" in images(maker, "load").drivers()
    assert images(maker, "save").drivers() == NEEDED


def test_hibctl_comes_before_the_script_of_initramfs_tools(images):
    order = images("initramfs-tools", "load").read("scripts/local-premount/ORDER").decode()
    assert 0 <= order.index("/scripts/local-premount/hibctl") < order.index("/scripts/local-premount/resume")


def test_hibctl_comes_before_the_module_of_dracut(images):
    hooks = images("dracut", "load").tree / "usr/lib/dracut/hooks"
    names = sorted(path.name for path in (hooks / "cmdline").iterdir())
    assert names.index("05-instead-of-resume.sh") < names.index("10-parse-resume.sh")
    assert (hooks / "pre-mount/05-resume-in-hook.sh").is_file()


@pytest.mark.slow
def test_hibctl_comes_before_systemd_in_dracut(images):
    units = images("dracut", "systemd").tree / "usr/lib/systemd/system"
    assert (units / "initrd.target.wants/hibctl-resume.service").is_symlink()
    assert (units / "hibctl-resume.service").is_file()
    assert (units / "systemd-hibernate-resume@.service").is_file()
    assert "After=hibctl-resume.service" in (units / "systemd-hibernate-resume@.service.d/hibctl.conf").read_text()
    assert not (units.parents[1] / "dracut/hooks/pre-mount/05-resume-in-hook.sh").exists()


@pytest.fixture
def changed(stage):
    """For a test that changes the configuration."""
    before = (stage.root / "etc/hibctl/initramfs.conf").read_text()
    yield stage
    stage.write("etc/hibctl/initramfs.conf", before)
    (stage.root / "etc/hibctl/setup.d/50-new").unlink(missing_ok=True)


def _fails(stage, maker, kind, *words):
    done = stage.try_make(maker, kind, "failing")
    said = (done.stdout + done.stderr).decode()
    assert done.returncode != 0, said
    for word in words:
        assert word in said, said


def test_a_missing_program_is_an_error(maker, changed):
    changed.configure(programs=["blockdev", "no-such-program"])
    _fails(changed, maker, "save", "no-such-program, which is not installed")


def test_a_program_that_cannot_be_copied_is_an_error(changed):
    """initramfs-tools says 1 then, as it does for a file that is there already."""
    functions = changed.root / "usr/share/initramfs-tools/hook-functions"
    before = functions.read_text()
    functions.write_text(before + before[before.index("\ncopy_exec() {"):].split("\n}\n")[0].replace("copy_exec", "real_copy_exec", 1)
                         + '\n}\ncopy_exec() { case $1 in */hibctl) return 1 ;; *) real_copy_exec "$@" ;; esac; }\n')
    try:
        assert changed.try_make("initramfs-tools", "load", "failing").returncode != 0
    finally:
        functions.write_text(before)


def test_a_missing_driver_is_an_error(maker, changed):
    changed.configure(drivers=["no-such-driver"])
    _fails(changed, maker, "save", "no-such-driver, which kernel", "does not have")


def test_a_driver_that_is_built_in_is_none(maker, changed):
    changed.configure(drivers=["rtc_cmos"])
    assert changed.make(maker, "save", f"{maker}-builtin").drivers() == ALWAYS


def test_a_hook_that_is_not_executable_is_an_error(maker, changed):
    changed.hook("50-new", mode=0o644)
    _fails(changed, maker, "save", "50-new: the setup hook is not executable")


def test_without_configuration_the_tool_is_there(maker, changed):
    (changed.root / "etc/hibctl/initramfs.conf").unlink()
    made = changed.make(maker, "save", f"{maker}-unconfigured")
    assert made.run("/usr/sbin/hibctl", "--version").returncode == 0
    assert made.drivers() == ALWAYS


def test_a_lasting_plan_goes_into_every_initramfs(stage, request):
    parts = "/usr/local/lib/hibctl/initramfs-parts"
    line = b"file /etc/hibctl/plan /etc/hibctl/plan\n"
    assert line not in stage.run(parts).stdout
    stage.write("etc/hibctl/plan", "hibctl-plan 1\n")
    request.addfinalizer((stage.root / "etc/hibctl/plan").unlink)
    assert line in stage.run(parts).stdout


def test_a_plan_can_be_put_in(maker, images, build):
    """By hibctl prepare; as a member of its own at the end, where the kernel looks for one."""
    made = images(maker, "save")
    copy = made.file.with_name(f"{made.file.name}-planned")
    shutil.copy(made.file, copy)
    space = cli.Scratch()
    try:
        machine = cli.Machine(space, cli.Tool(build / "hibctl/hibctl"))
        machine("setup").done()
        machine("prepare", f"--initramfs={copy}").done()
        plan = (machine.root / "run/hibctl/plan").read_bytes()
    finally:
        space.close()
    whole, before = copy.read_bytes(), made.file.read_bytes()
    assert whole.startswith(before)
    tail = whole[len(before):].lstrip(b"\0")
    found = cli.run("cpio", "--quiet", "-i", "--to-stdout", "etc/hibctl/plan", input=tail).stdout
    assert found == plan and plan.startswith(b"hibctl-plan 1\n")


def test_hibctl_adds_little(stage, images, record_property):
    """The tool, its libraries, the scripts, and the program that the hooks name."""
    with_it = images("initramfs-tools", "load")
    stage.run("mkdir", "/out/aside")
    parts = ("usr/share/initramfs-tools/hooks/hibctl", "usr/share/initramfs-tools/scripts/local-premount/hibctl")
    for path in parts:
        shutil.move(stage.root / path, stage.root / "out/aside" / path.replace("/", "-"))
    try:
        without = stage.make("initramfs-tools", "load", "without")
    finally:
        for path in parts:
            shutil.move(stage.root / "out/aside" / path.replace("/", "-"), stage.root / path)
    added = with_it.size() - without.size()
    packed = with_it.file.stat().st_size - without.file.stat().st_size
    record_property("added", added)
    record_property("added_packed", packed)
    print(f"hibctl adds {added} bytes, {packed} compressed")
    assert not without.has("usr/sbin/hibctl")
    assert 0 < added < 4 << 20
