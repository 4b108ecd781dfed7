/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The rules are systemd's: hibctl.conf of the administrator takes the place of the distribution's, and then come the
 * drop-ins of both, by their names; one of the administrator takes the place of the distribution's of the same name.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "globals.h"
#include "say.h"
#include "settings.h"

#define FILE_MAX 65536
#define DROP_INS_MAX 256

/* The first one counts. */
static const char *const folders[] = { "/etc/hibctl", "/usr/lib/hibctl" };

const struct store *settings_find_store(const char *name)
{
        static const struct store *const all[SETTINGS_STORES_MAX] = { &store_env, &store_efi, &store_bootbits };

        for (size_t i = 0; i < ELEMENTS(all); i++)
                if (strcmp(all[i]->name, name) == 0)
                        return all[i];
        return NULL;
}

bool settings_allow(const struct settings *settings, const struct store *store)
{
        for (size_t i = 0; i < settings->n_stores; i++)
                if (settings->stores[i] == store)
                        return true;
        return settings->n_stores == 0;
}

/* ---- keys; nothing as a value puts the default back ---- */

/* Where a line is, for people. */
struct place {
        const char *path;
        unsigned int line;
};

static int set_stores(struct settings *settings, char *value, const struct place *at)
{
        struct settings new = { .n_stores = 0 };
        char *save = NULL;

        for (char *word = strtok_r(value, " \t,", &save); word; word = strtok_r(NULL, " \t,", &save)) {
                const struct store *store = settings_find_store(word);
                if (!store)
                        return usage_error(_("%s, line %u: Store=%s: unknown store; there are: env, efi, bootbits"),
                                           at->path, at->line, word);
                if (new.n_stores > 0 && settings_allow(&new, store))
                        return usage_error(_("%s, line %u: Store= names %s twice; name each store once"), at->path,
                                           at->line, word);
                new.stores[new.n_stores++] = store;
        }
        memcpy(settings->stores, new.stores, sizeof(new.stores));
        settings->n_stores = new.n_stores;
        return EXIT_DONE;
}

static int set_boot_next(struct settings *settings, char *value, const struct place *at)
{
        settings->boot_next = strcmp(value, "yes") == 0;
        if (settings->boot_next || strcmp(value, "no") == 0 || !*value)
                return EXIT_DONE;
        return usage_error(_("%s, line %u: BootNext=%s: it can be yes or no; correct it"), at->path, at->line, value);
}

static int set_sleep(struct settings *settings, char *value, const struct place *at)
{
        static const char *const words[] = { [SLEEP_TRY] = "try", [SLEEP_REQUIRE] = "require", [SLEEP_OFF] = "off" };

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (strcmp(value, words[i]) == 0) {
                        settings->sleep = (enum sleep_mode)i;
                        return EXIT_DONE;
                }
        if (!*value) {
                settings->sleep = SLEEP_TRY;
                return EXIT_DONE;
        }
        return usage_error(_("%s, line %u: Sleep=%s: it can be try, require or off; correct it"), at->path, at->line,
                           value);
}

static const struct {
        const char *name;
        int (*set)(struct settings *settings, char *value, const struct place *at);
} keys[] = {
        { "Store", set_stores },
        { "BootNext", set_boot_next },
        { "Sleep", set_sleep },
};

/* ---- a file ---- */

static char *strip(char *s)
{
        size_t n;

        s += strspn(s, " \t\r");
        n = strlen(s);
        while (n > 0 && strchr(" \t\r", s[n - 1]))
                s[--n] = '\0';
        return s;
}

/* What is shown to people must not move their cursor. */
static bool is_plain(const char *s)
{
        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;
                if ((c < ' ' && c != '\t' && c != '\r') || c == 0x7f)
                        return false;
        }
        return true;
}

static int take_line(struct settings *settings, char *line, const struct place *at)
{
        char *value;

        line = strip(line);
        if (!*line || *line == '#' || *line == ';')
                return EXIT_DONE;
        if (!is_plain(line))
                return usage_error(_("%s, line %u: it is not text; correct or remove it"), at->path, at->line);
        value = strchr(line, '=');
        if (!value) {
                say(_("%s, line %u: '%s' is ignored: it is not of the form KEY=VALUE; correct or remove it"), at->path,
                    at->line, line);
                return EXIT_DONE;
        }
        *value++ = '\0';
        line = strip(line);
        for (size_t i = 0; i < ELEMENTS(keys); i++)
                if (strcmp(line, keys[i].name) == 0)
                        return keys[i].set(settings, strip(value), at);
        say(_("%s, line %u: the key '%s' is unknown and ignored; hibctl.conf(5) lists what there is"), at->path,
            at->line, line);
        return EXIT_DONE;
}

