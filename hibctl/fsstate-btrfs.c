/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * btrfs. Names and offsets: struct btrfs_super_block in include/uapi/linux/btrfs_tree.h of Linux. Only the first
 * superblock counts, as for the kernel's mount: the copies are written after it.
 */
#include <string.h>

#include "fsstate-parts.h"

#define SUPERBLOCK_AT 0x10000 /* BTRFS_SUPER_INFO_OFFSET */
#define SUPERBLOCK_SIZE 4096  /* BTRFS_SUPER_INFO_SIZE */

/* offsets */
#define CHECKSUM 0
#define CHECKED 32 /* the checksum is over all from here */
#define BYTENR 48
#define FLAGS 56
#define MAGIC 64
#define LOG_ROOT 96
#define TOTAL_BYTES 112
#define NUM_DEVICES 136
#define SECTOR_SIZE 144
#define NODE_SIZE 148
#define CHECKSUM_TYPE 196
#define DEVICE_TOTAL_BYTES 209 /* dev_item.total_bytes */

#define CHECKSUM_CRC32C 0
#define FLAG_ERROR 0x4U /* BTRFS_SUPER_FLAG_ERROR */
/* BTRFS_SUPER_FLAG_METADUMP, _METADUMP_V2, _CHANGING_FSID, _CHANGING_FSID_V2, _CHANGING_BG_TREE, _CHANGING_DATA_CSUM,
 * _CHANGING_META_CSUM: not a whole filesystem, or in the middle of a conversion. Bit 32, a seed, is harmless. */
#define FLAGS_UNFINISHED 0x1fe00000000ULL
#define NODE_SIZE_MIN 4096
#define NODE_SIZE_MAX 65536 /* BTRFS_MAX_METADATA_BLOCKSIZE */

static bool is_sane(const uint8_t *sb)
{
        uint32_t sector = get_le32(sb + SECTOR_SIZE), node = get_le32(sb + NODE_SIZE);

        return memcmp(sb + MAGIC, "_BHRfS_M", 8) == 0 && get_le64(sb + BYTENR) == SUPERBLOCK_AT &&
               is_power_of_two(sector) && sector >= NODE_SIZE_MIN && is_power_of_two(node) && node >= sector &&
               node <= NODE_SIZE_MAX && get_le64(sb + NUM_DEVICES) != 0;
}

struct fs_report btrfs_examine(const struct fs_source *source)
{
        uint8_t sb[SUPERBLOCK_SIZE];

        if (!fs_read(source, SUPERBLOCK_AT, sb, sizeof(sb)))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_UNREADABLE);
        if (!is_sane(sb))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_NONSENSE);
        if (get_le16(sb + CHECKSUM_TYPE) != CHECKSUM_CRC32C)
                return FS_REPORT(FS_UNKNOWN, N_("its checksums are of a kind that is not known here"));
        if (~fs_crc(CRC32C_POLYNOMIAL, ~0U, sb + CHECKED, sizeof(sb) - CHECKED) != get_le32(sb + CHECKSUM))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_CHECKSUM);
        /* The others may be missing, or be held by somebody. */
        if (get_le64(sb + NUM_DEVICES) != 1)
                return FS_REPORT(FS_UNKNOWN, FS_WHY_MULTIPLE);
        if (!fs_fits(source, get_le64(sb + TOTAL_BYTES), 1) || !fs_fits(source, get_le64(sb + DEVICE_TOTAL_BYTES), 1))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_SIZE);
        if (get_le64(sb + FLAGS) & FLAGS_UNFINISHED)
                return FS_REPORT(FS_UNKNOWN, N_("it is not whole: a conversion of it was not finished"));
        if (get_le64(sb + FLAGS) & FLAG_ERROR)
                return FS_REPORT(FS_NEEDS_RECOVERY, FS_WHY_ERRORS);
        if (get_le64(sb + LOG_ROOT) != 0)
                return FS_REPORT(FS_NEEDS_RECOVERY, N_("its log holds changes that were not written back"));
        return FS_REPORT_CLEAN;
}
