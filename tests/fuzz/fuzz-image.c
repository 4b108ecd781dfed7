/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The start of a swap area: what is in it, and the way back from an image's signature.
 *
 * Input: flags (1 byte), bytes missing from 64 KiB (2, little-endian), then pieces: place (1), length (1), bytes.
 * Places 0 to 2 are the start, the version, the UUID; from 3 on the ends of pages (even: the last 10 bytes, odd: the
 * last 20); others are anywhere. Flag 0x80: the rest is the area itself.
 */
#include "fuzz.h"
#include "mark/image.h"

static size_t page_end(size_t n)
{
        return (size_t)IMAGE_PAGE_MIN << n % 5;
}

static size_t place_of(uint8_t code)
{
        if (code >= 13)
                return (size_t)code * 257 % IMAGE_PAGE_MAX;
        if (code >= 3)
                return page_end((code - 3U) / 2) - (code % 2 ? 20 : 10);
        return code == 0 ? 0 : code == 1 ? 1024 : 1036;
}

static uint8_t *make_area(const uint8_t *data, size_t size, size_t *len)
{
        static uint8_t area[IMAGE_PAGE_MAX];

        if (data[0] & 0x80) {
                *len = size - 3;
                return exact_copy(data + 3, *len);
        }
        *len = IMAGE_PAGE_MAX - (size_t)(data[1] | data[2] << 8);
        memset(area, 0, sizeof(area));
        for (size_t i = 3; i + 2 <= size;) {
                size_t at = place_of(data[i]), n = data[i + 1];

                i += 2;
                if (n > size - i)
                        n = size - i;
                if (n > sizeof(area) - at)
                        n = sizeof(area) - at;
                memcpy(area + at, data + i, n);
                i += n;
        }
        return exact_copy(area, *len);
}

static bool is_swap_signature(const void *p)
{
        return memcmp(p, "SWAPSPACE2", 10) == 0 || memcmp(p, "SWAP-SPACE", 10) == 0;
}

static void check_header(const struct image_header *h, const uint8_t *area, size_t len)
{
        static const uint8_t nil[16];
        char text[37];

        if (h->kind == IMAGE_NONE) {
                REQUIRE(h->page_size == 0 && !h->restorable && !h->has_uuid && h->orig_sig[0] == '\0');
                return;
        }
        REQUIRE(h->page_size >= IMAGE_PAGE_MIN && h->page_size <= len && h->page_size <= IMAGE_PAGE_MAX);
        REQUIRE((h->page_size & (h->page_size - 1)) == 0);
        REQUIRE(memchr(h->orig_sig, '\0', sizeof(h->orig_sig)));
        REQUIRE(h->restorable == is_swap_signature(h->orig_sig));
        REQUIRE(!h->restorable || h->kind == IMAGE_SWSUSP);
        REQUIRE(h->has_uuid == (memcmp(h->uuid, nil, 16) != 0));
        REQUIRE(!h->has_uuid || memcmp(h->uuid, area + 1036, 16) == 0);

        const uint8_t *sig = area + h->page_size - 10;
        REQUIRE(h->kind != IMAGE_SWSUSP || memcmp(sig, "S1SUSPEND", 10) == 0);
        REQUIRE(h->kind != IMAGE_USWSUSP || memcmp(sig, "ULSUSPEND", 10) == 0);
        REQUIRE(h->kind != IMAGE_LINHIB || memcmp(sig, "LINHIB0001", 10) == 0);
        REQUIRE(h->kind != IMAGE_SWAP || is_swap_signature(sig));

        image_format_uuid(h->uuid, text);
        REQUIRE(strlen(text) == 36 && strspn(text, "0123456789abcdef-") == 36);
}

/* Puts the swap signature back where HEADER was found, and looks again. */
static void check_restore(uint8_t *area, size_t len, const struct image_header *h)
{
        uint8_t *before = exact_copy(area, len), *tail = exact_copy(area + h->page_size - IMAGE_SECTOR, IMAGE_SECTOR);
        bool swsusp = memcmp(tail + 502, "S1SUSPEND", 10) == 0;
        bool done = image_restore_swap(tail);

        REQUIRE(done == (swsusp && is_swap_signature(tail + 492)));
        REQUIRE(h->kind != IMAGE_SWSUSP || done == h->restorable);
        memcpy(area + h->page_size - IMAGE_SECTOR, tail, IMAGE_SECTOR);
        if (done) {
                struct image_header now;

                REQUIRE(memcmp(area + h->page_size - 10, before + h->page_size - 20, 10) == 0);
                memcpy(before + h->page_size - 10, before + h->page_size - 20, 10); /* these ten bytes only */
                if (h->kind == IMAGE_SWSUSP) {
                        REQUIRE(image_probe_page(area, len, h->page_size, &now) == IMAGE_SWAP);
                        REQUIRE(now.has_uuid == h->has_uuid && memcmp(now.uuid, h->uuid, 16) == 0);
                }
                REQUIRE(!image_restore_swap(tail));
        }
        REQUIRE(memcmp(area, before, len) == 0);
        free(tail);
        free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct image_header h, page;
        bool first = true;
        size_t len;

        if (size < 3)
                return 0;
        uint8_t *area = make_area(data, size, &len);
        uint8_t *before = exact_copy(area, len);

        memset(&h, 0x55, sizeof(h));
        REQUIRE(image_probe(area, len, &h) == h.kind);
        check_header(&h, area, len);
        for (size_t n = 0; n < 5; n++) {
                memset(&page, 0x55, sizeof(page));
                REQUIRE(image_probe_page(area, len, (uint32_t)page_end(n), &page) == page.kind);
                check_header(&page, area, len);
                if (page.kind == IMAGE_NONE)
                        continue;
                REQUIRE(page.page_size == page_end(n));
                if (first) /* image_probe takes the smallest page size that shows one */
                        REQUIRE(page.kind == h.kind && page.page_size == h.page_size);
                first = false;
        }
        REQUIRE(first == (h.kind == IMAGE_NONE));
        REQUIRE(memcmp(area, before, len) == 0);
        if (h.kind != IMAGE_NONE)
                check_restore(area, len, &h);
        free(before);
        free(area);
        return 0;
}
