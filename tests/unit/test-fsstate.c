/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The state of filesystems, from bytes. Real ones, made by mkfs and mounted by Linux, are in tests/cli and tests/vm;
 * here are the rare signs of dirt, and bytes that no filesystem ever wrote.
 */
#include "testing.h"

#include "fsimages.h"
#include "prng.h"

static const char *const types[] = { "ext2", "ext3", "ext4", "vfat", "msdos", "exfat", "xfs", "btrfs", "f2fs" };

static struct fs_report examine_bytes(const uint8_t *bytes, size_t size, const char *type)
{
        struct fsreader r = { .bytes = bytes, .size = size };
        struct fs_report report = fsreader_examine(&r, type);

        if (r.outside || r.reads > FSREADER_MOST_READS || r.read_bytes > FSREADER_MOST_BYTES)
                fail_row("%s: %u reads, %llu bytes%s", type, r.reads, (unsigned long long)r.read_bytes,
                         r.outside ? ", beyond the end" : "");
        assert_true(report.state != FS_IN_USE);
        assert_true((report.state == FS_CLEAN) == (report.reason == NULL));
        return report;
}

static struct fs_report examine_image(const struct fsimage *image)
{
        return examine_bytes(image->bytes, image->size, fsimage_types[image->kind]);
}

static void test_checksums(void **state)
{
        (void)state;
        assert_int_equal(~fs_crc(CRC32_POLYNOMIAL, ~0U, "123456789", 9), 0xcbf43926U);
        assert_int_equal(~fs_crc(CRC32C_POLYNOMIAL, ~0U, "123456789", 9), 0xe3069283U);
}

static void test_clean(void **state)
{
        (void)state;
        for (int kind = 0; kind < IMAGE_KINDS; kind++) {
                struct fsimage image = fsimage_make(kind);
                struct fs_report report = examine_image(&image);

                if (report.state != FS_CLEAN)
                        fail_row("kind %d: state %d: %s", kind, report.state, report.reason);
                assert_int_equal(report.journal, kind == IMAGE_EXT4 || kind == IMAGE_EXT4_MMP);
                fsimage_free(&image);
        }
}

