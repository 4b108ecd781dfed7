/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * XFS. Its superblock does not tell whether it was unmounted; its log does: the last thing that an unmount writes there
 * is a record of its own. Names and offsets: struct xfs_dsb in fs/xfs/libxfs/xfs_format.h, struct xlog_rec_header and
 * struct xlog_op_header in fs/xfs/libxfs/xfs_log_format.h of Linux. All numbers but checksums are big-endian.
 *
 * The log is a ring of blocks of 512 bytes. The first word of each is the number of the pass around the ring (cycle) in
 * which it was written; in the header of a record the magic is first, and the cycle second. Where the cycle falls by
 * one is the head: the next record goes there.
 */
#include <string.h>

#include "fsstate-parts.h"

#define SECTOR_MAX 32768 /* XFS_MAX_SECTORSIZE */

/* offsets in the superblock */
#define SB_MAGIC 0
#define SB_BLOCK_SIZE 4
#define SB_BLOCKS 8
#define SB_UUID 32
#define SB_LOG_START 48
#define SB_GROUP_BLOCKS 84
#define SB_GROUPS 88
#define SB_LOG_BLOCKS 96
#define SB_VERSION 100
#define SB_SECTOR_SIZE 102
#define SB_BLOCK_LOG 120
#define SB_GROUP_BLOCK_LOG 124
#define SB_IN_PROGRESS 126
#define SB_INCOMPAT 216
#define SB_CHECKSUM 224

#define SB_MAGIC_VALUE 0x58465342U /* "XFSB" */
#define VERSION_NUMBER 0xfU
#define VERSION_LOG_V2 0x400U /* XFS_SB_VERSION_LOGV2BIT */
#define BLOCK_LOG_MIN 9       /* XFS_MIN_BLOCKSIZE_LOG */
#define BLOCK_LOG_MAX 16      /* XFS_MAX_BLOCKSIZE_LOG */
#define INCOMPAT_NEEDS_REPAIR 0x10U
#define LOG_BYTES_MAX 0x80000000ULL /* XFS_MAX_LOG_BYTES, rounded up */

/* offsets in the header of a record */
#define REC_CYCLE 4
#define REC_VERSION 8
#define REC_LENGTH 12
#define REC_LSN 16
#define REC_TAIL 24
#define REC_CHECKSUM 32
#define REC_OPERATIONS 40
#define REC_UUID 304
#define REC_SIZE 320

#define REC_MAGIC_VALUE 0xfeedbabeU  /* XLOG_HEADER_MAGIC_NUM */
#define REC_LENGTH_MAX (256U * 1024) /* XLOG_MAX_RECORD_BSIZE */
#define REC_CYCLE_SPAN 32768U        /* XLOG_HEADER_CYCLE_SIZE: so much data to each block of header */
#define REC_HEADER_SIZE 328          /* sizeof(struct xlog_rec_header) on 64 bits, */
#define REC_HEADER_SIZE_32 324       /* and where a 64-bit number needs no alignment */

/* offsets in the first operation of a record */
#define OP_CLIENT 8
#define OP_FLAGS 9

#define OP_CLIENT_LOG 0xaaU   /* XFS_LOG */
#define OP_FLAG_UNMOUNT 0x20U /* XLOG_UNMOUNT_TRANS */

#define BB 512U                               /* BBSIZE: a block of the log */
#define CHUNK_BLOCKS 64U                      /* that are read at once */
#define WINDOW_BLOCKS (2U * 1024 * 1024 / BB) /* XLOG_TOTAL_REC_SHIFT: how far writes may be out of order */

#define WHY_CHANGES N_("its log holds changes that were not written back")
#define WHY_NO_END N_("its log does not end with an unmount")
#define WHY_UNREADABLE_LOG N_("its log cannot be read")

/* ---- the superblock ---- */

struct xfs {
        const struct fs_source *source;
        uint64_t log_start; /* byte */
        uint32_t log_blocks;
        uint8_t uuid[16];
        bool checksums, log_v2;
};

