/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl.conf(5): what the administrator, or the distribution, has set.
 */
#ifndef HIBCTL_SETTINGS_H
#define HIBCTL_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "store.h"

#define SETTINGS_STORES_MAX 3 /* each store once */

/* What the sleep hooks do. */
enum sleep_mode {
        SLEEP_TRY,     /* mark; hibernate also without a mark */
        SLEEP_REQUIRE, /* mark; do not hibernate without one */
        SLEEP_OFF,     /* nothing */
};

struct settings {
        const struct store *stores[SETTINGS_STORES_MAX]; /* Store=: the ones to use, in this order */
        size_t n_stores;                                 /* 0: hibctl chooses */
        bool boot_next;                                  /* BootNext= */
        enum sleep_mode sleep;                           /* Sleep= */
};

/* Reads all files. Warns of what it does not know. Says what is wrong and returns an exit status; what was read before
 * that is in SETTINGS, the rest has its defaults. */
int settings_read(struct settings *settings);

/* Takes the text of one file apart: N bytes, and a NUL behind them; TEXT is changed. PATH is for messages. */
int settings_parse(struct settings *settings, const char *path, char *text, size_t n);

/* The store of that name, or NULL. */
const struct store *settings_find_store(const char *name);

/* Whether Store= allows it. */
bool settings_allow(const struct settings *settings, const struct store *store);

#endif
