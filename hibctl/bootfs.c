/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <linux/fs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "bootfs.h"
#include "freeze.h"
#include "globals.h"
#include "safety.h"
#include "say.h"

static const char *const prefixes[] = { "/boot/grub", "/boot/grub2" };

/* What GRUB's save_env needs, and what a write needs to be seen by it. */
static const struct fs_rules {
        const char *type;
        bool journal;         /* metadata goes to a log first, which GRUB does not read */
        const char *quiet_ro; /* options for a read-only mount that replays nothing */
        const char *why_not;  /* GRUB cannot overwrite a file there */
} rules[] = {
        { "ext2", false, "ro", NULL },
        { "ext3", true, "ro,noload", NULL },
        { "ext4", true, "ro,noload", NULL },
        { "xfs", true, "ro,norecovery", NULL },
        { "vfat", false, "ro", NULL },
        { "msdos", false, "ro", NULL },
        { "exfat", false, "ro", NULL },
        { "btrfs", true, "ro,rescue=nologreplay", N_("GRUB cannot overwrite a file on btrfs") },
        { "f2fs", true, "ro,norecovery", N_("GRUB cannot overwrite a file on f2fs safely: its blocks move") },
};

static const struct fs_rules *find_rules(const char *type)
{
        for (size_t i = 0; i < ELEMENTS(rules); i++)
                if (strcmp(rules[i].type, type) == 0)
                        return &rules[i];
        return NULL;
}

static void cleanup_table(struct libmnt_table **tb)
{
        if (*tb)
                mnt_unref_table(*tb);
}

/* Read once, and again after each change of ours. */
static struct libmnt_table *mount_table;

static struct libmnt_table *mounts(void)
{
        if (!mount_table)
                mount_table = mnt_new_table_from_file("/proc/self/mountinfo");
        return mount_table;
}

static void forget_mounts(void)
{
        mnt_unref_table(mount_table);
        mount_table = NULL;
}

/* ---- mounting ---- */

/* The entry of fstab that GRUB's folder depends on and that is not mounted: then what can be seen under the mount
 * point now is not what GRUB sees. NULL if there is none. */
static struct libmnt_fs *unmounted_entry(struct libmnt_table *fstab, struct libmnt_table *mounted)
{
        static const char *const targets[] = { "/boot/grub", "/boot/grub2", "/boot" };

        for (size_t i = 0; fstab && i < ELEMENTS(targets); i++) {
                _cleanup_free_ char *path = in_root(targets[i]);
                struct libmnt_fs *entry = mnt_table_find_target(fstab, targets[i], MNT_ITER_FORWARD);
                if (entry && !mnt_table_find_target(mounted, path, MNT_ITER_BACKWARD))
                        return entry;
        }
        return NULL;
}

static int own_namespace(void)
{
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return refuse(_("cannot make a mount namespace of our own: %m; run it as root"));
        return EXIT_DONE;
}

static int check_mountable(const char *device, const struct safety *s, bool for_writing)
{
        const struct fs_rules *r = find_rules(s->tags.type);
        const char *why = s->report.reason ? _(s->report.reason) : "";

        if (s->report.state == FS_IN_USE)
                return refuse(_("%s: the boot filesystem is not mounted here, but somebody uses its device; unmount it "
                                "there, or mount it here"),
                              device);
        if (s->error < 0)
                return fail(_("%s: cannot look at the boot filesystem: %s"), device, strerror(-s->error));
        if (s->tags.ambiguous || !r)
                return refuse(_("%s: not a filesystem that is known to be safe: %s ('%s'); mount it yourself first"),
                              device, why, s->tags.ambiguous ? _("ambiguous") : s->tags.type);
        if (for_writing && r->why_not)
                return no_store(_("%s: no mark can be written there: %s"), device, _(r->why_not));
        if (s->report.state == FS_UNKNOWN)
                return refuse(_("%s: whether the boot filesystem was unmounted in order cannot be told: %s; check it "
                                "(fsck %s) or mount it yourself first"),
                              device, why, device);
        if (s->report.state != FS_CLEAN)
                return refuse(
                        _("%s: the boot filesystem was not unmounted in order: %s; check it (fsck %s) or mount it "
                          "yourself first"),
                        device, why, device);
        return EXIT_DONE;
}

