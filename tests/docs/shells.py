# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Real shells that complete real lines. bash and zsh are at a terminal and are asked to put in all that there is; fish
has a command for it."""

import os
import pty
import shlex
import shutil
import signal
import threading
import time

from . import told

_TIMEOUT = 60  # seconds; the machine may be busy
FILES = {"bash": "hibctl", "zsh": "_hibctl", "fish": "hibctl.fish"}

_BASH = """\
source {file}
bind '"\\C-xa": insert-completions'
bind -x '"\\C-xn": note'
note() {{ printf '%s' "$READLINE_LINE" >{out}.new; mv {out}.new {out}; READLINE_LINE=; READLINE_POINT=0; }}
"""

_ZSH = """\
fpath=({folder} $fpath)
autoload -Uz compinit && compinit -u -D
unsetopt beep
every() {{ _main_complete; compstate[insert]=all; compstate[list]=; }}
note() {{ print -rn -- "$BUFFER" >{out}.new; mv {out}.new {out}; BUFFER=; }}
zle -C every complete-word every
zle -N note
bindkey '^Xa' every
bindkey '^Xn' note
"""


class _AtTerminal:
    """A shell at a pseudo-terminal, to which keys are sent. It answers through a file."""

    def __init__(self, argv, setup, folder):
        self._out = folder / "answer"
        file = folder / "setup"
        file.write_text(setup.format(out=self._out, folder=told.TOP / "completion",
                                     file=told.TOP / "completion" / FILES["bash"]))
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(folder)
            os.execvpe(argv[0], argv, {"PATH": os.environ["PATH"], "TERM": "vt100", "HOME": str(folder),
                                       "LC_ALL": "C.UTF-8", "ZDOTDIR": str(folder), "HISTFILE": "/dev/null"})
        threading.Thread(target=self._read, daemon=True).start()
        self.tell(f"source {shlex.quote(str(file))}")

    def _read(self):
        """Or it would wait for somebody to read."""
        while True:
            try:
                if not os.read(self._terminal, 65536):
                    return
            except OSError:
                return

    def tell(self, command):
        """Runs a command, and waits until it is done."""
        done = self._out.with_name("done")
        os.write(self._terminal, f"{command}; : >{shlex.quote(str(done))}\n".encode())
        self._wait_for(done)

    def _wait_for(self, file):
        deadline = time.monotonic() + _TIMEOUT
        while not file.exists():
            assert time.monotonic() < deadline, f"the shell did not answer within {_TIMEOUT} s"
            time.sleep(0.01)
        text = file.read_text()
        file.unlink()
        return text

    def line(self, typed):
        """What the line is, once everything that fits was put in."""
        os.write(self._terminal, typed.encode() + b"\x18a\x18n")
        return self._wait_for(self._out)

    def words(self, typed):
        """What could stand for the last word."""
        before = typed[:len(typed) - len(typed.split(" ")[-1])]
        line = self.line(typed)
        assert line.startswith(before), line
        return set(shlex.split(line[len(before):]))

    def close(self):
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._terminal)


class Bash(_AtTerminal):
    def __init__(self, folder):
        super().__init__(["bash", "--norc", "--noprofile", "-i"], _BASH, folder)

    def disks(self, folder):
        self.tell(f"_hibctl_disks={folder}")


class Zsh(_AtTerminal):
    def __init__(self, folder):
        super().__init__(["zsh", "-f", "-i"], _ZSH, folder)

    def disks(self, folder):
        self.tell(f"_hibctl_disks={folder}")


class Fish:
    def __init__(self, folder):
        self._folder, self._disks = folder, ""

    def disks(self, folder):
        self._disks = f"set -g _hibctl_disks {folder}; "

    def words(self, typed):
        done = told.run("fish", "--no-config", "-c",
                        f"source {told.TOP}/completion/{FILES['fish']}; {self._disks}complete -C {shlex.quote(typed)}",
                        env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "LC_ALL": "C.UTF-8"},
                        cwd=self._folder)
        assert done.returncode == 0 and done.stderr == "", done
        return {line.partition("\t")[0] for line in done.stdout.splitlines()}

    def close(self):
        pass


def start(name, folder):
    assert shutil.which(name), f"{name} is not installed; './dev install-deps' does that"
    return {"bash": Bash, "zsh": Zsh, "fish": Fish}[name](folder)
