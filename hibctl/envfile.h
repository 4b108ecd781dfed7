/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A file that holds a GRUB environment block, read and overwritten in place.
 *
 * GRUB keeps a list of the blocks that the file is made of and overwrites them; it replays no journal. So the file is
 * never truncated, renamed or made anew: only sectors that differ are written, where they are. Reads and writes go past
 * the page cache where the filesystem allows it, because after a resume the cache may hold the block from before GRUB
 * changed it.
 */
#ifndef HIBCTL_ENVFILE_H
#define HIBCTL_ENVFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "mark/envblk.h"
#include "util.h"

#define ENVFILE_MAX (1024 * 1024) /* bytes; GRUB's tools make blocks of 1 KiB */

struct envfile {
        char *path; /* with symbolic links resolved */
        int fd;
        bool direct;         /* fd goes past the page cache */
        char *buf;           /* the block as it was read; owned */
        struct envblk block; /* over buf; valid after envfile_open returned 0 with a sound block */
        bool sound;          /* it has GRUB's signature */
};

#define ENVFILE_INIT                                                                                                   \
        {                                                                                                              \
                .fd = -1                                                                                               \
        }

/* Nothing is at PATH; a symbolic link that leads nowhere is not nothing. */
bool envfile_is_missing(const char *path);

/* Opens PATH and reads it. Says what is wrong and returns an exit status; a block without GRUB's signature is opened,
 * with "sound" false. To be closed in any case. */
int envfile_open(struct envfile *f, const char *path, bool for_writing);
void envfile_close(struct envfile *f);
#define _cleanup_envfile_ _cleanup_(envfile_close)

/* Overwrites what differs between the block that was read and NEW, sector by sector, flushing after each, in an order
 * in which no state between shows a damaged block, where there is one; and reads back. On an error the old bytes are
 * put back; if they may not be there again, that is said. 0 or a negative errno; -ESTALE if another program changed the
 * block meanwhile: nothing was written, or what was written is there and the rest is the other's. On success buf holds
 * NEW. */
int envfile_overwrite(struct envfile *f, const char *new_bytes);

/* Says what a negative errno of the functions here, or of bootfs_confirm, means for PATH. Returns an exit status. */
int envfile_explain(const char *path, int error);

/* Makes a new file with SIZE bytes, or replaces one: it gets its name when it is whole and flushed. FOR_GRUB: GRUB is
 * to find the old file or the new one at any time, although it reads no journal. 0 or a negative errno; then there is
 * no new file, or it is said that one may have been replaced. */
int envfile_make(const char *path, const char *bytes, size_t size, mode_t mode, bool for_grub);

/* Likewise, for GRUB, a file that is there: owner and mode stay, and a link to it stays a link. */
int envfile_replace(const char *path, const char *bytes, size_t size);

#endif
