/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl check: GRUB, its module, its configuration, and where a mark would go.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "arming.h"
#include "check.h"
#include "globals.h"
#include "look.h"
#include "menu.h"
#include "say.h"

#define MODULE_MAX (1024 * 1024)
#define VERSION_MAX 64

/* ---- GRUB ---- */

/* The text up to a quote, of printable characters; "" if there is none. */
static void take_version(const char *from, size_t room, char version[VERSION_MAX])
{
        size_t n = 0;

        for (; n < room && n < VERSION_MAX - 1 && from[n] > ' ' && from[n] <= '~' && from[n] != '"'; n++)
                version[n] = from[n];
        version[n < room && from[n] == '"' ? n : 0] = '\0';
}

/* modinfo.sh, which grub-install puts beside the modules, has this, and so has the module: it compares them itself. The
 * module also has the text before the version alone. */
static bool find_version(const char *data, size_t size, char version[VERSION_MAX])
{
        static const char before[] = "grub_package_version=\"";
        const char *end = data + size;

        version[0] = '\0';
        while (!version[0] && (data = memmem(data, (size_t)(end - data), before, strlen(before)))) {
                data += strlen(before);
                take_version(data, (size_t)(end - data), version);
        }
        return version[0] != '\0';
}

/* "" if it cannot be told. A negative errno if there is something that cannot be read. */
static int installed_version(const char *folder, char version[VERSION_MAX])
{
        _cleanup_free_ char *path = xasprintf("%s/modinfo.sh", folder), *text = NULL;
        ssize_t n = read_whole_file(path, MODULE_MAX, &text);

        if (n < 0 || !find_version(text, (size_t)n, version))
                version[0] = '\0';
        return n < 0 && n != -ENOENT ? (int)n : 0;
}

void check_grub(const struct checkup *c, struct finding *f)
{
        _cleanup_free_ char *list = xstrdup("");

        if (!c->boot) {
                find_refused(f, LEVEL_PROBLEM, c->opening.said);
                return;
        }
        for (size_t i = 0; i < N_GRUB_PLATFORMS; i++) {
                _cleanup_free_ char *folder = xasprintf("%s/%s", c->boot->prefix, grub_platforms[i]);
                char version[VERSION_MAX], *longer;

                if (is_missing(folder))
                        continue;
                installed_version(folder, version);
                longer = xasprintf("%s%s%s%s%s", list, list[0] ? ", " : "", grub_platforms[i], version[0] ? " " : "",
                                   version);
                free(list);
                list = longer;
        }
        if (list[0])
                find_ok(f, _("installed for %s"), list);
        else
                find(f, LEVEL_NOTE, NULL, _("its folder is there, without modules: its release cannot be told"));
}

void check_folder(const struct checkup *c, struct finding *f)
{
        const struct bootfs *fs = c->boot;
        const char *why = fs ? bootfs_why_not_writable(fs) : NULL;
        _cleanup_free_ char *where = NULL, *remedy = NULL;

        if (!fs)
                return;
        where = xasprintf(fs->mounted_here ? _("%s is on %s (%s, not mounted; hibctl mounts it for a moment)")
                                           : _("%s is on %s (%s)"),
                          fs->prefix, fs->device ? fs->device : _("no block device"), fs->type);
        remedy = xasprintf("mount -o remount,rw %s", fs->mount_point);
        if (major(fs->dev) != 0 && !fs->device)
                find(f, LEVEL_UNKNOWN, how_to_see(), _("%s: on which device it is cannot be told"), fs->prefix);
        else if (why)
                find(f, LEVEL_NOTE, NULL, _("%s, where GRUB could not consume a mark: %s"), where, why);
        else if (bootfs_is_read_only(fs))
                find(f, LEVEL_WARNING, remedy, _("%s, mounted read-only: no mark can be written there"), where);
        else
                find_ok(f, _("%s, where GRUB can write"), where);
}

