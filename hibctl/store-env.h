/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What setup and prepare need of the env store beyond what every store does.
 */
#ifndef HIBCTL_STORE_ENV_H
#define HIBCTL_STORE_ENV_H

#include "bootfs.h"
#include "store.h"

/* The boot filesystem, while store_env is open. */
const struct bootfs *store_env_bootfs(void);

/* The block of F as it is to be with a slot in it: *WANTED, which the caller frees, or NULL if it has one. Says what is
 * wrong and returns an exit status. */
int slot_plan_reserve(const struct envfile *f, char **wanted);

/* Says why slot_reserve could not, and returns an exit status. */
int slot_cannot_reserve(const char *path, enum envblk_result result);

#endif