static int mount_it(const char *device, const char *target, const char *type, bool for_writing)
{
        struct libmnt_context *cxt = mnt_new_context();
        int r;

        if (!cxt)
                return fail(_("out of memory"));
        mnt_context_set_optsmode(cxt, MNT_OMODE_NOTAB);
        mnt_context_disable_helpers(cxt, 1);
        mnt_context_disable_mtab(cxt, 1);
        if (for_writing)
                mnt_context_enable_rwonly_mount(cxt, 1); /* or it falls back to read-only without a word */
        mnt_context_set_source(cxt, device);
        mnt_context_set_target(cxt, target);
        mnt_context_set_fstype(cxt, type);
        mnt_context_append_options(cxt, "nosuid,nodev,noexec");
        mnt_context_append_options(cxt, for_writing ? "rw" : find_rules(type)->quiet_ro);
        r = mnt_context_mount(cxt);
        if (r != 0) {
                char why[256] = "";
                mnt_context_get_excode(cxt, r, why, sizeof(why));
                r = fail(_("%s: cannot mount the boot filesystem on %s: %s"), device, target, why);
        }
        mnt_free_context(cxt);
        return r;
}

static int mount_privately(struct bootfs *fs, const char *device, const char *target, const char *type,
                           bool for_writing)
{
        int r = own_namespace();

        if (r == EXIT_DONE)
                r = mount_it(device, target, type, for_writing);
        if (r != EXIT_DONE)
                return r;
        say_step(_("mounted %s on %s in a mount namespace of our own"), device, target);
        forget_mounts();
        fs->mounted_here = true;
        fs->mount_point = xstrdup(target);
        return EXIT_DONE;
}

static int mount_entry(struct bootfs *fs, struct libmnt_fs *entry, enum bootfs_mount how)
{
        const char *spec = mnt_fs_get_source(entry);
        _cleanup_free_ char *device = NULL;
        _cleanup_free_ char *target = in_root(mnt_fs_get_target(entry));
        const struct fs_rules *rules_of_it;
        bool for_writing = how != BOOTFS_READ;
        struct safety safety;
        int r;

        r = spec ? device_find(spec, &device) : -ENODEV;
        if (r == -ENOTUNIQ)
                return refuse(
                        _("%s: more than one device carries this name of the boot filesystem; give one a new UUID"),
                        spec);
        if (r < 0)
                return no_store(
                        _("%s: the device of the boot filesystem, as fstab names it, is not there; attach it or "
                          "correct fstab"),
                        spec ? spec : "?");
        device_safety(device, &safety);
        rules_of_it = find_rules(safety.tags.type);
        if (how == BOOTFS_WRITE_OR_READ && rules_of_it && rules_of_it->why_not)
                for_writing = false;
        r = check_mountable(device, &safety, for_writing);
        return r == EXIT_DONE ? mount_privately(fs, device, target, safety.tags.type, for_writing) : r;
}

/* ---- finding ---- */

static int find_prefix(struct bootfs *fs)
{
        for (size_t i = 0; i < ELEMENTS(prefixes); i++) {
                _cleanup_free_ char *prefix = in_root(prefixes[i]);
                if (is_missing(prefix))
                        continue;
                fs->prefix = xstrdup(prefix);
                fs->env_path = xasprintf("%s/grubenv", prefix);
                return EXIT_DONE;
        }
        return no_store(
                _("%s%s: GRUB's folder is not there; install GRUB (grub-install), or name the system with --root"),
                globals.root, prefixes[0]);
}

