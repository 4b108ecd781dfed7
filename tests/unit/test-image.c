/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Headers of swap areas and of hibernation images. The areas are made as mkswap and the kernel make them, and by the
 * machine's own mkswap where there is one.
 */
#include "testing.h"

#include "guard.h"
#include "mark/image.h"
#include "prng.h"

static struct guard guard;

static const uint32_t page_sizes[] = { 4096, 8192, 16384, 32768, 65536 };
static const uint8_t uuid[16] = { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0x4d, 0xef,
                                  0x80, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0xff };
static const char uuid_text[] = "12345678-9abc-4def-8011-2233445566ff";

static void put32(uint8_t *p, uint32_t v, bool big)
{
        for (int i = 0; i < 4; i++)
                p[big ? 3 - i : i] = (uint8_t)(v >> (8 * i));
}

/* union swap_header, include/linux/swap.h, as mkswap fills it. */
static void make_swap(uint8_t *area, uint32_t page_size, bool big)
{
        memset(area, 0, page_size);
        put32(area + 1024, 1, big);      /* version */
        put32(area + 1028, 262143, big); /* last_page */
        put32(area + 1032, 0, big);      /* nr_badpages */
        memcpy(area + 1036, uuid, 16);
        memcpy(area + 1052, "swap", 4); /* label */
        memcpy(area + page_size - 10, "SWAPSPACE2", 10);
}

/* struct swsusp_header, kernel/power/swap.c: the kernel writes into the page that it read, so all else stays. */
static void make_image(uint8_t *area, uint32_t page_size, const char *sig)
{
        uint8_t *tail = area + page_size - 40;

        put32(tail, 0x11223344, false);      /* hw_sig */
        put32(tail + 4, 0x55667788, false);  /* crc32 */
        put32(tail + 8, 0x00001000, false);  /* image: sector_t, low half */
        put32(tail + 12, 0x00000000, false); /* high half */
        put32(tail + 16, 0x00000005, false); /* flags */
        memcpy(tail + 20, tail + 30, 10);    /* orig_sig: what was there */
        memcpy(tail + 30, sig, 10);
}

static void assert_empty(const struct image_header *h)
{
        struct image_header zero;

        memset(&zero, 0, sizeof(zero));
        assert_int_equal(h->kind, IMAGE_NONE);
        assert_int_equal(h->page_size, 0);
        assert_memory_equal(h->orig_sig, zero.orig_sig, sizeof(zero.orig_sig));
        assert_false(h->restorable);
        assert_false(h->has_uuid);
        assert_memory_equal(h->uuid, zero.uuid, 16);
}

static void soil(struct image_header *h)
{
        memset(h, 0x55, sizeof(*h));
}

static enum image_kind probe(const uint8_t *area, size_t len, struct image_header *h)
{
        soil(h);
        enum image_kind kind = image_probe((uint8_t *)guard_place(&guard, area, len, true), len, h);

        assert_int_equal(kind, h->kind);
        assert_memory_equal(guard.buf, area, len);
        return kind;
}

static const struct {
        const char *sig; /* ten bytes; NULL: only a swap area */
        enum image_kind kind;
        bool restorable;
} kinds[] = {
        { NULL, IMAGE_SWAP, false },
        { "S1SUSPEND\0", IMAGE_SWSUSP, true },
        { "ULSUSPEND\0", IMAGE_USWSUSP, false },
        { "LINHIB0001", IMAGE_LINHIB, false },
};

