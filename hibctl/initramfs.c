/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "envfile.h"
#include "initramfs.h"
#include "plan.h"
#include "say.h"
#include "util.h"

/* The "newc" format of cpio: a header of 110 bytes (magic and 13 numbers of 8 hexadecimal digits), the name with its
 * NUL, the data; both padded to 4 bytes. */
#define HEADER_LEN 110
#define SIZE_AT 54 /* of the number that is the data's length */
#define ALIGN 4
#define ARCHIVE_ALIGN 512
#define INITRAMFS_MAX (1024UL * 1024 * 1024)

static size_t padded(size_t n, size_t to)
{
        return (n + to - 1) / to * to;
}

static size_t entry_len(const char *name, size_t size)
{
        return padded(HEADER_LEN + strlen(name) + 1, ALIGN) + padded(size, ALIGN);
}

/* Writes one entry to AT, which is zero; returns its length. No inode numbers, no times: the same plan makes the same
 * bytes. */
static size_t put_entry(char *at, const char *name, unsigned int mode, const char *data, size_t size)
{
        char header[HEADER_LEN + 1];

        snprintf(header, sizeof(header), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 0, mode, 0, 0,
                 S_ISDIR(mode) ? 2U : 1U, 0, (unsigned int)size, 0, 0, 0, 0, (unsigned int)strlen(name) + 1, 0);
        memcpy(at, header, HEADER_LEN);
        strcpy(at + HEADER_LEN, name);
        if (size > 0)
                memcpy(at + padded(HEADER_LEN + strlen(name) + 1, ALIGN), data, size);
        return entry_len(name, size);
}

static const char plan_name[] = "etc/hibctl/plan", trailer_name[] = "TRAILER!!!";
static const char *const folders[] = { "etc", "etc/hibctl" };

static size_t plan_at(void)
{
        return entry_len(folders[0], 0) + entry_len(folders[1], 0);
}

static size_t archive_len(size_t size)
{
        return padded(plan_at() + entry_len(plan_name, size) + entry_len(trailer_name, 0), ARCHIVE_ALIGN);
}

static void put_archive(char *at, const char *text, size_t size)
{
        for (size_t i = 0; i < ELEMENTS(folders); i++)
                at += put_entry(at, folders[i], S_IFDIR | 0755, NULL, 0);
        at += put_entry(at, plan_name, S_IFREG | 0600, text, size);
        put_entry(at, trailer_name, 0, NULL, 0);
}

/* Whether the rest of an image, LEN bytes at AT, is an archive that put_archive wrote. */
static bool is_our_archive(const char *at, size_t len)
{
        _cleanup_free_ char *same = NULL;
        const char *data = at + plan_at() + padded(HEADER_LEN + sizeof(plan_name), ALIGN);
        char digits[9] = "";
        size_t size;

        if (len < archive_len(0) || len > archive_len(PLAN_SIZE_MAX))
                return false;
        memcpy(digits, at + plan_at() + SIZE_AT, 8);
        if (strspn(digits, "0123456789abcdef") != 8)
                return false;
        size = strtoul(digits, NULL, 16);
        if (size > PLAN_SIZE_MAX || archive_len(size) != len)
                return false;
        same = xmalloc(len);
        memset(same, 0, len);
        put_archive(same, data, size);
        return memcmp(same, at, len) == 0;
}

/* What is left of SIZE without the archive that an earlier run put at the end. */
static size_t without_plan(const char *data, size_t size)
{
        for (size_t len = archive_len(0); len <= size && len <= archive_len(PLAN_SIZE_MAX); len += ARCHIVE_ALIGN)
                if (is_our_archive(data + size - len, len))
                        return size - len;
        return size;
}

char *initramfs_with_plan(const char *data, size_t size, const char *text, size_t *new_size)
{
        size_t keep = without_plan(data, size), at = padded(keep, ALIGN);
        char *out;

        *new_size = at + archive_len(strlen(text));
        out = xmalloc(*new_size);
        memset(out, 0, *new_size);
        memcpy(out, data, keep);
        put_archive(out + at, text, strlen(text));
        return out;
}

static int read_initramfs(const char *file, char **data, size_t *size)
{
        struct stat st;
        ssize_t n;

        if (stat(file, &st) < 0)
                return refuse(_("%s: cannot look at the save kernel's initramfs: %m; make it first"), file);
        if (!S_ISREG(st.st_mode) || st.st_size == 0 || (uint64_t)st.st_size > INITRAMFS_MAX)
                return refuse(_("%s: not a file that could be an initramfs; name another"), file);
        n = read_whole_file(file, (size_t)st.st_size, data);
        if (n < 0)
                return fail(_("%s: cannot read the save kernel's initramfs: %s"), file, strerror((int)-n));
        *size = (size_t)n;
        return EXIT_DONE;
}

static int write_initramfs(const char *file, const char *data, size_t size)
{
        int r = envfile_replace(file, data, size);

        return r == 0 ? EXIT_DONE : fail(_("%s: cannot write the save kernel's initramfs: %s"), file, strerror(-r));
}

int initramfs_forget_plan(const char *file)
{
        _cleanup_free_ char *data = NULL;
        size_t size, keep;
        int r = read_initramfs(file, &data, &size);

        if (r != EXIT_DONE)
                return r;
        keep = without_plan(data, size);
        return keep == size ? EXIT_DONE : write_initramfs(file, data, keep);
}

int initramfs_put_plan(const char *file, const char *text)
{
        _cleanup_free_ char *data = NULL, *wanted = NULL;
        size_t size;
        int r = read_initramfs(file, &data, &size);

        if (r != EXIT_DONE)
                return r;
        wanted = initramfs_with_plan(data, size, text, &size);
        return write_initramfs(file, wanted, size);
}
