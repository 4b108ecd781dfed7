/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * mark/envblk.c beside GRUB's own grub-core/lib/envblk.c, in one program, on the same blocks: every byte of the block
 * and every result must be the same after each operation. Built and started by test-diff-envblk.sh.
 *
 * Usage: diff-envblk COUNT [SEED]      COUNT random cases, after the hand-picked and the exhaustive ones
 *        diff-envblk --create SIZE     a new block to standard output
 *
 * Both work on memory that ends, or starts, at a page that cannot be touched, so that an access outside stops the
 * program and names the case.
 *
 * What is left out, and why:
 * - Blocks that GRUB's open refuses (less than 26 bytes, another signature). Open is compared on them; GRUB never gets
 *   to the other operations, and its search for the padding would run off the front of a block without a newline.
 * - NUL bytes in a name or value that is to be set: GRUB's functions take C strings. NUL bytes in the block are in.
 *   Names and values that GRUB hands out are C strings too, so they are compared up to the first NUL.
 * - Blocks, names and values of 2 GiB and more: GRUB counts in int.
 * Nothing else had to be left out. On every block that its open accepts, however broken, GRUB's code stays inside
 * [0, size): its pointers pass the end by up to two when a backslash comes last, but are compared before they are used.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <config.h>
#include <grub/types.h>
#include <grub/lib/envblk.h>

#include "mark/envblk.h"
#include "mark/mark.h"

#include "guard.h"
#include "prng.h"

#define MAX_SIZE 4096
#define MAX_TEXT 2048
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

enum op { OP_OPEN, OP_ITERATE, OP_SET, OP_UNSET, OP_SLOT };

static const char *const op_names[] = { "open", "iterate", "set", "unset", "slot" };

/* The case at hand, for the message when something differs or a signal comes. */
static struct {
        unsigned long number;
        const char *origin;
        enum op op;
        const char *running; /* "GRUB" or "mark" */
        char before[MAX_SIZE];
        size_t size;
        const char *name, *value;
} now;

static struct guard theirs, ours;
static unsigned long cases, changed, listed, slots;

/* ---- messages ---- */

static void put_bytes(const char *what, const char *p, size_t n)
{
        fprintf(stderr, "%s (%zu bytes): \"", what, n);
        for (size_t i = 0; i < n; i++) {
                size_t run = 1;

                while (i + run < n && p[i + run] == p[i])
                        run++;
                if (run > 16) {
                        fprintf(stderr, "\" %zu * '%c' \"", run, p[i] >= ' ' && p[i] <= '~' ? p[i] : '?');
                        i += run - 1;
                } else if (p[i] == '\n')
                        fputs("\\n", stderr);
                else if (p[i] == '\\' || p[i] == '"')
                        fprintf(stderr, "\\%c", p[i]);
                else if (p[i] >= ' ' && p[i] <= '~')
                        fputc(p[i], stderr);
                else
                        fprintf(stderr, "\\%03o", (unsigned char)p[i]);
        }
        fputs("\"\n", stderr);
}

static void put_case(void)
{
        fprintf(stderr, "case %lu (%s), operation %s\n", now.number, now.origin, op_names[now.op]);
        put_bytes("block before", now.before, now.size);
        if (now.name)
                put_bytes("name", now.name, strlen(now.name));
        if (now.value)
                put_bytes("value", now.value, strlen(now.value));
}

static void differ(const char *what)
{
        fprintf(stderr, "DIFFERENT: %s\n", what);
        put_case();
        put_bytes("GRUB's block", theirs.buf, theirs.size);
        put_bytes("our block", ours.buf, ours.size);
        exit(1);
}

static void on_signal(int number)
{
        fprintf(stderr, "SIGNAL %d in %s\n", number, now.running);
        put_case();
        _exit(1);
}

/* ---- both sides ---- */

struct listing {
        char text[4 * MAX_SIZE]; /* name NUL value NUL, and so on */
        size_t len, count;
};

static void list(struct listing *l, const char *name, size_t name_len, const char *value, size_t value_len)
{
        memcpy(l->text + l->len, name, name_len);
        l->len += name_len;
        l->text[l->len++] = '\0';
        memcpy(l->text + l->len, value, value_len);
        l->len += value_len;
        l->text[l->len++] = '\0';
        l->count++;
}

