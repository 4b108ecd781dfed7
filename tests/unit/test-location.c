/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * systemd's HibernateLocation: what systemd writes is understood, and nothing else gets through.
 */
#include "testing.h"

#include "guard.h"
#include "mark/efivar-names.h"
#include "mark/location.h"
#include "prng.h"
#include "refmark.h"

#define UUID "0a1b2c3d-1111-2222-3333-444455556666"
#define FIRST "{\"uuid\":\"" UUID "\",\"offset\":34816"

/* As systemd 257 writes it. */
#define WHOLE                                                                                                          \
        FIRST ",\"autoSwap\":false,\"kernelVersion\":\"6.1.0-56-amd64\",\"osReleaseId\":\"debian\","                   \
              "\"osReleaseImageId\":\"live\",\"osReleaseVersionId\":\"12\",\"osReleaseImageVersion\":\"12.1 (a)\"}"

static struct guard memory;

static int set_up(void **state)
{
        (void)state;
        guard_init(&memory, LOCATION_MAX + 64);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        guard_free(&memory);
        return 0;
}

/* ---- asking ---- */

static bool is_empty(const struct location *l)
{
        return !l->uuid[0] && l->offset == 0 && !l->kernel_version[0] && !l->os_id[0] && !l->os_image_id[0] &&
               !l->os_version_id[0] && !l->os_image_version[0];
}

/* With memory that ends, and then one that begins, where the bytes do. */
static enum location_error parse(const void *bytes, size_t n, struct location *out)
{
        enum location_error e, again;
        struct location second;

        memset(out, 0x55, sizeof(*out));
        memset(&second, 0x55, sizeof(second));
        e = location_parse(guard_place(&memory, bytes, n, true), n, out);
        again = location_parse(guard_place(&memory, bytes, n, false), n, &second);
        assert_int_equal(e, again);
        assert_true((size_t)e < LOCATION_E_COUNT);
        if (e != LOCATION_OK)
                assert_true(is_empty(out) && is_empty(&second));
        return e;
}

/* ASCII as UTF-16LE; the bytes that it takes. */
static size_t widen(const char *text, size_t len, uint8_t *to)
{
        for (size_t i = 0; i < len; i++) {
                to[2 * i] = (uint8_t)text[i];
                to[2 * i + 1] = 0;
        }
        return 2 * len;
}

/* LEN characters of TEXT and the NUL that systemd puts behind them. */
static enum location_error ask(const char *text, size_t len, struct location *out)
{
        static uint8_t wide[4 * LOCATION_MAX];
        size_t n;

        assert_true(2 * len + 2 <= sizeof(wide));
        n = widen(text, len, wide);
        wide[n++] = 0;
        wide[n++] = 0;
        /* More than fits the guarded memory is refused before it is looked at. */
        return n > LOCATION_MAX + 64 ? location_parse(wide, n, out) : parse(wide, n, out);
}

static enum location_error verdict(const char *text)
{
        struct location l;

        return ask(text, strlen(text), &l);
}

static void check(const char *text, enum location_error want)
{
        enum location_error is = verdict(text);

        if (is != want)
                fail_row("%s: \"%s\" instead of \"%s\"", text, location_error_name(is), location_error_name(want));
}

/* ---- what systemd writes ---- */

static void test_whole(void **state)
{
        struct location l;

        (void)state;
        assert_int_equal(ask(LIT(WHOLE), &l), LOCATION_OK);
        assert_string_equal(l.uuid, UUID);
        assert_int_equal(l.offset, 34816);
        assert_string_equal(l.kernel_version, "6.1.0-56-amd64");
        assert_string_equal(l.os_id, "debian");
        assert_string_equal(l.os_image_id, "live");
        assert_string_equal(l.os_version_id, "12");
        assert_string_equal(l.os_image_version, "12.1 (a)");
}

static void test_least(void **state)
{
        struct location l;

        (void)state;
        assert_int_equal(ask(LIT(" \t\n\r{ \"offset\" : 0 , \"uuid\" : \"" UUID "\" } \n"), &l), LOCATION_OK);
        assert_string_equal(l.uuid, UUID);
        assert_int_equal(l.offset, 0);
        assert_string_equal(l.kernel_version, "");
        assert_string_equal(l.os_id, "");
        assert_string_equal(l.os_image_id, "");
        assert_string_equal(l.os_version_id, "");
        assert_string_equal(l.os_image_version, "");
        check(FIRST ",\"kernelVersion\":\"\",\"osReleaseId\":\"\"}", LOCATION_OK);
}