void check_slot(const struct checkup *c, struct finding *f)
{
        const struct reading *env = &c->s.readings[AT_ENV];

        if (!c->boot)
                return;
        if (env->status == SOURCE_UNREADABLE)
                find_refused(f, LEVEL_PROBLEM, c->opening.said);
        else if (env->slot == SLOT_FOUND)
                find_ok(f, _("reserved in %s"), env->place);
        else if (!env->why_not_writable) /* else setup reserves none */
                find_said(f, LEVEL_WARNING, slot_words(env->slot));
}

/* ---- the module ---- */

/* GRUB then takes neither it nor a mark in a variable or boot bits; the script stands in. */
static void compare_release(struct finding *f, const char *path, const char *folder, const char *data, size_t size)
{
        char built_for[VERSION_MAX], installed[VERSION_MAX];
        int r = installed_version(folder, installed);

        if (r < 0)
                find(f, LEVEL_UNKNOWN, how_to_see(), _("%s is there; which GRUB is installed cannot be read: %s"), path,
                     strerror(-r));
        else if (!find_version(data, size, built_for))
                find(f, LEVEL_NOTE, NULL, _("%s is there; for which GRUB it was built cannot be told"), path);
        else if (installed[0] && strcmp(built_for, installed) != 0)
                find(f, LEVEL_WARNING, _("install hibctl for that GRUB, then run 'hibctl setup'"),
                     _("%s was built for GRUB %s, but GRUB %s is installed, which will not load it"), path, built_for,
                     installed);
        else if (!installed[0])
                find(f, LEVEL_NOTE, NULL, _("%s, built for GRUB %s; which GRUB is installed cannot be told"), path,
                     built_for);
        else
                find_ok(f, _("%s, built for GRUB %s"), path, built_for);
}

static void cannot_read(struct finding *f, const char *path, int error)
{
        find(f, LEVEL_UNKNOWN, how_to_see(), _("%s cannot be read: %s"), path, strerror(-error));
}

static void check_one_module(const struct checkup *c, const char *platform, struct finding *f)
{
        _cleanup_free_ char *folder = xasprintf("%s/%s", c->boot->prefix, platform);
        _cleanup_free_ char *path = xasprintf("%s/%s", folder, GRUB_MODULE_NAME), *present = NULL;
        _cleanup_free_ char *from = xasprintf("%s/%s/%s", c->modules, platform, GRUB_MODULE_NAME), *wanted = NULL;
        ssize_t n = read_whole_file(path, MODULE_MAX, &present), n_wanted = read_whole_file(from, MODULE_MAX, &wanted);

        if (n == -ENOENT) {
                find(f, LEVEL_WARNING, wanted ? _("run 'hibctl setup'") : _("install hibctl's module for this GRUB"),
                     _("%s is not there, so a script stands in, which sees no image"), path);
                return;
        }
        if (n < 0) {
                cannot_read(f, path, (int)n);
                return;
        }
        compare_release(f, path, folder, present, (size_t)n);
        if (f->level >= LEVEL_WARNING || n_wanted == -ENOENT)
                return;
        if (n_wanted < 0)
                cannot_read(f, from, (int)n_wanted);
        else if (n != n_wanted || memcmp(present, wanted, (size_t)n) != 0)
                find(f, LEVEL_WARNING, _("run 'hibctl setup'"), _("%s is another one than %s"), path, from);
}

/* The worst of all platforms that GRUB is installed for. */
void check_module(const struct checkup *c, struct finding *f)
{
        bool any = false;

        for (size_t i = 0; c->boot && i < N_GRUB_PLATFORMS; i++) {
                _cleanup_free_ char *folder = xasprintf("%s/%s", c->boot->prefix, grub_platforms[i]);
                struct finding one = { .words = NULL };

                if (is_missing(folder))
                        continue;
                any = true;
                check_one_module(c, grub_platforms[i], &one);
                if (!f->words || one.level > f->level) {
                        finding_free(f);
                        *f = one;
                } else
                        finding_free(&one);
        }
        if (c->boot && !any)
                find(f, LEVEL_WARNING, _("run grub-install, then 'hibctl setup'"),
                     _("%s has no folder of modules, so a script stands in, which sees no image"), c->boot->prefix);
}

