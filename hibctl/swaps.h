/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The swap areas that are active, and where a swap file is on its device. Says nothing.
 */
#ifndef HIBCTL_SWAPS_H
#define HIBCTL_SWAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SWAPS_MAX 32 /* MAX_SWAPFILES in linux/swap.h is less */

struct swap_area {
        char *path; /* of the device or file; owned */
        bool is_file;
        uint64_t size, used; /* KiB */
};

struct swaps {
        struct swap_area areas[SWAPS_MAX];
        size_t n;
};

/* Those that can hold an image: not zram, which is gone without power. 0 or a negative errno. */
int swaps_read(struct swaps *swaps);
void swaps_free(struct swaps *swaps);
#define _cleanup_swaps_ _cleanup_(swaps_free)

/* Where the swap file PATH begins: the device, and the byte on it. 0 or a negative errno: -ENOTSUP if it is not plain
 * bytes there, -EXDEV if its filesystem is not on one device of which the extents tell the place. */
int swap_file_place(const char *path, dev_t *dev, uint64_t *byte);

/* Likewise on btrfs, whose extents are in a space of its own: asks which chunk of a device they are in. As root. */
int swap_file_place_btrfs(const char *path, dev_t *dev, uint64_t *byte);

#endif
