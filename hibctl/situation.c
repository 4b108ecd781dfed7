/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "globals.h"
#include "say.h"
#include "situation.h"

#define GRUB_CFG_MAX (4 * 1024 * 1024)

static void look_at(struct situation *s, size_t i, const struct mark *mark)
{
        struct source *source = &s->sources[i];

        source->state = mark->state;
        source->empty = mark->empty;
        source->verify = mark->verify;
        if (mark->empty || mark->state == MARK_NONE)
                return;
        s->seen[i] = target_look_at_image(mark, NULL, &s->devices[i]);
        source->image = s->seen[i];
        if (mark->verify == MARK_VERIFY_HINT) /* not for the boot loader to see */
                source->image = i == AT_CONFIGURED ? IMAGE_NO_DEVICE : IMAGE_NOT_LOOKED;
        if (source->image == IMAGE_NOT_READABLE)
                s->blind = true;
        if (i == AT_CONFIGURED) {
                /* Its kernel is chosen when grub.cfg is made; that it is there is not for us to see. */
                source->kernel = source->initrd = FILE_PRESENT;
                return;
        }
        source->kernel = target_look_at_file(mark->fs_uuid, mark->kernel);
        source->initrd = mark->initrd[0] ? target_look_at_file(mark->fs_uuid, mark->initrd) : FILE_NOT_LOOKED;
        if (source->kernel == FILE_NOT_LOOKED && source->image == IMAGE_PRESENT)
                s->blind = true;
}

static void look_at_env(struct situation *s)
{
        struct source *source = &s->sources[AT_ENV];

        source->status = s->env.status;
        source->writable = s->env.writable;
        if (s->env.status == SOURCE_VALID)
                look_at(s, AT_ENV, &s->env.mark);
        if (s->env.status == SOURCE_UNREADABLE)
                s->blind = true;
}

int grub_asks_for_mark(const char *prefix)
{
        _cleanup_free_ char *path = xasprintf("%s/grub.cfg", prefix);
        _cleanup_free_ char *text = NULL;
        ssize_t n = read_whole_file(path, GRUB_CFG_MAX, &text);

        if (n == -ENOENT)
                return 0;
        return n < 0 ? (int)n : strstr(text, "hibresume probe") != NULL;
}

int situation_read(struct situation *s)
{
        int r;

        *s = (struct situation){ 0 };
        s->sources[AT_ENV].kind = SOURCE_ENV;
        s->sources[AT_CONFIGURED].kind = SOURCE_CONFIGURED;
        r = store_env.read(&s->env);
        look_at_env(s);
        if (target_configured(&s->configured)) {
                s->sources[AT_CONFIGURED].status = SOURCE_VALID;
                look_at(s, AT_CONFIGURED, &s->configured);
        }
        int asks = s->env.prefix ? grub_asks_for_mark(s->env.prefix) : 0;
        s->grub_asks = asks != 0;
        s->blind |= asks < 0;
        verdict_judge(s->sources, N_SOURCES, &s->judgement);
        return r;
}

void situation_free(struct situation *s)
{
        reading_free(&s->env);
        for (size_t i = 0; i < N_SOURCES; i++) {
                free(s->devices[i]);
                s->devices[i] = NULL;
        }
}

bool situation_is_spent(const struct situation *s)
{
        const struct source *env = &s->sources[AT_ENV];

        if (s->env.slot != SLOT_FOUND)
                return false;
        if (env->status == SOURCE_DAMAGED)
                return true;
        if (env->status != SOURCE_VALID || env->state == MARK_NONE)
                return false;
        /* Only what is certain: a device that cannot be read or found now may be there at the next power-on. */
        return env->empty || s->seen[AT_ENV] == IMAGE_GONE ||
               (env->state == MARK_TAKEN && env->verify == MARK_VERIFY_HINT && s->seen[AT_ENV] != IMAGE_PRESENT);
}