/* Fills in what the mount table says of the filesystem that PATH is on. */
static int describe(struct bootfs *fs, const char *path)
{
        struct libmnt_table *tb = mounts();
        _cleanup_free_ char *real = resolve(path);
        struct libmnt_fs *entry = tb && real ? mnt_table_find_mountpoint(tb, real, MNT_ITER_BACKWARD) : NULL;
        struct stat st;

        if (!entry || stat(real, &st) < 0)
                return fail(_("%s: cannot tell which filesystem it is on"), path);
        free(fs->mount_point);
        fs->mount_point = xstrdup(mnt_fs_get_target(entry));
        fs->subtree = xstrdup(mnt_fs_get_root(entry) ? mnt_fs_get_root(entry) : "/");
        snprintf(fs->type, sizeof(fs->type), "%s", mnt_fs_get_fstype(entry));
        /* btrfs answers stat with a number of its own; its mount entry names the device. */
        fs->dev = st.st_dev;
        if (major(fs->dev) == 0 && mnt_fs_get_srcpath(entry) && device_number(mnt_fs_get_srcpath(entry), &fs->dev) < 0)
                fs->dev = 0;
        if (major(fs->dev) != 0 && device_path(fs->dev, &fs->device) == 0)
                fs->layers = device_layers(fs->dev);
        const struct fs_rules *r = find_rules(fs->type);
        fs->journal = r && r->journal;
        if (strncmp(fs->type, "ext", 3) == 0 && fs->device) {
                struct fs_report report = fs_state(fs->device, fs->type);
                if (report.state != FS_UNKNOWN)
                        fs->journal = report.journal;
        }
        return EXIT_DONE;
}

int bootfs_describe(struct bootfs *fs, const char *path)
{
        *fs = (struct bootfs)BOOTFS_INIT;
        return describe(fs, path);
}

int bootfs_attach(struct bootfs *fs, enum bootfs_mount how)
{
        _cleanup_free_ char *fstab_path = in_root("/etc/fstab");
        _cleanup_(cleanup_table) struct libmnt_table *fstab = mnt_new_table_from_file(fstab_path);
        struct libmnt_table *mounted = mounts();
        int r;

        *fs = (struct bootfs)BOOTFS_INIT;
        if (!mounted)
                return fail(_("/proc/self/mountinfo: cannot read which filesystems are mounted; mount /proc"));
        struct libmnt_fs *entry = unmounted_entry(fstab, mounted);
        if (entry) {
                r = mount_entry(fs, entry, how);
                if (r != EXIT_DONE)
                        return r;
        }
        r = find_prefix(fs);
        forget_mounts(); /* looking may have made systemd's automount mount it */
        if (r != EXIT_DONE)
                return r;
        return describe(fs, access(fs->env_path, F_OK) == 0 ? fs->env_path : fs->prefix);
}

/* ---- in a save kernel ---- */

#define PLANNED_MOUNT_POINT "/run/hibctl/boot"

static int refuse_unplanned(const struct plan *plan)
{
        if (plan->boot_state == PLAN_BOOT_HELD)
                return refuse(_("UUID=%s: the sleeping system has the boot filesystem mounted, so it is not touched"),
                              plan->boot.uuid);
        if (plan->boot_state != PLAN_BOOT_RELEASED)
                return no_store(_("UUID=%s: GRUB could not consume a mark on the boot filesystem, says the plan"),
                                plan->boot.uuid);
        return EXIT_DONE;
}

/* Only what was unmounted in order, and is nobody's now: nothing may be replayed or repaired here. */
static int check_planned(const struct plan *plan, const char *device, const struct safety *s)
{
        const struct fs_rules *r = find_rules(s->tags.type);
        const char *why = s->report.reason ? _(s->report.reason) : "";

        if (s->error < 0)
                return fail(_("%s: cannot look at the boot filesystem: %s"), device, strerror(-s->error));
        if (s->report.state != FS_IN_USE && strcmp(s->tags.type, plan->boot.type) != 0)
                return refuse(_("%s: it was %s when the plan was made, and is '%s' now; make the plan anew"), device,
                              plan->boot.type, s->tags.type);
        if (s->report.state != FS_CLEAN)
                return refuse(
                        _("%s: the boot filesystem was unmounted when the plan was made, but is not safe to mount "
                          "now: %s; go back and check it there (fsck %s)"),
                        device, why, device);
        if (!r || r->why_not)
                return no_store(_("%s: no mark can be written there: %s"), device,
                                r ? _(r->why_not) : _("GRUB is not known to be able to overwrite a file on it"));
        return EXIT_DONE;
}