/* systemd's own reader takes a UUID with and without dashes, in both cases. */
static void test_uuid_forms(void **state)
{
        static const char *const forms[] = { UUID, "0A1B2C3D-1111-2222-3333-444455556666",
                                             "0a1b2c3d111122223333444455556666", "0A1b2C3d111122223333444455556666" };
        char text[200];
        struct location l;

        (void)state;
        for (size_t i = 0; i < N_OF(forms); i++) {
                snprintf(text, sizeof(text), "{\"uuid\":\"%s\",\"offset\":1}", forms[i]);
                assert_int_equal(ask(text, strlen(text), &l), LOCATION_OK);
                assert_string_equal(l.uuid, UUID);
        }
}

static void test_escapes(void **state)
{
        struct location l;

        (void)state;
        assert_int_equal(
                ask(LIT("{\"\\u0075u\\u0069d\":\"" UUID "\",\"off\\u0073et\":5,"
                        "\"osReleaseId\":\"a\\\"\\\\\\/\\u005A\",\"x\":\"\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00\"}"),
                    &l),
                LOCATION_OK);
        assert_int_equal(l.offset, 5);
        assert_string_equal(l.os_id, "a\"\\/Z");
        check(FIRST ",\"\\u0075uid\":\"" UUID "\"}", LOCATION_E_DUPLICATE);
}

static void test_unknown_keys(void **state)
{
        static const char *const values[] = {
                "\"\"",     "\"text\"", "\"\\\"}\"",  "0",        "-0",     "1",
                "-12",      "1.5",      "1e5",        "-0.25E-7", "10E+2",  "true",
                "{}",       "[]",       "false",      "null",     "[1, 2]", "{\"uuid\":1}",
                "[[[[]]]]", "[[[{}]]]", "{\"a\":[]}", "[{}]",     "[ ]",    "{ \"a\" : {\"b\":{\"c\":{} } } }",
        };
        char text[300];

        (void)state;
        for (size_t i = 0; i < N_OF(values); i++) {
                snprintf(text, sizeof(text), FIRST ",\"autoSwap\":%s}", values[i]);
                check(text, LOCATION_OK);
                snprintf(text, sizeof(text), "{\"\":%s,\"uuid\":\"" UUID "\",\"\":%s,\"offset\":1}", values[i],
                         values[i]);
                check(text, LOCATION_OK);
        }
        check(FIRST ",\"Uuid\":1,\"uui\":2,\"uuidx\":3,\"kernelVersion \":4}", LOCATION_OK);
        /* As long as a key may be before it is cut, and longer. */
        for (int n = 60; n < 70; n++) {
                snprintf(text, sizeof(text), FIRST ",\"%0*d\":1}", n, 0);
                check(text, LOCATION_OK);
        }
}

/* ---- what is refused ---- */

static void test_every_truncation(void **state)
{
        uint8_t wide[2 * sizeof(WHOLE)];
        size_t whole = widen(LIT(WHOLE), wide);
        struct location l;

        (void)state;
        for (size_t n = 0; n < whole; n++) {
                enum location_error e = parse(wide, n, &l);

                if (e != (n == 0 ? LOCATION_E_SIZE : n % 2 ? LOCATION_E_ENCODING : LOCATION_E_SYNTAX))
                        fail_row("%zu bytes: \"%s\"", n, location_error_name(e));
                /* Cut, and filled up with zeros as firmware might. */
                if (n % 2 == 0 && n > 0 && ask(WHOLE, n / 2, &l) != LOCATION_E_SYNTAX)
                        fail_row("%zu bytes and a NUL", n);
        }
        /* The NUL is no part of the text. */
        assert_int_equal(parse(wide, whole, &l), LOCATION_OK);
}

static void test_every_byte_lost(void **state)
{
        uint8_t wide[2 * sizeof(WHOLE)], cut[2 * sizeof(WHOLE)];
        size_t whole = widen(LIT(WHOLE), wide);
        struct location l;

        (void)state;
        for (size_t i = 0; i < whole; i++) {
                memcpy(cut, wide, i);
                memcpy(cut + i, wide + i + 1, whole - i - 1);
                assert_int_equal(parse(cut, whole - 1, &l), LOCATION_E_ENCODING);
                /* And another behind it, so that the length is even. */
                cut[whole - 1] = 0;
                assert_int_equal(parse(cut, whole, &l) == LOCATION_OK, i == whole - 1);
        }
}

