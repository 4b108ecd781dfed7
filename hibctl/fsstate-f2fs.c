/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * F2FS. Names and offsets: struct f2fs_super_block, struct f2fs_checkpoint and struct node_footer in
 * include/linux/f2fs_fs.h of Linux. Two superblocks; two packs of checkpoints, of which the newer one that is whole
 * counts. What was fsynced after a checkpoint is found, and replayed, from the chain of nodes that begins at the next
 * free block of the log for such nodes.
 */
#include <string.h>

#include "fsstate-parts.h"

#define BLOCK_SIZE 4096
#define LOG_BLOCK_SIZE 12
#define SUPERBLOCK_IN_BLOCK 1024 /* F2FS_SUPER_OFFSET; in block 0 and block 1 */
#define SUPERBLOCK_SIZE 3072

/* offsets in the superblock */
#define SB_MAGIC 0
#define SB_LOG_SECTOR_SIZE 8
#define SB_LOG_SECTORS_PER_BLOCK 12
#define SB_LOG_BLOCK_SIZE 16
#define SB_LOG_BLOCKS_PER_SEGMENT 20
#define SB_CHECKSUM_AT 32
#define SB_BLOCK_COUNT 36
#define SB_SEGMENTS_OF_CHECKPOINTS 52
#define SB_SEGMENTS_OF_MAIN 68
#define SB_SEGMENT0_AT 72
#define SB_CHECKPOINTS_AT 76
#define SB_MAIN_AT 92
#define SB_FEATURES 2180
#define SB_DEVICES 2201 /* the path of the first of several devices */
#define SB_CHECKSUM 3068

#define SB_MAGIC_VALUE 0xf2f52010U
#define FEATURE_SB_CHECKSUM 0x800U
#define LOG_SEGMENT_BLOCKS 9
#define SEGMENT_BLOCKS (1U << LOG_SEGMENT_BLOCKS)

/* offsets in the first block of a checkpoint */
#define CP_VERSION 0
#define CP_WARM_NODE_SEGMENT 40 /* cur_node_segno[1] */
#define CP_WARM_NODE_BLOCK 70   /* cur_node_blkoff[1] */
#define CP_FLAGS 132
#define CP_BLOCKS 136
#define CP_CHECKSUM_AT 164

#define CP_CHECKSUM_MIN 192              /* CP_MIN_CHKSUM_OFFSET */
#define CP_CHECKSUM_MAX (BLOCK_SIZE - 4) /* CP_CHKSUM_OFFSET */
#define CP_BLOCKS_MIN 3                  /* more than F2FS_CP_PACKS */
#define CP_UMOUNT 0x1U
#define CP_ORPHANS 0x2U
#define CP_ERROR 0x8U
#define CP_FSCK 0x10U
#define CP_QUOTA_FSCK 0x800U
#define CP_DISABLED 0x1000U
#define CP_RESIZE 0x4000U

#define NODE_VERSION 4084 /* footer.cp_ver in the block of a node */

struct f2fs {
        uint32_t checkpoints, main; /* blocks where these areas start */
        uint32_t main_segments;
};

static uint32_t f2fs_crc(uint32_t crc, const uint8_t *buf, size_t size)
{
        return fs_crc(CRC32_POLYNOMIAL, crc, buf, size);
}

static bool superblock_is_sane(const uint8_t *sb)
{
        uint64_t blocks = get_le64(sb + SB_BLOCK_COUNT), main = get_le32(sb + SB_MAIN_AT);
        uint64_t checkpoints = get_le32(sb + SB_CHECKPOINTS_AT);
        uint64_t main_blocks = (uint64_t)get_le32(sb + SB_SEGMENTS_OF_MAIN) << LOG_SEGMENT_BLOCKS;

        if (get_le32(sb + SB_MAGIC) != SB_MAGIC_VALUE || get_le32(sb + SB_LOG_BLOCK_SIZE) != LOG_BLOCK_SIZE ||
            get_le32(sb + SB_LOG_BLOCKS_PER_SEGMENT) != LOG_SEGMENT_BLOCKS ||
            get_le32(sb + SB_LOG_SECTOR_SIZE) > LOG_BLOCK_SIZE ||
            get_le32(sb + SB_LOG_SECTOR_SIZE) + (uint64_t)get_le32(sb + SB_LOG_SECTORS_PER_BLOCK) != LOG_BLOCK_SIZE)
                return false;
        if (get_le32(sb + SB_SEGMENTS_OF_CHECKPOINTS) != 2 || get_le32(sb + SB_SEGMENT0_AT) != checkpoints ||
            checkpoints < 2 || checkpoints + 2 * SEGMENT_BLOCKS > main || main_blocks == 0 ||
            main + main_blocks > blocks)
                return false;
        return true;
}

static bool superblock_is_right(const uint8_t *sb)
{
        if (!superblock_is_sane(sb))
                return false;
        if (!(get_le32(sb + SB_FEATURES) & FEATURE_SB_CHECKSUM))
                return true;
        return get_le32(sb + SB_CHECKSUM_AT) == SB_CHECKSUM &&
               f2fs_crc(SB_MAGIC_VALUE, sb, SB_CHECKSUM) == get_le32(sb + SB_CHECKSUM);
}

/* ---- checkpoints ---- */

