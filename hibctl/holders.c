/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <libmount.h>
#include <string.h>
#include <sys/stat.h>

#include "holders.h"
#include "util.h"

#define SHOWN_MAX 5 /* more would not help anybody */

struct list {
        char *text;
        int n;
};

static void add(struct list *list, const char *what)
{
        _cleanup_free_ char *before = list->text;

        list->n++;
        if (list->n > SHOWN_MAX + 1) {
                before = NULL;
                return;
        }
        list->text = xasprintf("%s%s%s", before, list->n > 1 ? ", " : "", list->n > SHOWN_MAX ? "..." : what);
}

static bool is_on(const char *path, dev_t dev)
{
        struct stat st;

        return stat(path, &st) == 0 && st.st_dev == dev;
}

/* Whether any link in the folder leads to the filesystem. */
static bool any_is_on(const char *folder, dev_t dev)
{
        DIR *dir = opendir(folder);
        bool found = false;

        for (struct dirent *e; dir && !found && (e = readdir(dir));) {
                _cleanup_free_ char *path = xasprintf("%s/%s", folder, e->d_name);
                found = e->d_name[0] != '.' && is_on(path, dev);
        }
        if (dir)
                closedir(dir);
        return found;
}

static bool process_holds(const char *pid, dev_t dev)
{
        static const char *const links[] = { "cwd", "root", "exe" }, *const folders[] = { "fd", "map_files" };

        for (size_t i = 0; i < ELEMENTS(links); i++) {
                _cleanup_free_ char *path = xasprintf("/proc/%s/%s", pid, links[i]);
                if (is_on(path, dev))
                        return true;
        }
        for (size_t i = 0; i < ELEMENTS(folders); i++) {
                _cleanup_free_ char *path = xasprintf("/proc/%s/%s", pid, folders[i]);
                if (any_is_on(path, dev))
                        return true;
        }
        return false;
}

/* A name may hold anything; it goes to a terminal. */
static void make_printable(char *s)
{
        s[strcspn(s, "\n")] = '\0';
        for (; *s; s++)
                if (!isprint((unsigned char)*s))
                        *s = '?';
}

static void add_processes(struct list *list, dev_t dev)
{
        DIR *proc = opendir("/proc");

        for (struct dirent *e; proc && (e = readdir(proc));) {
                if (!isdigit((unsigned char)e->d_name[0]) || !process_holds(e->d_name, dev))
                        continue;
                _cleanup_free_ char *comm = xasprintf("/proc/%s/comm", e->d_name), *name = NULL, *what = NULL;
                if (read_whole_file(comm, 256, &name) < 0)
                        name = xstrdup("?");
                make_printable(name);
                what = xasprintf("%s (%s)", name, e->d_name);
                add(list, what);
        }
        if (proc)
                closedir(proc);
}

static void add_mounts_below(struct list *list, const char *mount_point)
{
        struct libmnt_table *tb = mnt_new_table_from_file("/proc/self/mountinfo");
        struct libmnt_iter *it = mnt_new_iter(MNT_ITER_FORWARD);
        size_t len = strlen(mount_point);
        struct libmnt_fs *fs;

        while (tb && it && mnt_table_next_fs(tb, it, &fs) == 0) {
                const char *target = mnt_fs_get_target(fs);
                if (target && strncmp(target, mount_point, len) == 0 && target[len] == '/')
                        add(list, target);
        }
        mnt_free_iter(it);
        mnt_unref_table(tb);
}

char *holders_of(dev_t dev, const char *mount_point)
{
        struct list list = { .text = xstrdup("") };

        add_mounts_below(&list, mount_point);
        add_processes(&list, dev);
        return list.text;
}
