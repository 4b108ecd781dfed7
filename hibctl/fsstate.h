/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Was a filesystem left in order? Told from its bytes alone, which may be anything: every read is inside the source and
 * their number has a bound. Nothing here does I/O by itself.
 *
 * What FS_CLEAN means: mounting it has nothing to replay and nothing to repair. What it says about whether somebody (a
 * system that sleeps, say) still has it mounted for writing differs:
 *
 *   ext3, ext4     nobody has, unless it was frozen: a freeze empties the journal and clears the flag. With multi-mount
 *                  protection (the mmp feature) a frozen one shows too.
 *   ext2, and ext4 without a journal
 *                  nobody has, as Linux's ext4 driver does it; its old ext2 driver sets the flag again for a freeze.
 *   FAT            nobody has who sets the flag: Linux does, firmware and GRUB do not.
 *   exFAT          nobody who has changed anything since the last sync, which clears the flag in Linux.
 *   XFS            nobody who has changed anything: a mount writes nothing to the log before the first change.
 *                  A frozen one is not clean.
 *   F2FS           likewise, before the first change; after that not before the next checkpoint or fsync.
 *   btrfs          nothing: it has no such flag. It is always as the last commit left it, and clean unless an fsync
 *                  since then has left a log.
 *
 * Mounted read-only leaves no trace anywhere. So "clean" is never enough to write to what another system may hold: that
 * system must have recorded that it unmounted it.
 */
#ifndef HIBCTL_FSSTATE_H
#define HIBCTL_FSSTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fs_state {
        FS_UNKNOWN,        /* it cannot be told, so it is not safe; 0, so that nothing is clean by default */
        FS_CLEAN,          /* unmounted in order */
        FS_NEEDS_RECOVERY, /* mounting it would replay something, or it needs repair */
        FS_MARKED_MOUNTED, /* it says itself that it is mounted: it is, or it was not unmounted in order */
        FS_IN_USE,         /* somebody in the running system holds the device; never from fs_examine */
};

struct fs_report {
        enum fs_state state;
        const char *reason; /* what was seen, a phrase for after "DEVICE: ...: ", not translated yet; NULL if clean */
        bool journal;       /* an ext filesystem with a journal; valid unless FS_UNKNOWN */
};

/* Where the bytes come from. */
struct fs_source {
        void *context;
        /* 0, or a negative errno. Only called for bytes below SIZE. */
        int (*read)(void *context, uint64_t at, void *buf, size_t size);
        uint64_t size;
};

/* TYPE as libblkid or the kernel names it: ext2, ext3, ext4, vfat, msdos, exfat, xfs, btrfs, f2fs; any other is
 * FS_UNKNOWN. */
struct fs_report fs_examine(const struct fs_source *source, const char *type);

#endif