/* Reads the first or last block of a pack; false if its checksum is wrong. */
static bool read_checkpoint_block(const struct fs_source *source, uint64_t block, uint8_t *cp)
{
        if (!fs_read(source, block * BLOCK_SIZE, cp, BLOCK_SIZE))
                return false;
        uint32_t at = get_le32(cp + CP_CHECKSUM_AT);
        if (at < CP_CHECKSUM_MIN || at > CP_CHECKSUM_MAX)
                return false;
        uint32_t crc = f2fs_crc(SB_MAGIC_VALUE, cp, at);
        if (at < CP_CHECKSUM_MAX) /* a checksum in the middle leaves out itself */
                crc = f2fs_crc(crc, cp + at + 4, BLOCK_SIZE - at - 4);
        return crc == get_le32(cp + at);
}

/* A pack is whole if its first and its last block are of the same version. */
static bool read_pack(const struct fs_source *source, uint32_t start, uint8_t *cp)
{
        uint8_t last[BLOCK_SIZE];

        if (!read_checkpoint_block(source, start, cp))
                return false;
        uint32_t blocks = get_le32(cp + CP_BLOCKS);
        return blocks >= CP_BLOCKS_MIN && blocks <= SEGMENT_BLOCKS &&
               read_checkpoint_block(source, (uint64_t)start + blocks - 1, last) &&
               get_le64(last + CP_VERSION) == get_le64(cp + CP_VERSION);
}

/* False if neither pack is whole. */
static bool newest_checkpoint(const struct fs_source *source, const struct f2fs *fs, uint8_t *cp)
{
        uint8_t second[BLOCK_SIZE];
        bool have_first = read_pack(source, fs->checkpoints, cp);
        bool have_second = read_pack(source, fs->checkpoints + SEGMENT_BLOCKS, second);

        /* Versions only grow, but may wrap: ver_after() in fs/f2fs/f2fs.h. */
        if (have_second && (!have_first || (int64_t)(get_le64(second + CP_VERSION) - get_le64(cp + CP_VERSION)) > 0))
                memcpy(cp, second, BLOCK_SIZE);
        return have_first || have_second;
}

/* A node that was fsynced after this checkpoint bears its version; only the lower half of it, because the upper one may
 * hold a checksum instead. Written by fsync even while the flags still say "unmounted". */
static struct fs_report examine_fsynced(const struct fs_source *source, const struct f2fs *fs, const uint8_t *cp)
{
        uint32_t segment = get_le32(cp + CP_WARM_NODE_SEGMENT), in_segment = get_le16(cp + CP_WARM_NODE_BLOCK);
        uint8_t node[BLOCK_SIZE];
        uint64_t block;

        if (segment >= fs->main_segments || in_segment >= SEGMENT_BLOCKS)
                return FS_REPORT(FS_UNKNOWN, N_("its checkpoint makes no sense"));
        block = fs->main + ((uint64_t)segment << LOG_SEGMENT_BLOCKS) + in_segment;
        if (!fs_read(source, block * BLOCK_SIZE, node, sizeof(node)))
                return FS_REPORT(FS_UNKNOWN, N_("its log of nodes cannot be read"));
        if (get_le32(node + NODE_VERSION) == get_le32(cp + CP_VERSION))
                return FS_REPORT(FS_NEEDS_RECOVERY, N_("its log holds changes that were not written back"));
        return FS_REPORT_CLEAN;
}

static struct fs_report examine_checkpoint(const struct fs_source *source, const struct f2fs *fs)
{
        uint8_t cp[BLOCK_SIZE];

        if (!newest_checkpoint(source, fs, cp))
                return FS_REPORT(FS_UNKNOWN, N_("it has no checkpoint that is whole"));
        uint32_t flags = get_le32(cp + CP_FLAGS);
        if (flags & (CP_ERROR | CP_FSCK | CP_QUOTA_FSCK))
                return FS_REPORT(FS_NEEDS_RECOVERY, FS_WHY_ERRORS);
        if (flags & (CP_DISABLED | CP_RESIZE))
                return FS_REPORT(FS_NEEDS_RECOVERY,
                                 N_("its checkpoints are switched off, or a resize was not finished"));
        if (!(flags & CP_UMOUNT))
                return FS_REPORT(FS_MARKED_MOUNTED, FS_WHY_MARKED);
        if (flags & CP_ORPHANS)
                return FS_REPORT(FS_NEEDS_RECOVERY, N_("files that were deleted while open wait to be removed"));
        return examine_fsynced(source, fs, cp);
}

struct fs_report f2fs_examine(const struct fs_source *source)
{
        uint8_t sb[2][SUPERBLOCK_SIZE];
        bool right[2];

        for (int i = 0; i < 2; i++) {
                if (!fs_read(source, (uint64_t)i * BLOCK_SIZE + SUPERBLOCK_IN_BLOCK, sb[i], SUPERBLOCK_SIZE))
                        return FS_REPORT(FS_UNKNOWN, FS_WHY_UNREADABLE);
                right[i] = superblock_is_right(sb[i]);
        }
        if (!right[0] && !right[1])
                return FS_REPORT(FS_UNKNOWN, superblock_is_sane(sb[0]) ? FS_WHY_CHECKSUM : FS_WHY_NONSENSE);
        if (!right[0] || !right[1])
                return FS_REPORT(FS_NEEDS_RECOVERY, N_("one of its two superblocks is broken"));
        if (sb[0][SB_DEVICES] != '\0')
                return FS_REPORT(FS_UNKNOWN, FS_WHY_MULTIPLE);
        if (!fs_fits(source, get_le64(sb[0] + SB_BLOCK_COUNT), BLOCK_SIZE))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_SIZE);
        return examine_checkpoint(source, &(struct f2fs){ .checkpoints = get_le32(sb[0] + SB_CHECKPOINTS_AT),
                                                          .main = get_le32(sb[0] + SB_MAIN_AT),
                                                          .main_segments = get_le32(sb[0] + SB_SEGMENTS_OF_MAIN) });
}
