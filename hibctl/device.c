/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <blkid/blkid.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device.h"
#include "globals.h"
#include "util.h"

#define MAX_DEPTH 16      /* of devices on devices */
#define DIRECT_ALIGN 4096 /* the largest logical sector in use */

static char *sysfs_text(dev_t dev, const char *file)
{
        _cleanup_free_ char *path = xasprintf("/sys/dev/block/%u:%u/%s", major(dev), minor(dev), file);
        char *text = NULL;

        return read_whole_file(path, 4096, &text) < 0 ? NULL : text;
}

int device_path(dev_t dev, char **path)
{
        _cleanup_free_ char *file = xasprintf("/sys/dev/block/%u:%u/uevent", major(dev), minor(dev)), *uevent = NULL;
        ssize_t n = read_whole_file(file, 4096, &uevent);
        char *save = NULL;

        if (n < 0)
                return n == -ENOENT ? -ENODEV : (int)n;
        for (char *line = strtok_r(uevent, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (strncmp(line, "DEVNAME=", 8) == 0) {
                        *path = xasprintf("/dev/%s", line + 8);
                        return 0;
                }
        return -ENODEV;
}

/* The name in sysfs, of the whole disk for a partition: "sda", "dm-0", "md127", "nbd0". */
static char *disk_name(dev_t dev)
{
        _cleanup_free_ char *path = xasprintf("/sys/dev/block/%u:%u", major(dev), minor(dev));
        _cleanup_free_ char *partition = xasprintf("%s/partition", path);
        char target[4096];
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        if (n < 0)
                return NULL;
        target[n] = '\0';
        char *slash = strrchr(target, '/');
        if (slash && access(partition, F_OK) == 0) {
                *slash = '\0';
                slash = strrchr(target, '/');
        }
        return xstrdup(slash ? slash + 1 : target);
}

static bool begins(const char *text, const char *with)
{
        return strncmp(text, with, strlen(with)) == 0;
}

/* Whoever makes a mapping tells by its UUID what it is. Of multipath and dmraid, and of partitions on them, GRUB sees
 * the very disks that are below. */
static unsigned int mapping_layer(const char *uuid)
{
        if (begins(uuid, "LVM-"))
                return LAYER_LVM;
        if (begins(uuid, "CRYPT-"))
                return LAYER_CRYPT;
        if (begins(uuid, "part")) {
                uuid += strcspn(uuid, "-");
                uuid += *uuid == '-';
        }
        return begins(uuid, "mpath-") || begins(uuid, "DMRAID-") ? 0 : LAYER_MAPPED;
}

static unsigned int own_layer(dev_t dev, const char *disk)
{
        _cleanup_free_ char *uuid = sysfs_text(dev, "dm/uuid");

        if (uuid)
                return mapping_layer(uuid);
        if (strncmp(disk, "md", 2) == 0)
                return LAYER_RAID;
        if (strncmp(disk, "nbd", 3) == 0 || strncmp(disk, "rbd", 3) == 0 || strncmp(disk, "drbd", 4) == 0)
                return LAYER_NETWORK;
        return 0;
}

static unsigned int layers(dev_t dev, int depth)
{
        _cleanup_free_ char *disk = disk_name(dev), *path = NULL;
        unsigned int found, maj, min;
        DIR *slaves;

        if (!disk || depth == MAX_DEPTH)
                return 0;
        found = own_layer(dev, disk);
        path = xasprintf("/sys/class/block/%s/slaves", disk);
        slaves = opendir(path);
        if (!slaves)
                return found;
        for (struct dirent *e; (e = readdir(slaves));) {
                _cleanup_free_ char *file = xasprintf("%s/%s/dev", path, e->d_name), *number = NULL;
                if (e->d_name[0] != '.' && read_whole_file(file, 4096, &number) > 0 &&
                    sscanf(number, "%u:%u", &maj, &min) == 2)
                        found |= layers(makedev(maj, min), depth + 1);
        }
        closedir(slaves);
        return found;
}

unsigned int device_layers(dev_t dev)
{
        return layers(dev, 0);
}

char *device_mapping_name(dev_t dev)
{
        char *name = sysfs_text(dev, "dm/name");

        if (name)
                name[strcspn(name, "\n")] = '\0';
        return name;
}

static void lookup(blkid_probe pr, const char *name, char *out, size_t size)
{
        const char *value;
        size_t len;

        out[0] = '\0';
        /* LEN counts the terminating NUL. */
        if (blkid_probe_lookup_value(pr, name, &value, &len) == 0 && len <= size)
                memcpy(out, value, len);
}

enum { PROBE_CONTENT = 1, PROBE_PARTITION = 2 }; /* bits: what is on the device; its entry in the partition table */

static blkid_probe new_probe(const char *path, const char *const types[], unsigned int what)
{
        blkid_probe pr = blkid_new_probe_from_filename(path);

        if (!pr)
                return NULL;
        blkid_probe_enable_superblocks(pr, (what & PROBE_CONTENT) != 0);
        blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL |
                                                      BLKID_SUBLKS_USAGE);
        if (types)
                blkid_probe_filter_superblocks_type(pr, BLKID_FLTR_ONLYIN, (char **)types);
        blkid_probe_enable_partitions(pr, (what & PROBE_PARTITION) != 0);
        blkid_probe_set_partitions_flags(pr, BLKID_PARTS_ENTRY_DETAILS);
        return pr;
}

static void lookup_all(blkid_probe pr, struct device_tags *tags)
{
        lookup(pr, "TYPE", tags->type, sizeof(tags->type));
        lookup(pr, "UUID", tags->uuid, sizeof(tags->uuid));
        lookup(pr, "LABEL", tags->label, sizeof(tags->label));
        lookup(pr, "PART_ENTRY_UUID", tags->part_uuid, sizeof(tags->part_uuid));
        lookup(pr, "PART_ENTRY_NAME", tags->part_label, sizeof(tags->part_label));
        lookup(pr, "USAGE", tags->usage, sizeof(tags->usage));
}

int device_get_tags(const char *path, const char *const types[], struct device_tags *tags)
{
        blkid_probe pr = new_probe(path, types, types ? PROBE_CONTENT : PROBE_CONTENT | PROBE_PARTITION);

        memset(tags, 0, sizeof(*tags));
        if (!pr)
                return errno ? -errno : -EIO;
        int r = blkid_do_safeprobe(pr);
        tags->ambiguous = r == -2;
        if (r == 0)
                lookup_all(pr, tags);
        blkid_free_probe(pr);
        return r == -1 ? -EIO : 0;
}

/* ---- all devices ---- */

/* The next device of /proc/partitions, as a node in /dev; NULL at the end. *TEXT is the rest of that file. */
static char *next_partition(char **text)
{
        char name[128];

        for (char *line; (line = strsep(text, "\n"));) {
                if (sscanf(line, "%*u %*u %*u %127s", name) != 1)
                        continue;
                for (char *c = name; *c; c++) /* as in sysfs: cciss!c0d0 is cciss/c0d0 */
                        if (*c == '!')
                                *c = '/';
                return xasprintf("/dev/%s", name);
        }
        return NULL;
}

/* A tag by which a device is looked for: where its value is in struct device_tags. */
static const struct tag_kind {
        const char *name; /* with its "=" */
        size_t at;
        unsigned int probe; /* where it is found */
        bool any_case;      /* hexadecimal digits */
} tag_kinds[] = {
        { "UUID=", offsetof(struct device_tags, uuid), PROBE_CONTENT, true },
        { "PARTUUID=", offsetof(struct device_tags, part_uuid), PROBE_PARTITION, true },
        { "LABEL=", offsetof(struct device_tags, label), PROBE_CONTENT, false },
        { "PARTLABEL=", offsetof(struct device_tags, part_label), PROBE_PARTITION, false },
};

static const char *value_of(const struct device_tags *tags, const struct tag_kind *kind)
{
        return (const char *)tags + kind->at;
}

static bool is_same(const struct tag_kind *kind, const char *a, const char *b)
{
        return (kind->any_case ? strcasecmp(a, b) : strcmp(a, b)) == 0;
}

/* Formats of RAID controllers that have neither UUID nor label, by which a device could be found. Most of them are
 * looked for at the end of the device, in a third of all reads that libblkid does. */
static const char *const nameless_types[] = {
        "isw_raid_member",
        "lsi_mega_raid_member",
        "via_raid_member",
        "silicon_medley_raid_member",
        "nvidia_raid_member",
        "promise_fasttrack_raid_member",
        "hpt45x_raid_member",
        "hpt37x_raid_member",
        "adaptec_raid_member",
        "jmicron_raid_member",
        NULL,
};

/* The value that a device has if it is not ambiguous, and not a member of a RAID. libblkid settles on the first thing
 * that it finds; it goes on looking only to tell whether there are more, which takes time and matters only where the
 * value is the right one: does_carry. The caller frees. */
static char *first_value(const char *path, const struct tag_kind *kind, const char *const types[])
{
        blkid_probe pr = new_probe(path, types, kind->probe);
        struct device_tags tags;
        char *value = NULL;

        if (!pr)
                return NULL;
        if (!types)
                blkid_probe_filter_superblocks_type(pr, BLKID_FLTR_NOTIN, (char **)nameless_types);
        if (blkid_do_probe(pr) == 0) {
                lookup_all(pr, &tags);
                value = xstrdup(value_of(&tags, kind));
        }
        blkid_free_probe(pr);
        return value;
}

static bool does_carry(const char *path, const struct tag_kind *kind, const char *wanted, const char *const types[])
{
        struct device_tags tags;

        return device_get_tags(path, types, &tags) == 0 && is_same(kind, value_of(&tags, kind), wanted);
}

/* What was seen when all devices were last looked at for a tag, and it was found. A plan's devices are looked for one
 * after the other within milliseconds: no need to look at all devices for each, nor for one that was counted just
 * now. */
static struct {
        const struct tag_kind *kind; /* NULL: nothing was */
        struct seen {
                char *node, *value;
        } * devices;
        size_t n;
} seen;

static void forget_seen(void)
{
        for (size_t i = 0; i < seen.n; i++) {
                free(seen.devices[i].node);
                free(seen.devices[i].value);
        }
        free(seen.devices);
        memset(&seen, 0, sizeof(seen));
}

/* One that is known to be the only one that carries VALUE, among those of the types that were asked for. */
static void remember(const struct tag_kind *kind, const char *node, const char *value)
{
        if (seen.kind != kind)
                forget_seen();
        for (size_t i = 0; i < seen.n; i++)
                if (strcmp(seen.devices[i].node, node) == 0)
                        return;
        seen.kind = kind;
        seen.devices = xrealloc(seen.devices, (seen.n + 1) * sizeof(*seen.devices));
        seen.devices[seen.n++] = (struct seen){ xstrdup(node), xstrdup(value) };
}

static void look_at_all(const struct tag_kind *kind)
{
        _cleanup_free_ char *text = NULL;
        size_t lines = 0;

        forget_seen();
        if (read_whole_file("/proc/partitions", 1024 * 1024, &text) < 0)
                return;
        for (const char *c = text; *c; c++)
                lines += *c == '\n';
        seen.kind = kind;
        seen.devices = xmalloc((lines + 1) * sizeof(*seen.devices));
        for (char *rest = text, *node; (node = next_partition(&rest));) {
                char *value = first_value(node, kind, NULL);
                if (value)
                        seen.devices[seen.n++] = (struct seen){ node, value };
                else
                        free(node);
        }
}

/* Counts the devices among those seen that carry WANTED now; *PATH is the first. */
static int count_seen(const struct tag_kind *kind, const char *wanted, char **path)
{
        int n = 0;

        for (size_t i = 0; i < seen.n; i++) {
                const struct seen *device = &seen.devices[i];
                if (!is_same(kind, device->value, wanted) || !does_carry(device->node, kind, wanted, NULL))
                        continue;
                if (n++ == 0)
                        *path = xstrdup(device->node);
        }
        return n;
}

/* ---- counting ---- */

#define HEAD_SIZE 2048
#define UUID_SIZE 16

/* Superblocks that have their UUID, as its 16 bytes, within HEAD_SIZE: XFS at 0x20, swap areas at 0x40c, ext at 0x468.
 * (libblkid: superblocks/xfs.c, swap.c, ext.c) */
static bool is_in_head(const char *const types[])
{
        static const char *const known[] = { "xfs", "swap", "swsuspend", "ext2", "ext3", "ext4" };

        for (; types && *types; types++) {
                size_t i = 0;
                while (i < ELEMENTS(known) && strcmp(known[i], *types) != 0)
                        i++;
                if (i == ELEMENTS(known))
                        return false;
        }
        return types;
}

static bool parse_uuid(const char *text, unsigned char uuid[UUID_SIZE])
{
        for (size_t i = 0; i < UUID_SIZE; i++) {
                if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
                        return false;
                if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
                        return false;
                sscanf(text, "%2hhx", &uuid[i]);
                text += 2;
        }
        return *text == '\0';
}

/* False only if the device has no such bytes in its head, or cannot be looked at by anybody. libblkid takes some dozen
 * system calls to say the same, which shows where there are hundreds of devices. */
static bool may_carry(const char *path, const unsigned char uuid[UUID_SIZE])
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        unsigned char head[HEAD_SIZE];

        if (fd < 0)
                return false;
        return pread_all(fd, head, sizeof(head), 0) < 0 || memmem(head, sizeof(head), uuid, UUID_SIZE);
}

