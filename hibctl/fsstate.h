/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The state of a filesystem that is not mounted, read from its superblock.
 */
#ifndef HIBCTL_FSSTATE_H
#define HIBCTL_FSSTATE_H

#include <stdbool.h>

enum fs_state {
        FS_UNKNOWN, /* not a type that shows its state in a place that we read */
        FS_CLEAN,   /* unmounted in order */
        FS_DIRTY,   /* mounted now, or not unmounted in order: mounting it would replay or repair */
};

/* TYPE as libblkid names it. *JOURNAL (may be NULL): an ext filesystem with a journal. */
enum fs_state fs_state(const char *device, const char *type, bool *journal);

#endif