static int grub_hook(const char *name, const char *value, void *data)
{
        list(data, name, strlen(name), value, strlen(value));
        return 0;
}

static void list_ours(const struct envblk *block, struct listing *l)
{
        struct envblk_var var;
        size_t cursor = 0;

        while (envblk_next(block, &cursor, &var)) {
                char value[MAX_SIZE], name[MAX_SIZE + 1];
                size_t len = envblk_unescape(&var, value, sizeof(value));

                if (len > var.value_len)
                        differ("the value without escapes is longer than with them");
                memcpy(name, var.name, var.name_len);
                name[var.name_len] = '\0';
                if (!envblk_var_is(&var, name))
                        differ("a variable is not of its own name");
                list(l, var.name, strnlen(var.name, var.name_len), value, strnlen(value, len));
        }
}

/* Both get their own copy of the case's block. */
static void place(bool at_end)
{
        guard_place(&theirs, now.before, now.size, at_end);
        guard_place(&ours, now.before, now.size, at_end);
}

static void compare_blocks(void)
{
        if (memcmp(theirs.buf, ours.buf, now.size) != 0)
                differ("the blocks");
        if (!guard_intact(&theirs))
                differ("GRUB wrote beside its block");
        if (!guard_intact(&ours))
                differ("mark wrote beside its block");
        if (memcmp(ours.buf, now.before, now.size) != 0)
                changed++;
}

static void compare_iteration(struct grub_envblk *g, struct envblk *o)
{
        static struct listing a, b;

        a.len = b.len = a.count = b.count = 0;
        now.running = "GRUB";
        grub_envblk_iterate(g, &a, grub_hook);
        now.running = "mark";
        list_ours(o, &b);
        if (a.len != b.len || a.count != b.count || memcmp(a.text, b.text, a.len) != 0) {
                put_bytes("GRUB lists", a.text, a.len);
                put_bytes("mark lists", b.text, b.len);
                differ("the variables");
        }
        listed += a.count;
}

static void compare_set(struct grub_envblk *g, struct envblk *o)
{
        now.running = "GRUB";
        int done = grub_envblk_set(g, now.name, now.value);
        now.running = "mark";
        enum envblk_result r = envblk_set(o, now.name, now.value, strlen(now.value));

        if (done != (r == ENVBLK_DONE) || r == ENVBLK_NOT_FOUND)
                differ("the result of set");
        if (r != ENVBLK_DONE && memcmp(ours.buf, now.before, now.size) != 0)
                differ("set failed, but changed the block");
}

static void compare_unset(struct grub_envblk *g, struct envblk *o)
{
        now.running = "GRUB";
        grub_envblk_delete(g, now.name);
        now.running = "mark";
        enum envblk_result r = envblk_unset(o, now.name);

        if (r != ENVBLK_DONE && r != ENVBLK_NOT_FOUND)
                differ("unset has an unknown result");
        if (r != ENVBLK_DONE && memcmp(ours.buf, now.before, now.size) != 0)
                differ("unset failed, but changed the block");
}

/* What slot_find promises about GRUB: where it says found, GRUB's set with another state changes those bytes and no
 * others, and what load_env then keeps is the new value. What slot_reserve promises: GRUB reads the empty mark. */
struct last_mark {
        char value[MAX_SIZE];
        size_t count;
};

static int last_mark_hook(const char *name, const char *value, void *data)
{
        struct last_mark *l = data;

        if (strcmp(name, MARK_NAME) == 0) {
                strcpy(l->value, value);
                l->count++;
        }
        return 0;
}

