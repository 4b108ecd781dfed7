/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * systemd's EFI variable HibernateLocation: where `systemctl hibernate' has put the image.
 *
 * It is one JSON object in UTF-16LE with a NUL behind it. systemd 254 to 258 write (src/sleep/sleep.c,
 * write_efi_hibernate_location): "uuid", of the block device's filesystem or swap area; "offset", in pages, a number;
 * and, where they are known, "kernelVersion" (uname -r), "osReleaseId", "osReleaseImageId", "osReleaseVersionId",
 * "osReleaseImageVersion" and the boolean "autoSwap". Its reader takes uuid with and without dashes, and other keys.
 *
 * Anything can write an EFI variable, so this reader expects the worst. It is as strict as JSON itself, and stricter
 * than systemd where a value would be passed on.
 *
 * Freestanding: no libc, no allocation, no I/O. Every character is looked at once or twice; nesting is limited.
 */
#ifndef HIBCTL_MARK_LOCATION_H
#define HIBCTL_MARK_LOCATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOCATION_MAX 4096 /* bytes of the variable */
#define LOCATION_DEPTH 4  /* objects and arrays within one another, inside the outermost object */
#define LOCATION_RELEASE_MAX 64
#define LOCATION_OS_MAX 32

#define LOCATION_PAGE 4096      /* bytes: the variable names none, and x86 has only this one */
#define LOCATION_BOOT_BITS 1024 /* bootbits of union swap_header in Linux include/linux/swap.h */
#define LOCATION_FINGERPRINT_LEN 8

/* Strings are NUL-terminated; "" is one that is not there. */
struct location {
        char uuid[36 + 1]; /* lower case, with dashes */
        uint64_t offset;   /* pages; below 2^44 */
        char kernel_version[LOCATION_RELEASE_MAX + 1];
        char os_id[LOCATION_OS_MAX + 1]; /* these four: printable ASCII; "" also for what is longer, or none */
        char os_image_id[LOCATION_OS_MAX + 1];
        char os_version_id[LOCATION_OS_MAX + 1];
        char os_image_version[LOCATION_OS_MAX + 1];
};

enum location_error {
        LOCATION_OK = 0,
        LOCATION_E_SIZE,      /* empty, or more than LOCATION_MAX bytes */
        LOCATION_E_ENCODING,  /* an odd length, half a surrogate pair, a NUL inside */
        LOCATION_E_SYNTAX,    /* not JSON, or no object */
        LOCATION_E_DEPTH,     /* nested deeper than LOCATION_DEPTH */
        LOCATION_E_TRAILING,  /* something behind the object */
        LOCATION_E_DUPLICATE, /* a known key twice */
        LOCATION_E_NO_UUID,
        LOCATION_E_UUID, /* not a string, or not a UUID */
        LOCATION_E_NO_OFFSET,
        LOCATION_E_OFFSET,  /* not a whole number, or too large */
        LOCATION_E_RELEASE, /* not a string, or not what a kernel release looks like */
        LOCATION_E_COUNT
};

/* Takes the N bytes of the variable apart. *OUT is always filled: with what was found after LOCATION_OK, else empty. */
enum location_error location_parse(const void *bytes, size_t n, struct location *out);

/* One plain sentence, English, to be translated by the caller; "" for LOCATION_OK. */
const char *location_error_text(enum location_error error);

/* A stable word for programs: "size", "encoding", ...; "" for LOCATION_OK. */
const char *location_error_name(enum location_error error);

/* Tells one hibernation from the next, also at the same place: a CRC-32, as 8 lower-case hexadecimal digits, of the
 * variable's N bytes and of the page of LOCATION_PAGE bytes at PAGE with which the swap area begins, but for its boot
 * bits, the first LOCATION_BOOT_BITS bytes, in which a mark may come and go. Behind them the kernel keeps a checksum of
 * the image (struct swsusp_header in Linux kernel/power/swap.c). */
void location_fingerprint(const void *bytes, size_t n, const void *page, char out[LOCATION_FINGERPRINT_LEN]);

#endif