/* Whatever becomes of one bit: either an error, or values of the right form. */
static void test_every_bit_flipped(void **state)
{
        uint8_t wide[2 * sizeof(WHOLE)];
        size_t whole = widen(LIT(WHOLE), wide);
        struct location l;

        (void)state;
        for (size_t i = 0; i < 8 * whole; i++) {
                wide[i / 8] ^= (uint8_t)(1 << i % 8);
                if (parse(wide, whole, &l) == LOCATION_OK) {
                        assert_int_equal(strlen(l.uuid), 36);
                        assert_int_equal(strspn(l.uuid, "0123456789abcdef-"), 36);
                }
                wide[i / 8] ^= (uint8_t)(1 << i % 8);
        }
}

static void test_size(void **state)
{
        static char text[LOCATION_MAX];
        static uint8_t wide[LOCATION_MAX + 2];
        size_t len = (size_t)snprintf(text, sizeof(text), FIRST "}");
        struct location l;

        (void)state;
        memset(text + len, ' ', sizeof(text) - len);
        widen(text, LOCATION_MAX / 2, wide);
        assert_int_equal(parse(wide, LOCATION_MAX, &l), LOCATION_OK);
        assert_int_equal(parse(wide, LOCATION_MAX - 1, &l), LOCATION_E_ENCODING);
        assert_int_equal(parse(wide, LOCATION_MAX + 1, &l), LOCATION_E_SIZE);
        assert_int_equal(parse(wide, LOCATION_MAX + 2, &l), LOCATION_E_SIZE);
        assert_int_equal(parse(wide, 0, &l), LOCATION_E_SIZE);
}

static void test_encodings(void **state)
{
        uint8_t other[4 * sizeof(WHOLE)], wide[2 * sizeof(WHOLE) + 2];
        size_t len = sizeof(WHOLE) - 1;
        struct location l;

        (void)state;
        /* UTF-8 or ASCII; with and without its NUL one of the two is odd. */
        assert_int_not_equal(parse(WHOLE, len, &l), LOCATION_OK);
        assert_int_not_equal(parse(WHOLE, len + 1, &l), LOCATION_OK);
        /* UTF-16BE, UTF-32LE, and a byte order mark. */
        memset(other, 0, sizeof(other));
        for (size_t i = 0; i < len; i++)
                other[2 * i + 1] = (uint8_t)WHOLE[i];
        assert_int_equal(parse(other, 2 * len, &l), LOCATION_E_SYNTAX);
        memset(other, 0, sizeof(other));
        for (size_t i = 0; i < len; i++)
                other[4 * i] = (uint8_t)WHOLE[i];
        assert_int_equal(parse(other, 4 * len, &l), LOCATION_E_ENCODING);
        wide[0] = 0xff;
        wide[1] = 0xfe;
        widen(WHOLE, len, wide + 2);
        assert_int_equal(parse(wide, 2 * len + 2, &l), LOCATION_E_SYNTAX);
}

/* 16-bit units in the value of a key that means nothing. */
static enum location_error with_units(const uint16_t *units, size_t n)
{
        static const char before[] = FIRST ",\"x\":\"", after[] = "\"}";
        uint8_t wide[400];
        size_t at = widen(LIT(before), wide);
        struct location l;

        for (size_t i = 0; i < n; i++) {
                wide[at++] = (uint8_t)units[i];
                wide[at++] = (uint8_t)(units[i] >> 8);
        }
        at += widen(LIT(after), wide + at);
        return parse(wide, at, &l);
}

