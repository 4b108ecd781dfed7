# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""bash, zsh and fish offer what the program knows, and nothing else."""

import pytest

from . import shells, told


@pytest.fixture(scope="module", params=sorted(shells.FILES))
def shell(request, tmp_path_factory):
    started = shells.start(request.param, tmp_path_factory.mktemp(request.param))
    started.name = request.param
    yield started
    started.close()


def names(words):
    """Options without the sign that a value follows."""
    return {word.rstrip("=") for word in words}


def values(words):
    """What stands behind the last "="."""
    return {word.rpartition("=")[2] for word in words}


def test_commands(shell, tool):
    assert shell.words("hibctl ") == set(tool.commands)


def test_options_before_the_command(shell, tool):
    assert names(shell.words("hibctl --")) == {name for name in tool.options() if name.startswith("--")}


def test_options_of_every_command(shell, tool):
    for command in tool.commands:
        known = {name for name in tool.all_options(command) if name.startswith("--")}
        assert names(shell.words(f"hibctl {command} --")) == known, command


def test_short_options(shell, tool):
    """bash offers the long ones only."""
    for command in tool.commands:
        known = {name for name in tool.all_options(command) if shell.name != "bash" or name.startswith("--")}
        assert names(shell.words(f"hibctl {command} -")) == known, command


def test_options_with_a_value(tool, tmp_path):
    """Those, and only those, go on behind "=", which in bash can be seen in the word itself."""
    shell = shells.start("bash", tmp_path)
    for command in ["", *tool.commands]:
        known = tool.options() | tool.options(command)
        for word in shell.words(f"hibctl {command} --".replace("  ", " ")):
            assert word.endswith("=") == known[word.rstrip("=")], f"{command}: {word}"
    shell.close()


def test_stores(shell, tool):
    assert values(shell.words("hibctl mark --store=")) == tool.stores
    assert shell.words("hibctl mark --store ") == tool.stores
    assert values(shell.words("hibctl mark --store=b")) == {"bootbits"}


def test_verbs_of_env(shell, tool):
    assert shell.words("hibctl env - ") == set(tool.verbs)
    assert set(tool.verbs) <= shell.words("hibctl env ")


def test_sleep(shell, tool):
    assert shell.words("hibctl sleep ") == tool.phases
    for action in shell.words("hibctl sleep pre "):
        assert action in tool.help("sleep")
    assert shell.words("hibctl sleep check hyb") == {"hybrid-sleep"}


@pytest.mark.parametrize("before", ["--root=/mnt ", "--root /mnt ", "-q ", "--json --verbose "])
def test_the_command_behind_options(shell, before):
    assert shell.words(f"hibctl {before}canc") == {"cancel"}
    assert names(shell.words(f"hibctl {before}cancel --disc")) == {"--discard-image"}


def test_what_was_typed_goes_on(shell):
    assert names(shell.words("hibctl mark -q --boot")) == {"--boot-next"}
    assert names(shell.words("hibctl mark --store=efi --dry")) == {"--dry-run"}
    assert names(shell.words("hibctl mark --image /dev/sda2 --dry")) == {"--dry-run"}
    assert values(shell.words("hibctl mark --initrd=non")) == {"none"}


def test_no_command_is_offered_twice(shell):
    assert not shell.words("hibctl mark ") & {"mark", "status", "cancel"}


def test_variables_of_a_block(shell, tmp_path):
    block = tmp_path / "grubenv"
    block.write_bytes(b"# GRUB Environment Block\nsaved_entry=0\nsaved_mode=\n# no=variable\nother=a=b\n".ljust(1024, b"#"))
    for verb in ("get", "unset"):
        assert shell.words(f"hibctl env {block} {verb} ") == {"saved_entry", "saved_mode", "other"}
        assert shell.words(f"hibctl env {block} {verb} o") == {"other"}
    assert shell.words(f"hibctl env {block} set saved_m") == {"saved_mode="}


def test_devices(shell, tmp_path):
    tags = {"UUID": "0f5e16ea-6d8d-4b6e-9b41-f5e09a7e38a1", "PARTUUID": "c0ffee42-02", "LABEL": "swap",
            "PARTLABEL": "Swap_2"}
    for kind, name in tags.items():
        folder = tmp_path / f"by-{kind.lower()}"
        folder.mkdir()
        (folder / name).symlink_to("../sda2")
        (folder / "odd\\x20$(name)").symlink_to("../sda3")
    shell.disks(tmp_path)
    for line in ("hibctl mark --image=", "hibctl prepare --image=", "hibctl resume --device="):
        assert set(tags.values()) <= values(shell.words(line))
        for kind, name in tags.items():
            assert values(shell.words(f"{line}{kind}=")) == {name}, f"{line}{kind}="
    assert {f"{kind}={name}" for kind, name in tags.items()} <= shell.words("hibctl locate ")


def test_files(shell, tmp_path):
    (tmp_path / "plan-of-mine").touch()
    (tmp_path / "folder").mkdir()
    for option in ("mark --plan=", "prepare --initramfs=", "mark --kernel=", "mark --initrd=", "mark --image="):
        assert values(shell.words(f"hibctl {option}{tmp_path}/pl")) == {f"{tmp_path}/plan-of-mine"}, option
    for option in ("setup --modules=", "setup --scripts=", "locate --hooks="):
        offered = {word.rstrip("/") for word in values(shell.words(f"hibctl {option}{tmp_path}/"))}
        assert offered == {f"{tmp_path}/folder"}, option


def test_they_are_installed():
    for name in shells.FILES.values():
        assert f"completion_DATA = completion/{name}\n" in told.source("Makefile.am")
