/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Small filesystems in memory, as far as their state is told from them: what mkfs and an orderly unmount leave. The
 * offsets are written down here once more, on purpose. Shared with tests/fuzz.
 */
#ifndef HIBCTL_TESTS_FSIMAGES_H
#define HIBCTL_TESTS_FSIMAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hibctl/fsstate-parts.h"

enum fsimage_kind {
        IMAGE_EXT2,
        IMAGE_EXT4,     /* journal and checksum */
        IMAGE_EXT4_MMP, /* and multi-mount protection, 64bit, 4 KiB blocks */
        IMAGE_FAT12,
        IMAGE_FAT16,
        IMAGE_FAT32,
        IMAGE_EXFAT,
        IMAGE_EXFAT_4K, /* sectors */
        IMAGE_XFS4,
        IMAGE_XFS5,
        IMAGE_BTRFS,
        IMAGE_F2FS,
        IMAGE_F2FS_MIDDLE, /* the checksum of a checkpoint in its middle; the second pack is the newer one */
        IMAGE_KINDS,
};

static const char *const fsimage_types[IMAGE_KINDS] = {
        "ext2", "ext4", "ext4", "vfat", "vfat", "vfat", "exfat", "exfat", "xfs", "xfs", "btrfs", "f2fs", "f2fs",
};

struct fsimage {
        enum fsimage_kind kind;
        uint8_t *bytes;
        size_t size;
};

static inline void put_le(uint8_t *p, uint64_t value, int width)
{
        for (int i = 0; i < width; i++)
                p[i] = (uint8_t)(value >> (8 * i));
}

static inline void put_be(uint8_t *p, uint64_t value, int width)
{
        for (int i = 0; i < width; i++)
                p[width - 1 - i] = (uint8_t)(value >> (8 * i));
}

/* ---- where the parts are ---- */

#define EXT_SB 1024
#define EXT_MMP_BLOCK 9

#define XFS_BLOCKS 4096U /* of 512 bytes */
#define XFS_LOG_AT 2048U
#define XFS_LOG_BLOCKS 1024U

#define BTRFS_SB 0x10000

#define F2FS_CP 2U /* blocks of 4096 bytes */
#define F2FS_MAIN (F2FS_CP + 1024U)
#define F2FS_BLOCKS (F2FS_MAIN + 1024U)
#define F2FS_WARM_NODE (F2FS_MAIN + 512U + 7U) /* where the next fsynced node would be */

static inline size_t fsimage_size(enum fsimage_kind kind)
{
        switch (kind) {
        case IMAGE_EXT2:
        case IMAGE_EXT4:
                return 64 * 1024;
        case IMAGE_EXT4_MMP:
                return 256 * 1024;
        case IMAGE_FAT12:
                return 512 * 1024;
        case IMAGE_FAT16:
                return 4 * 1024 * 1024;
        case IMAGE_FAT32:
                return 1024 * 1024;
        case IMAGE_EXFAT:
        case IMAGE_EXFAT_4K:
                return 1024 * 1024;
        case IMAGE_XFS4:
        case IMAGE_XFS5:
                return XFS_BLOCKS * 512;
        case IMAGE_BTRFS:
                return 256 * 1024;
        default:
                return (size_t)F2FS_BLOCKS * 4096;
        }
}

/* ---- checksums ---- */

static inline void seal_at(uint8_t *from, size_t size, uint8_t *crc_at, bool invert)
{
        uint32_t crc = fs_crc(CRC32C_POLYNOMIAL, ~0U, from, size);

        put_le(crc_at, invert ? ~crc : crc, 4);
}

static inline void seal_exfat(uint8_t *bytes)
{
        uint32_t sector = 1U << (bytes[108] & 15), sum = 0;

        if (sector < 512 || sector > 4096)
                return;
        for (size_t i = 0; i < (size_t)sector * 11; i++)
                if (i != 106 && i != 107 && i != 112)
                        sum = (sum << 31 | sum >> 1) + bytes[i];
        for (size_t i = 0; i < sector; i += 4)
                put_le(bytes + (size_t)sector * 11 + i, sum, 4);
}

