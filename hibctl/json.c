/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include "json.h"
#include "say.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

int print_json(struct json_object *object)
{
        puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(object);
        return EXIT_DONE;
}

/* Bytes of the character at S, of which LEN bytes are there; 0 if it is not well-formed (RFC 3629: no overlong form, no
 * surrogate, nothing above U+10FFFF). */
static size_t utf8_len(const unsigned char *s, size_t len)
{
        static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 && s[0] < 0xf8 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
        uint32_t c;

        if (n < 2)
                return n;
        if (n > len || s[0] >= 0xf8)
                return 0;
        c = s[0] & (0x7fU >> n);
        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3fU);
        }
        return c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

char *utf8_text(const char *s, size_t len)
{
        char *out = xmalloc(len * (sizeof(replacement) - 1) + 1);
        size_t at = 0;

        len = strnlen(s, len);
        for (size_t i = 0; i < len;) {
                size_t n = utf8_len((const unsigned char *)s + i, len - i);
                const char *from = n ? s + i : replacement;
                size_t put = n ? n : sizeof(replacement) - 1;
                memcpy(out + at, from, put);
                at += put;
                i += n ? n : 1;
        }
        out[at] = '\0';
        return out;
}

void add_text(struct json_object *object, const char *key, const char *value)
{
        _cleanup_free_ char *text = value ? utf8_text(value, strlen(value)) : NULL;

        json_object_object_add(object, key, text ? json_object_new_string(text) : NULL);
}

void add_mark(struct json_object *object, const struct mark *mark)
{
        add_text(object, "id", mark->id);
        add_text(object, "image", mark->image);
        json_object_object_add(object, "offset", json_object_new_int64((int64_t)mark->offset));
        json_object_object_add(object, "page_size", json_object_new_int64(mark->page_size));
        add_text(object, "filesystem", mark->fs_uuid);
        add_text(object, "kernel", mark->kernel);
        add_text(object, "initrd", mark->initrd);
        add_text(object, "release", mark->release);
        add_text(object, "time", mark->time);
        add_text(object, "verify", mark->verify == MARK_VERIFY_HINT ? "hint" : "header");
}
