/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The slot: where the mark is in an environment block, how its place is reserved and given back.
 */
#include "testing.h"

#include "guard.h"
#include "mark/mark.h"
#include "prng.h"
#include "refmark.h"

#define LINE_LEN (sizeof("hib_mark=") - 1 + MARK_WIDTH + 1) /* what the slot takes from a block */
#define FIRST_AT (ENVBLK_SIGNATURE_LEN + sizeof("hib_mark=") - 1)

static struct guard guard;
static const struct refmark good = REF_GOOD;
static const struct refmark blank = REF_EMPTY;

/* A block's text under construction. */
struct text {
        char buf[8192];
        size_t len;
};

static void add(struct text *t, const char *p, size_t len)
{
        assert_true(t->len + len <= sizeof(t->buf));
        memcpy(t->buf + t->len, p, len);
        t->len += len;
}

static void add_text(struct text *t, const char *p)
{
        add(t, p, strlen(p));
}

static void add_mark(struct text *t, const struct refmark *r)
{
        char mark[MARK_WIDTH];

        ref_write(r, mark);
        add_text(t, "hib_mark=");
        add(t, mark, MARK_WIDTH);
        add_text(t, "\n");
}

static void start(struct text *t)
{
        t->len = 0;
        add_text(t, ENVBLK_SIGNATURE);
}

static void pad(struct text *t, size_t size)
{
        while (t->len < size)
                add_text(t, "#");
}

static struct envblk place(const struct text *t)
{
        struct envblk block;

        assert_true(envblk_open(&block, guard_place(&guard, t->buf, t->len, true), t->len));
        return block;
}

static bool block_is(const struct envblk *block, const struct text *t)
{
        return block->size == t->len && memcmp(block->buf, t->buf, t->len) == 0 && guard_intact(&guard);
}

/* ---- find ---- */

static void test_found_right_behind_the_signature(void **state)
{
        struct text t;
        size_t at = 0;

        (void)state;
        start(&t);
        add_mark(&t, &good);
        add_text(&t, "a=1\n");
        pad(&t, 1024);
        struct envblk block = place(&t);
        assert_int_equal(slot_find(&block, &at), SLOT_FOUND);
        assert_int_equal(at, FIRST_AT);
        assert_true(at + MARK_WIDTH < ENVBLK_SECTOR);
        assert_true(block_is(&block, &t));
}

/* The slot at every place of three sectors: found where its bytes are in one sector, straddling elsewhere. */
static void test_every_place(void **state)
{
        (void)state;
        for (size_t before = 0; before < 1600; before++) {
                struct text t;
                size_t at = 0, want = FIRST_AT + (before ? before + 2 : 0);

                start(&t);
                if (before) { /* a comment of that many bytes between # and newline */
                        add_text(&t, "#");
                        for (size_t i = 0; i < before; i++)
                                add_text(&t, "x");
                        add_text(&t, "\n");
                }
                add_mark(&t, &good);
                pad(&t, 2100);
                struct envblk block = place(&t);
                enum slot_status s = slot_find(&block, &at);
                bool one_sector = want / 512 == (want + MARK_WIDTH - 1) / 512;
                if (s != (one_sector ? SLOT_FOUND : SLOT_STRADDLES) || at != want)
                        fail_row("slot at %zu: status %d, at %zu", want, s, at);
        }
}

static void test_every_width(void **state)
{
        (void)state;
        for (size_t width = 0; width < 450; width++) {
                struct text t;
                size_t at = 0;

                start(&t);
                add_text(&t, "hib_mark=");
                for (size_t i = 0; i < width; i++)
                        add_text(&t, "-");
                add_text(&t, "\nb=2\n");
                pad(&t, 1024);
                struct envblk block = place(&t);
                enum slot_status s = slot_find(&block, &at);
                if (s != (width == MARK_WIDTH ? SLOT_FOUND : SLOT_WIDTH))
                        fail_row("width %zu: status %d", width, s);
        }
}

#define M400 "\1" /* stands for 400 bytes "-" in the rows below */

