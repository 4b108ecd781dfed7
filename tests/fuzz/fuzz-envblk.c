/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The environment block codec: any block, any name, any value.
 *
 * Input: operation and flags (1 byte), length of the name (1), length of the value (2, little-endian), name, value, and
 * the block. Flag 0x80: the block's signature is put before it.
 */
#include "blocks.h"

enum { OP_SET, OP_UNSET, OP_INSERT, OP_COUNT };

struct input {
        int op;
        char *name; /* a C string */
        char *value;
        size_t value_len;
        char *block;
        size_t block_len;
};

static const uint8_t *take(const uint8_t **data, size_t *size, size_t n)
{
        const uint8_t *p = *data;

        *data += n;
        *size -= n;
        return p;
}

static bool read_input(const uint8_t *data, size_t size, struct input *in)
{
        if (size < 4)
                return false;
        const uint8_t *head = take(&data, &size, 4);
        size_t name_len = head[1], value_len = (size_t)(head[2] | head[3] << 8);
        size_t before = head[0] & 0x80 ? ENVBLK_SIGNATURE_LEN : 0;

        if (name_len + value_len > size)
                return false;
        in->op = (head[0] & 0x7f) % OP_COUNT;
        in->name = malloc(name_len + 1);
        REQUIRE(in->name);
        memcpy(in->name, take(&data, &size, name_len), name_len);
        in->name[name_len] = '\0';
        in->value = exact_copy(take(&data, &size, value_len), value_len);
        in->value_len = value_len;
        in->block_len = size + before;
        in->block = malloc(in->block_len + 1);
        REQUIRE(in->block);
        memcpy(in->block, ENVBLK_SIGNATURE, before);
        memcpy(in->block + before, data, size);
        in->block = realloc(in->block, in->block_len ? in->block_len : 1);
        REQUIRE(in->block);
        return true;
}

/* A name that a line can have and that hides nothing. */
static bool plain_name(const char *name)
{
        return name[0] != '#' && !strpbrk(name, "=\n\\");
}

/* The reader takes every line for what it is: no name that runs over a newline. */
static bool no_junk(const char *block, const struct entries *list)
{
        for (size_t i = 0; i < list->n; i++)
                if (memchr(block + list->at[i].name, '\n', list->at[i].name_len))
                        return false;
        return true;
}

static size_t find_entry(const char *block, const struct entries *list, const char *name)
{
        size_t i = 0;

        while (i < list->n && !same_bytes(block + list->at[i].name, list->at[i].name_len, name, strlen(name)))
                i++;
        return i;
}

/* The last line before the padding is ended. Behind an escaped newline GRUB's set appends too, and says that it did,
 * but the new variable is then a part of the line before it. */
static bool last_line_ends(const char *block, size_t size)
{
        size_t space = size, pos = ENVBLK_SIGNATURE_LEN;

        while (block[space - 1] == '#')
                space--;
        while (pos < space) {
                while (pos < size && block[pos] != '\n')
                        pos += block[pos] == '\\' ? 2 : 1;
                pos++;
        }
        return pos == space;
}

static void check_set(struct envblk *b, const char *before, const struct entries *old, const struct input *in)
{
        static struct entries new;
        size_t was_at, was_len, at, len;
        bool found = envblk_find(&(struct envblk){ (char *)before, b->size }, in->name, &was_at, &was_len);
        enum envblk_result r = envblk_set(b, in->name, in->value, in->value_len);

        REQUIRE(r == ENVBLK_DONE || r == ENVBLK_NO_ROOM || r == ENVBLK_BROKEN);
        if (r != ENVBLK_DONE) {
                REQUIRE(memcmp(b->buf, before, b->size) == 0);
                return;
        }

        /* It reads back, where set itself would look for it... */
        if (found || (plain_name(in->name) && last_line_ends(before, b->size))) {
                REQUIRE(envblk_find(b, in->name, &at, &len));
                REQUIRE(!found || at == was_at);
                struct envblk_var var = { b->buf, 0, b->buf + at, len };
                char *value = malloc(len + 1);
                REQUIRE(value);
                REQUIRE(envblk_unescape(&var, value, len) == in->value_len);
                REQUIRE(in->value_len == 0 || memcmp(value, in->value, in->value_len) == 0);
                free(value);
        }

        /* ...and the reader sees that change and no other. */
        list_entries(b, &new);
        REQUIRE(new.n >= old->n);
        for (size_t i = 0; i < old->n; i++) {
                /* For the reader the line may be a part of a name (behind junk) or of a value (a name with '='). */
                bool here = found && was_at > old->at[i].name && was_at <= old->at[i].value + old->at[i].value_len;
                if (!here)
                        REQUIRE(same_entry(before, &old->at[i], b->buf, &new.at[i]));
        }

        /* A name with a '=' or a newline in it may be found in another place than it was put, as by GRUB. */
        if (!plain_name(in->name) || !envblk_find(b, in->name, &at, &len))
                return;
        char *once = exact_copy(b->buf, b->size);
        REQUIRE(envblk_set(b, in->name, in->value, in->value_len) == ENVBLK_DONE);
        REQUIRE(memcmp(b->buf, once, b->size) == 0);
        free(once);
}

