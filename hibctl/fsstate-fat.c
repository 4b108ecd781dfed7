/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * FAT12, FAT16, FAT32: struct fat_boot_sector in include/uapi/linux/msdos_fs.h, and Microsoft's "FAT File System
 * Specification" for the bits in the second entry of the table. exFAT: Microsoft's "exFAT file system specification",
 * chapter 3, and struct boot_sector in fs/exfat/exfat_raw.h.
 */
#include <string.h>

#include "fsstate-parts.h"

#define SECTOR_MIN 512
#define SECTOR_MAX 4096
#define SIGNATURE 510 /* 0x55 0xaa, in FAT and exFAT alike */
#define SIGNATURE_VALUE 0xaa55

/* ---- FAT ---- */

/* offsets */
#define SECTOR_SIZE 11
#define CLUSTER_SECTORS 13
#define RESERVED_SECTORS 14
#define TABLES 16
#define ROOT_ENTRIES 17
#define SECTORS_16 19
#define MEDIA 21
#define TABLE_SECTORS_16 22
#define SECTORS_32 32
#define TABLE_SECTORS_32 36
#define STATE_16 0x25
#define STATE_32 0x41

#define STATE_DIRTY 0x1U   /* FAT_STATE_DIRTY; Windows sets it too */
#define STATE_SUSPECT 0x2U /* Windows: a test of the medium is wanted */
#define DIR_ENTRY_SIZE 32
#define MAX_CLUSTERS_FAT12 4084  /* MAX_FAT12 */
#define MAX_CLUSTERS_FAT16 65524 /* MAX_FAT16 */
#define MAX_CLUSTERS_FAT32 0x0ffffff6U

struct fat {
        uint32_t sector_size, reserved, tables, table_sectors, sectors, clusters;
        int bits; /* of an entry of the table: 12, 16, 32 */
};

static bool fat_parse(const uint8_t *boot, struct fat *fat)
{
        uint32_t per_cluster = boot[CLUSTER_SECTORS];
        uint64_t overhead;

        *fat = (struct fat){
                .sector_size = get_le16(boot + SECTOR_SIZE),
                .reserved = get_le16(boot + RESERVED_SECTORS),
                .tables = boot[TABLES],
                .table_sectors = get_le16(boot + TABLE_SECTORS_16),
                .sectors = get_le16(boot + SECTORS_16),
        };
        bool is_32 = fat->table_sectors == 0;
        if (is_32)
                fat->table_sectors = get_le32(boot + TABLE_SECTORS_32);
        if (fat->sectors == 0)
                fat->sectors = get_le32(boot + SECTORS_32);
        if (!is_power_of_two(fat->sector_size) || fat->sector_size < SECTOR_MIN || fat->sector_size > SECTOR_MAX ||
            !is_power_of_two(per_cluster) || fat->reserved == 0 || fat->tables == 0 || fat->table_sectors == 0 ||
            (boot[MEDIA] != 0xf0 && boot[MEDIA] < 0xf8) || get_le16(boot + SIGNATURE) != SIGNATURE_VALUE)
                return false;
        overhead = fat->reserved + (uint64_t)fat->tables * fat->table_sectors +
                   ((uint64_t)get_le16(boot + ROOT_ENTRIES) * DIR_ENTRY_SIZE + fat->sector_size - 1) / fat->sector_size;
        if (overhead >= fat->sectors)
                return false;
        fat->clusters = (uint32_t)(fat->sectors - overhead) / per_cluster;
        fat->bits = is_32 ? 32 : fat->clusters <= MAX_CLUSTERS_FAT12 ? 12 : 16;
        return fat->clusters != 0 && fat->clusters <= (is_32 ? MAX_CLUSTERS_FAT32 : MAX_CLUSTERS_FAT16);
}

/* The first two entries of the table are no clusters: the first repeats the media byte; the second ends with two bits
 * that Windows clears while it has the volume mounted, and after errors. FAT12 has no room for them. */
static struct fs_report fat_examine_table(const struct fs_source *source, const struct fat *fat, uint8_t media)
{
        uint8_t entries[8];
        uint32_t second, unmounted, no_errors;

        if (!fs_read(source, (uint64_t)fat->reserved * fat->sector_size, entries, sizeof(entries)))
                return FS_REPORT(FS_UNKNOWN, N_("its table cannot be read"));
        if (entries[0] != media)
                return FS_REPORT(FS_UNKNOWN, N_("its table makes no sense"));
        if (fat->bits == 12)
                return FS_REPORT_CLEAN;
        second = fat->bits == 16 ? get_le16(entries + 2) : get_le32(entries + 4);
        unmounted = fat->bits == 16 ? 0x8000U : 0x8000000U;
        no_errors = unmounted >> 1;
        if (!(second & unmounted))
                return FS_REPORT(FS_MARKED_MOUNTED, FS_WHY_MARKED);
        if (!(second & no_errors))
                return FS_REPORT(FS_NEEDS_RECOVERY, FS_WHY_ERRORS);
        return FS_REPORT_CLEAN;
}

struct fs_report fat_examine(const struct fs_source *source)
{
        uint8_t boot[SECTOR_MIN];
        struct fat fat;

