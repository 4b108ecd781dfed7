# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The text that the grub.d scripts write: settings, quoting, and what grub-mkconfig and grub-script-check say to it."""

import os
import re
import subprocess

import pytest

from . import rig
from .rig import BOOT_UUID
from .scripts import IMAGE, SETTINGS, grub_cfg

TRICKY = "it's \"$(halt)\" ; `x` \\ {a} %s $root"


# For the session: the order of the tests, what is slow first, sets a module's fixtures up more than once.
@pytest.fixture(scope="session")
def script(scratch):
    """06_hibctl in a folder as /etc has it, so that it finds its settings there."""
    folder = scratch / "etc" / "grub.d"
    folder.mkdir(parents=True)
    path = rig.grub_d_script("06_hibctl", scratch)
    (folder / "06_hibctl").write_text(path.read_text())
    return folder / "06_hibctl"


@pytest.fixture
def etc(script):
    folder = script.parents[1]
    yield folder
    rig.run("sh", "-c", f"rm -rf {folder}/default {folder}/initramfs-tools")


@pytest.fixture
def write(script, tmp_path):
    """Runs the script, as grub-mkconfig would; checks its text, and returns it with what was said beside."""

    def run(shell="sh", **settings):
        env = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LC_ALL": "C"} | SETTINGS | settings
        env = {name: value for name, value in env.items() if value is not None}
        done = subprocess.run([shell, script], env=env, capture_output=True, text=True, check=True)
        config = tmp_path / "grub.cfg"
        config.write_text(done.stdout)
        rig.run("grub-script-check", config)
        return done.stdout, done.stderr

    return run


def resume_words(text):
    """The words behind `hibresume resume', as they stand in grub.cfg."""
    return re.search(r"^ *hibresume resume (.*)$", text, re.MULTILINE).group(1)


def probe_options(text):
    return re.search(r"^ *hibresume probe ?(.*)$", text, re.MULTILINE).group(1)


# ---- the kernel's command line ----

CMDLINES = {
    "as it is": ("console=ttyS0", "quiet splash", "console=ttyS0 quiet splash"),
    "without resume": ("resume=UUID=1 a", "resume_offset=7 b noresume", "a b"),
    "one after the other": ("resume=1 resume=2 noresume noresume", "resume_offset=1", ""),
    "words that only look like it": (
        "xresume=1 resumewait", "noresume2 resume", "xresume=1 resumewait noresume2 resume"),
    "the administrator's quotes": ('dyndbg="file x +p"', "$vt_handoff a=*", 'dyndbg="file x +p" $vt_handoff a=*'),
    "tabs and newlines": ("a\tb", "c\nd", "a b c d"),
    "nothing": ("", "", ""),
}


@pytest.mark.parametrize("name", CMDLINES)
def test_command_line(write, name):
    first, second, expected = CMDLINES[name]
    text, _ = write(GRUB_CMDLINE_LINUX=first, GRUB_CMDLINE_LINUX_DEFAULT=second)
    assert resume_words(text) == f"'root=/dev/vda3' ro {expected}"


@pytest.mark.parametrize("settings, root", [
    ({"GRUB_DEVICE": "/dev/sda1"}, "'root=/dev/sda1' ro"),
    # No such UUID on this machine: as 10_linux, the device then.
    ({"GRUB_DEVICE": "/dev/sda1", "GRUB_DEVICE_UUID": "1-2"}, "'root=/dev/sda1' ro"),
    ({"GRUB_DEVICE": None, "GRUB_DEVICE_UUID": "1-2"}, "'root=UUID=1-2' ro"),
    ({"GRUB_DEVICE": None, "GRUB_DEVICE_PARTUUID": "3-4"}, "'root=PARTUUID=3-4' ro"),
    ({"GRUB_DEVICE": None, "GRUB_DEVICE_UUID": "1-2", "GRUB_DEVICE_PARTUUID": "3-4",
      "GRUB_DISABLE_LINUX_UUID": "true", "GRUB_DISABLE_LINUX_PARTUUID": "false"}, "'root=PARTUUID=3-4' ro"),
    ({"GRUB_DEVICE": "/dev/mapper/it's"}, r"'root=/dev/mapper/it'\''s' ro"),
])
def test_root(write, settings, root):
    text, _ = write(GRUB_CMDLINE_LINUX="", GRUB_CMDLINE_LINUX_DEFAULT="", **settings)
    assert resume_words(text).rstrip() == root