static int find_planned(const struct plan *plan, char **device)
{
        _cleanup_free_ char *tag = xasprintf("UUID=%s", plan->boot.uuid);
        int r = device_find(tag, device);

        if (r == -ENOTUNIQ)
                return refuse(
                        _("%s: more than one device carries the boot filesystem's name; which one is meant cannot "
                          "be told"),
                        tag);
        if (r < 0)
                return no_store(_("%s: the device of the boot filesystem is not there; load its driver"), tag);
        return EXIT_DONE;
}

static int make_mount_point(void)
{
        static const char *const folders[] = { "/run", "/run/hibctl", PLANNED_MOUNT_POINT };

        for (size_t i = 0; i < ELEMENTS(folders); i++)
                if (mkdir(folders[i], 0755) < 0 && errno != EEXIST)
                        return fail(_("%s: cannot make the mount point: %m; mount a tmpfs on /run"), folders[i]);
        return EXIT_DONE;
}

int bootfs_attach_planned(struct bootfs *fs, const struct plan *plan, bool for_writing)
{
        _cleanup_free_ char *device = NULL;
        struct safety safety;
        int r;

        *fs = (struct bootfs)BOOTFS_INIT;
        r = refuse_unplanned(plan);
        if (r == EXIT_DONE)
                r = find_planned(plan, &device);
        if (r != EXIT_DONE)
                return r;
        device_safety(device, &safety);
        r = check_planned(plan, device, &safety);
        if (r == EXIT_DONE)
                r = make_mount_point();
        if (r == EXIT_DONE)
                r = mount_privately(fs, device, PLANNED_MOUNT_POINT, safety.tags.type, for_writing);
        if (r != EXIT_DONE)
                return r;
        fs->prefix = xasprintf("%s%s", PLANNED_MOUNT_POINT, plan->boot.path);
        fs->env_path = xasprintf("%s/grubenv", fs->prefix);
        if (is_missing(fs->prefix))
                return no_store(_("%s: GRUB's folder %s is not on it; make the plan anew"), device, plan->boot.path);
        return describe(fs, access(fs->env_path, F_OK) == 0 ? fs->env_path : fs->prefix);
}

/* ---- what it is good for ---- */

const char *bootfs_why_not_writable(const struct bootfs *fs)
{
        const struct fs_rules *r = find_rules(fs->type);

        if (!r)
                return _("GRUB is not known to be able to overwrite a file on such a filesystem");
        if (r->why_not)
                return _(r->why_not);
        if (!fs->device)
                return _("it has no block device");
        if (fs->layers & LAYER_LVM)
                return _("GRUB cannot write to LVM");
        if (fs->layers & LAYER_RAID)
                return _("GRUB cannot write to RAID");
        if (fs->layers & LAYER_NETWORK)
                return _("GRUB cannot write to a network device");
        return NULL;
}

bool bootfs_is_read_only(const struct bootfs *fs)
{
        struct statvfs st;

        return !fs->mounted_here && statvfs(is_missing(fs->env_path) ? fs->prefix : fs->env_path, &st) == 0 &&
               (st.f_flag & ST_RDONLY) != 0;
}

/* ---- proving ---- */

static int compare_on_device(const struct bootfs *fs, const char *bytes, size_t size)
{
        _cleanup_free_ char *seen = xmalloc(size);

        for (int i = 0; i < fs->n_extents; i++) {
                const struct extent *e = &fs->extents[i];
                if (e->logical >= size)
                        break;
                size_t n = e->length < size - e->logical ? (size_t)e->length : size - (size_t)e->logical;
                int r = device_read(fs->device, e->physical, seen + e->logical, n);
                if (r < 0)
                        return r;
        }
        return memcmp(seen, bytes, size) == 0 ? 0 : -ESTALE;
}

/* Without a journal, flushing the file is enough, unless one of the folders above it is so new that its own entry may
 * still be in memory. */
