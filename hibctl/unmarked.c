/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The file is one line, the time, a blank and the reason. It is below /var, not /run: if the session is given up at the
 * boot loader, /run is gone, and that is when one asks.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "globals.h"
#include "unmarked.h"

#define FOLDER "/var/lib/hibctl"
#define FILE_NAME FOLDER "/unmarked"

/* What a terminal would not print as it stands. Other bytes are UTF-8 or what the locale has. */
static void make_plain(char *s)
{
        for (; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        *s = ' ';
}

static void put_time(char text[UNMARKED_TIME_MAX])
{
        time_t now = time(NULL);
        struct tm tm;

        text[0] = '\0';
        if (localtime_r(&now, &tm) && strftime(text, UNMARKED_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
                text[0] = '\0';
}

static int write_out(const char *path, const char *text)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        int r;

        if (fd < 0)
                return -errno;
        r = pwrite_all(fd, text, strlen(text), 0);
        return r == 0 && fsync(fd) < 0 ? -errno : r;
}

int unmarked_note(const char *reason)
{
        _cleanup_free_ char *folder = in_root(FOLDER), *path = in_root(FILE_NAME), *text = NULL;
        _cleanup_free_ char *new = xasprintf("%s.new", path);
        char when[UNMARKED_TIME_MAX];
        int r;

        put_time(when);
        text = xasprintf("%s %.*s", when, UNMARKED_REASON_MAX - 1, reason);
        make_plain(text);
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return -errno;
        r = write_out(new, text);
        if (r == 0 && rename(new, path) < 0)
                r = -errno;
        if (r < 0)
                unlink(new);
        return r;
}

int unmarked_forget(void)
{
        _cleanup_free_ char *path = in_root(FILE_NAME);

        return unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
}

bool unmarked_read(struct unmarked *note)
{
        _cleanup_free_ char *path = in_root(FILE_NAME), *text = NULL;
        struct stat st;
        char *blank;

        /* A pipe could keep us waiting for ever. */
        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
            read_whole_file(path, UNMARKED_TIME_MAX + UNMARKED_REASON_MAX, &text) < 0)
                return false;
        make_plain(text);
        blank = strchr(text, ' ');
        if (!blank || blank - text >= UNMARKED_TIME_MAX || !blank[1])
                return false;
        snprintf(note->time, sizeof(note->time), "%.*s", (int)(blank - text), text);
        snprintf(note->reason, sizeof(note->reason), "%s", blank + 1);
        return true;
}