static void test_surrogates(void **state)
{
        static const struct {
                uint16_t units[4];
                size_t n;
                enum location_error want;
        } rows[] = {
                { { 0xd83d, 0xde00 }, 2, LOCATION_OK },
                { { 0xe4, 0xffff, 0xfeff }, 3, LOCATION_OK },
                { { 0xd7ff, 0xe000 }, 2, LOCATION_OK },
                { { 0xdbff, 0xdfff, 0xd800, 0xdc00 }, 4, LOCATION_OK },
                { { 0xd800 }, 1, LOCATION_E_ENCODING },
                { { 0xdc00 }, 1, LOCATION_E_ENCODING },
                { { 0xdbff, 0xdbff }, 2, LOCATION_E_ENCODING },
                { { 0xdfff, 0xd800 }, 2, LOCATION_E_ENCODING },
                { { 0xd83d, 'x', 0xde00 }, 3, LOCATION_E_ENCODING },
                { { 'x', 0 }, 2, LOCATION_E_ENCODING },
                { { 0x1f }, 1, LOCATION_E_SYNTAX },
                { { '\n' }, 1, LOCATION_E_SYNTAX },
                { { 0x7f }, 1, LOCATION_OK },
        };

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++)
                if (with_units(rows[i].units, rows[i].n) != rows[i].want)
                        fail_row("row %zu", i);
        /* Half a pair where the text ends. */
        uint8_t half[] = { '{', 0, 0x3d, 0xd8 };
        struct location l;
        assert_int_equal(parse(half, sizeof(half), &l), LOCATION_E_ENCODING);
        assert_int_equal(parse(half, 3, &l), LOCATION_E_ENCODING);
}

static void test_escaped_surrogates(void **state)
{
        static const char *const bad[] = {
                "\\ud800",        "\\udc00",        "\\ud800x", "\\ud800\\n", "\\ud800\\ud800",
                "\\ud800\\u0041", "\\udfff\\ud800", "\\u0000",  "a\\u0000b",  "\\udbff\\ue000",
        };
        char text[200];

        (void)state;
        for (size_t i = 0; i < N_OF(bad); i++) {
                snprintf(text, sizeof(text), FIRST ",\"x\":\"%s\"}", bad[i]);
                check(text, LOCATION_E_ENCODING);
                snprintf(text, sizeof(text), FIRST ",\"%s\":1}", bad[i]);
                check(text, LOCATION_E_ENCODING);
        }
}

static void test_behind_the_object(void **state)
{
        struct location l;

        (void)state;
        check(FIRST "} \n\t\r ", LOCATION_OK);
        check(FIRST "}}", LOCATION_E_TRAILING);
        check(FIRST "}x", LOCATION_E_TRAILING);
        check(FIRST "}{}", LOCATION_E_TRAILING);
        check(FIRST "},", LOCATION_E_TRAILING);
        assert_int_equal(ask(LIT(FIRST "}\0\0\0"), &l), LOCATION_OK);
        assert_int_equal(ask(LIT(FIRST "}\0 \n\0"), &l), LOCATION_OK);
        assert_int_equal(ask(LIT(FIRST "}\0x"), &l), LOCATION_E_ENCODING);
        assert_int_equal(ask(LIT(FIRST "\0}"), &l), LOCATION_E_ENCODING);
        assert_int_equal(ask(LIT("\0" FIRST "}"), &l), LOCATION_E_ENCODING);
        assert_int_equal(ask(LIT("\0\0\0\0"), &l), LOCATION_E_SYNTAX);
        assert_int_equal(ask(LIT("   "), &l), LOCATION_E_SYNTAX);
}