static void compare_slot(struct grub_envblk *g, struct envblk *o)
{
        static struct last_mark last;
        char value[MARK_WIDTH + 1];
        size_t at = 0;

        now.running = "mark";
        if (slot_find(o, &at) == SLOT_FOUND) {
                slots++;
                memset(value, 't', MARK_WIDTH);
                value[MARK_WIDTH] = '\0';
                now.running = "GRUB";
                if (!grub_envblk_set(g, MARK_NAME, value))
                        differ("a slot was found that GRUB's set refuses");
                memcpy(ours.buf + at, value, MARK_WIDTH);
                if (memcmp(theirs.buf, ours.buf, now.size) != 0)
                        differ("GRUB's set in a found slot changes something else");
                last.count = 0;
                grub_envblk_iterate(g, &last, last_mark_hook);
                if (last.count != 1 || strcmp(last.value, value) != 0)
                        differ("GRUB does not read back what it set in a found slot");
        }

        memcpy(ours.buf, now.before, now.size);
        memcpy(theirs.buf, now.before, now.size);
        now.running = "mark";
        if (slot_remove(o) != ENVBLK_NOT_FOUND) {
                static char previous[MAX_SIZE];

                /* as often as GRUB itself would have to be told */
                now.running = "GRUB";
                do {
                        memcpy(previous, theirs.buf, now.size);
                        grub_envblk_delete(g, MARK_NAME);
                } while (memcmp(previous, theirs.buf, now.size) != 0);
                if (memcmp(theirs.buf, ours.buf, now.size) != 0)
                        differ("slot_remove is not GRUB's unset, repeated");
        } else if (memcmp(ours.buf, now.before, now.size) != 0)
                differ("slot_remove found nothing, but changed the block");

        memcpy(ours.buf, now.before, now.size);
        now.running = "mark";
        if (slot_reserve(o) == ENVBLK_DONE) {
                memcpy(theirs.buf, ours.buf, now.size);
                last.count = 0;
                now.running = "GRUB";
                grub_envblk_iterate(g, &last, last_mark_hook);
                mark_format_empty(value);
                now.running = "mark";
                /* A name like "hib_mark\0x" is "hib_mark" for GRUB's reader, but no unset can remove it. */
                if (slot_find(o, &at) != (last.count > 1 ? SLOT_DUPLICATE : SLOT_FOUND))
                        differ("the reserved slot is not found, or is not the only one");
                if (last.count == 1 && (strlen(last.value) != MARK_WIDTH || memcmp(last.value, value, MARK_WIDTH) != 0))
                        differ("GRUB does not read the reserved slot as the empty mark");
                if (last.count == 1 && at / 512 != (at + MARK_WIDTH - 1) / 512)
                        differ("the reserved slot is in two sectors");
        }
        memcpy(theirs.buf, ours.buf, now.size);
}

/* Runs one operation on the case's block; leaves the result in "ours", and in now.before if FOLLOW. */
static void run(enum op op, const char *name, const char *value, bool follow)
{
        struct envblk o;
        grub_envblk_t g;
        bool opened;

        now.op = op;
        now.name = name;
        now.value = value;
        now.number = ++cases;
        place(now.number & 1);
        now.running = "GRUB";
        g = grub_envblk_open(theirs.buf, theirs.size);
        now.running = "mark";
        opened = envblk_open(&o, ours.buf, ours.size);
        if (opened != (g != NULL))
                differ("the result of open");
        if (!opened)
                return;
        switch (op) {
        case OP_OPEN:
                break;
        case OP_ITERATE:
                compare_iteration(g, &o);
                break;
        case OP_SET:
                compare_set(g, &o);
                break;
        case OP_UNSET:
                compare_unset(g, &o);
                break;
        case OP_SLOT:
                compare_slot(g, &o);
                break;
        }
        compare_blocks();
        if (o.buf != ours.buf || o.size != now.size || g->size != now.size)
                differ("the size");
        free(g); /* not grub_envblk_close: the block is not from malloc */
        if (follow)
                memcpy(now.before, ours.buf, now.size);
}

/* ---- blocks ---- */

static void begin(const char *origin)
{
        now.origin = origin;
        now.size = ENVBLK_SIGNATURE_LEN;
        memcpy(now.before, ENVBLK_SIGNATURE, ENVBLK_SIGNATURE_LEN);
}

static void add(const char *p, size_t n)
{
        if (n > MAX_SIZE - now.size)
                n = MAX_SIZE - now.size;
        memcpy(now.before + now.size, p, n);
        now.size += n;
}

static void add_text(const char *p)
{
        add(p, strlen(p));
}

static void pad(size_t size)
{
        while (now.size < size && now.size < MAX_SIZE)
                add("#", 1);
}

