/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The state of a filesystem, from its bytes.
 *
 * Input: kind (1 byte, enum fsimage_kind), flags (1), number of 512-byte blocks missing at the end (2, little-endian),
 * then patches to a clean filesystem of that kind: place (1), offset (2, little-endian), length (1), bytes. Places are
 * the starts of what is read there. Flag 0x01: the checksums are made right afterwards. Flag 0x80: what follows is the
 * whole source.
 */
#include "fuzz.h"
#include "unit/fsimages.h"

struct touched {
        size_t from, size;
};

static size_t place_of(enum fsimage_kind kind, uint8_t code)
{
        static const size_t xfs[] = { 0, (XFS_LOG_AT + 598) * 512, (XFS_LOG_AT + 599) * 512, (XFS_LOG_AT + 600) * 512,
                                      XFS_LOG_AT * 512, (XFS_LOG_AT + XFS_LOG_BLOCKS - 1) * 512 };
        static const size_t f2fs[] = { 1024, 4096 + 1024, F2FS_CP * 4096, (F2FS_CP + 2) * 4096, (F2FS_CP + 512) * 4096,
                                       (size_t)F2FS_WARM_NODE * 4096 + 4072 };

        switch (kind) {
        case IMAGE_EXT2:
        case IMAGE_EXT4:
                return EXT_SB;
        case IMAGE_EXT4_MMP:
                return code & 1 ? EXT_MMP_BLOCK * 4096 : EXT_SB;
        case IMAGE_FAT12:
        case IMAGE_FAT16:
                return code & 1 ? 512 : 0;
        case IMAGE_FAT32:
                return code & 1 ? 32 * 512 : 0;
        case IMAGE_XFS4:
        case IMAGE_XFS5:
                return xfs[code % 6];
        case IMAGE_BTRFS:
                return BTRFS_SB;
        case IMAGE_F2FS:
        case IMAGE_F2FS_MIDDLE:
                return f2fs[code % 6];
        default:
                return 0;
        }
}

/* Whatever is asked for is inside, ends, and says why it is not clean. */
static struct fs_report examine(const uint8_t *bytes, size_t size, const char *type)
{
        struct fsreader r = { .bytes = bytes, .size = size };
        struct fs_report report = fsreader_examine(&r, type);

        REQUIRE(!r.outside);
        REQUIRE(r.reads <= FSREADER_MOST_READS && r.read_bytes <= FSREADER_MOST_BYTES);
        REQUIRE(report.state <= FS_MARKED_MOUNTED);
        REQUIRE((report.state == FS_CLEAN) == (report.reason == NULL));
        REQUIRE(!report.journal || strncmp(type, "ext", 3) == 0);
        return report;
}

static void try_raw(const uint8_t *data, size_t size)
{
        uint8_t *bytes = exact_copy(data, size);

        for (int kind = 0; kind < IMAGE_KINDS; kind++) /* this is less than the smallest of them */
                REQUIRE(examine(bytes, size, fsimage_types[kind]).state != FS_CLEAN);
        free(bytes);
}

static size_t apply(struct fsimage *image, const uint8_t *data, size_t size, struct touched *touched, size_t max)
{
        size_t n = 0;

        for (size_t i = 0; i + 4 <= size && n < max; n++) {
                size_t at = place_of(image->kind, data[i]) + get_le16(data + i + 1) % 4096, length = data[i + 3];

                i += 4;
                if (length > size - i)
                        length = size - i;
                if (at >= image->size || length > image->size - at)
                        break;
                memcpy(image->bytes + at, data + i, length);
                touched[n] = (struct touched){ at, length };
                i += length;
        }
        return n;
}

static void copy_back(struct fsimage *image, const struct fsimage *base, size_t from, size_t size)
{
        if (from < image->size)
                memcpy(image->bytes + from, base->bytes + from, size < image->size - from ? size : image->size - from);
}

/* A patch may have moved a checksum: all places that can have one. */
static void unseal(struct fsimage *image, const struct fsimage *base)
{
        copy_back(image, base, 0, 12 * 4096);
        if (image->kind == IMAGE_BTRFS)
                copy_back(image, base, BTRFS_SB, 4096);
        if (image->kind == IMAGE_F2FS || image->kind == IMAGE_F2FS_MIDDLE)
                for (size_t pack = 0; pack < 2; pack++) {
                        copy_back(image, base, (F2FS_CP + pack * 512) * 4096, 4096);
                        copy_back(image, base, (F2FS_CP + pack * 512 + 2) * 4096, 4096);
                }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct fsimage bases[IMAGE_KINDS], images[IMAGE_KINDS];
        struct touched touched[32];

        if (size < 4)
                return 0;
        if (data[1] & 0x80) {
                try_raw(data + 4, size - 4);
                return 0;
        }
        enum fsimage_kind kind = data[0] % IMAGE_KINDS;
        struct fsimage *base = &bases[kind], *image = &images[kind];
        if (!base->bytes) {
                *base = fsimage_make(kind);
                *image = fsimage_make(kind);
        }
        size_t n = apply(image, data + 4, size - 4, touched, 32);
        if (data[1] & 1)
                fsimage_seal(image);
        size_t missing = (size_t)get_le16(data + 2) * 512;
        size_t left = missing < image->size ? image->size - missing : 0;
        struct fs_report report = examine(image->bytes, left, fsimage_types[kind]);
        REQUIRE(n > 0 || (report.state == FS_CLEAN) == (missing == 0));

        for (size_t i = 0; i < n; i++)
                memcpy(image->bytes + touched[i].from, base->bytes + touched[i].from, touched[i].size);
        if (data[1] & 1)
                unseal(image, base);
        return 0;
}
