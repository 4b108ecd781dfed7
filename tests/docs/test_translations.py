# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Translators get every text, and what they make of it is shown: also that of the script for grub-mkconfig."""

import os
import re
from pathlib import Path

import pytest

from . import told


def test_every_file_with_texts_is_listed():
    listed = set(told.source("po/POTFILES.in").split())
    sources = [*(told.TOP / "grub-module").glob("*.in"), *(path for folder in ("efi", "hibctl", "mark")
                                                           for path in (told.TOP / folder).glob("*.[ch]"))]
    with_texts = {str(path.relative_to(told.TOP)) for path in sources if re.search(
        r'(?<![\w"])(?:N?_\(\s*\n?\s*"|(?:gettext(?:_printf)?|translated) ")', path.read_text(encoding="utf-8"))}
    assert with_texts <= listed
    for file in listed - with_texts:  # harmless, if it is there
        assert (told.TOP / file).is_file(), file


def test_every_text_of_the_scripts_is_found():
    """xgettext understands them, with their here-documents and quotes."""
    texts = {text for script in told.scripts()
             for text in re.findall(r'(?:gettext|gettext_printf|translated) "([^"$]+)"', told.source(script))}
    assert len(texts) >= 20
    assert told.script_messages() == texts


def catalogue(folder, texts):
    """Makes a catalogue for "de" of hibctl's own domain."""
    po, mo = folder / "de.po", folder / "de" / "LC_MESSAGES" / "hibctl.mo"
    mo.parent.mkdir(parents=True)
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n'
    po.write_text(header + "".join(f'\nmsgid "{a}"\nmsgstr "{b}"\n' for a, b in texts.items()))
    done = told.run("msgfmt", "-o", mo, po)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def script():
    """As it is installed."""
    if "HIBCTL_GRUB_D" not in os.environ:
        pytest.fail("HIBCTL_GRUB_D does not name the folder with the scripts for grub-mkconfig")
    return Path(os.environ["HIBCTL_GRUB_D"], "06_hibctl").read_text(encoding="utf-8")


def test_the_menu_is_translated(script, tmp_path):
    """By our own catalogue, though GRUB's is the one that grub-mkconfig has set."""
    catalogue(tmp_path, {"Discard the hibernated session and boot normally": "Die Sitzung verwerfen – für immer",
                         "Resume the hibernated session of %s (%s)": "Die Sitzung von %s's Zeit (%s)",
                         "the mark is stale: there is no hibernation image where it points": "Die Marke ist veraltet",
                         "Press ESC for the menu; its last entries resume or discard the session.": "ESC: 100 % Menü"})
    folder, = re.findall(r'^export TEXTDOMAINDIR="(.*)"$', script, re.M)
    assert folder.endswith("/share/locale") and "@" not in folder
    (tmp_path / "06_hibctl").write_text(script.replace(f'"{folder}"', f'"{tmp_path}"'))
    done = told.run("sh", tmp_path / "06_hibctl", env={
        "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "LANGUAGE": "de", "TEXTDOMAIN": "grub",
        "pkgdatadir": "/usr/share/grub", "GRUB_DEVICE": "/dev/vda3"})
    assert done.returncode == 0, done
    assert "menuentry 'Die Sitzung verwerfen – für immer' --id hibctl-discard" in done.stdout
    assert """set hib_title='Die Sitzung von '"${hib_time}"''\\''s Zeit ('"${hib_release}"')'""" in done.stdout
    assert "echo 'ESC: 100 % Menü'" in done.stdout
    assert "set hib_title='Resume the hibernated session'" in done.stdout  # not in this catalogue
    assert "Adding the menu entry" in done.stderr
    # What the module says in English, if there is a translation.
    assert """\
if [ "x${hib_about}" != x ]; then
  if [ "x${hib_reason}" = xstale ]; then
    set hib_words="${hib_about}: "'Die Marke ist veraltet'
  fi
fi
""" in done.stdout


def test_every_reason_can_be_translated(script):
    """But for the one that is never shown."""
    texts = dict(re.findall(r'^ +translation ([a-z-]+) "(.*)"$', script, re.M))
    assert texts == {name: text for name, text in told.verdict_reasons().items() if name != "nothing"}


def test_translations_for_the_scripts():
    """What the shell's printf gets has the same %s, in the same order: it knows no %1$s."""
    ours, seen = told.script_messages(), 0
    for po in told.TOP.glob("po/*.po"):
        done = told.run("msgcat", "--no-wrap", "--sort-output", po)
        assert done.returncode == 0, done.stderr
        for original, text in re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', done.stdout, re.M):
            if original in ours:
                seen += 1
                assert re.findall(r"%[^ %]", text) == re.findall(r"%[^ %]", original), f"{po.name}: {text}"
    assert seen >= 100


def test_every_catalogue_is_listed_and_whole():
    languages = told.source("po/LINGUAS").split()
    assert sorted(f"{language}.po" for language in languages) == sorted(path.name for path in (told.TOP / "po").glob("*.po"))
    assert len(languages) >= 10
    for language in languages:
        for what in ("--untranslated", "--only-fuzzy"):
            assert not told.run("msgattrib", what, "--no-obsolete", told.TOP / "po" / f"{language}.po").stdout, f"{language}: {what}"
