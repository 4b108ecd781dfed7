/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl status: what the next power-on will do, and why.
 */
#include "config.h"

#include <string.h>

#include "command.h"
#include "globals.h"
#include "hibernation.h"
#include "json.h"
#include "look.h"
#include "situation.h"
#include "store-efi.h"
#include "unmarked.h"

static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

/* ---- words ---- */

static const char *image_words(enum image_state state)
{
        static const char *const words[] = {
                [IMAGE_NOT_LOOKED] = N_("not looked at"),
                [IMAGE_NO_DEVICE] = N_("the device is not there"),
                [IMAGE_NOT_READABLE] = N_("cannot be read; run it as root"),
                [IMAGE_GONE] = N_("no image there"),
                [IMAGE_PRESENT] = N_("image there"),
                [IMAGE_FOREIGN] = N_("an image of another kind"),
        };

        return _(words[state]);
}

static const char *file_words(enum file_state state)
{
        return state == FILE_PRESENT ? _("there") : state == FILE_MISSING ? _("gone") : _("not looked at");
}

static const char *decisive_device(const struct situation *s)
{
        size_t i = s->judgement.source;

        return i < N_SOURCES && s->devices[i] ? s->devices[i] : _("the marked device");
}

/* Whether GRUB would resume by the mark that decided, if only the image were there. */
static bool awaits_its_image(const struct situation *s)
{
        size_t at = s->judgement.source;
        struct source sources[N_SOURCES];
        struct judgement then;

        if (!s->request.asks || !situation_awaits_image(s, at))
                return false;
        memcpy(sources, s->sources, sizeof(sources));
        sources[at].image = IMAGE_PRESENT;
        verdict_judge(sources, N_SOURCES, &then);
        return then.verdict == VERDICT_RESUME && then.source == at;
}

/* The first line: what will happen. The caller frees. */
static char *headline(const struct situation *s)
{
        const char *why = _(verdict_reason_text(s->judgement.reason));
        const struct mark *mark;

        if (s->blind)
                return xasprintf(
                        _("What the next power-on does cannot be told from here: a part could not be seen (below)."));
        if (!s->request.asks && s->judgement.verdict != VERDICT_NORMAL)
                return xasprintf(
                        _("At the next power-on GRUB boots as ever: its configuration does not ask for a mark. "
                          "Run 'hibctl setup'."));
        if (awaits_its_image(s))
                return xasprintf(_("This session is marked: once it has hibernated, GRUB will resume it at the next "
                                   "power-on; else GRUB will boot normally."));
        switch (s->judgement.verdict) {
        case VERDICT_RESUME:
                mark = situation_mark(s, s->judgement.source);
                if (s->judgement.source == AT_SYSTEMD) /* it does not say when */
                        return xasprintf(_("At the next power-on GRUB will resume the session that systemd put on %s."),
                                         decisive_device(s));
                if (s->seen[s->judgement.source] == IMAGE_GONE) /* GRUB cannot see that, and believes the hint */
                        return xasprintf(
                                _("At the next power-on GRUB will start %s once, but there is no image on %s to "
                                  "resume, so it will boot normally."),
                                mark->kernel, decisive_device(s));
                return xasprintf(_("At the next power-on GRUB will resume the session of %.10s %.5s from %s."),
                                 mark->time, mark->time + 11, decisive_device(s));
        case VERDICT_OFFER:
                return xasprintf(_("At the next power-on GRUB will boot normally, and offer to resume from %s: %s."),
                                 decisive_device(s), why);
        default:
                return xasprintf(_("At the next power-on GRUB will boot normally: %s."), why);
        }
}

/* ---- for people ---- */

