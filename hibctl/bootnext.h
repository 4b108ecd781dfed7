/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * BootNext: where another system comes first in the firmware's boot order, the boot entry that this one was started by
 * is put in front once. The order itself is never changed. What was there before is noted in /run, which sleeps and
 * comes back with the session: after any other start of the machine the firmware has forgotten BootNext as well.
 */
#ifndef HIBCTL_BOOTNEXT_H
#define HIBCTL_BOOTNEXT_H

/* Sets it. EXIT_NOTHING if it is so already; else says what is wrong and returns an exit status; then nothing is
 * changed. */
int bootnext_set(void);

/* Why it cannot be set, as a sentence, or NULL. */
const char *bootnext_why_not(void);

/* Puts back what was there before, if what is there now is still what bootnext_set has set, and forgets the note.
 * EXIT_NOTHING if there was nothing to do; else says what is wrong and returns an exit status. */
int bootnext_restore(void);

#endif
