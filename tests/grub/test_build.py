# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""build-module: what it builds, and what it says when something is missing. And the way through GRUB's own build."""

import os
import re
import shutil
import subprocess

import pytest

from . import rig

SCRIPT = rig.TOP / "grub-module" / "build-module"
PLATFORMS = ("i386-pc", "x86_64-efi")


def build(*options, **env):
    return subprocess.run([SCRIPT, *options], env=dict(os.environ, **env), capture_output=True, text=True, check=False)


def options(source=rig.GRUB_SOURCE, lib=rig.GRUB_LIB / "i386-pc", output="x.mod"):
    return "--grub-source", source, "--grub-lib", lib, "--output", output


def refused(done, *words):
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("build-module: ") and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert str(word) in done.stderr


def section(module, name):
    raw = rig.run("objcopy", "-O", "binary", f"--only-section={name}", f"--set-section-flags={name}=alloc", module,
                  "/dev/stdout")
    return raw.split(b"\0")[:-1]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_built(tmp_path, platform):
    module = tmp_path / "new" / "hibresume.mod"
    said = rig.build_module(module, rig.GRUB_LIB / platform)
    assert said == (f"{module}: hibresume for GRUB {rig.package_version().split('-')[0]} {platform}, "
                    f"{module.stat().st_size} bytes, needs: boot disk \n")
    assert section(module, ".modname") == [b"hibresume"]
    assert section(module, ".moddeps") == [b"boot", b"disk"]
    names = rig.run("nm", module).decode()
    # Nothing of ours gets in the way of another module's names; nothing is left for debugging.
    assert re.findall(r"^\S+ [A-TV-Z] (.*)$", names, re.MULTILINE) == []
    assert b".debug" not in rig.run("readelf", "-SW", module)
    assert str(rig.TOP).encode() not in module.read_bytes()
    assert [f.name for f in module.parent.iterdir()] == ["hibresume.mod"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_only_what_grub_loads(tmp_path, platform):
    """Relocations that GRUB's loader knows, and no helper of the compiler's, as for 64-bit division on a PC."""
    module = rig.module_under_test(tmp_path, platform)
    kinds = set(re.findall(r"\bR_\w+", rig.run("readelf", "-rW", module).decode()))
    assert kinds <= {"R_386_32", "R_386_PC32", "R_386_PLT32", "R_X86_64_64", "R_X86_64_PC32", "R_X86_64_PLT32",
                     "R_X86_64_32", "R_X86_64_32S", "R_X86_64_PC64"}
    undefined = rig.run("nm", "-u", module).decode().split()[1::2]
    assert not [name for name in undefined if name.startswith("__")]


def test_what_grub_does_not_export(tmp_path):
    """A name that is nowhere is told when building, not when the machine starts."""
    copy = shutil.copytree(rig.TOP / "grub-module", tmp_path / "grub-module")
    shutil.copytree(rig.TOP / "mark", tmp_path / "mark")
    source = copy / "tell.c"
    source.write_text(source.read_text() + "\nvoid sleep_well (void);\nvoid hibresume_x (void);\n"
                      "void hibresume_x (void) { sleep_well (); }\n")
    refused(build(*options(output=tmp_path / "x.mod"), "--srcdir", copy), "does not export: sleep_well")
    assert not (tmp_path / "x.mod").exists()


@pytest.mark.parametrize("missing", ["include/grub/dl.h"])
def test_no_source(tmp_path, missing):
    refused(build(*options(source=tmp_path)), tmp_path / missing, "not found", "--grub-source")


@pytest.mark.parametrize("missing", ["modinfo.sh", "config.h", "kernel.img"])
def test_no_lib(tmp_path, missing):
    lib = shutil.copytree(rig.GRUB_LIB / "i386-pc", tmp_path / "lib")
    (lib / missing).unlink()
    refused(build(*options(lib=lib)), lib / missing, "not found", "--grub-lib")


def test_no_sources_of_ours(tmp_path):
    refused(build(*options(), "--srcdir", tmp_path), tmp_path / "hibresume.c", "not found", "--srcdir")


@pytest.mark.parametrize("tool", ["TARGET_CC", "TARGET_NM", "TARGET_OBJCOPY", "TARGET_STRIP"])
def test_no_tool(tool):
    refused(build(*options(), **{tool: "no-such-tool"}), "no-such-tool: not found; install")


def other_lib(tmp_path, **values):
    lib = shutil.copytree(rig.GRUB_LIB / "i386-pc", tmp_path / "lib")
    text = (lib / "modinfo.sh").read_text()
    for name, value in values.items():
        text = re.sub(rf'^{name}=.*$', f'{name}="{value}"', text, flags=re.MULTILINE)
    (lib / "modinfo.sh").write_text(text)
    return lib


def test_another_release(tmp_path):
    lib = other_lib(tmp_path, grub_version="2.04", grub_package_version="2.04-1")
    refused(build(*options(lib=lib)), "but", "is GRUB 2.04; take the source of the same release")


def test_another_package(tmp_path):
    if not (rig.GRUB_SOURCE / "debian/changelog").exists():
        pytest.skip("not a Debian source package")
    lib = other_lib(tmp_path, grub_package_version="2.06-0")
    refused(build(*options(lib=lib)), rig.package_version(), "2.06-0", "take the source of the same package")


def test_patches_not_applied(tmp_path):
    """They change structures; a module built without them would be taken by GRUB, and read nonsense."""
    source = tmp_path / "source"
    shutil.copytree(rig.GRUB_SOURCE / "include", source / "include")
    for name in ("configure.ac", "debian/changelog", "debian/patches/series"):
        if not (rig.GRUB_SOURCE / name).exists():
            pytest.skip("not a Debian source package")
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rig.GRUB_SOURCE / name, source / name)
    refused(build(*options(source=source)), source, "patches are not applied", "dpkg-source -x")


