/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl env beside the real grub-editenv: both programs' own code in one process, each on a file of its own, which hold
 * the same bytes. After each command the files, the output and the success must be the same; and what "get" says is what
 * GRUB's reader has last.
 *
 * Input: flags (1 byte: 1 there is no file, 2 the block's signature is put before it), number of commands (1), for each
 * a verb (1), the length of its words (1) and those, separated by NULs; the rest is the block.
 *
 * What is left out is in docs/envblk-differences.md, with the same numbers as here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hibctl/bootfs.h"
#include "hibctl/command.h"
#include "hibctl/freeze.h"
#include "hibctl/globals.h"
#include "hibctl/store.h"
#include "mark/envblk.h"
#include "quiet.h"

#define MAX_WORDS 12

/* ---- grub-editenv ---- */

int editenv_main(int argc, char **argv);
void *editenv_malloc(size_t size);
void editenv_free(void *p);
char *editenv_strdup(const char *s);
char *editenv_asprintf(const char *fmt, ...);
void grub_util_error(const char *fmt, ...) __attribute__((noreturn));
FILE *editenv_fopen(const char *path, const char *mode);

int verbosity;

/* It ends by exit, so it frees nothing when something is wrong. */
static struct {
        void *at[256];
        size_t n;
        jmp_buf end;
} theirs;

void *editenv_malloc(size_t size)
{
        void *p = malloc(size ? size : 1);

        REQUIRE(p && theirs.n < sizeof(theirs.at) / sizeof(theirs.at[0]));
        theirs.at[theirs.n++] = p;
        return p;
}

void editenv_free(void *p)
{
        for (size_t i = 0; i < theirs.n; i++)
                if (theirs.at[i] == p)
                        theirs.at[i] = NULL;
        free(p);
}

char *editenv_strdup(const char *s)
{
        return strcpy(editenv_malloc(strlen(s) + 1), s);
}

char *editenv_asprintf(const char *fmt, ...)
{
        char text[4096];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        return editenv_strdup(text);
}

void grub_util_error(const char *fmt, ...)
{
        (void)fmt;
        longjmp(theirs.end, 1);
}

FILE *editenv_fopen(const char *path, const char *mode)
{
        return fopen(path, mode);
}

/* If a rename fails; it does not in one folder. */
int grub_install_copy_file(const char *src, const char *dst, int is_critical);
int grub_install_copy_file(const char *src, const char *dst, int is_critical)
{
        (void)src, (void)dst, (void)is_critical;
        abort();
}

static bool run_theirs(int argc, char **argv)
{
        bool done = setjmp(theirs.end) == 0 && editenv_main(argc, argv) == 0;

        while (theirs.n > 0)
                free(theirs.at[--theirs.n]);
        return done;
}

/* ---- hibctl: what "env" calls and is not under test ---- */

int bootfs_attach(struct bootfs *fs, enum bootfs_mount how)
{
        (void)fs, (void)how;
        abort(); /* only for a block that is not named */
}

int bootfs_describe(struct bootfs *fs, const char *path)
{
        (void)fs, (void)path; /* no device: nothing to ask what GRUB would read */
        return EXIT_DONE;
}

const char *bootfs_why_not_writable(const struct bootfs *fs)
{
        (void)fs;
        return NULL;
}

int bootfs_overwrite(struct bootfs *fs, struct envfile *f, const char *new_bytes)
{
        (void)fs, (void)f, (void)new_bytes;
        abort();
}

int bootfs_detach(struct bootfs *fs)
{
        (void)fs;
        return EXIT_DONE;
}

void bootfs_release(struct bootfs *fs)
{
        (void)fs;
}

/* It starts a process to find out, for each write. */
bool is_frozen(int fd)
{
        (void)fd;
        return false;
}

/* The files are in memory. */
int write_out_filesystem(int fd)
{
        (void)fd;
        return 0;
}

int take_lock(void)
{
        return EXIT_DONE;
}

void hold_signals(void)
{
}

void release_signals(void)
{
}

void print_command_help(const struct command *command)
{
        (void)command;
}

int bad_option(const struct command *command)
{
        (void)command;
        return EXIT_USAGE;
}

/* ---- both ---- */

static char paths[2][256];

struct step {
        const char *verb;
        char *words[MAX_WORDS];
        int n;
};

/* Standard output is a FILE that can be changed, and both print to it. */
static char *captured(bool ours, const struct step *step, size_t *len, int *status)
{
        char *argv[MAX_WORDS + 4] = { (char *)"env", paths[ours], (char *)step->verb }, *text = NULL;
        FILE *was = stdout;
        int argc = 3;

        for (int i = 0; i < step->n; i++)
                argv[argc++] = strdup(step->words[i]); /* both write into them */
        char *owned[MAX_WORDS];
        memcpy(owned, argv + 3, sizeof(owned));
        stdout = open_memstream(&text, len);
        REQUIRE(stdout);
        optind = 0;
        *status = ours ? command_env.run(argc, argv) : !run_theirs(argc, argv);
        fclose(stdout);
        stdout = was;
        for (int i = 0; i < step->n; i++)
                free(owned[i]);
        return text;
}

static char *read_file(const char *path, size_t *len)
{
        FILE *f = fopen(path, "rb");
        static char bytes[8192];

        *len = 0;
        if (!f)
                return NULL;
        *len = fread(bytes, 1, sizeof(bytes), f);
        fclose(f);
        return exact_copy(bytes, *len);
}

static void check_files(void)
{
        size_t n[2];
        char *bytes[2] = { read_file(paths[0], &n[0]), read_file(paths[1], &n[1]) };

        REQUIRE((bytes[0] == NULL) == (bytes[1] == NULL) && n[0] == n[1]);
        REQUIRE(!bytes[0] || memcmp(bytes[0], bytes[1], n[0]) == 0);
        free(bytes[0]);
        free(bytes[1]);
}

/* What the reader of mark/, which fuzz-envdiff compares with GRUB's, has last under this name. */
static char *last_value(const char *name)
{
        struct envblk block;
        struct envblk_var var;
        size_t n, cursor = 0;
        char *bytes = read_file(paths[0], &n), *found = NULL;

        if (bytes && envblk_open(&block, bytes, n))
                while (envblk_next(&block, &cursor, &var))
                        if (strlen(name) == strnlen(var.name, var.name_len) && memcmp(name, var.name, strlen(name)) == 0) {
                                free(found);
                                found = calloc(1, var.value_len + 2);
                                REQUIRE(found);
                                size_t len = envblk_unescape(&var, found, var.value_len);
                                found[len] = '\0';
                                strcat(found, "\n");
                        }
        free(bytes);
        return found;
}

static void check_get(const char *name)
{
        struct step step = { .verb = "get", .words = { (char *)name }, .n = 1 };
        char *value = last_value(name), *out;
        size_t len, n, all;
        int status;

        char *bytes = read_file(paths[1], &all);
        bool sound = bytes && all > ENVBLK_SIGNATURE_LEN && memcmp(bytes, ENVBLK_SIGNATURE, ENVBLK_SIGNATURE_LEN) == 0;
        free(bytes);
        out = captured(true, &step, &len, &status);
        n = value ? strlen(value) : 0;
        REQUIRE(status == (!sound ? EXIT_FAILED : value ? EXIT_DONE : EXIT_NOTHING));
        REQUIRE(len == n && (n == 0 || memcmp(out, value, n) == 0));
        free(value);
        free(out);
}

/* (1), (2): a command that only reads, or removes, does not make a file. */
static void check_missing(const struct step *step)
{
        size_t len;
        int status;
        char *out = captured(true, step, &len, &status);

        REQUIRE(status == EXIT_FAILED && len == 0 && access(paths[1], F_OK) != 0);
        free(out);
}

static bool is_left_out(const struct step *step)
{
        for (int i = 0; i < step->n; i++)
                if (step->words[i][0] == '-') /* (3) */
                        return true;
        return false;
}

static void run_step(const struct step *step)
{
        bool makes = strcmp(step->verb, "set") == 0 || strcmp(step->verb, "create") == 0;
        char *out[2];
        size_t len[2];
        int status[2];
        bool missing = access(paths[0], F_OK) != 0;

        if (is_left_out(step))
                return;
        if (!makes && missing) {
                check_missing(step);
                return;
        }
        for (int i = 0; i < 2; i++)
                out[i] = captured(i, step, &len[i], &status[i]);
        REQUIRE((status[0] == 0) == (status[1] == 0));
        REQUIRE(len[0] == len[1] && memcmp(out[0], out[1], len[0]) == 0);
        free(out[0]);
        free(out[1]);
        if (missing && status[0] != 0) { /* (12) */
                REQUIRE(access(paths[1], F_OK) != 0);
                unlink(paths[0]);
        }
        check_files();
}

/* ---- input ---- */

static void make_paths(void)
{
        const char *folder = getenv("EFIVARFS_PATH"); /* where files are in memory; see run-fuzz */

        for (int i = 0; i < 2; i++)
                snprintf(paths[i], sizeof(paths[i]), "%sblock-%d-%d", folder ? folder : "/tmp/", (int)getpid(), i);
        freopen("/dev/null", "w", stdout); /* no terminal: (6) */
}

static void put_block(const uint8_t *data, size_t size, unsigned int flags)
{
        for (int i = 0; i < 2; i++) {
                unlink(paths[i]);
                if (flags & 1)
                        continue;
                FILE *f = fopen(paths[i], "wb");
                REQUIRE(f);
                if (flags & 2)
                        fwrite(ENVBLK_SIGNATURE, 1, ENVBLK_SIGNATURE_LEN, f);
                fwrite(data, 1, size, f);
                REQUIRE(fclose(f) == 0);
        }
}

static void take_words(struct step *step, const uint8_t *p, size_t n)
{
        for (size_t i = 0; i < n && step->n < MAX_WORDS;) {
                size_t len = strnlen((const char *)p + i, n - i);
                step->words[step->n++] = strndup((const char *)p + i, len);
                i += len + 1;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const verbs[] = { "set", "unset", "list", "create" };
        struct step steps[4] = { 0 };
        unsigned int n = 0;

        if (!paths[0][0])
                make_paths();
        if (size < 2 || size > 4096)
                return 0;
        unsigned int flags = data[0], wanted = data[1] % 5;
        data += 2;
        size -= 2;
        for (; n < wanted && size >= 2; n++) {
                size_t len = data[1] < size - 2 ? data[1] : size - 2;

                steps[n].verb = verbs[data[0] % 4];
                if (data[0] % 4 < 2) /* (4): list and create have no words */
                        take_words(&steps[n], data + 2, len);
                data += 2 + len;
                size -= 2 + len;
        }
        put_block(data, size, flags);
        for (unsigned int i = 0; i < n; i++)
                run_step(&steps[i]);
        run_step(&(struct step){ .verb = "list" });
        check_get(n > 0 && steps[0].n > 0 ? strtok(steps[0].words[0], "=") ? steps[0].words[0] : "" : "a");
        for (unsigned int i = 0; i < n; i++)
                while (steps[i].n > 0)
                        free(steps[i].words[--steps[i].n]);
        for (int i = 0; i < 2; i++)
                unlink(paths[i]);
        return 0;
}
