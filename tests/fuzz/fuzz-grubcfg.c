/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The "hibresume probe" line of grub.cfg, among any others: what is understood is what the module will be told.
 *
 * Input: text.
 */
#include <errno.h>

#include "fuzz.h"
#include "hibctl/grubcfg.h"
#include "mark/image.h"
#include "quiet.h"

static int parse(const char *from, size_t n, struct grub_request *out)
{
        char *text = malloc(n + 1);
        int r;

        REQUIRE(text);
        memcpy(text, from, n);
        text[n] = '\0';
        r = grub_request_parse(text, out);
        free(text);
        return r;
}

static void check_request(const struct grub_request *request)
{
        const struct mark *d = &request->device;

        REQUIRE(d->state == MARK_ARMED && !d->empty && !d->id[0] && !d->time[0] && !d->release[0]);
        REQUIRE(request->has_device == (d->image[0] != '\0'));
        REQUIRE(!request->has_device || strncmp(d->image, "UUID=", 5) == 0 || strncmp(d->image, "PARTUUID=", 9) == 0);
        REQUIRE(d->offset < UINT64_C(1) << 44);
        REQUIRE(d->page_size >= IMAGE_PAGE_MIN && d->page_size <= IMAGE_PAGE_MAX);
        REQUIRE((d->page_size & (d->page_size - 1)) == 0);
        REQUIRE(strnlen(d->image, sizeof(d->image)) < sizeof(d->image));
        REQUIRE(strnlen(d->fs_uuid, sizeof(d->fs_uuid)) < sizeof(d->fs_uuid));
        REQUIRE(strnlen(d->kernel, sizeof(d->kernel)) < sizeof(d->kernel));
        REQUIRE(strnlen(d->initrd, sizeof(d->initrd)) < sizeof(d->initrd));
}

/* As 06_hibctl writes it. */
static size_t quote(char *line, size_t len, const char *option, const char *value)
{
        len += (size_t)sprintf(line + len, " %s '", option);
        for (; *value; value++)
                len += (size_t)sprintf(line + len, *value == '\'' ? "'\\''" : "%c", *value);
        return len + (size_t)sprintf(line + len, "'");
}

/* The same request, written anew, is understood as the same. */
static void check_again(const struct grub_request *request)
{
        const struct mark *d = &request->device;
        char line[4096] = "hibresume probe", number[32];
        struct grub_request again;
        size_t len = strlen(line);

        if (request->has_device)
                len = quote(line, len, "--device", d->image);
        snprintf(number, sizeof(number), "%llu", (unsigned long long)d->offset);
        len = quote(line, len, "--offset", number);
        snprintf(number, sizeof(number), "%u", d->page_size);
        len = quote(line, len, "--page-size", number);
        len = quote(line, len, "--fs", d->fs_uuid);
        len = quote(line, len, "--kernel", d->kernel);
        len = quote(line, len, "--initrd", d->initrd);
        REQUIRE(parse(line, len, &again) == 0 && again.asks && again.has_device == request->has_device);
        REQUIRE(strcmp(again.device.image, d->image) == 0 && again.device.offset == d->offset);
        REQUIRE(again.device.page_size == d->page_size && strcmp(again.device.fs_uuid, d->fs_uuid) == 0);
        REQUIRE(strcmp(again.device.kernel, d->kernel) == 0 && strcmp(again.device.initrd, d->initrd) == 0);
}

/* A word that the text only has if GRUB sees it, too: nothing else can be the line. */
static bool has_word(const uint8_t *data, size_t size)
{
        return memmem(data, size, "probe", 5) || memchr(data, '\\', size) || memchr(data, '\'', size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct grub_request request;
        int r = parse((const char *)data, size, &request);

        REQUIRE(r == 0 || r == -EBADMSG);
        if (r == 0) {
                REQUIRE(!request.asks || has_word(data, size));
                check_request(&request);
                if (request.asks)
                        check_again(&request);
        }
        return 0;
}