def test_unknown_platform(tmp_path):
    lib = other_lib(tmp_path, grub_modinfo_platform="coreboot")
    refused(build(*options(lib=lib)), "i386-coreboot: not a platform")


@pytest.mark.parametrize("words, message", [
    (["--output"], "--output: a value is missing"), (["--frob"], "--frob: unknown option"),
    ([], "--grub-source is missing"), (["--grub-source", "/"], "--grub-lib is missing"),
    (["--grub-source", "/", "--grub-lib", "/"], "--output is missing")])
def test_usage(words, message):
    refused(build(*words), message, "--help")


def test_help():
    done = build("--help")
    assert done.returncode == 0 and done.stderr == ""
    assert all(word in done.stdout for word in ("--grub-source", "--grub-lib", "--output", "--srcdir", "TARGET_CC"))


def test_make_contrib(tmp_path):
    script = rig.TOP / "grub-module" / "make-contrib"
    rig.run(script, tmp_path / "c", rig.GRUB_SOURCE)
    folder = tmp_path / "c" / "hibresume"
    release = rig.package_version()[:4].replace(".", "")
    assert (folder / "grub-release.h").read_text() == f"#define HIBRESUME_GRUB {release}\n"
    named = re.findall(r"common = contrib/hibresume/(.*);", (folder / "Makefile.core.def").read_text())
    assert all((folder / name).is_file() for name in named)
    # The same files as build-module compiles.
    listed = re.findall(r"[\w./]+\.c\b", " ".join(re.findall(r"^\w+_files='(.*)'$", SCRIPT.read_text(), re.MULTILINE)))
    assert sorted(named) == sorted(name.removeprefix("../") for name in listed)
    done = subprocess.run([script, tmp_path / "c", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"{tmp_path}/configure.ac: not found" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["pc", pytest.param("efi", marks=pytest.mark.full)])
def test_contrib(scratch, platform):
    """Some minutes, though GRUB's other modules are those of the package: it starts first."""
    for tool in ("flex", "bison", "autoreconf"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    said = rig.run("env", f"PLATFORMS={platform}", rig.TOP / "grub-module" / "test-contrib.sh", scratch / "contrib",
                   rig.GRUB_SOURCE, rig.GRUB_LIB).decode()
    assert re.findall(r"/build-(\w+)/grub-core/hibresume\.mod: \d+ bytes", said) == [platform]
    shutil.rmtree(scratch / "contrib")
