/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The facts that the boot loader will find at the next power-on, collected from the running system, and what mark/
 * makes of them.
 */
#ifndef HIBCTL_SITUATION_H
#define HIBCTL_SITUATION_H

#include "grubcfg.h"
#include "store.h"
#include "target.h"

enum { AT_ENV, AT_CONFIGURED, N_SOURCES };

struct situation {
        struct reading env;
        struct grub_request request;      /* what grub.cfg asks for; .device is judged at AT_CONFIGURED */
        enum image_state seen[N_SOURCES]; /* of the image, also where the boot loader cannot look */
        struct source sources[N_SOURCES]; /* in the order in which the boot loader asks them */
        char *devices[N_SOURCES];         /* node of the image's device, or NULL; owned */
        struct judgement judgement;
        bool blind; /* something that decides could not be seen: the judgement may be wrong */
};

/* Collects and judges, with store_env open. Problems with single parts are said and show in the result; EXIT_DONE
 * unless nothing could be seen at all. To be freed in any case. */
int situation_read(struct situation *s);
void situation_free(struct situation *s);
#define _cleanup_situation_ _cleanup_(situation_free)

/* A mark that will do nothing: armed without an image, taken and done, or damaged beyond use in a whole slot. */
bool situation_is_spent(const struct situation *s);

#endif