/* ---- grub.cfg ---- */

void check_grub_cfg(const struct checkup *c, struct finding *f)
{
        if (!c->boot)
                return;
        if (c->asking.result == EXIT_DONE)
                find_ok(f, _("%s/grub.cfg asks for a mark"), c->boot->prefix);
        else
                find_refused(f, LEVEL_PROBLEM, c->asking.said);
}

/* Compares times. */
struct age {
        struct timespec of;
        char *newer; /* what is newer; owned */
        int error;
        char *unseen; /* what cannot be looked at, with that error; owned */
};

static void compare_age(struct age *age, const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0) {
                if (errno == ENOENT || age->unseen)
                        return;
                age->error = errno;
                age->unseen = xstrdup(path);
        } else if (!age->newer && is_earlier(&age->of, &st.st_mtim))
                age->newer = xstrdup(path);
}

/* What update-grub reads of the administrator, and hibctl's scripts, which it runs. */
static void compare_all(struct age *age)
{
        _cleanup_free_ char *settings = in_root("/etc/default/grub"), *folder = in_root("/etc/default/grub.d");
        _cleanup_free_ char *scripts = in_root("/etc/grub.d");
        DIR *dir = opendir(folder);

        compare_age(age, settings);
        for (size_t i = 0; i < N_MENU_SCRIPTS; i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s", scripts, menu_scripts[i]);
                compare_age(age, path);
        }
        if (!dir && errno != ENOENT && !age->unseen) {
                age->error = errno;
                age->unseen = xstrdup(folder);
        }
        errno = 0;
        for (const struct dirent *e; dir && (e = readdir(dir)); errno = 0) {
                _cleanup_free_ char *path = xasprintf("%s/%s", folder, e->d_name);
                const char *end = strrchr(e->d_name, '.');
                if (end && strcmp(end, ".cfg") == 0)
                        compare_age(age, path);
        }
        if (dir && errno != 0 && !age->unseen) {
                age->error = errno;
                age->unseen = xstrdup(folder);
        }
        if (dir)
                closedir(dir);
}

/* The first of hibctl's scripts that update-grub would not run, or NULL; the caller frees. */
static char *idle_script(void)
{
        for (size_t i = 0; i < N_MENU_SCRIPTS; i++) {
                _cleanup_free_ char *name = xasprintf("/etc/grub.d/%s", menu_scripts[i]);
                char *path = in_root(name);
                if (access(path, X_OK) != 0)
                        return path;
                free(path);
        }
        return NULL;
}

void check_grub_cfg_age(const struct checkup *c, struct finding *f)
{
        _cleanup_free_ char *path = c->boot ? xasprintf("%s/grub.cfg", c->boot->prefix) : NULL;
        _cleanup_free_ char *script = NULL;
        struct age age = { .newer = NULL };
        struct stat st;

        if (c->asking.result != EXIT_DONE || !path)
                return;
        if (stat(path, &st) < 0) {
                cannot_read(f, path, -errno);
                return;
        }
        age.of = st.st_mtim;
        compare_all(&age);
        script = idle_script();
        if (script)
                find(f, LEVEL_WARNING, _("run 'hibctl setup'"),
                     _("%s cannot be run: %m; the next update-grub makes a menu that does not ask for a mark"), script);
        else if (age.newer)
                find(f, LEVEL_WARNING, _("run update-grub"), _("%s is older than %s"), path, age.newer);
        else if (age.unseen)
                find(f, LEVEL_UNKNOWN, how_to_see(), _("%s: cannot tell whether it was changed after grub.cfg: %s"),
                     age.unseen, strerror(age.error));
        else
                find_ok(f, _("grub.cfg is newer than the settings that it was made from"));
        free(age.newer);
        free(age.unseen);
}

