/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Freezing a mounted filesystem for a moment. GRUB replays no journal: what is only there it does not see. A freeze
 * makes the filesystem write everything to where it belongs.
 */
#ifndef HIBCTL_FREEZE_H
#define HIBCTL_FREEZE_H

#include <stdbool.h>
#include <sys/types.h>

struct freeze {
        int fd;       /* of a file or folder on the filesystem; borrowed */
        int to_guard; /* pipe to the watchdog */
        pid_t guard;  /* a child that thaws if we die or take too long */
        int frozen;
};

/* Makes ext3 and ext4 write everything that is in the journal to where it belongs, as a freeze does, but nobody has to
 * wait (Linux 5.14). 0 or a negative errno: -EOPNOTSUPP where only a freeze will do. */
int write_out_journal(int fd);

/* Writes out all that the filesystem of FD has in memory, and the disk's own cache: on FAT syncfs alone leaves that. 0
 * or a negative errno. */
int sync_filesystem(int fd);

/* Brings all that the filesystem of FD has only in memory or in its journal to where GRUB reads it: as above, or by a
 * freeze and a thaw, or where there is neither, by a sync. 0 or a negative errno. */
int write_out_filesystem(int fd);

/* Whether somebody has frozen the filesystem that FD is on: a write would then wait, and could not be interrupted. */
bool is_frozen(int fd);

/* Freezes the filesystem that FD is on. From here to freeze_end nothing may be written to it, not even a log line. A
 * child watches: if this process dies, or FREEZE_LIMIT passes, it thaws. 0 or a negative errno: -EOPNOTSUPP if the
 * filesystem cannot be frozen, or need not be (btrfs, f2fs), -EBUSY if somebody else has frozen it. */
int freeze_begin(struct freeze *f, int fd);

/* Thaws, and ends the child. -ETIMEDOUT if the watchdog had to thaw before: what was read since then proves nothing.
 * Safe to call without, or twice after, freeze_begin. */
int freeze_end(struct freeze *f);

#define FREEZE_LIMIT_MS 10000
#define FREEZE_INIT                                                                                                    \
        {                                                                                                              \
                .fd = -1, .to_guard = -1                                                                               \
        }

#endif