static inline void seal_checkpoint(uint8_t *cp)
{
        uint32_t at = get_le32(cp + 164), crc;

        if (at > 4092)
                return;
        crc = fs_crc(CRC32_POLYNOMIAL, 0xf2f52010U, cp, at);
        if (at < 4092)
                crc = fs_crc(CRC32_POLYNOMIAL, crc, cp + at + 4, 4096 - at - 4);
        put_le(cp + at, crc, 4);
}

static inline void seal_f2fs(uint8_t *bytes)
{
        for (int i = 0; i < 2; i++) {
                uint8_t *sb = bytes + i * 4096 + 1024;

                put_le(sb + 3068, fs_crc(CRC32_POLYNOMIAL, 0xf2f52010U, sb, 3068), 4);
                for (uint32_t block = 0; block < 3; block += 2)
                        seal_checkpoint(bytes + (size_t)(F2FS_CP + (uint32_t)i * 512 + block) * 4096);
        }
}

/* Makes every checksum right again after a change. Those of records in the log of XFS stay 0, as mkfs leaves them. */
static inline void fsimage_seal(struct fsimage *image)
{
        uint8_t *b = image->bytes;

        switch (image->kind) {
        case IMAGE_EXT4:
        case IMAGE_EXT4_MMP:
                seal_at(b + EXT_SB, 0x3fc, b + EXT_SB + 0x3fc, false);
                break;
        case IMAGE_EXFAT:
        case IMAGE_EXFAT_4K:
                seal_exfat(b);
                break;
        case IMAGE_XFS5:
                put_le(b + 224, 0, 4);
                seal_at(b, 512, b + 224, true);
                break;
        case IMAGE_BTRFS:
                seal_at(b + BTRFS_SB + 32, 4096 - 32, b + BTRFS_SB, true);
                break;
        case IMAGE_F2FS:
        case IMAGE_F2FS_MIDDLE:
                seal_f2fs(b);
                break;
        default:
                break;
        }
}

/* ---- the filesystems ---- */

static inline void make_ext(struct fsimage *image)
{
        uint8_t *sb = image->bytes + EXT_SB;
        uint32_t log = image->kind == IMAGE_EXT4_MMP ? 2 : 0;

        put_le(sb + 0x04, image->size >> (10 + log), 4); /* blocks */
        put_le(sb + 0x14, log == 0, 4);                  /* first data block */
        put_le(sb + 0x18, log, 4);
        put_le(sb + 0x20, 8192, 4);  /* blocks per group */
        put_le(sb + 0x28, 16, 4);    /* inodes per group */
        put_le(sb + 0x38, 0xef53, 2);
        put_le(sb + 0x3a, 1, 2);     /* valid */
        put_le(sb + 0x4c, 1, 4);     /* revision */
        put_le(sb + 0x60, 2, 4);     /* filetype */
        if (image->kind == IMAGE_EXT2)
                return;
        put_le(sb + 0x5c, 4, 4);     /* has_journal */
        put_le(sb + 0x64, 0x400, 4); /* metadata_csum */
        sb[0x175] = 1;
        if (image->kind == IMAGE_EXT4)
                return;
        put_le(sb + 0x60, 2 | 0x80 | 0x100, 4);
        put_le(sb + 0x168, EXT_MMP_BLOCK, 8);
        put_le(image->bytes + EXT_MMP_BLOCK * 4096, 0x4d4d50, 4);
        put_le(image->bytes + EXT_MMP_BLOCK * 4096 + 4, 0xff4d4d50, 4);
}

static inline void make_fat(struct fsimage *image)
{
        uint8_t *b = image->bytes;
        bool is_32 = image->kind == IMAGE_FAT32;

        put_le(b + 11, 512, 2);
        b[13] = 1;
        put_le(b + 14, is_32 ? 32 : 1, 2);
        b[16] = 2;
        put_le(b + 17, is_32 ? 0 : 512, 2);
        put_le(b + 19, image->size / 512, 2);
        b[21] = 0xf8;
        put_le(b + 22, is_32 ? 0 : 32, 2);
        put_le(b + (is_32 ? 36 : 22), 32, is_32 ? 4 : 2);
        put_le(b + 510, 0xaa55, 2);
        put_le(b + (is_32 ? 32 : 1) * 512, is_32 ? 0x0fffffff0ffffff8 : 0xfffffff8, is_32 ? 8 : 4);
}