static const struct {
        const char *what;
        const char *body;
        enum slot_status status;
} find_rows[] = {
        { "no variable at all", "", SLOT_MISSING },
        { "others only", "a=1\nb=2\n", SLOT_MISSING },
        { "a longer name", "hib_mark2=" M400 "\n", SLOT_MISSING },
        { "a shorter name", "hib_mar=" M400 "\n", SLOT_MISSING },
        { "a name with something before it", "xhib_mark=" M400 "\n", SLOT_MISSING },
        { "a blank before it", " hib_mark=" M400 "\n", SLOT_MISSING },
        { "in a comment", "#hib_mark=" M400 "\n", SLOT_MISSING },
        { "in a value", "a=hib_mark=" M400 "\n", SLOT_MISSING },
        { "behind an escaped newline", "a=\\\nhib_mark=" M400 "\n", SLOT_MISSING },
        { "behind an escaped newline in a comment", "#\\\nhib_mark=" M400 "\n", SLOT_MISSING },
        { "swallowed by a junk line", "junk\nhib_mark=" M400 "\n", SLOT_MISSING },
        { "swallowed by an empty line", "\nhib_mark=" M400 "\n", SLOT_MISSING },
        { "its line has no end", "hib_mark=" M400, SLOT_MISSING },
        { "its newline is escaped", "hib_mark=" M400 "\\\n", SLOT_MISSING },
        { "the reader gives up before it", "a=\\\n", SLOT_MISSING },
        { "last, behind others", "a=1\n# c\nhib_mark=" M400 "\n", SLOT_FOUND },
        { "junk behind it", "hib_mark=" M400 "\njunk\nb=2\n", SLOT_FOUND },
        { "a broken line behind it", "hib_mark=" M400 "\nb=\\\n", SLOT_FOUND },
        { "twice", "hib_mark=" M400 "\nhib_mark=" M400 "\n", SLOT_DUPLICATE },
        { "twice, the second of another width", "hib_mark=" M400 "\na=1\nhib_mark=\n", SLOT_DUPLICATE },
        { "twice, the first of another width", "hib_mark=1\na=1\nhib_mark=" M400 "\n", SLOT_DUPLICATE },
        { "three times", "hib_mark=\nhib_mark=\nhib_mark=\n", SLOT_DUPLICATE },
        { "GRUB's set finds an older one first", "junk\nhib_mark=old\nhib_mark=" M400 "\n", SLOT_BROKEN },
        { "and one of the same width, too", "\nhib_mark=" M400 "\nhib_mark=" M400 "\n", SLOT_BROKEN },
        { "no newline before the padding", "hib_mark=" M400 "\nb=2", SLOT_BROKEN },
        { "400 bytes of text, 401 with the escape", "hib_mark=" M400 "\\-\n", SLOT_WIDTH },
};

static void add_row(struct text *t, const char *body)
{
        for (const char *p = body; *p; p++)
                for (int i = 0; i < (*p == *M400 ? MARK_WIDTH : 1); i++)
                        add(t, *p == *M400 ? "-" : p, 1);
}

static void test_find(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_OF(find_rows); i++) {
                struct text t;
                size_t at = 0;

                start(&t);
                add_row(&t, find_rows[i].body);
                pad(&t, 2048);
                struct envblk block = place(&t);
                enum slot_status s = slot_find(&block, &at);
                if (s != find_rows[i].status)
                        fail_row("row \"%s\": status %d", find_rows[i].what, s);
        }
}

/* GRUB's reader hands out names as C strings: this is a second mark, which no unset removes. */
static void test_find_with_nul_in_a_name(void **state)
{
        struct text t;
        size_t at = 0;

        (void)state;
        start(&t);
        add_mark(&t, &good);
        add(&t, LIT("hib_mark\0x=1\n"));
        pad(&t, 1024);
        struct envblk block = place(&t);
        assert_int_equal(slot_find(&block, &at), SLOT_DUPLICATE);
        assert_int_equal(slot_reserve(&block), ENVBLK_DONE);
        assert_int_equal(slot_find(&block, &at), SLOT_DUPLICATE);
}

