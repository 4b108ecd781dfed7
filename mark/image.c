/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "image.h"

#include "bytes.h"

/* struct swsusp_header: orig_sig[10] and sig[10] are the last bytes of the page. */
#define SIG_FROM_END 10
#define ORIG_SIG_FROM_END 20

/* union swap_header: after 1024 boot bits come version, last_page, nr_badpages (32 bits each), the UUID. */
#define SWAP_VERSION_AT 1024
#define SWAP_UUID_AT 1036

#define TUXONICE_SIG_LEN 8

static const struct {
        char sig[IMAGE_SIG_LEN + 1];
        enum image_kind kind;
} signatures[] = {
        { "SWAPSPACE2", IMAGE_SWAP },     /* mkswap since Linux 2.2 */
        { "SWAP-SPACE", IMAGE_SWAP },     /* before */
        { "S1SUSPEND\0", IMAGE_SWSUSP },  /* HIBERNATE_SIG, kernel/power/swap.c */
        { "ULSUSPEND\0", IMAGE_USWSUSP }, /* uswsusp, swsusp.h */
        { "LINHIB0001", IMAGE_LINHIB },
};

static const uint8_t tuxonice_sig[TUXONICE_SIG_LEN] = { 0xed, 0xc3, 0x02, 0xe9, 0x98, 0x56, 0xe5, 0x0c };

static enum image_kind signature_kind(const uint8_t *sig)
{
        for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++)
                if (bytes_equal(sig, signatures[i].sig, IMAGE_SIG_LEN))
                        return signatures[i].kind;
        return IMAGE_NONE;
}

/* END points behind the last byte of the page, or of its last sector. */
static bool restorable(const uint8_t *end)
{
        return signature_kind(end - SIG_FROM_END) == IMAGE_SWSUSP &&
               signature_kind(end - ORIG_SIG_FROM_END) == IMAGE_SWAP;
}

static void clear(struct image_header *header)
{
        header->kind = IMAGE_NONE;
        header->page_size = 0;
        header->restorable = false;
        header->has_uuid = false;
        bytes_fill((char *)header->uuid, 0, sizeof(header->uuid));
        bytes_fill(header->orig_sig, 0, sizeof(header->orig_sig));
}

static void read_uuid(const uint8_t *area, struct image_header *header)
{
        const uint8_t *v = area + SWAP_VERSION_AT;
        bool little = v[0] == 1 && v[1] == 0 && v[2] == 0 && v[3] == 0;
        bool big = v[0] == 0 && v[1] == 0 && v[2] == 0 && v[3] == 1;

        if (!little && !big)
                return;
        for (size_t i = 0; i < sizeof(header->uuid); i++) {
                header->uuid[i] = area[SWAP_UUID_AT + i];
                if (header->uuid[i] != 0)
                        header->has_uuid = true;
        }
}

enum image_kind image_probe_page(const uint8_t *area, size_t len, uint32_t page_size, struct image_header *header)
{
        clear(header);
        if (page_size < IMAGE_PAGE_MIN || page_size > IMAGE_PAGE_MAX || len < page_size)
                return IMAGE_NONE;

        const uint8_t *end = area + page_size;
        enum image_kind kind = signature_kind(end - SIG_FROM_END);
        if (bytes_equal(area, tuxonice_sig, TUXONICE_SIG_LEN))
                kind = IMAGE_TUXONICE;
        if (kind == IMAGE_NONE)
                return IMAGE_NONE;

        header->kind = kind;
        header->page_size = page_size;
        read_uuid(area, header);
        if (kind == IMAGE_SWSUSP && restorable(end)) {
                header->restorable = true;
                bytes_move(header->orig_sig, (const char *)end - ORIG_SIG_FROM_END, IMAGE_SIG_LEN);
        }
        return kind;
}

enum image_kind image_probe(const uint8_t *area, size_t len, struct image_header *header)
{
        for (uint32_t page_size = IMAGE_PAGE_MIN; page_size <= IMAGE_PAGE_MAX; page_size *= 2)
                if (image_probe_page(area, len, page_size, header) != IMAGE_NONE)
                        return header->kind;
        return IMAGE_NONE;
}

bool image_restore_swap(uint8_t tail[IMAGE_SECTOR])
{
        uint8_t *end = tail + IMAGE_SECTOR;

        if (!restorable(end))
                return false;
        bytes_move((char *)end - SIG_FROM_END, (const char *)end - ORIG_SIG_FROM_END, IMAGE_SIG_LEN);
        return true;
}

void image_format_uuid(const uint8_t uuid[16], char out[37])
{
        static const char digits[] = "0123456789abcdef";
        size_t n = 0;

        for (size_t i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        out[n++] = '-';
                out[n++] = digits[uuid[i] >> 4];
                out[n++] = digits[uuid[i] & 15];
        }
        out[n] = '\0';
}