/* One change to a clean filesystem, with all checksums right again, and what must be said. */
static void test_signs(void **state)
{
        enum { LE, BE };
        enum { CP = F2FS_CP * 4096, CP2 = CP + 512 * 4096, BT = BTRFS_SB, LOG = XFS_LOG_AT * 512 };
        static const struct {
                enum fsimage_kind kind;
                uint64_t at, value;
                int width, order;
                enum fs_state state;
        } rows[] = {
                { IMAGE_EXT4, EXT_SB + 0x60, 0x6, 4, LE, FS_NEEDS_RECOVERY },     /* needs_recovery */
                { IMAGE_EXT4, EXT_SB + 0x64, 0x10400, 4, LE, FS_NEEDS_RECOVERY }, /* orphan_present */
                { IMAGE_EXT4, EXT_SB + 0xe8, 12, 4, LE, FS_NEEDS_RECOVERY },      /* last_orphan */
                { IMAGE_EXT4, EXT_SB + 0x3a, 3, 2, LE, FS_NEEDS_RECOVERY },       /* errors */
                { IMAGE_EXT4, EXT_SB + 0x3a, 5, 2, LE, FS_NEEDS_RECOVERY },       /* orphans */
                { IMAGE_EXT2, EXT_SB + 0x3a, 0, 2, LE, FS_MARKED_MOUNTED },
                { IMAGE_EXT2, EXT_SB + 0x3a, 2, 2, LE, FS_NEEDS_RECOVERY },
                { IMAGE_EXT2, EXT_SB + 0x60, 0x8, 4, LE, FS_UNKNOWN },        /* a journal */
                { IMAGE_EXT2, EXT_SB + 0x38, 0xef54, 2, LE, FS_UNKNOWN },     /* magic */
                { IMAGE_EXT2, EXT_SB + 0x18, 7, 4, LE, FS_UNKNOWN },          /* block size */
                { IMAGE_EXT2, EXT_SB + 0x18, 0xffffffff, 4, LE, FS_UNKNOWN },
                { IMAGE_EXT2, EXT_SB + 0x14, 0, 4, LE, FS_UNKNOWN },          /* first data block */
                { IMAGE_EXT2, EXT_SB + 0x20, 0, 4, LE, FS_UNKNOWN },          /* blocks per group */
                { IMAGE_EXT2, EXT_SB + 0x28, 0, 4, LE, FS_UNKNOWN },          /* inodes per group */
                { IMAGE_EXT2, EXT_SB + 0x4c, 2, 4, LE, FS_UNKNOWN },          /* revision */
                { IMAGE_EXT2, EXT_SB + 0x04, 0, 4, LE, FS_UNKNOWN },          /* blocks */
                { IMAGE_EXT2, EXT_SB + 0x04, 65, 4, LE, FS_UNKNOWN },
                { IMAGE_EXT4, EXT_SB + 0x175, 2, 1, LE, FS_UNKNOWN },         /* kind of checksum */
                { IMAGE_EXT4_MMP, EXT_SB + 0x150, 1, 4, LE, FS_UNKNOWN },     /* blocks, upper half */
                { IMAGE_EXT4_MMP, EXT_SB + 0x168, 64, 8, LE, FS_UNKNOWN },    /* mmp block */
                { IMAGE_EXT4_MMP, EXT_SB + 0x168, ~0ULL, 8, LE, FS_UNKNOWN },
                { IMAGE_EXT4_MMP, EXT_SB + 0x168, 1ULL << 52 | EXT_MMP_BLOCK, 8, LE, FS_UNKNOWN }, /* wraps to it */
                { IMAGE_EXT4_MMP, EXT_MMP_BLOCK * 4096, 0, 4, LE, FS_UNKNOWN },
                { IMAGE_EXT4_MMP, EXT_MMP_BLOCK * 4096 + 4, 1, 4, LE, FS_MARKED_MOUNTED },
                { IMAGE_EXT4_MMP, EXT_MMP_BLOCK * 4096 + 4, 0xe24d4d50, 4, LE, FS_MARKED_MOUNTED }, /* fsck runs */

                { IMAGE_FAT12, 0x25, 1, 1, LE, FS_MARKED_MOUNTED },
                { IMAGE_FAT16, 0x25, 1, 1, LE, FS_MARKED_MOUNTED },
                { IMAGE_FAT32, 0x41, 1, 1, LE, FS_MARKED_MOUNTED },
                { IMAGE_FAT12, 0x25, 2, 1, LE, FS_NEEDS_RECOVERY },
                { IMAGE_FAT32, 0x41, 2, 1, LE, FS_NEEDS_RECOVERY },
                { IMAGE_FAT16, 512 + 2, 0x7fff, 2, LE, FS_MARKED_MOUNTED },
                { IMAGE_FAT16, 512 + 2, 0xbfff, 2, LE, FS_NEEDS_RECOVERY },
                { IMAGE_FAT32, 32 * 512 + 4, 0x07ffffff, 4, LE, FS_MARKED_MOUNTED },
                { IMAGE_FAT32, 32 * 512 + 4, 0x0bffffff, 4, LE, FS_NEEDS_RECOVERY },
                { IMAGE_FAT12, 512, 0xf0, 1, LE, FS_UNKNOWN }, /* not the media byte */
                { IMAGE_FAT12, 11, 0, 2, LE, FS_UNKNOWN },     /* sector size */
                { IMAGE_FAT12, 11, 256, 2, LE, FS_UNKNOWN },
                { IMAGE_FAT12, 11, 513, 2, LE, FS_UNKNOWN },
                { IMAGE_FAT12, 11, 8192, 2, LE, FS_UNKNOWN },
                { IMAGE_FAT12, 13, 0, 1, LE, FS_UNKNOWN }, /* sectors per cluster */
                { IMAGE_FAT12, 13, 3, 1, LE, FS_UNKNOWN },
                { IMAGE_FAT12, 14, 0, 2, LE, FS_UNKNOWN }, /* reserved */
                { IMAGE_FAT12, 14, 0xffff, 2, LE, FS_UNKNOWN },
                { IMAGE_FAT12, 16, 0, 1, LE, FS_UNKNOWN }, /* tables */
                { IMAGE_FAT12, 19, 1025, 2, LE, FS_UNKNOWN }, /* sectors */
                { IMAGE_FAT12, 19, 0, 2, LE, FS_UNKNOWN },
                { IMAGE_FAT12, 21, 0xf7, 1, LE, FS_UNKNOWN }, /* media */
                { IMAGE_FAT12, 22, 0xffff, 2, LE, FS_UNKNOWN }, /* table sectors */
                { IMAGE_FAT32, 36, 0, 4, LE, FS_UNKNOWN },
                { IMAGE_FAT32, 36, 0xffffffff, 4, LE, FS_UNKNOWN },
                { IMAGE_FAT12, 510, 0, 2, LE, FS_UNKNOWN },

                { IMAGE_EXFAT, 106, 2, 2, LE, FS_MARKED_MOUNTED },
                { IMAGE_EXFAT, 106, 6, 2, LE, FS_MARKED_MOUNTED },
                { IMAGE_EXFAT, 106, 4, 2, LE, FS_NEEDS_RECOVERY },
                { IMAGE_EXFAT, 106, 1, 2, LE, FS_CLEAN }, /* the other table is the active one */
                { IMAGE_EXFAT, 3, 'X', 1, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 11, 1, 1, LE, FS_UNKNOWN }, /* must be zero */
                { IMAGE_EXFAT, 63, 1, 1, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 72, 2049, 8, LE, FS_UNKNOWN }, /* volume length */
                { IMAGE_EXFAT, 72, ~0ULL, 8, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 72, 0, 8, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 84, ~0U, 4, LE, FS_UNKNOWN },  /* table length */
                { IMAGE_EXFAT, 92, 0, 4, LE, FS_UNKNOWN },    /* clusters */
                { IMAGE_EXFAT, 92, ~0U, 4, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 96, 1, 4, LE, FS_UNKNOWN },    /* root */
                { IMAGE_EXFAT, 96, 66, 4, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 108, 8, 1, LE, FS_UNKNOWN },   /* shifts */
                { IMAGE_EXFAT, 108, 13, 1, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 108, 255, 1, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 109, 17, 1, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 110, 0, 1, LE, FS_UNKNOWN },
                { IMAGE_EXFAT, 110, 3, 1, LE, FS_UNKNOWN },

                { IMAGE_BTRFS, BT + 96, 0x400000, 8, LE, FS_NEEDS_RECOVERY }, /* log_root */
                { IMAGE_BTRFS, BT + 96, 1ULL << 63, 8, LE, FS_NEEDS_RECOVERY },
                { IMAGE_BTRFS, BT + 56, 4, 8, LE, FS_NEEDS_RECOVERY },         /* error */
                { IMAGE_BTRFS, BT + 56, 1ULL << 33, 8, LE, FS_UNKNOWN },       /* metadump */
                { IMAGE_BTRFS, BT + 56, 1ULL << 36, 8, LE, FS_UNKNOWN },       /* changing fsid */
                { IMAGE_BTRFS, BT + 56, 1ULL << 32, 8, LE, FS_CLEAN },         /* seed */
                { IMAGE_BTRFS, BT + 48, 0x4000000, 8, LE, FS_UNKNOWN },        /* a copy of another place */
                { IMAGE_BTRFS, BT + 64, 0, 8, LE, FS_UNKNOWN },
                { IMAGE_BTRFS, BT + 112, 1ULL << 20, 8, LE, FS_UNKNOWN }, /* total bytes */
                { IMAGE_BTRFS, BT + 112, ~0ULL, 8, LE, FS_UNKNOWN },
                { IMAGE_BTRFS, BT + 209, 1ULL << 20, 8, LE, FS_UNKNOWN },
                { IMAGE_BTRFS, BT + 136, 2, 8, LE, FS_UNKNOWN }, /* devices */
                { IMAGE_BTRFS, BT + 136, 0, 8, LE, FS_UNKNOWN },
                { IMAGE_BTRFS, BT + 144, 0, 4, LE, FS_UNKNOWN },
                { IMAGE_BTRFS, BT + 148, 131072, 4, LE, FS_UNKNOWN },
                { IMAGE_BTRFS, BT + 196, 1, 2, LE, FS_UNKNOWN }, /* xxhash */

                { IMAGE_F2FS, CP + 132, 0x40, 4, LE, FS_MARKED_MOUNTED },
                { IMAGE_F2FS, F2FS_WARM_NODE * 4096ULL + 4084, 1001, 8, LE, FS_NEEDS_RECOVERY },
                { IMAGE_F2FS, F2FS_WARM_NODE * 4096ULL + 4084, 0xabcdef01000003e9, 8, LE, FS_NEEDS_RECOVERY },
                { IMAGE_F2FS, F2FS_WARM_NODE * 4096ULL + 4084, 1000, 8, LE, FS_CLEAN },
                { IMAGE_F2FS, CP + 40, 2, 4, LE, FS_UNKNOWN }, /* segment of the log of nodes */
                { IMAGE_F2FS, CP + 40, ~0U, 4, LE, FS_UNKNOWN },
                { IMAGE_F2FS, CP + 70, 512, 2, LE, FS_UNKNOWN },
                { IMAGE_F2FS, CP + 132, 0x9, 4, LE, FS_NEEDS_RECOVERY },
                { IMAGE_F2FS, CP + 132, 0x11, 4, LE, FS_NEEDS_RECOVERY },
                { IMAGE_F2FS, CP + 132, 0x801, 4, LE, FS_NEEDS_RECOVERY },
                { IMAGE_F2FS, CP + 132, 0x1001, 4, LE, FS_NEEDS_RECOVERY },
                { IMAGE_F2FS, CP + 132, 0x4001, 4, LE, FS_NEEDS_RECOVERY },
                { IMAGE_F2FS, CP + 132, 0x3, 4, LE, FS_NEEDS_RECOVERY },
                { IMAGE_F2FS, CP2 + 132, 0, 4, LE, FS_CLEAN }, /* the older pack does not count */
                { IMAGE_F2FS_MIDDLE, CP2 + 132, 0, 4, LE, FS_MARKED_MOUNTED },
                { IMAGE_F2FS_MIDDLE, CP + 132, 0, 4, LE, FS_CLEAN },
                { IMAGE_F2FS, 1024, 0, 4, LE, FS_NEEDS_RECOVERY }, /* one superblock broken */
                { IMAGE_F2FS, 4096 + 1024, 0, 4, LE, FS_NEEDS_RECOVERY },
                { IMAGE_F2FS, 1024 + 2201, '/', 1, LE, FS_UNKNOWN }, /* devices */

                { IMAGE_XFS5, 0, 0, 4, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 4, 1024, 4, BE, FS_UNKNOWN },    /* block size */
                { IMAGE_XFS4, 120, 8, 1, BE, FS_UNKNOWN },     /* its logarithm */
                { IMAGE_XFS4, 120, 255, 1, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 8, 4097, 8, BE, FS_UNKNOWN },    /* blocks */
                { IMAGE_XFS4, 8, 0, 8, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 8, ~0ULL, 8, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 48, 0, 8, BE, FS_UNKNOWN },      /* log elsewhere */
                { IMAGE_XFS4, 48, 4095, 8, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 48, 4096, 8, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 48, ~0ULL, 8, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 84, 0, 4, BE, FS_UNKNOWN },      /* group */
                { IMAGE_XFS4, 84, ~0U, 4, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 88, 0, 4, BE, FS_UNKNOWN },      /* groups */
                { IMAGE_XFS4, 88, ~0U, 4, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 96, 0, 4, BE, FS_UNKNOWN },      /* log blocks */
                { IMAGE_XFS4, 96, 1, 4, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 96, 2049, 4, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 96, ~0U, 4, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 124, 11, 1, BE, FS_UNKNOWN },    /* logarithm of the group */
                { IMAGE_XFS4, 124, 255, 1, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 100, 0xb4a3, 2, BE, FS_UNKNOWN }, /* version */
                { IMAGE_XFS4, 102, 0, 2, BE, FS_UNKNOWN },     /* sector */
                { IMAGE_XFS4, 102, 513, 2, BE, FS_UNKNOWN },
                { IMAGE_XFS4, 126, 1, 1, BE, FS_NEEDS_RECOVERY },  /* mkfs runs */
                { IMAGE_XFS5, 216, 0x10, 4, BE, FS_NEEDS_RECOVERY }, /* needs repair */
                { IMAGE_XFS5, LOG + 598 * 512 + 12, 0, 4, BE, FS_UNKNOWN }, /* of the last record: length */
                { IMAGE_XFS5, LOG + 598 * 512 + 12, ~0U, 4, BE, FS_UNKNOWN },
                { IMAGE_XFS5, LOG + 598 * 512 + 12, 1024, 4, BE, FS_NEEDS_RECOVERY },
                { IMAGE_XFS5, LOG + 598 * 512 + 8, 3, 4, BE, FS_UNKNOWN }, /* version */
                { IMAGE_XFS5, LOG + 598 * 512 + 16, 0, 8, BE, FS_UNKNOWN }, /* lsn */
                { IMAGE_XFS5, LOG + 598 * 512 + 24, ~0ULL, 8, BE, FS_UNKNOWN }, /* tail */
                { IMAGE_XFS5, LOG + 598 * 512 + 24, 6ULL << 32 | 2000, 8, BE, FS_UNKNOWN },
                { IMAGE_XFS5, LOG + 598 * 512 + 40, 2, 4, BE, FS_NEEDS_RECOVERY }, /* operations */
                { IMAGE_XFS5, LOG + 598 * 512 + 304, 1, 8, BE, FS_UNKNOWN }, /* of another filesystem */
                { IMAGE_XFS5, LOG + 598 * 512 + 320, ~0U, 4, BE, FS_UNKNOWN }, /* size */
                { IMAGE_XFS5, LOG + 598 * 512 + 320, 65536, 4, BE, FS_NEEDS_RECOVERY },
                { IMAGE_XFS5, LOG + 598 * 512 + 32, 0xdead, 4, LE, FS_UNKNOWN }, /* checksum */
                { IMAGE_XFS5, LOG + 599 * 512 + 9, 0, 1, BE, FS_NEEDS_RECOVERY }, /* no unmount */
                { IMAGE_XFS5, LOG + 599 * 512 + 8, 0x69, 1, BE, FS_NEEDS_RECOVERY },
                { IMAGE_XFS5, LOG + 600 * 512, 7, 4, BE, FS_NEEDS_RECOVERY }, /* something behind it */
                { IMAGE_XFS5, LOG + 700 * 512, 7, 4, BE, FS_NEEDS_RECOVERY }, /* likewise, behind a hole */
                { IMAGE_XFS5, LOG + 500 * 512, 0, 4, BE, FS_NEEDS_RECOVERY }, /* a hole before it */
                { IMAGE_XFS5, LOG, 0, 8, BE, FS_UNKNOWN },  /* an empty log */
                { IMAGE_XFS5, LOG + 1023 * 512, 5, 4, BE, FS_NEEDS_RECOVERY },
        };

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++) {
                struct fsimage image = fsimage_make(rows[i].kind);
                struct fs_report report;

                (rows[i].order == BE ? put_be : put_le)(image.bytes + rows[i].at, rows[i].value, rows[i].width);
                fsimage_seal(&image);
                report = examine_image(&image);
                if (report.state != rows[i].state)
                        fail_row("row %zu (%s, byte %#llx = %#llx): state %d, not %d: %s", i,
                                 fsimage_types[rows[i].kind], (unsigned long long)rows[i].at,
                                 (unsigned long long)rows[i].value, report.state, rows[i].state,
                                 report.reason ? report.reason : "");
                fsimage_free(&image);
        }
}

