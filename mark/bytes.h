/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The few byte operations that mark/ needs. They are plain loops, because mark/ uses no symbol from outside: it is
 * linked into a GRUB module, where libc is not, and must not depend on what the loader exports.
 */
#ifndef HIBCTL_MARK_BYTES_H
#define HIBCTL_MARK_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t bytes_strlen(const char *s)
{
        size_t n = 0;

        while (s[n] != '\0')
                n++;
        return n;
}

static inline bool bytes_equal(const void *a, const void *b, size_t n)
{
        const unsigned char *x = a, *y = b;

        for (size_t i = 0; i < n; i++)
                if (x[i] != y[i])
                        return false;
        return true;
}

static inline void bytes_fill(char *to, char c, size_t n)
{
        for (size_t i = 0; i < n; i++)
                to[i] = c;
}

/* CRC-32 (IEEE 802.3), to be started with, and ended by inverting, all ones. */
static inline uint32_t bytes_crc32(uint32_t crc, const void *bytes, size_t n)
{
        const unsigned char *p = bytes;

        for (size_t i = 0; i < n; i++) {
                crc ^= p[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = (crc >> 1) ^ (0xedb88320U & (0U - (crc & 1)));
        }
        return crc;
}

/* N as eight lower-case hexadecimal digits, no NUL. */
static inline void bytes_format_hex(uint32_t n, char out[8])
{
        static const char digits[] = "0123456789abcdef";

        for (int i = 7; i >= 0; i--, n >>= 4)
                out[i] = digits[n & 15];
}

/* The ranges may overlap. */
static inline void bytes_move(char *to, const char *from, size_t n)
{
        if (to < from)
                for (size_t i = 0; i < n; i++)
                        to[i] = from[i];
        else
                for (size_t i = n; i > 0; i--)
                        to[i - 1] = from[i - 1];
}

#endif
