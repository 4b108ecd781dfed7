/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl env: an environment block manager with grub-editenv's commands and results, that writes in place.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "bootfs.h"
#include "command.h"
#include "envfile.h"
#include "globals.h"
#include "json.h"
#include "store.h"

/* The block that a command works on. */
struct work {
        struct bootfs fs;
        struct envfile f;
        const char *path; /* as it is to be opened */
        bool may_be_missing, made_it;
};

static void work_free(struct work *w)
{
        envfile_close(&w->f);
        bootfs_release(&w->fs);
}
#define WORK_INIT                                                                                                      \
        {                                                                                                              \
                .fs = BOOTFS_INIT, .f = ENVFILE_INIT                                                                   \
        }

static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

/* ---- opening and writing ---- */

/* FILE: NULL or "-" for the boot loader's own. */
static int open_block(struct work *w, const char *file, bool for_writing)
{
        bool named = file && strcmp(file, "-") != 0;
        int r = EXIT_DONE;

        w->path = file;
        if (!named) {
                r = bootfs_attach(&w->fs, for_writing ? BOOTFS_WRITE : BOOTFS_READ);
                if (r != EXIT_DONE)
                        return r;
                w->path = w->fs.env_path;
        }
        if (w->may_be_missing && envfile_is_missing(w->path)) {
                char bytes[ENVBLK_DEFAULT_SIZE];
                envblk_create(bytes, sizeof(bytes));
                int e = envfile_make(w->path, bytes, sizeof(bytes), 0644, /* for_grub= */ true);
                if (e < 0)
                        return envfile_explain(w->path, e);
                w->made_it = true;
        }
        if (named && for_writing)
                r = bootfs_describe(&w->fs, w->path);
        return r == EXIT_DONE ? envfile_open(&w->f, w->path, for_writing) : r;
}

static int need_sound(const struct work *w)
{
        return w->f.sound ? EXIT_DONE
                          : fail(_("%s: not a GRUB environment block; make a new one with 'hibctl env %s create'"),
                                 w->f.path, w->f.path);
}

/* Whether the device can be asked what GRUB would read. */
static bool can_prove(const struct work *w)
{
        _cleanup_close_ int fd = -1;

        if (geteuid() != 0 || !w->fs.device || bootfs_why_not_writable(&w->fs))
                return false;
        fd = open(w->fs.device, O_RDONLY | O_CLOEXEC); /* in a container there may be no such node */
        return fd >= 0;
}

/* 0 or a negative errno. */
static int overwrite(struct work *w, const char *new_bytes)
{
        int e;

        if (can_prove(w))
                e = bootfs_overwrite(&w->fs, &w->f, new_bytes);
        else {
                e = envfile_overwrite(&w->f, new_bytes);
                if (e == 0)
                        say_step(_("%s: written and flushed; the device was not asked what GRUB would read"),
                                 w->f.path);
        }
        return e;
}

static int finish(struct work *w, const char *new_bytes)
{
        int e = overwrite(w, new_bytes);

        if (e < 0)
                return envfile_explain(w->f.path, e);
        envfile_close(&w->f);
        return bootfs_detach(&w->fs);
}

/* ---- list, get ---- */

/* GRUB's own tool prints a C string: up to a NUL. Control characters are kept from terminals. */
static void put_text(const char *text, size_t len, bool terminal)
{
        for (size_t i = 0; i < len && text[i] != '\0'; i++)
                putchar(terminal && iscntrl((unsigned char)text[i]) ? '?' : text[i]);
}

static char *plain_value(const struct envblk_var *var, size_t *len)
{
        char *value = xmalloc(var->value_len + 1);

        *len = envblk_unescape(var, value, var->value_len);
        value[*len] = '\0';
        return value;
}