/* One bit wrong in what a checksum covers. */
static void test_wrong_checksum(void **state)
{
        static const struct {
                enum fsimage_kind kind;
                size_t from, to;
        } rows[] = {
                { IMAGE_EXT4, EXT_SB, EXT_SB + 1024 },
                { IMAGE_EXFAT, 113, 512 },
                { IMAGE_EXFAT, 512, 11 * 512 + 4 },
                { IMAGE_XFS5, 128, 216 },
                { IMAGE_XFS5, 220, 512 },
                { IMAGE_BTRFS, BTRFS_SB, BTRFS_SB + 4 },
                { IMAGE_BTRFS, BTRFS_SB + 32, BTRFS_SB + 4096 },
        };

        (void)state;
        for (size_t i = 0; i < N_OF(rows); i++) {
                struct fsimage image = fsimage_make(rows[i].kind);

                for (size_t at = rows[i].from; at < rows[i].to; at++) {
                        uint8_t bit = (uint8_t)(1U << (at % 8));
                        /* in ext4, the bit that says that there is a checksum is one of those */
                        if (rows[i].kind == IMAGE_EXT4 && at == EXT_SB + 0x65 && bit == 4)
                                continue;
                        image.bytes[at] ^= bit;
                        if (examine_image(&image).state != FS_UNKNOWN)
                                fail_row("row %zu: byte %zu wrong, and not seen", i, at);
                        image.bytes[at] ^= bit;
                }
                fsimage_free(&image);
        }
}

