/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>

#include "say.h"

static enum loudness loud = SAY_NORMAL;

void say_set_loudness(enum loudness loudness)
{
        loud = loudness;
}

static void put(const char *fmt, va_list ap)
{
        flockfile(stderr);
        fputs("hibctl: ", stderr);
        vfprintf(stderr, fmt, ap);
        fputc('\n', stderr);
        funlockfile(stderr);
}

#define SAY_IF(condition)                                                                                              \
        do {                                                                                                           \
                va_list ap;                                                                                            \
                if (!(condition))                                                                                      \
                        return;                                                                                        \
                va_start(ap, fmt);                                                                                     \
                put(fmt, ap);                                                                                          \
                va_end(ap);                                                                                            \
        } while (0)

void say_error(const char *fmt, ...)
{
        SAY_IF(true);
}

void say(const char *fmt, ...)
{
        SAY_IF(loud >= SAY_NORMAL);
}

void say_step(const char *fmt, ...)
{
        SAY_IF(loud >= SAY_VERBOSE);
}
