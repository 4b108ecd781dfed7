/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Is it safe to mount this device, or to write to it? Whatever cannot be told is not safe.
 */
#ifndef HIBCTL_SAFETY_H
#define HIBCTL_SAFETY_H

#include "device.h"
#include "fsstate.h"

struct safety {
        struct fs_report report; /* FS_CLEAN is the only safe one; fsstate.h says what it means for each type */
        int error;               /* a negative errno if the device could not be opened or looked at, else 0 */
        struct device_tags tags; /* empty while somebody holds the device */
        unsigned int layers;     /* enum device_layer: it may be clean, and still not be writable for GRUB */
};

/* Asks, in this order: does anybody in the running system, in whatever namespace, hold the device; what is on it, and
 * is that one thing only; is it a filesystem, or a part of something larger; was it left in order. Holds the device
 * itself meanwhile. */
void device_safety(const char *path, struct safety *safety);

/* The last of these questions alone, also for a device that is mounted, whose state is then as told in fsstate.h. */
struct fs_report fs_state(const char *device, const char *type);

#endif