static void test_every_kind_and_page_size(void **state)
{
        static uint8_t area[IMAGE_PAGE_MAX];

        (void)state;
        for (size_t k = 0; k < N_OF(kinds); k++)
                for (size_t i = 0; i < N_OF(page_sizes); i++)
                        for (size_t j = 0; j < N_OF(page_sizes); j++) { /* how much of it is there to be read */
                                uint32_t size = page_sizes[i], len = page_sizes[j];
                                struct image_header h;

                                memset(area, 0xa5, sizeof(area));
                                make_swap(area, size, false);
                                if (kinds[k].sig)
                                        make_image(area, size, kinds[k].sig);
                                enum image_kind got = probe(area, len, &h);
                                if (len < size) {
                                        assert_empty(&h);
                                        continue;
                                }
                                if (got != kinds[k].kind || h.page_size != size)
                                        fail_row("kind %zu, page %u: got %d, page %u", k, size, got, h.page_size);
                                assert_int_equal(h.restorable, kinds[k].restorable);
                                assert_string_equal(h.orig_sig, kinds[k].restorable ? "SWAPSPACE2" : "");
                                assert_true(h.has_uuid);
                                assert_memory_equal(h.uuid, uuid, 16);

                                /* Asked for one page size, only that one counts. */
                                for (size_t p = 0; p < N_OF(page_sizes); p++) {
                                        soil(&h);
                                        got = image_probe_page((uint8_t *)guard.buf, len, page_sizes[p], &h);
                                        assert_int_equal(got, h.kind);
                                        if (p == i) {
                                                assert_int_equal(got, kinds[k].kind);
                                                assert_int_equal(h.page_size, size);
                                                assert_memory_equal(h.uuid, uuid, 16);
                                        } else
                                                assert_empty(&h);
                                }
                        }
}

static void test_short_buffers(void **state)
{
        static uint8_t area[IMAGE_PAGE_MAX];
        struct image_header h;

        (void)state;
        make_swap(area, 4096, false);
        make_image(area, 4096, "S1SUSPEND\0");
        for (size_t len = 0; len < 4096; len++) {
                if (probe(area, len, &h) != IMAGE_NONE)
                        fail_row("found in %zu bytes", len);
                assert_empty(&h);
        }
        for (size_t len = 4096; len < 4200; len++)
                assert_int_equal(probe(area, len, &h), IMAGE_SWSUSP);
        make_swap(area, 65536, false);
        for (size_t len = 65500; len < 65536; len++)
                assert_int_equal(probe(area, len, &h), IMAGE_NONE);
        assert_int_equal(probe(area, 65536, &h), IMAGE_SWAP);
}

static void test_impossible_page_sizes(void **state)
{
        static const uint32_t sizes[] = { 0, 1, 10, 512, 1024, 2048, 4095, 65537, 131072, 0x80000000, UINT32_MAX };
        static uint8_t area[2 * IMAGE_PAGE_MAX];
        struct image_header h;

        (void)state;
        memset(area, 0, sizeof(area));
        for (size_t at = 0; at + 10 <= sizeof(area); at += 10) /* whatever place is looked at, 10 bytes may fit */
                memcpy(area + at, "S1SUSPEND\0", 10);
        memcpy(area + sizeof(area) - 10, "S1SUSPEND\0", 10);
        for (size_t i = 0; i < N_OF(sizes); i++) {
                soil(&h);
                assert_int_equal(image_probe_page((uint8_t *)guard_place(&guard, area, sizeof(area), false),
                                                  sizeof(area), sizes[i], &h),
                                 IMAGE_NONE);
                assert_empty(&h);
        }
}

/* One wrong byte in a signature, and it is none. */
static void test_signatures_are_exact(void **state)
{
        static uint8_t area[4096];
        struct image_header h;

        (void)state;
        for (size_t k = 0; k < N_OF(kinds); k++)
                for (size_t i = 0; i < 10; i++) {
                        make_swap(area, 4096, false);
                        if (kinds[k].sig)
                                make_image(area, 4096, kinds[k].sig);
                        area[4086 + i] ^= 0x20;
                        if (probe(area, 4096, &h) != IMAGE_NONE)
                                fail_row("kind %zu, byte %zu", k, i);
                        assert_empty(&h);
                }
}

static void test_not_a_swap_area(void **state)
{
        static uint8_t area[IMAGE_PAGE_MAX];
        struct prng r = { 6 };
        struct image_header h;

        (void)state;
        memset(area, 0, sizeof(area));
        assert_int_equal(probe(area, sizeof(area), &h), IMAGE_NONE);
        assert_empty(&h);
        for (int round = 0; round < 200; round++) {
                for (size_t i = 0; i < sizeof(area); i++)
                        area[i] = (uint8_t)prng_next(&r);
                assert_int_equal(probe(area, sizeof(area), &h), IMAGE_NONE);
                assert_empty(&h);
        }
}

