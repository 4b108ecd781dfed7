/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The kernel file that goes with the running kernel. An image is resumed by a kernel that is started from a file; if
 * that file has been replaced, the kernel that wrote the image may not be what reads it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <linux/openat2.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "bootfs.h"
#include "bzimage.h"
#include "device.h"
#include "globals.h"
#include "say.h"
#include "target.h"

static const char *const kernel_names[] = { "/boot/vmlinuz-%s", "/boot/vmlinux-%s", "/boot/kernel-%s",
                                            "/boot/Image-%s" };
static const char *const initrd_names[] = { "/boot/initrd.img-%s", "/boot/initramfs-%s.img", "/boot/initrd-%s",
                                            "/boot/initrd-%s.img" };

/* ---- is it the running kernel? ---- */

static int check_build(const char *path, const struct utsname *running)
{
        char text[BZIMAGE_TEXT_MAX];
        int r = bzimage_read_build(path, text);

        if (r == -EACCES && geteuid() != 0) {
                say_step(_("%s: cannot be read; its build is not compared with the running kernel"), path);
                return EXIT_DONE;
        }
        if (r < 0)
                return refuse(_("%s: the kernel file cannot be read: %s; install it again, or name another"), path,
                              strerror(-r));
        if (r == 0) {
                say_step(_("%s: not an x86 kernel file; its build is not compared with the running kernel"), path);
                return EXIT_DONE;
        }
        if (!bzimage_is_build(text, running->release, running->version))
                return refuse(_("%s: it is another build than the running kernel (%s %s); restart into it before you "
                                "hibernate, or install the running one again"),
                              path, running->release, running->version);
        return EXIT_DONE;
}

/* ---- finding the files ---- */

