/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The plan: what is taken from its text, and that nothing else is.
 */
#include "testing.h"

#include <errno.h>

#include "guard.h"
#include "hibctl/plan.h"
#include "refmark.h"

static struct guard guard;
static char line[REF_WIDTH + 1]; /* a good mark */

/* ---- a second writer of the format ---- */

#define MACHINE "machine 01234567-89ab-cdef-0123-456789abcdef\n"
#define SIZE "image-size 8589934592\n"
#define BITS "bootbits yes\n" EFI
#define EFI "efi no\n"
#define BOOT "boot released 0a1b2c3d-1111-2222-3333-444455556666 ext4 /grub\n"
#define ROOT "held 99999999-1111-2222-3333-444455556666 ext4 /\n"
#define HOME "held - xfs /home/with\\040space\n"

/* Puts the checksum behind BODY of N bytes; the caller frees. */
static char *seal(const char *body, size_t n, size_t *size)
{
        char *text = malloc(n + 14);

        assert_non_null(text);
        memcpy(text, body, n);
        *size = n + (size_t)sprintf(text + n, "crc %08x\n", ref_crc32(0, body, n));
        return text;
}

/* The plan whose lines these are. "%" in MARK stands for the good one. */
static char *make(const char *first, const char *machine, const char *mark, const char *rest, size_t *size)
{
        static char body[2 * PLAN_SIZE_MAX];
        size_t n = 0;

        n += (size_t)sprintf(body + n, "%s%s", first, machine);
        if (strcmp(mark, "%") == 0)
                n += (size_t)sprintf(body + n, "mark %s\n", line);
        else
                n += (size_t)sprintf(body + n, "%s", mark);
        n += (size_t)sprintf(body + n, "%s", rest);
        assert_true(n < sizeof(body));
        return seal(body, n, size);
}