# ---- the resume device ----


# Where the kernel of a HibernateLocation is looked for; that needs no resume device.
FILES = f"--fs '{BOOT_UUID}' --kernel '/boot/vmlinuz' --initrd '/boot/initrd'"


def options(device, offset=0, page_size=4096):
    return f"--device '{device}' --offset {offset} --page-size {page_size} {FILES}"


@pytest.mark.parametrize("settings, expected", [
    ({"GRUB_HIBCTL_RESUME": f"UUID={IMAGE}"}, options(f"UUID={IMAGE}")),
    ({"GRUB_HIBCTL_RESUME": "PARTUUID=c0ffee42-01"}, options("PARTUUID=c0ffee42-01")),
    ({"GRUB_HIBCTL_RESUME": f"/dev/disk/by-uuid/{IMAGE}"}, options(f"UUID={IMAGE}")),
    ({"GRUB_HIBCTL_RESUME": "/dev/disk/by-partuuid/c0ffee42-01"}, options("PARTUUID=c0ffee42-01")),
    ({"GRUB_HIBCTL_RESUME": f"UUID={IMAGE}", "GRUB_HIBCTL_RESUME_OFFSET": "77", "GRUB_HIBCTL_PAGE_SIZE": "16384"},
     options(f"UUID={IMAGE}", 77, 16384)),
    ({"GRUB_HIBCTL_RESUME": None, "GRUB_CMDLINE_LINUX": "resume=UUID=1-2 resume_offset=8"}, options("UUID=1-2", 8)),
    ({"GRUB_HIBCTL_RESUME": None, "GRUB_CMDLINE_LINUX": "resume=UUID=1-2",
      "GRUB_CMDLINE_LINUX_DEFAULT": 'resume="UUID=3-4" x'}, options("UUID=3-4")),
    # An offset on the command line belongs to the device there.
    ({"GRUB_CMDLINE_LINUX": "resume=UUID=1-2 resume_offset=8"}, options(f"UUID={IMAGE}")),
    ({"GRUB_HIBCTL_RESUME": "none"}, FILES),
    ({"GRUB_HIBCTL_RESUME": None, "GRUB_CMDLINE_LINUX": ""}, FILES),
])
def test_resume_device(write, settings, expected):
    text, said = write(**settings)
    assert probe_options(text) == expected
    assert "Warning" not in said


@pytest.mark.parametrize("tag", ["UUID=", "UUID=1;halt", "UUID=a b", "SERIAL=1", "/dev/none", "LABEL=no-such-label",
                                 TRICKY])
def test_resume_device_that_is_none(write, tag):
    text, said = write(GRUB_HIBCTL_RESUME=tag)
    assert probe_options(text) == FILES
    assert f"Warning: {tag}: no such resume device" in said


@pytest.mark.slow
def test_initramfs_tools(write, etc):
    folder = etc / "initramfs-tools" / "conf.d"
    folder.mkdir(parents=True)
    (folder / "resume").write_text(f"RESUME=UUID={IMAGE}\n")
    plain = {"GRUB_HIBCTL_RESUME": None, "GRUB_CMDLINE_LINUX": ""}
    assert probe_options(write(**plain)[0]) == options(f"UUID={IMAGE}")
    (folder / "resume").write_text("RESUME=none\n")
    assert probe_options(write(**plain)[0]) == FILES


