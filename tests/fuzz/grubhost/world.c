/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "world.h"

#include <string.h>

#include "fuzz/fuzz.h"

#define N_STORED 4 /* hd2 has the bytes of hd0 */

struct world_disk world_disks[WORLD_N_DISKS];
struct world_variable world_variables[WORLD_N_VARS];
struct world_change world_changes[WORLD_CHANGES_MAX];
size_t world_n_changes;
struct world_setting world_settings[WORLD_SETTINGS_MAX];
size_t world_n_settings;

const struct world_place world_areas[WORLD_N_AREAS] = {
        [WORLD_GPT2] = { WORLD_HD0, 264, 136, "hd0,gpt2" },       [WORLD_GPT3] = { WORLD_HD0, 400, 136, "hd0,gpt3" },
        [WORLD_MSDOS2] = { WORLD_HD1, 264, 136, "hd1,msdos2" },   [WORLD_VOLUME] = { WORLD_LVM, 0, 256, "lvm/s" },
        [WORLD_FLOPPY] = { WORLD_FD0, 0, 136, "fd0" },            [WORLD_FILE0] = { WORLD_HD0, 136, 128, "hd0,gpt1" },
        [WORLD_FILE1] = { WORLD_HD1, 136, 128, "hd1,msdos1" },
};
const struct world_place world_filesystems[WORLD_N_FILESYSTEMS] = {
        [WORLD_FS0] = { WORLD_HD0, 8, 256, "hd0,gpt1" },
        [WORLD_FS1] = { WORLD_HD1, 8, 256, "hd1,msdos1" },
};
const char *const world_drivers[WORLD_N_DRIVERS] = { "ext2", "fat", "btrfs" };
const char *const world_files[WORLD_N_FILES] = {
        [WORLD_GRUBENV] = "/boot/grub/grubenv",
        "/boot/vmlinuz-6.1.0",
        "/boot/initrd.img-6.1.0",
        "/boot/vmlinuz-6.1.0-56-amd64",
        "/boot/initrd.img-6.1.0-56-amd64",
        "/boot/kernel-6.1.0-56-amd64",
        "/boot/initramfs-6.1.0-56-amd64.img",
        "/boot/initrd-6.1.0-56-amd64",
        [WORLD_MODINFO] = "/boot/grub/x86_64-efi/modinfo.sh",
};

uint64_t world_env_sector(const struct world_superblock *sb, uint64_t n)
{
        return WORLD_ENV_AT + (sb->layout & WORLD_FRAGMENTED ? 2 * n : n);
}

/* ---- failing ---- */

static struct {
        bool set, always;
        unsigned int count;
} failures[WORLD_N_FAILURES];
static bool met;

void world_set_failure(enum world_failure kind, unsigned int count, bool always)
{
        failures[kind].set = true;
        failures[kind].count = count;
        failures[kind].always = always;
}

void world_clear_failures(void)
{
        memset(failures, 0, sizeof(failures));
        met = false;
}

bool world_may_fail(void)
{
        return met;
}

bool world_fails(enum world_failure kind)
{
        if (!failures[kind].set)
                return false;
        if (failures[kind].count > 0) {
                failures[kind].count--;
                return false;
        }
        failures[kind].set = failures[kind].always;
        met = true;
        return true;
}

/* ---- disks ---- */

static uint8_t stored[N_STORED][WORLD_SECTORS_MAX * WORLD_SECTOR], fresh[N_STORED][WORLD_SECTORS_MAX * WORLD_SECTOR];
static bool touched[N_STORED][WORLD_SECTORS_MAX];

void world_put(unsigned int disk, uint64_t at, const void *bytes, size_t n)
{
        unsigned int d = world_disks[disk].bytes;

        if (at >= sizeof(stored[d]) || n > sizeof(stored[d]) - at)
                return;
        if (n == 0)
                return;
        memcpy(stored[d] + at, bytes, n);
        for (uint64_t s = at / WORLD_SECTOR; s <= (at + n - 1) / WORLD_SECTOR; s++)
                touched[d][s] = true;
}

void world_get(unsigned int disk, uint64_t at, void *bytes, size_t n)
{
        unsigned int d = world_disks[disk].bytes;

        memset(bytes, 0, n);
        if (at < sizeof(stored[d]))
                memcpy(bytes, stored[d] + at, n < sizeof(stored[d]) - at ? n : sizeof(stored[d]) - at);
}

bool world_is_fresh(unsigned int disk, uint64_t at, size_t n)
{
        unsigned int d = world_disks[disk].bytes;

        return at + n <= sizeof(stored[d]) && memcmp(stored[d] + at, fresh[d] + at, n) == 0;
}

bool world_read(unsigned int disk, uint64_t sector, uint64_t n, void *to)
{
        if (world_fails(WORLD_FAIL_READ))
                return false;
        world_get(disk, sector * WORLD_SECTOR, to, n * WORLD_SECTOR);
        return true;
}

bool world_write(unsigned int disk, uint64_t sector, uint64_t n, const void *from)
{
        const uint8_t *bytes = from;

        if (world_fails(WORLD_FAIL_WRITE))
                return false;
        for (uint64_t i = 0; i < n; i++) {
                struct world_change *change = &world_changes[world_n_changes];

                REQUIRE(world_n_changes < WORLD_CHANGES_MAX);
                change->disk = disk;
                change->sector = sector + i;
                world_get(disk, (sector + i) * WORLD_SECTOR, change->before, WORLD_SECTOR);
                memcpy(change->after, bytes + i * WORLD_SECTOR, WORLD_SECTOR);
                world_n_changes++;
                if (!world_fails(WORLD_LOSE_WRITE))
                        world_put(disk, (sector + i) * WORLD_SECTOR, change->after, WORLD_SECTOR);
        }
        return true;
}

