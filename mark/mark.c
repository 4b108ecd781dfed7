/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "mark.h"

#include "bytes.h"

#define STATE_END (MARK_STATE_AT + MARK_STATE_LEN)
#define FIELDS_AT (STATE_END + 1)
#define CRC_AT (MARK_WIDTH - MARK_CRC_LEN)

static const char states[][MARK_STATE_LEN + 1] = {
        [MARK_NONE] = "none ",
        [MARK_ARMED] = "armed",
        [MARK_TAKEN] = "taken",
};

/* ---- characters ---- */

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_lower_hex(char c)
{
        return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool is_alnum(char c)
{
        return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_uuid_char(char c)
{
        return is_alnum(c) || c == '-';
}

static bool is_release_char(char c)
{
        return is_alnum(c) || c == '.' || c == '_' || c == '+' || c == '~' || c == '-';
}

/* What kernel files are called in the field. No quote, '$', backslash, space or bracket: the path also passes through
 * GRUB's scripting language, and must mean itself there. */
static bool is_path_char(char c)
{
        return is_release_char(c) || c == '/' || c == '@' || c == ':' || c == '=' || c == ',';
}

/* ---- fields ---- */

struct span {
        const char *at;
        size_t len;
};

static bool all(struct span s, bool (*test)(char c))
{
        for (size_t i = 0; i < s.len; i++)
                if (!test(s.at[i]))
                        return false;
        return true;
}

static bool copy(char *to, size_t max, struct span s)
{
        if (s.len > max)
                return false;
        bytes_move(to, s.at, s.len);
        to[s.len] = '\0';
        return true;
}

static bool starts_with(struct span s, const char *prefix)
{
        size_t n = bytes_strlen(prefix);

        return s.len >= n && bytes_equal(s.at, prefix, n);
}

static bool span_is(struct span s, const char *text)
{
        return s.len == bytes_strlen(text) && bytes_equal(s.at, text, s.len);
}

static bool take_id(struct span s, struct mark *m)
{
        return s.len == MARK_ID_LEN && all(s, is_lower_hex) && copy(m->id, MARK_ID_LEN, s);
}

static bool is_uuid(struct span s)
{
        return s.len >= 1 && s.len <= MARK_UUID_MAX && all(s, is_uuid_char) && s.at[0] != '-';
}

static bool take_image(struct span s, struct mark *m)
{
        size_t skip = starts_with(s, "UUID=") ? 5 : starts_with(s, "PARTUUID=") ? 9 : 0;

        return skip > 0 && is_uuid((struct span){ s.at + skip, s.len - skip }) && copy(m->image, MARK_IMAGE_MAX, s);
}

/* Decimal without leading zeros, below LIMIT. */
static bool take_number(struct span s, uint64_t limit, uint64_t *value)
{
        uint64_t n = 0;

        if (s.len < 1 || !all(s, is_digit) || (s.at[0] == '0' && s.len > 1))
                return false;
        for (size_t i = 0; i < s.len; i++) {
                n = n * 10 + (uint64_t)(s.at[i] - '0');
                if (n >= limit)
                        return false;
        }
        *value = n;
        return true;
}

static bool take_offset(struct span s, struct mark *m)
{
        return take_number(s, MARK_OFFSET_LIMIT, &m->offset);
}

static bool take_page_size(struct span s, struct mark *m)
{
        uint64_t n;

        if (!take_number(s, 65537, &n) || (n != 4096 && n != 16384 && n != 65536))
                return false;
        m->page_size = (uint32_t)n;
        return true;
}

static bool take_fs_uuid(struct span s, struct mark *m)
{
        return is_uuid(s) && copy(m->fs_uuid, MARK_UUID_MAX, s);
}

/* Absolute, and without "//", "." and "..", so that it names one file in one way. */
static bool is_path(struct span s)
{
        size_t start = 1;

        if (s.len < 2 || s.at[0] != '/' || !all(s, is_path_char))
                return false;
        for (size_t i = 1; i <= s.len; i++) {
                if (i < s.len && s.at[i] != '/')
                        continue;
                struct span part = { s.at + start, i - start };
                if (part.len == 0 || span_is(part, ".") || span_is(part, ".."))
                        return false;
                start = i + 1;
        }
        return true;
}

static bool take_kernel(struct span s, struct mark *m)
{
        return is_path(s) && copy(m->kernel, MARK_PATH_MAX, s);
}

static bool take_initrd(struct span s, struct mark *m)
{
        if (span_is(s, "-")) {
                m->initrd[0] = '\0';
                return true;
        }
        return is_path(s) && copy(m->initrd, MARK_PATH_MAX, s);
}

static bool take_release(struct span s, struct mark *m)
{
        return s.len >= 1 && s.at[0] != '-' && all(s, is_release_char) && copy(m->release, MARK_RELEASE_MAX, s);
}

static bool take_time(struct span s, struct mark *m)
{
        static const char form[] = "dddd-dd-ddTdd:dd:ddsdd:dd"; /* d: digit; s: sign */

        if (s.len != MARK_TIME_LEN)
                return false;
        for (size_t i = 0; i < MARK_TIME_LEN; i++) {
                bool fits = form[i] == 'd'   ? is_digit(s.at[i])
                            : form[i] == 's' ? s.at[i] == '+' || s.at[i] == '-'
                                             : s.at[i] == form[i];
                if (!fits)
                        return false;
        }
        return copy(m->time, MARK_TIME_LEN, s);
}

static bool take_verify(struct span s, struct mark *m)
{
        m->verify = span_is(s, "hint") ? MARK_VERIFY_HINT : MARK_VERIFY_HEADER;
        return span_is(s, "hint") || span_is(s, "header");
}

/* In the order of the line, which is also the order of enum mark_field. */
static bool (*const takers[])(struct span s, struct mark *m) = {
        take_id,     take_image,  take_offset,  take_page_size, take_fs_uuid,
        take_kernel, take_initrd, take_release, take_time,      take_verify,
};
#define N_FIELDS (sizeof(takers) / sizeof(takers[0]))

/* ---- checksum ---- */

static void checksum(const char text[MARK_WIDTH], char out[MARK_CRC_LEN])
{
        uint32_t crc = bytes_crc32(0xffffffffU, text, MARK_STATE_AT);

        crc = bytes_crc32(crc, text + STATE_END, CRC_AT - STATE_END);
        bytes_format_hex(~crc, out);
}

/* ---- parse ---- */

static void clear(struct mark *m)
{
        m->state = MARK_NONE;
        m->empty = false;
        m->id[0] = m->image[0] = m->fs_uuid[0] = m->kernel[0] = '\0';
        m->initrd[0] = m->release[0] = m->time[0] = '\0';
        m->offset = 0;
        m->page_size = 0;
        m->verify = MARK_VERIFY_HEADER;
}

static enum mark_error check_frame(const char *text, size_t len)
{
        char crc[MARK_CRC_LEN];

        if (len != MARK_WIDTH)
                return MARK_E_WIDTH;
        for (size_t i = 0; i < len; i++)
                if (text[i] < 0x20 || text[i] > 0x7e)
                        return MARK_E_WIDTH;
        if (!bytes_equal(text, MARK_MAGIC, sizeof(MARK_MAGIC) - 1) || text[MARK_STATE_AT - 1] != ' ')
                return MARK_E_MAGIC;
        if (text[MARK_STATE_AT - 2] != MARK_VERSION)
                return is_digit(text[MARK_STATE_AT - 2]) ? MARK_E_VERSION : MARK_E_MAGIC;
        checksum(text, crc);
        if (!bytes_equal(crc, text + CRC_AT, MARK_CRC_LEN))
                return MARK_E_CHECKSUM;
        return MARK_OK;
}

/* The token at *POS, which ends at the next space; *POS moves behind that space. */
static struct span next_token(const char *text, size_t *pos)
{
        struct span s = { text + *pos, 0 };

        while (*pos < CRC_AT && text[*pos] != ' ')
                (*pos)++;
        s.len = (size_t)(text + *pos - s.at);
        if (*pos < CRC_AT)
                (*pos)++;
        return s;
}

static bool rest_is_padding(const char *text, size_t pos)
{
        for (size_t i = pos - 1; i < CRC_AT; i++) /* from the space that ended the last token */
                if (text[i] != ' ')
                        return false;
        return pos <= CRC_AT;
}

static bool is_empty_fields(const char *text)
{
        size_t pos = FIELDS_AT;

        for (size_t i = 0; i < N_FIELDS; i++)
                if (!span_is(next_token(text, &pos), "-"))
                        return false;
        return rest_is_padding(text, pos);
}

static enum mark_error parse_state(const char *text, struct mark *m)
{
        if (text[STATE_END] != ' ')
                return MARK_E_STATE;
        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
                if (bytes_equal(text + MARK_STATE_AT, states[i], MARK_STATE_LEN)) {
                        m->state = (enum mark_state)i;
                        return MARK_OK;
                }
        return MARK_E_STATE;
}

enum mark_error mark_parse(const char *text, size_t len, struct mark *m, enum mark_field *field)
{
        enum mark_field ignored;
        size_t pos = FIELDS_AT;

        field = field ? field : &ignored;
        *field = MARK_FIELD_NONE;
        clear(m);

        enum mark_error e = check_frame(text, len);
        if (e == MARK_OK)
                e = parse_state(text, m);
        if (e != MARK_OK)
                return e;
        if (m->state != MARK_ARMED && is_empty_fields(text)) {
                m->empty = true;
                return MARK_OK;
        }
        for (size_t i = 0; i < N_FIELDS; i++) {
                *field = (enum mark_field)(MARK_FIELD_ID + i);
                if (!takers[i](next_token(text, &pos), m))
                        return MARK_E_FIELD;
        }
        if (!rest_is_padding(text, pos))
                return MARK_E_FIELD;
        *field = MARK_FIELD_NONE;
        if (m->state == MARK_NONE) {
                clear(m);
                m->empty = true;
        }
        return MARK_OK;
}

/* ---- format ---- */

/* Appends to a line of MARK_WIDTH bytes; "at" may pass the end, which is checked once at the end. */
struct line {
        char text[MARK_WIDTH];
        size_t at;
};

static void put(struct line *line, const char *s)
{
        for (; *s != '\0'; s++, line->at++)
                if (line->at < MARK_WIDTH)
                        line->text[line->at] = *s;
}

static void put_field(struct line *line, const char *s)
{
        put(line, " ");
        put(line, *s != '\0' ? s : "-");
}

/* No division: a 32-bit machine would need a helper function from outside. */
static void put_number(struct line *line, uint64_t n)
{
        char text[21];
        size_t len = 0;

        for (uint64_t unit = 10000000000000000000ULL; unit > 0;) {
                char digit = '0';
                for (; n >= unit; n -= unit)
                        digit++;
                if (digit != '0' || len > 0 || unit == 1)
                        text[len++] = digit;
                /* unit /= 10, in steps that need no 64-bit division */
                uint64_t next = 1;
                while (next * 10 < unit)
                        next *= 10;
                unit = unit == 1 ? 0 : next;
        }
        text[len] = '\0';
        put_field(line, text);
}

static void put_head(struct line *line, enum mark_state state)
{
        static const char version[] = { MARK_VERSION, ' ', '\0' };

        bytes_fill(line->text, ' ', MARK_WIDTH);
        line->at = 0;
        put(line, MARK_MAGIC);
        put(line, version);
        put(line, states[state]);
}

static void put_fields(struct line *line, const struct mark *m)
{
        put_field(line, m->id);
        put_field(line, m->image);
        put_number(line, m->offset);
        put_number(line, m->page_size);
        put_field(line, m->fs_uuid);
        put_field(line, m->kernel);
        put_field(line, m->initrd);
        put_field(line, m->release);
        put_field(line, m->time);
        put_field(line, m->verify == MARK_VERIFY_HINT ? "hint" : "header");
}

static void put_empty_fields(struct line *line)
{
        for (size_t i = 0; i < N_FIELDS; i++)
                put_field(line, "");
}

enum mark_error mark_format(const struct mark *m, char out[MARK_WIDTH], enum mark_field *field)
{
        struct line line;
        struct mark check;

        if (field)
                *field = MARK_FIELD_NONE;
        if ((size_t)m->state >= sizeof(states) / sizeof(states[0]))
                return MARK_E_STATE;
        put_head(&line, m->state);
        if (m->empty || m->state == MARK_NONE)
                put_empty_fields(&line);
        else
                put_fields(&line, m);
        if (line.at >= CRC_AT)
                return MARK_E_TOO_LONG;
        checksum(line.text, line.text + CRC_AT);

        /* The reader's rules are the only ones: what it would refuse is not written. */
        enum mark_error e = mark_parse(line.text, MARK_WIDTH, &check, field);
        if (e == MARK_OK)
                bytes_move(out, line.text, MARK_WIDTH);
        return e;
}

void mark_format_empty(char out[MARK_WIDTH])
{
        struct line line;

        put_head(&line, MARK_NONE);
        put_empty_fields(&line);
        checksum(line.text, line.text + CRC_AT);
        bytes_move(out, line.text, MARK_WIDTH);
}

void mark_set_state(char text[MARK_WIDTH], enum mark_state state)
{
        bytes_move(text + MARK_STATE_AT, states[state], MARK_STATE_LEN);
}

const char *mark_state_name(enum mark_state state)
{
        switch (state) {
        case MARK_ARMED:
                return "armed";
        case MARK_TAKEN:
                return "taken";
        default:
                return "none";
        }
}

uint64_t mark_image_start(const struct mark *m)
{
        return m->offset * m->page_size;
}

/* ---- slot ---- */

enum slot_status slot_find(const struct envblk *block, size_t *at)
{
        struct envblk_var var, found;
        size_t cursor = 0, set_at, set_len;
        bool there = false;

        while (envblk_next(block, &cursor, &var)) {
                if (!envblk_var_is(&var, MARK_NAME))
                        continue;
                if (there)
                        return SLOT_DUPLICATE;
                there = true;
                found = var;
        }
        if (!there)
                return SLOT_MISSING;
        if (found.value_len != MARK_WIDTH)
                return SLOT_WIDTH;
        *at = (size_t)(found.value - block->buf);
        if (!envblk_find(block, MARK_NAME, &set_at, &set_len) || set_at != *at || set_len != MARK_WIDTH)
                return SLOT_BROKEN;
        if (*at / ENVBLK_SECTOR != (*at + MARK_WIDTH - 1) / ENVBLK_SECTOR)
                return SLOT_STRADDLES;
        return SLOT_FOUND;
}

enum envblk_result slot_remove(struct envblk *block)
{
        enum envblk_result first = envblk_unset(block, MARK_NAME);

        if (first == ENVBLK_DONE)
                while (envblk_unset(block, MARK_NAME) == ENVBLK_DONE)
                        ;
        return first;
}

enum envblk_result slot_reserve(struct envblk *block)
{
        char empty[MARK_WIDTH];

        mark_format_empty(empty);
        slot_remove(block);
        return envblk_insert_first(block, MARK_NAME, empty, MARK_WIDTH);
}
