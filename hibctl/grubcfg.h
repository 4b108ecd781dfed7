/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What grub.cfg tells the boot loader about hibernation: the one line "hibresume probe ..." that 06_hibctl writes.
 */
#ifndef HIBCTL_GRUBCFG_H
#define HIBCTL_GRUBCFG_H

#include <stdbool.h>

#include "mark/mark.h"

#define GRUB_MODULE_NAME "hibresume.mod"

/* The platforms that a module is built for: names of folders in GRUB's. */
#define N_GRUB_PLATFORMS 2
extern const char *const grub_platforms[N_GRUB_PLATFORMS];

struct grub_request {
        bool asks;          /* there is such a line: GRUB looks for a mark */
        bool has_device;    /* it names a resume device, to be looked at even if nothing is marked ... */
        struct mark device; /* ... as if a mark named it; no id, no time */
};

/* Reads grub.cfg in GRUB's folder PREFIX. A missing file asks for nothing. 0 or a negative errno: -EBADMSG if there is
 * more than one such line, or one that the module would refuse or that holds what only GRUB can expand. */
int grub_request_read(const char *prefix, struct grub_request *out);

/* Takes the text of grub.cfg apart; TEXT is changed. 0 or -EBADMSG. */
int grub_request_parse(char *text, struct grub_request *out);

#endif