int device_count_uuid(const char *uuid, const char *const types[])
{
        const struct tag_kind *kind = &tag_kinds[0];
        _cleanup_free_ char *text = NULL, *found = NULL;
        unsigned char bytes[UUID_SIZE];
        bool in_head = is_in_head(types) && parse_uuid(uuid, bytes);
        int n = 0, candidates = 0;

        if (read_whole_file("/proc/partitions", 1024 * 1024, &text) < 0)
                return 0;
        for (char *rest = text, *node; (node = next_partition(&rest)); free(node)) {
                if (in_head && !may_carry(node, bytes))
                        continue;
                candidates++;
                _cleanup_free_ char *value = first_value(node, kind, types);
                if (!value || !is_same(kind, value, uuid) || !does_carry(node, kind, uuid, types))
                        continue;
                n++;
                free(found);
                found = xstrdup(node);
        }
        if (n == 1 && candidates == 1)
                remember(kind, found, uuid);
        return n;
}

/* ---- finding ---- */

/* fstab may have UUID="...". */
static void unquote(const char *value, char out[LABEL_TEXT_MAX])
{
        size_t len = strlen(value);
        bool quoted = len >= 2 && value[0] == '"' && value[len - 1] == '"';

        snprintf(out, LABEL_TEXT_MAX, "%.*s", (int)(quoted ? len - 2 : len), value + quoted);
}