/* The newer pack of F2FS counts only if it is whole; else the older one does, and what came after that is lost. */
static void test_torn_checkpoint(void **state)
{
        struct fsimage image = fsimage_make(IMAGE_F2FS);
        uint8_t *newer = image.bytes + F2FS_CP * 4096, *older = newer + 512 * 4096;

        (void)state;
        put_le(older + 132, 0x40, 4); /* of a mounted filesystem */
        put_le(older + 2 * 4096 + 132, 0x40, 4);
        fsimage_seal(&image);
        assert_int_equal(examine_image(&image).state, FS_CLEAN);
        newer[2 * 4096 + 100] ^= 1; /* its last block has a wrong checksum */
        assert_int_equal(examine_image(&image).state, FS_MARKED_MOUNTED);
        newer[2 * 4096 + 100] ^= 1;
        put_le(newer + 2 * 4096, 1002, 8); /* another version at its end */
        seal_checkpoint(newer + 2 * 4096);
        assert_int_equal(examine_image(&image).state, FS_MARKED_MOUNTED);
        older[100] ^= 1;
        assert_int_equal(examine_image(&image).state, FS_UNKNOWN);
        fsimage_free(&image);

        image = fsimage_make(IMAGE_F2FS); /* versions wrap */
        newer = image.bytes + F2FS_CP * 4096;
        older = newer + 512 * 4096;
        for (size_t block = 0; block < 3; block += 2) {
                put_le(newer + block * 4096, 1, 8);
                put_le(older + block * 4096, ~0ULL, 8);
                put_le(older + block * 4096 + 132, 0, 4);
        }
        fsimage_seal(&image);
        assert_int_equal(examine_image(&image).state, FS_CLEAN);
        for (size_t block = 0; block < 3; block += 2)
                put_le(newer + block * 4096 + 136, 513, 4); /* more blocks than a pack may have */
        fsimage_seal(&image);
        assert_int_equal(examine_image(&image).state, FS_MARKED_MOUNTED);
        fsimage_free(&image);
}

