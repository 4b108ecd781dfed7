/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "bootnext.h"
#include "envfile.h"
#include "globals.h"
#include "say.h"
#include "store-efi.h"

#define FOLDER "/run/hibctl"
#define NOTE "/run/hibctl/boot-next"
#define NOTE_FORM "set %04" PRIX16 "\nbefore %s\n"
#define NOTE_MAX 64

static const struct uefi_variable boot_next = { .name = "BootNext" };

struct note {
        uint16_t set, before;
        bool was_set; /* there was one before */
};

/* ---- the note ---- */

static int write_note(const struct note *note)
{
        _cleanup_free_ char *folder = in_root(FOLDER), *path = in_root(NOTE), *text = NULL;
        char before[8] = "-";
        int r;

        if (note->was_set)
                snprintf(before, sizeof(before), "%04" PRIX16, note->before);
        text = xasprintf(NOTE_FORM, note->set, before);
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return fail(_("%s: cannot make the folder: %m; mount /run"), folder);
        r = envfile_make(path, text, strlen(text), 0600, /* for_grub= */ false);
        return r == 0 ? EXIT_DONE : fail(_("%s: cannot write it: %s; mount /run"), path, strerror(-r));
}

static bool parse_number(const char *text, uint16_t *number)
{
        char *end;

        if (strspn(text, "0123456789ABCDEF") != 4 || (text[4] && text[4] != '\n'))
                return false;
        *number = (uint16_t)strtoul(text, &end, 16);
        return true;
}

static bool parse_note(const char *text, struct note *note)
{
        if (strncmp(text, "set ", 4) != 0 || !parse_number(text + 4, &note->set) ||
            strncmp(text + 9, "before ", 7) != 0)
                return false;
        note->was_set = parse_number(text + 16, &note->before);
        return note->was_set || strcmp(text + 16, "-\n") == 0;
}

/* EXIT_NOTHING: there is none, or one that nobody can use. */
static int read_note(struct note *note)
{
        _cleanup_free_ char *path = in_root(NOTE), *text = NULL;
        ssize_t n = read_whole_file(path, NOTE_MAX, &text);

        if (n < 0 && n != -ENOENT && n != -EFBIG)
                return fail(_("%s: cannot read what BootNext was before: %s; it may start this system once more"), path,
                            strerror((int)-n));
        return n >= 0 && parse_note(text, note) ? EXIT_DONE : EXIT_NOTHING;
}

static int forget_note(void)
{
        _cleanup_free_ char *path = in_root(NOTE);

        if (unlink(path) == 0 || errno == ENOENT)
                return EXIT_DONE;
        return fail(_("%s: cannot remove it: %m; remove it, or the next 'hibctl cancel' may change BootNext again"),
                    path);
}

/* ---- the variable ---- */

const char *bootnext_why_not(void)
{
        const char *why = efi_why_not();
        uint16_t current;

        if (!why && uefi_boot_current(&current) < 0)
                why = _("the firmware does not tell which boot entry this system was started by (BootCurrent)");
        return why;
}

static int write_number(uint16_t number)
{
        bool in_doubt;
        int r = uefi_set_boot_next(number, &in_doubt);

        return r < 0 ? efi_explain(&boot_next, r, in_doubt) : EXIT_DONE;
}

int bootnext_set(void)
{
        struct note note = { 0 };
        int r = uefi_boot_current(&note.set);

        if (r < 0)
                return fail(_("BootNext: it cannot be set: %s; leave --boot-next out"), strerror(-r));
        note.was_set = uefi_boot_next(&note.before) == 0;
        if (note.was_set && note.before == note.set) {
                say_step(_("BootNext is %04X already"), note.set);
                return EXIT_NOTHING;
        }
        /* The note first: from then on whatever happens can be undone. */
        r = write_note(&note);
        if (r == EXIT_DONE)
                r = write_number(note.set);
        if (r == EXIT_DONE)
                say_step(_("BootNext is %04X now, the entry that this system was started by"), note.set);
        else
                forget_note();
        return r;
}

int bootnext_restore(void)
{
        struct note note;
        uint16_t now;
        int r = read_note(&note), e;

        if (r != EXIT_DONE)
                return r;
        r = EXIT_NOTHING;
        e = uefi_boot_next(&now);
        if (e < 0 && e != -ENOENT && e != -EBADMSG)
                return fail(_("BootNext: it cannot be read: %s; it may start this system once more"), strerror(-e));
        /* Something else is there: somebody has set it since, or the firmware has used it. */
        if (e == 0 && now == note.set) {
                if (note.was_set)
                        r = write_number(note.before);
                else {
                        e = uefi_delete_boot_next();
                        r = e < 0 ? efi_explain(&boot_next, e, /* in_doubt= */ false) : EXIT_DONE;
                }
                if (r == EXIT_DONE)
                        say_step(_("BootNext is as it was before"));
        }
        if (r != EXIT_DONE && r != EXIT_NOTHING)
                return r;
        return forget_note() == EXIT_DONE ? r : EXIT_FAILED;
}
