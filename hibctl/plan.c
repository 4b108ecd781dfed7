/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "globals.h"
#include "mark/bytes.h"
#include "plan.h"
#include "say.h"
#include "util.h"

#define FIRST_LINE "hibctl-plan 1"
#define FAMILY "hibctl-plan "
#define CRC_LINE_LEN 13 /* "crc ", 8 digits, newline */

/* ---- checksum ---- */

static uint32_t crc32(const char *p, size_t n)
{
        return ~bytes_crc32(0xffffffffU, p, n);
}

static bool is_whole(const char *text, size_t size)
{
        char line[CRC_LINE_LEN + 1];

        if (size <= CRC_LINE_LEN)
                return false;
        snprintf(line, sizeof(line), "crc %08" PRIx32 "\n", crc32(text, size - CRC_LINE_LEN));
        return memcmp(text + size - CRC_LINE_LEN, line, CRC_LINE_LEN) == 0;
}

/* ---- fields ---- */

static bool is_made_of(const char *s, size_t max, bool (*allowed)(char c))
{
        size_t n = strlen(s);

        for (size_t i = 0; i < n; i++)
                if (!allowed(s[i]))
                        return false;
        return n >= 1 && n <= max;
}

/* isalnum asks the locale. */
static bool is_ascii_alnum(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_uuid_char(char c)
{
        return is_ascii_alnum(c) || c == '-';
}

static bool is_type_char(char c)
{
        return is_ascii_alnum(c) || c == '_' || c == '.' || c == '-';
}

static bool is_path_char(char c)
{
        return c > ' ' && c < 0x7f;
}

/* Absolute, and never up: it is put behind a mount point. */
static bool is_good_path(const char *path)
{
        size_t n = strlen(path);

        return is_made_of(path, PLAN_PATH_MAX, is_path_char) && path[0] == '/' && !strstr(path, "/../") &&
               !(n >= 3 && strcmp(path + n - 3, "/..") == 0);
}

static bool is_good_fs(const struct plan_fs *fs)
{
        return is_made_of(fs->uuid, PLAN_UUID_MAX, is_uuid_char) && is_made_of(fs->type, PLAN_TYPE_MAX, is_type_char) &&
               is_good_path(fs->path);
}

static bool copy(char *to, size_t size, const char *from)
{
        if (!from || strlen(from) >= size)
                return false;
        strcpy(to, from);
        return true;
}

/* "UUID TYPE PATH"; TEXT is changed. */
static int parse_fs(char *text, struct plan_fs *fs)
{
        const char *uuid = strsep(&text, " "), *type = strsep(&text, " "), *path = strsep(&text, " ");

        return !text && copy(fs->uuid, sizeof(fs->uuid), uuid) && copy(fs->type, sizeof(fs->type), type) &&
                               copy(fs->path, sizeof(fs->path), path) && is_good_fs(fs)
                       ? 0
                       : -EINVAL;
}

static const char *const boot_states[] = {
        [PLAN_BOOT_HELD] = "held",
        [PLAN_BOOT_RELEASED] = "released",
        [PLAN_BOOT_UNFIT] = "unfit",
        [PLAN_BOOT_UNKNOWN] = "unknown",
};

const char *plan_boot_name(enum plan_boot state)
{
        return boot_states[state];
}

static int parse_boot(char *text, struct plan *plan)
{
        const char *state = strsep(&text, " ");

        for (size_t i = 0; i < ELEMENTS(boot_states); i++)
                if (text && strcmp(state, boot_states[i]) == 0) {
                        plan->boot_state = (enum plan_boot)i;
                        return parse_fs(text, &plan->boot);
                }
        return -EINVAL;
}

static int parse_machine(char *text, struct plan *plan)
{
        return copy(plan->machine, sizeof(plan->machine), text) &&
                               is_made_of(plan->machine, PLAN_UUID_MAX, is_uuid_char)
                       ? 0
                       : -EINVAL;
}

static int parse_mark(char *text, struct plan *plan)
{
        if (strlen(text) != MARK_WIDTH || mark_parse(text, MARK_WIDTH, &plan->mark, NULL) != MARK_OK ||
            plan->mark.state != MARK_ARMED || plan->mark.empty)
                return -EINVAL;
        memcpy(plan->text, text, MARK_WIDTH);
        return 0;
}

static int parse_size(char *text, struct plan *plan)
{
        char *end;

        errno = 0;
        plan->image_size = strtoull(text, &end, 10);
        return isdigit((unsigned char)text[0]) && !(text[0] == '0' && text[1]) && !*end && errno == 0 ? 0 : -EINVAL;
}

static int parse_yes_no(const char *text, bool *value)
{
        *value = strcmp(text, "yes") == 0;
        return *value || strcmp(text, "no") == 0 ? 0 : -EINVAL;
}

static int parse_bootbits(char *text, struct plan *plan)
{
        return parse_yes_no(text, &plan->bootbits);
}

static int parse_efi(char *text, struct plan *plan)
{
        return parse_yes_no(text, &plan->efi);
}

static int parse_held(char *text, struct plan *plan)
{
        return plan->n_held < PLAN_HELD_MAX ? parse_fs(text, &plan->held[plan->n_held++]) : -EINVAL;
}

static bool is_hook_char(char c)
{
        return c >= ' ' && c < 0x7f;
}

/* A name and at least one word. */
bool plan_is_hook(const char *text)
{
        const char *space = strchr(text, ' ');

        return space && space != text && space[1] && is_made_of(text, PLAN_PATH_MAX, is_hook_char);
}

static int parse_hook(char *text, struct plan *plan)
{
        if (plan->n_hooks == PLAN_HOOKS_MAX || !plan_is_hook(text))
                return -EINVAL;
        strcpy(plan->hooks[plan->n_hooks++], text);
        return 0;
}

/* ---- the text ---- */

/* The lines behind the first, in their order. */
static const struct {
        const char *key; /* with the space behind it */
        int (*parse)(char *text, struct plan *plan);
        bool often; /* 0 to many times, else once */
} lines[] = {
        { "machine ", parse_machine, false },   { "mark ", parse_mark, false }, { "image-size ", parse_size, false },
        { "bootbits ", parse_bootbits, false }, { "efi ", parse_efi, false },   { "boot ", parse_boot, false },
        { "held ", parse_held, true },          { "hook ", parse_hook, true },
};

/* The text of the next line, cut out of *REST, if it has KEY; else NULL, and *REST stays. */
static char *take(char **rest, const char *key)
{
        size_t len = strlen(key);

        return *rest && strncmp(*rest, key, len) == 0 ? strsep(rest, "\n") + len : NULL;
}

static int parse_lines(char *rest, struct plan *plan)
{
        char *text;
        int r;

        if (strcmp(strsep(&rest, "\n"), FIRST_LINE) != 0)
                return -EPROTO;
        for (size_t i = 0; i < ELEMENTS(lines); i++) {
                text = take(&rest, lines[i].key);
                if (!text && !lines[i].often)
                        return -EINVAL;
                for (; text; text = lines[i].often ? take(&rest, lines[i].key) : NULL) {
                        r = lines[i].parse(text, plan);
                        if (r < 0)
                                return r;
                }
        }
        return rest && !*rest ? 0 : -EINVAL;
}

int plan_parse(const char *text, size_t size, struct plan *plan)
{
        _cleanup_free_ char *body = NULL;

        memset(plan, 0, sizeof(*plan));
        if (size > PLAN_SIZE_MAX || !is_whole(text, size) || memchr(text, '\0', size))
                return -EBADMSG;
        if (strncmp(text, FAMILY, strlen(FAMILY)) != 0)
                return -EINVAL;
        body = xmalloc(size - CRC_LINE_LEN + 1);
        memcpy(body, text, size - CRC_LINE_LEN);
        body[size - CRC_LINE_LEN] = '\0';
        return parse_lines(body, plan);
}

static void put_fs(FILE *out, const struct plan_fs *fs)
{
        fprintf(out, "%s %s %s\n", fs->uuid, fs->type, fs->path);
}

/* Or a field with a newline in it would make lines of its own. */
static bool is_good(const struct plan *plan)
{
        bool good = is_made_of(plan->machine, PLAN_UUID_MAX, is_uuid_char) && is_good_fs(&plan->boot) &&
                    plan->n_held <= PLAN_HELD_MAX;

        for (unsigned int i = 0; i < plan->n_held && good; i++)
                good = is_good_fs(&plan->held[i]);
        return good;
}

char *plan_format(const struct plan *plan)
{
        FILE *out = NULL;
        char *text = NULL;
        size_t size;
        struct plan check;

        if (is_good(plan))
                out = open_memstream(&text, &size);
        if (!out)
                return NULL;
        fprintf(out, FIRST_LINE "\nmachine %s\nmark %.*s\nimage-size %" PRIu64 "\nbootbits %s\nefi %s\nboot %s ",
                plan->machine, MARK_WIDTH, plan->text, plan->image_size, plan->bootbits ? "yes" : "no",
                plan->efi ? "yes" : "no", plan_boot_name(plan->boot_state));
        put_fs(out, &plan->boot);
        for (unsigned int i = 0; i < plan->n_held; i++) {
                fputs("held ", out);
                put_fs(out, &plan->held[i]);
        }
        for (unsigned int i = 0; i < plan->n_hooks; i++)
                fprintf(out, "hook %s\n", plan->hooks[i]);
        if (fflush(out) == 0)
                fprintf(out, "crc %08" PRIx32 "\n", crc32(text, size));
        if (fclose(out) == 0 && plan_parse(text, size, &check) == 0)
                return text;
        free(text);
        return NULL;
}

int plan_read(const char *file, struct plan *plan)
{
        _cleanup_free_ char *text = NULL;
        struct stat st;
        ssize_t n;

        /* A pipe could keep us waiting for ever. */
        if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
                return refuse(
                        _("%s: not a file, so not a plan; make one with 'hibctl prepare' in the system that goes to "
                          "sleep"),
                        file);
        n = read_whole_file(file, PLAN_SIZE_MAX, &text);
        if (n < 0)
                return refuse(
                        _("%s: cannot read the plan: %s; make one with 'hibctl prepare' in the system that goes to "
                          "sleep"),
                        file, strerror((int)-n));
        switch (plan_parse(text, (size_t)n, plan)) {
        case 0:
                return EXIT_DONE;
        case -EPROTO:
                return refuse(
                        _("%s: the plan is of another version of hibctl; use the same one in the system that goes "
                          "to sleep and in the save kernel"),
                        file);
        case -EBADMSG:
                return refuse(_("%s: the plan is cut or damaged: its checksum is wrong; make it anew with 'hibctl "
                                "prepare'"),
                              file);
        default:
                return refuse(_("%s: not a plan that this version understands; make it anew with 'hibctl prepare'"),
                              file);
        }
}

/* Whether FILE is a plan, or a negative errno. What is not a file is none; nor is what a link leads to. */
static int is_plan(const char *file)
{
        char start[sizeof(FAMILY) - 1];
        _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        struct stat st;
        int r;

        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return 0;
        r = pread_all(fd, start, sizeof(start), 0);
        return r == -ENODATA ? 0 : r < 0 ? r : memcmp(start, FAMILY, sizeof(start)) == 0;
}

int plan_forget(const char *file)
{
        int r = is_plan(file);

        if (r > 0 && unlink(file) < 0 && errno != ENOENT)
                r = -errno;
        return r >= 0 ? EXIT_DONE
                      : fail(_("%s: cannot remove the plan, which may not be true any more: %s; remove it"), file,
                             strerror(-r));
}

void plan_this_machine(char out[PLAN_UUID_MAX + 1])
{
        _cleanup_free_ char *path = in_root("/sys/class/dmi/id/product_uuid");
        _cleanup_free_ char *text = NULL;

        strcpy(out, "-");
        if (read_whole_file(path, 4096, &text) < 0)
                return;
        text[strcspn(text, "\n")] = '\0';
        /* Firmware that was never told one has zeros or ones there. */
        if (strlen(text) != PLAN_UUID_MAX || !is_made_of(text, PLAN_UUID_MAX, is_uuid_char) ||
            strspn(text, "0-") == PLAN_UUID_MAX || strspn(text, "fF-") == PLAN_UUID_MAX)
                return;
        for (size_t i = 0; i <= PLAN_UUID_MAX; i++)
                out[i] = (char)tolower((unsigned char)text[i]);
}