/* A padding that GRUB's set does not accept: it reads the mark, but could not consume it. */
static void test_find_with_odd_ends(void **state)
{
        static const struct {
                const char *what;
                const char *end;
                size_t len;
                enum slot_status status;
        } rows[] = {
                { "no padding", LIT(""), SLOT_FOUND },
                { "newline behind the padding", LIT("####\n"), SLOT_FOUND },
                { "NUL padding", LIT("\0\0\0\0"), SLOT_BROKEN },
                { "NUL behind the padding", LIT("####\0"), SLOT_BROKEN },
                { "NUL before the padding", LIT("\0####"), SLOT_BROKEN },
                { "blank behind the padding", LIT("#### "), SLOT_BROKEN },
        };

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++) {
                struct text t;
                size_t at = 0;

                start(&t);
                add_mark(&t, &good);
                add(&t, rows[i].end, rows[i].len);
                struct envblk block = place(&t);
                enum slot_status s = slot_find(&block, &at);
                if (s != rows[i].status)
                        fail_row("row \"%s\": status %d", rows[i].what, s);
        }
}

static void test_find_in_the_smallest_block(void **state)
{
        struct text t;
        size_t at = 0;

        (void)state;
        start(&t);
        pad(&t, 26);
        struct envblk block = place(&t);
        assert_int_equal(slot_find(&block, &at), SLOT_MISSING);
}

/* What SLOT_FOUND is for: GRUB's save_env, which searches in its own way, overwrites exactly those bytes. Rows where
 * its search and its reader differ must not be called found. */
static void test_slot_found_means_that_grub_overwrites_it(void **state)
{
        static const char *const bodies[] = {
                "hib_mark=" M400 "\n",
                "a=1\nhib_mark=" M400 "\nb=2\n",
                "junk\nhib_mark=old\nhib_mark=" M400 "\n",
                "\nhib_mark=old\nhib_mark=" M400 "\n",
                "junk\nhib_mark=" M400 "\nhib_mark=" M400 "\n",
                "hib_mark=" M400 "\njunk\nhib_mark=old\n",
                "hib_mark=" M400 "\nno newline at the end",
                "hib_mark=" M400 "\nb=\\\n",
        };
        static const struct {
                const char *what;
                const char *text;
                size_t len;
        } ends[] = { { "padding", LIT("####") },
                     { "none", LIT("") },
                     { "NUL padding", LIT("\0\0") },
                     { "newline behind the padding", LIT("####\n") },
                     { "NUL behind the padding", LIT("####\0") } };

        (void)state;
        for (size_t i = 0; i < N_OF(bodies); i++)
                for (size_t e = 0; e < N_OF(ends); e++) {
                        struct text t;
                        size_t at = 0;
                        char next[MARK_WIDTH];

                        start(&t);
                        add_row(&t, bodies[i]);
                        add(&t, ends[e].text, ends[e].len);
                        struct envblk block = place(&t);
                        if (slot_find(&block, &at) != SLOT_FOUND)
                                continue;
                        memset(next, '+', MARK_WIDTH);
                        enum envblk_result r = envblk_set(&block, MARK_NAME, next, MARK_WIDTH);
                        memcpy(t.buf + at, next, MARK_WIDTH);
                        if (r != ENVBLK_DONE || !block_is(&block, &t))
                                fail_row("body %zu, end \"%s\": set says %d%s", i, ends[e].what, r,
                                         block_is(&block, &t) ? "" : ", and it changed something else");
                }
}

/* ---- reserve and remove ---- */

static void expect_slot(struct text *t)
{
        start(t);
        add_mark(t, &blank);
}

