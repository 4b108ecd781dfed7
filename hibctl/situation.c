/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <stdlib.h>

#include "situation.h"

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
        if (mark->verify == MARK_VERIFY_HINT)
                source->image = IMAGE_NOT_LOOKED;
        else if (s->devices[i] && target_how_to_verify(s->devices[i]) == MARK_VERIFY_HINT)
                source->image = IMAGE_NO_DEVICE; /* the boot loader does not see it */
        if (source->image == IMAGE_NOT_READABLE)
                s->blind = true;
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

/* The resume device that GRUB looks at is the one that grub.cfg names, whatever the running kernel is set to. */
static void look_at_configured(struct situation *s)
{
        if (!s->env.prefix)
                return;
        if (grub_request_read(s->env.prefix, &s->request) < 0) {
                s->blind = true;
                return;
        }
        if (!s->request.has_device)
                return;
        s->sources[AT_CONFIGURED].status = SOURCE_VALID;
        look_at(s, AT_CONFIGURED, &s->request.device);
}

int situation_read(struct situation *s)
{
        int r;

        *s = (struct situation){ 0 };
        s->sources[AT_ENV].kind = SOURCE_ENV;
        s->sources[AT_CONFIGURED].kind = SOURCE_CONFIGURED;
        r = store_env.read(&s->env);
        look_at_env(s);
        look_at_configured(s);
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
