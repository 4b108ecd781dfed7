/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * How results for people look: rows of a key, a sign and words, with colour on terminals only.
 */
#ifndef HIBCTL_LOOK_H
#define HIBCTL_LOOK_H

#include <stdbool.h>

#include "mark/mark.h"

struct look {
        bool colour, utf8;
};

struct look how_to_look(void);

/* The first two are what a truth value says. */
enum sign { SIGN_BAD, SIGN_GOOD, SIGN_NONE, SIGN_DOUBTFUL, SIGN_UNKNOWN };

/* An empty line before the next row, if there is one. */
void put_section(void);

void put_row(const struct look *look, const char *key, enum sign sign, const char *value);

/* A line under a row's value. */
void put_below(const struct look *look, const char *text);

/* Words for what was found of the slot, with the remedy. */
const char *slot_words(enum slot_status slot);

#endif
