/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The mark's line: taken apart, put together, and refused when anything in it is wrong. Lines are written by refmark.h,
 * which knows the format only from its description.
 */
#include "testing.h"

#include "guard.h"
#include "mark/mark.h"
#include "prng.h"
#include "refmark.h"

static struct guard guard;

static const struct refmark good = REF_GOOD;
static const struct refmark blank = REF_EMPTY;

static struct mark good_mark(void)
{
        struct mark m = { .state = MARK_ARMED, .offset = 34816, .page_size = 4096, .verify = MARK_VERIFY_HEADER };

        strcpy(m.id, good.field[REF_ID]);
        strcpy(m.image, good.field[REF_IMAGE]);
        strcpy(m.fs_uuid, good.field[REF_FSUUID]);
        strcpy(m.kernel, good.field[REF_KERNEL]);
        strcpy(m.initrd, good.field[REF_INITRD]);
        strcpy(m.release, good.field[REF_RELEASE]);
        strcpy(m.time, good.field[REF_TIME]);
        return m;
}

static bool same_mark(const struct mark *a, const struct mark *b)
{
        return a->state == b->state && a->empty == b->empty && strcmp(a->id, b->id) == 0 &&
               strcmp(a->image, b->image) == 0 && a->offset == b->offset && a->page_size == b->page_size &&
               strcmp(a->fs_uuid, b->fs_uuid) == 0 && strcmp(a->kernel, b->kernel) == 0 &&
               strcmp(a->initrd, b->initrd) == 0 && strcmp(a->release, b->release) == 0 &&
               strcmp(a->time, b->time) == 0 && a->verify == b->verify;
}

/* Nothing of an earlier content may shine through. */
static void soil(struct mark *m)
{
        memset(m, 0x55, sizeof(*m));
}

/* From memory that ends at a page which cannot be touched. */
static enum mark_error parse(const char *text, size_t len, struct mark *m, enum mark_field *field)
{
        soil(m);
        *field = (enum mark_field)99;
        enum mark_error e = mark_parse(guard_place(&guard, text, len, true), len, m, field);

        if (e != MARK_E_FIELD)
                assert_int_equal(*field, MARK_FIELD_NONE);
        else
                assert_in_range(*field, MARK_FIELD_ID, MARK_FIELD_VERIFY);
        return e;
}

static enum mark_error parse_text(const char *text, struct mark *m)
{
        enum mark_field field;

        return parse(text, MARK_WIDTH, m, &field);
}

/* ---- a good mark ---- */

/* Written down once with another program's CRC-32 (zlib), so that reader and writer cannot be wrong together. */
static void golden(char out[MARK_WIDTH + 1])
{
        snprintf(out, MARK_WIDTH + 1, "%-392s%s",
                 "hib1 armed 0123456789abcdef0123456789abcdef UUID=11111111-2222-3333-4444-555555555555 34816 4096 "
                 "99999999-8888-7777-6666-555555555555 /boot/vmlinuz-6.1.0-56-amd64 /boot/initrd.img-6.1.0-56-amd64 "
                 "6.1.0-56-amd64 2026-11-22T16:03:12+01:00 header",
                 "7d22c343");
}

static void test_golden_line(void **state)
{
        char text[MARK_WIDTH + 1], own[MARK_WIDTH];
        struct mark m, want = good_mark();

        (void)state;
        golden(text);
        assert_int_equal(strlen(text), MARK_WIDTH);
        assert_int_equal(parse_text(text, &m), MARK_OK);
        assert_true(same_mark(&m, &want));
        assert_int_equal(mark_format(&want, own, NULL), MARK_OK);
        assert_memory_equal(own, text, MARK_WIDTH);
        assert_true(ref_write(&good, own));
        assert_memory_equal(own, text, MARK_WIDTH);
}

static void test_golden_empty_line(void **state)
{
        char text[MARK_WIDTH + 1], own[MARK_WIDTH];
        struct mark m, want = { .state = MARK_NONE, .empty = true };

        (void)state;
        snprintf(text, sizeof(text), "%-392s%s", "hib1 none  - - - - - - - - - -", "7c27e454");
        mark_format_empty(own);
        assert_memory_equal(own, text, MARK_WIDTH);
        assert_int_equal(mark_format(&want, own, NULL), MARK_OK);
        assert_memory_equal(own, text, MARK_WIDTH);
        assert_true(ref_write(&blank, own));
        assert_memory_equal(own, text, MARK_WIDTH);
        assert_int_equal(parse_text(text, &m), MARK_OK);
        assert_true(same_mark(&m, &want));
}

static void test_field_pointer_may_be_null(void **state)
{
        char text[MARK_WIDTH];
        struct mark m;

        (void)state;
        ref_write(&good, text);
        assert_int_equal(mark_parse(text, MARK_WIDTH, &m, NULL), MARK_OK);
        assert_int_equal(mark_parse(text, MARK_WIDTH - 1, &m, NULL), MARK_E_WIDTH);
        m = good_mark();
        m.id[3] = 'X';
        assert_int_equal(mark_format(&m, text, NULL), MARK_E_FIELD);
        struct refmark bad = good;
        bad.field[REF_ID] = "x";
        ref_write(&bad, text);
        assert_int_equal(mark_parse(text, MARK_WIDTH, &m, NULL), MARK_E_FIELD);
}

/* ---- the frame ---- */

static void test_width(void **state)
{
        char text[MARK_WIDTH + 40];
        struct mark m;
        enum mark_field field;

        (void)state;
        memset(text, ' ', sizeof(text));
        ref_write(&good, text);
        for (size_t len = 0; len <= sizeof(text); len++)
                if (parse(text, len, &m, &field) != (len == MARK_WIDTH ? MARK_OK : MARK_E_WIDTH))
                        fail_row("length %zu", len);
}