/* Of what was wrong the first decides; what is right counts all the same. */
static int first_failure(int before, int now)
{
        return before != EXIT_DONE ? before : now;
}

int settings_parse(struct settings *settings, const char *path, char *text, size_t n)
{
        struct place at = { .path = path };
        char *rest = text;
        int r = EXIT_DONE;

        if (strlen(text) != n)
                return usage_error(_("%s: it is not text; correct or remove it"), path);
        for (char *line; (line = strsep(&rest, "\n"));) {
                at.line++;
                r = first_failure(r, take_line(settings, line, &at));
        }
        return r;
}

static int read_file(struct settings *settings, const char *path)
{
        _cleanup_free_ char *text = NULL;
        struct stat st;
        ssize_t n;

        /* A pipe could keep us waiting for ever. A link to /dev/null says: not this one. */
        if (stat(path, &st) == 0 && S_ISCHR(st.st_mode))
                return EXIT_DONE;
        if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
                return usage_error(_("%s: not a file; correct or remove it"), path);
        n = read_whole_file(path, FILE_MAX, &text);
        if (n == -EFBIG || n == -ENOENT)
                return usage_error(_("%s: these are no settings: %s; correct or remove it"), path, strerror((int)-n));
        if (n < 0)
                return fail(_("%s: cannot read the settings: %s; correct or remove it"), path, strerror((int)-n));
        return settings_parse(settings, path, text, (size_t)n);
}

/* ---- which files ---- */

struct drop_ins {
        char *names[DROP_INS_MAX], *paths[DROP_INS_MAX]; /* owned */
        size_t n;
};

static void drop_ins_free(struct drop_ins *d)
{
        for (; d->n > 0; d->n--) {
                free(d->names[d->n - 1]);
                free(d->paths[d->n - 1]);
        }
}

static bool is_drop_in(const char *name)
{
        size_t n = strlen(name);

        return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".conf") == 0;
}

/* Keeps them sorted. */
static int add_drop_in(struct drop_ins *d, const char *folder, const char *name)
{
        size_t at = 0;

        while (at < d->n && strcmp(d->names[at], name) < 0)
                at++;
        if (at < d->n && strcmp(d->names[at], name) == 0)
                return EXIT_DONE; /* the administrator has one of this name */
        if (d->n == DROP_INS_MAX)
                return usage_error(_("%s: more than %d files; remove some"), folder, DROP_INS_MAX);
        memmove(d->names + at + 1, d->names + at, (d->n - at) * sizeof(*d->names));
        memmove(d->paths + at + 1, d->paths + at, (d->n - at) * sizeof(*d->paths));
        d->names[at] = xstrdup(name);
        d->paths[at] = xasprintf("%s/%s", folder, name);
        d->n++;
        return EXIT_DONE;
}

static int list_drop_ins(struct drop_ins *d, const char *folder)
{
        DIR *dir = opendir(folder);
        int r = EXIT_DONE;

        if (!dir)
                return errno == ENOENT || errno == ENOTDIR
                               ? EXIT_DONE
                               : fail(_("%s: cannot read the folder: %m; correct or remove it"), folder);
        errno = 0;
        for (const struct dirent *entry; r == EXIT_DONE && (entry = readdir(dir)); errno = 0)
                if (is_drop_in(entry->d_name))
                        r = add_drop_in(d, folder, entry->d_name);
        if (r == EXIT_DONE && errno != 0)
                r = fail(_("%s: cannot read the folder: %m; correct or remove it"), folder);
        closedir(dir);
        return r;
}

int settings_read(struct settings *settings)
{
        _cleanup_(drop_ins_free) struct drop_ins drop_ins = { .n = 0 };
        int r = EXIT_DONE;
        bool found = false;

        *settings = (struct settings){ .n_stores = 0 };
        for (size_t i = 0; i < ELEMENTS(folders); i++) {
                _cleanup_free_ char *folder = in_root(folders[i]);
                _cleanup_free_ char *path = xasprintf("%s/hibctl.conf", folder);
                _cleanup_free_ char *more = xasprintf("%s/hibctl.conf.d", folder);
                struct stat st;

                if (!found && lstat(path, &st) == 0) {
                        found = true;
                        r = first_failure(r, read_file(settings, path));
                }
                r = first_failure(r, list_drop_ins(&drop_ins, more));
        }
        for (size_t i = 0; i < drop_ins.n; i++)
                r = first_failure(r, read_file(settings, drop_ins.paths[i]));
        return r;
}
