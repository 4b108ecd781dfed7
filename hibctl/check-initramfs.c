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

/* ---- configuration ---- */

void config_free(struct config *config)
{
        free(config->value);
        free(config->file);
        free(config->unread);
        *config = (struct config){ .error = 0 };
}

void find_unread(struct finding *f, const struct config *config)
{
        find(f, LEVEL_UNKNOWN, how_to_see(), _("%s cannot be read: %s"), config->unread, strerror(config->error));
}

static void cannot_read(struct config *config, const char *path, int error)
{
        if (error == ENOENT || config->unread)
                return;
        config->unread = xstrdup(path);
        config->error = error;
}

/* VALUE is what PATH says. */
static void set_config(struct config *config, const char *value, const char *path)
{
        free(config->value);
        free(config->file);
        config->value = xstrdup(value);
        config->file = xstrdup(path);
}

/* Calls LINE with each line of the file PATH, without the blanks before it. */
static void each_line(const char *path, void (*line)(struct config *config, char *text, const char *path),
                      struct config *config)
{
        _cleanup_free_ char *text = NULL;
        ssize_t n = read_whole_file(path, CONFIG_MAX, &text);
        char *save = NULL;

        if (n < 0)
                cannot_read(config, path, (int)-n);
        for (char *one = n < 0 ? NULL : strtok_r(text, "\n", &save); one; one = strtok_r(NULL, "\n", &save))
                line(config, one + strspn(one, " \t"), path);
}

/* The paths of what WANTED takes in FOLDER, in the order of their names: *PATHS, which the caller frees, and each. */
static size_t list_folder(const char *folder, int (*wanted)(const struct dirent *), char ***paths,
                          struct config *config)
{
        struct dirent **entries = NULL;
        int n = scandir(folder, &entries, wanted, alphasort), error = errno;

        *paths = xmalloc((size_t)(n > 0 ? n : 1) * sizeof(**paths));
        if (n < 0)
                cannot_read(config, folder, error);
        for (int i = 0; i < n; i++) {
                (*paths)[i] = xasprintf("%s/%s", folder, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        return n > 0 ? (size_t)n : 0;
}

static void each_line_in_folder(const char *folder, int (*wanted)(const struct dirent *),
                                void (*line)(struct config *config, char *text, const char *path),
                                struct config *config)
{
        char **paths;
        size_t n = list_folder(folder, wanted, &paths, config);

        for (size_t i = 0; i < n; i++) {
                each_line(paths[i], line, config);
                free(paths[i]);
        }
        free(paths);
}

/* ---- initramfs-tools ---- */

/* As mkinitramfs chooses what it reads. */
static int is_config_name(const struct dirent *e)
{
        return isalnum((unsigned char)e->d_name[0]) && !strstr(e->d_name, ".dpkg-");
}

/* The files are shell; only lines that are nothing but RESUME=... are understood. */
static void take_resume(struct config *config, char *text, const char *path)
{
        if (strncmp(text, "RESUME=", 7) != 0)
                return;
        text += 7;
        text += *text == '"' || *text == '\'';
        text[strcspn(text, "\"' \t#")] = '\0';
        set_config(config, text, path);
}

void check_initramfs_tools_resume(struct config *config)
{
        _cleanup_free_ char *main_file = in_root(TOOLS "/initramfs.conf"), *folder = in_root(TOOLS "/conf.d");

        *config = (struct config){ .error = 0 };
        each_line(main_file, take_resume, config);
        each_line_in_folder(folder, is_config_name, take_resume, config);
}

/* 1 or 0, or a negative errno. */
static int is_older(const char *path, const char *than)
{
        struct stat a, b;

        if (stat(path, &a) < 0 || stat(than, &b) < 0)
                return -errno;
        return is_earlier(&a.st_mtim, &b.st_mtim);
}

static void check_tools(const char *initrd, struct finding *f)
{
        _cleanup_config_ struct config config;
        int older = 0;

        check_initramfs_tools_resume(&config);
        if (config.file)
                older = is_older(initrd, config.file);
        if (older < 0)
                cannot_read(&config, initrd, -older);
        if (config.value && strcmp(config.value, "none") == 0)
                find(f, LEVEL_WARNING, _("write RESUME=auto there, or name the device, and run update-initramfs -u"),
                     _("%s: RESUME=none: an image is resumed only if GRUB names it"), config.file);
        else if (config.unread)
                find_unread(f, &config);
        else if (older > 0)
                find(f, LEVEL_WARNING, _("run update-initramfs -u"), _("%s is older than %s"), initrd, config.file);
        else
                find_ok(f, _("%s, made by initramfs-tools"), initrd);
}

/* ---- dracut ---- */

static int is_conf(const struct dirent *e)
{
        size_t n = strlen(e->d_name);

        return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".conf") == 0;
}

static int is_resume_module(const struct dirent *e)
{
        return isdigit((unsigned char)e->d_name[0]) && isdigit((unsigned char)e->d_name[1]) &&
               (strcmp(e->d_name + 2, "resume") == 0 || strcmp(e->d_name + 2, "hibctl") == 0);
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
static void take_omission(struct config *config, char *text, const char *path)
{
        static const char key[] = "omit_dracutmodules";

        if (strncmp(text, key, strlen(key)) == 0 && has_word(text, "resume"))
                set_config(config, "resume", path);
}

static void read_omissions(struct config *config)
{
        static const char *const folders[] = { "/usr/lib/dracut/dracut.conf.d", "/etc/dracut.conf.d" };
        _cleanup_free_ char *main_file = in_root("/etc/dracut.conf");

        *config = (struct config){ .error = 0 };
        each_line(main_file, take_omission, config);
        for (size_t i = 0; i < ELEMENTS(folders); i++) {
                _cleanup_free_ char *folder = in_root(folders[i]);
                each_line_in_folder(folder, is_conf, take_omission, config);
        }
}

static bool has_resume_module(const char *folder, struct config *config)
{
        char **paths;
        size_t n = list_folder(folder, is_resume_module, &paths, config);

        for (size_t i = 0; i < n; i++)
                free(paths[i]);
        free(paths);
        return n > 0;
}

static void check_dracut(const char *initrd, struct finding *f)
{
        _cleanup_free_ char *modules = in_root(DRACUT "/modules.d");
        _cleanup_config_ struct config config;
        bool has_module;

        read_omissions(&config);
        has_module = has_resume_module(modules, &config);
        if (config.file)
                find(f, LEVEL_WARNING, _("take it out there, and run dracut -f"),
                     _("%s leaves dracut's module 'resume' out"), config.file);
        else if (config.unread)
                find_unread(f, &config);
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

        return !is_missing(in);
}

void check_initramfs(const struct checkup *c, struct finding *f)
{
        _cleanup_free_ char *initrd = NULL;
        struct utsname running;

        (void)c;
        uname(&running);
        initrd = target_initrd_of(running.release);
        if (!initrd) /* that is said of the kernel */
                return;
        /* dracut replaces the program, but leaves what it shares with others. */
        if (is_there("/usr/sbin/update-initramfs"))
                check_tools(initrd, f);
        else if (is_there(DRACUT "/dracut-init.sh") || is_there(DRACUT "/dracut-functions.sh"))
                check_dracut(initrd, f);
        else
                find(f, LEVEL_NOTE, _("see to it that it resumes"),
                     _("%s was made neither by initramfs-tools nor by dracut: whether it resumes is not known"),
                     initrd);
}