static void test_unprintable_bytes(void **state)
{
        char text[MARK_WIDTH];
        struct mark m;

        (void)state;
        for (size_t i = 0; i < MARK_WIDTH; i++)
                for (int c = 0; c < 256; c++) {
                        if (c >= 0x20 && c <= 0x7e)
                                continue;
                        ref_write(&good, text);
                        text[i] = (char)c;
                        if (i < REF_CRC_AT)
                                ref_seal(text);
                        if (parse_text(text, &m) != MARK_E_WIDTH)
                                fail_row("byte %zu = 0x%02x", i, c);
                }
}

static const struct {
        const char *magic;
        enum mark_error error;
} magic_rows[] = {
        { "hib1", MARK_OK },       { "hib0", MARK_E_VERSION }, { "hib2", MARK_E_VERSION }, { "hib9", MARK_E_VERSION },
        { "hiba", MARK_E_MAGIC },  { "hib ", MARK_E_MAGIC },   { "hib:", MARK_E_MAGIC },   { "hib/", MARK_E_MAGIC },
        { "HIB1", MARK_E_MAGIC },  { "hic1", MARK_E_MAGIC },   { "    ", MARK_E_MAGIC },   { "1hib", MARK_E_MAGIC },
        { "hib12", MARK_E_MAGIC }, /* version 12 would push the space away */
};

static void test_magic_and_version(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_OF(magic_rows); i++)
                for (int sealed = 0; sealed < 2; sealed++) {
                        struct refmark r = good;
                        char text[MARK_WIDTH];
                        struct mark m;

                        r.magic = magic_rows[i].magic;
                        ref_write(&r, text);
                        /* A mark from the future may have another checksum: the version is told even so. */
                        if (!sealed)
                                text[MARK_WIDTH - 1] = text[MARK_WIDTH - 1] == '0' ? '1' : '0';
                        enum mark_error want = magic_rows[i].error;
                        if (want == MARK_OK && !sealed)
                                want = MARK_E_CHECKSUM;
                        enum mark_error e = parse_text(text, &m);
                        if (e != want)
                                fail_row("magic \"%s\" sealed %d: error %d", magic_rows[i].magic, sealed, e);
                }
}

static const char *const bad_states[] = { "     ", "none_", "nonee", " none", "Armed", "ARMED", "armee",
                                          "arme ", "taker", "xxxxx", "-    ", "take ", "done ", "none1" };

static void test_unknown_states(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_OF(bad_states); i++) {
                const struct refmark *from[] = { &good, &blank };

                for (size_t j = 0; j < N_OF(from); j++) {
                        struct refmark r = *from[j];
                        char text[MARK_WIDTH];
                        struct mark m;

                        r.state = bad_states[i];
                        ref_write(&r, text);
                        if (parse_text(text, &m) != MARK_E_STATE)
                                fail_row("state \"%s\"", bad_states[i]);
                }
        }
}

static void test_no_space_behind_the_state(void **state)
{
        char text[MARK_WIDTH];
        struct mark m;

        (void)state;
        ref_write(&good, text);
        text[MARK_STATE_AT + MARK_STATE_LEN] = '-';
        ref_seal(text);
        assert_int_not_equal(parse_text(text, &m), MARK_OK);
        ref_write(&good, text);
        text[MARK_STATE_AT - 1] = '-';
        ref_seal(text);
        assert_int_not_equal(parse_text(text, &m), MARK_OK);
}

/* ---- corruption ---- */

static void reject_every_byte(const struct refmark *r)
{
        char text[MARK_WIDTH];
        struct mark m;

        ref_write(r, text);
        assert_int_equal(parse_text(text, &m), MARK_OK);
        for (size_t i = 0; i < MARK_WIDTH; i++)
                for (int x = 1; x < 256; x++) {
                        text[i] ^= (char)x;
                        if (mark_parse(text, MARK_WIDTH, &m, NULL) == MARK_OK)
                                fail_row("byte %zu, changed by 0x%02x, was not seen: \"%.400s\"", i, x, text);
                        text[i] ^= (char)x;
                }
}

/* No single byte changes one state into another, so a single wrong byte is always refused. */
static void test_every_single_byte(void **state)
{
        struct refmark taken = good, hint = good, blank_taken = blank;

        (void)state;
        taken.state = "taken";
        hint.field[REF_VERIFY] = "hint";
        hint.field[REF_INITRD] = "-";
        blank_taken.state = "taken";
        reject_every_byte(&good);
        reject_every_byte(&taken);
        reject_every_byte(&hint);
        reject_every_byte(&blank);
        reject_every_byte(&blank_taken);
}

/* A torn or mixed write leaves any part of one mark in another. Nothing but the state may pass. */
static void test_mixtures_of_two_marks(void **state)
{
        struct refmark other = good;
        char a[MARK_WIDTH], b[MARK_WIDTH], mixed[MARK_WIDTH];
        struct mark m, ma, mb;

        (void)state;
        other.state = "taken";
        other.field[REF_ID] = "fedcba9876543210fedcba9876543210";
        other.field[REF_IMAGE] = "UUID=21111111-2222-3333-4444-555555555555";
        other.field[REF_KERNEL] = "/boot/vmlinuz-6.1.0-57-amd64";
        other.field[REF_TIME] = "2026-11-23T16:03:12+01:00";
        ref_write(&good, a);
        ref_write(&other, b);
        assert_int_equal(parse_text(a, &ma), MARK_OK);
        assert_int_equal(parse_text(b, &mb), MARK_OK);
        for (size_t from = 0; from <= MARK_WIDTH; from++)
                for (size_t to = from; to <= MARK_WIDTH; to++) {
                        memcpy(mixed, a, MARK_WIDTH);
                        memcpy(mixed + from, b + from, to - from);
                        if (mark_parse(mixed, MARK_WIDTH, &m, NULL) != MARK_OK)
                                continue;
                        m.state = ma.state;
                        bool is_a = same_mark(&m, &ma);
                        m.state = mb.state;
                        if (!is_a && !same_mark(&m, &mb))
                                fail_row("bytes %zu to %zu of the other mark", from, to);
                }
}

