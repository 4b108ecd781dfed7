/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A plan behind an initramfs: read back as the kernel reads it (init/initramfs.c), and by cpio where there is one.
 */
#include "testing.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hibctl/initramfs.h"
#include "hibctl/plan.h"

static const char old_image[] = "\x1f\x8b\x08 not really compressed, but somebody's";

static char *plan_of(size_t n)
{
        char *text = malloc(n + 1);

        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
                text[i] = (char)('!' + i % 90);
        text[n] = '\0';
        return text;
}

/* ---- as the kernel reads it ---- */

static size_t number(const char *header, int i)
{
        char digits[9] = "";

        memcpy(digits, header + 6 + 8 * i, 8);
        assert_int_equal(strspn(digits, "0123456789abcdefABCDEF"), 8);
        return strtoul(digits, NULL, 16);
}

/* Unpacks the archive at AT; it must be whole, end with its trailer and have nothing but zeros behind it. What it does
 * is of three entries: two folders and the plan. */
static void assert_archive(const char *data, size_t size, size_t at, const char *text)
{
        static const struct {
                const char *name;
                size_t mode;
        } expected[] = {
                { "etc", S_IFDIR | 0755 },
                { "etc/hibctl", S_IFDIR | 0755 },
                { "etc/hibctl/plan", S_IFREG | 0600 },
                { "TRAILER!!!", 0 },
        };

        assert_int_equal(at % 4, 0); /* or the kernel does not see it */
        for (size_t i = 0; i < N_OF(expected); i++) {
                assert_true(at + 110 <= size);
                assert_memory_equal(data + at, "070701", 6);
                size_t mode = number(data + at, 1), length = number(data + at, 6), name_size = number(data + at, 11);
                assert_int_equal(number(data + at, 2), 0); /* root's */
                assert_int_equal(number(data + at, 3), 0);
                assert_int_equal(name_size, strlen(expected[i].name) + 1);
                assert_true(at + 110 + name_size <= size);
                assert_string_equal(data + at + 110, expected[i].name);
                assert_int_equal(mode, expected[i].mode);
                at = (at + 110 + name_size + 3) / 4 * 4;
                assert_true(at + length <= size);
                if (mode == (S_IFREG | 0600)) {
                        assert_int_equal(length, strlen(text));
                        assert_memory_equal(data + at, text, length);
                } else
                        assert_int_equal(length, 0);
                at = (at + length + 3) / 4 * 4;
        }
        for (; at < size; at++)
                assert_int_equal(data[at], 0);
}

/* With the plan put behind DATA: what was there is there, then zeros, then our archive. Returns the whole. */
static char *assert_put(const char *data, size_t size, const char *text, size_t *new_size)
{
        char *out = initramfs_with_plan(data, size, text, new_size);
        size_t at = (size + 3) / 4 * 4;

        assert_true(*new_size > size);
        assert_memory_equal(out, data, size);
        for (size_t i = size; i < at; i++)
                assert_int_equal(out[i], 0);
        assert_archive(out, *new_size, at, text);
        return out;
}

/* ---- tests ---- */

static void test_sizes_of_plans(void **state)
{
        static const size_t sizes[] = { 0, 1, 2, 3, 4, 5, 100, 511, 512, 513, 4096, PLAN_SIZE_MAX - 1, PLAN_SIZE_MAX };

        (void)state;
        for (size_t i = 0; i < N_OF(sizes); i++) {
                char *text = plan_of(sizes[i]), *out, *again;
                size_t size, same;
                out = assert_put(old_image, sizeof(old_image), text, &size);
                again = initramfs_with_plan(out, size, text, &same);
                if (same != size || memcmp(again, out, size) != 0)
                        fail_row("a plan of %zu bytes: put a second time, it is not the same", sizes[i]);
                free(again);
                free(out);
                free(text);
        }
}

/* Every way in which data may end beside a boundary of 4. */
static void test_behind_unaligned_data(void **state)
{
        char *data = plan_of(64), *text = plan_of(100);

        (void)state;
        for (size_t n = 1; n <= 64; n++) {
                size_t size;
                free(assert_put(data, n, text, &size));
        }
        free(data);
        free(text);
}

/* However often, and with whichever sizes, one plan is there: the last. */
static void test_a_plan_replaces_the_one_before(void **state)
{
        static const size_t sizes[] = { 700, 5, 0, PLAN_SIZE_MAX, 512, 700 };
        size_t now = sizeof(old_image);
        char *image = malloc(now);

        (void)state;
        memcpy(image, old_image, now);
        for (size_t i = 0; i < N_OF(sizes); i++) {
                char *text = plan_of(sizes[i]), *direct, *next;
                size_t next_size, direct_size;
                next = initramfs_with_plan(image, now, text, &next_size);
                direct = initramfs_with_plan(old_image, sizeof(old_image), text, &direct_size);
                /* The zeros before it stay, so the place is the same. */
                if (next_size != direct_size || memcmp(next, direct, next_size) != 0)
                        fail_row("step %zu: not as if it were the first", i);
                free(direct);
                free(image);
                free(text);
                image = next;
                now = next_size;
        }
        free(image);
}