def test_settings_from_files(write, etc):
    """grub-mkconfig does not hand on what it does not know."""
    (etc / "default" / "grub.d").mkdir(parents=True)
    (etc / "default" / "grub").write_text("GRUB_HIBCTL_TIMEOUT=11\nGRUB_HIBCTL_RESUME=UUID=1-2\necho noise\n")
    (etc / "default" / "grub.d" / "hibctl.cfg").write_text("GRUB_HIBCTL_RESUME=UUID=3-4\n")
    text, _ = write(GRUB_HIBCTL_TIMEOUT=None, GRUB_HIBCTL_RESUME=None)
    assert "  set timeout=11\n" in text
    assert probe_options(text) == options("UUID=3-4")
    assert "noise" not in text


def test_defaults(write):
    text, _ = write(GRUB_HIBCTL_TIMEOUT=None)
    assert "  set timeout=5\n" in text


@pytest.mark.parametrize("name, value, taken", [
    ("GRUB_HIBCTL_TIMEOUT", "x", "set timeout=5\n"), ("GRUB_HIBCTL_TIMEOUT", "-1", "set timeout=5\n"),
    ("GRUB_HIBCTL_RESUME_OFFSET", "1;halt", "--offset 0 "),
    ("GRUB_HIBCTL_RESUME_OFFSET", str(2**44), "--offset 0 "), ("GRUB_HIBCTL_PAGE_SIZE", "4k", "--page-size 4096 "),
    ("GRUB_HIBCTL_PAGE_SIZE", "5000", "--page-size 4096 ")])
def test_wrong_numbers(write, name, value, taken):
    text, said = write(**{name: value})
    assert taken in text
    assert f"Warning: {name}={value}" in said


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_quoting(write, shell):
    """Whatever is in the settings comes out as one word, or not at all."""
    text, _ = write(shell, GRUB_HIBCTL_KERNEL=f"/boot/{TRICKY}", GRUB_HIBCTL_INITRD=f"/boot/i{TRICKY}",
                    GRUB_HIBCTL_FS=TRICKY, GRUB_DEVICE=TRICKY)
    quoted = TRICKY.replace("'", "'\\''")
    assert f"--kernel '/boot/{quoted}' --initrd '/boot/i{quoted}'" in probe_options(text)
    assert resume_words(text).startswith(f"'root={quoted}' ro ")


def test_no_kernel_found(write):
    """Where GRUB sees none, there is nothing to resume an unmarked image with. A mark brings its own."""
    text, _ = write(GRUB_HIBCTL_KERNEL=None, GRUB_HIBCTL_FS=None, GRUB_HIBCTL_INITRD=None, grub_probe="/bin/false")
    assert probe_options(text) == f"--device 'UUID={IMAGE}' --offset 0 --page-size 4096"


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["dash", "bash"])  # what /bin/sh is in the field
def test_translation(write, tmp_path, shell):
    """A translation may hold any character, and change the order of nothing."""
    if "C.utf8" not in rig.run("locale", "-a").decode():
        pytest.skip("no UTF-8 locale")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    gettext = bin_folder / "gettext"
    gettext.write_text("#!/bin/sh\nprintf \"l'éléphant: \\$(halt) \\\"%s\\\"\" \"$1\"\n")
    gettext.chmod(0o755)
    text, _ = write(shell, PATH=f"{bin_folder}:{os.environ['PATH']}")
    title = "Resume the hibernated session of '\"${hib_time}\"' ('\"${hib_release}\"')"
    assert f"'l'\\''éléphant: $(halt) \"{title}\"'" in text


# ---- the whole ----


def test_whole_file(scratch, tmp_path):
    config = tmp_path / "grub.cfg"
    config.write_text(grub_cfg(scratch))
    rig.run("grub-script-check", config)


def test_shellcheck(scratch):
    for name in ("06_hibctl", "44_hibctl"):
        rig.run("shellcheck", rig.grub_d_script(name, scratch))
    folder = rig.TOP / "grub-module"
    rig.run("shellcheck", folder / "build-module", folder / "make-contrib", folder / "test-contrib.sh")