static void test_random_corruption(void **state)
{
        struct prng r = { 2 };
        char text[MARK_WIDTH], was[MARK_WIDTH];
        struct mark m;

        (void)state;
        ref_write(&good, was);
        for (int i = 0; i < 100000; i++) {
                size_t n = 1 + prng_below(&r, 8);

                memcpy(text, was, MARK_WIDTH);
                while (n--)
                        text[prng_below(&r, MARK_WIDTH)] = (char)(' ' + prng_below(&r, 95));
                bool same = memcmp(text, was, 5) == 0 && memcmp(text + 10, was + 10, MARK_WIDTH - 10) == 0;
                if (!same && mark_parse(text, MARK_WIDTH, &m, NULL) == MARK_OK)
                        fail_row("accepted: \"%.400s\"", text);
        }
}

/* ---- states ---- */

static void test_state_changes_move_nothing(void **state)
{
        static const struct {
                enum mark_state state;
                const char *text, *name;
        } rows[] = { { MARK_NONE, "none ", "none" },
                     { MARK_ARMED, "armed", "armed" },
                     { MARK_TAKEN, "taken", "taken" } };
        char was[MARK_WIDTH], text[MARK_WIDTH];
        struct mark m, want = good_mark();

        (void)state;
        ref_write(&good, was);
        for (size_t i = 0; i < N_OF(rows); i++) {
                memcpy(text, was, MARK_WIDTH);
                mark_set_state(guard_place(&guard, text, MARK_WIDTH, true), rows[i].state);
                assert_true(guard_intact(&guard));
                memcpy(text, guard.buf, MARK_WIDTH);
                assert_memory_equal(text, was, MARK_STATE_AT);
                assert_memory_equal(text + MARK_STATE_AT, rows[i].text, MARK_STATE_LEN);
                assert_memory_equal(text + 10, was + 10, MARK_WIDTH - 10);
                assert_string_equal(mark_state_name(rows[i].state), rows[i].name);
                if (rows[i].state == MARK_NONE)
                        continue; /* see none_over_a_full_mark */
                assert_int_equal(parse_text(text, &m), MARK_OK);
                want.state = rows[i].state;
                assert_true(same_mark(&m, &want));
                assert_int_equal(mark_format(&want, was, NULL), MARK_OK);
                assert_memory_equal(was, text, MARK_WIDTH);
        }
}

/* The state is outside the checksum, so this line can exist. It marks nothing. */
static void test_none_over_a_full_mark(void **state)
{
        struct refmark r = good;
        char text[MARK_WIDTH];
        struct mark m, want = { .state = MARK_NONE, .empty = true };

        (void)state;
        r.state = "none ";
        ref_write(&r, text);
        assert_int_equal(parse_text(text, &m), MARK_OK);
        assert_true(same_mark(&m, &want));
}

static void test_empty_marks(void **state)
{
        struct refmark r = blank;
        char text[MARK_WIDTH], own[MARK_WIDTH];
        struct mark m, want = { .state = MARK_TAKEN, .empty = true };
        enum mark_field field;

        (void)state;
        r.state = "taken";
        ref_write(&r, text);
        assert_int_equal(parse_text(text, &m), MARK_OK);
        assert_true(same_mark(&m, &want));
        assert_int_equal(mark_format(&want, own, NULL), MARK_OK);
        assert_memory_equal(own, text, MARK_WIDTH);

        /* An armed mark names an image. */
        r.state = "armed";
        ref_write(&r, text);
        assert_int_equal(parse(text, MARK_WIDTH, &m, &field), MARK_E_FIELD);
        assert_int_equal(field, MARK_FIELD_ID);
        want.state = MARK_ARMED;
        memset(own, 'x', MARK_WIDTH);
        assert_int_equal(mark_format(&want, own, &field), MARK_E_FIELD);
        assert_int_equal(field, MARK_FIELD_ID);
        for (size_t i = 0; i < MARK_WIDTH; i++)
                assert_int_equal(own[i], 'x');
}

/* An empty mark needs only "state" and "empty": what else is in the struct does not matter. */
static void test_empty_ignores_the_fields(void **state)
{
        char text[MARK_WIDTH], want[MARK_WIDTH];
        struct mark m;

        (void)state;
        soil(&m);
        m.state = MARK_NONE;
        m.empty = true;
        mark_format_empty(want);
        assert_int_equal(mark_format(&m, text, NULL), MARK_OK);
        assert_memory_equal(text, want, MARK_WIDTH);
}

/* State "none" has no fields, whatever the struct still holds. */
static void test_format_of_none_is_empty(void **state)
{
        struct mark m = good_mark();
        char text[MARK_WIDTH], want[MARK_WIDTH];

        (void)state;
        m.state = MARK_NONE;
        mark_format_empty(want);
        assert_int_equal(mark_format(&m, text, NULL), MARK_OK);
        assert_memory_equal(text, want, MARK_WIDTH);
}

static void test_half_empty(void **state)
{
        (void)state;
        for (int i = 0; i < REF_FIELDS; i++) {
                static const char *const states[] = { "none ", "armed", "taken" };
                struct refmark one_missing = good, one_there = blank;
                char text[MARK_WIDTH];
                struct mark m;
                enum mark_field field;

                for (size_t s = 0; s < N_OF(states); s++) {
                        one_missing.field[i] = "-";
                        one_missing.state = states[s];
                        ref_write(&one_missing, text);
                        enum mark_error e = parse(text, MARK_WIDTH, &m, &field);
                        if (i == REF_INITRD ? e != MARK_OK : e != MARK_E_FIELD || (int)field != MARK_FIELD_ID + i)
                                fail_row("field %d missing, state %s: error %d, field %d", i, states[s], e, field);
                        if (i == REF_INITRD)
                                assert_string_equal(m.initrd, "");

                        one_there.field[i] = good.field[i];
                        one_there.state = states[s];
                        ref_write(&one_there, text);
                        if (parse_text(text, &m) != MARK_E_FIELD)
                                fail_row("only field %d there, state %s", i, states[s]);
                }
        }
}