static const struct {
        const char *what;
        const char *body;
        size_t size;
        enum envblk_result result;
        const char *others; /* what stands behind the slot after ENVBLK_DONE */
} reserve_rows[] = {
        { "empty block", "", 1024, ENVBLK_DONE, "" },
        { "variables keep their order", "b=2\na=1\n", 1024, ENVBLK_DONE, "b=2\na=1\n" },
        { "comments stay", ENVBLK_WARNING "a=1\n# x\n", 1024, ENVBLK_DONE, ENVBLK_WARNING "a=1\n# x\n" },
        { "junk stays", "junk\na=1\n\n", 1024, ENVBLK_DONE, "junk\na=1\n\n" },
        { "escapes stay", "a=\\\n\\\\\n", 1024, ENVBLK_DONE, "a=\\\n\\\\\n" },
        { "a line without an end stays", "a=\\\n", 1024, ENVBLK_DONE, "a=\\\n" },
        { "again", "hib_mark=" M400 "\na=1\n", 1024, ENVBLK_DONE, "a=1\n" },
        { "from elsewhere", "a=1\nhib_mark=" M400 "\nb=2\n", 1024, ENVBLK_DONE, "a=1\nb=2\n" },
        { "of another width", "a=1\nhib_mark=old\nb=2\n", 1024, ENVBLK_DONE, "a=1\nb=2\n" },
        { "twice", "hib_mark=old\na=1\nhib_mark=old\nb=2\n", 1024, ENVBLK_DONE, "a=1\nb=2\n" },
        { "three times in a row", "hib_mark=1\nhib_mark=2\nhib_mark=3\n", 1024, ENVBLK_DONE, "" },
        { "one that straddles", "#\nhib_mark=" M400 "\nhib_mark=" M400 "\n", 1024, ENVBLK_DONE, "#\n" },
        { "a longer name is another's", "hib_mark2=1\n", 1024, ENVBLK_DONE, "hib_mark2=1\n" },
        { "the smallest that holds it", "", ENVBLK_SIGNATURE_LEN + LINE_LEN, ENVBLK_DONE, "" },
        { "one byte less", "", ENVBLK_SIGNATURE_LEN + LINE_LEN - 1, ENVBLK_NO_ROOM, NULL },
        { "512 bytes leave 77", "a=12345678901234567890123456789012345678901234567890123456789012345678901234\n", 512,
          ENVBLK_DONE, "a=12345678901234567890123456789012345678901234567890123456789012345678901234\n" },
        { "but not 78", "a=123456789012345678901234567890123456789012345678901234567890123456789012345\n", 512,
          ENVBLK_NO_ROOM, NULL },
        { "the old one makes room", "hib_mark=" M400 "\na=1\n", ENVBLK_SIGNATURE_LEN + LINE_LEN + 4, ENVBLK_DONE,
          "a=1\n" },
        { "no newline before the padding", "a=1", 1024, ENVBLK_BROKEN, NULL },
        { "no room at all", "a=1\n", ENVBLK_SIGNATURE_LEN + 4, ENVBLK_NO_ROOM, NULL },
        { "smallest block", "", 26, ENVBLK_NO_ROOM, NULL },
};

static void test_reserve(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_OF(reserve_rows); i++) {
                struct text t, want;
                size_t at = 0;

                start(&t);
                add_row(&t, reserve_rows[i].body);
                pad(&t, reserve_rows[i].size);
                struct envblk block = place(&t);
                enum envblk_result r = slot_reserve(&block);
                if (r != reserve_rows[i].result)
                        fail_row("row \"%s\": result %d", reserve_rows[i].what, r);
                if (r != ENVBLK_DONE) {
                        if (!block_is(&block, &t)) /* none of these rows has an older mark */
                                fail_row("row \"%s\": refused, but changed", reserve_rows[i].what);
                        continue;
                }
                expect_slot(&want);
                add_text(&want, reserve_rows[i].others);
                pad(&want, reserve_rows[i].size);
                if (!block_is(&block, &want))
                        fail_row("row \"%s\": got \"%.*s\"", reserve_rows[i].what, (int)block.size, block.buf);
                assert_int_equal(slot_find(&block, &at), SLOT_FOUND);
                assert_int_equal(at, FIRST_AT);

                /* Doing it again changes nothing, and removing leaves the others. */
                assert_int_equal(slot_reserve(&block), ENVBLK_DONE);
                assert_true(block_is(&block, &want));
                assert_int_equal(slot_remove(&block), ENVBLK_DONE);
                start(&want);
                add_text(&want, reserve_rows[i].others);
                pad(&want, reserve_rows[i].size);
                assert_true(block_is(&block, &want));
                assert_int_equal(slot_remove(&block), ENVBLK_NOT_FOUND);
                assert_true(block_is(&block, &want));
        }
}