static int cmd_list(struct work *w, int argc, char *argv[])
{
        struct json_object *o = globals.json ? json_object_new_object() : NULL;
        bool terminal = isatty(STDOUT_FILENO);
        struct envblk_var var;
        size_t cursor = 0, len;

        (void)argv;
        if (argc > 0)
                return usage_error(_("list takes no variables; 'hibctl env get NAME...' prints single ones"));
        while (envblk_next(&w->f.block, &cursor, &var)) {
                _cleanup_free_ char *value = plain_value(&var, &len);
                if (o) {
                        _cleanup_free_ char *key = utf8_text(var.name, var.name_len);
                        add_text(o, key, value);
                        continue;
                }
                put_text(var.name, var.name_len, terminal);
                putchar('=');
                put_text(value, len, terminal);
                putchar('\n');
        }
        return o ? print_json(o) : EXIT_DONE;
}

/* As GRUB's load_env would leave the variable: the last one counts. */
static char *find_value(const struct envblk *block, const char *name)
{
        struct envblk_var var;
        char *found = NULL;
        size_t cursor = 0, len;

        while (envblk_next(block, &cursor, &var))
                if (envblk_var_is(&var, name)) {
                        free(found);
                        found = plain_value(&var, &len);
                }
        return found;
}

static int cmd_get(struct work *w, int argc, char *argv[])
{
        struct json_object *o = globals.json ? json_object_new_object() : NULL;
        bool terminal = isatty(STDOUT_FILENO);
        int r = EXIT_DONE;

        if (argc == 0)
                return usage_error(_("get needs the name of a variable: hibctl env get NAME..."));
        for (int i = 0; i < argc; i++) {
                _cleanup_free_ char *value = find_value(&w->f.block, argv[i]);
                if (!value)
                        r = EXIT_NOTHING;
                if (o) {
                        _cleanup_free_ char *key = utf8_text(argv[i], strlen(argv[i]));
                        add_text(o, key, value);
                } else if (value) {
                        put_text(value, strlen(value), terminal);
                        putchar('\n');
                } else
                        say(_("%s: there is no variable '%s'"), w->f.path, argv[i]);
        }
        if (o)
                print_json(o);
        return r;
}

/* ---- set, unset, create ---- */

static int set_one(struct envblk *block, const char *path, char *assignment)
{
        char *equals = strchr(assignment, '=');

        if (!equals)
                return usage_error(_("%s: not of the form NAME=VALUE"), assignment);
        *equals = '\0';
        switch (envblk_set(block, assignment, equals + 1, strlen(equals + 1))) {
        case ENVBLK_DONE:
                return EXIT_DONE;
        case ENVBLK_NO_ROOM:
                return fail(_("%s: no room for '%s' (%zu bytes are left); unset what nobody needs"), path, assignment,
                            envblk_room(block));
        default:
                return fail(
                        _("%s: the block is damaged ('hibctl env %s verify' says where), so '%s' cannot be set; make "
                          "a new one with create"),
                        path, path, assignment);
        }
}

static int cmd_set(struct work *w, int argc, char *argv[])
{
        _cleanup_free_ char *bytes = xmalloc(w->f.block.size);
        struct envblk block = { bytes, w->f.block.size };
        int r = EXIT_DONE;

        memcpy(bytes, w->f.buf, block.size);
        for (int i = 0; i < argc && r == EXIT_DONE; i++)
                r = set_one(&block, w->f.path, argv[i]);
        return r == EXIT_DONE ? finish(w, bytes) : r;
}

static int cmd_unset(struct work *w, int argc, char *argv[])
{
        _cleanup_free_ char *bytes = xmalloc(w->f.block.size);
        struct envblk block = { bytes, w->f.block.size };

        memcpy(bytes, w->f.buf, block.size);
        for (int i = 0; i < argc; i++)
                envblk_unset(&block, argv[i]);
        return finish(w, bytes);
}

/* A file of another size, or one whose bytes have no place of their own, gives way to a new one. */
static int replace(struct work *w, const char bytes[ENVBLK_DEFAULT_SIZE])
{
        _cleanup_free_ char *path = xstrdup(w->f.path);
        int r, e = envfile_make(path, bytes, ENVBLK_DEFAULT_SIZE, 0644, /* for_grub= */ true);

        if (e < 0)
                return envfile_explain(path, e);
        envfile_close(&w->f);
        r = envfile_open(&w->f, path, /* for_writing= */ true);
        if (r == EXIT_DONE)
                r = finish(w, bytes);
        if (r != EXIT_DONE)
                say_error(_("%s: the old block is gone, and GRUB may find the new one; try again"), path);
        return r;
}

