/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl mark: arm.
 */
#include "config.h"

#include <string.h>

#include "arming.h"
#include "command.h"
#include "globals.h"
#include "json.h"
#include "plan.h"
#include "store-env.h"

enum { OPTION_STORE = 256, OPTION_PLAN };

static const struct option options[] = {
        WISH_OPTIONS,
        { "store", required_argument, NULL, OPTION_STORE },
        { "plan", required_argument, NULL, OPTION_PLAN },
        { "dry-run", no_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

struct request {
        struct target_wish wish;
        const char *plan;          /* file; NULL in the running system */
        const struct store *store; /* the only one to use; NULL: choose */
        bool dry_run;
};

/* What came of it. */
struct outcome {
        struct mark mark;
        const struct store *store;
};

static int print_result(const struct request *request, const struct outcome *outcome)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "armed", json_object_new_boolean(!request->dry_run));
        json_object_object_add(o, "dry_run", json_object_new_boolean(request->dry_run));
        add_text(o, "store", outcome->store->name);
        add_mark(o, &outcome->mark);
        return print_json(o);
}

static int print_words(const struct request *request, const struct outcome *outcome)
{
        const struct mark *mark = &outcome->mark;

        if (request->dry_run)
                say(_("would mark: image on %s, offset %llu pages, kernel %s"), mark->image,
                    (unsigned long long)mark->offset, mark->kernel);
        else
                say(_("marked: the next power-on resumes from %s with %s, once"), mark->image, mark->kernel);
        return EXIT_DONE;
}

/* ---- one store ---- */

/* Whether the store could take the mark, without writing: what --dry-run can promise. */
static int explain_store(const struct store *store, const struct reading *reading)
{
        if (!reading->place)
                return no_store(_("there is no place for a mark in the store '%s'"), store->name);
        if (!reading->writable)
                return no_store(_("%s: GRUB could not consume a mark there: %s"), reading->place,
                                reading->why_not_writable);
        if (store == &store_env && reading->slot != SLOT_FOUND)
                return no_store(_("%s: there is no usable slot for a mark; run 'hibctl setup' to reserve it"),
                                reading->place);
        say(_("the mark would go to the slot in %s: GRUB can read and consume it there"), reading->place);
        return EXIT_DONE;
}

/* With the store open. */
static int put(const struct request *request, const struct store *store, const struct mark *mark,
               const char text[MARK_WIDTH])
{
        _cleanup_reading_ struct reading reading = { 0 };
        int r = store->read(&reading);

        if (r == EXIT_DONE)
                r = arming_check_other(&reading, mark);
        if (r != EXIT_DONE)
                return r;
        return request->dry_run ? explain_store(store, &reading) : store->write(text);
}

/* Opens the store for this one mark. */
static int put_in(const struct request *request, const struct store *store, const struct whereabouts *where,
                  const struct mark *mark, const char text[MARK_WIDTH])
{
        int r = store->open(where, /* for_writing= */ !request->dry_run), closed;

        if (r == EXIT_DONE)
                r = put(request, store, mark, text);
        closed = store->close();
        return r == EXIT_DONE ? closed : r;
}

/* ---- in the running system ---- */

/* With store_env open, as it is while the kernel is looked for: they may be on the same filesystem, mounted for this
 * moment. */
static int mark_here(const struct request *request, struct outcome *outcome)
{
        struct whereabouts where = { .area = &outcome->mark };
        struct grub_request asked;
        _cleanup_free_ char *folder = NULL;
        char text[MARK_WIDTH];
        int r = arming_make_mark(&request->wish, &outcome->mark, text);

        if (r == EXIT_DONE)
                r = arming_check_grub(store_env_bootfs()->prefix, &asked);
        if (r != EXIT_DONE)
                return r;
        if (outcome->store == &store_env)
                return put(request, &store_env, &outcome->mark, text);
        if (arming_module_is_missing(store_env_bootfs()->prefix, &folder))
                return no_store(
                        _("%s: GRUB's module is not there, so GRUB would not look into boot bits; run 'hibctl setup'"),
                        folder);
        if (!arming_grub_knows_area(&asked, &outcome->mark))
                return no_store(
                        _("%s: grub.cfg does not name this swap area as the resume device, so GRUB would not look "
                          "into its boot bits; set GRUB_HIBCTL_RESUME in /etc/default/grub and run update-grub"),
                        outcome->mark.image);
        return put_in(request, outcome->store, &where, &outcome->mark, text);
}

static int arm_here(const struct request *request, struct outcome *outcome)
{
        struct whereabouts where = { 0 };
        int r, closed;

        outcome->store = request->store ? request->store : &store_env;
        r = store_env.open(&where, /* for_writing= */ !request->dry_run && outcome->store == &store_env);
        if (r == EXIT_DONE)
                r = mark_here(request, outcome);
        closed = store_env.close();
        return r == EXIT_DONE ? closed : r;
}

/* ---- in a save kernel ---- */

static bool is_wanted(const struct request *request, const struct store *store)
{
        return !request->store || request->store == store;
}

