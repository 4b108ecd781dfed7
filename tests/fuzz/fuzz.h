/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What the fuzz targets share: a check that ends the run, and memory of exactly the size, so that the address sanitizer
 * sees every byte outside.
 */
#ifndef HIBCTL_TESTS_FUZZ_H
#define HIBCTL_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
        do {                                                                                                           \
                if (!(condition)) {                                                                                    \
                        fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                      \
                        abort();                                                                                       \
                }                                                                                                      \
        } while (0)

/* A copy of SIZE bytes with nothing behind them; to be freed. */
static inline void *exact_copy(const void *from, size_t size)
{
        void *p = malloc(size ? size : 1);

        REQUIRE(p);
        if (size)
                memcpy(p, from, size);
        return p;
}

#endif
