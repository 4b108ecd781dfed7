/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "location.h"

#include "bytes.h"
#include "mark.h"

/* For xgettext; the caller translates. */
#define N_(text) text

#define TEXT_MAX LOCATION_RELEASE_MAX /* the longest string that means anything, keys included */

/* The text of the variable, as 16-bit units. */
struct reader {
        const uint8_t *bytes;
        size_t pos, end;
        enum location_error error;
};

/* A string without quotes and escapes. One that does not fit or has other characters can only be skipped. */
struct text {
        char at[TEXT_MAX + 1];
        size_t len;
        bool plain; /* printable ASCII, and all of it is there */
};

/* ---- characters ---- */

static bool is_digit(uint16_t c)
{
        return c >= '0' && c <= '9';
}

static bool is_space(uint16_t c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_high_surrogate(uint16_t c)
{
        return c >= 0xd800 && c <= 0xdbff;
}

static bool is_low_surrogate(uint16_t c)
{
        return c >= 0xdc00 && c <= 0xdfff;
}

/* The value of a hexadecimal digit; 16 if it is none. */
static unsigned int hex_value(uint16_t c)
{
        if (is_digit(c))
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10U;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10U;
        return 16;
}

/* ---- the text ---- */

static uint16_t unit(const struct reader *r, size_t i)
{
        return (uint16_t)(r->bytes[2 * i] | r->bytes[2 * i + 1] << 8);
}

/* The first error counts: it is the one that explains the others. */
static bool fail(struct reader *r, enum location_error error)
{
        if (r->error == LOCATION_OK)
                r->error = error;
        return false;
}

/* The next character; 0 at the end, which no character inside is. */
static uint16_t peek(const struct reader *r)
{
        return r->pos < r->end ? unit(r, r->pos) : 0;
}

static bool accept(struct reader *r, uint16_t c)
{
        if (peek(r) != c)
                return false;
        r->pos++;
        return true;
}

static bool expect(struct reader *r, uint16_t c)
{
        return accept(r, c) || fail(r, LOCATION_E_SYNTAX);
}

static void skip_space(struct reader *r)
{
        while (is_space(peek(r)))
                r->pos++;
}

/* Finds the end of the text, and that it is text. Behind the NUL that ends it nothing may stand that has a meaning. */
static bool check_encoding(struct reader *r, size_t units)
{
        size_t i = 0;

        for (; i < units && unit(r, i) != 0; i++) {
                bool high = is_high_surrogate(unit(r, i));

                if (is_low_surrogate(unit(r, i)) || (high && (i + 1 == units || !is_low_surrogate(unit(r, i + 1)))))
                        return fail(r, LOCATION_E_ENCODING);
                if (high)
                        i++;
        }
        r->end = i;
        for (; i < units; i++)
                if (unit(r, i) != 0 && !is_space(unit(r, i)))
                        return fail(r, LOCATION_E_ENCODING);
        return true;
}

/* ---- strings ---- */

static void append(struct text *text, uint16_t c)
{
        if (c < 0x20 || c > 0x7e || text->len == TEXT_MAX)
                text->plain = false;
        else
                text->at[text->len++] = (char)c;
}

/* The four digits of \uXXXX. */
static bool read_hex(struct reader *r, uint16_t *c)
{
        *c = 0;
        for (int i = 0; i < 4; i++) {
                unsigned int value = hex_value(peek(r));

                if (value > 15)
                        return fail(r, LOCATION_E_SYNTAX);
                *c = (uint16_t)(*c << 4 | value);
                r->pos++;
        }
        return true;
}

static bool read_unicode(struct reader *r, uint16_t *c)
{
        uint16_t low;

        if (!read_hex(r, c))
                return false;
        if (*c == 0 || is_low_surrogate(*c))
                return fail(r, LOCATION_E_ENCODING);
        if (!is_high_surrogate(*c))
                return true;
        if (!accept(r, '\\') || !accept(r, 'u'))
                return fail(r, LOCATION_E_ENCODING);
        return read_hex(r, &low) && (is_low_surrogate(low) || fail(r, LOCATION_E_ENCODING));
}

/* What follows a backslash. Of a surrogate pair *C is the first half, which is as good as any for what is not ASCII. */
static bool read_escape(struct reader *r, uint16_t *c)
{
        static const char escapes[][2] = {
                { '"', '"' },  { '\\', '\\' }, { '/', '/' },  { 'b', '\b' },
                { 'f', '\f' }, { 'n', '\n' },  { 'r', '\r' }, { 't', '\t' },
        };

        if (accept(r, 'u'))
                return read_unicode(r, c);
        for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++)
                if (accept(r, (uint16_t)escapes[i][0])) {
                        *c = (uint16_t)escapes[i][1];
                        return true;
                }
        return fail(r, LOCATION_E_SYNTAX);
}

