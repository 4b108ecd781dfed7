/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * For the targets whose input is an environment block: what the reader sees in one, as a list that can be compared.
 */
#ifndef HIBCTL_TESTS_BLOCKS_H
#define HIBCTL_TESTS_BLOCKS_H

#include "fuzz.h"
#include "mark/envblk.h"

#define MAX_VARS 4096

/* One variable: offsets in the block that was listed. */
struct entry {
        size_t name, name_len, value, value_len;
};

struct entries {
        struct entry at[MAX_VARS];
        size_t n;
};

/* Lists BLOCK; checks on the way that everything handed out is inside it. */
static inline void list_entries(const struct envblk *block, struct entries *list)
{
        struct envblk_var var;
        size_t cursor = 0, last = 0;
        const char *end = block->buf + block->size;

        list->n = 0;
        while (envblk_next(block, &cursor, &var)) {
                REQUIRE(cursor > last && cursor <= block->size);
                REQUIRE(var.name >= block->buf + ENVBLK_SIGNATURE_LEN && var.name + var.name_len + 1 == var.value);
                REQUIRE(var.name[var.name_len] == '=' && var.value + var.value_len < end);
                REQUIRE(var.value[var.value_len] == '\n' && !memchr(var.name, '=', var.name_len));
                REQUIRE(*var.name != '#');
                last = cursor;

                /* Without escapes it is never longer, and how much room there is does not change its length. */
                char *value = malloc(var.value_len + 1);
                REQUIRE(value);
                size_t len = envblk_unescape(&var, value, var.value_len);
                REQUIRE(len <= var.value_len && len >= var.value_len / 2);
                REQUIRE(envblk_unescape(&var, NULL, 0) == len);
                free(value);

                if (list->n < MAX_VARS)
                        list->at[list->n++] = (struct entry){ (size_t)(var.name - block->buf), var.name_len,
                                                              (size_t)(var.value - block->buf), var.value_len };
        }
        REQUIRE(!envblk_next(block, &cursor, &var));
}

static inline bool same_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
        return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* Entry I of list A in block X and entry J of list B in block Y have the same name and value. */
static inline bool same_entry(const char *x, const struct entry *a, const char *y, const struct entry *b)
{
        return same_bytes(x + a->name, a->name_len, y + b->name, b->name_len) &&
               same_bytes(x + a->value, a->value_len, y + b->value, b->value_len);
}

#endif