/* ---- fields ---- */

#define X10 "xxxxxxxxxx"
#define X50 X10 X10 X10 X10 X10

static const struct {
        int field; /* REF_... */
        const char *text;
        bool good;
} field_rows[] = {
        { REF_ID, "00000000000000000000000000000000", true },
        { REF_ID, "ffffffffffffffffffffffffffffffff", true },
        { REF_ID, "0123456789abcdef0123456789abcde", false },
        { REF_ID, "0123456789abcdef0123456789abcdef0", false },
        { REF_ID, "0123456789ABCDEF0123456789ABCDEF", false },
        { REF_ID, "0123456789abcdef0123456789abcdeg", false },
        { REF_ID, "0123456789abcdef-123456789abcdef", false },
        { REF_ID, "", false },

        { REF_IMAGE, "UUID=1234-ABCD", true },
        { REF_IMAGE, "UUID=0123456789ABCDEF", true },
        { REF_IMAGE, "UUID=a", true },
        { REF_IMAGE, "PARTUUID=deadbeef-02", true },
        { REF_IMAGE, "PARTUUID=11111111-2222-3333-4444-555555555555", true },
        { REF_IMAGE, "UUID=11111111-2222-3333-4444-5555555555556", false },
        { REF_IMAGE, "PARTUUID=11111111-2222-3333-4444-5555555555556", false },
        { REF_IMAGE, "UUID=", false },
        { REF_IMAGE, "PARTUUID=", false },
        { REF_IMAGE, "UUID", false },
        { REF_IMAGE, "uuid=1234-ABCD", false },
        { REF_IMAGE, "LABEL=swap", false },
        { REF_IMAGE, "PARTLABEL=swap", false },
        { REF_IMAGE, "/dev/sda2", false },
        { REF_IMAGE, "UUID=1234/ABCD", false },
        { REF_IMAGE, "UUID=1234=ABCD", false },
        { REF_IMAGE, "UUID=\"1234\"", false },
        { REF_IMAGE, "UUID=$root", false },
        { REF_IMAGE, "UUID=a,b", false },
        { REF_IMAGE, "UUID=..", false },
        { REF_IMAGE, "PARTUUID=UUID=1234", false },
        { REF_IMAGE, "XUUID=1234", false },
        { REF_IMAGE, "", false },

        { REF_OFFSET, "0", true },
        { REF_OFFSET, "1", true },
        { REF_OFFSET, "9", true },
        { REF_OFFSET, "10", true },
        { REF_OFFSET, "4294967295", true },
        { REF_OFFSET, "4294967296", true },
        { REF_OFFSET, "17592186044415", true }, /* 2^44 - 1 */
        { REF_OFFSET, "17592186044416", false },
        { REF_OFFSET, "99999999999999", false },
        { REF_OFFSET, "18446744073709551615", false }, /* 2^64 - 1 */
        { REF_OFFSET, "18446744073709551616", false },
        { REF_OFFSET, "18446744073709551617", false }, /* 1 modulo 2^64 */
        { REF_OFFSET, "184467440737095516160", false },
        { REF_OFFSET, "00", false },
        { REF_OFFSET, "01", false },
        { REF_OFFSET, "-1", false },
        { REF_OFFSET, "+1", false },
        { REF_OFFSET, "0x10", false },
        { REF_OFFSET, "1k", false },
        { REF_OFFSET, "1.0", false },
        { REF_OFFSET, "", false },
        { REF_OFFSET, "1/", false },
        { REF_OFFSET, "1:", false },

        { REF_PAGE_SIZE, "4096", true },
        { REF_PAGE_SIZE, "16384", true },
        { REF_PAGE_SIZE, "65536", true },
        { REF_PAGE_SIZE, "0", false },
        { REF_PAGE_SIZE, "1", false },
        { REF_PAGE_SIZE, "512", false },
        { REF_PAGE_SIZE, "2048", false },
        { REF_PAGE_SIZE, "4095", false },
        { REF_PAGE_SIZE, "4097", false },
        { REF_PAGE_SIZE, "8192", false },
        { REF_PAGE_SIZE, "32768", false },
        { REF_PAGE_SIZE, "65537", false },
        { REF_PAGE_SIZE, "131072", false },
        { REF_PAGE_SIZE, "04096", false },
        { REF_PAGE_SIZE, "4294971392", false },           /* 2^32 + 4096 */
        { REF_PAGE_SIZE, "18446744073709555712", false }, /* 2^64 + 4096 */
        { REF_PAGE_SIZE, "4K", false },
        { REF_PAGE_SIZE, "", false },

        { REF_FSUUID, "1234-ABCD", true },
        { REF_FSUUID, "a", true },
        { REF_FSUUID, "0123456789ABCDEF", true },
        { REF_FSUUID, "99999999-8888-7777-6666-5555555555555", false },
        { REF_FSUUID, "UUID=1234-ABCD", false },
        { REF_FSUUID, "12/34", false },
        { REF_FSUUID, "12)34", false },
        { REF_FSUUID, "--set=root", false }, /* would be an option to "search" */
        { REF_FSUUID, "-", false },
        { REF_FSUUID, "", false },

        { REF_KERNEL, "/v", true },
        { REF_KERNEL, "/vmlinuz", true },
        { REF_KERNEL, "/@/boot/vmlinuz-6.1.0", true }, /* btrfs subvolume */
        { REF_KERNEL, "/boot/.hidden", true },
        { REF_KERNEL, "/boot/a..b", true },
        { REF_KERNEL, "/boot/..a", true },
        { REF_KERNEL, "/boot/a..", true },
        { REF_KERNEL, "/...", true },
        { REF_KERNEL, "/boot/-x", true },
        { REF_KERNEL, "/boot/vmlinuz_6.1+deb12~1", true },
        { REF_KERNEL, "/", false },
        { REF_KERNEL, "//", false },
        { REF_KERNEL, "/boot/", false },
        { REF_KERNEL, "//vmlinuz", false },
        { REF_KERNEL, "/boot//vmlinuz", false },
        { REF_KERNEL, "/.", false },
        { REF_KERNEL, "/..", false },
        { REF_KERNEL, "/../vmlinuz", false },
        { REF_KERNEL, "/./vmlinuz", false },
        { REF_KERNEL, "/boot/../vmlinuz", false },
        { REF_KERNEL, "/boot/./vmlinuz", false },
        { REF_KERNEL, "/boot/..", false },
        { REF_KERNEL, "/boot/.", false },
        { REF_KERNEL, "vmlinuz", false },
        { REF_KERNEL, "boot/vmlinuz", false },
        { REF_KERNEL, "(hd0,1)/vmlinuz", false },
        { REF_KERNEL, "../vmlinuz", false },
        { REF_KERNEL, "-", false },
        { REF_KERNEL, "--help", false },
        { REF_KERNEL, "", false },

        { REF_INITRD, "/initrd.img", true },
        { REF_INITRD, "-", true },
        { REF_INITRD, "--", false },
        { REF_INITRD, "/", false },
        { REF_INITRD, "initrd.img", false },
        { REF_INITRD, "/boot/../initrd.img", false },
        { REF_INITRD, "", false },

        { REF_RELEASE, "6", true },
        { REF_RELEASE, "6.1.0-56-amd64", true },
        { REF_RELEASE, "6.12.0-rc1+_~x", true },
        { REF_RELEASE, X50 X10 "xxxx", true },
        { REF_RELEASE, X50 X10 "xxxxx", false },
        { REF_RELEASE, "6.1.0/56", false },
        { REF_RELEASE, "6.1.0;reboot", false },
        { REF_RELEASE, "6.1.0\"", false },
        { REF_RELEASE, "-", false },
        { REF_RELEASE, "", false },

        { REF_TIME, "2026-11-22T16:03:12-09:30", true },
        { REF_TIME, "1970-01-01T00:00:00+00:00", true },
        { REF_TIME, "2026-11-22T16:03:12Z", false },
        { REF_TIME, "2026-11-22T16:03:12", false },
        { REF_TIME, "2026-11-22T16:03:12+0100", false },
        { REF_TIME, "2026-11-22t16:03:12+01:00", false },
        { REF_TIME, "2026-11-22_16:03:12+01:00", false },
        { REF_TIME, "2026-11-22T16:03:12*01:00", false },
        { REF_TIME, "2026-11-22T16:03:12+01:0", false },
        { REF_TIME, "2026-11-22T16:03:12+01:000", false },
        { REF_TIME, "2026-11-2dT16:03:12+01:00", false },
        { REF_TIME, "2026/11/22T16:03:12+01:00", false },
        { REF_TIME, "s026-11-22T16:03:12+01:00", false },
        { REF_TIME, "-", false },
        { REF_TIME, "", false },

        { REF_VERIFY, "header", true },
        { REF_VERIFY, "hint", true },
        { REF_VERIFY, "Header", false },
        { REF_VERIFY, "headers", false },
        { REF_VERIFY, "heade", false },
        { REF_VERIFY, "hin", false },
        { REF_VERIFY, "hints", false },
        { REF_VERIFY, "none", false },
        { REF_VERIFY, "-", false },
        { REF_VERIFY, "", false },
        { REF_VERIFY, "header more", false },
        { REF_VERIFY, "hint -", false },
};

