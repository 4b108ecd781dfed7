/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl check: will it work here? It reads only, and mounts what status does.
 */
#include "config.h"

#include <string.h>

#include "arming.h"
#include "check.h"
#include "command.h"
#include "globals.h"
#include "json.h"
#include "look.h"
#include "store-env.h"

enum { OPTION_MODULES = 256 };

static const struct option options[] = {
        { "modules", required_argument, NULL, OPTION_MODULES },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

/* In this order. The names are for programs, and stay. */
static const struct check {
        const char *name, *title;
        check_fn *look;
} checks[] = {
        { "rights", N_("rights"), check_rights },
        { "settings", N_("settings"), check_settings },
        { "grub", N_("GRUB"), check_grub },
        { "folder", N_("folder"), check_folder },
        { "slot", N_("slot"), check_slot },
        { "module", N_("module"), check_module },
        { "grub-cfg", N_("grub.cfg"), check_grub_cfg },
        { "grub-cfg-age", N_("its age"), check_grub_cfg_age },
        { "grub-cfg-device", N_("its device"), check_grub_cfg_device },
        { "store", N_("store"), check_store },
        { "marks", N_("old marks"), check_marks },
        { "hibernation", N_("hibernation"), check_hibernation },
        { "kernel", N_("kernel"), check_kernel },
        { "initramfs", N_("initramfs"), check_initramfs },
        { "swap", N_("swap"), check_swap },
        { "swap-size", N_("its size"), check_swap_size },
        { "resume", N_("resume from"), check_resume },
        { "resume-settings", N_("resume="), check_resume_settings },
        { "encryption", N_("encryption"), check_encryption },
        { "sleep-hook", N_("sleep hook"), check_sleep_hook },
        { "secure-boot", N_("Secure Boot"), check_secure_boot },
        { "variables", N_("variables"), check_variables },
        { "boot-order", N_("boot order"), check_boot_order },
        { "systemd", N_("systemd"), check_systemd },
};

/* ---- hibctl itself ---- */

void check_rights(const struct checkup *c, struct finding *f)
{
        (void)c;
        if (!is_root())
                find(f, LEVEL_UNKNOWN, _("run it as root"), _("devices cannot be read, so a part is not seen"));
}

/* What is only warned of is said by the same function, which then returns EXIT_DONE. */
void check_settings(const struct checkup *c, struct finding *f)
{
        if (c->settings_read.result != EXIT_DONE)
                find_said(f, LEVEL_PROBLEM, c->settings_read.said);
        else if (c->settings_read.said[0])
                find_said(f, LEVEL_WARNING, c->settings_read.said);
        else
                find_ok(f, _("hibctl.conf makes sense"));
}

/* ---- collecting ---- */

/* RESULT is what CALL returns while what it says is kept. */
#define TRY(attempt, call)                                                                                             \
        do {                                                                                                           \
                say_keep();                                                                                            \
                (attempt).result = (call);                                                                             \
                (attempt).said = say_kept();                                                                           \
        } while (0)

/* The same steps as 'hibctl mark --dry-run', in its order. */
static void try_mark(struct checkup *c)
{
        const struct target_wish wish = { .image = NULL };

        c->mark = (struct mark){ .state = MARK_ARMED };
        TRY(c->imaging, target_find_image(&wish, &c->mark));
        TRY(c->kernel, target_find_kernel(&wish, &c->mark));
        if (c->imaging.result == EXIT_DONE && c->kernel.result == EXIT_DONE) {
                free(c->kernel.said);
                TRY(c->kernel, arming_complete_mark(&c->mark, c->text));
        }
}

static void try_choice(struct checkup *c)
{
        /* It opens these by itself. */
        store_efi.close();
        store_bootbits.close();
        say_keep();
        choice_make(&c->choice, &c->settings, &c->mark, &c->s.readings[AT_ENV], &c->asked);
        free(say_kept());
        c->has_choice = true;
}

static void collect(struct checkup *c)
{
        TRY(c->settings_read, settings_read(&c->settings));
        TRY(c->opening, situation_open(&c->s, /* for_writing= */ false));
        c->boot = c->s.readings[AT_ENV].prefix ? store_env_bootfs() : NULL;
        c->swaps_error = swaps_read(&c->swaps);
        try_mark(c);
        if (!c->boot)
                return;
        TRY(c->asking, arming_check_grub(c->boot->prefix, &c->asked));
        if (c->imaging.result == EXIT_DONE && c->kernel.result == EXIT_DONE && c->settings_read.result == EXIT_DONE)
                try_choice(c);
}

static void checkup_free(struct checkup *c)
{
        const struct attempt attempts[] = { c->opening, c->settings_read, c->asking, c->imaging, c->kernel };

        for (size_t i = 0; i < ELEMENTS(attempts); i++)
                free(attempts[i].said);
        choice_free(&c->choice);
        swaps_free(&c->swaps);
        situation_free(&c->s);
}
#define _cleanup_checkup_ _cleanup_(checkup_free)

/* ---- telling ---- */

typedef struct finding found[ELEMENTS(checks)];

static size_t count(const found findings, enum level level)
{
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(checks); i++)
                n += findings[i].words && findings[i].level == level;
        return n;
}

