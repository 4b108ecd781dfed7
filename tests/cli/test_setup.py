# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""hibctl setup and GRUB's menu: what it says before it does it, that grub.cfg is made anew, and that --remove leaves nothing.
The tool sees the machine's /boot and /etc/grub.d in the place of the host's, and an update-grub of the test's."""

import pytest

from . import rig

SCRIPTS = list(rig.GRUB_D_SCRIPTS)
# As the real one: what is in grub.d decides.
UPDATE_GRUB = """#!/bin/sh
echo "making it" "$@" "in $LANG $LANGUAGE $LC_ALL $LC_MESSAGES, with $HOME"
if [ -e /etc/grub.d/06_hibctl ]; then echo 'hibresume probe'; else echo 'set x=1'; fi >/boot/grub/grub.cfg.new
mv /boot/grub/grub.cfg.new /boot/grub/grub.cfg
"""
# With a lock of its own, and without the copies of what other tests have mounted, which would keep that in use.
INSIDE = """awk -v own="$1/boot" '$2 ~ "^/dev/shm/hibctl-" && $2 != own {print $2}' /proc/self/mounts | tac | xargs -r umount -l
mount -t tmpfs none /run && mount --bind "$1/boot" /boot && mount --bind "$1/sbin" /usr/local/sbin && mount --bind "$1/grub.d" /etc/grub.d &&
for name in update-grub grub-mkconfig grub2-mkconfig; do
  ! [ -e "/usr/sbin/$name" ] || mount --bind /dev/null "/usr/sbin/$name"
done && shift && exec "$@"
"""


class Host:
    """The command in a mount namespace in which the machine is the host."""

    def __init__(self, machine, folder):
        self.machine, self.grub = machine, machine.grub
        self.folder, self.grub_d, self.scripts = folder, folder / "grub.d", folder / "scripts"
        for path in (self.grub_d, self.scripts, folder / "sbin", folder / "boot", folder / "modules/i386-pc"):
            path.mkdir(parents=True)
        for name in SCRIPTS:
            (self.scripts / name).write_text(f"#!/bin/sh\n# {name}\n")
        (folder / "modules/i386-pc/hibresume.mod").write_bytes(b"\x7fELF a module")
        (self.grub_d / "10_linux").write_text("another's\n")
        (self.grub / "i386-pc").mkdir()
        self.maker("update-grub", UPDATE_GRUB)
        machine.write_grub_cfg("set x=1\n")

    def maker(self, name, text):
        for path in (self.folder / "sbin").iterdir():
            path.unlink()
        if text:
            (self.folder / "sbin" / name).write_text(text)
            (self.folder / "sbin" / name).chmod(0o755)

    def __call__(self, *words, first=(), **more):
        inside = INSIDE.replace('"$1/boot"', f'"{self.machine.root}/boot"')
        prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", inside, "sh", self.folder)
        return self.machine.tool(*first, "setup", f"--modules={self.folder}/modules", f"--scripts={self.scripts}", *words, prefix=prefix, **more)

    def files(self):
        """All that setup may touch."""
        return {str(path): path.read_bytes() for top in (self.grub, self.grub_d) for path in sorted(top.rglob("*")) if path.is_file()}

    def grub_cfg(self):
        """As GRUB reads it, on the bytes of the device."""
        return self.machine.fs.grub_reads(f"{self.machine.prefix}/grub.cfg").decode()


@pytest.fixture
def host(make, tmp_path):
    machine = make("ext4", layout="boot")
    machine.put_block(b"# GRUB Environment Block\nsaved_entry=mine\n".ljust(1024, b"#"))
    return Host(machine, tmp_path)


def test_scripts_that_cannot_be_run_are_put_right(host):
    host().done()
    for name in SCRIPTS:
        (host.grub_d / name).chmod(0o644)
    host().done()
    assert all((host.grub_d / name).stat().st_mode & 0o777 == 0o755 for name in SCRIPTS)
    host().nothing()


def test_others_may_work_while_the_menu_is_made(host):
    """That can take minutes, and a machine that goes to sleep meanwhile must be marked."""
    host.maker("update-grub", UPDATE_GRUB + "flock --nonblock /run/hibctl.lock true || exit 1\n")
    host().done()


@pytest.mark.slow
def test_another_that_stays_while_the_menu_is_made(host):
    """It has what setup must change next, and setup does not wait for ever."""
    host.maker("update-grub", UPDATE_GRUB + "flock /run/hibctl.lock sleep 14 >/dev/null 2>&1 & sleep 1\n")
    result = host()
    assert result.status == 1 and "/run/hibctl.lock: another hibctl has been running for 10 seconds" in result.err, result
    assert "hibctl: done" not in result.err


def test_what_is_left_to_do_is_said_in_any_case(host):
    host.maker("update-grub", None)
    assert "now run update-grub" in host(first=["-q"]).done().err
    result = host().nothing()
    assert "now run update-grub" in result.err and "nothing to do" not in result.err