/* { text, error } */
static const struct {
        const char *text;
        enum location_error want;
} refused[] = {
        { "{}", LOCATION_E_NO_UUID },
        { "{\"uuid\":\"" UUID "\"}", LOCATION_E_NO_OFFSET },
        { "{\"offset\":1}", LOCATION_E_NO_UUID },
        { "[]", LOCATION_E_SYNTAX },
        { "\"uuid\"", LOCATION_E_SYNTAX },
        { "null", LOCATION_E_SYNTAX },
        { "[" FIRST "}]", LOCATION_E_SYNTAX },
        { "{" FIRST "}}", LOCATION_E_SYNTAX },
        { FIRST ",}", LOCATION_E_SYNTAX },
        { FIRST ",,\"x\":1}", LOCATION_E_SYNTAX },
        { FIRST " \"x\":1}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\"}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\" 1}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":{1:2}}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":{\"y\" 1}}", LOCATION_E_SYNTAX },
        { FIRST ",x:1}", LOCATION_E_SYNTAX },
        { FIRST ",'x':1}", LOCATION_E_SYNTAX },
        { FIRST ",1:1}", LOCATION_E_SYNTAX },
        { FIRST "]", LOCATION_E_SYNTAX },
        { FIRST "/**/}", LOCATION_E_SYNTAX },
        { FIRST "} // comment", LOCATION_E_TRAILING },

        /* Known keys twice, also where both say the same. */
        { FIRST ",\"uuid\":\"" UUID "\"}", LOCATION_E_DUPLICATE },
        { FIRST ",\"offset\":34816}", LOCATION_E_DUPLICATE },
        { FIRST ",\"offset\":\"x\"}", LOCATION_E_DUPLICATE },
        { FIRST ",\"kernelVersion\":\"a\",\"kernelVersion\":\"a\"}", LOCATION_E_DUPLICATE },
        { FIRST ",\"osReleaseId\":\"a\",\"osReleaseId\":\"a\"}", LOCATION_E_DUPLICATE },
        { FIRST ",\"osReleaseImageId\":\"a\",\"osReleaseImageId\":\"a\"}", LOCATION_E_DUPLICATE },
        { FIRST ",\"osReleaseVersionId\":\"a\",\"osReleaseVersionId\":\"a\"}", LOCATION_E_DUPLICATE },
        { FIRST ",\"osReleaseImageVersion\":\"a\",\"osReleaseImageVersion\":\"a\"}", LOCATION_E_DUPLICATE },

        { "{\"offset\":1,\"uuid\":1}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":null}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":[\"" UUID "\"]}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"1234-ABCD\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"0a1b2c3d-1111-2222-3333-44445555666\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"0a1b2c3d-1111-2222-3333-4444555566667\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"0a1b2c3d-1111-2222-3333-44445555666g\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"0a1b2c3d1-111-2222-3333-444455556666\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"0a1b2c3d 1111 2222 3333 444455556666\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"0a1b2c3d1111-2222-3333-444455556666\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"0a1b2c3d11112222333344445555666\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"0a1b2c3d1111222233334444555566667\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"../../../../etc/passwd/../../../../xx\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\" " UUID "\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":\"\\u0130a1b2c3d-1111-2222-3333-44445555666\"}", LOCATION_E_UUID },
        { "{\"offset\":1,\"uuid\":" UUID "}", LOCATION_E_UUID },

        { FIRST "5555555555}", LOCATION_E_OFFSET },
        { FIRST ".5}", LOCATION_E_OFFSET },
        { FIRST ".}", LOCATION_E_OFFSET },
        { FIRST "e1}", LOCATION_E_OFFSET },
        { FIRST "E0}", LOCATION_E_OFFSET },
        { FIRST "x}", LOCATION_E_SYNTAX },
        { FIRST " 1}", LOCATION_E_SYNTAX },

        { FIRST ",\"kernelVersion\":6}", LOCATION_E_RELEASE },
        { FIRST ",\"kernelVersion\":null}", LOCATION_E_RELEASE },
        { FIRST ",\"kernelVersion\":\"6.1 x\"}", LOCATION_E_RELEASE },
        { FIRST ",\"kernelVersion\":\"../6.1\"}", LOCATION_E_RELEASE },
        { FIRST ",\"kernelVersion\":\"-6.1\"}", LOCATION_E_RELEASE },
        { FIRST ",\"kernelVersion\":\"$x\"}", LOCATION_E_RELEASE },
        { FIRST ",\"kernelVersion\":\"6.1)\"}", LOCATION_E_RELEASE },
        { FIRST ",\"kernelVersion\":\"6.1\\n\"}", LOCATION_E_RELEASE },
        { FIRST ",\"kernelVersion\":\"6.1\\u00e4\"}", LOCATION_E_RELEASE },
        { FIRST ",\"kernelVersion\":\"6.1\\ud83d\\ude00\"}", LOCATION_E_RELEASE },

        { FIRST ",\"osReleaseId\":}", LOCATION_E_SYNTAX },
        { FIRST ",\"osReleaseId\":x}", LOCATION_E_SYNTAX },
        { FIRST ",\"osReleaseImageId\":\"a}", LOCATION_E_SYNTAX },
        { FIRST ",\"osReleaseVersionId\":\"\\ud83d\"}", LOCATION_E_ENCODING },
        { FIRST ",\"osReleaseImageVersion\":[[[[[]]]]]}", LOCATION_E_DEPTH },

        /* Values that are no JSON. */
        { FIRST ",\"x\":}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":tru}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":True}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":nul\\u006c}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":falsetrue}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":NaN}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":+1}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":-}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":01}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":.5}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":1.}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":1e}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":1e+}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":1e+-1}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":0x10}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":[1,]}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":[1 2]}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":[1}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":[1}]}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":{\"a\"}}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":{1}}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":{\"a\":1,}}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":\"\\x\"}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":\"\\U0041\"}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":\"\\u004\"}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":\"\\u004g\"}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":\"\\u\"}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":\"\\ud83d\\u00\"}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":\"y}", LOCATION_E_SYNTAX },
        { FIRST ",\"x\":\"\\\"}", LOCATION_E_SYNTAX },
};

