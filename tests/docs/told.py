# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""What the program itself tells: its commands and options, its settings, the messages of the GRUB module."""

import functools
import os
import re
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
_PLAIN = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}


def run(*argv, **more):
    return subprocess.run([str(arg) for arg in argv], capture_output=True, text=True, check=False, timeout=60,
                          stdin=subprocess.DEVNULL, **{"env": _PLAIN} | more)


class Tool:
    """The hibctl under test. "" stands for what comes before a command."""

    def __init__(self, path):
        self.path = path

    @functools.cache
    def help(self, command=""):
        done = run(self.path, *command.split(), "--help")
        assert done.returncode == 0 and done.stderr == "", done
        return done.stdout

    @functools.cached_property
    def commands(self):
        """In the order of the help."""
        part = self.help().partition("Commands:\n")[2].partition("\n\n")[0]
        return re.findall(r"^  ([a-z]+) ", part, re.M)

    @functools.cache
    def options(self, command=""):
        """{"--image": True, ...}: whether a value follows."""
        part = self.help(command).partition("Options:\n")[2]
        found = re.findall(r"^ +(?:-(\w), )?--([a-z-]+)(=?)", part, re.M)
        options = {f"--{long}": value == "=" for _, long, value in found}
        return options | {f"-{short}": False for short, _, _ in found if short}

    @functools.cached_property
    def everywhere(self):
        """The options that may stand before a command and behind it."""
        return {name for name in self.options() if name not in ("--root", "--version", "-V")}

    @functools.cache
    def all_options(self, command=""):
        """Those that are listed everywhere, too."""
        return set(self.options(command)) | self.everywhere

    @functools.cached_property
    def verbs(self):
        """Of env."""
        part = self.help("env").partition("Options:\n")[2]
        return re.findall(r"^ +([a-z]+) ", part, re.M)

    @functools.cached_property
    def stores(self):
        """As the program names them to who asks for another."""
        said = run(self.path, "mark", "--store=none-such").stderr
        return set(re.search(r"there are: ([a-z, ]+)$", said.strip())[1].split(", "))

    @functools.cached_property
    def phases(self):
        """Of sleep, likewise."""
        said = run(self.path, "sleep", "none-such", "suspend").stderr
        return set(re.search(r"there are: ([a-z, ]+)$", said.strip())[1].split(", "))

    def usage(self, command):
        """What follows the name in the usage line."""
        text = " ".join(self.help(command).partition("\n\n")[0].split())
        return text.partition(f"COMMAND {command}" if f"COMMAND {command}" in text else f"[OPTION...] {command}")[2].strip()


# ---- the sources ----


def source(name):
    return (TOP / name).read_text(encoding="utf-8")


def settings():
    """The keys of hibctl.conf."""
    table = re.search(r"\} keys\[\] = \{\n(.*?)\n\};", source("hibctl/settings.c"), re.S)[1]
    return set(re.findall(r'\{ "(\w+)",', table))


def grub_settings():
    """GRUB_HIBCTL_..., of /etc/default/grub."""
    names = re.search(r"for name in ([A-Z_ ]+); do", source("grub-module/06_hibctl.sh.in"))[1].split()
    for script in TOP.glob("grub-module/*.in"):
        names += re.findall(r"\$\{GRUB_HIBCTL_([A-Z_]+)-\}", script.read_text(encoding="utf-8"))
    return {f"GRUB_HIBCTL_{name}" for name in names}


def grub_variables():
    """What the module sets for grub.cfg."""
    return set(re.findall(r'\bset \("(\w+)"', source("grub-module/tell.c"))) | {"hibresume_version"}


def probe_options():
    return set(re.findall(r'grub_strcmp \(option, "(--[a-z-]+)"\)', source("grub-module/hibresume.c")))


def verdict_reasons():
    """{name: text}."""
    return dict(re.findall(r'\[REASON_\w+\] = \{ "([a-z-]+)",\s*N_\("([^"]*)"\) \}', source("mark/verdict.c")))


def location_errors():
    return set(re.findall(r'\[LOCATION_E_\w+\] = \{ "[a-z-]+", N_\("([^"]*)"\) \}', source("mark/location.c")))


def xgettext(*files):
    """The messages that translators get of these files, by the options of po/Makevars."""
    options = re.search(r"^XGETTEXT_OPTIONS = (.*)$", source("po/Makevars"), re.M)[1].split()
    done = run("xgettext", "--no-wrap", "--omit-header", "--output=-", *options, *files, cwd=TOP)
    assert done.returncode == 0, done.stderr
    texts = re.findall(r'^msgid ((?:".*"\n)+)', done.stdout, re.M)
    plain = ("".join(re.findall(r'"(.*)"', text)) for text in texts)
    return {text.replace("\\n", "").replace('\\"', '"') for text in plain}


def module_messages():
    return xgettext(*sorted(str(path.relative_to(TOP)) for path in TOP.glob("grub-module/*.c")))


def scripts():
    """Those for grub-mkconfig that have texts."""
    return sorted(str(path.relative_to(TOP)) for path in TOP.glob("grub-module/*.sh.in"))


def script_messages():
    return xgettext(*scripts())
