/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "bzimage.h"
#include "util.h"

/* "HdrS" at 0x202; at 0x20e the offset, less 0x200, of the text. */
#define MAGIC_AT 0x202
#define POINTER_AT 0x20e
#define POINTER_BASE 0x200

int bzimage_read_build(const char *path, char text[BZIMAGE_TEXT_MAX])
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        unsigned char head[0x210];
        unsigned int at;
        ssize_t n;
        int r;

        if (fd < 0)
                return -errno;
        r = pread_all(fd, head, sizeof(head), 0);
        if (r < 0)
                return r == -ENODATA ? 0 : r;
        at = head[POINTER_AT] | (unsigned int)head[POINTER_AT + 1] << 8;
        if (memcmp(head + MAGIC_AT, "HdrS", 4) != 0 || at == 0)
                return 0;
        do
                n = pread(fd, text, BZIMAGE_TEXT_MAX - 1, (off_t)at + POINTER_BASE);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        return n > 0;
}

/* The version is the end of the text; the release its first word. */
bool bzimage_is_build(const char *text, const char *release, const char *version)
{
        size_t len = strlen(release);
        const char *rest = strstr(text, ") ");

        return strncmp(text, release, len) == 0 && text[len] == ' ' && rest && strcmp(rest + 2, version) == 0;
}