        if (!fs_read(source, 0, boot, sizeof(boot)))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_UNREADABLE);
        if (!fat_parse(boot, &fat))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_NONSENSE);
        if (!fs_fits(source, fat.sectors, fat.sector_size))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_SIZE);
        uint8_t state = boot[fat.bits == 32 ? STATE_32 : STATE_16];
        if (state & STATE_DIRTY)
                return FS_REPORT(FS_MARKED_MOUNTED, FS_WHY_MARKED);
        if (state & STATE_SUSPECT)
                return FS_REPORT(FS_NEEDS_RECOVERY, FS_WHY_ERRORS);
        return fat_examine_table(source, &fat, boot[MEDIA]);
}

/* ---- exFAT ---- */

/* offsets */
#define EX_NAME 3
#define EX_ZERO 11
#define EX_VOLUME_LENGTH 72
#define EX_TABLE_AT 80
#define EX_TABLE_LENGTH 84
#define EX_HEAP_AT 88
#define EX_CLUSTERS 92
#define EX_ROOT_CLUSTER 96
#define EX_FLAGS 106
#define EX_SECTOR_SHIFT 108
#define EX_CLUSTER_SHIFT 109
#define EX_TABLES 110
#define EX_PERCENT 112

#define EX_ZERO_SIZE 53
#define EX_SECTOR_SHIFT_MIN 9
#define EX_SECTOR_SHIFT_MAX 12
#define EX_SHIFT_SUM_MAX 25
#define EX_DIRTY 0x2U
#define EX_MEDIA_FAILURE 0x4U
#define EX_CHECKED_SECTORS 11 /* of the boot region; the twelfth repeats the checksum of these */

static bool exfat_is_sane(const uint8_t *boot)
{
        static const uint8_t zero[EX_ZERO_SIZE];
        uint32_t shift = boot[EX_SECTOR_SHIFT], clusters = get_le32(boot + EX_CLUSTERS);
        uint32_t root = get_le32(boot + EX_ROOT_CLUSTER);
        uint64_t length = get_le64(boot + EX_VOLUME_LENGTH), heap = get_le32(boot + EX_HEAP_AT);

        if (memcmp(boot + EX_NAME, "EXFAT   ", 8) != 0 || memcmp(boot + EX_ZERO, zero, sizeof(zero)) != 0 ||
            get_le16(boot + SIGNATURE) != SIGNATURE_VALUE)
                return false;
        if (shift < EX_SECTOR_SHIFT_MIN || shift > EX_SECTOR_SHIFT_MAX ||
            shift + boot[EX_CLUSTER_SHIFT] > EX_SHIFT_SUM_MAX || boot[EX_TABLES] < 1 || boot[EX_TABLES] > 2)
                return false;
        return get_le32(boot + EX_TABLE_AT) + (uint64_t)get_le32(boot + EX_TABLE_LENGTH) * boot[EX_TABLES] <= heap &&
               clusters != 0 && heap + ((uint64_t)clusters << boot[EX_CLUSTER_SHIFT]) <= length && root >= 2 &&
               root - 2 < clusters;
}

/* All bytes count but the flags and the percentage in use, which change while it is mounted. */
static uint32_t exfat_add(uint32_t sum, const uint8_t *sector, size_t size, bool first)
{
        for (size_t i = 0; i < size; i++)
                if (!first || (i != EX_FLAGS && i != EX_FLAGS + 1 && i != EX_PERCENT))
                        sum = (sum << 31 | sum >> 1) + sector[i];
        return sum;
}

/* False if the boot region cannot be read or its checksum is wrong. */
static bool exfat_region_is_right(const struct fs_source *source, uint32_t sector_size)
{
        uint8_t sector[SECTOR_MAX];
        uint32_t sum = 0;

        for (uint32_t i = 0; i <= EX_CHECKED_SECTORS; i++) {
                if (!fs_read(source, (uint64_t)i * sector_size, sector, sector_size))
                        return false;
                if (i < EX_CHECKED_SECTORS)
                        sum = exfat_add(sum, sector, sector_size, i == 0);
        }
        return get_le32(sector) == sum;
}

struct fs_report exfat_examine(const struct fs_source *source)
{
        uint8_t boot[SECTOR_MIN];

        if (!fs_read(source, 0, boot, sizeof(boot)))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_UNREADABLE);
        if (!exfat_is_sane(boot))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_NONSENSE);
        if (!fs_fits(source, get_le64(boot + EX_VOLUME_LENGTH), 1U << boot[EX_SECTOR_SHIFT]))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_SIZE);
        if (!exfat_region_is_right(source, 1U << boot[EX_SECTOR_SHIFT]))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_CHECKSUM);
        uint32_t flags = get_le16(boot + EX_FLAGS);
        if (flags & EX_DIRTY)
                return FS_REPORT(FS_MARKED_MOUNTED, FS_WHY_MARKED);
        if (flags & EX_MEDIA_FAILURE)
                return FS_REPORT(FS_NEEDS_RECOVERY, FS_WHY_ERRORS);
        return FS_REPORT_CLEAN;
}