static void put_mark(const struct look *look, const struct situation *s, size_t at)
{
        const struct mark *m = situation_mark(s, at);
        const struct source *source = &s->sources[at];
        _cleanup_free_ char *state = NULL, *image = NULL, *kernel = NULL;

        if (!m)
                return;
        state = xasprintf("%s, %s, id %s", mark_state_name(m->state), m->time, m->id);
        image = xasprintf(_("%s, offset %llu pages: %s"), m->image, (unsigned long long)m->offset,
                          image_words(s->seen[at]));
        kernel = xasprintf(_("%s on UUID=%s: %s"), m->kernel, m->fs_uuid, file_words(source->kernel));
        put_row(look, _("mark"), SIGN_NONE, state);
        put_row(look, _("image"), situation_awaits_image(s, at) ? SIGN_NONE : s->seen[at] == IMAGE_PRESENT, image);
        put_row(look, _("kernel"), source->kernel == FILE_PRESENT, kernel);
        if (m->initrd[0]) {
                _cleanup_free_ char *initrd = xasprintf("%s: %s", m->initrd, file_words(source->initrd));
                put_row(look, _("ramdisk"), source->initrd == FILE_PRESENT, initrd);
        }
}

static void put_efi_mark(const struct look *look, const struct situation *s)
{
        const struct reading *efi = &s->readings[AT_EFI];

        if (efi->status == SOURCE_ABSENT)
                return;
        put_row(look, "EFI", efi->status == SOURCE_VALID,
                efi->status == SOURCE_UNREADABLE && efi->why_not_writable ? efi->why_not_writable : efi->place);
        put_mark(look, s, AT_EFI);
}

static void put_systemd(const struct look *look, const struct situation *s)
{
        const struct source *source = &s->sources[AT_SYSTEMD];
        const struct mark *m = &s->systemd.mark;
        _cleanup_free_ char *where = NULL, *kernel = NULL;

        if (source->status == SOURCE_DAMAGED) {
                where = xasprintf(_("HibernateLocation is damaged: %s"), _(location_error_text(s->systemd.error)));
                put_row(look, "systemd", 0, where);
        }
        if (source->status != SOURCE_VALID)
                return;
        where = xasprintf(s->systemd.tried ? _("%s, offset %llu pages: %s; one attempt to resume was made already")
                                           : _("%s, offset %llu pages: %s"),
                          m->image, (unsigned long long)m->offset, image_words(s->seen[AT_SYSTEMD]));
        put_row(look, "systemd", s->seen[AT_SYSTEMD] == IMAGE_PRESENT, where);
        kernel = xasprintf("%s: %s", m->kernel[0] ? m->kernel : m->release, file_words(source->kernel));
        put_row(look, _("kernel"), source->kernel == FILE_PRESENT, kernel);
}

/* Whether marks can be put there, and GRUB would see them. */
static void put_access(const struct look *look, const struct situation *s)
{
        _cleanup_free_ char *words = NULL;
        const char *why = efi_why_not();
        int64_t room = uefi_room();

        if (uefi_access() == UEFI_NO_FIRMWARE)
                return;
        if (why)
                words = xstrdup(why);
        else if (room < 0)
                words = xstrdup(_("variables can be written"));
        else
                words = xasprintf(_("variables can be written, %lld bytes are left"), (long long)room);
        put_row(look, "UEFI", !why, words);
        if (!s->has_module)
                put_row(look, _("module"), 0,
                        _("not in GRUB's folder for UEFI, so it sees no variable; run 'hibctl setup'"));
}

static void put_firmware(const struct look *look, const struct situation *s)
{
        _cleanup_free_ char *next = NULL;
        uint16_t number;

        put_access(look, s);
        if (uefi_boot_next(&number) == 0) {
                next = xasprintf(_("boot entry %04X is started next, once"), number);
                put_row(look, "BootNext", SIGN_NONE, next);
        }
        if (s->secure_boot)
                put_row(look, "Secure Boot", 0,
                        _("on: GRUB loads no module that is not part of it, and sees a mark in the environment block "
                          "only"));
}