# A root filesystem of its own on a loop device, with this machine's programs in it, so that grub-probe has something to
# probe and /boot holds what the test says.
MKCONFIG = """\
set -e
mount --make-rprivate /
mount -o loop "$1/root.img" "$1/root"
cd "$1/root"
mkdir -p usr dev proc sys etc boot
for i in usr proc sys etc; do mount --rbind "/$i" "$i"; done
mount -t tmpfs none dev
cp -a /dev/null /dev/loop[0-9]* dev/
mkdir -p dev/disk/by-uuid
touch "dev/disk/by-uuid/$2"
for i in bin sbin lib lib64; do ln -s "usr/$i" "$i"; done
mount --bind "$1/grub.d" etc/grub.d
if [ -d etc/default/grub.d ]; then mount -t tmpfs none etc/default/grub.d; fi
if [ -f etc/default/grub ]; then mount --bind /dev/null etc/default/grub; fi
for i in 6.1.0-9-x 6.1.0-56-x 6.1.0-56-x.old; do touch "boot/vmlinuz-$i" "boot/initrd.img-$i"; done
chroot . grub-mkconfig -o /grub.cfg
cp grub.cfg "$1/"
"""


@pytest.fixture(scope="session")
def mkconfig(scratch):
    """What the real grub-mkconfig makes, with the distribution's own scripts beside ours."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a loop device and a mount namespace of its own")
    folder = scratch / "mkconfig"
    (folder / "grub.d").mkdir(parents=True)
    (folder / "root").mkdir()
    for name in ("00_header", "10_linux"):
        rig.run("cp", f"/etc/grub.d/{name}", folder / "grub.d")
    for name in ("06_hibctl", "30_hibctl", "30_os-prober_hibctl", "44_hibctl"):
        script = folder / "grub.d" / name
        # In /etc they write nothing where hibctl is not installed, as it is not here.
        text, found = re.subn(r'\[ -x "[^"]+/hibctl" \]', "true", rig.grub_d_script(name, scratch).read_text())
        assert found == 1
        script.write_text(text)
        script.chmod(0o755)
    (folder / "root.img").write_bytes(rig.ext4(folder, {}, 8 * rig.MIB, BOOT_UUID))
    env = dict(os.environ, LC_ALL="C", PATH=os.environ["PATH"] + ":/usr/sbin:/sbin", GRUB_HIBCTL_RESUME="UUID=1-2",
               GRUB_CMDLINE_LINUX="resume=UUID=1-2 quiet", GRUB_CMDLINE_LINUX_DEFAULT="splash noresume")
    done = subprocess.run(["unshare", "-m", "sh", "-c", MKCONFIG, "sh", folder, BOOT_UUID], env=env,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "grub.cfg").read_text(), done.stderr


def test_grub_mkconfig(mkconfig):
    text, said = mkconfig
    assert "Adding the menu entry that resumes a hibernated session\n" in said
    places = [text.index(f"### BEGIN /etc/grub.d/{name} ###")
              for name in ("00_header", "06_hibctl", "10_linux", "44_hibctl")]
    assert places == sorted(places)


def test_same_words_as_10_linux(mkconfig):
    """root= and all the rest of the ordinary entry, without the resume parameters."""
    ordinary = re.search(r"linux\t\S*/vmlinuz-6\.1\.0-56-x (.*)", mkconfig[0]).group(1).split()
    assert ordinary[0] == f"root=UUID={BOOT_UUID}" and "resume=UUID=1-2" in ordinary and "noresume" in ordinary
    assert resume_words(mkconfig[0]).replace("'", "").split() == [
        word for word in ordinary if word not in ("resume=UUID=1-2", "noresume")]


@pytest.mark.slow
def test_newest_kernel(mkconfig):
    """The one that 10_linux puts first, and its initial ramdisk, as GRUB sees them."""
    first = re.search(r"linux\t(\S*)", mkconfig[0]).group(1)
    assert first == "/boot/vmlinuz-6.1.0-56-x"
    assert probe_options(mkconfig[0]) == (
        f"--device 'UUID=1-2' --offset 0 --page-size 4096 --fs '{BOOT_UUID}' --kernel '{first}' "
        "--initrd '/boot/initrd.img-6.1.0-56-x'")
