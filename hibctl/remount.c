/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <libmount.h>
#include <string.h>
#include <sys/stat.h>

#include "envfile.h"
#include "globals.h"
#include "remount.h"
#include "say.h"
#include "util.h"

#define FOLDER "/run/hibctl"
#define REMEMBERED FOLDER "/unmounted" /* four lines: device, mount point, type, options */
#define REMEMBERED_MAX 16384

void mounted_free(struct mounted *m)
{
        free(m->device);
        free(m->mount_point);
        free(m->type);
        free(m->options);
}

int mounted_describe(struct mounted *m)
{
        struct libmnt_table *tb = mnt_new_table_from_file("/proc/self/mountinfo");
        struct libmnt_fs *entry = tb ? mnt_table_find_target(tb, m->mount_point, MNT_ITER_BACKWARD) : NULL;

        if (entry) {
                m->type = xstrdup(mnt_fs_get_fstype(entry));
                m->options = xstrdup(mnt_fs_get_options(entry) ? mnt_fs_get_options(entry) : "defaults");
        }
        mnt_unref_table(tb);
        return entry ? EXIT_DONE : fail(_("%s: cannot tell how it is mounted"), m->mount_point);
}

int mounted_forget(void)
{
        _cleanup_free_ char *path = in_root(REMEMBERED);

        if (unlink(path) == 0 || errno == ENOENT)
                return EXIT_DONE;
        return fail(_("%s: cannot remove it: %m; remove it, or the next 'hibctl settle' may mount what is to stay "
                      "unmounted"),
                    path);
}

int mounted_again(struct mounted *m)
{
        struct libmnt_context *cxt = m->unmounted ? mnt_new_context() : NULL;
        char why[256] = "";
        int r;

        if (!m->unmounted)
                return EXIT_DONE;
        if (!cxt)
                return fail(_("out of memory"));
        mnt_context_set_optsmode(cxt, MNT_OMODE_NOTAB);
        mnt_context_disable_helpers(cxt, 1);
        mnt_context_set_source(cxt, m->device);
        mnt_context_set_target(cxt, m->mount_point);
        mnt_context_set_fstype(cxt, m->type);
        mnt_context_set_options(cxt, m->options);
        if (!mnt_match_options(m->options, "ro"))
                mnt_context_enable_rwonly_mount(cxt, 1); /* as it was, or it is said that it is not */
        r = mnt_context_mount(cxt);
        if (r != 0) {
                mnt_context_get_excode(cxt, r, why, sizeof(why));
                r = fail(_("%s: could not be mounted again on %s: %s; mount it"), m->device, m->mount_point, why);
        } else {
                m->unmounted = false;
                r = mounted_forget();
        }
        mnt_free_context(cxt);
        return r;
}

int mounted_remember(const struct mounted *m)
{
        _cleanup_free_ char *folder = in_root(FOLDER), *path = in_root(REMEMBERED);
        _cleanup_free_ char *text = xasprintf("%s\n%s\n%s\n%s\n", m->device, m->mount_point, m->type, m->options);
        int r;

        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return fail(_("%s: cannot make the folder: %m"), folder);
        r = envfile_make(path, text, strlen(text), 0600, /* for_grub= */ false);
        return r == 0 ? EXIT_DONE : fail(_("%s: cannot write it: %s"), path, strerror(-r));
}

static bool is_mounted(const struct mounted *m)
{
        struct libmnt_table *tb = mnt_new_table_from_file("/proc/self/mountinfo");
        bool found = tb && mnt_table_find_target(tb, m->mount_point, MNT_ITER_BACKWARD);

        mnt_unref_table(tb);
        return found;
}

int remount_remembered(void)
{
        _cleanup_mounted_ struct mounted m = { 0 };
        _cleanup_free_ char *path = in_root(REMEMBERED), *text = NULL;
        char **fields[] = { &m.device, &m.mount_point, &m.type, &m.options }, *rest;
        ssize_t n;
        int r;

        n = read_whole_file(path, REMEMBERED_MAX, &text);
        if (n == -ENOENT)
                return EXIT_NOTHING;
        if (n < 0)
                return fail(_("%s: cannot read what is to be mounted again: %s; mount the boot filesystem yourself and "
                              "remove it"),
                            path, strerror((int)-n));
        rest = text;
        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                const char *line = strsep(&rest, "\n");
                if (!line || !rest)
                        return fail(_("%s: it is damaged; mount the boot filesystem yourself and remove it"), path);
                *fields[i] = xstrdup(line);
        }
        if (is_mounted(&m)) {
                r = mounted_forget();
                return r == EXIT_DONE ? EXIT_NOTHING : r;
        }
        m.unmounted = true;
        r = mounted_again(&m);
        if (!m.unmounted)
                say(_("mounted %s again on %s"), m.device, m.mount_point);
        return r;
}