/* Where GRUB looks for boot bits, and for an image that nobody marked. */
void check_grub_cfg_device(const struct checkup *c, struct finding *f)
{
        const struct mark *device = &c->asked.device;

        if (!c->boot || c->asking.result != EXIT_DONE)
                return;
        if (c->imaging.result != EXIT_DONE && c->asked.has_device)
                return; /* why that is not known is a finding of its own */
        if (!c->asked.has_device)
                find(f, LEVEL_NOTE,
                     _("boot with resume=, or set GRUB_HIBCTL_RESUME in /etc/default/grub; then run update-grub"),
                     _("grub.cfg names no resume device: an image that is not marked will not be found"));
        else if (device->page_size != c->mark.page_size || !target_same_area(device, &c->mark))
                find(f, LEVEL_WARNING, _("run update-grub, if need be with GRUB_HIBCTL_RESUME in /etc/default/grub"),
                     _("grub.cfg names %s, offset %llu, but this system would hibernate to %s, offset %llu"),
                     device->image, (unsigned long long)device->offset, c->mark.image,
                     (unsigned long long)c->mark.offset);
        else
                find_ok(f, _("grub.cfg names the area that this system would hibernate to, %s"), device->image);
}

/* ---- marks ---- */

void check_store(const struct checkup *c, struct finding *f)
{
        for (size_t i = 0; c->has_choice && i < c->choice.n; i++) {
                const struct candidate *one = &c->choice.candidates[i];
                if (one->usable) {
                        find_ok(f, _("store '%s': %s"), one->store->name, one->why);
                        return;
                }
        }
        if (c->has_choice)
                find(f, LEVEL_PROBLEM,
                     c->s.request.asks ? _("'hibctl mark --dry-run' says why not, store by store")
                                       : _("run 'hibctl setup'"),
                     _("no store takes a mark"));
}

static const char *place_of(const struct checkup *c, size_t at)
{
        return c->s.readings[at].place ? c->s.readings[at].place : stores[at]->name;
}

/* What 'hibctl mark' asks before it writes to a store. */
static bool find_other(const struct checkup *c, size_t at, struct finding *f)
{
        _cleanup_free_ char *said = NULL;
        int r;

        say_keep();
        r = c->imaging.result == EXIT_DONE ? arming_check_other(&c->s.readings[at], &c->mark, /* by_plan= */ false)
                                           : EXIT_DONE;
        said = say_kept();
        if (r != EXIT_DONE)
                find_said(f, at == AT_ENV ? LEVEL_PROBLEM : LEVEL_WARNING, said);
        return r != EXIT_DONE;
}

void check_marks(const struct checkup *c, struct finding *f)
{
        for (size_t i = 0; i < N_STORES; i++)
                if (find_other(c, i, f))
                        return;
        for (size_t i = 0; i < N_STORES; i++)
                if (situation_is_spent(&c->s, i) && !situation_awaits_image(&c->s, i)) {
                        find(f, LEVEL_WARNING, _("run 'hibctl settle'"),
                             _("%s: it holds an old mark, which does nothing"), place_of(c, i));
                        return;
                }
        for (size_t i = 0; i < N_STORES; i++)
                if (c->s.sources[i].status == SOURCE_FUTURE) {
                        find(f, LEVEL_WARNING, _("install that hibctl again, or run 'hibctl cancel'"),
                             _("%s: it holds a mark of a newer hibctl"), place_of(c, i));
                        return;
                }
        for (size_t i = 0; c->boot && i < N_STORES; i++)
                if (c->s.sources[i].status == SOURCE_UNREADABLE || c->s.seen[i] == IMAGE_NOT_READABLE) {
                        find(f, LEVEL_UNKNOWN, how_to_see(),
                             _("%s: whether it holds a mark that will do something cannot be told"), place_of(c, i));
                        return;
                }
        for (size_t i = 0; i < N_STORES; i++)
                if (situation_mark(&c->s, i) && c->s.sources[i].state != MARK_NONE) {
                        find(f, LEVEL_NOTE, _("'hibctl status' says what it does; 'hibctl cancel' takes it back"),
                             _("%s: it holds a mark"), place_of(c, i));
                        return;
                }
        if (c->boot)
                find_ok(f, _("none is left over"));
}