static void test_reserve_leaves_odd_ends_alone(void **state)
{
        static const struct {
                const char *what;
                const char *end;
                size_t len;
                enum envblk_result result;
        } rows[] = {
                { "NUL padding", LIT("\0\0\0\0"), ENVBLK_BROKEN },
                { "newline behind the padding", LIT("\n"), ENVBLK_NO_ROOM },
                { "NUL behind the padding", LIT("\0"), ENVBLK_BROKEN },
        };

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++) {
                struct text t;

                start(&t);
                add_text(&t, "a=1\n");
                pad(&t, 1024);
                add(&t, rows[i].end, rows[i].len);
                struct envblk block = place(&t);
                enum envblk_result r = slot_reserve(&block);
                if (r != rows[i].result || !block_is(&block, &t))
                        fail_row("row \"%s\": result %d", rows[i].what, r);
        }
}

/* The slot is where no change of another variable can shift it. */
static void test_others_never_move_the_slot(void **state)
{
        static const char *const names[] = { "a", "next_entry", "saved_entry", "hib" };
        struct prng r = { 4 };
        struct text t;

        (void)state;
        start(&t);
        add_text(&t, ENVBLK_WARNING);
        pad(&t, 1024);
        struct envblk block = place(&t);
        assert_int_equal(slot_reserve(&block), ENVBLK_DONE);
        for (int i = 0; i < 5000; i++) {
                const char *name = names[prng_below(&r, N_OF(names))];
                char value[100], slot[MARK_WIDTH];
                size_t len = prng_below(&r, sizeof(value)), at = 0;

                memset(value, 'v', sizeof(value));
                memcpy(slot, block.buf + FIRST_AT, MARK_WIDTH);
                if (prng_below(&r, 4) == 0)
                        envblk_unset(&block, name);
                else
                        envblk_set(&block, name, value, len);
                assert_int_equal(slot_find(&block, &at), SLOT_FOUND);
                assert_int_equal(at, FIRST_AT);
                assert_memory_equal(block.buf + at, slot, MARK_WIDTH);
        }
}

/* ---- many blocks ---- */

/* Lines of a well-formed block; some are old marks. */
static void random_lines(struct prng *r, struct text *all, struct text *others, bool marks)
{
        static const char *const plain[] = { "a=1\n",
                                             "# note\n",
                                             "#\n",
                                             "empty=\n",
                                             "saved_entry=Debian GNU/Linux\n",
                                             "e=\\\\ \\\n \\x\n",
                                             "hib_mark2=x\n",
                                             "ahib_mark=x\n",
                                             "a=2\n",
                                             "#hib_mark=x\n",
                                             "=nameless\n",
                                             "# esc\\\\\n" };
        static const char *const old[] = { "hib_mark=\n", "hib_mark=old\n", "hib_mark=\\\n\n", "hib_mark=" M400 "\n",
                                           "hib_mark=hib_mark=\n" };
        size_t n = prng_below(r, 12);

        start(all);
        start(others);
        while (n--) {
                bool mark = marks && prng_below(r, 3) == 0;
                const char *line = mark ? old[prng_below(r, N_OF(old))] : plain[prng_below(r, N_OF(plain))];

                add_row(all, line);
                if (!mark)
                        add_row(others, line);
        }
}

