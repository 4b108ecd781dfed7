/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "verdict.h"

#include "bytes.h"

/* For xgettext; the caller translates. */
#define N_(text) text

enum source_status source_read_text(const void *text, size_t n, struct mark *mark)
{
        if (n == 0)
                return SOURCE_ABSENT;
        switch (mark_parse(text, n, mark, NULL)) {
        case MARK_OK:
                return SOURCE_VALID;
        case MARK_E_VERSION:
                return SOURCE_FUTURE;
        default:
                return SOURCE_DAMAGED;
        }
}

enum source_status source_read_block(const struct envblk *block, struct mark *mark, enum slot_status *slot, size_t *at)
{
        *slot = slot_find(block, at);
        if (*slot == SLOT_MISSING)
                return SOURCE_ABSENT;
        if (*slot != SLOT_FOUND)
                return SOURCE_DAMAGED;
        return source_read_text(block->buf + *at, MARK_WIDTH, mark);
}

/* ---- systemd's HibernateLocation ---- */

/* Text in the field of a mark; one that does not fit is no text. */
struct field {
        char *text;
        size_t len, max;
        bool fits;
};

static struct field start(char *text, size_t max)
{
        struct field field = { text, 0, max, true };

        text[0] = '\0';
        return field;
}

static void append(struct field *field, const char *text, size_t len)
{
        if (!field->fits || len > field->max - field->len) {
                field->fits = false;
                field->len = 0;
        } else {
                bytes_move(field->text + field->len, text, len);
                field->len += len;
        }
        field->text[field->len] = '\0';
}

static void set(char *to, size_t max, const char *text)
{
        struct field field = start(to, max);

        append(&field, text, bytes_strlen(text));
}

enum source_status source_read_location(const void *bytes, size_t n, struct mark *mark, enum location_error *error)
{
        enum location_error ignored;
        struct location location;
        struct field image;

        error = error ? error : &ignored;
        *error = LOCATION_OK;
        if (n == 0)
                return SOURCE_ABSENT;
        *error = location_parse(bytes, n, &location);
        if (*error != LOCATION_OK)
                return SOURCE_DAMAGED;

        mark->state = MARK_ARMED;
        mark->empty = false;
        mark->id[0] = mark->fs_uuid[0] = mark->kernel[0] = mark->initrd[0] = mark->time[0] = '\0';
        image = start(mark->image, MARK_IMAGE_MAX);
        append(&image, "UUID=", 5);
        append(&image, location.uuid, bytes_strlen(location.uuid));
        mark->offset = location.offset;
        mark->page_size = LOCATION_PAGE;
        set(mark->release, MARK_RELEASE_MAX, location.kernel_version);
        mark->verify = MARK_VERIFY_HEADER;
        return SOURCE_VALID;
}

/* What may stand around a kernel's release in the name of a file. */
struct file_name {
        const char *before, *after;
};

/* As 10_linux and 06_hibctl look for them. */
static const struct file_name kernel_names[] = { { "vmlinuz-", "" }, { "kernel-", "" } };
static const struct file_name initrd_names[] = {
        { "initrd.img-", "" }, { "initrd-", ".img" }, { "initrd-", ".gz" }, { "initrd-", "" }, { "initramfs-", ".img" },
};

struct folder {
        const char *path; /* of the configured kernel, up to and with its last slash */
        size_t len;
        const char *release;
        enum file_state (*look)(void *data, const char *path);
        void *data;
};

static void file_path(char path[MARK_PATH_MAX + 1], const struct folder *folder, const struct file_name *name)
{
        struct field field = start(path, MARK_PATH_MAX);

        append(&field, folder->path, folder->len);
        append(&field, name->before, bytes_strlen(name->before));
        append(&field, folder->release, bytes_strlen(folder->release));
        append(&field, name->after, bytes_strlen(name->after));
}

/* The first of N names that is there; PATH is the first of all if none is. */
static enum file_state find_file(const struct folder *folder, const struct file_name *names, size_t n,
                                 char path[MARK_PATH_MAX + 1])
{
        for (size_t i = 0; i < n; i++) {
                file_path(path, folder, &names[i]);
                if (path[0] != '\0' && folder->look(folder->data, path) == FILE_PRESENT)
                        return FILE_PRESENT;
        }
        file_path(path, folder, &names[0]);
        return FILE_MISSING;
}

static size_t folder_len(const char *path)
{
        size_t len = bytes_strlen(path);

        while (len > 0 && path[len - 1] != '/')
                len--;
        return len;
}

void source_find_files(struct mark *mark, const struct mark *configured,
                       enum file_state (*look)(void *data, const char *path), void *data, struct source *facts)
{
        struct folder folder = { configured->kernel, folder_len(configured->kernel), mark->release, look, data };
        bool configured_one = mark->release[0] == '\0';

        set(mark->fs_uuid, MARK_UUID_MAX, configured->fs_uuid);
        mark->kernel[0] = mark->initrd[0] = '\0';
        facts->kernel = FILE_MISSING;
        facts->initrd = FILE_NOT_LOOKED;
        if (folder.len == 0)
                return;

        if (configured_one) {
                set(mark->kernel, MARK_PATH_MAX, configured->kernel);
                facts->kernel = look(data, mark->kernel);
        } else
                facts->kernel =
                        find_file(&folder, kernel_names, sizeof(kernel_names) / sizeof(kernel_names[0]), mark->kernel);
        /* A system whose configured kernel needs no initrd has none for the others either. */
        if (facts->kernel != FILE_PRESENT || configured->initrd[0] == '\0')
                return;
        if (configured_one) {
                set(mark->initrd, MARK_PATH_MAX, configured->initrd);
                facts->initrd = look(data, mark->initrd);
        } else
                facts->initrd =
                        find_file(&folder, initrd_names, sizeof(initrd_names) / sizeof(initrd_names[0]), mark->initrd);
}

enum image_state source_look_at_page(const uint8_t *page, uint32_t page_size, struct image_header *header)
{
        switch (image_probe_page(page, page_size, page_size, header)) {
        case IMAGE_SWSUSP:
                return IMAGE_PRESENT;
        case IMAGE_NONE:
        case IMAGE_SWAP:
                return IMAGE_GONE;
        default:
                return IMAGE_FOREIGN;
        }
}

/* ---- judging ---- */

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
         * knows, so nothing is offered. systemd's variable is no mark that somebody made for us: it excuses nothing. */
        if (s->verify == MARK_VERIFY_HINT && s->kind != SOURCE_SYSTEMD && s->image != IMAGE_GONE &&
            s->image != IMAGE_FOREIGN)
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