/* ---- the log of XFS ---- */

static void expect_log(const struct fsimage *image, enum fs_state wanted, const char *what, uint32_t head)
{
        struct fs_report report = examine_image(image);

        if (report.state != wanted)
                fail_row("%s, head %u: state %d, not %d: %s", what, head, report.state, wanted,
                         report.reason ? report.reason : "");
}

/* Wherever the head is; also where the last record goes around the end of the ring. */
static void test_every_head(void **state)
{
        static const uint32_t cycles[] = { 2, 7, 0xfeedbabf, 0xffffffff };
        struct fsimage image = fsimage_make(IMAGE_XFS5);

        (void)state;
        for (size_t c = 0; c < N_OF(cycles); c++)
                for (uint32_t head = 0; head < XFS_LOG_BLOCKS; head += c == 0 ? 1 : 37) {
                        for (uint32_t data = 1; data <= 512; data += c == 0 ? 511 : 73) {
                                make_xfs_log(&image, head, cycles[c], data);
                                expect_log(&image, FS_CLEAN, "clean", head);
                        }
                        make_xfs_log(&image, head, cycles[c], 511);
                        xfs_log_block(&image, head + XFS_LOG_BLOCKS - 511)[9] = 0; /* the flags of its operation */
                        expect_log(&image, FS_NEEDS_RECOVERY, "no unmount", head);
                }
        fsimage_free(&image);
}