static void test_refused(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_OF(refused); i++)
                check(refused[i].text, refused[i].want);
}

static void test_offsets(void **state)
{
        static const struct {
                const char *text;
                enum location_error want;
        } rows[] = {
                { "0", LOCATION_OK },
                { "1", LOCATION_OK },
                { "17592186044415", LOCATION_OK },
                { "17592186044416", LOCATION_E_OFFSET },
                { "4294967296", LOCATION_OK },
                { "18446744073709551615", LOCATION_E_OFFSET },
                { "18446744073709551616", LOCATION_E_OFFSET },
                { "18446744073709551617", LOCATION_E_OFFSET },
                { "36893488147419103233", LOCATION_E_OFFSET },
                { "-1", LOCATION_E_OFFSET },
                { "-0", LOCATION_E_OFFSET },
                { "+1", LOCATION_E_OFFSET },
                { "00", LOCATION_E_SYNTAX },
                { "01", LOCATION_E_SYNTAX },
                { "0x1", LOCATION_E_SYNTAX },
                { "0.0", LOCATION_E_OFFSET },
                { "0e0", LOCATION_E_OFFSET },
                { "1.0", LOCATION_E_OFFSET },
                { "1e3", LOCATION_E_OFFSET },
                { "\"1\"", LOCATION_E_OFFSET },
                { "true", LOCATION_E_OFFSET },
                { "null", LOCATION_E_OFFSET },
                { "[1]", LOCATION_E_OFFSET },
                { "{}", LOCATION_E_OFFSET },
                { "", LOCATION_E_OFFSET },
        };
        static char text[LOCATION_MAX];

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++) {
                snprintf(text, sizeof(text), "{\"uuid\":\"" UUID "\",\"offset\":%s}", rows[i].text);
                check(text, rows[i].want);
        }
        /* As many digits as there is room for. */
        snprintf(text, sizeof(text), "{\"offset\":%01900d1}", 0);
        check(text, LOCATION_E_SYNTAX);
        snprintf(text, sizeof(text), "{\"offset\":1%01900d}", 0);
        check(text, LOCATION_E_OFFSET);
        snprintf(text, sizeof(text), FIRST ",\"x\":1%01900d}", 0);
        check(text, LOCATION_OK);
}

/* Objects and arrays within one another, in every mixture, N of them. */
static void nested(char *text, size_t size, int n, unsigned int arrays)
{
        size_t at = (size_t)snprintf(text, size, FIRST ",\"x\":");

        for (int i = 0; i < n; i++)
                at += (size_t)snprintf(text + at, size - at, arrays >> i & 1 ? "[" : i + 1 < n ? "{\"y\":" : "{");
        for (int i = n - 1; i >= 0; i--)
                at += (size_t)snprintf(text + at, size - at, arrays >> i & 1 ? "]" : "}");
        snprintf(text + at, size - at, "}");
}

static void test_depth(void **state)
{
        static char text[LOCATION_MAX];

        (void)state;
        for (int n = 1; n <= LOCATION_DEPTH + 3; n++)
                for (unsigned int arrays = 0; arrays < 1U << n; arrays++) {
                        nested(text, sizeof(text), n, arrays);
                        check(text, n <= LOCATION_DEPTH ? LOCATION_OK : LOCATION_E_DEPTH);
                }
        /* As deep as there is room for. */
        size_t at = (size_t)snprintf(text, sizeof(text), FIRST ",\"x\":");
        memset(text + at, '[', LOCATION_MAX / 2 - 1 - at);
        text[LOCATION_MAX / 2 - 1] = '\0';
        check(text, LOCATION_E_DEPTH);
        /* Side by side there is no limit. */
        at = (size_t)snprintf(text, sizeof(text), FIRST);
        while (at < LOCATION_MAX / 2 - 40)
                at += (size_t)snprintf(text + at, sizeof(text) - at, ",\"x\":[[{}]]");
        snprintf(text + at, sizeof(text) - at, "}");
        check(text, LOCATION_OK);
}

/* A string of N characters as the value of KEY. */
static enum location_error with_length(const char *key, size_t n)
{
        char text[400], value[200];

