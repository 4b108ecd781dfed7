/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Messages for people, and the exit status that goes with them. Every refusal names the object, the reason and the
 * remedy. Messages go to standard error, so that standard output holds only what was asked for.
 */
#ifndef HIBCTL_SAY_H
#define HIBCTL_SAY_H

#include <libintl.h>

#include "util.h"

#define _(text) gettext(text)
#define N_(text) text

/* The exit status of every command; functions that can fail return it too, after they have said why. */
enum exit_status {
        EXIT_DONE = 0,
        EXIT_FAILED = 1,   /* an operation failed; nothing was changed */
        EXIT_NOTHING = 2,  /* nothing to do: nothing is marked */
        EXIT_REFUSED = 3,  /* it would not be safe; nothing was changed */
        EXIT_NO_STORE = 4, /* there is no place where a mark could be written */
        EXIT_USAGE = 64,   /* EX_USAGE */
};

enum loudness {
        SAY_QUIET = -1, /* errors only */
        SAY_NORMAL,
        SAY_VERBOSE, /* each step */
};

void say_set_loudness(enum loudness loudness);

/* One line each, without a final newline in FMT. say_error is never silenced. */
void say_error(const char *fmt, ...) _printf_(1, 2);
void say(const char *fmt, ...) _printf_(1, 2);
void say_step(const char *fmt, ...) _printf_(1, 2);

/* The last one that say_error said, "" if there was none; cut if it is long. */
const char *say_last_error(void);

bool say_is_quiet(void);

/* From say_keep to say_kept, what say_error and say get is kept and not said: for who wants to know why a function here
 * refuses, and tells it in another way. The last of the lines, "" if there was none; the caller frees. */
void say_keep(void);
char *say_kept(void);

/* For a message that is the last one. */
void say_no_longer_keep(void);

/* Say why and return the status: "return refuse(...)". */
#define fail(...) (say_error(__VA_ARGS__), EXIT_FAILED)
#define refuse(...) (say_error(__VA_ARGS__), EXIT_REFUSED)
#define no_store(...) (say_error(__VA_ARGS__), EXIT_NO_STORE)
#define usage_error(...) (say_error(__VA_ARGS__), EXIT_USAGE)

#endif
