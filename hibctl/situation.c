/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "globals.h"
#include "grubcfg.h"
#include "say.h"
#include "situation.h"
#include "store-efi.h"

const struct store *const stores[N_STORES] = {
        [AT_ENV] = &store_env,
        [AT_BOOTBITS] = &store_bootbits,
        [AT_EFI] = &store_efi,
};

static void look_at_the_image(struct situation *s, size_t i, const struct mark *mark)
{
        struct source *source = &s->sources[i];
        enum mark_verify verify = MARK_VERIFY_HEADER;

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
        else if (s->devices[i] && target_how_to_verify(s->devices[i], &verify) < 0)
                source->image = IMAGE_NOT_READABLE;
        else if (verify == MARK_VERIFY_HINT)
                source->image = IMAGE_NO_DEVICE; /* the boot loader does not see it */
        s->unseen[i] = source->image == IMAGE_NOT_READABLE;
}

/* Whether the verdict depends on the files: a hint is believed without a look at the image. */
static bool needs_files(const struct source *source)
{
        return source->image == IMAGE_PRESENT ||
               (source->verify == MARK_VERIFY_HINT && source->image == IMAGE_NOT_LOOKED && source->state == MARK_ARMED);
}

static void look_at(struct situation *s, size_t i, const struct mark *mark)
{
        const char *prefix = s->readings[AT_ENV].prefix;
        struct source *source = &s->sources[i];

        look_at_the_image(s, i, mark);
        if (mark->empty || mark->state == MARK_NONE)
                return;
        source->kernel = target_look_at_file(prefix, mark->fs_uuid, mark->kernel);
        if (mark->initrd[0])
                source->initrd = target_look_at_file(prefix, mark->fs_uuid, mark->initrd);
        if (needs_files(source) &&
            (source->kernel == FILE_NOT_LOOKED || (mark->initrd[0] && source->initrd == FILE_NOT_LOOKED)))
                s->unseen[i] = true;
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
                s->unseen[i] = true;
        return r;
}

/* A note that cannot be compared, because the image's page cannot be read, is as with GRUB an image that cannot. */
static void look_at_systemd(struct situation *s)
{
        struct source *source = &s->sources[AT_SYSTEMD];
        bool blind;

        source->status = systemd_read(&s->systemd);
        source->writable = true; /* GRUB writes a note of its own */
        s->unseen[AT_SYSTEMD] = source->status == SOURCE_UNREADABLE;
        if (source->status != SOURCE_VALID)
                return;
        look_at_the_image(s, AT_SYSTEMD, &s->systemd.mark);
        systemd_find_files(&s->systemd, s->readings[AT_ENV].prefix, &s->request.device, source, &blind);
        if (source->image != IMAGE_PRESENT)
                return;
        s->unseen[AT_SYSTEMD] = blind;
        if (systemd_look_for_try(&s->systemd, s->devices[AT_SYSTEMD]) < 0) {
                source->image = IMAGE_NOT_READABLE;
                s->unseen[AT_SYSTEMD] = true;
        }
        if (s->systemd.tried)
                source->state = MARK_TAKEN;
}

/* The resume device that GRUB looks at is the one that grub.cfg names, whatever the running kernel is set to. */
static void look_at_configured(struct situation *s)
{
        const char *prefix = s->readings[AT_ENV].prefix;
        int r;

        if (!prefix)
                return;
        r = grub_request_read(prefix, &s->request);
        if (r < 0) {
                s->no_request = r != -EBADMSG; /* which GRUB reads no better */
                s->request = (struct grub_request){ .asks = s->request.asks };
                s->blind = true;
                return;
        }
        if (!s->request.has_device || !s->request.device.kernel[0]) /* without a kernel GRUB offers nothing */
                return;
        s->sources[AT_CONFIGURED].status = SOURCE_VALID;
        look_at(s, AT_CONFIGURED, &s->request.device);
}

/* Whether the script that stands in for a module that GRUB does not load may do something else than was judged. It
 * believes an armed mark in the environment block without a look at image or checksum, and sees nothing else. */
static bool script_differs(const struct situation *s)
{
        struct source env = s->sources[AT_ENV];
        struct judgement j;

        if (env.status == SOURCE_DAMAGED)
                return true;
        if (env.status == SOURCE_VALID && env.state == MARK_ARMED && env.kernel == FILE_NOT_LOOKED)
                return true;
        env.verify = MARK_VERIFY_HINT;
        env.image = IMAGE_NOT_LOOKED;
        verdict_judge(&env, 1, &j);
        /* The same verdict, but not by the same mark? And where it cannot take the mark, it finds out too late. */
        return j.verdict != s->judgement.verdict || (j.verdict != VERDICT_NORMAL && s->judgement.source != AT_ENV) ||
               j.reason == REASON_CANNOT_CONSUME;
}

