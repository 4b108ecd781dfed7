/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Whether the running kernel hibernates at all. Under Secure Boot most distributions' kernels lock themselves down, and
 * then do not.
 */
#ifndef HIBCTL_HIBERNATION_H
#define HIBCTL_HIBERNATION_H

enum hibernation_access {
        HIBERNATION_UNKNOWN, /* the kernel does not tell */
        HIBERNATION_POSSIBLE,
        HIBERNATION_OFF,
};

struct hibernation {
        enum hibernation_access access;
        char lockdown[24]; /* the mode that is on, "none" too; "" if the kernel does not tell */
};

void hibernation_look(struct hibernation *h);

/* Why it is not possible, as a part of a sentence; NULL if it is, or may be. The caller frees. */
char *hibernation_why_not(const struct hibernation *h);

/* Says so to whoever is about to rely on it. */
void hibernation_warn(void);

#endif
