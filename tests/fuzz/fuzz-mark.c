/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The mark's line, read and written.
 *
 * Input: flags (1 byte) and text. Flag 1: the text is fields for mark_format, separated by newlines: state, offset,
 * page size, verify (as numbers), id, image, filesystem UUID, kernel, initrd, release, time. Else it is a line, which
 * flag 2 fills up with blanks to the full width and flag 4 gives a right checksum.
 */
#include "fuzz.h"
#include "mark/mark.h"
#include "unit/refmark.h"

static bool same_mark(const struct mark *a, const struct mark *b)
{
        return a->state == b->state && a->empty == b->empty && strcmp(a->id, b->id) == 0 &&
               strcmp(a->image, b->image) == 0 && a->offset == b->offset && a->page_size == b->page_size &&
               strcmp(a->fs_uuid, b->fs_uuid) == 0 && strcmp(a->kernel, b->kernel) == 0 &&
               strcmp(a->initrd, b->initrd) == 0 && strcmp(a->release, b->release) == 0 &&
               strcmp(a->time, b->time) == 0 && a->verify == b->verify;
}

/* What every mark that was read must be, whatever the line was. */
static void check_fields(const struct mark *m)
{
        REQUIRE(m->state == MARK_NONE || m->state == MARK_ARMED || m->state == MARK_TAKEN);
        if (m->empty) {
                REQUIRE(m->state != MARK_ARMED);
                REQUIRE(!m->id[0] && !m->image[0] && !m->fs_uuid[0] && !m->kernel[0] && !m->initrd[0]);
                REQUIRE(!m->release[0] && !m->time[0] && m->offset == 0 && m->page_size == 0);
                return;
        }
        REQUIRE(m->state != MARK_NONE);
        REQUIRE(strlen(m->id) == MARK_ID_LEN && strspn(m->id, "0123456789abcdef") == MARK_ID_LEN);
        REQUIRE(strlen(m->image) <= MARK_IMAGE_MAX);
        REQUIRE(strncmp(m->image, "UUID=", 5) == 0 || strncmp(m->image, "PARTUUID=", 9) == 0);
        REQUIRE(m->offset < 1ULL << 44);
        REQUIRE(m->page_size == 4096 || m->page_size == 16384 || m->page_size == 65536);
        REQUIRE(mark_image_start(m) / m->page_size == m->offset);
        REQUIRE(m->fs_uuid[0] && m->fs_uuid[0] != '-' && strlen(m->fs_uuid) <= MARK_UUID_MAX);
        REQUIRE(m->kernel[0] == '/' && strlen(m->kernel) <= MARK_PATH_MAX);
        REQUIRE(!strstr(m->kernel, "/../") && !strstr(m->kernel, "//"));
        REQUIRE(m->initrd[0] == '/' || m->initrd[0] == '\0');
        REQUIRE(!strstr(m->initrd, "/../") && !strstr(m->initrd, "//"));
        REQUIRE(strlen(m->initrd) <= MARK_PATH_MAX);
        REQUIRE(m->release[0] && strlen(m->release) <= MARK_RELEASE_MAX && strlen(m->time) == MARK_TIME_LEN);
        /* Nothing that GRUB's scripting language would take apart. */
        const char *texts[] = { m->image, m->fs_uuid, m->kernel, m->initrd, m->release, m->time };
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                REQUIRE(!strpbrk(texts[i], " \t\n\\\"'$`(){}[]<>|;&*?!#%"));
}

static void check_states(const char *text, const struct mark *m)
{
        static const enum mark_state states[] = { MARK_NONE, MARK_ARMED, MARK_TAKEN };

        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
                char *other = exact_copy(text, MARK_WIDTH);
                struct mark n, want = *m;

                mark_set_state(other, states[i]);
                REQUIRE(memcmp(other, text, MARK_STATE_AT) == 0);
                REQUIRE(memcmp(other + MARK_STATE_AT + MARK_STATE_LEN, text + MARK_STATE_AT + MARK_STATE_LEN,
                               MARK_WIDTH - MARK_STATE_AT - MARK_STATE_LEN) == 0);
                enum mark_error e = mark_parse(other, MARK_WIDTH, &n, NULL);
                want.state = states[i];
                if (m->state == MARK_NONE && states[i] != MARK_NONE)
                        REQUIRE(e == MARK_OK || e == MARK_E_FIELD); /* there may be fields under it, or none */
                else if (m->empty && states[i] == MARK_ARMED)
                        REQUIRE(e == MARK_E_FIELD);
                else {
                        REQUIRE(e == MARK_OK && n.state == states[i]);
                        REQUIRE(states[i] == MARK_NONE ? n.empty : same_mark(&n, &want));
                }
                free(other);
        }
}

