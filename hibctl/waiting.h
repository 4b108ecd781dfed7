/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Waiting for a device to appear.
 */
#ifndef HIBCTL_WAITING_H
#define HIBCTL_WAITING_H

#include <stdint.h>

#define WAIT_DEFAULT_S 30
#define WAIT_MAX_S 86400

/* Finds the device TAG, as device_find does, and waits for it until DEADLINE (clock_now). Says what it waits for, and
 * what is wrong, and returns an exit status. The caller frees *DEVICE. */
int wait_for_device(const char *tag, int64_t deadline, char **device);

/* Now, for deadlines: nanoseconds of CLOCK_BOOTTIME. */
int64_t clock_now(void);

/* The argument of --timeout, in seconds, as a deadline from now; NULL: WAIT_DEFAULT_S. Says what is wrong and returns
 * an exit status. */
int parse_timeout(const char *text, int64_t *deadline);

#endif