static void test_fields(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_OF(field_rows); i++) {
                struct refmark r = good;
                char text[MARK_WIDTH], own[MARK_WIDTH];
                struct mark m;
                enum mark_field field;

                r.field[field_rows[i].field] = field_rows[i].text;
                if (!ref_write(&r, text))
                        fail_row("row \"%s\" does not fit", field_rows[i].text);
                enum mark_error e = parse(text, MARK_WIDTH, &m, &field);
                if (field_rows[i].good) {
                        if (e != MARK_OK || mark_format(&m, own, NULL) != MARK_OK || memcmp(own, text, MARK_WIDTH) != 0)
                                fail_row("\"%s\" refused: error %d, field %d", field_rows[i].text, e, field);
                } else if (e != MARK_E_FIELD || (int)field != MARK_FIELD_ID + field_rows[i].field)
                        fail_row("\"%s\": error %d, field %d", field_rows[i].text, e, field);
        }
}

/* A good mark with one more blank, or one less, or tokens at wrong places. */
static void test_separators(void **state)
{
        char was[MARK_WIDTH], text[MARK_WIDTH];
        struct mark m;
        size_t end;

        (void)state;
        ref_write(&good, was);
        for (end = REF_CRC_AT; was[end - 1] == ' '; end--)
                ;
        for (size_t i = 0; i < end; i++) {
                /* one more, anywhere */
                memcpy(text, was, MARK_WIDTH);
                memmove(text + i + 1, text + i, REF_CRC_AT - i - 1);
                text[i] = ' ';
                ref_seal(text);
                if (parse_text(text, &m) == MARK_OK)
                        fail_row("a blank put in at %zu was accepted", i);
                /* one less: two fields become one */
                if (was[i] != ' ')
                        continue;
                memcpy(text, was, MARK_WIDTH);
                memmove(text + i, text + i + 1, REF_CRC_AT - i - 1);
                text[REF_CRC_AT - 1] = ' ';
                ref_seal(text);
                if (parse_text(text, &m) == MARK_OK)
                        fail_row("without the blank at %zu it was accepted", i);
        }
        /* anything in the padding */
        for (size_t i = end; i < REF_CRC_AT; i++) {
                memcpy(text, was, MARK_WIDTH);
                text[i] = '-';
                ref_seal(text);
                if (parse_text(text, &m) != MARK_E_FIELD)
                        fail_row("\"-\" in the padding at %zu was accepted", i);
        }
        /* the same for the empty mark */
        ref_write(&blank, was);
        for (size_t i = 30; i < REF_CRC_AT; i++) {
                memcpy(text, was, MARK_WIDTH);
                text[i] = '-';
                ref_seal(text);
                if (parse_text(text, &m) != MARK_E_FIELD)
                        fail_row("\"-\" in the empty mark's padding at %zu was accepted", i);
        }
}

