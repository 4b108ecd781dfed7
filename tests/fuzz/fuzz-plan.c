/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The plan's text: what is taken is written again as the same text, and says only what may be said.
 *
 * Input: flags (1 byte) and text. Flag 1: the right checksum is put behind it. Flag 2: the "@" in a line
 * "mark @" becomes a good mark, which is long.
 */
#include "fuzz.h"
#include "hibctl/plan.h"
#include "unit/refmark.h"

#define CRC_LINE 13

/* With a good mark for the "@" in the line "mark @". */
static char *with_mark(const char *text, size_t *size)
{
        static const char key[] = "\nmark @\n";
        struct refmark good = REF_GOOD;
        char *at = memmem(text, *size, key, strlen(key)), *out;
        size_t before;

        if (!at)
                return exact_copy(text, *size);
        before = (size_t)(at - text) + 6; /* to the blank */
        out = malloc(*size - 1 + REF_WIDTH);
        REQUIRE(out);
        memcpy(out, text, before);
        ref_write(&good, out + before);
        memcpy(out + before + REF_WIDTH, text + before + 1, *size - before - 1);
        *size += REF_WIDTH - 1;
        return out;
}

static char *with_checksum(const char *text, size_t *size)
{
        char *out = malloc(*size + CRC_LINE), line[CRC_LINE + 1];

        REQUIRE(out);
        memcpy(out, text, *size);
        snprintf(line, sizeof(line), "crc %08x\n", ref_crc32(0, text, *size));
        memcpy(out + *size, line, CRC_LINE);
        *size += CRC_LINE;
        return out;
}

static void check_fs(const struct plan_fs *fs)
{
        REQUIRE(fs->uuid[0] && strlen(fs->uuid) <= PLAN_UUID_MAX && !strpbrk(fs->uuid, " /\n\\\"'$"));
        REQUIRE(fs->type[0] && strlen(fs->type) <= PLAN_TYPE_MAX && !strpbrk(fs->type, " /\n\\\"'$,="));
        REQUIRE(fs->path[0] == '/' && strlen(fs->path) <= PLAN_PATH_MAX && !strpbrk(fs->path, " \t\n"));
        REQUIRE(!strstr(fs->path, "/../"));
        for (const char *c = fs->path; *c; c++)
                REQUIRE(*c > ' ' && *c < 0x7f);
}

static void check_plan(const struct plan *plan)
{
        REQUIRE(plan->machine[0] && strlen(plan->machine) <= PLAN_UUID_MAX);
        REQUIRE(plan->mark.state == MARK_ARMED && !plan->mark.empty);
        REQUIRE(plan->n_held <= PLAN_HELD_MAX);
        REQUIRE(plan->boot_state == PLAN_BOOT_HELD || plan->boot_state == PLAN_BOOT_RELEASED ||
                plan->boot_state == PLAN_BOOT_UNFIT || plan->boot_state == PLAN_BOOT_UNKNOWN);
        check_fs(&plan->boot);
        for (unsigned int i = 0; i < plan->n_held; i++)
                check_fs(&plan->held[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct plan plan, again;
        char *text, *before, *written;
        int r;

        if (size == 0)
                return 0;
        size_t len = size - 1;
        text = data[0] & 2 ? with_mark((const char *)data + 1, &len) : exact_copy(data + 1, len);
        if (data[0] & 1) {
                char *sealed = with_checksum(text, &len);
                free(text);
                text = sealed;
        }
        before = exact_copy(text, len);
        memset(&plan, 0x55, sizeof(plan));
        r = plan_parse(text, len, &plan);
        REQUIRE(memcmp(text, before, len) == 0);
        if (r == 0) {
                check_plan(&plan);
                written = plan_format(&plan);
                REQUIRE(written && strlen(written) == len && memcmp(written, text, len) == 0);
                REQUIRE(plan_parse(written, len, &again) == 0 && memcmp(&again, &plan, sizeof(plan)) == 0);
                free(written);
        }
        free(before);
        free(text);
        return 0;
}