/* Only where it is not: else there is nothing to say. */
static void put_hibernation(const struct look *look)
{
        struct hibernation h;
        _cleanup_free_ char *why = NULL, *words = NULL;

        hibernation_look(&h);
        why = hibernation_why_not(&h);
        if (!why)
                return;
        words = xasprintf(_("not possible: %s"), why);
        put_row(look, _("hibernation"), 0, words);
}

/* Why GRUB may not have resumed by itself. */
static void put_unmarked(const struct look *look)
{
        _cleanup_free_ char *words = NULL;
        struct unmarked note;

        if (!unmarked_read(&note))
                return;
        words = xasprintf(_("the machine hibernated without a mark at %.10s %.5s: %s"), note.time,
                          strlen(note.time) > 11 ? note.time + 11 : "", note.reason);
        put_row(look, _("last time"), 0, words);
}

static void print_text(const struct situation *s)
{
        struct look look = how_to_look();
        const struct reading *env = &s->readings[AT_ENV], *bits = &s->readings[AT_BOOTBITS];
        _cleanup_free_ char *first = headline(s);

        printf("%s\n\n", first);
        put_row(&look, _("block"), env->status != SOURCE_UNREADABLE, env->place ? env->place : _("not found"));
        /* Where GRUB cannot write, setup reserves none. */
        if (env->slot == SLOT_FOUND || !env->why_not_writable)
                put_row(&look, _("slot"), env->slot == SLOT_FOUND, slot_words(env->slot));
        if (env->why_not_writable)
                put_row(&look, _("writable"), 0, env->why_not_writable);
        put_row(&look, "grub.cfg", s->request.asks,
                s->request.asks ? _("asks for a mark") : _("does not ask for a mark; run 'hibctl setup'"));
        /* For UEFI it is said below. */
        if (s->lacks_module && uefi_access() == UEFI_NO_FIRMWARE)
                put_row(&look, _("module"), 0,
                        _("not in GRUB's folder, so a script stands in, which sees no image; run 'hibctl setup'"));
        put_mark(&look, s, AT_ENV);
        put_section();
        if (bits->status != SOURCE_ABSENT)
                put_row(&look, _("boot bits"), bits->status == SOURCE_VALID, bits->place);
        put_mark(&look, s, AT_BOOTBITS);
        put_section();
        put_efi_mark(&look, s);
        put_section();
        put_systemd(&look, s);
        put_section();
        if (s->sources[AT_CONFIGURED].status == SOURCE_VALID) {
                _cleanup_free_ char *resume =
                        xasprintf(_("%s, offset %llu pages: %s"), s->request.device.image,
                                  (unsigned long long)s->request.device.offset, image_words(s->seen[AT_CONFIGURED]));
                put_row(&look, _("configured"), SIGN_NONE, resume);
        }
        put_section();
        put_firmware(&look, s);
        put_section();
        put_hibernation(&look);
        put_unmarked(&look);
}

/* ---- for programs ---- */

static const char *image_word(enum image_state state)
{
        static const char *const words[] = {
                [IMAGE_NOT_LOOKED] = "not-looked",     [IMAGE_NO_DEVICE] = "no-device",
                [IMAGE_NOT_READABLE] = "not-readable", [IMAGE_GONE] = "gone",
                [IMAGE_PRESENT] = "present",           [IMAGE_FOREIGN] = "foreign",
        };

        return words[state];
}

static const char *slot_word(enum slot_status slot)
{
        static const char *const words[] = {
                [SLOT_FOUND] = "found", [SLOT_MISSING] = "missing",     [SLOT_DUPLICATE] = "duplicate",
                [SLOT_WIDTH] = "width", [SLOT_STRADDLES] = "straddles", [SLOT_BROKEN] = "broken",
        };

        return words[slot];
}

static const char *status_word(enum source_status status)
{
        static const char *const words[] = {
                [SOURCE_ABSENT] = "absent", [SOURCE_UNREADABLE] = "unreadable", [SOURCE_DAMAGED] = "damaged",
                [SOURCE_FUTURE] = "future", [SOURCE_VALID] = "valid",
        };

        return words[status];
}