static bool is_good(const found findings)
{
        return !count(findings, LEVEL_PROBLEM) && !count(findings, LEVEL_WARNING) && !count(findings, LEVEL_UNKNOWN);
}

/* The names of files and boot entries are not ours: they must not move the cursor. */
static char *printable(const char *text)
{
        char *copy = utf8_text(text, strlen(text));

        for (char *p = copy; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = '?';
        return copy;
}

static void print_finding(const struct look *look, const char *title, const struct finding *f)
{
        static const enum sign signs[] = {
                [LEVEL_OK] = SIGN_GOOD,          [LEVEL_NOTE] = SIGN_NONE,   [LEVEL_UNKNOWN] = SIGN_UNKNOWN,
                [LEVEL_WARNING] = SIGN_DOUBTFUL, [LEVEL_PROBLEM] = SIGN_BAD,
        };
        _cleanup_free_ char *words = printable(f->words), *remedy = f->remedy ? printable(f->remedy) : NULL;

        put_row(look, title, signs[f->level], words);
        if (remedy)
                put_below(look, remedy);
}

static void print_sum(const found findings)
{
        size_t bad = count(findings, LEVEL_PROBLEM) + count(findings, LEVEL_WARNING);
        size_t unknown = count(findings, LEVEL_UNKNOWN);

        putchar('\n');
        if (bad > 0)
                printf(ngettext("%zu finding needs attention.\n", "%zu findings need attention.\n", bad), bad);
        if (unknown > 0)
                printf(ngettext("%zu part could not be seen.\n", "%zu parts could not be seen.\n", unknown), unknown);
        if (bad == 0 && unknown == 0)
                printf(_("Hibernating here, and coming back by itself, will work as far as can be told.\n"));
}

static void print_text(const found findings)
{
        struct look look = how_to_look();

        for (size_t i = 0; i < ELEMENTS(checks); i++)
                if (findings[i].words && (!say_is_quiet() || findings[i].level >= LEVEL_WARNING))
                        print_finding(&look, _(checks[i].title), &findings[i]);
        if (!say_is_quiet())
                print_sum(findings);
}

static void print_as_json(const found findings)
{
        struct json_object *o = json_object_new_object(), *list = json_object_new_array();

        for (size_t i = 0; i < ELEMENTS(checks); i++) {
                struct json_object *one = json_object_new_object();
                if (!findings[i].words) {
                        json_object_put(one);
                        continue;
                }
                add_text(one, "name", checks[i].name);
                add_text(one, "level", level_name(findings[i].level));
                add_text(one, "words", findings[i].words);
                add_text(one, "remedy", findings[i].remedy);
                json_object_array_add(list, one);
        }
        json_object_object_add(o, "findings", list);
        json_object_object_add(o, "good", json_object_new_boolean(is_good(findings)));
        print_json(o);
}

static int exit_status(const found findings)
{
        if (count(findings, LEVEL_PROBLEM) == 0)
                return is_good(findings) ? EXIT_DONE : EXIT_FAILED;
        for (size_t i = 0; i < ELEMENTS(checks); i++)
                if ((checks[i].look == check_store || checks[i].look == check_grub) &&
                    findings[i].level == LEVEL_PROBLEM)
                        return EXIT_NO_STORE;
        return EXIT_REFUSED;
}

/* ---- the command ---- */

static int check(const char *modules)
{
        _cleanup_checkup_ struct checkup c = { .modules = modules };
        found findings = { 0 };
        int r;

        collect(&c);
        for (size_t i = 0; i < ELEMENTS(checks); i++)
                checks[i].look(&c, &findings[i]);
        r = exit_status(findings);
        if (globals.json)
                print_as_json(findings);
        else
                print_text(findings);
        for (size_t i = 0; i < ELEMENTS(checks); i++)
                finding_free(&findings[i]);
        return situation_close() == EXIT_DONE ? r : EXIT_FAILED;
}

static int run(int argc, char *argv[])
{
        const char *modules = MODULEDIR;
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
                switch (c) {
                case OPTION_MODULES:
                        modules = optarg;
                        break;
                case 'h':
                        print_command_help(&command_check);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_check);
                }
        if (optind < argc)
                return usage_error(_("%s: check takes no arguments; 'hibctl check --help' shows how to call it"),
                                   argv[optind]);
        return check(modules);
}

const struct command command_check = {
        .name = "check",
        .arguments = "[--modules=DIR]",
        .summary = N_("say whether hibernating and resuming will work here, and what to do if not"),
        .options =
                N_("      --modules=DIR  compare GRUB's module with DIR/PLATFORM/; default: where it was installed\n"
                   "  -h, --help         show this help\n\n"
                   "With -q only warnings and problems are printed.\n\n"
                   "Exit status: 0 it will work; 1 it may not, or a part could not be seen, or the check failed;\n"
                   "3 it would not work, or not be safe; 4 likewise, because no store takes a mark; 64 wrong usage.\n"),
        .run = run,
};