static bool read_string(struct reader *r, struct text *text)
{
        text->len = 0;
        text->plain = true;
        if (!expect(r, '"'))
                return false;
        while (!accept(r, '"')) {
                uint16_t c = peek(r);

                if (c < 0x20)
                        return fail(r, LOCATION_E_SYNTAX);
                r->pos++;
                if (c == '\\' && !read_escape(r, &c))
                        return false;
                append(text, c);
        }
        text->at[text->len] = '\0';
        return true;
}

static bool text_is(const struct text *text, const char *s)
{
        size_t n = bytes_strlen(s);

        return text->plain && text->len == n && bytes_equal(text->at, s, n);
}

/* ---- values that mean nothing to us ---- */

static bool skip_digits(struct reader *r)
{
        if (!is_digit(peek(r)))
                return fail(r, LOCATION_E_SYNTAX);
        while (is_digit(peek(r)))
                r->pos++;
        return true;
}

static bool skip_number(struct reader *r)
{
        accept(r, '-');
        if (!accept(r, '0') && !skip_digits(r))
                return false;
        if (accept(r, '.') && !skip_digits(r))
                return false;
        if (!accept(r, 'e') && !accept(r, 'E'))
                return true;
        if (!accept(r, '+'))
                accept(r, '-');
        return skip_digits(r);
}

static bool skip_word(struct reader *r, const char *word)
{
        for (; *word != '\0'; word++)
                if (!expect(r, (uint16_t)*word))
                        return false;
        return true;
}

static bool skip_value(struct reader *r, unsigned int depth);

/* An object or an array; the next character is the one that it begins with. */
static bool skip_nested(struct reader *r, unsigned int depth)
{
        bool object = accept(r, '{');
        struct text key;

        if (depth == 0)
                return fail(r, LOCATION_E_DEPTH);
        if (!object)
                accept(r, '[');
        skip_space(r);
        if (accept(r, object ? '}' : ']'))
                return true;
        do {
                skip_space(r);
                if (object) {
                        if (!read_string(r, &key))
                                return false;
                        skip_space(r);
                        if (!expect(r, ':'))
                                return false;
                        skip_space(r);
                }
                if (!skip_value(r, depth - 1))
                        return false;
                skip_space(r);
        } while (accept(r, ','));
        return expect(r, object ? '}' : ']');
}

/* DEPTH: how many objects and arrays may still be entered. */
static bool skip_value(struct reader *r, unsigned int depth)
{
        struct text ignored;

        switch (peek(r)) {
        case '"':
                return read_string(r, &ignored);
        case '{':
        case '[':
                return skip_nested(r, depth);
        case 't':
                return skip_word(r, "true");
        case 'f':
                return skip_word(r, "false");
        case 'n':
                return skip_word(r, "null");
        default:
                return skip_number(r);
        }
}

/* ---- values that we take ---- */

/* A string that TO, with room for MAX characters, can hold. */
static bool take_text(struct reader *r, char *to, size_t max, enum location_error error)
{
        struct text text;

        if (peek(r) != '"')
                return fail(r, error);
        if (!read_string(r, &text))
                return false;
        if (!text.plain || text.len > max)
                return fail(r, error);
        bytes_move(to, text.at, text.len + 1);
        return true;
}

