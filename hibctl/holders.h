/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Who keeps a mounted filesystem busy.
 */
#ifndef HIBCTL_HOLDERS_H
#define HIBCTL_HOLDERS_H

#include <sys/types.h>

/* Names of what keeps the filesystem DEV, mounted on MOUNT_POINT, from being unmounted, as far as /proc tells: programs
 * with their process numbers, and what is mounted below; at most a handful. The caller frees; "" if nothing was found.
 */
char *holders_of(dev_t dev, const char *mount_point);

#endif