        memset(value, 'a', n);
        value[n] = '\0';
        snprintf(text, sizeof(text), FIRST ",\"%s\":\"%s\"}", key, value);
        return verdict(text);
}

static const char *const os_keys[] = { "osReleaseId", "osReleaseImageId", "osReleaseVersionId",
                                       "osReleaseImageVersion" };

/* What is kept of VALUE, in JSON, under OS_KEYS[I]; the rest is always there. */
static const char *os_text(size_t i, const char *value)
{
        static struct location l;
        const char *const kept[] = { l.os_id, l.os_image_id, l.os_version_id, l.os_image_version };
        char text[400];

        snprintf(text, sizeof(text), FIRST ",\"%s\":%s,\"kernelVersion\":\"6.1\"}", os_keys[i], value);
        assert_int_equal(ask(text, strlen(text), &l), LOCATION_OK);
        assert_string_equal(l.uuid, UUID);
        assert_int_equal(l.offset, 34816);
        assert_string_equal(l.kernel_version, "6.1");
        for (size_t other = 0; other < N_OF(os_keys); other++)
                if (other != i)
                        assert_string_equal(kept[other], "");
        return kept[i];
}

/* What the system calls itself is for showing only: what is unfit is left out, never cut, and nothing else suffers. */
static void test_unfit_names_of_systems(void **state)
{
        static const char *const unfit[] = {
                "1",           "-1.5e3",      "true",         "null",        "[]",
                "{\"a\":[1]}", "\"\\u0007\"", "\"a\\u007f\"", "\"\\u00e4\"", "\"\\ud83d\\ude00\""
        };

        (void)state;
        for (size_t i = 0; i < N_OF(os_keys); i++) {
                for (size_t j = 0; j < N_OF(unfit); j++)
                        assert_string_equal(os_text(i, unfit[j]), "");
                for (size_t n = 0; n < 199; n++) {
                        char value[202];
                        value[0] = '"';
                        memset(value + 1, 'a', n);
                        strcpy(value + 1 + n, "\"");
                        assert_int_equal(strlen(os_text(i, value)), n <= LOCATION_OS_MAX ? n : 0);
                }
        }
}

static void test_lengths(void **state)
{
        (void)state;
        assert_int_equal(with_length("kernelVersion", LOCATION_RELEASE_MAX), LOCATION_OK);
        assert_int_equal(with_length("kernelVersion", LOCATION_RELEASE_MAX + 1), LOCATION_E_RELEASE);
        assert_int_equal(with_length("kernelVersion", 199), LOCATION_E_RELEASE);
        assert_int_equal(with_length("x", 199), LOCATION_OK);
}

/* Every character in the two kinds of strings that are kept. */
static void test_characters(void **state)
{
        char text[200];

        (void)state;
        for (int c = 1; c < 0x100; c++) {
                bool release = strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._+~-", c);

                snprintf(text, sizeof(text), FIRST ",\"kernelVersion\":\"6\\u%04x\"}", (unsigned int)c);
                check(text, release ? LOCATION_OK : LOCATION_E_RELEASE);
                snprintf(text, sizeof(text), "\"\\u%04x\"", (unsigned int)c);
                assert_int_equal(strlen(os_text(0, text)), c >= 0x20 && c <= 0x7e ? 1 : 0);
        }
}

/* Pieces of JSON put together at random: whatever comes out has the right form. */
static void test_random_pieces(void **state)
{
        static const char *const pieces[] = {
                "{",          "}",
                "[",          "]",
                ",",          ":",
                "\"uuid\"",   "\"" UUID "\"",
                "\"offset\"", "1",
                "0",          "-",
                ".",          "e",
                " ",          "\"",
                "\\",         "\\u0041",
                "true",       "x",
                "null",       "\"\"",
                "\n",         "\\ud800",
                "\"x\":1,",   FIRST,
                "\"a\":",     "34",
                ",\"",        "\"kernelVersion\":",
                "\"6.1\"",    "\"osReleaseId\":",
        };
        struct prng random = { 4 };
        char text[1000];
        struct location l;
        size_t good = 0;

        (void)state;
        for (int run = 0; run < 100000; run++) {
                size_t at = 0;

                if (run % 2)
                        at = (size_t)snprintf(text, sizeof(text), FIRST);
                for (size_t n = prng_below(&random, 12); n > 0; n--)
                        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s",
                                               pieces[prng_below(&random, N_OF(pieces))]);
                if (prng_below(&random, 2))
                        at += (size_t)snprintf(text + at, sizeof(text) - at, "}");
                if (ask(text, at, &l) != LOCATION_OK)
                        continue;
                good++;
                assert_string_equal(l.uuid, UUID);
                assert_true(strchr(text, '}'));
        }
        assert_true(good > 100);
}