/* In the first pass, what is behind the head is zero, as mkfs leaves it. */
static void test_first_pass(void **state)
{
        struct fsimage image = fsimage_make(IMAGE_XFS5);

        (void)state;
        for (uint32_t head = 2; head < XFS_LOG_BLOCKS; head += 3) {
                make_xfs_log(&image, head, 1, 1);
                expect_log(&image, FS_CLEAN, "clean", head);
                put_be(xfs_log_block(&image, head), 1, 4);
                expect_log(&image, FS_NEEDS_RECOVERY, "something behind it", head);
        }
        for (uint32_t i = 0; i < XFS_LOG_BLOCKS; i++)
                memset(xfs_log_block(&image, i), 0, 512);
        expect_log(&image, FS_UNKNOWN, "empty", 0);
        fsimage_free(&image);
}

/* As xfs_admin -U leaves it: a record in the first two blocks, nothing up to block 512, then the pass before. */
static void test_new_uuid(void **state)
{
        struct fsimage image = fsimage_make(IMAGE_XFS5);

        (void)state;
        make_xfs_log(&image, 2, 2, 1);
        for (uint32_t i = 2; i < 512; i++)
                memset(xfs_log_block(&image, i), 0, 512);
        expect_log(&image, FS_CLEAN, "a new UUID", 2);
        put_be(xfs_log_block(&image, 100), 2, 4);
        expect_log(&image, FS_NEEDS_RECOVERY, "something behind it", 2);
        fsimage_free(&image);
}

/* A block of another cycle anywhere in the ring, which is smaller than the window that is looked at. */
static void test_holes(void **state)
{
        struct fsimage image = fsimage_make(IMAGE_XFS5);

        (void)state;
        for (uint32_t head = 0; head < XFS_LOG_BLOCKS; head += 341)
                for (uint32_t i = 0; i < XFS_LOG_BLOCKS; i++) {
                        make_xfs_log(&image, head, 9, 1);
                        memset(xfs_log_block(&image, i), 0, 512);
                        put_be(xfs_log_block(&image, i), 10, 4);
                        struct fs_report report = examine_image(&image);
                        if (report.state == FS_CLEAN)
                                fail_row("head %u: a later write in block %u was not seen", head, i);
                }
        fsimage_free(&image);
}

/* With a record's checksum, as the kernel writes it: of either size of the header. */
static void test_record_checksum(void **state)
{
        static const size_t sizes[] = { 324, 328 };
        struct fsimage image = fsimage_make(IMAGE_XFS5);

        (void)state;
        for (size_t i = 0; i < N_OF(sizes); i++) {
                make_xfs_log(&image, 600, 7, 5);
                uint8_t *header = xfs_log_block(&image, 594);
                uint32_t crc = fs_crc(CRC32C_POLYNOMIAL, ~0U, header, sizes[i]);

                put_le(header + 32, ~fs_crc(CRC32C_POLYNOMIAL, crc, header + 512, 5 * 512), 4);
                expect_log(&image, FS_CLEAN, "with checksum", 600);
                header[3 * 512 + 77] ^= 1;
                expect_log(&image, FS_UNKNOWN, "wrong checksum", 600);
        }
        fsimage_free(&image);
}

/* ---- bad input ---- */