/* The plan does not say why; the device may. */
static int refuse_bootbits(const struct whereabouts *where)
{
        _cleanup_reading_ struct reading reading = { 0 };
        int r = store_bootbits.open(where, /* for_writing= */ false);

        if (r == EXIT_DONE)
                r = store_bootbits.read(&reading);
        if (r == EXIT_DONE && reading.place && !reading.writable)
                r = explain_store(&store_bootbits, &reading);
        else if (r == EXIT_DONE)
                r = no_store(_("%s: GRUB does not look into the boot bits of the image's swap area, says the plan"),
                             where->area->image);
        store_bootbits.close();
        return r;
}

/* The boot filesystem if it is not the sleeping system's, else the boot bits, which are nobody's. */
static int arm_by_plan(const struct request *request, struct outcome *outcome)
{
        struct plan plan;
        struct whereabouts where = { .plan = &plan, .area = &plan.mark };
        int r = plan_read(request->plan, &plan);

        if (r == EXIT_DONE && plan.boot_state == PLAN_BOOT_UNKNOWN)
                r = refuse(
                        _("%s: the plan is a lasting one and does not know what the sleeping system has mounted; make "
                          "one for this jump with 'hibctl prepare'"),
                        request->plan);
        if (r == EXIT_DONE)
                r = arming_check_plan(request->plan, &plan);
        if (r != EXIT_DONE)
                return r;
        outcome->mark = plan.mark;
        if (!request->store && plan.boot_state == PLAN_BOOT_HELD)
                say(_("UUID=%s: the sleeping system has the boot filesystem mounted, so it is not touched"),
                    plan.boot.uuid);
        else if (is_wanted(request, &store_env)) {
                outcome->store = &store_env;
                r = put_in(request, &store_env, &where, &plan.mark, plan.text);
                if (r == EXIT_DONE || request->store)
                        return r;
        }
        outcome->store = &store_bootbits;
        if (!plan.bootbits)
                return refuse_bootbits(&where);
        return put_in(request, &store_bootbits, &where, &plan.mark, plan.text);
}

static int arm(const struct request *request)
{
        struct outcome outcome;
        int r = request->dry_run ? EXIT_DONE : take_lock();

        if (r == EXIT_DONE)
                r = request->plan ? arm_by_plan(request, &outcome) : arm_here(request, &outcome);
        if (r != EXIT_DONE)
                return r;
        return globals.json ? print_result(request, &outcome) : print_words(request, &outcome);
}

static const struct store *find_store(const char *name)
{
        static const struct store *const all[] = { &store_env, &store_bootbits };

        for (size_t i = 0; i < ELEMENTS(all); i++)
                if (strcmp(all[i]->name, name) == 0)
                        return all[i];
        return NULL;
}

/* Options that exclude each other. */
static int check_request(const struct request *request)
{
        const struct target_wish *wish = &request->wish;

        if (wish_check(wish) != EXIT_DONE)
                return EXIT_USAGE;
        if (request->plan && (wish->image || wish->kernel || wish->initrd))
                return usage_error(
                        _("--plan says what to mark; --image, --kernel and --initrd were for 'hibctl prepare'"));
        return EXIT_DONE;
}

static int run(int argc, char *argv[])
{
        struct request request = { 0 };
        int c;

        while ((c = getopt_long(argc, argv, "nh", options, NULL)) != -1)
                switch (c) {
                case OPTION_STORE:
                        request.store = find_store(optarg);
                        if (!request.store)
                                return usage_error(_("--store=%s: unknown store; there are: env, bootbits"), optarg);
                        break;
                case OPTION_PLAN:
                        request.plan = optarg;
                        break;
                case 'n':
                        request.dry_run = true;
                        break;
                case 'h':
                        print_command_help(&command_mark);
                        return EXIT_DONE;
                default:
                        if (wish_take(&request.wish, c, optarg))
                                break;
                        return bad_option(&command_mark);
                }
        if (optind < argc)
                return usage_error(_("%s: mark takes no arguments; 'hibctl mark --help' lists its options"),
                                   argv[optind]);
        if (check_request(&request) != EXIT_DONE)
                return EXIT_USAGE;
        if (!request.dry_run && need_root() != EXIT_DONE)
                return EXIT_FAILED;
        return arm(&request);
}

const struct command command_mark = {
        .name = "mark",
        .arguments =
                "[--dry-run] [--plan=FILE | --image=DEVICE [--offset=PAGES]] [--kernel=FILE] [--initrd=FILE|none]] [--store=STORE]",
        .summary = N_("arm: the next power-on resumes from the image, once"),
        .options = N_("      --image=DEVICE  device, tag (UUID=...) or swap file that holds the image;\n"
                      "                      default: as the running kernel is set to use\n"
                      "      --offset=PAGES  where the swap area starts on that device; default: 0\n"
                      "      --kernel=FILE   kernel to resume with; default: the running one's file\n"
                      "      --initrd=FILE   its initial ramdisk, or 'none': then the kernel itself must know\n"
                      "                      the resume device, by the UUID of its partition\n"
                      "      --plan=FILE     in a save kernel: mark what 'hibctl prepare' planned, touching\n"
                      "                      nothing that the sleeping system holds\n"
                      "      --store=STORE   where to write the mark: env or bootbits; default: env, or with\n"
                      "                      --plan the first of them that is safe\n"
                      "  -n, --dry-run       write nothing, say what would be done\n"
                      "  -h, --help          show this help\n"),
        .run = run,
};
