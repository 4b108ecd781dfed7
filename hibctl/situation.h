/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The facts that the boot loader will find at the next power-on, collected from the running system, and what mark/
 * makes of them.
 */
#ifndef HIBCTL_SITUATION_H
#define HIBCTL_SITUATION_H

#include "store.h"
#include "target.h"

enum { AT_ENV, AT_CONFIGURED, N_SOURCES };

struct situation {
        struct reading env;
        struct mark configured;           /* valid if sources[AT_CONFIGURED] is */
        enum image_state seen[N_SOURCES]; /* of the image, also where the boot loader cannot look */
        struct source sources[N_SOURCES]; /* in the order in which the boot loader asks them */
        char *devices[N_SOURCES];         /* node of the image's device, or NULL; owned */
        struct judgement judgement;
        bool grub_asks; /* grub.cfg has our section: without it GRUB boots as ever */
        bool blind;     /* something that decides could not be seen: the judgement may be wrong */
};

/* Collects and judges, with store_env open. Problems with single parts are said and show in the result; EXIT_DONE
 * unless nothing could be seen at all. To be freed in any case. */
int situation_read(struct situation *s);
void situation_free(struct situation *s);
#define _cleanup_situation_ _cleanup_(situation_free)

/* Whether grub.cfg in GRUB's folder PREFIX asks for a mark: 1, 0, or a negative errno if it cannot be read. */
int grub_asks_for_mark(const char *prefix);

/* A mark that will do nothing: armed without an image, taken and done, or damaged beyond use in a whole slot. */
bool situation_is_spent(const struct situation *s);

#endif