static void check_unset(struct envblk *b, const char *before, const struct entries *old, const struct input *in)
{
        static struct entries new;
        enum envblk_result r = envblk_unset(b, in->name);
        size_t gone = find_entry(before, old, in->name);

        REQUIRE(r == ENVBLK_DONE || r == ENVBLK_NOT_FOUND);
        if (r != ENVBLK_DONE)
                REQUIRE(memcmp(b->buf, before, b->size) == 0);
        if (!plain_name(in->name) || !no_junk(before, old))
                return;
        if (gone == old->n)
                return;
        REQUIRE(r == ENVBLK_DONE);
        list_entries(b, &new);
        REQUIRE(new.n == old->n - 1);
        for (size_t i = 0; i < new.n; i++)
                REQUIRE(same_entry(before, &old->at[i < gone ? i : i + 1], b->buf, &new.at[i]));
}

static void check_insert(struct envblk *b, const char *before, const struct entries *old, const struct input *in)
{
        static struct entries new;
        enum envblk_result r = envblk_insert_first(b, in->name, in->value, in->value_len);

        REQUIRE(r == ENVBLK_DONE || r == ENVBLK_NO_ROOM || r == ENVBLK_BROKEN);
        if (r != ENVBLK_DONE) {
                REQUIRE(memcmp(b->buf, before, b->size) == 0);
                return;
        }
        if (!plain_name(in->name))
                return;
        list_entries(b, &new);
        REQUIRE(new.n == old->n + 1);
        REQUIRE(same_bytes(b->buf + new.at[0].name, new.at[0].name_len, in->name, strlen(in->name)));
        for (size_t i = 0; i < old->n; i++)
                REQUIRE(same_entry(before, &old->at[i], b->buf, &new.at[i + 1]));
        REQUIRE(envblk_unset(b, in->name) == ENVBLK_DONE);
        REQUIRE(memcmp(b->buf, before, b->size) == 0);
}

static void check_block(struct envblk *b, const struct input *in)
{
        static struct entries old;
        char *before = exact_copy(b->buf, b->size);
        size_t size = b->size, room = envblk_room(b);

        list_entries(b, &old);
        REQUIRE(room <= size - ENVBLK_SIGNATURE_LEN);
        REQUIRE(memcmp(b->buf, before, size) == 0);
        switch (in->op) {
        case OP_SET:
                check_set(b, before, &old, in);
                break;
        case OP_UNSET:
                check_unset(b, before, &old, in);
                break;
        default:
                check_insert(b, before, &old, in);
        }
        REQUIRE(b->buf == in->block && b->size == size);
        REQUIRE(memcmp(b->buf, ENVBLK_SIGNATURE, ENVBLK_SIGNATURE_LEN) == 0);
        free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct input in;
        struct envblk b;

        if (!read_input(data, size, &in))
                return 0;
        if (envblk_open(&b, in.block, in.block_len)) {
                REQUIRE(in.block_len > ENVBLK_SIGNATURE_LEN);
                check_block(&b, &in);
        }
        free(in.name);
        free(in.value);
        free(in.block);
        return 0;
}
