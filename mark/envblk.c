/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "envblk.h"

#include "bytes.h"

/* Index of the newline that ends the value or line which starts at POS; at or past SIZE if there is none. An escaped
 * byte is skipped, so a backslash at the very end carries the index past SIZE. */
static size_t line_end(const struct envblk *block, size_t pos)
{
        while (pos < block->size && block->buf[pos] != '\n')
                pos += block->buf[pos] == '\\' ? 2 : 1;
        return pos;
}

/* Index behind the last byte that is not padding. The signature's newline ends the search at the latest. */
static size_t padding_start(const struct envblk *block)
{
        size_t pos = block->size;

        while (block->buf[pos - 1] == '#')
                pos--;
        return pos;
}

/* Looks for a line that starts with NAME= and ends by END. Comments are not special here: GRUB's set and delete look at
 * every line, while its reader skips those that start with '#'. */
static bool find_line(const struct envblk *block, const char *name, size_t end, size_t *pos)
{
        size_t len = bytes_strlen(name);

        while (*pos + len + 1 < end) {
                if (bytes_equal(block->buf + *pos, name, len) && block->buf[*pos + len] == '=')
                        return true;
                *pos = line_end(block, *pos) + 1;
        }
        return false;
}

static size_t escaped_len(const char *value, size_t len)
{
        size_t n = len;

        for (size_t i = 0; i < len; i++)
                if (value[i] == '\\' || value[i] == '\n')
                        n++;
        return n;
}

static size_t put_escaped(char *to, const char *value, size_t len)
{
        size_t n = 0;

        for (size_t i = 0; i < len; i++) {
                if (value[i] == '\\' || value[i] == '\n')
                        to[n++] = '\\';
                to[n++] = value[i];
        }
        return n;
}

bool envblk_open(struct envblk *block, char *buf, size_t size)
{
        /* GRUB counts the signature's terminating NUL too: 26 bytes is the least that it accepts. */
        if (size < sizeof(ENVBLK_SIGNATURE) || !bytes_equal(buf, ENVBLK_SIGNATURE, ENVBLK_SIGNATURE_LEN))
                return false;
        block->buf = buf;
        block->size = size;
        return true;
}

bool envblk_next(const struct envblk *block, size_t *cursor, struct envblk_var *var)
{
        size_t pos = *cursor < ENVBLK_SIGNATURE_LEN ? ENVBLK_SIGNATURE_LEN : *cursor;

        while (pos < block->size && block->buf[pos] == '#')
                pos = line_end(block, pos) + 1;

        size_t name = pos;
        while (pos < block->size && block->buf[pos] != '=')
                pos++;

        size_t end = pos < block->size ? line_end(block, pos + 1) : block->size;
        if (end >= block->size) {
                *cursor = block->size;
                return false;
        }

        var->name = block->buf + name;
        var->name_len = pos - name;
        var->value = block->buf + pos + 1;
        var->value_len = end - pos - 1;
        *cursor = end + 1;
        return true;
}

size_t envblk_unescape(const struct envblk_var *var, char *out, size_t out_size)
{
        size_t n = 0;

        for (size_t i = 0; i < var->value_len; i++) {
                /* Inside a value a backslash is always followed by a byte: line_end skips them in pairs. */
                if (var->value[i] == '\\')
                        i++;
                if (n < out_size)
                        out[n] = var->value[i];
                n++;
        }
        return n;
}

bool envblk_var_is(const struct envblk_var *var, const char *name)
{
        size_t len = bytes_strlen(name);

        if (var->name_len < len || !bytes_equal(var->name, name, len))
                return false;
        return var->name_len == len || var->name[len] == '\0';
}

/* Replaces OLD_LEN bytes at POS by a gap of NEW_LEN; what follows moves, the padding gives or takes. */
static void resize(struct envblk *block, size_t pos, size_t old_len, size_t new_len)
{
        char *p = block->buf + pos;
        size_t rest = block->size - pos;

        if (new_len <= old_len) {
                bytes_move(p + new_len, p + old_len, rest - old_len);
                bytes_fill(block->buf + block->size - (old_len - new_len), '#', old_len - new_len);
        } else
                bytes_move(p + new_len, p + old_len, rest - new_len);
}

bool envblk_find(const struct envblk *block, const char *name, size_t *at, size_t *len)
{
        size_t space = padding_start(block), pos = ENVBLK_SIGNATURE_LEN;

        if (block->buf[space - 1] != '\n' || !find_line(block, name, space, &pos))
                return false;
        pos += bytes_strlen(name) + 1;
        size_t end = line_end(block, pos);
        if (end >= block->size)
                return false;
        *at = pos;
        *len = end - pos;
        return true;
}

enum envblk_result envblk_set(struct envblk *block, const char *name, const char *value, size_t value_len)
{
        size_t name_len = bytes_strlen(name), len = escaped_len(value, value_len);
        size_t space = padding_start(block), room = block->size - space;
        size_t pos = ENVBLK_SIGNATURE_LEN, old_len;

        if (block->buf[space - 1] != '\n')
                return ENVBLK_BROKEN;

        if (envblk_find(block, name, &pos, &old_len)) {
                if (len > old_len && room < len - old_len)
                        return ENVBLK_NO_ROOM;
                resize(block, pos, old_len, len);
        } else if (find_line(block, name, space, &pos)) {
                return ENVBLK_BROKEN; /* its line has no end */
        } else {
                if (room < name_len + 1 + len + 1)
                        return ENVBLK_NO_ROOM;
                bytes_move(block->buf + space, name, name_len);
                pos = space + name_len;
                block->buf[pos++] = '=';
        }

        pos += put_escaped(block->buf + pos, value, value_len);
        block->buf[pos] = '\n';
        return ENVBLK_DONE;
}

enum envblk_result envblk_unset(struct envblk *block, const char *name)
{
        size_t pos = ENVBLK_SIGNATURE_LEN;

        if (!find_line(block, name, block->size, &pos))
                return ENVBLK_NOT_FOUND;
        size_t end = line_end(block, pos + bytes_strlen(name) + 1);
        if (end >= block->size)
                return ENVBLK_NOT_FOUND;
        resize(block, pos, end + 1 - pos, 0);
        return ENVBLK_DONE;
}

enum envblk_result envblk_insert_first(struct envblk *block, const char *name, const char *value, size_t value_len)
{
        size_t name_len = bytes_strlen(name), len = escaped_len(value, value_len);
        size_t space = padding_start(block), pos = ENVBLK_SIGNATURE_LEN;

        if (block->buf[space - 1] != '\n')
                return ENVBLK_BROKEN;
        if (block->size - space < name_len + 1 + len + 1)
                return ENVBLK_NO_ROOM;
        resize(block, pos, 0, name_len + 1 + len + 1);
        bytes_move(block->buf + pos, name, name_len);
        pos += name_len;
        block->buf[pos++] = '=';
        pos += put_escaped(block->buf + pos, value, value_len);
        block->buf[pos] = '\n';
        return ENVBLK_DONE;
}

size_t envblk_room(const struct envblk *block)
{
        return block->size - padding_start(block);
}

void envblk_create(char *buf, size_t size)
{
        bytes_move(buf, ENVBLK_SIGNATURE ENVBLK_WARNING, ENVBLK_SIGNATURE_LEN + ENVBLK_WARNING_LEN);
        bytes_fill(buf + ENVBLK_SIGNATURE_LEN + ENVBLK_WARNING_LEN, '#',
                   size - ENVBLK_SIGNATURE_LEN - ENVBLK_WARNING_LEN);
}