static void test_old_swap_signature(void **state)
{
        static uint8_t area[4096];
        struct image_header h;

        (void)state;
        make_swap(area, 4096, false);
        memcpy(area + 4086, "SWAP-SPACE", 10);
        assert_int_equal(probe(area, 4096, &h), IMAGE_SWAP);
        make_image(area, 4096, "S1SUSPEND\0");
        assert_int_equal(probe(area, 4096, &h), IMAGE_SWSUSP);
        assert_true(h.restorable);
        assert_string_equal(h.orig_sig, "SWAP-SPACE");
}

static void test_what_was_saved_is_no_swap_signature(void **state)
{
        static const char *const saved[] = { "\0\0\0\0\0\0\0\0\0\0", "S1SUSPEND\0", "swapspace2", "SWAPSPACE3",
                                             "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6" };
        static uint8_t area[4096];
        struct image_header h;

        (void)state;
        for (size_t i = 0; i < N_OF(saved); i++) {
                make_swap(area, 4096, false);
                make_image(area, 4096, "S1SUSPEND\0");
                memcpy(area + 4076, saved[i], 10);
                assert_int_equal(probe(area, 4096, &h), IMAGE_SWSUSP);
                assert_false(h.restorable);
                assert_string_equal(h.orig_sig, "");
                assert_false(image_restore_swap((uint8_t *)guard.buf + 4096 - IMAGE_SECTOR));
                assert_memory_equal(guard.buf, area, 4096);
        }
}

static void test_uuid_needs_a_version_1_header(void **state)
{
        static const struct {
                const char *what;
                uint32_t version;
                bool big, nil, has;
        } rows[] = {
                { "little-endian", 1, false, false, true },
                { "big-endian", 1, true, false, true },
                { "no version", 0, false, false, false },
                { "version 2", 2, false, false, false },
                { "version 257", 257, false, false, false },
                { "version 2, big-endian", 2, true, false, false },
                { "version 0x00010001", 0x00010001, false, false, false },
                { "version 0x01000001", 0x01000001, false, false, false },
                { "version 0x01010101", 0x01010101, false, false, false },
                { "no UUID", 1, false, true, false },
        };
        static uint8_t area[4096];

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++)
                for (int image = 0; image < 2; image++) {
                        struct image_header h;

                        make_swap(area, 4096, false);
                        put32(area + 1024, rows[i].version, rows[i].big);
                        if (rows[i].nil)
                                memset(area + 1036, 0, 16);
                        if (image)
                                make_image(area, 4096, "S1SUSPEND\0");
                        assert_int_equal(probe(area, 4096, &h), image ? IMAGE_SWSUSP : IMAGE_SWAP);
                        if (h.has_uuid != rows[i].has)
                                fail_row("row \"%s\"", rows[i].what);
                        if (h.has_uuid)
                                assert_memory_equal(h.uuid, uuid, 16);
                }
}

/* A UUID with a single bit, anywhere, is one. */
static void test_uuid_of_one_bit(void **state)
{
        static uint8_t area[4096];
        struct image_header h;

        (void)state;
        for (int bit = 0; bit < 128; bit++) {
                make_swap(area, 4096, false);
                memset(area + 1036, 0, 16);
                area[1036 + bit / 8] = (uint8_t)(1 << bit % 8);
                assert_int_equal(probe(area, 4096, &h), IMAGE_SWAP);
                assert_true(h.has_uuid);
                assert_memory_equal(h.uuid, area + 1036, 16);
        }
}

static const uint8_t tuxonice[8] = { 0xed, 0xc3, 0x02, 0xe9, 0x98, 0x56, 0xe5, 0x0c };

/* Its signature is at the start of the area, as libblkid's superblocks/swap.c has it. */
static void test_tuxonice(void **state)
{
        static uint8_t area[IMAGE_PAGE_MAX];
        struct image_header h;

        (void)state;
        memset(area, 0, sizeof(area));
        memcpy(area, tuxonice, 8);
        assert_int_equal(probe(area, sizeof(area), &h), IMAGE_TUXONICE);
        assert_false(h.restorable);
        assert_string_equal(h.orig_sig, "");
        assert_int_equal(probe(area, 4096, &h), IMAGE_TUXONICE);
        for (size_t len = 0; len < 8; len++)
                assert_int_equal(probe(area, len, &h), IMAGE_NONE);
        for (size_t i = 0; i < 8; i++) {
                memcpy(area, tuxonice, 8);
                area[i] ^= 1;
                assert_int_equal(probe(area, sizeof(area), &h), IMAGE_NONE);
        }
        /* Over a swap area too: whoever wrote it owns the area. */
        make_swap(area, 4096, false);
        memcpy(area, tuxonice, 8);
        assert_int_equal(probe(area, 4096, &h), IMAGE_TUXONICE);
}