/* What a path may hold passes through GRUB's scripting language and its path syntax, so the set is small. */
static void test_path_characters(void **state)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-/@:=,";
        static const char poison[] = " \"'\\$`()[]{}<>|;&*?!#%^";

        (void)state;
        for (int f = REF_KERNEL; f <= REF_INITRD; f++)
                for (int c = 0x20; c <= 0x7e; c++) {
                        char path[] = "/boot/xcx";
                        struct refmark r = good;
                        char text[MARK_WIDTH];
                        struct mark m;

                        path[7] = (char)c;
                        r.field[f] = path;
                        ref_write(&r, text);
                        bool ok = parse_text(text, &m) == MARK_OK;
                        if (ok != (strchr(allowed, c) != NULL))
                                fail_row("field %d: character '%c' %s", f, c, ok ? "accepted" : "refused");
                        if (strchr(poison, c))
                                assert_false(ok);
                }
}

static void test_longest_fields(void **state)
{
        static const struct {
                int field;
                const char *prefix;
                size_t max;
        } rows[] = {
                { REF_IMAGE, "UUID=", 5 + 36 },     { REF_IMAGE, "PARTUUID=", MARK_IMAGE_MAX },
                { REF_FSUUID, "", MARK_UUID_MAX },  { REF_KERNEL, "/", MARK_PATH_MAX },
                { REF_INITRD, "/", MARK_PATH_MAX }, { REF_RELEASE, "", MARK_RELEASE_MAX },
        };

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++)
                for (size_t len = strlen(rows[i].prefix) + 1; len <= rows[i].max + 20; len++) {
                        struct refmark r = good;
                        char text[MARK_WIDTH], own[MARK_WIDTH], value[300];
                        struct mark m;
                        enum mark_field field;

                        r.field[REF_IMAGE] = "UUID=a";
                        r.field[REF_FSUUID] = "a";
                        r.field[REF_KERNEL] = "/k";
                        r.field[REF_INITRD] = "-";
                        r.field[REF_RELEASE] = "6";
                        memset(value, 'a', sizeof(value));
                        memcpy(value, rows[i].prefix, strlen(rows[i].prefix));
                        value[len] = '\0';
                        r.field[rows[i].field] = value;
                        assert_true(ref_write(&r, text));
                        enum mark_error e = parse(text, MARK_WIDTH, &m, &field);
                        if (len <= rows[i].max) {
                                if (e != MARK_OK || mark_format(&m, own, NULL) != MARK_OK ||
                                    memcmp(own, text, MARK_WIDTH) != 0)
                                        fail_row("row %zu, length %zu refused", i, len);
                        } else if (e != MARK_E_FIELD || (int)field != MARK_FIELD_ID + rows[i].field)
                                fail_row("row %zu, length %zu: error %d, field %d", i, len, e, field);
                }
}

/* ---- format ---- */

static void test_format_checks_every_field(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_OF(field_rows); i++) {
                struct mark m = good_mark();
                char out[MARK_WIDTH];
                enum mark_field field = (enum mark_field)99;
                const char *text = field_rows[i].text;
                static const struct {
                        size_t at, max;
                } place[REF_FIELDS] = {
                        [REF_ID] = { offsetof(struct mark, id), MARK_ID_LEN },
                        [REF_IMAGE] = { offsetof(struct mark, image), MARK_IMAGE_MAX },
                        [REF_FSUUID] = { offsetof(struct mark, fs_uuid), MARK_UUID_MAX },
                        [REF_KERNEL] = { offsetof(struct mark, kernel), MARK_PATH_MAX },
                        [REF_INITRD] = { offsetof(struct mark, initrd), MARK_PATH_MAX },
                        [REF_RELEASE] = { offsetof(struct mark, release), MARK_RELEASE_MAX },
                        [REF_TIME] = { offsetof(struct mark, time), MARK_TIME_LEN },
                };
                int f = field_rows[i].field;
                bool want = field_rows[i].good;

                /* Numbers and words are no text in the struct; a text without a field's place cannot be tried. */
                if (place[f].max == 0 || strlen(text) > place[f].max)
                        continue;
                strcpy((char *)&m + place[f].at, text);
                if (f == REF_INITRD && text[0] == '\0')
                        want = true; /* that is how the struct says "none" */
                memset(out, 'x', MARK_WIDTH);
                enum mark_error e = mark_format(&m, out, &field);
                if (want) {
                        if (e != MARK_OK || field != MARK_FIELD_NONE)
                                fail_row("\"%s\" refused: error %d, field %d", text, e, field);
                        continue;
                }
                if (e != MARK_E_FIELD || (int)field != MARK_FIELD_ID + f)
                        fail_row("\"%s\": error %d, field %d", text, e, field);
                for (size_t j = 0; j < MARK_WIDTH; j++)
                        if (out[j] != 'x')
                                fail_row("\"%s\" refused, but byte %zu was written", text, j);
        }
}