static bool folders_are_new(const struct bootfs *fs, const char *path)
{
        _cleanup_free_ char *folder = xstrdup(path);
        time_t recent = time(NULL) - 120;
        struct stat st;

        for (char *slash; (slash = strrchr(folder, '/')) && slash != folder;) {
                *slash = '\0';
                if (stat(folder, &st) < 0 || st.st_ctime > recent)
                        return true;
                if (strcmp(folder, fs->mount_point) == 0)
                        break;
        }
        return false;
}

static int find_place(struct bootfs *fs, const struct envfile *f)
{
        fs->n_extents = file_extents(f->fd, f->block.size, fs->extents, ENV_EXTENTS_MAX);
        return fs->n_extents < 0 ? fs->n_extents : 0;
}

/* Before anything is written: bytes that have no place of their own on the device GRUB cannot overwrite. They may be so
 * new that they have none yet. */
static int check_place(struct bootfs *fs, const struct envfile *f)
{
        int r = find_place(fs, f);

        return r == -ENOTSUP && fsync(f->fd) == 0 ? find_place(fs, f) : r;
}

static int look_on_device(struct bootfs *fs, const struct envfile *f)
{
        int r = find_place(fs, f);

        return r < 0 ? r : compare_on_device(fs, f->buf, f->block.size);
}

/* Brings everything to where GRUB reads it, and holds it there until freeze_end where that takes a freeze. */
static int write_out(const struct bootfs *fs, int fd, struct freeze *freeze)
{
        int r = -EOPNOTSUPP;

        if (fs->journal)
                r = write_out_journal(fd);
        if (fs->journal && r == -EOPNOTSUPP)
                r = freeze_begin(freeze, fd);
        if (r == -EOPNOTSUPP)
                r = sync_filesystem(fd);
        return r;
}

int bootfs_confirm(struct bootfs *fs, const struct envfile *f)
{
        struct freeze freeze = FREEZE_INIT;
        int r = 0, thaw;

        /* What we mounted ourselves is unmounted next, which writes everything out; here only the place is wanted. */
        if (!fs->mounted_here && (fs->journal || folders_are_new(fs, f->path)))
                r = write_out(fs, f->fd, &freeze);
        if (r == 0)
                r = look_on_device(fs, f);
        thaw = freeze_end(&freeze);
        return r < 0 ? r : thaw;
}

static char *copy_bytes(const char *bytes, size_t size)
{
        char *copy = xmalloc(size);

        memcpy(copy, bytes, size);
        return copy;
}

int bootfs_overwrite(struct bootfs *fs, struct envfile *f, const char *new_bytes)
{
        _cleanup_free_ char *before = copy_bytes(f->buf, f->block.size);
        int r, undone;

        r = check_place(fs, f);
        if (r == 0)
                r = envfile_overwrite(f, new_bytes);
        if (r < 0)
                return r == -ESTALE ? -EAGAIN : r;
        r = bootfs_confirm(fs, f);
        if (r < 0) {
                undone = envfile_overwrite(f, before);
                if (undone < 0)
                        say_error(_("%s: it may have been changed: the old bytes could not be put back: %s"), f->path,
                                  strerror(-undone));
                return r;
        }
        free(fs->before);
        free(fs->after);
        fs->before = before;
        before = NULL;
        fs->after = copy_bytes(new_bytes, f->block.size);
        fs->size = f->block.size;
        return 0;
}