static void test_reserve_and_remove_on_many_blocks(void **state)
{
        struct prng r = { 5 };
        int done = 0, refused = 0;

        (void)state;
        for (int round = 0; round < 30000; round++) {
                struct text all, others, want;
                bool marks = prng_below(&r, 2);
                size_t at = 0, size;

                random_lines(&r, &all, &others, marks);
                size = all.len + prng_below(&r, 600);
                if (size < 26)
                        size = 26;
                pad(&all, size);
                struct envblk block = place(&all);
                bool fits = others.len + LINE_LEN <= size;
                enum envblk_result result = slot_reserve(&block);
                if (result != (fits ? ENVBLK_DONE : ENVBLK_NO_ROOM))
                        fail_row("round %d: result %d", round, result);
                if (fits) {
                        done++;
                        expect_slot(&want);
                        add(&want, others.buf + ENVBLK_SIGNATURE_LEN, others.len - ENVBLK_SIGNATURE_LEN);
                        pad(&want, size);
                        assert_true(block_is(&block, &want));
                        assert_int_equal(slot_find(&block, &at), SLOT_FOUND);
                        assert_int_equal(at, FIRST_AT);
                        assert_int_equal(slot_remove(&block), ENVBLK_DONE);
                        pad(&others, size);
                        assert_true(block_is(&block, &others));
                        if (!marks)
                                assert_true(block_is(&block, &all)); /* reserve and remove undo each other */
                } else {
                        refused++;
                        if (!marks)
                                assert_true(block_is(&block, &all));
                }
        }
        assert_true(done > 3000 && refused > 3000);
}

/* Arming, taking and cancelling in the slot leave every other byte, and the cancelled block is the reserved one. */
static void test_arm_take_cancel(void **state)
{
        struct text t, reserved;
        size_t at = 0;
        struct mark m;

        (void)state;
        start(&t);
        add_text(&t, ENVBLK_WARNING "saved_entry=1\nnext_entry=\n");
        pad(&t, 1024);
        struct envblk block = place(&t);
        assert_int_equal(slot_reserve(&block), ENVBLK_DONE);
        reserved.len = block.size;
        memcpy(reserved.buf, block.buf, block.size);

        assert_int_equal(slot_find(&block, &at), SLOT_FOUND);
        assert_int_equal(mark_parse(block.buf + at, MARK_WIDTH, &m, NULL), MARK_OK);
        assert_true(m.state == MARK_NONE && m.empty);
        char text[MARK_WIDTH];
        ref_write(&good, text);
        assert_int_equal(mark_parse(text, MARK_WIDTH, &m, NULL), MARK_OK);
        assert_int_equal(mark_format(&m, block.buf + at, NULL), MARK_OK);
        assert_int_equal(slot_find(&block, &at), SLOT_FOUND);
        assert_memory_equal(block.buf, reserved.buf, at);
        assert_memory_equal(block.buf + at + MARK_WIDTH, reserved.buf + at + MARK_WIDTH, 1024 - at - MARK_WIDTH);

        /* As GRUB does it: by the set of the whole value. */
        memcpy(text, block.buf + at, MARK_WIDTH);
        mark_set_state(text, MARK_TAKEN);
        assert_int_equal(envblk_set(&block, MARK_NAME, text, MARK_WIDTH), ENVBLK_DONE);
        assert_int_equal(mark_parse(block.buf + at, MARK_WIDTH, &m, NULL), MARK_OK);
        assert_int_equal(m.state, MARK_TAKEN);
        mark_format_empty(block.buf + at);
        assert_true(block_is(&block, &reserved));
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_found_right_behind_the_signature),
                cmocka_unit_test(test_every_place),
                cmocka_unit_test(test_every_width),
                cmocka_unit_test(test_find),
                cmocka_unit_test(test_find_with_nul_in_a_name),
                cmocka_unit_test(test_find_with_odd_ends),
                cmocka_unit_test(test_find_in_the_smallest_block),
                cmocka_unit_test(test_slot_found_means_that_grub_overwrites_it),
                cmocka_unit_test(test_reserve),
                cmocka_unit_test(test_reserve_leaves_odd_ends_alone),
                cmocka_unit_test(test_others_never_move_the_slot),
                cmocka_unit_test(test_reserve_and_remove_on_many_blocks),
                cmocka_unit_test(test_arm_take_cancel),
        };

        guard_init(&guard, 8192);
        return cmocka_run_group_tests_name("slot", tests, NULL, NULL);
}
