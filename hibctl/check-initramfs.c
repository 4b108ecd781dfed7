/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl check: whether the running kernel's initial ramdisk resumes. What is in it is not unpacked; what it is made
 * from is looked at, and whether that was changed since.
 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "check.h"
#include "globals.h"
#include "say.h"
#include "target.h"

#define CONFIG_MAX 65536
#define TOOLS "/etc/initramfs-tools"
#define DRACUT "/usr/lib/dracut"

/* ---- a folder, sorted ---- */

/* Calls LOOK with the path of each entry of FOLDER that WANTED takes, in the order of their names. */
static void each_file(const char *folder, int (*wanted)(const struct dirent *),
                      void (*look)(const char *path, void *data), void *data)
{
        struct dirent **entries = NULL;
        int n = scandir(folder, &entries, wanted, alphasort);

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s", folder, entries[i]->d_name);
                look(path, data);
                free(entries[i]);
        }
        free(entries);
}

/* As mkinitramfs chooses what it reads. */
static int is_config_name(const struct dirent *e)
{
        return isalnum((unsigned char)e->d_name[0]) && !strstr(e->d_name, ".dpkg-");
}

static int is_conf(const struct dirent *e)
{
        size_t n = strlen(e->d_name);

        return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".conf") == 0;
}

/* ---- initramfs-tools ---- */

struct setting {
        char *value, *file; /* owned */
};

/* The files are shell; only lines that are nothing but RESUME=... are understood. */
static void take_resume(const char *path, void *data)
{
        struct setting *setting = data;
        _cleanup_free_ char *text = NULL;
        char *save = NULL;

        if (read_whole_file(path, CONFIG_MAX, &text) < 0)
                return;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char *value = line + strspn(line, " \t");
                if (strncmp(value, "RESUME=", 7) != 0)
                        continue;
                value += 7;
                value += *value == '"' || *value == '\'';
                value[strcspn(value, "\"' \t#")] = '\0';
                free(setting->value);
                free(setting->file);
                *setting = (struct setting){ xstrdup(value), xstrdup(path) };
        }
}

char *check_initramfs_tools_resume(char **file)
{
        _cleanup_free_ char *main_file = in_root(TOOLS "/initramfs.conf"), *folder = in_root(TOOLS "/conf.d");
        struct setting setting = { .value = NULL };

        take_resume(main_file, &setting);
        each_file(folder, is_config_name, take_resume, &setting);
        if (setting.value && !setting.value[0]) {
                free(setting.value);
                setting.value = NULL;
        }
        *file = setting.file;
        return setting.value;
}

static bool is_older(const char *path, const char *than)
{
        struct stat a, b;

        return stat(path, &a) == 0 && stat(than, &b) == 0 &&
               (a.st_mtim.tv_sec < b.st_mtim.tv_sec ||
                (a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec < b.st_mtim.tv_nsec));
}

static void check_tools(const char *initrd, struct finding *f)
{
        _cleanup_free_ char *file = NULL, *resume = check_initramfs_tools_resume(&file);

        if (resume && strcmp(resume, "none") == 0)
                find(f, LEVEL_WARNING, _("write RESUME=auto there, or name the device, and run update-initramfs -u"),
                     _("%s: RESUME=none: an image is resumed only if GRUB names it"), file);
        else if (file && is_older(initrd, file))
                find(f, LEVEL_WARNING, _("run update-initramfs -u"), _("%s is older than %s"), initrd, file);
        else
                find_ok(f, _("%s, made by initramfs-tools"), initrd);
}

/* ---- dracut ---- */

static int is_resume_module(const struct dirent *e)
{
        return isdigit((unsigned char)e->d_name[0]) && isdigit((unsigned char)e->d_name[1]) &&
               (strcmp(e->d_name + 2, "resume") == 0 || strcmp(e->d_name + 2, "hibctl") == 0);
}

static void note_it(const char *path, void *data)
{
        (void)path;
        *(bool *)data = true;
}

/* Whether WORD stands in TEXT between quotes, blanks or the like. */
static bool has_word(const char *text, const char *word)
{
        size_t n = strlen(word);

        for (const char *at = text; (at = strstr(at, word)); at += n)
                if (at > text && strchr("\"'= \t", at[-1]) && strchr("\"' \t", at[n])) /* or the end */
                        return true;
        return false;
}

/* A line such as: omit_dracutmodules+=" resume " */
static void take_omission(const char *path, void *data)
{
        char **file = data, *save = NULL;
        _cleanup_free_ char *text = NULL;

        if (read_whole_file(path, CONFIG_MAX, &text) < 0)
                return;
        for (char *line = strtok_r(text, "\n", &save); line && !*file; line = strtok_r(NULL, "\n", &save)) {
                const char *from = line + strspn(line, " \t");
                if (strncmp(from, "omit_dracutmodules", strlen("omit_dracutmodules")) == 0 && has_word(from, "resume"))
                        *file = xstrdup(path);
        }
}

static void check_dracut(const char *initrd, struct finding *f)
{
        static const char *const folders[] = { "/usr/lib/dracut/dracut.conf.d", "/etc/dracut.conf.d" };
        _cleanup_free_ char *modules = in_root(DRACUT "/modules.d"), *main_file = in_root("/etc/dracut.conf");
        _cleanup_free_ char *omits = NULL;
        bool has_module = false;

        each_file(modules, is_resume_module, note_it, &has_module);
        take_omission(main_file, &omits);
        for (size_t i = 0; i < ELEMENTS(folders); i++) {
                _cleanup_free_ char *folder = in_root(folders[i]);
                each_file(folder, is_conf, take_omission, &omits);
        }
        if (omits)
                find(f, LEVEL_WARNING, _("take it out there, and run dracut -f"),
                     _("%s leaves dracut's module 'resume' out"), omits);
        else if (!has_module)
                find(f, LEVEL_WARNING, _("install dracut's module 'resume', and run dracut -f"),
                     _("%s has no module that resumes"), modules);
        else
                find_ok(f, _("%s, made by dracut"), initrd);
}

/* ---- which ---- */

static bool is_there(const char *path)
{
        _cleanup_free_ char *in = in_root(path);

        return access(in, F_OK) == 0;
}

void check_initramfs(const struct checkup *c, struct finding *f)
{
        _cleanup_free_ char *initrd = NULL;
        struct utsname running;

        (void)c;
        uname(&running);
        initrd = target_initrd_of(running.release);
        if (!initrd)
                return;                                  /* that is said of the kernel */
        if (is_there("/usr/share/initramfs-tools/init")) /* the folders may be there without the programs */
                check_tools(initrd, f);
        else if (is_there(DRACUT "/dracut-init.sh") || is_there(DRACUT "/dracut-functions.sh"))
                check_dracut(initrd, f);
        else
                find(f, LEVEL_NOTE, _("see to it that it resumes"),
                     _("%s was made neither by initramfs-tools nor by dracut: whether it resumes is not known"),
                     initrd);
}
