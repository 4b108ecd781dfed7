/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl sleep: what the sleep hooks of systemd and elogind call. It marks before the machine hibernates and settles
 * when that is over, however it went. Suspending to memory alone is none of its business.
 */
#include "config.h"

#include <string.h>

#include "command.h"
#include "settings.h"
#include "unmarked.h"

static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

/* The words are those of systemd-sleep(8), of which it sets SYSTEMD_SLEEP_ACTION to the step that comes next, while its
 * second argument names the whole. A hybrid sleep writes an image too, for the case that the power fails. */
static bool writes_image(const char *action)
{
        return strcmp(action, "hibernate") == 0 || strcmp(action, "hybrid-sleep") == 0;
}

static int call(const struct command *command, char *option)
{
        char name[] = "hibctl";
        char *argv[] = { name, option, NULL };

        optind = 0;
        return command->run(option ? 2 : 1, argv);
}

static void take_note(void)
{
        int r = unmarked_note(say_last_error());

        if (r < 0)
                say(_("/var/lib/hibctl/unmarked: cannot note this there for 'hibctl status': %s"), strerror(-r));
}

/* R: of reading the settings. What is not marked is not lost: the boot loader offers the session. So hibernating is
 * stopped only if it was asked for: the battery may be nearly empty. */
static int before(const struct settings *settings, int r)
{
        if (r == EXIT_DONE)
                r = call(&command_mark, NULL);
        if (r == EXIT_DONE) {
                unmarked_forget(); /* an old note that stays has its date */
                return EXIT_DONE;
        }
        take_note();
        if (settings->sleep == SLEEP_REQUIRE)
                return r;
        say(_("there is no mark; at the next power-on GRUB will offer the session, if it finds the image, or follow an "
              "older mark or systemd's HibernateLocation, if there is one; hibernating goes on"));
        return EXIT_DONE;
}

/* systemd does not look at what its hooks return, but at what its unit starts first. */
static int would_mark(const struct settings *settings, int r)
{
        static char dry_run[] = "--dry-run";

        if (settings->sleep != SLEEP_REQUIRE)
                return EXIT_DONE;
        return r == EXIT_DONE ? call(&command_mark, dry_run) : r;
}

static int act(const char *phase, const char *action)
{
        struct settings settings;
        int r;

        if (!writes_image(action)) {
                say_step(_("%s: it writes no image, so there is nothing to do"), action);
                return EXIT_DONE;
        }
        r = settings_read(&settings);
        if (settings.sleep == SLEEP_OFF)
                return EXIT_DONE;
        if (strcmp(phase, "post") == 0)
                return call(&command_settle, NULL);
        return strcmp(phase, "pre") == 0 ? before(&settings, r) : would_mark(&settings, r);
}

static int run(int argc, char *argv[])
{
        const char *phase;
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
                switch (c) {
                case 'h':
                        print_command_help(&command_sleep);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_sleep);
                }
        if (argc - optind != 2)
                return usage_error(_("sleep takes a phase and an action; 'hibctl sleep --help' lists them"));
        phase = argv[optind];
        if (strcmp(phase, "pre") != 0 && strcmp(phase, "post") != 0 && strcmp(phase, "check") != 0)
                return usage_error(_("%s: unknown phase; there are: pre, post, check"), phase);
        return act(phase, argv[optind + 1]);
}

const struct command command_sleep = {
        .name = "sleep",
        .arguments = "pre|post|check ACTION",
        .summary = N_("for sleep hooks: mark before hibernating, settle afterwards"),
        .options =
                N_("  -h, --help  show this help\n\n"
                   "pre is called before the machine sleeps, post when that is over, check before anything is done.\n"
                   "ACTION is what it does next: hibernate or hybrid-sleep; with any other nothing is done.\n"
                   "Sleep= in hibctl.conf(5) says whether a machine that cannot be marked hibernates all the same.\n"),
        .run = run,
};
