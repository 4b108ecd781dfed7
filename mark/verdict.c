/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "verdict.h"

/* For xgettext; the caller translates. */
#define N_(text) text

enum source_status source_read_block(const struct envblk *block, struct mark *mark, enum slot_status *slot, size_t *at)
{
        *slot = slot_find(block, at);
        if (*slot == SLOT_MISSING)
                return SOURCE_ABSENT;
        if (*slot != SLOT_FOUND)
                return SOURCE_DAMAGED;
        switch (mark_parse(block->buf + *at, MARK_WIDTH, mark, NULL)) {
        case MARK_OK:
                return SOURCE_VALID;
        case MARK_E_VERSION:
                return SOURCE_FUTURE;
        default:
                return SOURCE_DAMAGED;
        }
}

struct finding {
        enum verdict verdict;
        enum verdict_reason reason;
        bool decisive; /* an image is there, or must be taken to be: no later source is asked */
};

#define FINDING(v, r, d)                                                                                               \
        (struct finding)                                                                                               \
        {                                                                                                              \
                .verdict = (v), .reason = (r), .decisive = (d)                                                         \
        }

/* What to say when the image that a mark names is not there to be resumed. Not decisive: another source may know of
 * one that is. */
static struct finding judge_no_image(const struct source *s)
{
        bool taken = s->state == MARK_TAKEN;

        switch (s->image) {
        case IMAGE_NO_DEVICE:
                return FINDING(VERDICT_NORMAL, REASON_NO_DEVICE, false);
        case IMAGE_FOREIGN:
                return FINDING(VERDICT_NORMAL, REASON_FOREIGN, false);
        case IMAGE_GONE:
                return FINDING(VERDICT_NORMAL, taken ? REASON_SPENT : REASON_STALE, false);
        default:
                return FINDING(VERDICT_NORMAL, REASON_NOT_READABLE, false);
        }
}

/* The image is there, or the mark says that it must be believed. */
static struct finding judge_image(const struct source *s, bool seen)
{
        if (s->kernel != FILE_PRESENT)
                return FINDING(VERDICT_NORMAL, REASON_KERNEL_GONE, true);
        if (s->initrd == FILE_MISSING)
                return FINDING(VERDICT_NORMAL, REASON_INITRD_GONE, true);
        if (s->kind == SOURCE_CONFIGURED)
                return FINDING(VERDICT_OFFER, REASON_UNMARKED, true);
        if (s->state == MARK_TAKEN)
                return FINDING(VERDICT_OFFER, REASON_TRIED, true);
        if (!s->writable)
                return FINDING(VERDICT_OFFER, REASON_CANNOT_CONSUME, true);
        return FINDING(VERDICT_RESUME, seen ? REASON_READY : REASON_READY_HINT, true);
}

static struct finding judge_valid(const struct source *s)
{
        if (s->kind == SOURCE_CONFIGURED) {
                if (s->image == IMAGE_PRESENT)
                        return judge_image(s, true);
                return FINDING(VERDICT_NORMAL, s->image == IMAGE_FOREIGN ? REASON_FOREIGN : REASON_NOTHING, false);
        }
        if (s->state == MARK_NONE || s->empty)
                return FINDING(VERDICT_NORMAL, REASON_NOTHING, false);
        if (s->image == IMAGE_PRESENT)
                return judge_image(s, true);
        /* A hint excuses only what cannot be seen. Taken and not to be seen: whether the image still is there nobody
         * knows, so nothing is offered. */
        if (s->verify == MARK_VERIFY_HINT && s->image != IMAGE_GONE && s->image != IMAGE_FOREIGN)
                return s->state == MARK_TAKEN ? FINDING(VERDICT_NORMAL, REASON_SPENT, false) : judge_image(s, false);
        return judge_no_image(s);
}

static struct finding judge_source(const struct source *s)
{
        switch (s->status) {
        case SOURCE_VALID:
                return judge_valid(s);
        case SOURCE_DAMAGED:
                return FINDING(VERDICT_NORMAL, REASON_DAMAGED, false);
        case SOURCE_FUTURE:
                return FINDING(VERDICT_NORMAL, REASON_FUTURE, false);
        case SOURCE_UNREADABLE:
                return FINDING(VERDICT_NORMAL, REASON_SOURCE_UNREADABLE, false);
        default:
                return FINDING(VERDICT_NORMAL, REASON_NOTHING, false);
        }
}

void verdict_judge(const struct source *sources, size_t n, struct judgement *out)
{
        out->verdict = VERDICT_NORMAL;
        out->reason = REASON_NOTHING;
        out->source = n;

        for (size_t i = 0; i < n; i++) {
                struct finding f = judge_source(&sources[i]);

                /* Without a decisive source, the first one that has anything to say gives the reason. */
                if (f.decisive || (out->reason == REASON_NOTHING && f.reason != REASON_NOTHING)) {
                        out->verdict = f.verdict;
                        out->reason = f.reason;
                        out->source = i;
                }
                if (f.decisive)
                        return;
        }
}

static const struct {
        const char *name;
        const char *text;
} reasons[REASON_COUNT] = {
        [REASON_NOTHING] = { "nothing", N_("nothing is marked and no hibernation image was found") },
        [REASON_READY] = { "ready", N_("a hibernated session is marked and its image is there") },
        [REASON_READY_HINT] = { "ready-hint",
                                N_("a hibernated session is marked on a device that the boot loader cannot see") },
        [REASON_STALE] = { "stale", N_("the mark is stale: there is no hibernation image where it points") },
        [REASON_NO_DEVICE] = { "no-device", N_("the device that the mark names was not found, or not only once") },
        [REASON_NOT_READABLE] = { "not-readable", N_("the device that the mark names cannot be read") },
        [REASON_FOREIGN] = { "foreign", N_("the image is of a kind that the kernel does not resume by itself") },
        [REASON_KERNEL_GONE] = { "kernel-gone", N_("the kernel that the image needs is gone") },
        [REASON_INITRD_GONE] = { "initrd-gone", N_("the initial ramdisk that the image needs is gone") },
        [REASON_CANNOT_CONSUME] = { "cannot-consume",
                                    N_("the boot loader cannot write to the mark, so it does not resume by itself") },
        [REASON_TRIED] = { "tried", N_("one attempt to resume was made already; the image is still there") },
        [REASON_SPENT] = { "spent", N_("the mark was used already") },
        [REASON_UNMARKED] = { "unmarked", N_("there is a hibernation image that nobody marked") },
        [REASON_DAMAGED] = { "damaged", N_("the mark is damaged") },
        [REASON_FUTURE] = { "future", N_("the mark was written by a newer version") },
        [REASON_SOURCE_UNREADABLE] = { "source-unreadable", N_("the place of the mark cannot be read") },
};

const char *verdict_reason_text(enum verdict_reason reason)
{
        return reason < REASON_COUNT ? reasons[reason].text : "";
}

const char *verdict_reason_name(enum verdict_reason reason)
{
        return reason < REASON_COUNT ? reasons[reason].name : "";
}

const char *verdict_name(enum verdict verdict)
{
        switch (verdict) {
        case VERDICT_RESUME:
                return "resume";
        case VERDICT_OFFER:
                return "offer";
        default:
                return "normal";
        }
}

const char *source_kind_name(enum source_kind kind)
{
        switch (kind) {
        case SOURCE_ENV:
                return "env";
        case SOURCE_BOOTBITS:
                return "bootbits";
        case SOURCE_EFI:
                return "efi";
        case SOURCE_SYSTEMD:
                return "systemd";
        default:
                return "configured";
        }
}
