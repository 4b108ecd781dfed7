/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include <string.h>

#include "fsstate-parts.h"

static const struct {
        const char *type;
        struct fs_report (*examine)(const struct fs_source *source);
} families[] = {
        { "ext2", ext_examine }, { "ext3", ext_examine },    { "ext4", ext_examine },
        { "vfat", fat_examine }, { "msdos", fat_examine },   { "exfat", exfat_examine },
        { "xfs", xfs_examine },  { "btrfs", btrfs_examine }, { "f2fs", f2fs_examine },
};

struct fs_report fs_examine(const struct fs_source *source, const char *type)
{
        for (size_t i = 0; i < ELEMENTS(families); i++)
                if (strcmp(families[i].type, type) == 0)
                        return families[i].examine(source);
        return FS_REPORT(FS_UNKNOWN, N_("it is not of a type that shows its state in a place that is read here"));
}

bool fs_read(const struct fs_source *source, uint64_t at, void *buf, size_t size)
{
        return at <= source->size && size <= source->size - at && source->read(source->context, at, buf, size) == 0;
}

bool fs_fits(const struct fs_source *source, uint64_t count, uint32_t unit)
{
        return unit != 0 && count != 0 && count <= source->size / unit;
}

uint32_t fs_crc(uint32_t polynomial, uint32_t crc, const void *buf, size_t size)
{
        const uint8_t *p = buf;
        uint32_t table[16];

        /* Four bits at a time: a table that is cheap to make, for two polynomials. */
        for (uint32_t i = 0; i < 16; i++) {
                table[i] = i;
                for (int bit = 0; bit < 4; bit++)
                        table[i] = table[i] >> 1 ^ (table[i] & 1 ? polynomial : 0);
        }
        for (size_t i = 0; i < size; i++) {
                crc ^= p[i];
                crc = crc >> 4 ^ table[crc & 15];
                crc = crc >> 4 ^ table[crc & 15];
        }
        return crc;
}
