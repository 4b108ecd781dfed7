/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What the options before the command say.
 */
#ifndef HIBCTL_GLOBALS_H
#define HIBCTL_GLOBALS_H

#include <stdbool.h>

struct globals {
        const char *root; /* --root: the tree of the system to work on, without a slash at the end; "" for / */
        bool json;
};

extern struct globals globals;

/* PATH inside the system to work on. The caller frees. */
char *in_root(const char *path);

/* PATH without symbolic links, or NULL with errno. Below --root, links are followed as inside that tree: an absolute
 * one does not lead out of it. The caller frees. */
char *resolve(const char *path);

#endif