static bool superblock_is_sane(const uint8_t *sb)
{
        uint32_t block_log = sb[SB_BLOCK_LOG], sector = get_be16(sb + SB_SECTOR_SIZE);
        uint32_t version = get_be16(sb + SB_VERSION) & VERSION_NUMBER, group = get_be32(sb + SB_GROUP_BLOCKS);
        uint64_t blocks = get_be64(sb + SB_BLOCKS), groups = get_be32(sb + SB_GROUPS);

        if (get_be32(sb + SB_MAGIC) != SB_MAGIC_VALUE || (version != 4 && version != 5))
                return false;
        if (block_log < BLOCK_LOG_MIN || block_log > BLOCK_LOG_MAX || get_be32(sb + SB_BLOCK_SIZE) != 1U << block_log ||
            !is_power_of_two(sector) || sector < BB || sector > SECTOR_MAX)
                return false;
        /* All groups but the last are whole, and their logarithm is rounded up. */
        return group != 0 && groups != 0 && sb[SB_GROUP_BLOCK_LOG] < 32 && group <= 1U << sb[SB_GROUP_BLOCK_LOG] &&
               blocks <= groups * group && blocks > (groups - 1) * group;
}

static bool checksum_is_right(const struct fs_source *source, const uint8_t *sb)
{
        static const uint8_t zero[4];
        uint32_t size = get_be16(sb + SB_SECTOR_SIZE), crc;
        uint8_t sector[SECTOR_MAX];

        if (!fs_read(source, 0, sector, size))
                return false;
        crc = fs_crc(CRC32C_POLYNOMIAL, ~0U, sector, SB_CHECKSUM);
        crc = fs_crc(CRC32C_POLYNOMIAL, crc, zero, sizeof(zero));
        crc = fs_crc(CRC32C_POLYNOMIAL, crc, sector + SB_CHECKSUM + 4, size - SB_CHECKSUM - 4);
        return ~crc == get_le32(sector + SB_CHECKSUM);
}

/* Finds the log; false if it is not where a log can be. */
static bool find_log(struct xfs *fs, const uint8_t *sb)
{
        uint32_t shift = sb[SB_GROUP_BLOCK_LOG], per_group = get_be32(sb + SB_GROUP_BLOCKS);
        uint64_t start = get_be64(sb + SB_LOG_START), group = start >> shift;
        uint64_t in_group = start & ((1ULL << shift) - 1), length = get_be32(sb + SB_LOG_BLOCKS);
        uint32_t block_log = sb[SB_BLOCK_LOG];

        if (group >= get_be32(sb + SB_GROUPS) || in_group >= per_group || length == 0 ||
            length > per_group - in_group || length << block_log > LOG_BYTES_MAX)
                return false;
        uint64_t first = group * per_group + in_group;
        if (first + length > get_be64(sb + SB_BLOCKS))
                return false;
        fs->log_start = first << block_log;
        fs->log_blocks = (uint32_t)(length << block_log >> 9);
        return fs->log_blocks >= 2;
}

/* ---- the ring ---- */

/* Reads COUNT blocks from BLOCK on, around the end of the ring. */
static bool read_log(const struct xfs *fs, uint32_t block, uint8_t *buf, uint32_t count)
{
        while (count > 0) {
                block %= fs->log_blocks;
                uint32_t n = count < fs->log_blocks - block ? count : fs->log_blocks - block;
                if (!fs_read(fs->source, fs->log_start + (uint64_t)block * BB, buf, (size_t)n * BB))
                        return false;
                buf += (size_t)n * BB;
                block += n;
                count -= n;
        }
        return true;
}

static uint32_t cycle_of(const uint8_t *block)
{
        return get_be32(get_be32(block) == REC_MAGIC_VALUE ? block + REC_CYCLE : block);
}

/* The cycle that came before; the magic of a header is left out, so that no data block looks like one. */
static uint32_t cycle_before(uint32_t cycle)
{
        return cycle - 1 == REC_MAGIC_VALUE ? cycle - 2 : cycle - 1;
}

/* Where the next record goes, 1 to log_blocks, and the cycle of the blocks before it. */
struct head {
        uint32_t block, cycle;
};

/* Whether a block may have this cycle if the ring is in order: behind the head is the pass before this one, or nothing,
 * where mkfs has zeroed the ring, or xfs_repair or xfs_admin the blocks up to the first record that they wrote. */
static bool is_in_order(const struct head *head, uint32_t block, uint32_t cycle)
{
        if (block < head->block)
                return cycle == head->cycle;
        return cycle == cycle_before(head->cycle) || cycle == 0;
}

/* FS_CLEAN here: the head was found. Halving the ring finds one place where the cycle falls; whether it is the only one
 * near by is for surroundings_are_in_order. */
static struct fs_report find_head(const struct xfs *fs, struct head *head)
{
        uint8_t block[BB];
        uint32_t low = 0, high = fs->log_blocks - 1, last;

