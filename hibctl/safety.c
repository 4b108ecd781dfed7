/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "safety.h"
#include "say.h"

/* What a device may be a part of, as libblkid names it. */
static const struct {
        const char *type, *why;
} members[] = {
        { "linux_raid_member", N_("it is a member of a RAID") },
        { "LVM2_member", N_("it belongs to LVM") },
        { "LVM1_member", N_("it belongs to LVM") },
        { "crypto_LUKS", N_("it is encrypted (LUKS)") },
        { "BitLocker", N_("it is encrypted (BitLocker)") },
        { "bcache", N_("it belongs to a bcache") },
        { "zfs_member", N_("it belongs to a ZFS pool") },
        { "swap", N_("it is a swap area") },
        { "swsuspend", N_("it holds a hibernation image") },
        { "jbd", N_("it is the journal of another filesystem") },
        { "xfs_external_log", N_("it is the journal of another filesystem") },
};

static struct fs_report unsafe(enum fs_state state, const char *why)
{
        return (struct fs_report){ .state = state, .reason = why };
}

/* FS_CLEAN here: it is one filesystem and nothing else. */
static struct fs_report judge_tags(const struct device_tags *tags)
{
        if (tags->ambiguous)
                return unsafe(FS_UNKNOWN, N_("it has the signatures of more than one thing"));
        if (!tags->type[0])
                return unsafe(FS_UNKNOWN, N_("nothing that is known is on it"));
        for (size_t i = 0; i < ELEMENTS(members); i++)
                if (strcmp(members[i].type, tags->type) == 0)
                        return unsafe(FS_UNKNOWN, members[i].why);
        /* The formats of RAID controllers, and others that libblkid counts as such. */
        if (strcmp(tags->usage, "raid") == 0)
                return unsafe(FS_UNKNOWN, N_("it is a member of a RAID"));
        if (strcmp(tags->usage, "crypto") == 0)
                return unsafe(FS_UNKNOWN, N_("it is encrypted"));
        return unsafe(FS_CLEAN, NULL);
}

static int read_source(void *context, uint64_t at, void *buf, size_t size)
{
        return device_read_fd(*(const int *)context, at, buf, size);
}

static struct fs_report examine_fd(int fd, const char *type)
{
        off_t end = lseek(fd, 0, SEEK_END);
        struct fs_source source = { .context = &fd, .read = read_source, .size = end < 0 ? 0 : (uint64_t)end };

        return fs_examine(&source, type);
}

struct fs_report fs_state(const char *device, const char *type)
{
        _cleanup_close_ int fd = device_open(device, 0);

        if (fd < 0)
                return unsafe(FS_UNKNOWN, N_("it cannot be opened"));
        return examine_fd(fd, type);
}

static struct fs_report judge(const char *path, struct safety *s)
{
        dev_t dev;

        s->error = device_number(path, &dev);
        if (s->error < 0)
                return unsafe(FS_UNKNOWN, N_("it is not a block device"));
        _cleanup_close_ int fd = device_open(path, O_EXCL);
        if (fd == -EBUSY)
                return unsafe(FS_IN_USE, N_("somebody has it mounted, or holds it in another way"));
        if (fd < 0) {
                s->error = fd;
                return unsafe(FS_UNKNOWN, N_("it cannot be opened"));
        }
        s->layers = device_layers(dev);
        s->error = device_get_tags(path, NULL, &s->tags);
        if (s->error < 0)
                return unsafe(FS_UNKNOWN, N_("it cannot be read"));
        if (s->layers & LAYER_NETWORK)
                return unsafe(FS_UNKNOWN, N_("it is on the network: another machine may have it mounted"));
        struct fs_report report = judge_tags(&s->tags);
        return report.state == FS_CLEAN ? examine_fd(fd, s->tags.type) : report;
}

void device_safety(const char *path, struct safety *safety)
{
        memset(safety, 0, sizeof(*safety));
        safety->report = judge(path, safety);
}
