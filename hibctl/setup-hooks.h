/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Setup hooks: executables that make a device appear (device-mapper, network, FUSE). Save kernel and load kernel have
 * the same ones, so that both see the same devices.
 */
#ifndef HIBCTL_SETUP_HOOKS_H
#define HIBCTL_SETUP_HOOKS_H

#include <stdint.h>

#include "plan.h"

#define HOOKS_FOLDER "/etc/hibctl/setup.d"

/* Runs every hook of FOLDER that has not been run since power-on, in the order of their names, with the arguments that
 * PLAN (may be NULL) has for them, until DEADLINE (CLOCK_BOOTTIME, nanoseconds). One that fails ends it, and is run
 * again the next time. A missing folder is none, and there are none within a hook. Says what is wrong and returns an
 * exit status. */
int setup_hooks_run(const char *folder, const struct plan *plan, int64_t deadline);

#endif