static inline void make_exfat(struct fsimage *image)
{
        uint8_t *b = image->bytes;
        uint32_t shift = image->kind == IMAGE_EXFAT ? 9 : 12;

        memcpy(b, "\xeb\x76\x90" "EXFAT   ", 11);
        put_le(b + 72, image->size >> shift, 8);
        put_le(b + 80, 32, 4);  /* table at */
        put_le(b + 84, 8, 4);   /* its length */
        put_le(b + 88, 48, 4);  /* clusters at */
        put_le(b + 92, 64, 4);  /* clusters */
        put_le(b + 96, 5, 4);   /* root */
        b[108] = (uint8_t)shift;
        b[109] = 1;
        b[110] = 1;
        put_le(b + 510, 0xaa55, 2);
}

static inline uint8_t *xfs_log_block(struct fsimage *image, uint32_t block)
{
        return image->bytes + (size_t)(XFS_LOG_AT + block % XFS_LOG_BLOCKS) * 512;
}

/* Fills the log so that its head is at HEAD (0 to XFS_LOG_BLOCKS - 1): records of four blocks up to there, of which the
 * last is an unmount with DATA_BLOCKS blocks of data. */
static inline void make_xfs_log(struct fsimage *image, uint32_t head, uint32_t cycle, uint32_t data_blocks)
{
        uint32_t before = cycle - 1 == 0xfeedbabe ? cycle - 2 : cycle - 1;
        uint32_t last = (head + XFS_LOG_BLOCKS - 1 - data_blocks) % XFS_LOG_BLOCKS;

        for (uint32_t i = 0; i < XFS_LOG_BLOCKS; i++) {
                uint8_t *block = xfs_log_block(image, i);
                uint32_t stamp = i < head || head == 0 ? cycle : before;

                memset(block, 0, 512);
                if (stamp == 0)
                        continue;
                put_be(block, stamp, 4);
                bool in_last = (i + XFS_LOG_BLOCKS - last) % XFS_LOG_BLOCKS <= data_blocks;
                if (i != last && (i % 4 != 0 || in_last))
                        continue;
                put_be(block, 0xfeedbabe, 4);
                put_be(block + 4, stamp, 4);
                put_be(block + 8, 2, 4);                                   /* version */
                put_be(block + 12, (i == last ? data_blocks : 3) * 512, 4); /* length */
                put_be(block + 16, (uint64_t)stamp << 32 | i, 8);
                put_be(block + 24, (uint64_t)stamp << 32 | (i > 4 ? i - 4 : 0), 8); /* tail */
                put_be(block + 40, i == last ? 1 : 9, 4);                  /* operations */
                memcpy(block + 304, image->bytes + 32, 16);
                put_be(block + 320, 32768, 4);
        }
        uint8_t *op = xfs_log_block(image, last + 1);
        op[8] = 0xaa;
        op[9] = 0x20;
}

static inline void make_xfs(struct fsimage *image)
{
        uint8_t *b = image->bytes;

        put_be(b, 0x58465342, 4);
        put_be(b + 4, 512, 4);
        put_be(b + 8, XFS_BLOCKS, 8);
        memcpy(b + 32, "0123456789abcdef", 16);
        put_be(b + 48, XFS_LOG_AT, 8);
        put_be(b + 84, XFS_BLOCKS, 4);
        put_be(b + 88, 1, 4);
        put_be(b + 96, XFS_LOG_BLOCKS, 4);
        put_be(b + 100, 0xb4a0 | 0x400 | (image->kind == IMAGE_XFS5 ? 5 : 4), 2);
        b[101] = (uint8_t)((b[101] & 0xf0) | (image->kind == IMAGE_XFS5 ? 5 : 4));
        put_be(b + 102, 512, 2);
        b[120] = 9;
        b[124] = 12;
        make_xfs_log(image, 600, 7, 1);
}