int bootfs_write_out(const struct bootfs *fs)
{
        _cleanup_close_ int fd = open(fs->prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_bootfs_ struct bootfs of_prefix = BOOTFS_INIT; /* a linked block may be on another one */
        struct freeze freeze = FREEZE_INIT;
        int r, thaw;

        if (fd < 0)
                return -errno;
        if (describe(&of_prefix, fs->prefix) != EXIT_DONE)
                return -EIO;
        r = write_out(&of_prefix, fd, &freeze);
        thaw = freeze_end(&freeze);
        r = r < 0 ? r : thaw;
        errno = -r;
        return r;
}

/* ---- letting go ---- */

static int unmount_it(struct bootfs *fs)
{
        struct libmnt_context *cxt = mnt_new_context();
        int r;

        if (!cxt)
                return -ENOMEM;
        /* Neither lazy nor read-only as a fallback: 0 means that it is unmounted. */
        mnt_context_disable_helpers(cxt, 1);
        mnt_context_disable_mtab(cxt, 1);
        mnt_context_set_target(cxt, fs->mount_point);
        r = mnt_context_umount(cxt);
        r = r == 0 ? 0 : mnt_context_syscall_called(cxt) ? -mnt_context_get_syscall_errno(cxt) : -EIO;
        mnt_free_context(cxt);
        if (r == 0)
                fs->mounted_here = false;
        forget_mounts();
        return r;
}

/* Nobody has it now: write out and forget what the kernel caches of the device itself. */
static int flush_device(const char *device)
{
        _cleanup_close_ int fd = open(device, O_RDWR | O_EXCL | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return -errno;
        ioctl(fd, BLKFLSBUF, 0); /* what matters next is read with O_DIRECT anyway */
        return 0;
}

static int put_back(const struct bootfs *fs)
{
        _cleanup_envfile_ struct envfile f = ENVFILE_INIT;

        if (envfile_open(&f, fs->env_path, /* for_writing= */ true) != EXIT_DONE)
                return -EIO;
        return f.block.size == fs->size ? envfile_overwrite(&f, fs->before) : -ESTALE;
}

static int cannot_unmount(const struct bootfs *fs, int error)
{
        if (fs->after && put_back(fs) < 0)
                say_error(_("%s: it may have been changed: the old bytes could not be put back"), fs->env_path);
        return fail(_("%s: cannot unmount the boot filesystem: %s; it goes away with this process"), fs->mount_point,
                    strerror(-error));
}

/* The filesystem is unmounted: what is wrong now cannot be undone without mounting it again. */
static int prove_unmounted(const struct bootfs *fs)
{
        int r = flush_device(fs->device);

        if (r < 0)
                return fail(_("%s: cannot flush the device: %s; the environment block may have been changed"),
                            fs->device, strerror(-r));
        struct fs_report report = fs_state(fs->device, fs->type);
        if (report.state != FS_CLEAN)
                return fail(
                        _("%s: the boot filesystem is not clean after it was unmounted: %s; check it (fsck %s); the "
                          "environment block may have been changed"),
                        fs->device, _(report.reason), fs->device);
        r = compare_on_device(fs, fs->after, fs->size);
        if (r < 0)
                return fail(_("%s: the device does not hold what was written: %s; the environment block may have been "
                              "changed"),
                            fs->device, r == -ESTALE ? _("other bytes are there") : strerror(-r));
        return EXIT_DONE;
}

int bootfs_detach(struct bootfs *fs)
{
        int r;

        if (!fs->mounted_here)
                return EXIT_DONE;
        r = unmount_it(fs);
        if (r < 0)
                return cannot_unmount(fs, r);
        say_step(_("unmounted %s"), fs->mount_point);
        return fs->after ? prove_unmounted(fs) : EXIT_DONE;
}

void bootfs_release(struct bootfs *fs)
{
        if (fs->mounted_here)
                unmount_it(fs);
        free(fs->prefix);
        free(fs->env_path);
        free(fs->mount_point);
        free(fs->subtree);
        free(fs->device);
        free(fs->before);
        free(fs->after);
        *fs = (struct bootfs)BOOTFS_INIT;
}

int path_for_grub(const char *path, char **grub_path, char **device, char type[UUID_TEXT_MAX])
{
        _cleanup_bootfs_ struct bootfs fs = BOOTFS_INIT;
        _cleanup_free_ char *real = resolve(path);

        if (!real)
                return -errno;
        if (describe(&fs, real) != EXIT_DONE || !fs.device)
                return -ENODEV;
        const char *below = real + (strcmp(fs.mount_point, "/") == 0 ? 0 : strlen(fs.mount_point));
        *grub_path = xasprintf("%s%s", strcmp(fs.subtree, "/") == 0 ? "" : fs.subtree, below);
        strcpy(type, fs.type);
        *device = fs.device;
        fs.device = NULL;
        return 0;
}
