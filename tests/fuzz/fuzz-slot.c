/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The slot in any environment block: found, reserved, removed.
 *
 * Input: flags (1 byte) and the block. Flag 1: the signature is put before it; 2: a line with a slot follows the
 * signature; 4: padding to 1024 bytes follows the block.
 */
#include "blocks.h"
#include "mark/mark.h"

#define LINE_LEN (sizeof("hib_mark=") - 1 + MARK_WIDTH + 1)
#define FIRST_AT (ENVBLK_SIGNATURE_LEN + sizeof("hib_mark=") - 1)

static size_t make_block(const uint8_t *data, size_t size, char **out)
{
        unsigned flags = data[0];
        char *block = malloc(ENVBLK_SIGNATURE_LEN + LINE_LEN + size + 1024);
        size_t n = 0;

        REQUIRE(block);
        if (flags & 1) {
                memcpy(block, ENVBLK_SIGNATURE, ENVBLK_SIGNATURE_LEN);
                n = ENVBLK_SIGNATURE_LEN;
        }
        if (flags & 2) {
                memcpy(block + n, "hib_mark=", 9);
                mark_format_empty(block + n + 9);
                block[n + LINE_LEN - 1] = '\n';
                n += LINE_LEN;
        }
        memcpy(block + n, data + 1, size - 1);
        n += size - 1;
        if (flags & 4)
                for (; n < 1024; n++)
                        block[n] = '#';
        *out = exact_copy(block, n);
        free(block);
        return n;
}

/* How often GRUB's load_env would set the variable: names are C strings to it. */
static size_t count_marks(const struct envblk *b)
{
        struct envblk_var var;
        size_t cursor = 0, n = 0;

        while (envblk_next(b, &cursor, &var))
                n += strnlen(var.name, var.name_len) == strlen(MARK_NAME) &&
                     memcmp(var.name, MARK_NAME, strlen(MARK_NAME)) == 0;
        return n;
}

static void check_find(struct envblk *b)
{
        char *before = exact_copy(b->buf, b->size), next[MARK_WIDTH];
        size_t at = SIZE_MAX, marks = count_marks(b);
        enum slot_status s = slot_find(b, &at);
        struct mark m;

        REQUIRE(memcmp(b->buf, before, b->size) == 0);
        REQUIRE((s == SLOT_MISSING) == (marks == 0));
        REQUIRE((s == SLOT_DUPLICATE) == (marks > 1));
        if (s == SLOT_FOUND || s == SLOT_STRADDLES) {
                REQUIRE(at >= FIRST_AT && at + MARK_WIDTH < b->size);
                REQUIRE(memcmp(b->buf + at - 9, "hib_mark=", 9) == 0 && b->buf[at + MARK_WIDTH] == '\n');
                REQUIRE((s == SLOT_FOUND) == (at / ENVBLK_SECTOR == (at + MARK_WIDTH - 1) / ENVBLK_SECTOR));
                mark_parse(b->buf + at, MARK_WIDTH, &m, NULL);
        }
        if (s == SLOT_FOUND) {
                /* Another state, set as GRUB sets it, changes the slot and nothing else, and is found again. */
                memset(next, 't', MARK_WIDTH);
                REQUIRE(envblk_set(b, MARK_NAME, next, MARK_WIDTH) == ENVBLK_DONE);
                memcpy(before + at, next, MARK_WIDTH);
                REQUIRE(memcmp(b->buf, before, b->size) == 0);
                size_t again = 0;
                REQUIRE(slot_find(b, &again) == SLOT_FOUND && again == at);
        }
        free(before);
}

static void check_remove(struct envblk *b)
{
        char *before = exact_copy(b->buf, b->size);
        enum envblk_result r = slot_remove(b);

        REQUIRE(r == ENVBLK_DONE || r == ENVBLK_NOT_FOUND);
        REQUIRE((r == ENVBLK_DONE) == (memcmp(b->buf, before, b->size) != 0));
        REQUIRE(envblk_unset(b, MARK_NAME) == ENVBLK_NOT_FOUND);
        free(before);
}

/* REMOVED is the same block after slot_remove. */
static void check_reserve(struct envblk *b, const struct envblk *removed)
{
        char empty[MARK_WIDTH];
        size_t room = envblk_room(removed), at = 0;
        enum envblk_result r = slot_reserve(b);

        if (r != ENVBLK_DONE) {
                REQUIRE(r == (removed->buf[removed->size - room - 1] == '\n' ? ENVBLK_NO_ROOM : ENVBLK_BROKEN));
                REQUIRE(r == ENVBLK_BROKEN || room < LINE_LEN);
                return;
        }
        /* An empty mark within the first sector, right behind the signature... */
        mark_format_empty(empty);
        REQUIRE(FIRST_AT + MARK_WIDTH <= ENVBLK_SECTOR);
        REQUIRE(memcmp(b->buf + FIRST_AT - 9, "hib_mark=", 9) == 0);
        REQUIRE(memcmp(b->buf + FIRST_AT, empty, MARK_WIDTH) == 0 && b->buf[FIRST_AT + MARK_WIDTH] == '\n');
        /* ...and behind it what was left of the block, less that much padding. */
        size_t rest = b->size - ENVBLK_SIGNATURE_LEN - LINE_LEN;
        REQUIRE(memcmp(b->buf + ENVBLK_SIGNATURE_LEN + LINE_LEN, removed->buf + ENVBLK_SIGNATURE_LEN, rest) == 0);
        if (count_marks(b) == 1)
                REQUIRE(slot_find(b, &at) == SLOT_FOUND && at == FIRST_AT);

        char *once = exact_copy(b->buf, b->size);
        REQUIRE(slot_reserve(b) == ENVBLK_DONE);
        REQUIRE(memcmp(b->buf, once, b->size) == 0);
        free(once);
        REQUIRE(slot_remove(b) == ENVBLK_DONE);
        REQUIRE(memcmp(b->buf, removed->buf, b->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct envblk b, removed;
        char *text, *was;

        if (size < 1)
                return 0;
        size = make_block(data, size, &text);
        if (!envblk_open(&b, text, size)) {
                free(text);
                return 0;
        }
        was = exact_copy(text, size);
        check_find(&b);

        removed = (struct envblk){ exact_copy(was, size), size };
        check_remove(&removed);
        memcpy(text, was, size);
        check_reserve(&b, &removed);
        REQUIRE(b.size == size && memcmp(text, ENVBLK_SIGNATURE, ENVBLK_SIGNATURE_LEN) == 0);
        free(removed.buf);
        free(was);
        free(text);
        return 0;
}
