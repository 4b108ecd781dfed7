/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A note that the machine went to sleep without a mark, and why. Nobody reads a journal at that moment; whoever comes
 * back and wonders why GRUB did not resume by itself asks 'hibctl status'.
 */
#ifndef HIBCTL_UNMARKED_H
#define HIBCTL_UNMARKED_H

#include <stdbool.h>

#include "util.h"

#define UNMARKED_TIME_MAX 32
#define UNMARKED_REASON_MAX 1024

struct unmarked {
        char time[UNMARKED_TIME_MAX];     /* as in a mark; "" if it could not be told */
        char reason[UNMARKED_REASON_MAX]; /* translated when it was written; one line, without control characters */
};

/* Writes the note, of this moment. 0 or a negative errno; says nothing. */
int unmarked_note(const char *reason);

/* Removes it: this time there is a mark. 0, also if there is none, or a negative errno; says nothing. */
int unmarked_forget(void);

/* False if there is no note, or none that can be read. Says nothing. */
bool unmarked_read(struct unmarked *note);

#endif
