/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * mark/envblk beside GRUB's own lib/envblk.c on the same block: what is read, what is set and unset, every byte. The
 * same comparison as in tests/unit/diff-envblk.c, which has random blocks; here the input looks for what is new.
 *
 * Input: as of fuzz-envblk, whose seeds are also this one's.
 *
 * Left out: a name or value with a NUL, which GRUB's functions cannot be given; names and values that are read are
 * compared up to a NUL (docs/envblk-differences.md).
 */
#include "fuzz.h"
#include "mark/envblk.h"

/* GRUB's lib/envblk.h, whose types need GRUB's headers. */
struct grub_envblk {
        char *buf;
        size_t size;
};
struct grub_envblk *grub_envblk_open(char *buf, size_t size);
int grub_envblk_set(struct grub_envblk *envblk, const char *name, const char *value);
void grub_envblk_delete(struct grub_envblk *envblk, const char *name);
void grub_envblk_iterate(struct grub_envblk *envblk, void *data, int (*hook)(const char *, const char *, void *));

struct text {
        char *at;
        size_t len, max;
};

static void append(struct text *t, const char *p, size_t n)
{
        REQUIRE(n <= t->max - t->len);
        memcpy(t->at + t->len, p, n);
        t->len += n;
        REQUIRE(t->len < t->max);
        t->at[t->len++] = '\0';
}

static int list_theirs(const char *name, const char *value, void *data)
{
        append(data, name, strlen(name));
        append(data, value, strlen(value));
        return 0;
}

static void list_ours(const struct envblk *block, struct text *t)
{
        struct envblk_var var;
        size_t cursor = 0;

        while (envblk_next(block, &cursor, &var)) {
                char *value = malloc(var.value_len + 1);
                REQUIRE(value);
                size_t len = envblk_unescape(&var, value, var.value_len);
                append(t, var.name, strnlen(var.name, var.name_len));
                append(t, value, strnlen(value, len));
                free(value);
        }
}

static void compare_lists(struct grub_envblk *theirs, const struct envblk *ours)
{
        static char a[32768], b[32768];
        struct text x = { a, 0, sizeof(a) }, y = { b, 0, sizeof(b) };

        grub_envblk_iterate(theirs, &x, list_theirs);
        list_ours(ours, &y);
        REQUIRE(x.len == y.len && memcmp(a, b, x.len) == 0);
}

static void compare_change(struct grub_envblk *theirs, struct envblk *ours, unsigned int op, const char *name,
                           const char *value)
{
        if (op == 0) {
                int done = grub_envblk_set(theirs, name, value);
                REQUIRE(done == (envblk_set(ours, name, value, strlen(value)) == ENVBLK_DONE));
        } else {
                grub_envblk_delete(theirs, name);
                envblk_unset(ours, name);
        }
        REQUIRE(memcmp(theirs->buf, ours->buf, ours->size) == 0);
        compare_lists(theirs, ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 4)
                return 0;
        size_t name_len = data[1], value_len = (size_t)(data[2] | data[3] << 8), before;
        unsigned int op = data[0] & 1;

        if (name_len + value_len > size - 4 || size > 8192)
                return 0;
        before = data[0] & 0x80 ? ENVBLK_SIGNATURE_LEN : 0;
        char *name = strndup((const char *)data + 4, name_len);
        char *value = strndup((const char *)data + 4 + name_len, value_len);
        size_t used = 4 + name_len + value_len, len = size - used + before;
        char *block = malloc(len ? len : 1);
        REQUIRE(name && value && block);
        memcpy(block, ENVBLK_SIGNATURE, before);
        memcpy(block + before, data + used, size - used);
        char *copy = exact_copy(block, len);

        struct grub_envblk *theirs = grub_envblk_open(block, len);
        struct envblk ours;
        REQUIRE(envblk_open(&ours, copy, len) == (theirs != NULL));
        if (theirs) {
                compare_lists(theirs, &ours);
                compare_change(theirs, &ours, op, name, value);
                compare_change(theirs, &ours, !op, name, value);
                REQUIRE(theirs->buf == block && theirs->size == len);
        }
        free(theirs);
        free(name);
        free(value);
        free(block);
        free(copy);
        return 0;
}
