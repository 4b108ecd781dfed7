/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What the files fsstate-*.c, one for each family of filesystems, share.
 */
#ifndef HIBCTL_FSSTATE_PARTS_H
#define HIBCTL_FSSTATE_PARTS_H

#include "fsstate.h"
#include "util.h"

/* As in say.h, which pure code does not need: marks a text that is translated where it is said. */
#ifndef N_
#define N_(text) text
#endif

struct fs_report ext_examine(const struct fs_source *source);
struct fs_report fat_examine(const struct fs_source *source);
struct fs_report exfat_examine(const struct fs_source *source);
struct fs_report xfs_examine(const struct fs_source *source);
struct fs_report btrfs_examine(const struct fs_source *source);
struct fs_report f2fs_examine(const struct fs_source *source);

/* False if the bytes are not all inside the source, or cannot be read. */
bool fs_read(const struct fs_source *source, uint64_t at, void *buf, size_t size);

/* Whether COUNT units of UNIT bytes fit into the source. */
bool fs_fits(const struct fs_source *source, uint64_t count, uint32_t unit);

/* The register of a reflected 32-bit CRC after SIZE more bytes; neither its start nor its end is inverted here. */
uint32_t fs_crc(uint32_t polynomial, uint32_t crc, const void *buf, size_t size);
#define CRC32_POLYNOMIAL 0xedb88320U  /* CRC32_POLY_LE, include/linux/crc32poly.h */
#define CRC32C_POLYNOMIAL 0x82f63b78U /* CRC32C_POLY_LE, the same file */

/* The report of a filesystem that is not clean: "return FS_REPORT(FS_UNKNOWN, FS_WHY_CHECKSUM);" */
#define FS_REPORT(s, why) ((struct fs_report){ .state = (s), .reason = (why) })
#define FS_REPORT_CLEAN FS_REPORT(FS_CLEAN, NULL)

/* What several families have to say. */
#define FS_WHY_UNREADABLE N_("its superblock cannot be read")
#define FS_WHY_NONSENSE N_("its superblock makes no sense")
#define FS_WHY_CHECKSUM N_("the checksum of its superblock is wrong")
#define FS_WHY_SIZE N_("it is larger than its device")
#define FS_WHY_MULTIPLE N_("it is spread over several devices")
#define FS_WHY_ERRORS N_("it has a note that errors were found in it")
#define FS_WHY_MARKED N_("it is marked as mounted: it is mounted somewhere, or was not unmounted in order")

static inline uint16_t get_le16(const uint8_t *p)
{
        return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_le32(const uint8_t *p)
{
        return (uint32_t)get_le16(p) | (uint32_t)get_le16(p + 2) << 16;
}

static inline uint64_t get_le64(const uint8_t *p)
{
        return (uint64_t)get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

static inline uint16_t get_be16(const uint8_t *p)
{
        return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
        return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static inline uint64_t get_be64(const uint8_t *p)
{
        return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

/* Exactly one bit is set. */
static inline bool is_power_of_two(uint32_t n)
{
        return n != 0 && (n & (n - 1)) == 0;
}

#endif