/* ---- the rest ---- */

static void test_words(void **state)
{
        (void)state;
        assert_string_equal(location_error_text(LOCATION_OK), "");
        assert_string_equal(location_error_name(LOCATION_OK), "");
        for (int i = 1; i < LOCATION_E_COUNT; i++) {
                assert_true(strlen(location_error_text((enum location_error)i)) > 10);
                assert_true(strlen(location_error_name((enum location_error)i)) > 1);
                for (int k = 1; k < i; k++) {
                        assert_string_not_equal(location_error_text((enum location_error)i),
                                                location_error_text((enum location_error)k));
                        assert_string_not_equal(location_error_name((enum location_error)i),
                                                location_error_name((enum location_error)k));
                }
        }
        assert_string_equal(location_error_text((enum location_error)99), "");
        assert_string_equal(location_error_name((enum location_error)99), "");
}

static void test_fingerprint(void **state)
{
        static uint8_t page[LOCATION_PAGE + 1];
        char is[LOCATION_FINGERPRINT_LEN + 1] = "", want[9], other[LOCATION_FINGERPRINT_LEN + 1] = "";
        uint32_t crc;

        (void)state;
        for (size_t i = 0; i < sizeof(page); i++)
                page[i] = (uint8_t)(i * 7 % 251);
        crc = ref_crc32(ref_crc32(0, LIT(WHOLE)), page + 1024, 3072);
        snprintf(want, sizeof(want), "%08x", crc);
        location_fingerprint(LIT(WHOLE), page, is);
        assert_string_equal(is, want);
        /* The last byte of the page counts, the next does not. */
        page[LOCATION_PAGE]++;
        location_fingerprint(LIT(WHOLE), page, other);
        assert_string_equal(other, want);
        page[LOCATION_PAGE - 1]++;
        location_fingerprint(LIT(WHOLE), page, other);
        assert_string_not_equal(other, want);
        page[LOCATION_PAGE - 1]--;
        /* A mark comes and goes in the boot bits; it is the same image. */
        page[1023]++;
        location_fingerprint(LIT(WHOLE), page, other);
        assert_string_equal(other, want);
        page[1024]++;
        location_fingerprint(LIT(WHOLE), page, other);
        assert_string_not_equal(other, want);
        page[1024]--;
        location_fingerprint(WHOLE, sizeof(WHOLE) - 2, page, other);
        assert_string_not_equal(other, want);
}

/* The numbers are the text's, and no two variables share a name. */
static void test_names(void **state)
{
        struct {
                uint32_t a;
                uint16_t b, c;
                uint8_t d[8];
        } guids[] = { EFIVAR_GUID_NUMBERS, EFIVAR_SYSTEMD_GUID_NUMBERS };
        static const char *const texts[] = { EFIVAR_GUID, EFIVAR_SYSTEMD_GUID };
        char text[40];

        (void)state;
        for (size_t i = 0; i < N_OF(guids); i++) {
                const uint8_t *d = guids[i].d;

                snprintf(text, sizeof(text), "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", guids[i].a, guids[i].b,
                         guids[i].c, d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
                assert_string_equal(text, texts[i]);
        }
        assert_int_equal(EFIVAR_MARK_LEN, 400);
        assert_int_equal(EFIVAR_TRIED_LEN, 8);
        assert_int_equal(EFIVAR_ATTRIBUTES, 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),
                cmocka_unit_test(test_least),
                cmocka_unit_test(test_uuid_forms),
                cmocka_unit_test(test_escapes),
                cmocka_unit_test(test_unknown_keys),
                cmocka_unit_test(test_every_truncation),
                cmocka_unit_test(test_every_byte_lost),
                cmocka_unit_test(test_every_bit_flipped),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_encodings),
                cmocka_unit_test(test_surrogates),
                cmocka_unit_test(test_escaped_surrogates),
                cmocka_unit_test(test_behind_the_object),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_offsets),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_unfit_names_of_systems),
                cmocka_unit_test(test_characters),
                cmocka_unit_test(test_random_pieces),
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_fingerprint),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