/* An archive that is ours but for one byte is somebody's: it stays. */
static void test_other_archives_stay(void **state)
{
        char *text = plan_of(30), *out, *longer;
        size_t size, at = (sizeof(old_image) + 3) / 4 * 4, n;

        (void)state;
        out = assert_put(old_image, sizeof(old_image), text, &size);
        for (size_t i = at; i < size; i++) {
                size_t data_at = at + 116 + 124 + 128; /* of the plan: any bytes are a plan */
                if (i >= data_at && i < data_at + 30)
                        continue;
                char old = out[i];
                out[i] = old == '7' ? '6' : '7';
                longer = initramfs_with_plan(out, size, text, &n);
                if (n <= size || memcmp(longer, out, size) != 0)
                        fail_row("byte %zu of the archive changed: taken for ours", i - at);
                free(longer);
                out[i] = old;
        }
        /* Behind ours, there is another. */
        longer = malloc(size + 512);
        memcpy(longer, out, size);
        memset(longer + size, 'x', 512);
        free(assert_put(longer, size + 512, text, &n));
        free(longer);
        free(out);
        free(text);
}

static void test_nothing_but_a_plan(void **state)
{
        char *text = plan_of(9), *out, *again;
        size_t size, n;

        (void)state;
        out = assert_put("", 0, text, &size);
        again = initramfs_with_plan(out, size, text, &n);
        assert_int_equal(n, size);
        free(again);
        free(out);
        free(text);
}

/* ---- a file ---- */

static void put_file(const char *path, const char *data, size_t size)
{
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        assert_int_equal(fwrite(data, 1, size, f), size);
        assert_int_equal(fclose(f), 0);
}

static char folder[] = "/tmp/test-initramfs-XXXXXX";

static void test_cpio_reads_it(void **state)
{
        char command[512];
        char *text = plan_of(1000), *out, read_back[1001] = "";
        size_t size;
        FILE *f;

        (void)state;
        if (system("cpio --version >/dev/null 2>&1") != 0) {
                free(text);
                skip();
        }
        assert_int_equal(chdir(folder), 0);
        out = assert_put("", 0, text, &size);
        put_file("archive", out, size);
        snprintf(command, sizeof(command), "test \"$(cpio -it --quiet <archive 2>&1)\" = 'etc\netc/hibctl\n%s'",
                 PLAN_IN_INITRAMFS + 1);
        assert_int_equal(system(command), 0);
        assert_int_equal(system("cpio -i --quiet <archive && test \"$(stat -c %a etc/hibctl/plan)\" = 600"), 0);
        f = fopen("etc/hibctl/plan", "r");
        assert_non_null(f);
        assert_int_equal(fread(read_back, 1, sizeof(read_back), f), 1000);
        fclose(f);
        assert_memory_equal(read_back, text, 1000);
        assert_int_equal(system("rm -r etc archive"), 0);
        free(out);
        free(text);
}

/* It may hold keys: who could not read it before cannot read it now. */
static void test_a_file_keeps_its_mode(void **state)
{
        static const mode_t modes[] = { 0600, 0644, 0400 };
        struct stat st;

        (void)state;
        assert_int_equal(chdir(folder), 0);
        for (size_t i = 0; i < N_OF(modes); i++) {
                put_file("initrd", LIT(old_image));
                assert_int_equal(chmod("initrd", modes[i]), 0);
                assert_int_equal(initramfs_put_plan("initrd", "a plan\n"), 0);
                assert_int_equal(stat("initrd", &st), 0);
                assert_int_equal(st.st_mode & 07777, modes[i]);
                assert_int_equal(unlink("initrd"), 0);
        }
}

/* "initrd.img" is often one. */
static void test_a_link_stays_a_link(void **state)
{
        struct stat st;

        (void)state;
        assert_int_equal(chdir(folder), 0);
        put_file("initrd-1", LIT(old_image));
        assert_int_equal(symlink("initrd-1", "initrd"), 0);
        assert_int_equal(initramfs_put_plan("initrd", "a plan\n"), 0);
        assert_int_equal(lstat("initrd", &st), 0);
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(stat("initrd-1", &st), 0);
        assert_true((size_t)st.st_size > sizeof(old_image));
        assert_int_equal(unlink("initrd") | unlink("initrd-1"), 0);
}

static int make_folder(void **state)
{
        (void)state;
        return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
        (void)state;
        return chdir("/") | rmdir(folder);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes_of_plans),
                cmocka_unit_test(test_behind_unaligned_data),
                cmocka_unit_test(test_a_plan_replaces_the_one_before),
                cmocka_unit_test(test_other_archives_stay),
                cmocka_unit_test(test_nothing_but_a_plan),
                cmocka_unit_test(test_cpio_reads_it),
                cmocka_unit_test(test_a_file_keeps_its_mode),
                cmocka_unit_test(test_a_link_stays_a_link),
        };

        return cmocka_run_group_tests_name("initramfs", tests, make_folder, remove_folder);
}
