/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "grubcfg.h"
#include "mark/image.h"
#include "util.h"

#define GRUB_CFG_MAX (4 * 1024 * 1024)
#define OFFSET_LIMIT (UINT64_C(1) << 44) /* pages, as in a mark */

const char *const grub_platforms[N_GRUB_PLATFORMS] = { "x86_64-efi", "i386-pc" };

/* The next word of a line of GRUB script, unquoted in place, or NULL at its end. Only what 06_hibctl writes is
 * understood: plain words, '...' and \'. *OK turns false for what means more than itself. */
static char *next_word(char **line, bool *ok)
{
        char *from = *line + strspn(*line, " \t"), *word = from, *to = from;
        bool quoted = false;

        if (!*from)
                return NULL;
        for (; *from && (quoted || !strchr(" \t", *from)); from++) {
                if (*from == '\'')
                        quoted = !quoted;
                else if (!quoted && *from == '\\' && from[1])
                        *to++ = *++from;
                else if (!quoted && strchr("$\";&|<>{}\\", *from))
                        *ok = false;
                else
                        *to++ = *from;
        }
        *ok = *ok && !quoted;
        *line = *from ? from + 1 : from;
        *to = '\0';
        return word;
}

static bool set_text(char *to, size_t size, const char *value)
{
        if (strlen(value) >= size)
                return false;
        strcpy(to, value);
        return true;
}

static bool set_number(uint64_t *number, const char *value)
{
        char *end;

        errno = 0;
        *number = strtoull(value, &end, 10);
        return errno == 0 && value[0] >= '0' && value[0] <= '9' && !*end && *number < OFFSET_LIMIT;
}

static bool set_page_size(uint32_t *size, const char *value)
{
        uint64_t n;

        if (!set_number(&n, value) || n < IMAGE_PAGE_MIN || n > IMAGE_PAGE_MAX || (n & (n - 1)) != 0)
                return false;
        *size = (uint32_t)n;
        return true;
}

/* The options of the module's "probe". */
static bool set_option(struct grub_request *out, const char *option, const char *value)
{
        struct mark *device = &out->device;

        if (strcmp(option, "--device") == 0) {
                out->has_device = true;
                return (strncmp(value, "UUID=", 5) == 0 || strncmp(value, "PARTUUID=", 9) == 0) &&
                       set_text(device->image, sizeof(device->image), value);
        }
        if (strcmp(option, "--offset") == 0)
                return set_number(&device->offset, value);
        if (strcmp(option, "--page-size") == 0)
                return set_page_size(&device->page_size, value);
        if (strcmp(option, "--fs") == 0)
                return set_text(device->fs_uuid, sizeof(device->fs_uuid), value);
        if (strcmp(option, "--kernel") == 0)
                return set_text(device->kernel, sizeof(device->kernel), value);
        if (strcmp(option, "--initrd") == 0)
                return set_text(device->initrd, sizeof(device->initrd), value);
        return false; /* --env too: then the block is one that we do not look at */
}

/* Whether LINE is the line; then OUT is filled in, or *OK is false. */
static bool parse_line(char *line, struct grub_request *out, bool *ok)
{
        bool plain = true;
        const char *option, *value, *word = next_word(&line, &plain);

        if (!word || strcmp(word, "hibresume") != 0)
                return false;
        word = next_word(&line, &plain);
        if (!word || strcmp(word, "probe") != 0)
                return false;
        while ((option = next_word(&line, &plain))) {
                value = next_word(&line, &plain);
                if (!value || !set_option(out, option, value))
                        *ok = false;
        }
        *ok = *ok && plain;
        return true;
}

int grub_request_parse(char *text, struct grub_request *out)
{
        bool ok = true;

        *out = (struct grub_request){ .device = { .state = MARK_ARMED, .page_size = IMAGE_PAGE_MIN } };
        for (char *line; (line = strsep(&text, "\n"));)
                if (parse_line(line, out, &ok)) {
                        ok = ok && !out->asks;
                        out->asks = true;
                }
        return ok ? 0 : -EBADMSG;
}

int grub_request_read(const char *prefix, struct grub_request *out)
{
        _cleanup_free_ char *path = xasprintf("%s/grub.cfg", prefix);
        _cleanup_free_ char *text = NULL;
        ssize_t n = read_whole_file(path, GRUB_CFG_MAX, &text);

        *out = (struct grub_request){ .asks = false };
        if (n == -ENOENT)
                return 0;
        return n < 0 ? (int)n : grub_request_parse(text, out);
}
