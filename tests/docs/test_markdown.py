# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What the Markdown files and the manual pages refer to is there: files, headings, commands, options."""

import re
import shlex

import pytest

from . import told
from .pages import ALL, Page

FILES = sorted(path.relative_to(told.TOP) for path in
               [*told.TOP.glob("*.md"), *told.TOP.glob("docs/**/*.md"), *told.TOP.glob("po/*.md")])
FOLDERS = sorted(path.name for path in told.TOP.iterdir() if path.is_dir() and not path.name.startswith((".", "build")))


def prose(text):
    """Without blocks of code and code within a line."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^    .*$", "", text, flags=re.M))


def code(text):
    """Every line of a block, and every span: [text]."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"^    (.*)$", rest, re.M)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^    .*$", "", rest, flags=re.M))
    return lines + [" ".join(span.split()) for span in spans]


def anchors(text):
    """Of its headings, as they are made of them."""
    headings = re.findall(r"^#+ +(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_links(file):
    text = told.source(file)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (told.TOP / file).parent / path if path else told.TOP / file
        assert there.exists(), f"{target}: there is no such file"
        assert told.TOP in there.resolve().parents, f"{target}: it is not one of ours"
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), f"{target}: there is no such heading"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_files_of_ours(file):
    """A path that begins with one of our folders, in code. What stands for something, in capitals, is not looked for."""
    for text in code(told.source(file)):
        for path in re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*[\w/]", text):
            if not re.search(r"[A-Z]{2,}(?!\w*\.md)", path) and "build/" not in path:
                there = told.TOP / path
                assert there.exists() or any(there.parent.glob(there.name + ".*")), path


# ---- commands ----


def commands_in(text):
    """[[word]]: what stands behind "hibctl", where a command begins, in a line of code."""
    for found in re.finditer(r"(?:^|[;&|(] *|sudo +|if +|! +)hibctl((?: +[^\s;|&()\"]+)+)", re.sub(r"\s#.*", "", text)):
        try:
            words = shlex.split(found[1])
        except ValueError:
            words = found[1].split()
        yield [word.strip(",.:") for word in words]


def check_command(tool, words):
    """Each word is one that the program knows in this place."""
    command = ""
    for word in words:
        name, is_set, _ = word.partition("=")
        if name.startswith("--"):
            for option in name.split("|"):
                assert option in tool.all_options(command) | set(tool.options() if not command else ()), words
                value = tool.options(command).get(option, tool.options().get(option))
                assert not is_set or value, f"{words}: {option} takes no value"
        elif re.fullmatch(r"-[a-zA-Z]+", name):
            assert {f"-{letter}" for letter in name[1:]} <= tool.all_options(command) | set(tool.options()), words
        elif not command:
            if not re.fullmatch(r"[a-z-]+", name):
                return  # COMMAND, ..., a file
            assert name in tool.commands, words
            command = name
        elif command == "env" and re.fullmatch(r"[a-z]+", name):
            assert name in tool.verbs or words[-1] != word, words


@pytest.mark.parametrize("file", FILES, ids=str)
def test_commands(tool, file):
    for text in code(told.source(file)):
        for words in commands_in(text):
            check_command(tool, words)


@pytest.mark.parametrize("name", ALL)
def test_commands_of_the_manual_pages(tool, name):
    """Those that stand out, as commands do."""
    page = Page(name)
    lines = [line[3:] for line in page.path.read_text(encoding="utf-8").splitlines() if line.startswith(".B hibctl ")]
    lines += re.findall(r'^\.(?:BR|BI) "(hibctl [^"]*)"', page.path.read_text(encoding="utf-8"), re.M)
    assert lines
    for line in lines:
        for words in commands_in(re.sub(r"\\f[BIRP]", "", line.replace("\\-", "-"))):
            check_command(tool, words)


def test_that_a_wrong_command_is_noticed(tool):
    """The tests above would be worth nothing otherwise."""
    for line in ("hibctl stauts", "hibctl mark --sotre=env", "hibctl cancel --discard-image=yes", "hibctl status -n",
                 "sudo hibctl mark && hibctl settel"):
        with pytest.raises(AssertionError):
            for words in commands_in(line):
                check_command(tool, words)


# ---- the settings ----


def test_grub_settings_that_are_named():
    for file in FILES:
        for name in re.findall(r"\bGRUB_HIBCTL_[A-Z_]*[A-Z]\b", told.source(file)):
            assert name in told.grub_settings(), f"{file}: {name}"