def test_says_it_does_it_and_undoes_it(host):
    before = host.files()
    result = host("--dry-run").done()
    steps = [line.removeprefix("hibctl: would do: ") for line in result.err.splitlines() if "would do" in line]
    assert len(steps) == 7 and [word in step for word, step in zip(("slot", "hibresume.mod", *SCRIPTS, "update-grub"), steps)] == [True] * 7
    assert host.files() == before

    result = host().done()
    assert [line.removeprefix("hibctl: will do: ") for line in result.err.splitlines() if "will do" in line] == steps
    assert result.err.index("will do: make grub.cfg") < result.err.index("making it"), "it is said first"
    assert "done: GRUB asks" in result.err and result.out == b""
    assert "hibresume probe" in host.grub_cfg()
    assert all((host.grub_d / name).stat().st_mode & 0o777 == 0o755 for name in SCRIPTS)
    assert "making it" not in host().nothing().err

    result = host("--remove").done()
    assert "done: the boot loader is as it was" in result.err
    assert host.files() == before and host.grub_cfg() == "set x=1\n"
    host("--remove").nothing()


@pytest.mark.parametrize("name", ["grub-mkconfig", "grub2-mkconfig"])
def test_other_distributions(host, name):
    host.maker(name, UPDATE_GRUB)
    result = host().done()
    assert f"make grub.cfg anew: /usr/local/sbin/{name} -o /boot/grub/grub.cfg" in result.err
    assert "making it -o /boot/grub/grub.cfg" in result.err and "hibresume probe" in host.grub_cfg()


def test_the_menu_is_in_the_language_of_who_calls(host):
    """And nothing else of the environment gets there."""
    env = {"LANG": "de_DE.UTF-8", "LANGUAGE": "de", "LC_MESSAGES": "C", "HOME": "/root"}
    assert "making it in de_DE.UTF-8 de C C, with \n" in host(env=env).done().err


def test_json_is_only_json(host):
    result = host("--json").done()
    assert result.json() == {"changes": 7, "dry_run": False, "removed": False}


def test_a_changed_script_is_put_right(host):
    host().done()
    (host.grub_d / "06_hibctl").write_text("of an earlier release\n")
    result = host().done()
    assert [line for line in result.err.splitlines() if "will do" in line] == [
        "hibctl: will do: install /etc/grub.d/06_hibctl", "hibctl: will do: make grub.cfg anew: /usr/local/sbin/update-grub"]
    assert (host.grub_d / "06_hibctl").read_bytes() == (host.scripts / "06_hibctl").read_bytes()


def test_a_grub_cfg_that_does_not_ask_is_made_anew(host):
    host().done()
    host.machine.write_grub_cfg("set x=1\n")
    host().done()
    assert "hibresume probe" in host.grub_cfg()


@pytest.mark.parametrize("text, words", [
    ("#!/bin/sh\necho broken; exit 3\n", ["broken", "it failed", "run it again"]),
    ("#!/bin/sh\nkill -9 $$\n", ["it failed", "run it again"]),
    ("#!/bin/sh\nexit 0\n", ["does not ask for a mark after /usr/local/sbin/update-grub"]),
    ("no program\n", ["it failed"]),
], ids=["fails", "killed", "lies", "no program"])
def test_it_cannot_be_made(host, text, words):
    host.maker("update-grub", text)
    result = host()
    assert result.status == 1 and "done: " not in result.err and result.out == b"", result
    assert all(word in result.err for word in words) and "a part of it may have been done" in result.err, result
    host.maker("update-grub", UPDATE_GRUB)
    host().done()
    assert "hibresume probe" in host.grub_cfg()


def test_it_cannot_be_unmade(host):
    """GRUB asks for a mark still, so what answers it stays."""
    host().done()
    host.maker("update-grub", "#!/bin/sh\nexit 0\n")
    result = host("--remove")
    assert result.status == 1 and "it still asks for a mark" in result.err
    assert (host.grub / "i386-pc/hibresume.mod").exists() and b"hib_mark" in host.machine.block.read_bytes()


def test_no_command_for_it(host):
    host.maker("update-grub", None)
    result = host().done()
    assert "now run update-grub (or grub-mkconfig -o /boot/grub/grub.cfg), so that the menu asks" in result.err
    assert "now run update-grub" in host().nothing().err


def test_nothing_is_run_for_another_root(host):
    folder = host.machine.root / "etc/grub.d"
    folder.mkdir()
    result = host.machine("setup", f"--scripts={host.scripts}", f"--modules={host.folder}/modules").done()
    assert "now run update-grub" in result.err and "anew" not in result.err
    assert sorted(path.name for path in folder.iterdir()) == SCRIPTS
    host.machine("setup", "--remove").done()
    assert not list(folder.iterdir())


def test_no_scripts_to_install(host):
    (host.scripts / "06_hibctl").unlink()
    before = host.files()
    result = host()
    assert result.status == 1 and "scripts/06_hibctl: cannot read what is to be installed" in result.err
    assert host.files() == before, "it finds out before it changes anything"


def test_unmounted_boot_is_left_to_the_administrator(make, tmp_path):
    machine = make("ext4", layout="fstab")
    with machine.mounted():
        (machine.grub / "grub.cfg").write_text("set x=1\n")
    result = machine.tool("setup", root=machine.root).done()
    assert "now run update-grub" in result.err and rig.is_mounted(machine.root / "boot") is False
