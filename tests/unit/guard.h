/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Memory that ends, or starts, at a page that cannot be touched: one byte read or written outside stops the program,
 * with any compiler and without sanitizers. Bytes on the far side of the buffer hold a pattern that can be checked.
 */
#ifndef HIBCTL_TESTS_GUARD_H
#define HIBCTL_TESTS_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD_PATTERN 0x5a

struct guard {
        char *mem; /* the usable pages, between two pages without access */
        size_t len;
        char *buf; /* what guard_place gave out */
        size_t size;
};

static inline void guard_init(struct guard *g, size_t max)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        size_t len = (max + page - 1) / page * page + page;
        char *map = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (map == MAP_FAILED || mprotect(map + page, len, PROT_READ | PROT_WRITE) < 0) {
                perror("guard_init");
                exit(99);
        }
        *g = (struct guard){ .mem = map + page, .len = len };
}

static inline void guard_free(struct guard *g)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);

        munmap(g->mem - page, g->len + 2 * page);
        g->mem = NULL;
}

/* A buffer of SIZE bytes with the content of FROM (or the pattern, if NULL). AT_END: the page without access follows
 * it; else it comes before it. */
static inline char *guard_place(struct guard *g, const void *from, size_t size, bool at_end)
{
        /* Up to a page of pattern beside the buffer is enough to see a stray write. */
        size_t beside = g->len - size < 256 ? g->len - size : 256;

        g->buf = at_end ? g->mem + g->len - size : g->mem;
        g->size = size;
        memset(at_end ? g->buf - beside : g->buf + size, GUARD_PATTERN, beside);
        if (from)
                memcpy(g->buf, from, size);
        else
                memset(g->buf, GUARD_PATTERN, size);
        return g->buf;
}

/* True if nothing was written beside the buffer, on the side that no page protects. */
static inline bool guard_intact(const struct guard *g)
{
        bool at_end = g->buf + g->size == g->mem + g->len;
        size_t beside = g->len - g->size < 256 ? g->len - g->size : 256;
        const char *p = at_end ? g->buf - beside : g->buf + g->size;

        for (size_t i = 0; i < beside; i++)
                if (p[i] != GUARD_PATTERN)
                        return false;
        return true;
}

#endif
