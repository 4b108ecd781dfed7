# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The manual pages have all that there is, and nothing else; and no formatter complains."""

import re

import pytest

from . import pages, told
from .pages import Page, options_in


# ---- hibctl(8) ----


def test_every_command_has_its_part(tool):
    assert list(filter(None, Page("hibctl.8").sections["COMMANDS"])) == tool.commands


@pytest.mark.parametrize("name", ["hibctl.8", "hibctl.conf.5", "hibresume.7"])
def test_each_page_has_examples(name):
    assert "EXAMPLES" in Page(name).sections


def test_the_options_before_a_command(tool):
    assert options_in(Page("hibctl.8").tags("OPTIONS")) == set(tool.options())


def test_every_option_of_a_command(tool):
    page = Page("hibctl.8")
    for command in tool.commands:
        told_of = options_in(page.tags("COMMANDS", command))
        assert told_of == set(tool.options(command)) - {"-h", "--help"}, command


def test_a_value_is_told_of_where_there_is_one(tool):
    page = Page("hibctl.8")
    for command in ["", *tool.commands]:
        tags = page.tags("COMMANDS", command) if command else page.tags("OPTIONS")
        for name, has_value in tool.options(command).items():
            for tag in tags:
                if re.match(rf"{name}\b(?!-)", tag):
                    assert tag.startswith(f"{name}=") == has_value, f"{command}: {tag}"


def test_how_a_command_is_called(tool):
    """The first paragraph of each part is the usage line of the help."""
    page = Page("hibctl.8")
    for command in tool.commands:
        first = page.paragraphs("COMMANDS", command)[0]
        assert first.replace(" ", "") == f"hibctl {command} {tool.usage(command)}".replace(" ", ""), command


def test_every_verb_of_env(tool):
    assert [tag.split()[0] for tag in Page("hibctl.8").tags("COMMANDS", "env")] == tool.verbs


def test_every_phase_of_sleep(tool):
    assert set(Page("hibctl.8").tags("COMMANDS", "sleep")) == tool.phases


def test_every_store(tool):
    assert set(Page("hibctl.8").tags("STORES")) == tool.stores


def test_every_exit_status(tool):
    numbers = re.findall(r"(?:^|; )(\d+) ", tool.help().partition("Exit status: ")[2].replace("\n", " "))
    assert len(numbers) == 6
    assert Page("hibctl.8").tags("EXIT STATUS") == numbers


# ---- hibctl.conf(5) ----


def test_every_setting():
    told_of = {tag.partition("=")[0] for tag in Page("hibctl.conf.5").tags("KEYS") if "=" in tag}
    assert told_of == told.settings()


# ---- hibresume(7) ----

# From GRUB itself: it is what a person sees of a module that does not fit.
FROM_GRUB = {"error: symbol `X' not found", "error: prohibited by secure boot policy"}

# What the module has for people, but not as a message; with the reason why the page does not list it.
NOT_A_MESSAGE = {
    "probe|resume|discard [ARGUMENT]...": "how to call it, as GRUB's own command `help' shows it",
    "Resume a hibernated session.": "what it does, likewise",
}

# What grub-mkconfig says of each script that it runs.
NOT_A_PROBLEM = {"Adding the menu entry that resumes a hibernated session"}


def canonical(text):
    """A message without what is another each time: %s of a source, a word in capitals of the page."""
    text = re.sub(r"%\d?\$?s|\b[A-Z]{2,}\b(?! environment)", "X", text.replace("GRUB", "grub").replace("UUID", "uuid"))
    return text.replace("JSON", "json").replace("UTF-16", "utf-16").strip()


def is_in(text, page):
    """Whether the page has it, with something for each %s."""
    return re.search(re.escape(text).replace("%s", r"\S.*?"), page) is not None


def messages_of_the_page():
    return {canonical(tag) for tag in Page("hibresume.7").tags("MESSAGES")}


def reasons():
    """As they are shown: the object first, unless there can be none."""
    named = {name: f"{canonical(text)} ({name})" for name, text in told.verdict_reasons().items()}
    assert len(named) == 16
    return {text if name in ("nothing", "ready") else f"X: {text}" for name, text in named.items()}


def test_every_message():
    module = told.module_messages()
    assert NOT_A_MESSAGE.keys() <= module, "a message is excused that is no more"
    menu = Page("hibresume.7").text("THE MENU")
    script = {text for text in told.script_messages() if not is_in(text, menu)}
    assert NOT_A_PROBLEM <= script
    there_are = {canonical(text) for text in (module - NOT_A_MESSAGE.keys()) | (script - NOT_A_PROBLEM)}
    there_are |= {canonical(text) for text in told.location_errors()} | reasons()
    # The plain script says the same as the module, by the same words.
    there_are -= {canonical(text) for text in told.verdict_reasons().values()}
    there_are |= FROM_GRUB
    assert messages_of_the_page() == there_are


def test_what_the_menu_shows():
    """The texts of the scripts that are no messages are in the part about the menu, to the letter."""
    menu = Page("hibresume.7").text("THE MENU")
    for text in ("Resume the hibernated session of %s (%s)", "Resume the hibernated session",
                 "Discard the hibernated session and boot normally",
                 "Other systems (a hibernated session may be lost)",
                 "Press ESC for the menu; its last entries resume or discard the session.",
                 "The session was not resumed; the ordinary menu follows.",
                 "The session was discarded; the ordinary menu follows."):
        assert text in told.script_messages()
        assert is_in(text, menu), text


def test_every_grub_setting():
    assert {tag.partition("=")[0] for tag in Page("hibresume.7").tags("SETTINGS")} == told.grub_settings()


def test_every_variable_of_grub():
    told_of = {name for tag in Page("hibresume.7").tags("THE COMMAND", "Variables") for name in tag.split(", ")}
    assert told.grub_variables() <= told_of
    others = told_of - told.grub_variables()
    for name in others:
        assert f"set {name}=" in told.source("grub-module/06_hibctl.sh.in"), name


def test_every_script_of_grub():
    installed = {path.name.partition(".")[0] for path in (told.TOP / "grub-module").glob("[0-9]*.in")}
    assert len(installed) == 4
    assert installed == set(re.findall(r"/etc/grub\.d/(\w[\w-]*)", Page("hibresume.7").text("FILES")))


def test_every_option_of_probe():
    tags = [tag for tag in Page("hibresume.7").tags("THE COMMAND", "") if tag.startswith("hibresume probe")]
    assert len(tags) == 1
    assert set(re.findall(r"--[a-z-]+", tags[0])) == told.probe_options()


# ---- all of them ----


@pytest.mark.parametrize("name", pages.ALL)
def test_no_formatter_complains(name):
    page = told.TOP / "man" / name
    by_groff = told.run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page)
    assert (by_groff.returncode, by_groff.stderr) == (0, "")
    by_mandoc = told.run("mandoc", "-Tlint", "-Wwarning", page)
    assert (by_mandoc.returncode, by_mandoc.stdout) == (0, "")


def test_no_page_is_left_out():
    assert sorted(path.name for path in (told.TOP / "man").iterdir()) == sorted(pages.ALL)
    for name in pages.ALL:
        assert f"man/{name}" in told.source("Makefile.am")


@pytest.mark.parametrize("name", pages.ALL)
def test_references_lead_somewhere(name):
    text = Page(name).text()
    for page, section in re.findall(r"(?<![\w-])(hib[a-z.]+)\((\d)\)", text):
        assert f"{page}.{section}" in pages.ALL
    for file in re.findall(r"\b(docs/[\w.-]+\.md)\b", text):
        assert (told.TOP / file).is_file(), file
