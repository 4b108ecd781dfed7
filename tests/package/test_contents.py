# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What is in the packages, where, for whom, and what they depend on; and that they are built against the right GRUB."""

import re
import subprocess
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parents[2] / "debian/check-grub-source"
GRUB = {"hibctl-grub-pc": ("grub-pc-bin", "i386-pc"), "hibctl-grub-efi-amd64": ("grub-efi-amd64-bin", "x86_64-efi")}
# What hibctl consists of, whatever is added.
ESSENTIAL = """
/etc/hibctl/initramfs.conf
/etc/hibctl/setup.d/
/usr/lib/dracut/modules.d/94hibctl/module-setup.sh*
/usr/lib/hibctl/initramfs-parts*
/usr/lib/hibctl/load*
/usr/lib/hibctl/save*
/usr/sbin/hibctl*
/usr/share/doc/hibctl/README.Debian.gz
/usr/share/doc/hibctl/copyright
/usr/share/hibctl/grub.d/06_hibctl*
/usr/share/hibctl/grub.d/30_hibctl*
/usr/share/hibctl/grub.d/30_os-prober_hibctl*
/usr/share/hibctl/grub.d/44_hibctl*
/usr/share/initramfs-tools/hooks/hibctl*
/usr/share/initramfs-tools/scripts/local-premount/hibctl*
/usr/share/man/man5/hibctl.conf.5.gz
""".split()
# Below /lib until Debian 12, below /usr/lib since.
OF_SYSTEMD = """
/lib/elogind/system-sleep/hibctl*
/lib/systemd/system-sleep/hibctl*
/lib/systemd/system/hibctl-settle.service
/lib/systemd/system/systemd-hibernate.service.d/hibctl.conf
""".split()


def out(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def contents(package):
    """(mode, owner, path) of each file; a path ends in * if it can be executed, in / if it is a folder."""
    for line in out("dpkg-deb", "--contents", package).splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        yield mode, owner, path.removeprefix(".") + ("*" if mode[0] == "-" and "x" in mode else "")


def field(package, name):
    return out("dpkg-deb", "--field", package, name).strip()


def installed(package):
    return out("dpkg-query", "-W", "-f", "${Version}", package)


def test_paths(packages):
    paths = {path for _, _, path in contents(packages["hibctl"])}
    merged = {re.sub("^/usr/lib/(elogind|systemd)/", r"/lib/\1/", path) for path in paths}
    assert not set(ESSENTIAL) - paths
    assert not set(OF_SYSTEMD) - merged
    assert not [path for path in paths if "local" in path.split("/") or "hibresume.mod" in path]
    assert not [path for path in paths if path.startswith("/etc/grub.d")], "hibctl setup puts them there"


@pytest.mark.parametrize("name", GRUB)
def test_module_package(packages, name):
    grub, platform = GRUB[name]
    files = [path for mode, _, path in contents(packages[name]) if mode[0] == "-" and not path.startswith("/usr/share/")]
    assert files == [f"/usr/lib/hibctl/{platform}/hibresume.mod"]
    depends = field(packages[name], "Depends").split(", ")
    assert f"{grub} (= {installed(grub)})" in depends
    assert f"hibctl (= {field(packages['hibctl'], 'Version')})" in depends


def test_owners_and_permissions(packages):
    for package in packages.values():
        for mode, owner, path in contents(package):
            assert owner == "root/root" and mode in ("drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx"), (mode, path)


def test_initramfs_is_made_anew_as_by_other_packages(packages, tmp_path):
    subprocess.run(["dpkg-deb", "--control", packages["hibctl"], tmp_path / "control"], check=True)
    assert "activate-noawait update-initramfs\n" in (tmp_path / "control/triggers").read_text()


# ---- GRUB's source ----


@pytest.fixture
def source(tmp_path):
    """What the check looks at of the source of the installed GRUB."""
    folder = tmp_path / "grub"
    (folder / "include/grub").mkdir(parents=True)
    (folder / "debian").mkdir()
    (folder / "include/grub/dl.h").touch()
    version = out("dpkg-query", "-W", "-f", "${source:Version}", "grub-pc-bin")
    (folder / "debian/changelog").write_text(f"grub2 ({version}) stable; urgency=low\n\n  * A change.\n\n"
                                             " -- Somebody <s@example.org>  Thu, 01 Jan 2026 00:00:00 +0000\n")
    return folder


def check(source):
    return subprocess.run([CHECK, source], capture_output=True, text=True, check=False)


def test_the_right_source(source):
    assert check(source).returncode == 0


def refused(source, *words):
    done = check(source)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done
    for word in words:
        assert word in done.stderr, done.stderr


def test_another_version(source):
    changelog = source / "debian/changelog"
    changelog.write_text(changelog.read_text().replace("(", "(9", 1))
    refused(source, str(source), f"the source of GRUB 9{installed('grub-pc-bin')}", "apt-get source grub2=")


def test_no_source(source):
    refused("", "GRUB_SOURCE does not say", "apt-get source grub2=")
    refused("grub", "not a full path")
    refused(source.parent, str(source.parent), "not the source of Debian's GRUB", "apt-get source grub2=")