static void test_format_checks_numbers_and_state(void **state)
{
        static const uint64_t bad_offsets[] = { 1ULL << 44, (1ULL << 44) + 1, 1ULL << 63, UINT64_MAX };
        static const uint32_t bad_sizes[] = { 0, 1, 512, 4095, 8192, 32768, 65537, 131072, UINT32_MAX };
        char out[MARK_WIDTH], was[MARK_WIDTH];
        enum mark_field field;

        (void)state;
        memset(was, 'x', MARK_WIDTH);
        memset(out, 'x', MARK_WIDTH);
        for (size_t i = 0; i < N_OF(bad_offsets); i++) {
                struct mark m = good_mark();
                m.offset = bad_offsets[i];
                assert_int_equal(mark_format(&m, out, &field), MARK_E_FIELD);
                assert_int_equal(field, MARK_FIELD_OFFSET);
        }
        for (size_t i = 0; i < N_OF(bad_sizes); i++) {
                struct mark m = good_mark();
                m.page_size = bad_sizes[i];
                assert_int_equal(mark_format(&m, out, &field), MARK_E_FIELD);
                assert_int_equal(field, MARK_FIELD_PAGE_SIZE);
        }
        struct mark m = good_mark();
        m.state = (enum mark_state)3;
        assert_int_equal(mark_format(&m, out, &field), MARK_E_STATE);
        assert_int_equal(field, MARK_FIELD_NONE);
        m.empty = true;
        assert_int_equal(mark_format(&m, out, &field), MARK_E_STATE);
        assert_memory_equal(out, was, MARK_WIDTH);
}

/* Blanks and line ends inside a field must not become more fields. */
static void test_format_lets_no_field_smuggle_another(void **state)
{
        static const char *const kernels[] = {
                "/a /b", "/a ", " /a", "/a\n", "/a\n/b", "/a -", "/a\t", "/vmlinuz x=1"
        };
        char out[MARK_WIDTH];

        (void)state;
        for (size_t i = 0; i < N_OF(kernels); i++) {
                struct mark m = good_mark();

                strcpy(m.kernel, kernels[i]);
                if (mark_format(&m, out, NULL) == MARK_OK)
                        fail_row("kernel \"%s\" was written", kernels[i]);
                strcpy(m.initrd, "");
                if (mark_format(&m, out, NULL) == MARK_OK)
                        fail_row("kernel \"%s\" without initrd was written", kernels[i]);
        }
        /* One field too many in front, one too few behind, still ten in all. */
        struct mark m = good_mark();
        strcpy(m.kernel, "/vmlinuz /initrd");
        strcpy(m.initrd, "");
        strcpy(m.release, "6.1");
        assert_int_not_equal(mark_format(&m, out, NULL), MARK_OK);
}

static void test_too_long(void **state)
{
        (void)state;
        /* Without kernel and initrd the line of good_mark takes "rest" bytes; one blank stays before the checksum. */
        struct mark m = good_mark();
        char out[MARK_WIDTH], text[MARK_WIDTH];
        size_t rest = 4 + 1 + 5 + 1 + 32 + 1 + 41 + 1 + 5 + 1 + 4 + 1 + 36 + 1 + 1 + 14 + 1 + 25 + 1 + 6;
        size_t both = REF_CRC_AT - 1 - rest - 1;

        for (size_t k = 2; k <= MARK_PATH_MAX; k++)
                for (size_t sum = both - 1; sum <= both + 2; sum++) {
                        struct refmark r = good;
                        struct mark back;
                        enum mark_field field;

                        if (sum < k + 2 || sum - k > MARK_PATH_MAX)
                                continue;
                        memset(m.kernel, 'k', sizeof(m.kernel));
                        memset(m.initrd, 'i', sizeof(m.initrd));
                        m.kernel[0] = m.initrd[0] = '/';
                        m.kernel[k] = m.initrd[sum - k] = '\0';
                        r.field[REF_KERNEL] = m.kernel;
                        r.field[REF_INITRD] = m.initrd;
                        bool fits = ref_write(&r, text);
                        assert_int_equal(fits, sum <= both);
                        memset(out, 'x', MARK_WIDTH);
                        enum mark_error e = mark_format(&m, out, &field);
                        if (e != (fits ? MARK_OK : MARK_E_TOO_LONG))
                                fail_row("kernel %zu and initrd %zu bytes: error %d", k, sum - k, e);
                        assert_int_equal(field, MARK_FIELD_NONE);
                        if (fits) {
                                assert_memory_equal(out, text, MARK_WIDTH);
                                assert_int_equal(parse_text(out, &back), MARK_OK);
                                assert_true(same_mark(&m, &back));
                        } else
                                for (size_t i = 0; i < MARK_WIDTH; i++)
                                        assert_int_equal(out[i], 'x');
                }
        /* Everything at its longest. */
        memset(m.kernel, 'k', MARK_PATH_MAX);
        memset(m.initrd, 'i', MARK_PATH_MAX);
        m.kernel[0] = m.initrd[0] = '/';
        m.kernel[MARK_PATH_MAX] = m.initrd[MARK_PATH_MAX] = '\0';
        m.offset = (1ULL << 44) - 1;
        assert_int_equal(mark_format(&m, out, NULL), MARK_E_TOO_LONG);
}

/* A line that fills the width up to the checksum has no blank before it: no mark. */
static void test_no_blank_before_the_checksum(void **state)
{
        struct refmark r = good;
        char text[MARK_WIDTH], kernel[MARK_PATH_MAX + 1];
        struct mark m;

        (void)state;
        for (size_t k = 2; k <= MARK_PATH_MAX; k++) {
                memset(kernel, 'k', sizeof(kernel));
                kernel[0] = '/';
                kernel[k] = '\0';
                r.field[REF_KERNEL] = kernel;
                bool fits = ref_write(&r, text);
                if ((parse_text(text, &m) == MARK_OK) != fits)
                        fail_row("kernel of %zu bytes, %s", k, fits ? "refused" : "accepted");
        }
}

static void random_text(struct prng *r, char *out, size_t min, size_t max, const char *set)
{
        size_t n = min + prng_below(r, max - min + 1), set_len = strlen(set);

        for (size_t i = 0; i < n; i++)
                out[i] = set[prng_below(r, set_len)];
        out[n] = '\0';
}