/* What is in the boot bits, an environment block say, does not matter. */
static void test_boot_bits_do_not_matter(void **state)
{
        static uint8_t area[4096];
        struct image_header h;

        (void)state;
        make_swap(area, 4096, false);
        memset(area, '#', 1024);
        memcpy(area, "# GRUB Environment Block\n", 25);
        assert_int_equal(probe(area, 4096, &h), IMAGE_SWAP);
        make_image(area, 4096, "S1SUSPEND\0");
        assert_int_equal(probe(area, 4096, &h), IMAGE_SWSUSP);
        assert_true(h.has_uuid && h.restorable);
}

/* ---- restore ---- */

static void test_restore(void **state)
{
        static uint8_t before[IMAGE_PAGE_MAX], area[IMAGE_PAGE_MAX];
        struct image_header h;

        (void)state;
        for (size_t i = 0; i < N_OF(page_sizes); i++)
                for (int old = 0; old < 2; old++) {
                        uint32_t size = page_sizes[i];

                        make_swap(before, size, false);
                        if (old)
                                memcpy(before + size - 10, "SWAP-SPACE", 10);
                        memcpy(area, before, size);
                        make_image(area, size, "S1SUSPEND\0");
                        memcpy(before + size - 40, area + size - 40, 30); /* the kernel leaves these, so do we */

                        uint8_t *tail = (uint8_t *)guard_place(&guard, area + size - IMAGE_SECTOR, IMAGE_SECTOR, true);
                        assert_true(image_restore_swap(tail));
                        assert_true(guard_intact(&guard));
                        assert_memory_equal(tail, before + size - IMAGE_SECTOR, IMAGE_SECTOR);
                        memcpy(area + size - IMAGE_SECTOR, tail, IMAGE_SECTOR);
                        assert_int_equal(probe(area, size, &h), IMAGE_SWAP);
                        assert_int_equal(h.page_size, size);
                        assert_memory_equal(h.uuid, uuid, 16);

                        /* A second time there is nothing to put back. */
                        tail = (uint8_t *)guard_place(&guard, area + size - IMAGE_SECTOR, IMAGE_SECTOR, false);
                        assert_false(image_restore_swap(tail));
                        assert_memory_equal(tail, area + size - IMAGE_SECTOR, IMAGE_SECTOR);
                        assert_true(guard_intact(&guard));
                }
}

static void test_restore_refuses_the_rest(void **state)
{
        static uint8_t area[4096];
        struct prng r = { 7 };

        (void)state;
        for (size_t k = 0; k < N_OF(kinds); k++) {
                make_swap(area, 4096, false);
                if (kinds[k].sig)
                        make_image(area, 4096, kinds[k].sig);
                uint8_t *tail = (uint8_t *)guard_place(&guard, area + 4096 - IMAGE_SECTOR, IMAGE_SECTOR, true);
                assert_int_equal(image_restore_swap(tail), kinds[k].restorable);
                if (!kinds[k].restorable)
                        assert_memory_equal(tail, area + 4096 - IMAGE_SECTOR, IMAGE_SECTOR);
        }
        /* Each byte of both signatures counts. */
        for (size_t i = 4076; i < 4096; i++) {
                make_swap(area, 4096, false);
                make_image(area, 4096, "S1SUSPEND\0");
                area[i] ^= 1;
                uint8_t *tail = (uint8_t *)guard_place(&guard, area + 4096 - IMAGE_SECTOR, IMAGE_SECTOR, true);
                if (image_restore_swap(tail))
                        fail_row("restored with byte %zu wrong", i);
                assert_memory_equal(tail, area + 4096 - IMAGE_SECTOR, IMAGE_SECTOR);
        }
        for (int round = 0; round < 5000; round++) {
                for (size_t i = 0; i < IMAGE_SECTOR; i++)
                        area[i] = (uint8_t)prng_next(&r);
                if (round & 1)
                        memcpy(area + 502, "S1SUSPEND\0", 10);
                uint8_t *tail = (uint8_t *)guard_place(&guard, area, IMAGE_SECTOR, true);
                assert_false(image_restore_swap(tail));
                assert_memory_equal(tail, area, IMAGE_SECTOR);
        }
}