static int find_by_tag(const struct tag_kind *kind, const char *value, char **path)
{
        char wanted[LABEL_TEXT_MAX];
        int n;

        unquote(value, wanted);
        if (!wanted[0]) /* or every device without one would do */
                return -ENODEV;
        n = seen.kind == kind ? count_seen(kind, wanted, path) : 0;
        if (n == 0) {
                look_at_all(kind);
                n = count_seen(kind, wanted, path);
        }
        if (n == 0)
                forget_seen(); /* it may come while it is waited for */
        if (n <= 1)
                return n == 1 ? 0 : -ENODEV;
        free(*path);
        *path = NULL;
        return -ENOTUNIQ;
}

int device_find(const char *tag, char **path)
{
        *path = NULL;
        if (tag[0] == '/') {
                *path = xstrdup(tag);
                return 0;
        }
        for (size_t i = 0; i < ELEMENTS(tag_kinds); i++)
                if (strncmp(tag, tag_kinds[i].name, strlen(tag_kinds[i].name)) == 0)
                        return find_by_tag(&tag_kinds[i], tag + strlen(tag_kinds[i].name), path);
        return -ENODEV;
}

int device_number(const char *path, dev_t *dev)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if (!S_ISBLK(st.st_mode))
                return -ENOTBLK;
        *dev = st.st_rdev;
        return 0;
}