/* What comes after the source that decides is not asked. Under Secure Boot GRUB loads no module, unless that is part of
 * a GRUB that somebody has signed: that cannot be told from here. */
static bool is_blind(const struct situation *s)
{
        const struct judgement *j = &s->judgement;
        bool decided = j->verdict != VERDICT_NORMAL;

        for (size_t i = 0; i < N_SOURCES && (!decided || i <= j->source); i++)
                if (s->unseen[i])
                        return true;
        return (s->secure_boot || s->lacks_module) && script_differs(s);
}

/* Whether GRUB, as this machine starts it, is installed in PREFIX without the module. */
static bool lacks_module(const char *prefix)
{
        const char *kind = uefi_access() == UEFI_NO_FIRMWARE ? "-pc" : "-efi";

        for (size_t i = 0; i < N_GRUB_PLATFORMS; i++) {
                _cleanup_free_ char *folder = xasprintf("%s/%s", prefix, grub_platforms[i]);
                _cleanup_free_ char *path = xasprintf("%s/%s", folder, GRUB_MODULE_NAME);

                if (strcmp(strrchr(grub_platforms[i], '-'), kind) == 0 && access(folder, F_OK) == 0)
                        return access(path, F_OK) != 0;
        }
        return false;
}

static void look_at_firmware(struct situation *s)
{
        _cleanup_free_ char *folder = NULL;

        s->secure_boot = uefi_secure_boot();
        s->has_module = s->readings[AT_ENV].prefix && efi_has_module(s->readings[AT_ENV].prefix, &folder);
        s->lacks_module = s->readings[AT_ENV].prefix && lacks_module(s->readings[AT_ENV].prefix);
}

int situation_open(struct situation *s, bool for_writing)
{
        struct whereabouts where = { .or_read = true };
        int r, opened;

        *s = (struct situation){ 0 };
        for (size_t i = 0; i < N_STORES; i++)
                s->sources[i].kind = stores[i]->kind;
        s->sources[AT_SYSTEMD].kind = SOURCE_SYSTEMD;
        s->sources[AT_CONFIGURED].kind = SOURCE_CONFIGURED;

        opened = store_env.open(&where, for_writing);
        r = look_at_store(s, AT_ENV);
        look_at_configured(s);
        /* Only there does GRUB look for boot bits. */
        where.area = s->request.has_device ? &s->request.device : NULL;
        store_bootbits.open(&where, for_writing);
        look_at_store(s, AT_BOOTBITS);
        store_efi.open(&where, for_writing);
        look_at_store(s, AT_EFI);
        look_at_systemd(s);
        look_at_firmware(s);
        verdict_judge(s->sources, N_SOURCES, &s->judgement);
        s->blind = s->blind || is_blind(s);
        return opened != EXIT_DONE ? opened : r;
}

int situation_close(void)
{
        store_efi.close();
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

/* Another kernel of this system may have been started instead of the one that was marked. */
static bool is_release_here(const char *release)
{
        _cleanup_free_ char *name = xasprintf("/lib/modules/%s/", release), *path = in_root(name);
        struct utsname uts;

        if (uname(&uts) == 0 && strcmp(release, uts.release) == 0)
                return true;
        return release[0] && release[0] != '.' && !is_missing(path);
}

bool situation_is_own(const struct situation *s, size_t at)
{
        const struct mark *mark = situation_mark(s, at);
        struct mark here;

        if (!mark)
                return false;
        return is_release_here(mark->release) || (target_configured(&here) && target_compare_areas(mark, &here) != 0);
}

static bool is_of_this_boot(const struct mark *mark)
{
        struct timespec up;
        struct tm tm = { 0 };
        const char *end = strptime(mark->time, "%Y-%m-%dT%H:%M:%S%z", &tm);
        long east = tm.tm_gmtoff;

        return end && clock_gettime(CLOCK_BOOTTIME, &up) == 0 && timegm(&tm) - east >= time(NULL) - up.tv_sec;
}

bool situation_awaits_image(const struct situation *s, size_t at)
{
        const struct mark *mark = at < N_STORES ? situation_mark(s, at) : NULL;

        return mark && s->sources[at].state == MARK_ARMED && s->seen[at] == IMAGE_GONE && is_of_this_boot(mark);
}

bool situation_systemd_is_live(const struct situation *s)
{
        enum image_state seen = s->seen[AT_SYSTEMD];

        return s->sources[AT_SYSTEMD].status == SOURCE_VALID && seen != IMAGE_GONE && seen != IMAGE_FOREIGN;
}

const struct mark *situation_mark(const struct situation *s, size_t at)
{
        if (at >= N_SOURCES || s->sources[at].status != SOURCE_VALID || s->sources[at].empty)
                return NULL;
        return at == AT_CONFIGURED ? &s->request.device : at == AT_SYSTEMD ? &s->systemd.mark : &s->readings[at].mark;
}