static inline void make_btrfs(struct fsimage *image)
{
        uint8_t *sb = image->bytes + BTRFS_SB;

        put_le(sb + 48, BTRFS_SB, 8);
        memcpy(sb + 64, "_BHRfS_M", 8);
        put_le(sb + 72, 6, 8); /* generation */
        put_le(sb + 112, image->size, 8);
        put_le(sb + 136, 1, 8); /* devices */
        put_le(sb + 144, 4096, 4);
        put_le(sb + 148, 16384, 4);
        put_le(sb + 209, image->size, 8);
}

static inline void make_f2fs_pack(uint8_t *first, uint64_t version, bool middle)
{
        uint8_t *last = first + 2 * 4096;

        put_le(first, version, 8);
        put_le(first + 40, 1, 4);   /* cur_node_segno[1] */
        put_le(first + 70, 7, 2);   /* cur_node_blkoff[1] */
        put_le(first + 132, 0x1 | 0x40, 4); /* unmounted, with checksums for recovery */
        put_le(first + 136, 3, 4);  /* blocks in the pack */
        put_le(first + 164, middle ? 192 : 4092, 4);
        memcpy(last, first, 4096);
}

static inline void make_f2fs(struct fsimage *image)
{
        bool middle = image->kind == IMAGE_F2FS_MIDDLE;
        uint8_t *b = image->bytes;

        for (int i = 0; i < 2; i++) {
                uint8_t *sb = b + i * 4096 + 1024;

                put_le(sb, 0xf2f52010, 4);
                put_le(sb + 8, 9, 4);
                put_le(sb + 12, 3, 4);
                put_le(sb + 16, 12, 4);
                put_le(sb + 20, 9, 4);
                put_le(sb + 32, 3068, 4);
                put_le(sb + 36, F2FS_BLOCKS, 8);
                put_le(sb + 52, 2, 4);
                put_le(sb + 68, 2, 4); /* segments of the main area */
                put_le(sb + 72, F2FS_CP, 4);
                put_le(sb + 76, F2FS_CP, 4);
                put_le(sb + 92, F2FS_MAIN, 4);
                put_le(sb + 2180, 0x800, 4);
        }
        make_f2fs_pack(b + F2FS_CP * 4096, middle ? 1000 : 1001, middle);
        make_f2fs_pack(b + (F2FS_CP + 512) * 4096, middle ? 1001 : 1000, middle);
        put_le(b + (size_t)F2FS_WARM_NODE * 4096 + 4084, 900, 8); /* an old node is there */
}

/* Memory of exactly the size; to be freed with fsimage_free. */
static inline struct fsimage fsimage_make(enum fsimage_kind kind)
{
        static void (*const makers[IMAGE_KINDS])(struct fsimage *) = {
                make_ext,   make_ext, make_ext, make_fat,   make_fat,  make_fat,  make_exfat,
                make_exfat, make_xfs, make_xfs, make_btrfs, make_f2fs, make_f2fs,
        };
        struct fsimage image = { .kind = kind, .size = fsimage_size(kind) };

        image.bytes = calloc(1, image.size);
        if (!image.bytes)
                abort();
        makers[kind](&image);
        fsimage_seal(&image);
        return image;
}

static inline void fsimage_free(struct fsimage *image)
{
        free(image->bytes);
        image->bytes = NULL;
}

/* ---- reading them ---- */

/* Counts, and fails where asked to. */
struct fsreader {
        const uint8_t *bytes;
        uint64_t size;
        unsigned int reads;
        uint64_t read_bytes;
        unsigned int fail_at; /* the number of the read, from 1; 0: never */
        bool outside;         /* somebody asked for bytes beyond the end */
};

static inline int fsreader_read(void *context, uint64_t at, void *buf, size_t size)
{
        struct fsreader *r = context;

        r->reads++;
        r->read_bytes += size;
        if (at > r->size || size > r->size - at) {
                r->outside = true;
                return -1;
        }
        if (r->reads == r->fail_at)
                return -1;
        memcpy(buf, r->bytes + at, size);
        return 0;
}

static inline struct fs_report fsreader_examine(struct fsreader *r, const char *type)
{
        struct fs_source source = { .context = r, .read = fsreader_read, .size = r->size };

        return fs_examine(&source, type);
}

/* No type takes more: XFS, both sides of the head of its log, and then the search for a record. */
#define FSREADER_MOST_READS 1500
#define FSREADER_MOST_BYTES (8U * 1024 * 1024)

#endif
