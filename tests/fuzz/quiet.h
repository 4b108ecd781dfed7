/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * In the place of hibctl/say.c, for targets whose input makes the tool say something each time: the message is made,
 * kept, and not printed.
 */
#ifndef HIBCTL_TESTS_QUIET_H
#define HIBCTL_TESTS_QUIET_H

#include <stdarg.h>

#include "fuzz.h"
#include "hibctl/say.h"

static char quiet_message[8192]; /* the last one, cut off */
static unsigned int quiet_errors;

#define KEEP(is_error)                                                                                                 \
        do {                                                                                                           \
                va_list ap;                                                                                            \
                va_start(ap, fmt);                                                                                     \
                REQUIRE(vsnprintf(quiet_message, sizeof(quiet_message), fmt, ap) > 0);                                 \
                va_end(ap);                                                                                            \
                quiet_errors += (is_error);                                                                            \
        } while (0)

void say_error(const char *fmt, ...)
{
        KEEP(1);
}

void say(const char *fmt, ...)
{
        KEEP(0);
}

void say_step(const char *fmt, ...)
{
        KEEP(0);
}

void say_no_longer_keep(void)
{
}

#endif