static const struct {
        const char *text;
        size_t len;
} picked[] = {
#define PICK(text)                                                                                                     \
        {                                                                                                              \
                text, sizeof(text) - 1                                                                                 \
        }
        PICK("#"),
        PICK("\n"),
        PICK("\\"),
        PICK("="),
        PICK("a=1\n"),
        PICK("a=1\nb=2\nab=3\n"),
        PICK("a=1\na=2\n"),
        PICK("junk\na=1\nb=2\n"),
        PICK("\na=1\n"),
        PICK("\n\n\n"),
        PICK("#a=1\na=2\n"),
        PICK("# c\\\na=1\nb=2\n"),
        PICK("# c\\\\\na=1\nb=2\n"),
        PICK("a=x\\\ny\\\\z\nb=2\n"),
        PICK("a=\\"),
        PICK("a=\\\n"),
        PICK("a=\\\\\n"),
        PICK("a\\=1\nb=2\n"),
        PICK("a\\\n=1\nb=2\n"),
        PICK("=\n=x\n"),
        PICK("a==b=c\n"),
        PICK("a=1"),
        PICK("a="),
        PICK("a"),
        PICK("a=1\nb"),
        PICK("a=1\nb\\"),
        PICK("#\\"),
        PICK("a=1\n\0\0\0\0"),
        PICK("a\0b=1\0 2\nc=3\n"),
        PICK("a=1\n####\n"),
        PICK("a=1\n####\nb=2\n"),
        PICK("a=1\n####b=2\nc=3\n"),
        PICK("a=1\r\nb=2\r\n"),
        PICK("\xff\xfe=\x80\n"),
        PICK("hib_mark=\nhib_mark=x\n"),
        PICK("junk\nhib_mark=x\nhib_mark=y\n"),
        PICK("hib_mark\0a=x\n"),
#undef PICK
};

static const char *const names[] = {
        "a",       "b",   "ab",  "",   "#a",       "=",
        "a=",      "a=b", "a\\", "\\", "\n",       "\na",
        "junk\na", "#",   "##",  "c",  "hib_mark", "a_name_that_is_longer_than_most_of_the_blocks_tried_here"
};
static const char *const values[] = { "",
                                      "1",
                                      "12",
                                      "\n",
                                      "\\",
                                      "\\\\\n\n",
                                      "#",
                                      "##",
                                      "=",
                                      "a=1\nb=2",
                                      "a value of some length, to be too long for some blocks" };

static void every_operation(void)
{
        run(OP_OPEN, NULL, NULL, false);
        run(OP_ITERATE, NULL, NULL, false);
        run(OP_SLOT, NULL, NULL, false);
        for (size_t n = 0; n < N_OF(names); n++) {
                run(OP_UNSET, names[n], NULL, false);
                for (size_t v = 0; v < N_OF(values); v++)
                        run(OP_SET, names[n], values[v], false);
        }
}

static void hand_picked(void)
{
        for (size_t i = 0; i < N_OF(picked); i++)
                for (size_t padding = 0; padding < 3; padding++) {
                        static const size_t much[] = { 0, 9, 400 };

                        begin("hand-picked");
                        add(picked[i].text, picked[i].len);
                        pad(now.size + much[padding]);
                        every_operation();
                        begin("hand-picked, with the slot");
                        add(picked[i].text, picked[i].len);
                        add_text("hib_mark=");
                        for (int k = 0; k < MARK_WIDTH; k++)
                                add("x", 1);
                        add_text("\n");
                        pad(now.size + much[padding]);
                        run(OP_SLOT, NULL, NULL, false);
                        run(OP_ITERATE, NULL, NULL, false);
                }
}

/* Open, on every size up to 30 and with every byte of the signature changed. */
static void refused_blocks(void)
{
        for (size_t size = 0; size <= 30; size++)
                for (size_t i = 0; i <= ENVBLK_SIGNATURE_LEN; i++) {
                        begin("refused");
                        pad(30);
                        now.size = size;
                        if (i > 0)
                                now.before[i - 1] ^= 1;
                        run(OP_OPEN, NULL, NULL, false);
                }
}

