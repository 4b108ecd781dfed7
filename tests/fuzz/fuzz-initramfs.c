/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A plan behind an initramfs of any bytes: what was there stays, the kernel finds the plan, and a plan takes the place of
 * the one before it.
 *
 * Input: flags (1 byte), length of the plan's text (2), the text, the image. Flag 1: the image already has a plan, of
 * this text; 2: of another one; 4: and then its last byte is cut off.
 */
#include <sys/stat.h>

#include "fuzz.h"
#include "hibctl/initramfs.h"
#include "hibctl/plan.h"
#include "quiet.h"

/* Only the file functions of initramfs.c call it; no file is written here. */
int envfile_replace(const char *path, const char *bytes, size_t size)
{
        (void)path, (void)bytes, (void)size;
        abort();
}

static size_t number(const char *header, int i)
{
        char digits[9] = "";

        memcpy(digits, header + 6 + 8 * i, 8);
        REQUIRE(strspn(digits, "0123456789abcdef") == 8);
        return strtoul(digits, NULL, 16);
}

/* As the kernel's init/initramfs.c reads it: from AT on an archive with two folders and the plan, and zeros behind it. */
static void check_archive(const char *data, size_t size, size_t at, const char *text)
{
        static const char *const names[] = { "etc", "etc/hibctl", "etc/hibctl/plan", "TRAILER!!!" };

        REQUIRE(at % 4 == 0);
        for (size_t i = 0; i < 4; i++) {
                REQUIRE(at + 110 <= size && memcmp(data + at, "070701", 6) == 0);
                size_t len = number(data + at, 6), name_len = number(data + at, 11);

                REQUIRE(name_len == strlen(names[i]) + 1 && memcmp(data + at + 110, names[i], name_len) == 0);
                at = (at + 110 + name_len + 3) / 4 * 4;
                REQUIRE(len == (i == 2 ? strlen(text) : 0) && at + len <= size);
                REQUIRE(memcmp(data + at, text, len) == 0);
                at = (at + len + 3) / 4 * 4;
        }
        for (; at < size; at++)
                REQUIRE(data[at] == '\0');
}

/* The image with the plan; *SIZE is its length before and after. Frees what it was given. */
static char *put_plan(char *image, size_t *size, const char *text)
{
        char *before = exact_copy(image, *size), *out;
        size_t new_size;

        out = initramfs_with_plan(image, *size, text, &new_size);
        REQUIRE(memcmp(image, before, *size) == 0);
        free(before);
        free(image);
        *size = new_size;
        return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t text_len, len, kept, again_len;
        char *text, *image, *again;

        if (size < 3)
                return 0;
        text_len = (size_t)(data[1] | data[2] << 8);
        if (text_len > size - 3 || text_len > PLAN_SIZE_MAX)
                return 0;
        text = malloc(text_len + 1);
        REQUIRE(text);
        memcpy(text, data + 3, text_len);
        text[text_len] = '\0';
        len = size - 3 - text_len;
        image = exact_copy(data + 3 + text_len, len);
        kept = len;
        if (data[0] & 3)
                image = put_plan(image, &len, data[0] & 1 ? text : "another plan\n");
        if (data[0] & 4 && len > 0)
                len--;
        image = put_plan(image, &len, text);

        /* The archive begins where it fits into the rest, and before it there is nothing but what was there. */
        again = exact_copy(image, len);
        again_len = len;
        again = put_plan(again, &again_len, text);
        REQUIRE(again_len == len && memcmp(again, image, len) == 0);
        size_t archive = (116 + 124 + 128 + (strlen(text) + 3) / 4 * 4 + 124 + 511) / 512 * 512;
        REQUIRE(archive <= len);
        check_archive(image, len, len - archive, text);
        if (!(data[0] & 4))
                REQUIRE(len - archive <= (kept + 3) / 4 * 4);
        free(again);
        free(image);
        free(text);
        return 0;
}
