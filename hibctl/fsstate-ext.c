/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * ext2, ext3 and ext4. Names and offsets: struct ext4_super_block and struct mmp_struct in fs/ext4/ext4.h of Linux.
 */
#include "fsstate-parts.h"

#define SUPERBLOCK_AT 1024
#define SUPERBLOCK_SIZE 1024

/* offsets */
#define BLOCKS_COUNT 0x04
#define FIRST_DATA_BLOCK 0x14
#define LOG_BLOCK_SIZE 0x18
#define BLOCKS_PER_GROUP 0x20
#define INODES_PER_GROUP 0x28
#define MAGIC 0x38
#define STATE 0x3a
#define REV_LEVEL 0x4c
#define COMPAT 0x5c
#define INCOMPAT 0x60
#define RO_COMPAT 0x64
#define LAST_ORPHAN 0xe8
#define BLOCKS_COUNT_HI 0x150
#define MMP_BLOCK 0x168
#define CHECKSUM_TYPE 0x175
#define CHECKSUM 0x3fc

#define MAGIC_VALUE 0xef53
#define STATE_VALID 0x1U
#define STATE_ERROR 0x2U
#define STATE_ORPHAN 0x4U
#define COMPAT_JOURNAL 0x4U
#define INCOMPAT_RECOVER 0x4U
#define INCOMPAT_JOURNAL_DEVICE 0x8U
#define INCOMPAT_64BIT 0x80U
#define INCOMPAT_MMP 0x100U
#define RO_COMPAT_METADATA_CSUM 0x400U
#define RO_COMPAT_ORPHAN_PRESENT 0x10000U
#define CHECKSUM_CRC32C 1
#define MAX_LOG_BLOCK_SIZE 6 /* 64 KiB: EXT4_MAX_BLOCK_LOG_SIZE is 16, counted from 1 */
#define MAX_REVISION 1       /* EXT4_MAX_SUPP_REV */

#define MMP_MAGIC 0x4d4d50U
#define MMP_SEQUENCE 4        /* offset */
#define MMP_CLEAN 0xff4d4d50U /* EXT4_MMP_SEQ_CLEAN: nobody has it */
#define MMP_RECORD_SIZE 1024  /* sizeof(struct mmp_struct) */

static bool is_sane(const uint8_t *sb)
{
        return get_le16(sb + MAGIC) == MAGIC_VALUE && get_le32(sb + LOG_BLOCK_SIZE) <= MAX_LOG_BLOCK_SIZE &&
               get_le32(sb + FIRST_DATA_BLOCK) == (get_le32(sb + LOG_BLOCK_SIZE) == 0 ? 1 : 0) &&
               get_le32(sb + BLOCKS_PER_GROUP) != 0 && get_le32(sb + INODES_PER_GROUP) != 0 &&
               get_le32(sb + REV_LEVEL) <= MAX_REVISION;
}

static bool checksum_is_right(const uint8_t *sb)
{
        if (!(get_le32(sb + RO_COMPAT) & RO_COMPAT_METADATA_CSUM))
                return true;
        return sb[CHECKSUM_TYPE] == CHECKSUM_CRC32C &&
               fs_crc(CRC32C_POLYNOMIAL, ~0U, sb, CHECKSUM) == get_le32(sb + CHECKSUM);
}

/* Who has it mounted counts up in a block of its own, and that goes on while it is frozen. */
static struct fs_report examine_mmp(const struct fs_source *source, const uint8_t *sb, uint64_t blocks)
{
        uint64_t block = get_le64(sb + MMP_BLOCK);
        uint8_t mmp[MMP_RECORD_SIZE];

        if (block >= blocks || !fs_read(source, block << (10 + get_le32(sb + LOG_BLOCK_SIZE)), mmp, sizeof(mmp)) ||
            get_le32(mmp) != MMP_MAGIC)
                return FS_REPORT(FS_UNKNOWN, N_("its block for multi-mount protection cannot be read"));
        if (get_le32(mmp + MMP_SEQUENCE) != MMP_CLEAN)
                return FS_REPORT(FS_MARKED_MOUNTED, FS_WHY_MARKED);
        return FS_REPORT_CLEAN;
}

static struct fs_report examine_flags(const uint8_t *sb)
{
        uint32_t state = get_le16(sb + STATE);

        if (get_le32(sb + INCOMPAT) & INCOMPAT_RECOVER)
                return FS_REPORT(FS_NEEDS_RECOVERY, N_("its journal needs recovery"));
        if (state & STATE_ERROR)
                return FS_REPORT(FS_NEEDS_RECOVERY, FS_WHY_ERRORS);
        if ((get_le32(sb + RO_COMPAT) & RO_COMPAT_ORPHAN_PRESENT) || get_le32(sb + LAST_ORPHAN) != 0 ||
            (state & STATE_ORPHAN))
                return FS_REPORT(FS_NEEDS_RECOVERY, N_("files that were deleted while open wait to be removed"));
        if (!(state & STATE_VALID))
                return FS_REPORT(FS_MARKED_MOUNTED, FS_WHY_MARKED);
        return FS_REPORT_CLEAN;
}

struct fs_report ext_examine(const struct fs_source *source)
{
        struct fs_report report;
        uint8_t sb[SUPERBLOCK_SIZE];

        if (!fs_read(source, SUPERBLOCK_AT, sb, sizeof(sb)))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_UNREADABLE);
        if (!is_sane(sb))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_NONSENSE);
        if (!checksum_is_right(sb))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_CHECKSUM);
        uint32_t incompat = get_le32(sb + INCOMPAT);
        uint64_t blocks = get_le32(sb + BLOCKS_COUNT);
        if (incompat & INCOMPAT_64BIT)
                blocks |= (uint64_t)get_le32(sb + BLOCKS_COUNT_HI) << 32;
        if (!fs_fits(source, blocks, 1024U << get_le32(sb + LOG_BLOCK_SIZE)))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_SIZE);
        if (incompat & INCOMPAT_JOURNAL_DEVICE)
                return FS_REPORT(FS_UNKNOWN, N_("it is the journal of another filesystem"));
        report = examine_flags(sb);
        if (report.state == FS_CLEAN && (incompat & INCOMPAT_MMP))
                report = examine_mmp(source, sb, blocks);
        report.journal = get_le32(sb + COMPAT) & COMPAT_JOURNAL;
        return report;
}
