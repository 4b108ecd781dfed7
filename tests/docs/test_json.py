# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""docs/integrators.md has every key and every word that the tool's JSON can have, and no other key."""

import re

from . import told

# Written out of a variable or a table, so not beside the call that adds them.
OTHERS = {"cancelled", "cleared", "disarmed", "env", "bootbits", "efi"}


def part_about_json():
    text = told.source("docs/integrators.md")
    return text.partition("\n## JSON\n")[2].partition("\n## ")[0]


def sources():
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(told.TOP.glob("hibctl/*.c")))


def keys_of_the_program():
    found = set(re.findall(r'\b(?:add_text|add_boot_entry|json_object_object_add)\(\s*\w+,\s*"([a-z_]+)"', sources()))
    for field, key in (("what", "cancelled"), ("what", "cleared"), ("also", "disarmed")):
        assert f'.{field} = "{key}"' in sources()
    return found | OTHERS


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]


def keys_of_the_document():
    """In the tables, the first column, of the other commands the second; and behind "has" in a sentence."""
    objects, _, others = part_about_json().partition("### The others")
    places = [row[0] for row in rows(objects)] + [row[1] for row in rows(others)]
    places += re.findall(r"^`\w+` has (.*?)\.\n", objects, re.M | re.S)
    return {key for text in places for key in re.findall(r"`([a-z_]+)`", re.sub(r"\([^)]*\)", "", text))}


def test_every_key():
    without_values = re.sub(r"^(?:Reasons|Names of findings).*?\n\n", "", part_about_json(), flags=re.M | re.S)
    in_code = set(re.findall(r"`([a-z_]+)`", without_values))
    assert keys_of_the_program() <= in_code


def test_no_other_key():
    told_of = keys_of_the_document()
    assert len(told_of) > 40
    assert told_of - {"null", "get"} <= keys_of_the_program()


def test_every_word():
    """What a key can be: the tables of words in the sources."""
    text = part_about_json()
    words = {word for table in re.findall(r"static const char \*const (?:words|access)\[\] = \{\n(.*?)\n *\};",
                                          told.source("hibctl/cmd-status.c"), re.S)
             for word in re.findall(r'= "([a-z-]+)"', table)}
    words |= set(told.verdict_reasons()) | set(re.findall(r'return "([a-z]+)";', told.source("mark/verdict.c")))
    words |= set(re.findall(r'^        \{ "([a-z-]+)", N_', told.source("hibctl/cmd-check.c"), re.M))
    words |= set(re.findall(r'\[LEVEL_\w+\] = "(\w+)"', told.source("hibctl/findings.c")))
    words |= set(re.findall(r'\[PLAN_BOOT_\w+\] = "(\w+)"', told.source("hibctl/plan.c")))
    assert len(words) > 60
    assert words <= set(re.findall(r"`([a-z-]+)`", text))