        if (!read_log(fs, low, block, 1))
                return FS_REPORT(FS_UNKNOWN, WHY_UNREADABLE_LOG);
        head->cycle = cycle_of(block);
        if (!read_log(fs, high, block, 1))
                return FS_REPORT(FS_UNKNOWN, WHY_UNREADABLE_LOG);
        last = cycle_of(block);
        if (head->cycle == 0)
                return FS_REPORT(FS_UNKNOWN, N_("its log is empty, as no unmount leaves it"));
        head->block = fs->log_blocks;
        if (last == head->cycle)
                return FS_REPORT_CLEAN;
        if (last != cycle_before(head->cycle))
                return FS_REPORT(FS_NEEDS_RECOVERY, WHY_NO_END);
        while (high - low > 1) {
                uint32_t middle = low + (high - low) / 2;
                if (!read_log(fs, middle, block, 1))
                        return FS_REPORT(FS_UNKNOWN, WHY_UNREADABLE_LOG);
                if (cycle_of(block) == head->cycle)
                        low = middle;
                else
                        high = middle;
        }
        head->block = high;
        return FS_REPORT_CLEAN;
}

/* After a crash, some of the last writes may be there without those before them. */
static struct fs_report surroundings_are_in_order(const struct xfs *fs, const struct head *head)
{
        uint32_t reach = WINDOW_BLOCKS < fs->log_blocks / 2 ? WINDOW_BLOCKS : fs->log_blocks / 2;
        uint32_t at = (head->block + fs->log_blocks - reach) % fs->log_blocks;
        uint8_t chunk[CHUNK_BLOCKS * BB];

        for (uint32_t left = 2 * reach; left > 0;) {
                uint32_t n = left < CHUNK_BLOCKS ? left : CHUNK_BLOCKS;
                if (!read_log(fs, at, chunk, n))
                        return FS_REPORT(FS_UNKNOWN, WHY_UNREADABLE_LOG);
                for (uint32_t i = 0; i < n; i++, at = (at + 1) % fs->log_blocks)
                        if (!is_in_order(head, at, cycle_of(chunk + (size_t)i * BB)))
                                return FS_REPORT(FS_NEEDS_RECOVERY, WHY_NO_END);
                left -= n;
        }
        return FS_REPORT_CLEAN;
}

/* ---- the last record ---- */

struct record {
        uint32_t block; /* of the header */
        uint8_t header[BB];
        uint32_t header_blocks, length; /* of the data, in bytes */
};

/* Searches backwards from the head. */
static struct fs_report find_last_record(const struct xfs *fs, const struct head *head, struct record *rec)
{
        uint32_t reach = REC_LENGTH_MAX / BB + REC_LENGTH_MAX / REC_CYCLE_SPAN;

        if (reach > fs->log_blocks)
                reach = fs->log_blocks;
        for (uint32_t back = 1; back <= reach; back++) {
                rec->block = (head->block + fs->log_blocks - back) % fs->log_blocks;
                if (!read_log(fs, rec->block, rec->header, 1))
                        return FS_REPORT(FS_UNKNOWN, WHY_UNREADABLE_LOG);
                if (get_be32(rec->header) == REC_MAGIC_VALUE)
                        return FS_REPORT_CLEAN;
        }
        return FS_REPORT(FS_NEEDS_RECOVERY, WHY_NO_END);
}

/* False if what its header says cannot be. */
static bool parse_record(const struct xfs *fs, struct record *rec)
{
        static const uint8_t nil[16];
        const uint8_t *h = rec->header;
        uint32_t version = get_be32(h + REC_VERSION), size = get_be32(h + REC_SIZE);
        uint64_t tail = get_be64(h + REC_TAIL), lsn = get_be64(h + REC_LSN);

        rec->length = get_be32(h + REC_LENGTH);
        rec->header_blocks = 1;
        if (fs->log_v2 && (version & 2) && size > REC_CYCLE_SPAN) {
                if (size > REC_LENGTH_MAX)
                        return false;
                rec->header_blocks = (size + REC_CYCLE_SPAN - 1) / REC_CYCLE_SPAN;
        }
        return (version == 1 || version == 2) && rec->length != 0 && rec->length <= REC_LENGTH_MAX &&
               lsn == ((uint64_t)get_be32(h + REC_CYCLE) << 32 | rec->block) && tail <= lsn &&
               (uint32_t)tail < fs->log_blocks &&
               (memcmp(h + REC_UUID, fs->uuid, 16) == 0 || memcmp(h + REC_UUID, nil, 16) == 0);
}

static uint32_t header_crc(const uint8_t *header, size_t size)
{
        static const uint8_t zero[4];
        uint32_t crc = fs_crc(CRC32C_POLYNOMIAL, ~0U, header, REC_CHECKSUM);

        crc = fs_crc(CRC32C_POLYNOMIAL, crc, zero, sizeof(zero));
        return fs_crc(CRC32C_POLYNOMIAL, crc, header + REC_CHECKSUM + 4, size - REC_CHECKSUM - 4);
}