void world_clear_log(void)
{
        world_n_changes = world_n_settings = 0;
}

/* ---- a new machine ---- */

static void put32(uint8_t *p, uint32_t n)
{
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(n >> 8 * i);
}

/* A partition table with one entry for each place on DISK, in order. */
static void make_gpt(uint8_t *disk)
{
        static const uint64_t starts[] = { 8, 264, 400 }, ends[] = { 263, 399, 535 };

        disk[0x1be + 4] = 0xee;
        put32(disk + 0x1be + 8, 1);
        put32(disk + 0x1be + 12, WORLD_SECTORS_MAX - 1);
        disk[0x1fe] = 0x55;
        disk[0x1ff] = 0xaa;
        memcpy(disk + WORLD_SECTOR, "EFI PART\0\0\1\0\x5c", 14);
        put32(disk + WORLD_SECTOR + 72, 2); /* the entries' first sector, their number, their size */
        put32(disk + WORLD_SECTOR + 80, 4);
        put32(disk + WORLD_SECTOR + 84, 128);
        for (int i = 0; i < 3; i++) {
                uint8_t *entry = disk + (size_t)2 * WORLD_SECTOR + (size_t)i * 128;

                memset(entry, 0x11, 16); /* any type */
                /* 00112233-4455-6677-8899-aabbccddee0N */
                memcpy(entry + 16, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee", 15);
                entry[31] = (uint8_t)(i + 1);
                put32(entry + 32, (uint32_t)starts[i]);
                put32(entry + 40, (uint32_t)ends[i]);
        }
}

static void make_mbr(uint8_t *disk)
{
        put32(disk + 0x1b8, 0xdeadbeef);
        disk[0x1be + 4] = 0x83;
        put32(disk + 0x1be + 8, 8);
        put32(disk + 0x1be + 12, 256);
        disk[0x1ce + 4] = 0x82;
        put32(disk + 0x1ce + 8, 264);
        put32(disk + 0x1ce + 12, 136);
        disk[0x1fe] = 0x55;
        disk[0x1ff] = 0xaa;
}

static void make_filesystem(unsigned int n)
{
        static const char *const uuids[] = { "1234-ABCD", "0a1b2c3d-1111-2222-3333-444455556666" };
        static const char modinfo[] = "#!/bin/sh\ngrub_version=\"2.06\"\ngrub_package_version=\"0\"\n";
        uint8_t *at = fresh[world_filesystems[n].disk] + world_filesystems[n].start * WORLD_SECTOR;
        struct world_superblock sb = { .magic = WORLD_MAGIC, .env_size = 1024, .files = 0xff };

        memcpy(sb.uuid, uuids[n], strlen(uuids[n]));
        memcpy(at, &sb, sizeof(sb));
        memset(at + WORLD_ENV_AT * WORLD_SECTOR, '#', 1024);
        memcpy(at + WORLD_ENV_AT * WORLD_SECTOR, "# GRUB Environment Block\n", 25);
        memset(at + WORLD_MODINFO_AT * WORLD_SECTOR, '\n', WORLD_MODINFO_SIZE);
        memcpy(at + WORLD_MODINFO_AT * WORLD_SECTOR, modinfo, sizeof(modinfo) - 1);
}

/* A swap area of pages of 4 KiB; its UUID ends with its number. */
static void make_swap(unsigned int n)
{
        uint8_t *at = fresh[world_areas[n].disk] + world_areas[n].start * WORLD_SECTOR;

        put32(at + 1024, 1);
        put32(at + 1028, 15);
        for (int i = 0; i < 16; i++)
                at[1036 + i] = (uint8_t)(0x11 * (i + 1));
        at[1036 + 15] = (uint8_t)n;
        memcpy(at + 4086, "SWAPSPACE2", 10);
}

static void make_fresh(void)
{
        make_gpt(fresh[WORLD_HD0]);
        make_mbr(fresh[WORLD_HD1]);
        for (unsigned int i = 0; i < WORLD_N_FILESYSTEMS; i++)
                make_filesystem(i);
        for (unsigned int i = WORLD_GPT2; i <= WORLD_FLOPPY; i++)
                make_swap(i);
        memcpy(stored, fresh, sizeof(stored));
}

void world_reset(void)
{
        static const struct world_disk disks[WORLD_N_DISKS] = {
                [WORLD_HD0] = { "hd0", true, WORLD_EFIDISK, 536, WORLD_HD0 },
                [WORLD_HD1] = { "hd1", true, WORLD_EFIDISK, 400, WORLD_HD1 },
                [WORLD_LVM] = { "lvm/s", true, WORLD_DISKFILTER, 256, WORLD_LVM },
                [WORLD_FD0] = { "fd0", true, WORLD_BIOSDISK, 136, WORLD_FD0 },
                [WORLD_HD2] = { "hd2", false, WORLD_EFIDISK, 536, WORLD_HD0 },
        };
        static bool made;

        if (!made)
                make_fresh();
        made = true;
        memcpy(world_disks, disks, sizeof(disks));
        for (unsigned int d = 0; d < N_STORED; d++)
                for (size_t s = 0; s < WORLD_SECTORS_MAX; s++)
                        if (touched[d][s]) {
                                memcpy(stored[d] + s * WORLD_SECTOR, fresh[d] + s * WORLD_SECTOR, WORLD_SECTOR);
                                touched[d][s] = false;
                        }
        for (unsigned int v = 0; v < WORLD_N_VARS; v++) {
                static const char *const names[] = { "HibctlMark", "HibctlTried", "HibernateLocation" };

                world_variables[v].name = names[v];
                world_variables[v].present = false;
                world_variables[v].len = 0;
        }
        world_clear_failures();
        world_clear_log();
}