/* 32 hexadecimal digits, with all four dashes or with none. */
static bool take_uuid(struct reader *r, struct location *out)
{
        char text[sizeof(out->uuid)];
        size_t n = 0, digits = 0;
        bool dashes;

        if (!take_text(r, text, sizeof(text) - 1, LOCATION_E_UUID))
                return false;
        dashes = bytes_strlen(text) == sizeof(text) - 1;
        for (const char *c = text; digits < 32; digits++) {
                if (digits == 8 || digits == 12 || digits == 16 || digits == 20) {
                        out->uuid[n++] = '-';
                        if (dashes && *c++ != '-')
                                return fail(r, LOCATION_E_UUID);
                }
                unsigned int value = hex_value((uint16_t)*c++);
                if (value > 15)
                        return fail(r, LOCATION_E_UUID);
                out->uuid[n++] = "0123456789abcdef"[value];
        }
        out->uuid[n] = '\0';
        return bytes_strlen(text) == (dashes ? 36 : 32) || fail(r, LOCATION_E_UUID);
}

static bool take_offset(struct reader *r, struct location *out)
{
        uint64_t n = 0;

        if (!is_digit(peek(r)))
                return fail(r, LOCATION_E_OFFSET);
        if (accept(r, '0')) {
                if (is_digit(peek(r)))
                        return fail(r, LOCATION_E_SYNTAX);
        } else
                for (; is_digit(peek(r)); r->pos++) {
                        n = n * 10 + (uint64_t)(peek(r) - '0');
                        if (n >= MARK_OFFSET_LIMIT)
                                return fail(r, LOCATION_E_OFFSET);
                }
        /* A fraction or an exponent. */
        if (peek(r) == '.' || peek(r) == 'e' || peek(r) == 'E')
                return fail(r, LOCATION_E_OFFSET);
        out->offset = n;
        return true;
}