int device_open(const char *path, int flags)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT | flags);

        if (fd < 0 && errno == EINVAL)
                fd = open(path, O_RDONLY | O_CLOEXEC | flags);
        return fd < 0 ? -errno : fd;
}

int device_read_fd(int fd, uint64_t at, void *buf, size_t size)
{
        _cleanup_free_ void *aligned = NULL;
        uint64_t start = at / DIRECT_ALIGN * DIRECT_ALIGN;
        size_t want = (size_t)(at - start) + size;
        size_t room = (want + DIRECT_ALIGN - 1) / DIRECT_ALIGN * DIRECT_ALIGN;

        if (posix_memalign(&aligned, DIRECT_ALIGN, room) != 0) {
                aligned = NULL;
                return -ENOMEM;
        }
        /* The device may end inside the last unit: a short count is fine as long as what was asked for is there. */
        size_t got = 0;
        while (got < want) {
                ssize_t r = pread(fd, (char *)aligned + got, room - got, (off_t)(start + got));
                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0)
                        return -ENODATA;
                got += (size_t)r;
        }
        memcpy(buf, (char *)aligned + (at - start), size);
        return 0;
}

int device_read(const char *path, uint64_t at, void *buf, size_t size)
{
        _cleanup_close_ int fd = device_open(path, 0);

        return fd < 0 ? fd : device_read_fd(fd, at, buf, size);
}