static char *good(size_t *size)
{
        return make("hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT ROOT HOME, size);
}

/* From memory that ends with the text, and from memory that starts with it. */
static int parse(const char *text, size_t size, struct plan *plan)
{
        int r = plan_parse(guard_place(&guard, text, size, true), size, plan);

        assert_int_equal(r, plan_parse(guard_place(&guard, text, size, false), size, plan));
        assert_true(guard_intact(&guard));
        return r;
}

/* ---- what is taken ---- */

static void test_every_field(void **state)
{
        struct plan plan;
        size_t size;
        char *text = good(&size);

        (void)state;
        memset(&plan, 0x55, sizeof(plan));
        assert_int_equal(parse(text, size, &plan), 0);
        assert_string_equal(plan.machine, "01234567-89ab-cdef-0123-456789abcdef");
        assert_memory_equal(plan.text, line, MARK_WIDTH);
        assert_string_equal(plan.mark.kernel, "/boot/vmlinuz-6.1.0-56-amd64");
        assert_int_equal(plan.mark.offset, 34816);
        assert_true(plan.image_size == 8589934592ULL);
        assert_true(plan.bootbits);
        assert_int_equal(plan.boot_state, PLAN_BOOT_RELEASED);
        assert_string_equal(plan.boot.uuid, "0a1b2c3d-1111-2222-3333-444455556666");
        assert_string_equal(plan.boot.type, "ext4");
        assert_string_equal(plan.boot.path, "/grub");
        assert_int_equal(plan.n_held, 2);
        assert_string_equal(plan.held[0].path, "/");
        assert_string_equal(plan.held[1].uuid, "-");
        assert_string_equal(plan.held[1].type, "xfs");
        assert_string_equal(plan.held[1].path, "/home/with\\040space");
        free(text);
}

static void assert_comes_back(const char *text, size_t size)
{
        struct plan plan;
        char *again;

        assert_int_equal(parse(text, size, &plan), 0);
        again = plan_format(&plan);
        assert_non_null(again);
        assert_int_equal(strlen(again), size);
        assert_memory_equal(again, text, size);
        free(again);
}

static void test_what_is_read_is_written_the_same(void **state)
{
        static const char *const rests[] = {
                SIZE BITS BOOT ROOT HOME,
                SIZE BITS BOOT,
                SIZE "bootbits no\nefi yes\nboot held - ext4 /boot/grub\n",
                "image-size 0\n" BITS "boot unfit A-1 btrfs /@/boot/grub\n" ROOT,
                SIZE "bootbits no\nefi no\nboot unknown A-1 vfat /grub\n",
                "image-size 18446744073709551615\n" BITS BOOT,
        };

        (void)state;
        for (size_t i = 0; i < N_OF(rests); i++) {
                size_t size;
                char *text = make("hibctl-plan 1\n", i ? "machine -\n" : MACHINE, "%", rests[i], &size);
                assert_comes_back(text, size);
                free(text);
        }
}

/* Each field as long as it may be, and as many lines as there may be. */
static void test_the_largest_plan(void **state)
{
        struct plan plan;
        char *text, *again;
        size_t size;

        (void)state;
        text = good(&size);
        assert_int_equal(parse(text, size, &plan), 0);
        free(text);
        plan.n_held = PLAN_HELD_MAX;
        for (size_t i = 0; i < PLAN_HELD_MAX; i++) {
                memset(plan.held[i].uuid, 'a', PLAN_UUID_MAX);
                memset(plan.held[i].type, 'b', PLAN_TYPE_MAX);
                memset(plan.held[i].path, '/', PLAN_PATH_MAX);
                plan.held[i].uuid[PLAN_UUID_MAX] = plan.held[i].type[PLAN_TYPE_MAX] = plan.held[i].path[PLAN_PATH_MAX] =
                        0;
        }
        plan.boot = plan.held[0];
        again = plan_format(&plan);
        assert_non_null(again);
        assert_true(strlen(again) < PLAN_SIZE_MAX);
        assert_comes_back(again, strlen(again));
        free(again);
}

/* ---- what is not ---- */

static void test_every_truncation(void **state)
{
        struct plan plan;
        size_t size;
        char *text = good(&size);

        (void)state;
        for (size_t n = 0; n < size; n++)
                if (parse(text, n, &plan) != -EBADMSG)
                        fail_row("cut to %zu bytes: taken", n);
        free(text);
}

static void test_every_byte_changed(void **state)
{
        struct plan plan;
        size_t size;
        char *text = good(&size);

        (void)state;
        for (size_t i = 0; i < size; i++)
                for (int bit = 0; bit < 256; bit++) {
                        char old = text[i];
                        text[i] = (char)bit;
                        if (text[i] != old && plan_parse(text, size, &plan) != -EBADMSG)
                                fail_row("byte %zu is 0x%02x: taken", i, bit);
                        text[i] = old;
                }
        assert_int_equal(parse(text, size, &plan), 0);
        free(text);
}

static void test_bytes_behind(void **state)
{
        static const char *const tails[] = { "\n", " ", "x", "crc 00000000\n", "held - ext4 /\n" };
        char text[PLAN_SIZE_MAX];
        struct plan plan;
        size_t size;
        char *plain = good(&size);

        (void)state;
        for (size_t i = 0; i < N_OF(tails); i++) {
                memcpy(text, plain, size);
                strcpy(text + size, tails[i]);
                if (parse(text, size + strlen(tails[i]), &plan) != -EBADMSG)
                        fail_row("\"%s\" behind it: taken", tails[i]);
        }
        assert_int_equal(parse(plain, size, &plan), 0);
        memcpy(text, plain, size);
        memcpy(text + size, plain, size);
        assert_int_not_equal(parse(text, 2 * size, &plan), 0);
        free(plain);
}

#define X8 "xxxxxxxx"
#define X64 X8 X8 X8 X8 X8 X8 X8 X8
#define X256 X64 X64 X64 X64

/* Wrong in one place, with a right checksum. */
static void test_wrong_fields(void **state)
{
        static const struct {
                const char *what;
                const char *first, *machine, *mark, *rest;
                int expected;
        } rows[] = {
                { "version 2", "hibctl-plan 2\n", MACHINE, "%", SIZE BITS BOOT, -EPROTO },
                { "version 10", "hibctl-plan 10\n", MACHINE, "%", SIZE BITS BOOT, -EPROTO },
                { "no version", "hibctl-plan \n", MACHINE, "%", SIZE BITS BOOT, -EPROTO },
                { "something else", "hibctl-place 1\n", MACHINE, "%", SIZE BITS BOOT, -EINVAL },
                { "CR LF", "hibctl-plan 1\r\n", MACHINE, "%", SIZE BITS BOOT, -EPROTO },
                { "no first line", "", MACHINE, "%", SIZE BITS BOOT, -EINVAL },

                { "no machine", "hibctl-plan 1\n", "", "%", SIZE BITS BOOT, -EINVAL },
                { "machine twice", "hibctl-plan 1\n", MACHINE MACHINE, "%", SIZE BITS BOOT, -EINVAL },
                { "machine empty", "hibctl-plan 1\n", "machine \n", "%", SIZE BITS BOOT, -EINVAL },
                { "machine too long", "hibctl-plan 1\n", "machine " X8 X8 X8 X8 "xxxxx\n", "%", SIZE BITS BOOT,
                  -EINVAL },
                { "machine with a slash", "hibctl-plan 1\n", "machine a/b\n", "%", SIZE BITS BOOT, -EINVAL },
                { "machine with a blank", "hibctl-plan 1\n", "machine a b\n", "%", SIZE BITS BOOT, -EINVAL },

                { "no mark", "hibctl-plan 1\n", MACHINE, "", SIZE BITS BOOT, -EINVAL },
                { "mark empty", "hibctl-plan 1\n", MACHINE, "mark \n", SIZE BITS BOOT, -EINVAL },

                { "no size", "hibctl-plan 1\n", MACHINE, "%", BITS BOOT, -EINVAL },
                { "size empty", "hibctl-plan 1\n", MACHINE, "%", "image-size \n" BITS BOOT, -EINVAL },
                { "size negative", "hibctl-plan 1\n", MACHINE, "%", "image-size -1\n" BITS BOOT, -EINVAL },
                { "size signed", "hibctl-plan 1\n", MACHINE, "%", "image-size +1\n" BITS BOOT, -EINVAL },
                { "size behind a blank", "hibctl-plan 1\n", MACHINE, "%", "image-size  1\n" BITS BOOT, -EINVAL },
                { "size before a blank", "hibctl-plan 1\n", MACHINE, "%", "image-size 1 \n" BITS BOOT, -EINVAL },
                { "size in hex", "hibctl-plan 1\n", MACHINE, "%", "image-size 0x10\n" BITS BOOT, -EINVAL },
                { "size with zeros", "hibctl-plan 1\n", MACHINE, "%", "image-size 010\n" BITS BOOT, -EINVAL },
                { "size too large", "hibctl-plan 1\n", MACHINE, "%", "image-size 18446744073709551616\n" BITS BOOT,
                  -EINVAL },

                { "no bootbits", "hibctl-plan 1\n", MACHINE, "%", SIZE BOOT, -EINVAL },
                { "bootbits maybe", "hibctl-plan 1\n", MACHINE, "%", SIZE "bootbits maybe\n" BOOT, -EINVAL },
                { "bootbits YES", "hibctl-plan 1\n", MACHINE, "%", SIZE "bootbits YES\n" BOOT, -EINVAL },
                { "bootbits empty", "hibctl-plan 1\n", MACHINE, "%", SIZE "bootbits \n" BOOT, -EINVAL },

                { "no boot", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS ROOT, -EINVAL },
                { "boot twice", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT BOOT, -EINVAL },
                { "boot state", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot free A ext4 /g\n", -EINVAL },
                { "boot state only", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held\n", -EINVAL },
                { "boot without a path", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4\n", -EINVAL },
                { "boot with more", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4 /g x\n", -EINVAL },
                { "boot without UUID", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held  ext4 /g\n", -EINVAL },
                { "boot UUID odd", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held ../x ext4 /g\n", -EINVAL },
                { "boot UUID long", "hibctl-plan 1\n", MACHINE, "%",
                  SIZE BITS "boot held " X8 X8 X8 X8 "xxxxx ext4 /g\n", -EINVAL },
                { "boot type long", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A " X8 X8 "x /g\n", -EINVAL },
                { "boot type odd", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4,x /g\n", -EINVAL },
                { "boot path relative", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4 g\n", -EINVAL },
                { "boot path up", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4 /../etc\n", -EINVAL },
                { "boot path up at the end", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4 /g/..\n",
                  -EINVAL },
                { "boot path long", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4 /" X256 "\n",
                  -EINVAL },
                { "boot path not ASCII", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4 /\xc3\xa4\n",
                  -EINVAL },
                { "boot path with DEL", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4 /\x7f\n",
                  -EINVAL },
                { "boot path with ESC", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4 /\x1b[2J\n",
                  -EINVAL },

                { "held before boot", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS ROOT BOOT, -EINVAL },
                { "held without a path", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "held A ext4\n", -EINVAL },
                { "held with more", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "held A ext4 / x\n", -EINVAL },
                { "held relative", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "held A ext4 home\n", -EINVAL },
                { "held path long", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "held A ext4 /" X256 "\n",
                  -EINVAL },
                { "held UUID not ASCII", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "held \xe4 ext4 /\n",
                  -EINVAL },

                { "hook without a word", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "hook x\n", -EINVAL },
                { "hook without a name", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "hook  x\n", -EINVAL },
                { "hook before held", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "hook a x\n" ROOT, -EINVAL },
                { "hook with TAB", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "hook a x\ty\n", -EINVAL },
                { "hook too long", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "hook a " X256 "\n", -EINVAL },

                { "another line", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "more x\n", -EINVAL },
                { "an empty line", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "\n", -EINVAL },
                { "two checksums", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS BOOT "crc 00000000\n", -EINVAL },
                { "no newline at the end", "hibctl-plan 1\n", MACHINE, "%", SIZE BITS "boot held A ext4 /g", -EINVAL },
                { "nothing but the first line", "hibctl-plan 1\n", "", "", "", -EINVAL },
                { "nothing", "", "", "", "", -EBADMSG },
        };

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++) {
                struct plan plan;
                size_t size;
                char *text = make(rows[i].first, rows[i].machine, rows[i].mark, rows[i].rest, &size);
                int r = parse(text, size, &plan);
                if (r != rows[i].expected)
                        fail_row("%s: %d, not %d", rows[i].what, r, rows[i].expected);
                free(text);
        }
}

static int parse_with_mark(const char mark[REF_WIDTH], size_t len)
{
        char text[REF_WIDTH + 16] = "mark ";
        struct plan plan;
        size_t size;
        char *whole;
        int r;

        memcpy(text + 5, mark, len);
        strcpy(text + 5 + len, "\n");
        whole = make("hibctl-plan 1\n", MACHINE, text, SIZE BITS BOOT, &size);
        r = parse(whole, size, &plan);
        free(whole);
        return r;
}

static void test_wrong_marks(void **state)
{
        struct refmark good_one = REF_GOOD, empty = REF_EMPTY, m = good_one;
        char text[REF_WIDTH + 8] = "";

        (void)state;
        assert_int_equal(parse_with_mark(line, REF_WIDTH), 0);
        assert_int_equal(parse_with_mark(line, REF_WIDTH - 1), -EINVAL);
        memcpy(text, line, REF_WIDTH);
        text[REF_WIDTH] = ' ';
        assert_int_equal(parse_with_mark(text, REF_WIDTH + 1), -EINVAL);
        ref_write(&empty, text);
        assert_int_equal(parse_with_mark(text, REF_WIDTH), -EINVAL);
        m.state = "taken";
        ref_write(&m, text);
        assert_int_equal(parse_with_mark(text, REF_WIDTH), -EINVAL);
        m = good_one;
        m.magic = "hib2";
        ref_write(&m, text);
        assert_int_equal(parse_with_mark(text, REF_WIDTH), -EINVAL);
        m = good_one;
        m.field[REF_KERNEL] = "boot";
        ref_write(&m, text);
        assert_int_equal(parse_with_mark(text, REF_WIDTH), -EINVAL);
        memcpy(text, line, REF_WIDTH);
        text[REF_WIDTH - 1] = text[REF_WIDTH - 1] == '0' ? '1' : '0';
        assert_int_equal(parse_with_mark(text, REF_WIDTH), -EINVAL);
}

static void test_hooks(void **state)
{
        static char rest[PLAN_SIZE_MAX];
        struct plan plan;
        size_t size;
        char *text;

        (void)state;
        strcpy(rest, SIZE BITS BOOT ROOT);
        for (int i = 0; i < PLAN_HOOKS_MAX; i++)
                strcat(rest, "hook 10-crypt UUID=a  'b' $c\n");
        text = make("hibctl-plan 1\n", MACHINE, "%", rest, &size);
        assert_int_equal(parse(text, size, &plan), 0);
        assert_int_equal(plan.n_hooks, PLAN_HOOKS_MAX);
        assert_string_equal(plan.hooks[PLAN_HOOKS_MAX - 1], "10-crypt UUID=a  'b' $c");
        free(text);
        strcat(rest, "hook a b\n");
        text = make("hibctl-plan 1\n", MACHINE, "%", rest, &size);
        assert_int_equal(parse(text, size, &plan), -EINVAL);
        free(text);
}

static void test_too_many_held(void **state)
{
        static char rest[PLAN_SIZE_MAX];
        struct plan plan;
        size_t size;
        char *text;

        (void)state;
        strcpy(rest, SIZE BITS BOOT);
        for (int i = 0; i < PLAN_HELD_MAX; i++)
                strcat(rest, "held - ext4 /\n");
        text = make("hibctl-plan 1\n", MACHINE, "%", rest, &size);
        assert_int_equal(parse(text, size, &plan), 0);
        assert_int_equal(plan.n_held, PLAN_HELD_MAX);
        free(text);
        strcat(rest, "held - ext4 /\n");
        text = make("hibctl-plan 1\n", MACHINE, "%", rest, &size);
        assert_int_equal(parse(text, size, &plan), -EINVAL);
        free(text);
}

/* In any place, and with a right checksum. */
static void test_nul_bytes(void **state)
{
        static char body[PLAN_SIZE_MAX];
        struct plan plan;
        size_t size, n;
        char *text = good(&size);

        (void)state;
        for (size_t i = 0; i < size - 13; i++) {
                char old = text[i];
                char *sealed;
                text[i] = '\0';
                sealed = seal(text, size - 13, &n);
                if (parse(sealed, n, &plan) == 0)
                        fail_row("NUL at byte %zu: taken", i);
                free(sealed);
                text[i] = old;
        }
        /* Behind the last line, where the text would end for a string function. */
        memcpy(body, text, size - 13);
        memcpy(body + size - 13, "\0junk", 6);
        free(text);
        text = seal(body, size - 13 + 6, &n);
        assert_int_not_equal(parse(text, n, &plan), 0);
        free(text);
}

static void test_huge(void **state)
{
        size_t n = PLAN_SIZE_MAX + 1, size;
        char *body = malloc(n), *text;
        struct plan plan;

        (void)state;
        assert_non_null(body);
        memset(body, 'x', n);
        memcpy(body, LIT("hibctl-plan 1\n"));
        text = seal(body, n - 13, &size);
        assert_int_equal(size, n);
        assert_int_equal(parse(text, size, &plan), -EBADMSG);
        free(text);
        text = seal(body, n - 14, &size);
        assert_int_equal(parse(text, size, &plan), -EINVAL);
        free(text);
        free(body);
}

/* ---- what cannot be written ---- */

static void test_bad_plans_are_not_written(void **state)
{
        struct plan fine, plan;
        size_t size;
        char *text = good(&size), *again;

        (void)state;
        assert_int_equal(parse(text, size, &fine), 0);
        free(text);
#define REFUSED(change)                                                                                                \
        do {                                                                                                           \
                plan = fine;                                                                                           \
                change;                                                                                                \
                again = plan_format(&plan);                                                                            \
                if (again)                                                                                             \
                        fail_row("written after: %s", #change);                                                        \
        } while (0)
        REFUSED(strcpy(plan.boot.path, "/a b"));
        REFUSED(strcpy(plan.boot.path, "/a\nheld - ext4 /"));
        REFUSED(strcpy(plan.boot.path, ""));
        REFUSED(strcpy(plan.boot.path, "boot"));
        REFUSED(strcpy(plan.boot.uuid, ""));
        REFUSED(strcpy(plan.boot.type, ""));
        REFUSED(strcpy(plan.held[1].path, "/a b"));
        REFUSED(strcpy(plan.held[0].uuid, "a b"));
        REFUSED(strcpy(plan.machine, ""));
        REFUSED(plan.text[20]++);
        REFUSED(memcpy(plan.text + REF_CRC_AT, "00000000", 8));
        again = plan_format(&fine);
        assert_non_null(again);
        free(again);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_field),
                cmocka_unit_test(test_what_is_read_is_written_the_same),
                cmocka_unit_test(test_the_largest_plan),
                cmocka_unit_test(test_every_truncation),
                cmocka_unit_test(test_every_byte_changed),
                cmocka_unit_test(test_bytes_behind),
                cmocka_unit_test(test_wrong_fields),
                cmocka_unit_test(test_wrong_marks),
                cmocka_unit_test(test_hooks),
                cmocka_unit_test(test_too_many_held),
                cmocka_unit_test(test_nul_bytes),
                cmocka_unit_test(test_huge),
                cmocka_unit_test(test_bad_plans_are_not_written),
        };
        struct refmark m = REF_GOOD;

        ref_write(&m, line);
        guard_init(&guard, 2 * PLAN_SIZE_MAX);
        return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