static const char *file_word(enum file_state state)
{
        return state == FILE_PRESENT ? "present" : state == FILE_MISSING ? "missing" : "not-looked";
}

static struct json_object *mark_json(const struct situation *s, size_t at)
{
        const struct mark *m = &s->readings[at].mark;
        const struct source *source = &s->sources[at];
        struct json_object *o;

        if (source->status != SOURCE_VALID)
                return NULL;
        o = json_object_new_object();
        add_text(o, "state", mark_state_name(m->state));
        if (m->empty)
                return o;
        add_mark(o, m);
        add_text(o, "image_state", image_word(s->seen[at]));
        add_text(o, "image_device", s->devices[at]);
        add_text(o, "kernel_state", file_word(source->kernel));
        add_text(o, "initrd_state", file_word(source->initrd));
        return o;
}

/* NULL for boot bits if there is no device where they would be. */
static struct json_object *store_json(const struct situation *s, size_t at)
{
        const struct reading *r = &s->readings[at];
        struct json_object *o;

        if (at != AT_ENV && !r->place)
                return NULL;
        o = json_object_new_object();
        add_text(o, "place", r->place);
        add_text(o, "status", status_word(r->status));
        add_text(o, "slot", slot_word(r->slot));
        json_object_object_add(o, "writable", json_object_new_boolean(r->writable && !r->why_not_writable));
        add_text(o, "why_not_writable", r->why_not_writable);
        json_object_object_add(o, "spent", json_object_new_boolean(situation_is_spent(s, at)));
        json_object_object_add(o, "mark", mark_json(s, at));
        return o;
}

static struct json_object *configured_json(const struct situation *s)
{
        struct json_object *o;

        if (s->sources[AT_CONFIGURED].status != SOURCE_VALID)
                return NULL;
        o = json_object_new_object();
        add_text(o, "image", s->request.device.image);
        json_object_object_add(o, "offset", json_object_new_int64((int64_t)s->request.device.offset));
        add_text(o, "image_state", image_word(s->seen[AT_CONFIGURED]));
        add_text(o, "image_device", s->devices[AT_CONFIGURED]);
        return o;
}

/* NULL where there are no EFI variables. */
static struct json_object *systemd_json(const struct situation *s)
{
        const struct source *source = &s->sources[AT_SYSTEMD];
        const struct mark *m = &s->systemd.mark;
        struct json_object *o;
        bool valid = source->status == SOURCE_VALID;

        if (uefi_access() == UEFI_NO_FIRMWARE)
                return NULL;
        o = json_object_new_object();
        add_text(o, "status", status_word(source->status));
        add_text(o, "uuid", valid ? m->image + strlen("UUID=") : NULL);
        json_object_object_add(o, "offset", valid ? json_object_new_int64((int64_t)m->offset) : NULL);
        add_text(o, "kernel_version", valid && m->release[0] ? m->release : NULL);
        add_text(o, "kernel", valid && m->kernel[0] ? m->kernel : NULL);
        add_text(o, "kernel_state", valid ? file_word(source->kernel) : NULL);
        add_text(o, "initrd", valid && m->initrd[0] ? m->initrd : NULL);
        add_text(o, "image_state", valid ? image_word(s->seen[AT_SYSTEMD]) : NULL);
        add_text(o, "image_device", s->devices[AT_SYSTEMD]);
        json_object_object_add(o, "tried", json_object_new_boolean(s->systemd.tried));
        add_text(o, "error", source->status == SOURCE_DAMAGED ? location_error_name(s->systemd.error) : NULL);
        return o;
}

static void add_boot_entry(struct json_object *o, const char *key, int (*read)(uint16_t *number))
{
        char text[5];
        uint16_t number;
        bool there = read(&number) == 0;

        if (there)
                snprintf(text, sizeof(text), "%04X", number);
        add_text(o, key, there ? text : NULL);
}

