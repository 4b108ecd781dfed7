/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <stdlib.h>

#include "say.h"
#include "situation.h"

const struct store *const stores[N_STORES] = {
        [AT_ENV] = &store_env,
        [AT_BOOTBITS] = &store_bootbits,
};

static void look_at(struct situation *s, size_t i, const struct mark *mark)
{
        struct source *source = &s->sources[i];

        source->state = mark->state;
        source->empty = mark->empty;
        /* Whoever reads boot bits sees the image too. */
        source->verify = i == AT_BOOTBITS ? MARK_VERIFY_HEADER : mark->verify;
        if (mark->empty || mark->state == MARK_NONE)
                return;
        s->seen[i] = target_look_at_image(mark, NULL, &s->devices[i]);
        source->image = s->seen[i];
        if (source->verify == MARK_VERIFY_HINT)
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

static int look_at_store(struct situation *s, size_t i)
{
        struct source *source = &s->sources[i];
        struct reading *reading = &s->readings[i];
        int r = stores[i]->read(reading);

        source->status = reading->status;
        source->writable = reading->writable;
        if (source->status == SOURCE_VALID)
                look_at(s, i, &reading->mark);
        if (source->status == SOURCE_UNREADABLE)
                s->blind = true;
        return r;
}

/* The resume device that GRUB looks at is the one that grub.cfg names, whatever the running kernel is set to. */
static void look_at_configured(struct situation *s)
{
        const char *prefix = s->readings[AT_ENV].prefix;

        if (!prefix)
                return;
        if (grub_request_read(prefix, &s->request) < 0) {
                s->request.has_device = false;
                s->blind = true;
                return;
        }
        if (!s->request.has_device || !s->request.device.kernel[0]) /* without a kernel GRUB offers nothing */
                return;
        s->sources[AT_CONFIGURED].status = SOURCE_VALID;
        look_at(s, AT_CONFIGURED, &s->request.device);
}

int situation_open(struct situation *s, bool for_writing)
{
        struct whereabouts where = { 0 };
        int r, opened;

        *s = (struct situation){ 0 };
        for (size_t i = 0; i < N_STORES; i++)
                s->sources[i].kind = stores[i]->kind;
        s->sources[AT_CONFIGURED].kind = SOURCE_CONFIGURED;

        opened = store_env.open(&where, for_writing);
        r = look_at_store(s, AT_ENV);
        look_at_configured(s);
        /* Only there does GRUB look for boot bits. */
        where.area = s->request.has_device ? &s->request.device : NULL;
        store_bootbits.open(&where, for_writing);
        look_at_store(s, AT_BOOTBITS);
        verdict_judge(s->sources, N_SOURCES, &s->judgement);
        return opened != EXIT_DONE ? opened : r;
}

int situation_close(void)
{
        store_bootbits.close();
        return store_env.close();
}

void situation_free(struct situation *s)
{
        for (size_t i = 0; i < N_STORES; i++)
                reading_free(&s->readings[i]);
        for (size_t i = 0; i < N_SOURCES; i++) {
                free(s->devices[i]);
                s->devices[i] = NULL;
        }
}

bool situation_is_spent(const struct situation *s, size_t at)
{
        const struct source *source = &s->sources[at];

        if (s->readings[at].slot != SLOT_FOUND)
                return false;
        if (source->status == SOURCE_DAMAGED)
                return true;
        if (source->status != SOURCE_VALID || source->state == MARK_NONE)
                return false;
        /* Only what is certain: a device that cannot be read or found now may be there at the next power-on. */
        return source->empty || s->seen[at] == IMAGE_GONE ||
               (source->state == MARK_TAKEN && source->verify == MARK_VERIFY_HINT && s->seen[at] != IMAGE_PRESENT);
}

const struct mark *situation_mark(const struct situation *s, size_t at)
{
        if (at >= N_SOURCES || s->sources[at].status != SOURCE_VALID || s->sources[at].empty)
                return NULL;
        return at == AT_CONFIGURED ? &s->request.device : &s->readings[at].mark;
}
