/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "say.h"
#include "util.h"

static void *need(void *p)
{
        if (!p) {
                say_no_longer_keep();
                say_error(_("out of memory; what was asked for may have been done in part"));
                exit(EXIT_FAILED);
        }
        return p;
}

void *xmalloc(size_t size)
{
        return need(malloc(size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
        return need(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
        return need(strdup(s));
}

char *xasprintf(const char *fmt, ...)
{
        va_list ap;
        char *s = NULL;

        va_start(ap, fmt);
        int r = vasprintf(&s, fmt, ap);
        va_end(ap);
        return need(r < 0 ? NULL : s);
}

bool is_missing(const char *path)
{
        return access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

ssize_t read_whole_file(const char *path, size_t max, char **data)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *buf = NULL;
        size_t n = 0;

        if (fd < 0)
                return -errno;
        buf = xmalloc(max + 1);
        for (;;) {
                ssize_t r = read(fd, buf + n, max + 1 - n);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0)
                        break;
                n += (size_t)r;
                if (n > max)
                        return -EFBIG;
        }
        buf[n] = '\0';
        *data = buf;
        buf = NULL;
        return (ssize_t)n;
}

bool is_earlier(const struct timespec *a, const struct timespec *b)
{
        return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

int pread_all(int fd, void *buf, size_t size, off_t at)
{
        for (char *p = buf; size > 0;) {
                ssize_t r = pread(fd, p, size, at);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0)
                        return -ENODATA;
                p += r;
                at += r;
                size -= (size_t)r;
        }
        return 0;
}

int pwrite_all(int fd, const void *buf, size_t size, off_t at)
{
        for (const char *p = buf; size > 0;) {
                ssize_t r = pwrite(fd, p, size, at);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                p += r;
                at += r;
                size -= (size_t)r;
        }
        return 0;
}
