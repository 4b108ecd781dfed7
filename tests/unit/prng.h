/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Random numbers that are the same on every machine (splitmix64).
 */
#ifndef HIBCTL_TESTS_PRNG_H
#define HIBCTL_TESTS_PRNG_H

#include <stddef.h>
#include <stdint.h>

struct prng {
        uint64_t state;
};

static inline uint64_t prng_next(struct prng *r)
{
        uint64_t z = (r->state += 0x9e3779b97f4a7c15ULL);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
}

/* 0 <= result < N */
static inline size_t prng_below(struct prng *r, size_t n)
{
        return (size_t)(prng_next(r) % n);
}

#endif
