/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Small helpers without a subject of their own.
 */
#ifndef HIBCTL_UTIL_H
#define HIBCTL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))

/* Freed or closed when the variable goes out of scope. */
#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)

static inline void cleanup_free(void *p)
{
        free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

/* As in the C library; the program ends with a message if there is no memory. The caller frees. */
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) _printf_(1, 2);
void *xmalloc(size_t size);
void *xrealloc(void *p, size_t size);

/* What cannot be looked at is not missing: whoever opens it says why not. */
bool is_missing(const char *path);

/* Reads a file of at most MAX bytes whole; a NUL is added behind. Returns the length, or a negative errno; -EFBIG if it
 * is longer. The caller frees *DATA. */
ssize_t read_whole_file(const char *path, size_t max, char **data);

bool is_earlier(const struct timespec *a, const struct timespec *b);

/* pread and pwrite that go on after EINTR and short counts. 0 or a negative errno; -ENODATA at an early end. */
int pread_all(int fd, void *buf, size_t size, off_t at);
int pwrite_all(int fd, const void *buf, size_t size, off_t at);

#endif
