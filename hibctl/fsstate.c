/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include "device.h"
#include "fsstate.h"

static uint32_t le32(const uint8_t *p)
{
        return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t le16(const uint8_t *p)
{
        return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

/* Offsets in struct ext4_super_block, fs/ext4/ext4.h; the superblock is at byte 1024. */
#define EXT_SUPERBLOCK 1024
#define EXT_STATE 0x3a
#define EXT_COMPAT 0x5c
#define EXT_INCOMPAT 0x60
#define EXT_RO_COMPAT 0x64
#define EXT_LAST_ORPHAN 0xe8
#define EXT_STATE_VALID 1U
#define EXT_STATE_ERROR 2U
#define EXT_COMPAT_JOURNAL 0x4U
#define EXT_INCOMPAT_RECOVER 0x4U
#define EXT_RO_COMPAT_ORPHAN_PRESENT 0x10000U

static enum fs_state ext_state(const char *device, bool *journal)
{
        uint8_t sb[1024];

        if (device_read(device, EXT_SUPERBLOCK, sb, sizeof(sb)) < 0)
                return FS_UNKNOWN;
        *journal = le32(sb + EXT_COMPAT) & EXT_COMPAT_JOURNAL;
        if ((le32(sb + EXT_INCOMPAT) & EXT_INCOMPAT_RECOVER) ||
            (le32(sb + EXT_RO_COMPAT) & EXT_RO_COMPAT_ORPHAN_PRESENT) || le32(sb + EXT_LAST_ORPHAN) != 0 ||
            !(le16(sb + EXT_STATE) & EXT_STATE_VALID) || (le16(sb + EXT_STATE) & EXT_STATE_ERROR))
                return FS_DIRTY;
        return FS_CLEAN;
}

/* The volume is dirty while bit 0 of the state byte is set: struct fat_boot_sector, msdos_fs.h. The byte is at another
 * place on FAT32, which is told by a FAT length of 0 in the old field. */
static enum fs_state fat_state(const char *device)
{
        uint8_t sector[512];

        if (device_read(device, 0, sector, sizeof(sector)) < 0)
                return FS_UNKNOWN;
        return sector[le16(sector + 22) == 0 ? 0x41 : 0x25] & 1 ? FS_DIRTY : FS_CLEAN;
}

enum fs_state fs_state(const char *device, const char *type, bool *journal)
{
        bool ignored;

        journal = journal ? journal : &ignored;
        *journal = false;
        if (strncmp(type, "ext", 3) == 0)
                return ext_state(device, journal);
        if (strcmp(type, "vfat") == 0)
                return fat_state(device);
        return FS_UNKNOWN;
}