/* Every block of up to MAX bytes behind the signature over the bytes that mean something. */
static void exhaustive(size_t max)
{
        static const char bytes[] = { 'a', '=', '\n', '\\', '#' };

        for (size_t len = 1; len <= max; len++) {
                size_t total = 1;

                for (size_t i = 0; i < len; i++)
                        total *= N_OF(bytes);
                for (size_t code = 0; code < total; code++) {
                        begin("exhaustive");
                        for (size_t i = 0, c = code; i < len; i++, c /= N_OF(bytes))
                                add(&bytes[c % N_OF(bytes)], 1);
                        run(OP_ITERATE, NULL, NULL, false);
                        run(OP_UNSET, "a", NULL, false);
                        run(OP_UNSET, "", NULL, false);
                        run(OP_SET, "a", "", false);
                        run(OP_SET, "a", "a", false);
                        run(OP_SET, "", "", false);
                        run(OP_SET, "#", "\n", false);
                }
        }
}

/* ---- random blocks ---- */

static void random_line(struct prng *r)
{
        static const char bytes[] = "ab=#\\\nx \0\xff";

        switch (prng_below(r, 12)) {
        case 0:
                add_text("# comment\n");
                break;
        case 1:
                add_text("hib_mark=");
                for (size_t n = prng_below(r, 4) ? MARK_WIDTH : prng_below(r, 500); n > 0; n--)
                        add("-", 1);
                add_text("\n");
                break;
        case 2: /* anything */
                for (size_t n = prng_below(r, 20); n > 0; n--)
                        add(&bytes[prng_below(r, sizeof(bytes) - 1)], 1);
                break;
        case 3:
                add_text(prng_below(r, 2) ? "junk\n" : "\n");
                break;
        default:
                add_text(names[prng_below(r, N_OF(names))]);
                add_text("=");
                for (size_t n = prng_below(r, 8) ? prng_below(r, 12) : prng_below(r, 300); n > 0; n--) {
                        char c = bytes[prng_below(r, sizeof(bytes) - 1)];

                        if (c == '\\' || c == '\n')
                                add_text("\\");
                        add(&c, 1);
                }
                add_text("\n");
        }
}

static void random_lines(struct prng *r)
{
        static const size_t sizes[] = { 512, 1024, 1025, 2048 };

        begin("random lines");
        if (prng_below(r, 4) == 0)
                add_text(ENVBLK_WARNING);
        for (size_t n = prng_below(r, 10); n > 0; n--)
                random_line(r);
        if (prng_below(r, 2))
                pad(now.size + prng_below(r, 40));
        else
                pad(sizes[prng_below(r, N_OF(sizes))]);
        if (now.size < 26)
                pad(26);
}

static void random_soup(struct prng *r)
{
        static const char bytes[] = "a=\n\\#b\0";

        begin("random bytes");
        for (size_t n = 1 + prng_below(r, prng_below(r, 4) ? 16 : 200); n > 0; n--)
                add(&bytes[prng_below(r, prng_below(r, 3) ? 5 : 7)], 1);
}

/* Changes bytes, cuts out or doubles a range, cuts the end off; the signature stays. */
static void mutate(struct prng *r)
{
        static const char bytes[] = "\n\\=#a\0\xff";
        size_t from = ENVBLK_SIGNATURE_LEN;

        now.origin = "mutated";
        for (size_t n = 1 + prng_below(r, 4); n > 0 && now.size > from + 1; n--) {
                size_t at = from + prng_below(r, now.size - from), len = 1 + prng_below(r, 20);

                if (len > now.size - at)
                        len = now.size - at;
                switch (prng_below(r, 5)) {
                case 0:
                        now.before[at] = (char)prng_next(r);
                        break;
                case 1:
                case 2:
                        now.before[at] = bytes[prng_below(r, sizeof(bytes) - 1)];
                        break;
                case 3:
                        if (now.size - len <= from)
                                break;
                        memmove(now.before + at, now.before + at + len, now.size - at - len);
                        now.size -= len;
                        break;
                default:
                        if (now.size + len > MAX_SIZE)
                                break;
                        memmove(now.before + at + len, now.before + at, now.size - at);
                        now.size += len;
                }
        }
}

