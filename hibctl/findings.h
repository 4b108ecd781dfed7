/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Findings of 'hibctl check': what is so, how bad that is, and what to do about it.
 */
#ifndef HIBCTL_FINDINGS_H
#define HIBCTL_FINDINGS_H

#include <stdbool.h>

#include "util.h"

/* The worst last. */
enum level {
        LEVEL_OK,
        LEVEL_NOTE,    /* worth knowing, and no harm */
        LEVEL_UNKNOWN, /* it counts, and could not be seen */
        LEVEL_WARNING, /* it may not work */
        LEVEL_PROBLEM, /* it will not work, or would not be safe */
};

struct finding {
        enum level level;
        char *words;  /* owned; NULL: there is nothing to say of this machine */
        char *remedy; /* owned; NULL: nothing need be done, or the words say it */
};

/* REMEDY: translated, may be NULL. What was found before is replaced. */
void find(struct finding *f, enum level level, const char *remedy, const char *fmt, ...) _printf_(4, 5);
#define find_ok(f, ...) find(f, LEVEL_OK, NULL, __VA_ARGS__)

/* A refusal or complaint of another command, "object: reason; remedy", that say_kept has kept. */
void find_said(struct finding *f, enum level level, const char *said);

/* Likewise where it may only be that one has to be root to see it: LEVEL, or LEVEL_UNKNOWN for others. */
void find_refused(struct finding *f, enum level level, const char *said);

bool is_root(void);

/* The remedy where something cannot be read. */
const char *how_to_see(void);

void finding_free(struct finding *f);

/* "ok", "note", ... for programs. */
const char *level_name(enum level level);

#endif
