/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Headers of hibernation images in a swap area, and of the swap area itself.
 *
 * The last ten bytes of the first page of a swap area are its signature. The kernel that hibernates saves them beside
 * it and writes its own; the kernel that resumes puts them back as the first thing it does.
 *
 * Sources: struct swsusp_header in Linux kernel/power/swap.c (64-bit layout); union swap_header in
 * include/linux/swap.h; TuxOnIce's and uswsusp's signatures as in util-linux libblkid/src/superblocks/swap.c.
 *
 * Freestanding: no libc, no allocation, no I/O, bounded work.
 */
#ifndef HIBCTL_MARK_IMAGE_H
#define HIBCTL_MARK_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_SIG_LEN 10
#define IMAGE_SECTOR 512
#define IMAGE_PAGE_MIN 4096
#define IMAGE_PAGE_MAX 65536 /* the most that image_probe looks at */

enum image_kind {
        IMAGE_NONE,     /* not a swap area that we know */
        IMAGE_SWAP,     /* a swap area without an image */
        IMAGE_SWSUSP,   /* "S1SUSPEND": an image that the kernel resumes by itself */
        IMAGE_USWSUSP,  /* "ULSUSPEND": written by uswsusp's s2disk, needs its resume program */
        IMAGE_LINHIB,   /* "LINHIB0001": written by kernels that were never released with it */
        IMAGE_TUXONICE, /* TuxOnIce's binary signature */
};

struct image_header {
        enum image_kind kind;
        uint32_t page_size;               /* bytes; where the signature was found; 0 for IMAGE_NONE */
        char orig_sig[IMAGE_SIG_LEN + 1]; /* the swap signature that was saved, if "restorable", else "" */
        bool restorable;                  /* IMAGE_SWSUSP: orig_sig is a swap signature */
        bool has_uuid;                    /* a version 1 swap header with a UUID */
        uint8_t uuid[16];
};

/* Looks at the first LEN bytes of an area at AREA; at least IMAGE_PAGE_MIN are needed, IMAGE_PAGE_MAX show every page
 * size. *HEADER is always filled; its kind is returned. */
enum image_kind image_probe(const uint8_t *area, size_t len, struct image_header *header);

/* The same, only for one page size (4096, 8192, 16384, 32768 or 65536). */
enum image_kind image_probe_page(const uint8_t *area, size_t len, uint32_t page_size, struct image_header *header);

/* Puts the saved swap signature back, in the last sector of the first page, as the kernel does when it starts to
 * resume: TAIL is those 512 bytes. False, and nothing changed, unless they hold an S1SUSPEND header with a saved swap
 * signature. */
bool image_restore_swap(uint8_t tail[IMAGE_SECTOR]);

/* Writes UUID as 36 lower-case characters and a NUL. */
void image_format_uuid(const uint8_t uuid[16], char out[37]);

#endif
