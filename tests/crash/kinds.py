# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The filesystems that are tried, and who checks them: those of the command line's tests, and more."""

from cli.rig import FILESYSTEMS, MIB


def _ext4_with_data(mode):
    """How file data is written is taken from the superblock, so that everybody mounts it so."""
    script = f'for last; do :; done; mkfs.ext4 -q -b 1024 "$@" && tune2fs -o {mode} "$last"'
    return 8 * MIB, ["sh", "-c", script, "sh"]


# The part of a name before its first dash is the type that it is mounted as.
_MORE = {
    "ext2-4k": (16 * MIB, ["mkfs.ext2", "-q", "-b", "4096"]),
    "ext4-old": (8 * MIB, ["mkfs.ext4", "-q", "-b", "1024", "-O", "^64bit,^metadata_csum"]),
    "ext4-journal": _ext4_with_data("journal_data"),
    "ext4-writeback": _ext4_with_data("journal_data_writeback"),
    "ext4-inline": (16 * MIB, ["mkfs.ext4", "-q", "-b", "4096", "-I", "4096", "-i", "16384", "-O", "inline_data"]),
    "xfs-noreflink": (320 * MIB, ["mkfs.xfs", "-q", "-m", "reflink=0"]),
}
assert not _MORE.keys() & FILESYSTEMS.keys()
FILESYSTEMS.update(_MORE)

NO_JOURNAL = {"ext2", "ext2-4k", "ext4-nojournal"}

# A copy of a filesystem is mounted beside the first only if one insists.
MOUNT_OPTIONS = {"xfs": "nouuid"}

_CHECKERS = {
    "ext": ["e2fsck", "-fn"],
    "xfs": ["xfs_repair", "-n", "-P", "-o", "bhash=512", "-f"],  # small caches: twice as fast
    "btrfs": ["btrfs", "check", "--readonly"],
}
# The sectors of a superblock that has a checksum over all of them. If power fails between two of them, the kernel does not
# mount it; that is so with everything that is ever written to such a filesystem, and the checkers mend it.
_SUPERBLOCKS = {"ext4": (2, 3), "btrfs": tuple(range(128, 136))}
_NO_CHECKSUM = {"ext4-old"}


def _of_type(table, type_, default=None):
    return next((value for begin, value in table.items() if type_.startswith(begin)), default)


def checker(type_):
    return _of_type(_CHECKERS, type_)


def superblock(kind):
    return () if kind in _NO_CHECKSUM else _of_type(_SUPERBLOCKS, kind, ())
