/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "device.h"
#include "globals.h"
#include "swaps.h"
#include "util.h"

#define SWAPS_FILE_MAX 65536
#define EXTENTS_MAX 4096

/* ---- /proc/swaps ---- */

/* Undoes the kernel's \ooo for spaces and such, in place. */
static void unescape_octal(char *s)
{
        char *to = s;

        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
                    s[3] <= '7') {
                        *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
                        s += 3;
                } else
                        *to++ = *s;
        }
        *to = '\0';
}

static void take_line(struct swaps *swaps, const char *line)
{
        struct swap_area *area = &swaps->areas[swaps->n];
        char name[4096], type[32];
        unsigned long long size = 0, used = 0;

        if (sscanf(line, "%4095s %31s %llu %llu", name, type, &size, &used) < 2 || name[0] != '/' ||
            strncmp(name, "/dev/zram", 9) == 0 || swaps->n == SWAPS_MAX)
                return;
        unescape_octal(name);
        *area = (struct swap_area){ xstrdup(name), strcmp(type, "file") == 0, size, used };
        swaps->n++;
}

int swaps_read(struct swaps *swaps)
{
        _cleanup_free_ char *path = in_root("/proc/swaps"), *text = NULL;
        ssize_t n = read_whole_file(path, SWAPS_FILE_MAX, &text);
        char *save = NULL;

        *swaps = (struct swaps){ .n = 0 };
        if (n < 0)
                return (int)n;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                take_line(swaps, line);
        return 0;
}

void swaps_free(struct swaps *swaps)
{
        for (; swaps->n > 0; swaps->n--)
                free(swaps->areas[swaps->n - 1].path);
}

/* ---- where a swap file is ---- */

/* The first page of a swap file is where the kernel looks for the header: resume_offset. *BYTE is what the filesystem
 * calls its place. */
static int first_extent(int fd, uint64_t *byte)
{
        _cleanup_free_ struct extent *extents = xmalloc(EXTENTS_MAX * sizeof(*extents));
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        int n = file_extents(fd, page, extents, EXTENTS_MAX);

        if (n < 1 || extents[0].physical % page != 0)
                return -ENOTSUP;
        *byte = extents[0].physical;
        return 0;
}

int swap_file_place(const char *path, dev_t *dev, uint64_t *byte)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        r = first_extent(fd, byte);
        if (r == 0 && major(st.st_dev) == 0)
                r = -EXDEV;
        *dev = st.st_dev;
        return r;
}

/* ---- on btrfs ---- */

/* A chunk's item: the chunk, with one stripe in it already, and as many more as there are. */
static int take_chunk(const struct btrfs_ioctl_search_header *header, const char *item, uint64_t logical,
                      uint64_t *device, uint64_t *byte)
{
        struct btrfs_chunk chunk;

        if (header->type != BTRFS_CHUNK_ITEM_KEY || header->len < sizeof(chunk))
                return -ENOENT;
        memcpy(&chunk, item, sizeof(chunk));
        if (logical < header->offset || logical - header->offset >= le64toh(chunk.length))
                return -ENOENT;
        /* Nothing in two places, and nothing in pieces: the kernel takes no other swap file either. */
        if ((le64toh(chunk.type) & BTRFS_BLOCK_GROUP_PROFILE_MASK) || le16toh(chunk.num_stripes) != 1)
                return -ENOTSUP;
        *device = le64toh(chunk.stripe.devid);
        *byte = le64toh(chunk.stripe.offset) + (logical - header->offset);
        return 0;
}

/* The chunk that LOGICAL is in is the last one that begins at it or before: the keys are their beginnings. The search
 * goes upwards only, so that all of them are looked at. */
static int find_chunk(int fd, uint64_t logical, uint64_t *device, uint64_t *byte)
{
        struct btrfs_ioctl_search_args args = { .key = { .tree_id = BTRFS_CHUNK_TREE_OBJECTID,
                                                         .min_objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID,
                                                         .max_objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID,
                                                         .min_type = BTRFS_CHUNK_ITEM_KEY,
                                                         .max_type = BTRFS_CHUNK_ITEM_KEY,
                                                         .max_offset = logical,
                                                         .max_transid = UINT64_MAX } };
        int r = -ENOENT;

        for (;;) {
                struct btrfs_ioctl_search_header header = { .len = 0 };
                size_t at = 0;

                args.key.nr_items = 4096;
                if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args) < 0)
                        return -errno;
                if (args.key.nr_items == 0)
                        return -ENOENT;
                for (uint32_t i = 0; i < args.key.nr_items && r == -ENOENT; i++, at += header.len) {
                        if (sizeof(args.buf) - at < sizeof(header))
                                return -EBADMSG;
                        memcpy(&header, args.buf + at, sizeof(header));
                        at += sizeof(header);
                        if (header.len > sizeof(args.buf) - at)
                                return -EBADMSG;
                        r = take_chunk(&header, args.buf + at, logical, device, byte);
                }
                if (r != -ENOENT || header.offset >= logical)
                        return r;
                args.key.min_offset = header.offset + 1;
        }
}

int swap_file_place_btrfs(const char *path, dev_t *dev, uint64_t *byte)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct btrfs_ioctl_dev_info_args info = { .devid = 0 };
        uint64_t logical, device = 0;
        struct statfs fs;
        int r;

        if (fd < 0 || fstatfs(fd, &fs) < 0)
                return -errno;
        if ((unsigned int)fs.f_type != BTRFS_SUPER_MAGIC)
                return -EXDEV;
        r = first_extent(fd, &logical);
        if (r == 0)
                r = find_chunk(fd, logical, &device, byte);
        info.devid = device;
        if (r == 0 && ioctl(fd, BTRFS_IOC_DEV_INFO, &info) < 0)
                r = -errno;
        if (r < 0)
                return r;
        info.path[sizeof(info.path) - 1] = '\0';
        return device_number((const char *)info.path, dev);
}