/* The device's own sectors may be larger than 512 bytes: then the rest of the one is written back as it was read just
 * before, which the device still does whole or not at all. The page cache is passed by: what it holds of the device may
 * be older than what the kernel wrote there by other ways, such as an image. */
static int overwrite_sector(int fd, uint64_t at, const void *sector)
{
        _cleanup_free_ void *unit = NULL;
        int size = 512;
        int r;

        if (ioctl(fd, BLKSSZGET, &size) < 0 || size < 512 || size > DIRECT_ALIGN)
                return -EINVAL;
        uint64_t start = at / (uint64_t)size * (uint64_t)size;
        if (posix_memalign(&unit, DIRECT_ALIGN, (size_t)size) != 0) {
                unit = NULL;
                return -ENOMEM;
        }
        r = pread_all(fd, unit, (size_t)size, (off_t)start);
        if (r < 0)
                return r;
        memcpy((char *)unit + (at - start), sector, 512);
        r = pwrite_all(fd, unit, (size_t)size, (off_t)start);
        return r == 0 && fdatasync(fd) < 0 ? -errno : r;
}

int device_write_sector(const char *path, uint64_t at, const void *sector, bool exclusive)
{
        int flags = O_RDWR | O_CLOEXEC | (exclusive ? O_EXCL : 0);
        _cleanup_close_ int fd = open(path, flags | O_DIRECT);

        if (fd < 0 && errno == EINVAL)
                fd = open(path, flags | O_SYNC);
        return fd < 0 ? -errno : overwrite_sector(fd, at, sector);
}

bool device_is_in_use(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);

        return fd < 0 && errno == EBUSY;
}

int device_size(const char *path, uint64_t *size)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

        return fd < 0 || ioctl(fd, BLKGETSIZE64, size) < 0 ? -errno : 0;
}

/* For filesystems without FIEMAP (vfat). */
static int extents_by_block(int fd, uint64_t length, struct extent *extents, size_t max)
{
        int block_size;
        size_t n = 0;

        if (ioctl(fd, FIGETBSZ, &block_size) < 0 || block_size <= 0)
                return -errno;
        for (uint64_t at = 0; at < length; at += (uint64_t)block_size, n++) {
                int block = (int)(at / (uint64_t)block_size);
                if (n == max)
                        return -E2BIG;
                if (ioctl(fd, FIBMAP, &block) < 0)
                        return -errno;
                if (block == 0)
                        return -ENOTSUP;
                extents[n] = (struct extent){ at, (uint64_t)(unsigned int)block * (uint64_t)block_size,
                                              (uint64_t)block_size };
        }
        return (int)n;
}

int file_extents(int fd, uint64_t length, struct extent *extents, size_t max)
{
        const uint32_t not_plain = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED |
                                   FIEMAP_EXTENT_DATA_ENCRYPTED | FIEMAP_EXTENT_NOT_ALIGNED |
                                   FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_UNWRITTEN;
        _cleanup_free_ struct fiemap *map = xmalloc(sizeof(*map) + (max + 1) * sizeof(struct fiemap_extent));
        uint64_t covered = 0;

        memset(map, 0, sizeof(*map));
        map->fm_length = length;
        map->fm_extent_count = (uint32_t)max + 1;
        if (ioctl(fd, FS_IOC_FIEMAP, map) < 0)
                return errno == EOPNOTSUPP || errno == ENOTTY ? extents_by_block(fd, length, extents, max) : -errno;
        if (map->fm_mapped_extents > max)
                return -E2BIG;
        for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
                const struct fiemap_extent *e = &map->fm_extents[i];
                if ((e->fe_flags & not_plain) || e->fe_logical > covered)
                        return -ENOTSUP;
                covered = e->fe_logical + e->fe_length;
                extents[i] = (struct extent){ e->fe_logical, e->fe_physical, e->fe_length };
        }
        return covered < length ? -ENOTSUP : (int)map->fm_mapped_extents;
}
