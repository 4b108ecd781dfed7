/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl locate: find a device, in a save or load kernel where nobody else does it.
 */
#include "config.h"

#include <string.h>

#include "command.h"
#include "globals.h"
#include "json.h"
#include "setup-hooks.h"
#include "waiting.h"

enum { OPTION_TIMEOUT = 256, OPTION_HOOKS, OPTION_PLAN };

static const struct option options[] = {
        { "timeout", required_argument, NULL, OPTION_TIMEOUT },
        { "hooks", required_argument, NULL, OPTION_HOOKS },
        { "plan", required_argument, NULL, OPTION_PLAN },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

static int locate(const char *tag, int64_t deadline, struct json_object *result)
{
        _cleanup_free_ char *device = NULL;
        int r = wait_for_device(tag, deadline, &device);

        if (r != EXIT_DONE)
                return r;
        if (result)
                add_text(result, tag, device);
        else
                puts(device);
        return EXIT_DONE;
}

static int locate_all(int n, char *const tags[], int64_t deadline)
{
        struct json_object *result = globals.json ? json_object_new_object() : NULL;
        int r = EXIT_DONE;

        for (int i = 0; i < n && r == EXIT_DONE; i++)
                r = locate(tags[i], deadline, result);
        if (r == EXIT_DONE && result)
                return print_json(result);
        json_object_put(result);
        return r;
}

static int run(int argc, char *argv[])
{
        const char *timeout = NULL, *hooks = HOOKS_FOLDER, *plan_file = NULL;
        static struct plan plan;
        int64_t deadline;
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
                switch (c) {
                case OPTION_TIMEOUT:
                        timeout = optarg;
                        break;
                case OPTION_HOOKS:
                        hooks = optarg;
                        break;
                case OPTION_PLAN:
                        plan_file = optarg;
                        break;
                case 'h':
                        print_command_help(&command_locate);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_locate);
                }
        if (optind == argc && !plan_file)
                return usage_error(_("no device named; 'hibctl locate --help' shows how to call it"));
        r = parse_timeout(timeout, &deadline);
        if (r == EXIT_DONE && plan_file)
                r = plan_read(plan_file, &plan);
        if (r == EXIT_DONE)
                r = setup_hooks_run(hooks, plan_file ? &plan : NULL, deadline);
        if (r != EXIT_DONE)
                return r;
        if (optind < argc)
                return locate_all(argc - optind, argv + optind, deadline);
        char *image[] = { plan.mark.image };
        return locate_all(1, image, deadline);
}

const struct command command_locate = {
        .name = "locate",
        .arguments = "[--timeout=SECONDS] [--hooks=DIR] [--plan=FILE] [DEVICE...]",
        .summary = N_("find devices by UUID=, PARTUUID=, LABEL=, PARTLABEL= or path, after running the setup hooks"),
        .options = N_("      --timeout=SECONDS  how long hooks and waiting may take in all; default: 30\n"
                      "      --hooks=DIR        setup hooks, run in the order of their names, each once since\n"
                      "                         power-on; default: /etc/hibctl/setup.d\n"
                      "      --plan=FILE        take arguments for the hooks from a plan, and look for its image\n"
                      "                         if no device is named\n"
                      "  -h, --help             show this help\n"),
        .run = run,
};