/* ---- UUID ---- */

static void test_format_uuid(void **state)
{
        static const struct {
                uint8_t uuid[16];
                const char *text;
        } rows[] = {
                { { 0 }, "00000000-0000-0000-0000-000000000000" },
                { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
                  "ffffffff-ffff-ffff-ffff-ffffffffffff" },
                { { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10 },
                  "01234567-89ab-cdef-fedc-ba9876543210" },
        };
        char *out;

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++) {
                out = guard_place(&guard, NULL, 37, true);
                image_format_uuid(rows[i].uuid, out);
                assert_string_equal(out, rows[i].text);
                assert_true(guard_intact(&guard));
        }
        out = guard_place(&guard, NULL, 37, true);
        image_format_uuid(uuid, out);
        assert_string_equal(out, uuid_text);
}

/* ---- the machine's own mkswap ---- */

static bool run_mkswap(const char *path, uint32_t page_size)
{
        char command[512];

        snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin mkswap -f -p %u -U %s %s >/dev/null 2>&1",
                 page_size, uuid_text, path);
        return system(command) == 0;
}

static void test_real_mkswap(void **state)
{
        static uint8_t area[IMAGE_PAGE_MAX];
        char path[] = "test-image-swap.XXXXXX";
        int fd = mkstemp(path);
        bool have = system("PATH=$PATH:/usr/sbin:/sbin; command -v mkswap >/dev/null") == 0;

        (void)state;
        assert_true(fd >= 0);
        for (size_t i = 0; have && i < N_OF(page_sizes); i++) {
                struct image_header h;

                assert_int_equal(ftruncate(fd, 0), 0);
                assert_int_equal(ftruncate(fd, 10 * 65536), 0);
                bool made = run_mkswap(path, page_sizes[i]);
                bool read_back = pread(fd, area, sizeof(area), 0) == (ssize_t)sizeof(area);
                if (!made || !read_back) {
                        unlink(path);
                        fail_row("mkswap -p %u failed", page_sizes[i]);
                }
                enum image_kind kind = probe(area, sizeof(area), &h);
                bool right = kind == IMAGE_SWAP && h.page_size == page_sizes[i] && h.has_uuid &&
                             memcmp(h.uuid, uuid, 16) == 0;
                make_image(area, page_sizes[i], "S1SUSPEND\0");
                kind = probe(area, sizeof(area), &h);
                right = right && kind == IMAGE_SWSUSP && h.page_size == page_sizes[i] && h.restorable;
                if (!right) {
                        unlink(path);
                        fail_row("mkswap -p %u: not recognised", page_sizes[i]);
                }
        }
        close(fd);
        unlink(path);
        if (!have)
                skip();
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_kind_and_page_size),
                cmocka_unit_test(test_short_buffers),
                cmocka_unit_test(test_impossible_page_sizes),
                cmocka_unit_test(test_signatures_are_exact),
                cmocka_unit_test(test_not_a_swap_area),
                cmocka_unit_test(test_old_swap_signature),
                cmocka_unit_test(test_what_was_saved_is_no_swap_signature),
                cmocka_unit_test(test_uuid_needs_a_version_1_header),
                cmocka_unit_test(test_uuid_of_one_bit),
                cmocka_unit_test(test_tuxonice),
                cmocka_unit_test(test_boot_bits_do_not_matter),
                cmocka_unit_test(test_restore),
                cmocka_unit_test(test_restore_refuses_the_rest),
                cmocka_unit_test(test_format_uuid),
                cmocka_unit_test(test_real_mkswap),
        };

        guard_init(&guard, 2 * IMAGE_PAGE_MAX);
        return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
