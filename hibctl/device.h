/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Block devices, and which bytes of them a file is made of.
 */
#ifndef HIBCTL_DEVICE_H
#define HIBCTL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define UUID_TEXT_MAX 64
#define LABEL_TEXT_MAX 300 /* btrfs allows 255 bytes, a GPT 72 */

/* What stands between a block device and the hardware, at any depth, as far as it matters to a boot loader: bits. 0 is
 * a plain disk, partition or loop device, which GRUB reads and writes. */
enum device_layer {
        LAYER_LVM = 1,     /* GRUB reads it, but cannot write ("diskfilter writes are not supported") */
        LAYER_RAID = 2,    /* likewise */
        LAYER_CRYPT = 4,   /* GRUB sees it only when it has been unlocked there */
        LAYER_NETWORK = 8, /* GRUB does not see it */
        LAYER_MAPPED = 16, /* device-mapper, of another kind; likewise */
        LAYERS_UNSEEN = LAYER_CRYPT | LAYER_NETWORK | LAYER_MAPPED,
};

/* What libblkid knows of a device; "" where it knows nothing. */
struct device_tags {
        char type[UUID_TEXT_MAX];
        char uuid[UUID_TEXT_MAX];
        char part_uuid[UUID_TEXT_MAX];
        char label[LABEL_TEXT_MAX];
        char part_label[LABEL_TEXT_MAX];
        char usage[UUID_TEXT_MAX]; /* what it is for: "filesystem", "raid", "crypto", "other" */
        bool ambiguous;            /* several signatures: what it is cannot be told */
};

/* The node in /dev for a device number. 0 or a negative errno, -ENODEV if the kernel knows none; the caller frees
 * *PATH. */
int device_path(dev_t dev, char **path);

unsigned int device_layers(dev_t dev);

/* What a device-mapper device is called, or NULL if it is none. The caller frees. */
char *device_mapping_name(dev_t dev);

/* TYPES: the only ones to look for, as libblkid names them, ending with NULL; or NULL for all, which alone can tell
 * that a device is ambiguous, but takes some hundred reads. 0 or a negative errno. */
int device_get_tags(const char *path, const char *const types[], struct device_tags *tags);

/* Finds a device by "UUID=...", "PARTUUID=...", "LABEL=...", "PARTLABEL=..." or a path. Looks at the devices
 * themselves: a cache file may be old or, in an initramfs, of another system. 0 or a negative errno: -ENODEV if there
 * is none, -ENOTUNIQ if it is on more than one device, which nobody could tell apart. What was found once is looked for
 * among the same devices the next time; what is not there, among all. The caller frees *PATH. */
int device_find(const char *tag, char **path);

/* How many block devices carry UUID as one of TYPES. */
int device_count_uuid(const char *uuid, const char *const types[]);

/* The device number of a block device node; 0 or a negative errno. */
int device_number(const char *path, dev_t *dev);

/* Opens a device for reading, past the page cache where the device allows it. FLAGS: 0, or O_EXCL to hold it: -EBUSY if
 * somebody else does. A descriptor or a negative errno. */
int device_open(const char *path, int flags);

/* Reads SIZE bytes at byte AT from what device_open gave. 0 or a negative errno; -ENODATA if it is outside. */
int device_read_fd(int fd, uint64_t at, void *buf, size_t size);

/* Both in one. */
int device_read(const char *path, uint64_t at, void *buf, size_t size);

/* Overwrites the one sector of 512 bytes at byte AT, a multiple of 512, and flushes. EXCLUSIVE: only if nobody has it
 * mounted or active (-EBUSY). 0 or a negative errno. */
int device_write_sector(const char *path, uint64_t at, const void *sector, bool exclusive);

/* Whether somebody has it mounted, active as swap, or part of another device. */
bool device_is_in_use(const char *path);

/* In bytes. 0 or a negative errno. */
int device_size(const char *path, uint64_t *size);

/* A run of bytes of a file and where it is on the device of its filesystem. */
struct extent {
        uint64_t logical;  /* byte in the file */
        uint64_t physical; /* byte on the device */
        uint64_t length;   /* bytes */
};

/* The extents of the first LENGTH bytes of a file, at most MAX. Returns their number or a negative errno: -ENOTSUP if
 * some of it is not plain bytes on the device (a hole, inline, compressed, encrypted, not written yet), -E2BIG if there
 * are more than MAX. The answer is what the running kernel knows; the disk may learn of it later. */
int file_extents(int fd, uint64_t length, struct extent *extents, size_t max);

#endif