/* As in a mark: it becomes part of a file's name. */
static bool is_release_char(char c)
{
        return is_digit((uint16_t)c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' ||
               c == '+' || c == '~' || c == '-';
}

static bool take_release(struct reader *r, struct location *out)
{
        if (!take_text(r, out->kernel_version, LOCATION_RELEASE_MAX, LOCATION_E_RELEASE))
                return false;
        for (const char *c = out->kernel_version; *c != '\0'; c++)
                if (!is_release_char(*c))
                        return fail(r, LOCATION_E_RELEASE);
        return out->kernel_version[0] != '-' || fail(r, LOCATION_E_RELEASE);
}

/* What is only for showing costs nobody a resume: a value that does not fit, or is no plain text, is left out. */
static bool take_os(struct reader *r, char *to)
{
        struct text text;

        if (peek(r) != '"')
                return skip_value(r, LOCATION_DEPTH);
        if (!read_string(r, &text))
                return false;
        if (text.plain && text.len <= LOCATION_OS_MAX)
                bytes_move(to, text.at, text.len + 1);
        return true;
}

static bool take_os_id(struct reader *r, struct location *out)
{
        return take_os(r, out->os_id);
}

static bool take_os_image_id(struct reader *r, struct location *out)
{
        return take_os(r, out->os_image_id);
}

static bool take_os_version_id(struct reader *r, struct location *out)
{
        return take_os(r, out->os_version_id);
}

static bool take_os_image_version(struct reader *r, struct location *out)
{
        return take_os(r, out->os_image_version);
}

static const struct {
        const char *key;
        bool (*take)(struct reader *r, struct location *out);
        enum location_error missing; /* what it is if the key is not there */
} members[] = {
        { "uuid", take_uuid, LOCATION_E_NO_UUID },
        { "offset", take_offset, LOCATION_E_NO_OFFSET },
        { "kernelVersion", take_release, LOCATION_OK },
        { "osReleaseId", take_os_id, LOCATION_OK },
        { "osReleaseImageId", take_os_image_id, LOCATION_OK },
        { "osReleaseVersionId", take_os_version_id, LOCATION_OK },
        { "osReleaseImageVersion", take_os_image_version, LOCATION_OK },
};
#define N_MEMBERS (sizeof(members) / sizeof(members[0]))

/* SEEN has a bit for each known key. */
static bool read_member(struct reader *r, struct location *out, unsigned int *seen)
{
        struct text key;
        size_t i = 0;

        skip_space(r);
        if (!read_string(r, &key))
                return false;
        skip_space(r);
        if (!expect(r, ':'))
                return false;
        skip_space(r);
        while (i < N_MEMBERS && !text_is(&key, members[i].key))
                i++;
        if (i == N_MEMBERS)
                return skip_value(r, LOCATION_DEPTH);
        if (*seen & 1U << i)
                return fail(r, LOCATION_E_DUPLICATE);
        *seen |= 1U << i;
        if (peek(r) == 0)
                return fail(r, LOCATION_E_SYNTAX);
        return members[i].take(r, out);
}

static bool read_object(struct reader *r, struct location *out)
{
        unsigned int seen = 0;

        skip_space(r);
        if (!expect(r, '{'))
                return false;
        skip_space(r);
        if (!accept(r, '}')) {
                do {
                        if (!read_member(r, out, &seen))
                                return false;
                        skip_space(r);
                } while (accept(r, ','));
                if (!expect(r, '}'))
                        return false;
        }
        skip_space(r);
        if (r->pos < r->end)
                return fail(r, LOCATION_E_TRAILING);
        for (size_t i = 0; i < N_MEMBERS; i++)
                if (!(seen & 1U << i) && members[i].missing != LOCATION_OK)
                        return fail(r, members[i].missing);
        return true;
}

static void clear(struct location *out)
{
        out->uuid[0] = out->kernel_version[0] = '\0';
        out->os_id[0] = out->os_image_id[0] = out->os_version_id[0] = out->os_image_version[0] = '\0';
        out->offset = 0;
}

enum location_error location_parse(const void *bytes, size_t n, struct location *out)
{
        struct reader r;

        r.bytes = bytes;
        r.pos = r.end = 0;
        r.error = LOCATION_OK;
        clear(out);
        if (n == 0 || n > LOCATION_MAX)
                return LOCATION_E_SIZE;
        if (n % 2 != 0)
                return LOCATION_E_ENCODING;
        if (!check_encoding(&r, n / 2) || !read_object(&r, out))
                clear(out);
        return r.error;
}

/* ---- words ---- */

static const struct {
        const char *name;
        const char *text;
} errors[LOCATION_E_COUNT] = {
        [LOCATION_OK] = { "", "" },
        [LOCATION_E_SIZE] = { "size", N_("it is empty or too long") },
        [LOCATION_E_ENCODING] = { "encoding", N_("it is not UTF-16 text") },
        [LOCATION_E_SYNTAX] = { "syntax", N_("it is not a JSON object") },
        [LOCATION_E_DEPTH] = { "depth", N_("it is nested too deeply") },
        [LOCATION_E_TRAILING] = { "trailing", N_("something stands behind its JSON object") },
        [LOCATION_E_DUPLICATE] = { "duplicate", N_("it names the same thing twice") },
        [LOCATION_E_NO_UUID] = { "no-uuid", N_("it names no device") },
        [LOCATION_E_UUID] = { "uuid", N_("what it names as a device is not a UUID") },
        [LOCATION_E_NO_OFFSET] = { "no-offset", N_("it names no offset") },
        [LOCATION_E_OFFSET] = { "offset", N_("its offset is not a whole number, or too large") },
        [LOCATION_E_RELEASE] = { "release", N_("what it names as a kernel is not the release of one") },
};

const char *location_error_text(enum location_error error)
{
        return (size_t)error < LOCATION_E_COUNT ? errors[error].text : "";
}

const char *location_error_name(enum location_error error)
{
        return (size_t)error < LOCATION_E_COUNT ? errors[error].name : "";
}

/* ---- which image ---- */

void location_fingerprint(const void *bytes, size_t n, const void *page, char out[LOCATION_FINGERPRINT_LEN])
{
        uint32_t crc = bytes_crc32(0xffffffffU, bytes, n);

        crc = bytes_crc32(crc, (const char *)page + LOCATION_BOOT_BITS, LOCATION_PAGE - LOCATION_BOOT_BITS);
        bytes_format_hex(~crc, out);
}