static void test_truncated(void **state)
{
        (void)state;
        for (int kind = 0; kind < IMAGE_KINDS; kind++) {
                struct fsimage image = fsimage_make(kind);

                for (size_t size = 0; size < image.size; size += size < 8192 ? 1 : 509)
                        if (examine_bytes(image.bytes, size, fsimage_types[kind]).state == FS_CLEAN)
                                fail_row("kind %d: clean with %zu of %zu bytes", kind, size, image.size);
                /* The last byte is part of it, or of nothing. */
                assert_true(examine_bytes(image.bytes, image.size - 1, fsimage_types[kind]).state == FS_UNKNOWN);
                fsimage_free(&image);
        }
}

static void test_failing_reads(void **state)
{
        (void)state;
        for (int kind = 0; kind < IMAGE_KINDS; kind++) {
                struct fsimage image = fsimage_make(kind);
                struct fsreader r = { .bytes = image.bytes, .size = image.size };

                assert_int_equal(fsreader_examine(&r, fsimage_types[kind]).state, FS_CLEAN);
                unsigned int reads = r.reads;
                for (unsigned int n = 1; n <= reads; n++) {
                        r = (struct fsreader){ .bytes = image.bytes, .size = image.size, .fail_at = n };
                        struct fs_report report = fsreader_examine(&r, fsimage_types[kind]);
                        /* F2FS has two packs of checkpoints: the older one is as clean. */
                        bool older = strcmp(fsimage_types[kind], "f2fs") == 0 && report.state == FS_CLEAN;
                        if (report.state != FS_UNKNOWN && !older)
                                fail_row("kind %d: read %u of %u fails: state %d", kind, n, reads, report.state);
                }
                fsimage_free(&image);
        }
}

/* Sums that wrap around: one change alone does not show them. */
static void test_wrapping(void **state)
{
        struct fsimage image = fsimage_make(IMAGE_XFS4);
        uint8_t zero[512] = { 0 }, buf[512];
        struct fsreader r = { .bytes = zero, .size = sizeof(zero) };
        struct fs_source source = { .context = &r, .read = fsreader_read, .size = r.size };

        (void)state;
        assert_false(fs_read(&source, UINT64_MAX - 10, buf, 11));
        assert_false(fs_read(&source, UINT64_MAX, buf, 1));
        assert_false(fs_read(&source, 0, buf, SIZE_MAX));
        assert_false(fs_read(&source, 512, buf, 1));
        assert_int_equal(r.reads, 0);
        assert_true(fs_read(&source, 511, buf, 1));

        put_be(image.bytes + 8, XFS_LOG_AT + XFS_LOG_BLOCKS - 1, 8); /* the log ends behind the last block */
        assert_int_equal(examine_image(&image).state, FS_UNKNOWN);
        fsimage_free(&image);

        image = fsimage_make(IMAGE_F2FS); /* a pack whose end would be in another area, and is right there */
        uint8_t *first = image.bytes + F2FS_CP * 4096;
        put_le(first + 136, 515, 4);
        memcpy(first + 514 * 4096, first, 4096);
        memset(first + 512 * 4096, 0, 4096); /* no second pack */
        fsimage_seal(&image);
        assert_int_equal(examine_image(&image).state, FS_UNKNOWN);
        fsimage_free(&image);
}

/* Every field that there could be, at every place of what is read, at its extremes: anything but a crash, a hang, or a
 * read outside. */
static void test_extremes(void **state)
{
        static const uint64_t values[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
                                           0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ULL };
        static const struct {
                enum fsimage_kind kind;
                size_t from, to;
        } areas[] = {
                { IMAGE_EXT2, EXT_SB, EXT_SB + 1024 },
                { IMAGE_EXT4, EXT_SB, EXT_SB + 512 },
                { IMAGE_EXT4_MMP, EXT_SB, EXT_SB + 512 },
                { IMAGE_FAT12, 0, 520 },
                { IMAGE_FAT16, 0, 520 },
                { IMAGE_FAT32, 0, 90 },
                { IMAGE_EXFAT, 0, 128 },
                { IMAGE_XFS4, 0, 256 },
                { IMAGE_XFS5, 0, 256 },
                { IMAGE_XFS5, (XFS_LOG_AT + 598) * 512, (XFS_LOG_AT + 598) * 512 + 360 },
                { IMAGE_XFS5, (XFS_LOG_AT + 599) * 512, (XFS_LOG_AT + 599) * 512 + 32 },
                { IMAGE_BTRFS, BTRFS_SB, BTRFS_SB + 256 },
                { IMAGE_F2FS, 1024, 1024 + 112 },
                { IMAGE_F2FS, F2FS_CP * 4096, F2FS_CP * 4096 + 208 },
        };
        static const int widths[] = { 1, 2, 4, 8 };

        (void)state;
        for (size_t a = 0; a < N_OF(areas); a++) {
                struct fsimage base = fsimage_make(areas[a].kind), image = fsimage_make(areas[a].kind);

                /* Its many checksums take long; its fields are 4 bytes wide, but for a few. */
                for (size_t at = areas[a].from; at < areas[a].to; at += areas[a].kind == IMAGE_F2FS ? 2 : 1)
                        for (size_t v = 0; v < 4 * N_OF(values); v++) {
                                int width = widths[v % 4];
                                if (width < 8 && values[v / 4] >> (8 * width) != 0)
                                        continue;
                                memcpy(image.bytes + at, base.bytes + at, 8);
                                put_le(image.bytes + at, values[v / 4], width);
                                if (areas[a].kind == IMAGE_F2FS && at < 4096) /* both superblocks */
                                        memcpy(image.bytes + at + 4096, image.bytes + at, 8);
                                fsimage_seal(&image);
                                examine_image(&image);
                                memcpy(image.bytes + at, base.bytes + at, 8);
                                if (areas[a].kind == IMAGE_F2FS && at < 4096)
                                        memcpy(image.bytes + at + 4096, base.bytes + at, 8);
                        }
                fsimage_seal(&image);
                assert_int_equal(examine_image(&image).state, FS_CLEAN);
                fsimage_free(&base);
                fsimage_free(&image);
        }
}

