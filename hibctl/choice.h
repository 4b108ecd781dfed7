/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Which store takes a mark in the running system: the environment block if nobody has the boot filesystem mounted, for
 * then it is written while nothing else can; else an EFI variable; else the boot bits, where the swap area is not in
 * use; else the environment block on the mounted filesystem, which GRUB itself writes to all the time.
 */
#ifndef HIBCTL_CHOICE_H
#define HIBCTL_CHOICE_H

#include "grubcfg.h"
#include "json.h"
#include "settings.h"
#include "store.h"

struct candidate {
        const struct store *store;
        bool usable;
        bool is_odd; /* that it is not is not what one would expect on this machine */
        char *why;   /* a sentence, for people; owned */
};

struct choice {
        struct candidate candidates[SETTINGS_STORES_MAX]; /* in the order in which they are taken */
        size_t n;
};

void choice_free(struct choice *choice);
#define _cleanup_choice_ _cleanup_(choice_free)

/* Looks at the stores for MARK; writes nothing. store_env is open, and ENV was read from it; the others are not open.
 * ASKED: what grub.cfg says. */
void choice_make(struct choice *choice, const struct settings *settings, const struct mark *mark,
                 const struct reading *env, const struct grub_request *asked);

/* Says of each whether it is usable, and why. */
void choice_explain(const struct choice *choice);

/* Likewise of those that are not, as errors if that is odd. */
void choice_complain(const struct choice *choice);

/* For programs. */
struct json_object *choice_json(const struct choice *choice);

#endif