/* A block of the usual size is overwritten where it is, as everything else. */
static int cmd_create(struct work *w, int argc, char *argv[])
{
        char bytes[ENVBLK_DEFAULT_SIZE];
        int e = -ENOTSUP;

        (void)argv;
        if (argc > 0)
                return usage_error(_("create takes no variables; set them afterwards"));
        envblk_create(bytes, sizeof(bytes));
        if (w->f.block.size == sizeof(bytes))
                e = overwrite(w, bytes);
        if (e == -ENOTSUP)
                return replace(w, bytes);
        if (e < 0)
                return envfile_explain(w->f.path, e);
        envfile_close(&w->f);
        return bootfs_detach(&w->fs);
}

/* ---- verify ---- */

struct findings {
        const char *path;
        int n;
};

static void _printf_(2, 3) finding(struct findings *f, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&text, fmt, ap) < 0)
                text = NULL;
        va_end(ap);
        printf("%s: %s\n", f->path, text ? text : "");
        f->n++;
}

static bool is_odd_name(const struct envblk_var *var)
{
        for (size_t i = 0; i < var->name_len; i++)
                if (!isalnum((unsigned char)var->name[i]) && var->name[i] != '_')
                        return true;
        return var->name_len == 0;
}

static int compare_names(const void *a, const void *b)
{
        const struct envblk_var *x = a, *y = b;
        size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
        int r = memcmp(x->name, y->name, n);

        return r != 0 ? r : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static void check_duplicates(const struct envblk *block, struct findings *f)
{
        /* The shortest line is "=\n". */
        _cleanup_free_ struct envblk_var *vars = xmalloc((block->size / 2 + 1) * sizeof(*vars));
        size_t cursor = 0, n = 0;

        while (envblk_next(block, &cursor, &vars[n]))
                n++;
        qsort(vars, n, sizeof(*vars), compare_names);
        for (size_t i = 1; i < n; i++)
                if (compare_names(&vars[i - 1], &vars[i]) == 0 &&
                    (i == 1 || compare_names(&vars[i - 2], &vars[i]) != 0))
                        finding(f, _("'%.*s' is there more than once; GRUB changes the first and reads the last"),
                                (int)vars[i].name_len, vars[i].name);
}

static void check_variables(const struct envblk *block, struct findings *f)
{
        struct envblk_var var;
        size_t cursor = 0, end = ENVBLK_SIGNATURE_LEN;

        while (envblk_next(block, &cursor, &var)) {
                size_t at = (size_t)(var.name - block->buf);
                if (is_odd_name(&var))
                        finding(f,
                                _("byte %zu: a line that is no variable, or a name with odd characters; GRUB takes all "
                                  "up to the next '=' as the name"),
                                at);
                end = cursor;
        }
        /* What the reader did not take as a variable must be comments or padding: then its first byte is '#'. */
        while (end < block->size && block->buf[end] == '#') {
                const char *newline = memchr(block->buf + end, '\n', block->size - end);
                if (!newline)
                        return;
                end = (size_t)(newline - block->buf) + 1;
        }
        if (end < block->size)
                finding(f, _("byte %zu: from here on GRUB reads nothing: a line without '=' or without an end"), end);
}

static void check_block(const struct envfile *file, struct findings *f)
{
        const struct envblk *block = &file->block;
        size_t at;

        if (!file->sound) {
                finding(f, _("not a GRUB environment block (%zu bytes): it does not begin with GRUB's signature"),
                        block->size);
                return;
        }
        if (block->size % ENVBLK_SECTOR != 0)
                finding(f, _("%zu bytes: not a multiple of %d"), block->size, ENVBLK_SECTOR);
        if (block->buf[block->size - envblk_room(block) - 1] != '\n')
                finding(f, _("the byte before the padding is not a newline: GRUB can read, but not set anything"));
        check_variables(block, f);
        check_duplicates(block, f);
        switch (slot_find(block, &at)) {
        case SLOT_FOUND:
        case SLOT_MISSING:
        case SLOT_DUPLICATE: /* said above */
                break;
        case SLOT_STRADDLES:
                finding(f, _("the slot crosses a sector boundary; run 'hibctl setup'"));
                break;
        default:
                finding(f, _("'%s' is not a usable slot; run 'hibctl setup'"), MARK_NAME);
        }
}

static int cmd_verify(struct work *w, int argc, char *argv[])
{
        struct findings f = { .path = w->f.path };

        (void)argv;
        if (argc > 0)
                return usage_error(_("verify takes no variables"));
        check_block(&w->f, &f);
        if (f.n == 0)
                say(_("%s: a sound environment block; %zu of %zu bytes are free"), w->f.path, envblk_room(&w->f.block),
                    w->f.block.size);
        return f.n == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- the command ---- */

static const struct verb {
        const char *name;
        bool writes, makes_it, takes_any;
        int (*run)(struct work *w, int argc, char *argv[]);
} verbs[] = {
        { "list", .run = cmd_list },
        { "get", .run = cmd_get },
        { "verify", .run = cmd_verify, .takes_any = true },
        { "set", .run = cmd_set, .writes = true, .makes_it = true },
        { "unset", .run = cmd_unset, .writes = true },
        { "create", .run = cmd_create, .writes = true, .makes_it = true, .takes_any = true },
};

static const struct verb *find_verb(const char *name)
{
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

static int run_verb(const struct verb *verb, const char *file, int argc, char *argv[])
{
        struct work w = WORK_INIT;
        int r = EXIT_DONE;

        w.may_be_missing = verb->makes_it;
        /* A block elsewhere may belong to anybody; the boot loader's own is guarded by the lock. */
        if (verb->writes && geteuid() == 0)
                r = take_lock();
        if (r != EXIT_DONE)
                return r;
        if (verb->writes)
                hold_signals();
        r = open_block(&w, file, verb->writes);
        if (r == EXIT_DONE && !verb->takes_any)
                r = need_sound(&w);
        if (r == EXIT_DONE)
                r = verb->run(&w, argc, argv);
        if (r != EXIT_DONE && w.made_it && unlink(w.path) < 0)
                say_error(_("%s: it may be there now, without what was to be set: %m"), w.path);
        work_free(&w);
        release_signals();
        return r;
}

static int run(int argc, char *argv[])
{
        const struct verb *verb;
        const char *file = NULL;
        int c;

        while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1)
                switch (c) {
                case 'h':
                        print_command_help(&command_env);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_env);
                }
        argc -= optind;
        argv += optind;
        if (argc == 0)
                return usage_error(_("env needs a command; 'hibctl env --help' lists them"));
        verb = find_verb(argv[0]);
        if (!verb && argc > 1) {
                file = argv[0];
                argc--;
                argv++;
                verb = find_verb(argv[0]);
        }
        if (!verb)
                return usage_error(_("%s: unknown command; 'hibctl env --help' lists them"), argv[0]);
        return run_verb(verb, file, argc - 1, argv + 1);
}

const struct command command_env = {
        .name = "env",
        .arguments = "[FILE] list|get NAME...|set NAME=VALUE...|unset NAME...|create|verify",
        .summary = N_("manage a GRUB environment block, like grub-editenv but safely"),
        .options = N_("      FILE    the block; default, or '-': the boot loader's own\n"
                      "      list    print all variables\n"
                      "      get     print the values of single variables\n"
                      "      set     set variables; makes the block if it is missing\n"
                      "      unset   remove variables\n"
                      "      create  make an empty block, or empty one\n"
                      "      verify  look for damage\n"
                      "  -h, --help  show this help\n"),
        .takes_words = true,
        .run = run,
};
