/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The boot filesystem: the one that GRUB's prefix, and so its environment block, is on. It is found, mounted for a
 * moment where it is not mounted, and what was written is proved to be where GRUB reads it.
 */
#ifndef HIBCTL_BOOTFS_H
#define HIBCTL_BOOTFS_H

#include <stdbool.h>
#include <sys/types.h>

#include "device.h"
#include "envfile.h"
#include "plan.h"

#define ENV_EXTENTS_MAX 64

struct bootfs {
        char *prefix;      /* GRUB's folder: /boot/grub or /boot/grub2, as reached now */
        char *env_path;    /* the environment block in it; the file may not exist */
        char *mount_point; /* where the filesystem is mounted */
        char *subtree;     /* the folder of the filesystem that is mounted there: "/" but for subvolumes and binds */
        char *device;      /* node of the block device; NULL if it has none */
        dev_t dev;
        unsigned int layers; /* enum device_layer */
        char type[UUID_TEXT_MAX];
        bool journal;      /* metadata may be in a journal only: needs a freeze before GRUB sees it */
        bool mounted_here; /* by us, in our own mount namespace */
        struct extent extents[ENV_EXTENTS_MAX]; /* of the environment block, after bootfs_confirm */
        int n_extents;
        char *before, *after; /* the block, of size bytes, before and after bootfs_overwrite; owned */
        size_t size;
};

enum bootfs_mount {
        BOOTFS_READ, /* read-only and without replaying anything */
        BOOTFS_WRITE,
        BOOTFS_WRITE_OR_READ, /* where GRUB could not overwrite a file, as BOOTFS_READ instead of an error */
};

/* Finds the boot filesystem; if fstab knows it and it is not mounted, mounts it in a mount namespace of our own. Says
 * what is wrong and returns an exit status. To be detached in any case. */
int bootfs_attach(struct bootfs *fs, enum bootfs_mount how);

/* In a save kernel, where no fstab says anything: mounts the boot filesystem that the plan names, if the sleeping
 * system does not hold it and it is clean. Otherwise as bootfs_attach. */
int bootfs_attach_planned(struct bootfs *fs, const struct plan *plan, bool for_writing);

/* Describes the filesystem that PATH is on, for a block that is named by its path; mounts nothing. Says what is wrong
 * and returns an exit status. To be detached in any case. */
int bootfs_describe(struct bootfs *fs, const char *path);

/* Why GRUB could not write to a file there, as a sentence, or NULL if it can. */
const char *bootfs_why_not_writable(const struct bootfs *fs);

/* Whether somebody else has mounted it so that we cannot write there. */
bool bootfs_is_read_only(const struct bootfs *fs);

/* Proves that GRUB reads the block as F holds it: freezes and thaws where metadata could be in a journal only, asks
 * where the file is, and compares those bytes of the device. 0 or a negative errno; -ESTALE if the device has others.
 */
int bootfs_confirm(struct bootfs *fs, const struct envfile *f);

/* envfile_overwrite and bootfs_confirm; if that fails, the old bytes are put back, or it is said that they could not
 * be. 0 or a negative errno: -EAGAIN if the block changed under us before anything was proved. */
int bootfs_overwrite(struct bootfs *fs, struct envfile *f, const char *new_bytes);

/* Writes all of the filesystem to where GRUB reads it, with a freeze if there is a journal. 0 or a negative errno,
 * which is in errno too. */
int bootfs_write_out(const struct bootfs *fs);

/* Unmounts for real if we mounted it, flushes the device, checks that the filesystem is clean and that the device still
 * has the bytes that bootfs_overwrite wrote. If it cannot be unmounted, the old ones are put back. Says what is wrong
 * and returns an exit status. */
int bootfs_detach(struct bootfs *fs);

/* For the error paths: unmounts without words. */
void bootfs_release(struct bootfs *fs);
#define _cleanup_bootfs_ _cleanup_(bootfs_release)
#define BOOTFS_INIT                                                                                                    \
        {                                                                                                              \
                .n_extents = 0                                                                                         \
        }

/* PATH, which is on this or on another filesystem, as GRUB sees it: from the root of its filesystem; and type and
 * device of that. 0 or a negative errno; the caller frees. */
int path_for_grub(const char *path, char **grub_path, char **device, char type[UUID_TEXT_MAX]);

#endif