static struct json_object *efi_json(const struct situation *s)
{
        static const char *const access[] = {
                [UEFI_NOT_MOUNTED] = "not-mounted",
                [UEFI_READ_ONLY] = "read-only",
                [UEFI_USABLE] = "usable",
        };
        struct json_object *o;
        int64_t room = uefi_room();

        if (uefi_access() == UEFI_NO_FIRMWARE)
                return NULL;
        o = json_object_new_object();
        json_object_object_add(o, "supported", json_object_new_boolean(uefi_access() >= UEFI_READ_ONLY));
        add_text(o, "access", access[uefi_access()]);
        json_object_object_add(o, "secure_boot", json_object_new_boolean(s->secure_boot));
        json_object_object_add(o, "module", json_object_new_boolean(s->has_module));
        add_boot_entry(o, "boot_current", uefi_boot_current);
        add_boot_entry(o, "boot_next", uefi_boot_next);
        json_object_object_add(o, "room", room >= 0 ? json_object_new_int64(room) : NULL);
        return o;
}

/* NULL in it for what the running kernel does not tell. */
static struct json_object *hibernation_json(void)
{
        struct json_object *o = json_object_new_object();
        struct hibernation h;

        hibernation_look(&h);
        json_object_object_add(
                o, "possible",
                h.access == HIBERNATION_UNKNOWN ? NULL : json_object_new_boolean(h.access == HIBERNATION_POSSIBLE));
        add_text(o, "lockdown", h.lockdown[0] ? h.lockdown : NULL);
        return o;
}

static struct json_object *unmarked_json(void)
{
        struct json_object *o;
        struct unmarked note;

        if (!unmarked_read(&note))
                return NULL;
        o = json_object_new_object();
        add_text(o, "time", note.time);
        add_text(o, "reason", note.reason);
        return o;
}

static void print_as_json(const struct situation *s)
{
        struct json_object *o = json_object_new_object(), *places = json_object_new_object();
        _cleanup_free_ char *first = headline(s);
        bool sure = !s->blind;

        add_text(o, "verdict", !sure ? "unknown" : !s->request.asks ? "normal" : verdict_name(s->judgement.verdict));
        add_text(o, "reason", verdict_reason_name(s->judgement.reason));
        add_text(o, "words", first);
        json_object_object_add(o, "grub_asks", json_object_new_boolean(s->request.asks));
        add_text(o, "source",
                 s->judgement.source < N_SOURCES ? source_kind_name(s->sources[s->judgement.source].kind) : NULL);
        for (size_t i = 0; i < N_STORES; i++)
                json_object_object_add(places, stores[i]->name, store_json(s, i));
        json_object_object_add(o, "stores", places);
        json_object_object_add(o, "systemd", systemd_json(s));
        json_object_object_add(o, "configured", configured_json(s));
        json_object_object_add(o, "efi", efi_json(s));
        json_object_object_add(o, "hibernation", hibernation_json());
        json_object_object_add(o, "unmarked", unmarked_json());
        print_json(o);
}

static int run(int argc, char *argv[])
{
        _cleanup_situation_ struct situation s = { 0 };
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
                switch (c) {
                case 'h':
                        print_command_help(&command_status);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_status);
                }
        if (optind < argc)
                return usage_error(_("%s: status takes no arguments; 'hibctl status --help' shows how to call it"),
                                   argv[optind]);
        r = situation_open(&s, /* for_writing= */ false);
        situation_close();
        if (globals.json)
                print_as_json(&s);
        else
                print_text(&s);
        if (r != EXIT_DONE)
                return r;
        return s.judgement.reason == REASON_NOTHING && !s.blind ? EXIT_NOTHING : EXIT_DONE;
}

const struct command command_status = {
        .name = "status",
        .arguments = "",
        .summary = N_("say what the next power-on will do, and why"),
        .options = N_("  -h, --help  show this help\n"),
        .run = run,
};