/* As xlog_cksum() in fs/xfs/xfs_log.c. mkfs and xfs_repair leave it 0. Records with more than one block of header in
 * use are not looked at: an unmount's is that long only with an unusual stripe. */
static bool record_checksum_is_right(const struct xfs *fs, const struct record *rec)
{
        uint32_t wanted = get_le32(rec->header + REC_CHECKSUM), data = rec->block + rec->header_blocks;
        uint32_t crc = header_crc(rec->header, REC_HEADER_SIZE), crc_32 = header_crc(rec->header, REC_HEADER_SIZE_32);
        uint8_t block[BB];

        if (!fs->checksums || wanted == 0 || rec->length > REC_CYCLE_SPAN)
                return true;
        for (uint32_t left = rec->length; left > 0; data++) {
                uint32_t n = left < BB ? left : BB;
                if (!read_log(fs, data, block, 1))
                        return false;
                crc = fs_crc(CRC32C_POLYNOMIAL, crc, block, n);
                crc_32 = fs_crc(CRC32C_POLYNOMIAL, crc_32, block, n);
                left -= n;
        }
        return ~crc == wanted || ~crc_32 == wanted;
}

/* Clean is: the last record ends at the head, and holds nothing but an unmount. */
static struct fs_report examine_record(const struct xfs *fs, const struct head *head, const struct record *rec)
{
        uint32_t data_blocks = (rec->length + BB - 1) / BB;
        uint64_t end = (uint64_t)rec->block + rec->header_blocks + data_blocks;
        uint8_t block[BB];

        if (end % fs->log_blocks != head->block % fs->log_blocks)
                return FS_REPORT(FS_NEEDS_RECOVERY, WHY_NO_END);
        if (!read_log(fs, rec->block + rec->header_blocks, block, 1))
                return FS_REPORT(FS_UNKNOWN, WHY_UNREADABLE_LOG);
        if (get_be32(rec->header + REC_OPERATIONS) != 1 || block[OP_CLIENT] != OP_CLIENT_LOG ||
            !(block[OP_FLAGS] & OP_FLAG_UNMOUNT))
                return FS_REPORT(FS_NEEDS_RECOVERY, WHY_CHANGES);
        if (!record_checksum_is_right(fs, rec))
                return FS_REPORT(FS_UNKNOWN, N_("the checksum of the last record in its log is wrong"));
        return FS_REPORT_CLEAN;
}

static struct fs_report examine_log(const struct xfs *fs)
{
        struct fs_report report;
        struct head head;
        struct record rec;

        report = find_head(fs, &head);
        if (report.state == FS_CLEAN)
                report = surroundings_are_in_order(fs, &head);
        if (report.state == FS_CLEAN)
                report = find_last_record(fs, &head, &rec);
        if (report.state != FS_CLEAN)
                return report;
        if (!parse_record(fs, &rec))
                return FS_REPORT(FS_UNKNOWN, N_("the last record in its log makes no sense"));
        return examine_record(fs, &head, &rec);
}

struct fs_report xfs_examine(const struct fs_source *source)
{
        struct xfs fs = { .source = source };
        uint8_t sb[BB];

        if (!fs_read(source, 0, sb, sizeof(sb)))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_UNREADABLE);
        if (!superblock_is_sane(sb))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_NONSENSE);
        fs.checksums = (get_be16(sb + SB_VERSION) & VERSION_NUMBER) == 5;
        fs.log_v2 = get_be16(sb + SB_VERSION) & VERSION_LOG_V2;
        memcpy(fs.uuid, sb + SB_UUID, sizeof(fs.uuid));
        if (fs.checksums && !checksum_is_right(source, sb))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_CHECKSUM);
        if (!fs_fits(source, get_be64(sb + SB_BLOCKS), get_be32(sb + SB_BLOCK_SIZE)))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_SIZE);
        if (sb[SB_IN_PROGRESS] || (fs.checksums && (get_be32(sb + SB_INCOMPAT) & INCOMPAT_NEEDS_REPAIR)))
                return FS_REPORT(FS_NEEDS_RECOVERY, FS_WHY_ERRORS);
        if (get_be64(sb + SB_LOG_START) == 0)
                return FS_REPORT(FS_UNKNOWN, N_("its log is on another device"));
        if (!find_log(&fs, sb))
                return FS_REPORT(FS_UNKNOWN, FS_WHY_NONSENSE);
        return examine_log(&fs);
}