/* What passes for the right place of the magic, on noise. */
static void place_magic(uint8_t *bytes, size_t round)
{
        switch (round % 6) {
        case 0:
                put_le(bytes + EXT_SB + 0x38, 0xef53, 2);
                break;
        case 1:
                put_le(bytes + 510, 0xaa55, 2);
                memcpy(bytes + 3, "EXFAT   ", 8);
                memset(bytes + 11, 0, 53);
                break;
        case 2:
                put_be(bytes, 0x58465342, 4);
                break;
        case 3:
                memcpy(bytes + BTRFS_SB + 64, "_BHRfS_M", 8);
                break;
        case 4:
                put_le(bytes + 1024, 0xf2f52010, 4);
                put_le(bytes + 4096 + 1024, 0xf2f52010, 4);
                break;
        default:
                put_le(bytes + 510, 0xaa55, 2);
                put_le(bytes + 11, 512, 2);
                bytes[13] = 8;
                bytes[21] = 0xf8;
                break;
        }
}

static void test_noise(void **state)
{
        enum { SIZE = 256 * 1024 };
        struct prng r = { 20261123 };
        uint8_t *bytes = malloc(SIZE);

        (void)state;
        assert_non_null(bytes);
        for (size_t round = 0; round < 150; round++) {
                uint64_t fill = round < 3 ? (round == 0 ? 0 : round == 1 ? ~0ULL : 0x0101010101010101) : 0;
                for (size_t i = 0; i < SIZE; i += 8) {
                        uint64_t word = round < 3 ? fill : prng_next(&r);
                        memcpy(bytes + i, &word, 8);
                }
                if (round > 40)
                        place_magic(bytes, round);
                for (size_t t = 0; t < N_OF(types); t++)
                        if (examine_bytes(bytes, SIZE, types[t]).state == FS_CLEAN)
                                fail_row("round %zu: noise is a clean %s", round, types[t]);
        }
        free(bytes);
}

/* One filesystem is not another. */
static void test_other_types(void **state)
{
        (void)state;
        for (int kind = 0; kind < IMAGE_KINDS; kind++) {
                struct fsimage image = fsimage_make(kind);

                for (size_t t = 0; t < N_OF(types); t++) {
                        const char *own = fsimage_types[kind];
                        if (strcmp(own, types[t]) == 0 || (strncmp(own, "ext", 3) == 0 && strncmp(types[t], "ext", 3) == 0) ||
                            (strcmp(own, "vfat") == 0 && strcmp(types[t], "msdos") == 0) || strcmp(own, "exfat") == 0)
                                continue;
                        assert_int_equal(examine_bytes(image.bytes, image.size, types[t]).state, FS_UNKNOWN);
                }
                assert_int_equal(examine_bytes(image.bytes, image.size, "").state, FS_UNKNOWN);
                assert_int_equal(examine_bytes(image.bytes, image.size, "zfs_member").state, FS_UNKNOWN);
                fsimage_free(&image);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_checksums),      cmocka_unit_test(test_clean),
                cmocka_unit_test(test_signs),          cmocka_unit_test(test_wrong_checksum),
                cmocka_unit_test(test_torn_checkpoint), cmocka_unit_test(test_every_head),
                cmocka_unit_test(test_first_pass),     cmocka_unit_test(test_new_uuid), cmocka_unit_test(test_holes),
                cmocka_unit_test(test_record_checksum), cmocka_unit_test(test_truncated),
                cmocka_unit_test(test_wrapping), cmocka_unit_test(test_failing_reads),  cmocka_unit_test(test_extremes),
                cmocka_unit_test(test_noise),          cmocka_unit_test(test_other_types),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
