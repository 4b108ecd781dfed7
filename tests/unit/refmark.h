/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A second, independent writer of a mark's line, made from the format's description alone: it joins whatever texts it
 * is given, so that wrong fields can be written with a right checksum.
 */
#ifndef HIBCTL_TESTS_REFMARK_H
#define HIBCTL_TESTS_REFMARK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define REF_WIDTH 400
#define REF_CRC_AT 392

enum {
        REF_ID,
        REF_IMAGE,
        REF_OFFSET,
        REF_PAGE_SIZE,
        REF_FSUUID,
        REF_KERNEL,
        REF_INITRD,
        REF_RELEASE,
        REF_TIME,
        REF_VERIFY,
        REF_FIELDS
};

struct refmark {
        const char *magic; /* "hib1" */
        const char *state; /* five bytes */
        const char *field[REF_FIELDS];
};

/* Straight from IEEE 802.3: reflected polynomial 0x04c11db7, bit by bit. */
static inline uint32_t ref_crc32(uint32_t crc, const void *data, size_t len)
{
        const uint8_t *p = data;

        crc = ~crc;
        while (len--) {
                crc ^= *p++;
                for (int i = 0; i < 8; i++)
                        crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
        }
        return ~crc;
}

/* Writes the right checksum into the last eight of 400 bytes. */
static inline void ref_seal(char text[REF_WIDTH])
{
        char hex[9];
        uint32_t crc = ref_crc32(ref_crc32(0, text, 5), text + 10, REF_CRC_AT - 10);

        snprintf(hex, sizeof(hex), "%08x", crc);
        memcpy(text + REF_CRC_AT, hex, 8);
}

/* False if the texts do not fit with one space before the checksum. OUT is filled anyway, as far as they go. */
static inline bool ref_write(const struct refmark *m, char out[REF_WIDTH])
{
        char line[4096];
        int n = snprintf(line, sizeof(line), "%s %s", m->magic, m->state);
        bool fits;

        for (int i = 0; i < REF_FIELDS; i++)
                n += snprintf(line + n, sizeof(line) - (size_t)n, " %s", m->field[i]);
        fits = n < REF_CRC_AT;
        memset(out, ' ', REF_WIDTH);
        memcpy(out, line, n < REF_CRC_AT ? (size_t)n : REF_CRC_AT);
        ref_seal(out);
        return fits;
}

#define REF_GOOD                                                                                                       \
        {                                                                                                              \
                .magic = "hib1", .state = "armed",                                                                     \
                .field = {                                                                                             \
                        [REF_ID] = "0123456789abcdef0123456789abcdef",                                                 \
                        [REF_IMAGE] = "UUID=11111111-2222-3333-4444-555555555555",                                     \
                        [REF_OFFSET] = "34816",                                                                        \
                        [REF_PAGE_SIZE] = "4096",                                                                      \
                        [REF_FSUUID] = "99999999-8888-7777-6666-555555555555",                                         \
                        [REF_KERNEL] = "/boot/vmlinuz-6.1.0-56-amd64",                                                 \
                        [REF_INITRD] = "/boot/initrd.img-6.1.0-56-amd64",                                              \
                        [REF_RELEASE] = "6.1.0-56-amd64",                                                              \
                        [REF_TIME] = "2026-11-22T16:03:12+01:00",                                                      \
                        [REF_VERIFY] = "header",                                                                       \
                },                                                                                                     \
        }

#define REF_EMPTY                                                                                                      \
        {                                                                                                              \
                .magic = "hib1", .state = "none ", .field = { "-", "-", "-", "-", "-", "-", "-", "-", "-", "-" },      \
        }

#endif
