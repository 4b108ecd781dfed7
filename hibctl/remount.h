/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A filesystem that prepare unmounts and settle, after the resume, mounts again.
 */
#ifndef HIBCTL_REMOUNT_H
#define HIBCTL_REMOUNT_H

#include <stdbool.h>

struct mounted {
        char *device, *mount_point, *type, *options; /* owned */
        bool unmounted;                              /* by us, and not mounted again */
};

void mounted_free(struct mounted *m);
#define _cleanup_mounted_ _cleanup_(mounted_free)

/* Fills in type and options from the mount table, by device and mount point. Says what is wrong and returns an exit
 * status. */
int mounted_describe(struct mounted *m);

/* Mounts it as it was, if it is unmounted. Says what is wrong and returns an exit status. */
int mounted_again(struct mounted *m);

/* Writes it down in /run, which lives in the memory of the sleeping system, for remount_remembered. Says what is wrong
 * and returns an exit status. */
int mounted_remember(const struct mounted *m);

/* Removes what mounted_remember wrote down. Likewise. */
int mounted_forget(void);

/* Mounts again what was written down, and forgets it. EXIT_NOTHING if nothing was; else as above. */
int remount_remembered(void);

#endif