static void check_line(const char *text, size_t len)
{
        struct mark m;
        enum mark_field field = (enum mark_field)99;
        char again[MARK_WIDTH], empty[MARK_WIDTH];
        enum mark_error e = mark_parse(text, len, &m, &field);

        REQUIRE((e == MARK_E_FIELD) == (field != MARK_FIELD_NONE) && field <= MARK_FIELD_VERIFY);
        REQUIRE(e != MARK_E_TOO_LONG && (len == MARK_WIDTH || e == MARK_E_WIDTH));
        if (e != MARK_OK)
                return;
        check_fields(&m);
        REQUIRE(mark_format(&m, again, &field) == MARK_OK && field == MARK_FIELD_NONE);
        mark_format_empty(empty);
        REQUIRE(memcmp(again, m.state == MARK_NONE ? empty : text, MARK_WIDTH) == 0);
        check_states(text, &m);
}

/* The next line of the text into TO, cut to MAX bytes. */
static void take_text(const char **p, const char *end, char *to, size_t max)
{
        const char *stop = memchr(*p, '\n', (size_t)(end - *p));
        size_t len = (size_t)((stop ? stop : end) - *p);

        memcpy(to, *p, len < max ? len : max);
        to[len < max ? len : max] = '\0';
        *p = stop ? stop + 1 : end;
}

static uint64_t take_number(const char **p, const char *end)
{
        char text[32];

        take_text(p, end, text, sizeof(text) - 1);
        return strtoull(text, NULL, 0);
}

static void check_format(const char *p, const char *end)
{
        struct mark m = { .state = (enum mark_state)(take_number(&p, end) % 4) }, back;
        char *out = malloc(MARK_WIDTH), was[MARK_WIDTH];
        enum mark_field field = (enum mark_field)99;

        REQUIRE(out);
        memset(was, 'x', MARK_WIDTH);
        memcpy(out, was, MARK_WIDTH);
        m.offset = take_number(&p, end);
        m.page_size = (uint32_t)take_number(&p, end);
        m.verify = take_number(&p, end) & 1 ? MARK_VERIFY_HINT : MARK_VERIFY_HEADER;
        take_text(&p, end, m.id, MARK_ID_LEN);
        take_text(&p, end, m.image, MARK_IMAGE_MAX);
        take_text(&p, end, m.fs_uuid, MARK_UUID_MAX);
        take_text(&p, end, m.kernel, MARK_PATH_MAX);
        take_text(&p, end, m.initrd, MARK_PATH_MAX);
        take_text(&p, end, m.release, MARK_RELEASE_MAX);
        take_text(&p, end, m.time, MARK_TIME_LEN);
        m.empty = p < end;

        enum mark_error e = mark_format(&m, out, &field);
        REQUIRE((e == MARK_E_FIELD) == (field != MARK_FIELD_NONE) && field <= MARK_FIELD_VERIFY);
        if (e == MARK_OK) {
                REQUIRE(mark_parse(out, MARK_WIDTH, &back, NULL) == MARK_OK);
                check_fields(&back);
                if (strcmp(m.initrd, "-") == 0)
                        m.initrd[0] = '\0';
                if (m.empty || m.state == MARK_NONE)
                        REQUIRE(back.empty && back.state == m.state);
                else
                        REQUIRE(same_mark(&m, &back));
                REQUIRE(!memchr(out, '\\', MARK_WIDTH) && !memchr(out, '\n', MARK_WIDTH));
        } else
                REQUIRE(memcmp(out, was, MARK_WIDTH) == 0);
        free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 1)
                return 0;
        unsigned flags = data[0];
        size_t len = size - 1;
        char *text = exact_copy(data + 1, len);

        if (flags & 1)
                check_format(text, text + len);
        else {
                if (flags & 2 && len < MARK_WIDTH) {
                        text = realloc(text, MARK_WIDTH);
                        REQUIRE(text);
                        memset(text + len, ' ', MARK_WIDTH - len);
                        len = MARK_WIDTH;
                }
                if (flags & 4 && len == MARK_WIDTH)
                        ref_seal(text);
                check_line(text, len);
        }
        free(text);
        return 0;
}