static struct mark random_mark(struct prng *r)
{
        static const char alnum[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        static const uint32_t sizes[] = { 4096, 16384, 65536 };
        struct mark m = { .state = prng_below(r, 2) ? MARK_ARMED : MARK_TAKEN };

        random_text(r, m.id, 32, 32, "0123456789abcdef");
        strcpy(m.image, prng_below(r, 2) ? "UUID=" : "PARTUUID=");
        random_text(r, m.image + strlen(m.image), 1, 36, alnum);
        m.offset = prng_next(r) >> (20 + prng_below(r, 44));
        m.page_size = sizes[prng_below(r, 3)];
        random_text(r, m.fs_uuid, 1, 36, alnum);
        m.kernel[0] = '/';
        random_text(r, m.kernel + 1, 1, 80, alnum);
        if (prng_below(r, 4)) {
                m.initrd[0] = '/';
                random_text(r, m.initrd + 1, 1, 80, alnum);
        }
        random_text(r, m.release, 1, 40, "0123456789.abc_+~");
        snprintf(m.time, sizeof(m.time), "20%02u-%02u-%02uT%02u:%02u:%02u%c%02u:%02u", (unsigned)prng_below(r, 100),
                 (unsigned)prng_below(r, 12) + 1, (unsigned)prng_below(r, 28) + 1, (unsigned)prng_below(r, 24),
                 (unsigned)prng_below(r, 60), (unsigned)prng_below(r, 60), "+-"[prng_below(r, 2)],
                 (unsigned)prng_below(r, 14), (unsigned)prng_below(r, 60));
        m.verify = prng_below(r, 2) ? MARK_VERIFY_HINT : MARK_VERIFY_HEADER;
        return m;
}

static void test_round_trip(void **state)
{
        struct prng r = { 3 };

        (void)state;
        for (int i = 0; i < 20000; i++) {
                struct mark m = random_mark(&r), back;
                char out[MARK_WIDTH], ref[MARK_WIDTH], offset[24], size[12];
                struct refmark rm = { .magic = "hib1",
                                      .state = m.state == MARK_ARMED ? "armed" : "taken",
                                      .field = { m.id, m.image, offset, size, m.fs_uuid, m.kernel,
                                                 m.initrd[0] ? m.initrd : "-", m.release, m.time,
                                                 m.verify == MARK_VERIFY_HINT ? "hint" : "header" } };

                snprintf(offset, sizeof(offset), "%llu", (unsigned long long)m.offset);
                snprintf(size, sizeof(size), "%u", m.page_size);
                bool fits = ref_write(&rm, ref);
                enum mark_error e = mark_format(&m, guard_place(&guard, NULL, MARK_WIDTH, true), NULL);
                memcpy(out, guard.buf, MARK_WIDTH);
                assert_true(guard_intact(&guard));
                if (e != (fits ? MARK_OK : MARK_E_TOO_LONG))
                        fail_row("round %d: error %d for \"%.400s\"", i, e, ref);
                if (!fits)
                        continue;
                assert_memory_equal(out, ref, MARK_WIDTH);
                assert_int_equal(parse_text(out, &back), MARK_OK);
                if (!same_mark(&m, &back))
                        fail_row("round %d: \"%.400s\"", i, out);
                /* save_env must not have to escape anything, or the width would change. */
                assert_null(memchr(out, '\\', MARK_WIDTH));
                assert_null(memchr(out, '\n', MARK_WIDTH));
        }
}

static void test_all_digit_counts(void **state)
{
        struct mark m = good_mark(), back;
        char out[MARK_WIDTH];

        (void)state;
        for (uint64_t unit = 1; unit < 1ULL << 44; unit *= 10) {
                const uint64_t tries[] = { unit - 1, unit, unit + 1, unit * 5, unit * 9 };

                for (size_t i = 0; i < N_OF(tries) && tries[i] < 1ULL << 44; i++) {
                        char want[40];

                        m.offset = tries[i];
                        assert_int_equal(mark_format(&m, out, NULL), MARK_OK);
                        snprintf(want, sizeof(want), " %llu 4096 ", (unsigned long long)tries[i]);
                        if (memcmp(out + 85, want, strlen(want)) != 0)
                                fail_row("%s", want);
                        assert_int_equal(parse_text(out, &back), MARK_OK);
                        assert_true(back.offset == tries[i]);
                }
        }
}

static void test_image_start(void **state)
{
        struct mark m = good_mark();

        (void)state;
        assert_true(mark_image_start(&m) == 34816ULL * 4096);
        m.offset = 0;
        assert_true(mark_image_start(&m) == 0);
        m.offset = (1ULL << 44) - 1;
        m.page_size = 65536;
        assert_true(mark_image_start(&m) == (1ULL << 60) - 65536);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden_line),
                cmocka_unit_test(test_golden_empty_line),
                cmocka_unit_test(test_field_pointer_may_be_null),
                cmocka_unit_test(test_width),
                cmocka_unit_test(test_unprintable_bytes),
                cmocka_unit_test(test_magic_and_version),
                cmocka_unit_test(test_unknown_states),
                cmocka_unit_test(test_no_space_behind_the_state),
                cmocka_unit_test(test_every_single_byte),
                cmocka_unit_test(test_mixtures_of_two_marks),
                cmocka_unit_test(test_random_corruption),
                cmocka_unit_test(test_state_changes_move_nothing),
                cmocka_unit_test(test_none_over_a_full_mark),
                cmocka_unit_test(test_empty_marks),
                cmocka_unit_test(test_empty_ignores_the_fields),
                cmocka_unit_test(test_format_of_none_is_empty),
                cmocka_unit_test(test_half_empty),
                cmocka_unit_test(test_fields),
                cmocka_unit_test(test_separators),
                cmocka_unit_test(test_path_characters),
                cmocka_unit_test(test_longest_fields),
                cmocka_unit_test(test_format_checks_every_field),
                cmocka_unit_test(test_format_checks_numbers_and_state),
                cmocka_unit_test(test_format_lets_no_field_smuggle_another),
                cmocka_unit_test(test_too_long),
                cmocka_unit_test(test_no_blank_before_the_checksum),
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_all_digit_counts),
                cmocka_unit_test(test_image_start),
        };

        guard_init(&guard, 4096);
        return cmocka_run_group_tests_name("mark", tests, NULL, NULL);
}