/* A name that is in the block, as set or as the reader understands it, or any other. */
static const char *random_name(struct prng *r)
{
        static char name[MAX_TEXT];
        size_t at, len = 0;

        if (prng_below(r, 3) == 0)
                return names[prng_below(r, N_OF(names))];
        at = ENVBLK_SIGNATURE_LEN + prng_below(r, now.size - ENVBLK_SIGNATURE_LEN);
        while (at > ENVBLK_SIGNATURE_LEN && now.before[at - 1] != '\n')
                at--;
        while (at < now.size && len < 64 && now.before[at] != '=' && now.before[at] != '\0')
                name[len++] = now.before[at++];
        name[len] = '\0';
        return name;
}

/* A value whose length is often near to what just fits. */
static const char *random_value(struct prng *r, const char *name)
{
        static const char bytes[] = "xy\\\n#=";
        static char value[MAX_TEXT];
        size_t space = now.size, len;

        while (now.before[space - 1] == '#')
                space--;
        switch (prng_below(r, 3)) {
        case 0:
                len = prng_below(r, 10);
                break;
        case 1:
                len = prng_below(r, 600);
                break;
        default:
                len = now.size - space + prng_below(r, 5);
                len -= len < strlen(name) + 4 ? len : strlen(name) + 4;
        }
        if (len >= sizeof(value))
                len = sizeof(value) - 1;
        for (size_t i = 0; i < len; i++)
                value[i] = prng_below(r, 8) ? 'v' : bytes[prng_below(r, sizeof(bytes) - 1)];
        value[len] = '\0';
        return value;
}

static void random_cases(unsigned long count, uint64_t seed)
{
        struct prng r = { seed };
        unsigned long end = cases + count;

        while (cases < end) {
                if (prng_below(&r, 3))
                        random_lines(&r);
                else
                        random_soup(&r);
                if (prng_below(&r, 2))
                        mutate(&r);
                run(OP_ITERATE, NULL, NULL, false);
                for (size_t n = 1 + prng_below(&r, 5); n > 0; n--) {
                        const char *name = random_name(&r);

                        switch (prng_below(&r, 5)) {
                        case 0:
                                run(OP_UNSET, name, NULL, true);
                                break;
                        case 1:
                                run(OP_SLOT, NULL, NULL, false);
                                break;
                        case 2:
                                run(OP_ITERATE, NULL, NULL, false);
                                break;
                        default:
                                run(OP_SET, name, random_value(&r, name), true);
                        }
                }
                run(OP_ITERATE, NULL, NULL, false);
        }
}

static int create(size_t size)
{
        char buf[MAX_SIZE];

        if (size < ENVBLK_SIGNATURE_LEN + ENVBLK_WARNING_LEN || size > sizeof(buf))
                return 64;
        envblk_create(buf, size);
        return fwrite(buf, 1, size, stdout) == size && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
        struct timespec start, end;
        unsigned long count;

        if (argc == 3 && strcmp(argv[1], "--create") == 0)
                return create(strtoul(argv[2], NULL, 10));
        if (argc < 2 || argc > 3) {
                fprintf(stderr, "usage: diff-envblk COUNT [SEED]\n");
                return 64;
        }
        count = strtoul(argv[1], NULL, 10);
        guard_init(&theirs, MAX_SIZE);
        guard_init(&ours, MAX_SIZE);
        signal(SIGSEGV, on_signal);
        signal(SIGBUS, on_signal);
        signal(SIGABRT, on_signal);
        clock_gettime(CLOCK_MONOTONIC, &start);
        refused_blocks();
        hand_picked();
        exhaustive(count >= 1000000 ? 8 : 5);
        random_cases(count, argc == 3 ? strtoull(argv[2], NULL, 0) : 1);
        clock_gettime(CLOCK_MONOTONIC, &end);

        double seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
        printf("the same as GRUB: %lu cases, %lu changed the block, %lu variables read, %lu slots found, %.1f s\n",
               cases, changed, listed, slots, seconds);
        /* Cases in which nothing happens would prove nothing. */
        return changed > cases / 20 && listed > cases / 20 && slots > 10 ? 0 : 1;
}