static char *first_existing(const char *const names[], size_t n, const char *release)
{
        for (size_t i = 0; i < n; i++) {
                char name[512];
                /* The formats are the table's, above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                snprintf(name, sizeof(name), names[i], release);
#pragma GCC diagnostic pop
                char *path = in_root(name);
                if (!is_missing(path))
                        return path;
                free(path);
        }
        return NULL;
}

static int check_regular(const char *path, const char *what)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return refuse(_("%s: the %s is gone: %m; install it again, or name another"), path, what);
        if (!S_ISREG(st.st_mode))
                return refuse(_("%s: the %s is not a regular file; name another"), path, what);
        return EXIT_DONE;
}

/* Fills FIELD with the path as GRUB sees it, *DEVICE and TYPE with those of its filesystem. */
static int set_path(const char *path, char field[MARK_PATH_MAX + 1], char **device, char type[UUID_TEXT_MAX])
{
        _cleanup_free_ char *grub_path = NULL;
        int r = path_for_grub(path, &grub_path, device, type);

        if (r < 0)
                return refuse(_("%s: it is not on a filesystem of a block device, where GRUB could find it"), path);
        if (strlen(grub_path) > MARK_PATH_MAX)
                return refuse(_("%s: the path is longer than the %d characters that a mark can hold"), path,
                              MARK_PATH_MAX);
        strcpy(field, grub_path);
        return EXIT_DONE;
}

char *target_kernel_of(const char *release)
{
        return first_existing(kernel_names, ELEMENTS(kernel_names), release);
}

char *target_initrd_of(const char *release)
{
        return first_existing(initrd_names, ELEMENTS(initrd_names), release);
}

static int find_initrd(const struct target_wish *wish, const char *release, char **path)
{
        if (wish->initrd && strcmp(wish->initrd, "none") == 0)
                return EXIT_DONE;
        *path = wish->initrd ? xstrdup(wish->initrd) : target_initrd_of(release);
        if (!*path)
                return refuse(_("there is no initial ramdisk for the running kernel %s in %s/boot; make it "
                                "(update-initramfs -c -k %s), or say --initrd=none if the kernel needs none"),
                              release, globals.root, release);
        return check_regular(*path, _("initial ramdisk"));
}

static int find_kernel(const struct target_wish *wish, const struct utsname *running, char **path)
{
        *path = wish->kernel ? xstrdup(wish->kernel) : target_kernel_of(running->release);
        if (!*path)
                return refuse(_("the file of the running kernel %s is gone from %s/boot; install that kernel again, or "
                                "restart into an installed one before you hibernate"),
                              running->release, globals.root);
        int r = check_regular(*path, _("kernel"));
        return r == EXIT_DONE ? check_build(*path, running) : r;
}

/* The driver's name need not be that of the superblock: ext4 mounts ext2 too, and msdos and vfat are one. */
static const char *const *superblock_types(const char *driver)
{
        static const char *const ext[] = { "ext2", "ext3", "ext4", NULL }, *const fat[] = { "vfat", NULL };
        static const char *other[2];

        other[0] = driver;
        return strncmp(driver, "ext", 3) == 0 ? ext : strcmp(driver, "msdos") == 0 ? fat : other;
}

static int set_filesystem(const char *device, const char *type, const char *kernel, struct mark *mark)
{
        const char *const *types = superblock_types(type);
        struct device_tags tags;

        if (device_get_tags(device, types, &tags) < 0 || !tags.uuid[0] || strlen(tags.uuid) > MARK_UUID_MAX)
                return refuse(_("%s: its filesystem on %s has no UUID by which GRUB could find it; give it one"),
                              kernel, device);
        if (device_count_uuid(tags.uuid, types) > 1)
                return refuse(
                        _("UUID=%s: more than one device carries it, so GRUB could not tell where %s is; give a copy "
                          "a new UUID; if they are the parts of one mirror or btrfs, have /boot on one device"),
                        tags.uuid, kernel);
        strcpy(mark->fs_uuid, tags.uuid);
        return EXIT_DONE;
}

int target_find_kernel(const struct target_wish *wish, struct mark *mark)
{
        _cleanup_free_ char *kernel = NULL, *initrd = NULL, *kernel_device = NULL, *initrd_device = NULL;
        char type[UUID_TEXT_MAX] = "";
        struct utsname running;
        int r;

        uname(&running);
        r = find_kernel(wish, &running, &kernel);
        if (r == EXIT_DONE)
                r = find_initrd(wish, running.release, &initrd);
        if (r == EXIT_DONE)
                r = set_path(kernel, mark->kernel, &kernel_device, type);
        if (r == EXIT_DONE && initrd)
                r = set_path(initrd, mark->initrd, &initrd_device, type);
        if (r != EXIT_DONE)
                return r;
        if (initrd_device && strcmp(kernel_device, initrd_device) != 0)
                return refuse(_("%s and %s are on different filesystems; put them on one"), kernel, initrd);
        if (strlen(running.release) > MARK_RELEASE_MAX)
                return refuse(_("the name of the running kernel, %s, is longer than a mark can hold"), running.release);
        strcpy(mark->release, running.release);
        r = set_filesystem(kernel_device, type, kernel, mark);
        if (r == EXIT_DONE)
                say_step(_("kernel: %s on UUID=%s, initial ramdisk %s"), mark->kernel, mark->fs_uuid,
                         mark->initrd[0] ? mark->initrd : _("none"));
        return r;
}

/* ---- looking, for status ---- */

/* btrfs has a device number of its own; its entry names one of its devices. */
static bool is_mount_of(struct libmnt_fs *fs, dev_t dev)
{
        dev_t source;

        if (major(mnt_fs_get_devno(fs)) != 0)
                return mnt_fs_get_devno(fs) == dev;
        return mnt_fs_get_srcpath(fs) && device_number(mnt_fs_get_srcpath(fs), &source) == 0 && source == dev;
}

static char *mount_point_of(dev_t dev, char **subtree)
{
        struct libmnt_table *tb = mnt_new_table_from_file("/proc/self/mountinfo");
        struct libmnt_iter *it = mnt_new_iter(MNT_ITER_FORWARD);
        struct libmnt_fs *fs;
        char *found = NULL;

        while (tb && it && !found && mnt_table_next_fs(tb, it, &fs) == 0)
                if (is_mount_of(fs, dev)) {
                        found = xstrdup(mnt_fs_get_target(fs));
                        *subtree = xstrdup(mnt_fs_get_root(fs) ? mnt_fs_get_root(fs) : "/");
                }
        mnt_free_iter(it);
        mnt_unref_table(tb);
        return found;
}

/* GRUB takes the filesystem that it is on itself without asking whether another one has the same UUID. */
static bool is_on(const char *prefix, const char *fs_uuid, dev_t *dev)
{
        _cleanup_bootfs_ struct bootfs fs = BOOTFS_INIT;
        struct device_tags tags;

        if (!prefix || bootfs_describe(&fs, prefix) != EXIT_DONE || !fs.device)
                return false;
        *dev = fs.dev;
        return device_get_tags(fs.device, superblock_types(fs.type), &tags) == 0 && strcasecmp(tags.uuid, fs_uuid) == 0;
}

/* As GRUB looks for it: a link leads from the root of its own filesystem, nothing leads out of that, and only a file
 * will do. */
static enum file_state look_below(const char *mount_point, const char *path)
{
        struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_XDEV };
        _cleanup_close_ int root = open(mount_point, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
        struct stat st;

        if (root < 0)
                return FILE_NOT_LOOKED;
        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? FILE_MISSING : FILE_NOT_LOOKED;
        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? FILE_PRESENT : FILE_MISSING;
}

enum file_state target_look_at_file(const char *prefix, const char *fs_uuid, const char *path)
{
        _cleanup_free_ char *tag = xasprintf("UUID=%s", fs_uuid);
        _cleanup_free_ char *device = NULL, *subtree = NULL, *mount_point = NULL;
        dev_t dev;
        int r;

        if (!is_on(prefix, fs_uuid, &dev)) {
                r = device_find(tag, &device);
                if (r < 0) /* without rights no device could be asked for its name */
                        return geteuid() == 0 ? FILE_MISSING : FILE_NOT_LOOKED;
                if (device_number(device, &dev) < 0)
                        return FILE_NOT_LOOKED;
        }
        mount_point = mount_point_of(dev, &subtree);
        if (!mount_point)
                return FILE_NOT_LOOKED;
        size_t skip = strcmp(subtree, "/") == 0 ? 0 : strlen(subtree);
        if (strncmp(path, subtree, skip) != 0)
                return FILE_NOT_LOOKED;
        return look_below(mount_point, path + skip);
}
