/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "say.h"

#define KERNEL_LOG_LINE 900 /* bytes; LOG_LINE_MAX in kernel/printk less its prefix */

static enum loudness loud = SAY_NORMAL;
static char last_error[1024];

/* The last line, while lines are kept. */
static struct {
        bool on;
        char *line; /* owned */
} keeping;

void say_set_loudness(enum loudness loudness)
{
        loud = loudness;
}

bool say_is_quiet(void)
{
        return loud <= SAY_QUIET;
}

void say_keep(void)
{
        keeping.on = true;
        free(keeping.line);
        keeping.line = NULL;
}

char *say_kept(void)
{
        char *line = keeping.line ? keeping.line : xstrdup("");

        keeping.on = false;
        keeping.line = NULL;
        return line;
}

void say_no_longer_keep(void)
{
        keeping.on = false;
}

static void keep(const char *fmt, va_list ap)
{
        int saved = errno; /* for %m */

        free(keeping.line);
        errno = saved;
        if (vasprintf(&keeping.line, fmt, ap) < 0)
                keeping.line = NULL;
}

/* systemd's sign for it, or that / is still the kernel's own, with an /init on it. */
static bool is_initramfs(void)
{
        struct statfs fs;

        if (access("/etc/initrd-release", F_OK) == 0)
                return true;
        return statfs("/", &fs) == 0 && (fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC) &&
               access("/init", X_OK) == 0;
}

/* In an initramfs nobody keeps what goes to standard error; the kernel's log can be read after the boot. */
static void put_in_kernel_log(const char *fmt, va_list ap)
{
        _cleanup_close_ int fd = is_initramfs() ? open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY) : -1;
        char line[KERNEL_LOG_LINE] = "<5>hibctl: "; /* notice */
        size_t len = strlen(line);

        if (fd < 0)
                return;
        vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
        strcat(line, "\n"); /* or it cannot be read before the next record comes */
        while (write(fd, line, strlen(line)) < 0 && errno == EINTR)
                ;
}

static void put(const char *fmt, va_list ap)
{
        int saved = errno; /* for %m */
        va_list again;

        va_copy(again, ap);
        put_in_kernel_log(fmt, again);
        va_end(again);
        errno = saved;
        flockfile(stderr);
        fputs("hibctl: ", stderr);
        vfprintf(stderr, fmt, ap);
        fputc('\n', stderr);
        funlockfile(stderr);
}

#define SAY_IF(condition, how)                                                                                         \
        do {                                                                                                           \
                va_list ap;                                                                                            \
                if (!(condition))                                                                                      \
                        return;                                                                                        \
                va_start(ap, fmt);                                                                                     \
                how(fmt, ap);                                                                                          \
                va_end(ap);                                                                                            \
        } while (0)

static void keep_error(const char *fmt, va_list ap)
{
        int saved = errno; /* for %m */
        va_list again;

        va_copy(again, ap);
        vsnprintf(last_error, sizeof(last_error), fmt, again);
        va_end(again);
        errno = saved;
}

static void keep_or_put(const char *fmt, va_list ap)
{
        if (keeping.on)
                keep(fmt, ap);
        else
                put(fmt, ap);
}

void say_error(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        keep_error(fmt, ap);
        keep_or_put(fmt, ap);
        va_end(ap);
}

const char *say_last_error(void)
{
        return last_error;
}

void say(const char *fmt, ...)
{
        SAY_IF(loud >= SAY_NORMAL || keeping.on, keep_or_put);
}

void say_step(const char *fmt, ...)
{
        SAY_IF(loud >= SAY_VERBOSE, put);
}
