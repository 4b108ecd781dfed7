/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl mark: arm.
 */
#include "config.h"

#include <string.h>

#include "arming.h"
#include "bootnext.h"
#include "choice.h"
#include "command.h"
#include "globals.h"
#include "hibernation.h"
#include "json.h"
#include "plan.h"
#include "settings.h"
#include "store-efi.h"
#include "store-env.h"

enum { OPTION_STORE = 256, OPTION_PLAN, OPTION_BOOT_NEXT, OPTION_CHECK_IMAGE };

static const struct option options[] = {
        WISH_OPTIONS,
        { "store", required_argument, NULL, OPTION_STORE },
        { "plan", required_argument, NULL, OPTION_PLAN },
        { "check-image", no_argument, NULL, OPTION_CHECK_IMAGE },
        { "boot-next", no_argument, NULL, OPTION_BOOT_NEXT },
        { "dry-run", no_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

struct request {
        struct target_wish wish;
        const char *plan;          /* file; NULL in the running system */
        const struct store *store; /* the only one to use; NULL: choose */
        bool dry_run;
        bool check_image; /* with a plan: it was written before */
        bool boot_next;   /* asked for on the command line */
        struct settings settings;
};

/* What came of it. */
struct outcome {
        struct mark mark;
        const struct store *store;
        struct json_object *considered; /* owned until it is printed */
};

static int print_result(const struct request *request, struct outcome *outcome)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "armed", json_object_new_boolean(!request->dry_run));
        json_object_object_add(o, "dry_run", json_object_new_boolean(request->dry_run));
        add_text(o, "store", outcome->store->name);
        json_object_object_add(o, "considered", outcome->considered);
        add_mark(o, &outcome->mark);
        return print_json(o);
}

/* ---- one store ---- */

/* Whether the store could take the mark, without writing: what --dry-run can promise. */
static int explain_store(const struct store *store, const struct reading *reading)
{
        if (!reading->place)
                return no_store(_("there is no place for a mark in the store '%s'"), store->name);
        if (reading->why_not_writable && store == &store_efi)
                return no_store(_("%s: no mark can be written there: %s"), reading->place, reading->why_not_writable);
        if (!reading->writable)
                return no_store(_("%s: GRUB could not consume a mark there: %s"), reading->place,
                                reading->why_not_writable);
        if (store == &store_env && reading->slot != SLOT_FOUND)
                return no_store(_("%s: there is no usable slot for a mark; run 'hibctl setup' to reserve it"),
                                reading->place);
        if (reading->why_not_now)
                return refuse(_("%s: no mark can be written there: %s"), reading->place, reading->why_not_now);
        if (store == &store_efi)
                say(_("the mark would go to the %s: GRUB can read and delete it"), reading->place);
        else
                say(_("the mark would go to the slot in %s: GRUB can read and consume it there"), reading->place);
        return EXIT_DONE;
}

static struct {
        bool wanted, tried;
        int result; /* of bootnext_set, if it was tried */
} boot_next;

/* Before anything else: whether it can be set. What only the settings ask for is left out where it cannot. */
static int check_boot_next(const struct request *request)
{
        const char *why;

        if (!request->boot_next && !request->settings.boot_next)
                return EXIT_DONE;
        if (request->plan && uefi_access() == UEFI_NOT_MOUNTED)
                uefi_mount(); /* in a save kernel nobody else does; the next line says if it failed */
        why = bootnext_why_not();
        if (why && request->boot_next)
                return fail(_("BootNext: it cannot be set: %s; leave --boot-next out"), why);
        if (why)
                say_step(_("BootNext: it is not set: %s"), why);
        boot_next.wanted = !why;
        return EXIT_DONE;
}

/* Before the mark: cut off between the two, a BootNext without a mark is harmless, and a mark that another system is
 * started on top of is not. Once for all stores that are tried. */
static int set_boot_next(void)
{
        if (boot_next.wanted && !boot_next.tried) {
                boot_next.tried = true;
                boot_next.result = bootnext_set();
        }
        return boot_next.result == EXIT_NOTHING ? EXIT_DONE : boot_next.result;
}

/* Then no other store need be tried. */
static bool boot_next_failed(void)
{
        return boot_next.result != EXIT_DONE && boot_next.result != EXIT_NOTHING;
}

static int write_mark(const struct store *store, const char text[MARK_WIDTH])
{
        int r = set_boot_next();

        return r == EXIT_DONE ? store->write(text) : r;
}

/* With the store open, and READING read from it. */
static int put(const struct request *request, const struct store *store, const struct reading *reading,
               const struct mark *mark, const char text[MARK_WIDTH])
{
        int r = arming_check_other(reading, mark, request->plan != NULL);

        if (r != EXIT_DONE)
                return r;
        return request->dry_run ? explain_store(store, reading) : write_mark(store, text);
}

/* Opens the store for this one mark. BEFORE gets the mark that was there, or an empty one. */
static int put_in(const struct request *request, const struct store *store, const struct whereabouts *where,
                  const struct mark *mark, const char text[MARK_WIDTH], char before[MARK_WIDTH])
{
        int r = store->open(where, /* for_writing= */ !request->dry_run), closed;
        _cleanup_reading_ struct reading reading = { 0 };

        if (r == EXIT_DONE)
                r = store->read(&reading);
        if (r != EXIT_DONE || reading.status != SOURCE_VALID || mark_format(&reading.mark, before, NULL) != MARK_OK)
                mark_format_empty(before);
        if (r == EXIT_DONE)
                r = put(request, store, &reading, mark, text);
        closed = store->close();
        return r == EXIT_DONE ? closed : r;
}

/* The mark is in STORE, but another one would be found before it: the mark that was there BEFORE comes back. */
static int take_back(const struct store *store, const struct whereabouts *where, const char before[MARK_WIDTH],
                     int result)
{
        int r = store->open(where, /* for_writing= */ true), closed;

        if (r == EXIT_DONE)
                r = store->write(before);
        closed = store->close();
        if (r != EXIT_DONE || closed != EXIT_DONE)
                say_error(_("the new mark may be in the store '%s' still; 'hibctl cancel' clears it"), store->name);
        return result;
}

/* Whether the environment block is opened for writing: where a mark may go, or nobody knows yet. */
static bool writes_env(const struct request *request)
{
        return !request->dry_run && (!request->store || request->store == &store_env);
}

/* The mark goes elsewhere, but there is an older one in the block to be cleared. */
static int open_env_again(void)
{
        struct whereabouts where = { .plan = NULL };

        store_env.close();
        return store_env.open(&where, /* for_writing= */ true);
}

/* Writes the mark to a store, and sees to it that GRUB finds no older one first. */
static int put_foremost(const struct request *request, const struct store *store, const struct whereabouts *where,
                        const struct mark *mark, const char text[MARK_WIDTH], bool env_is_open)
{
        struct older older = { 0 };
        char before[MARK_WIDTH];
        int r = arming_look_for_older(store, mark, env_is_open, &older);

        if (r == EXIT_DONE && older.env && !request->dry_run && !writes_env(request))
                r = open_env_again();
        if (r == EXIT_DONE)
                r = put_in(request, store, where, mark, text, before);
        if (r != EXIT_DONE || request->dry_run)
                return r;
        r = arming_clear_older(&older, mark);
        return r == EXIT_DONE ? r : take_back(store, where, before, r);
}

/* ---- in the running system ---- */

/* What is known when the stores are looked at. store_env is open, as it is while the kernel is looked for: they may be
 * on the same filesystem, mounted for this moment. */
struct here {
        const struct request *request;
        struct outcome *outcome;
        struct reading env;
        int env_result; /* of reading it: what was wrong has been said */
        struct grub_request asked;
        char text[MARK_WIDTH];
};

static int put_here(struct here *here, const struct store *store)
{
        const struct mark *mark = &here->outcome->mark;
        struct whereabouts where = { .area = mark };

        here->outcome->store = store;
        if (store == &store_env)
                return here->env_result == EXIT_DONE ? put(here->request, store, &here->env, mark, here->text)
                                                     : here->env_result;
        if (!here->request->dry_run)
                arming_write_files_out(store_env_bootfs());
        return put_foremost(here->request, store, &where, mark, here->text, /* env_is_open= */ true);
}

/* --store: says more exactly than the choice what is missing. */
static int put_in_wished(struct here *here)
{
        const char *prefix = store_env_bootfs()->prefix;
        const struct store *store = here->request->store;
        _cleanup_free_ char *why = NULL;

        if (store == &store_efi) {
                why = efi_why_no_mark(prefix);
                if (why)
                        return no_store(_("no mark in an EFI variable: %s"), why);
        }
        if (store == &store_bootbits) {
                why = arming_why_no_bits(prefix, &here->asked, &here->outcome->mark);
                if (why)
                        return no_store(_("no mark in boot bits: %s"), why);
        }
        return put_here(here, store);
}

/* The first that takes it. */
static int put_in_best(struct here *here, const struct choice *choice)
{
        int r = EXIT_NO_STORE;
        bool tried = false;

        for (size_t i = 0; i < choice->n && r != EXIT_DONE && !boot_next_failed(); i++)
                if (choice->candidates[i].usable) {
                        tried = true;
                        r = put_here(here, choice->candidates[i].store);
                }
        if (tried)
                return r;
        if (!here->request->dry_run) /* which has said it */
                choice_complain(choice);
        for (size_t i = 0; i < choice->n; i++)
                if (choice->candidates[i].store == &store_env)
                        return put_here(here, &store_env); /* it has words of its own */
        return no_store(_("none of the stores that hibctl.conf names (Store=) takes a mark; 'hibctl mark --dry-run' "
                          "says why"));
}

static int choose_and_put(struct here *here)
{
        _cleanup_choice_ struct choice choice = { .n = 0 };

        choice_make(&choice, &here->request->settings, &here->outcome->mark, &here->env, &here->asked);
        here->outcome->considered = choice_json(&choice);
        if (here->request->dry_run)
                choice_explain(&choice);
        return put_in_best(here, &choice);
}

static int mark_here(const struct request *request, struct outcome *outcome)
{
        struct here here = { .request = request, .outcome = outcome };
        int r = arming_make_mark(&request->wish, &outcome->mark, here.text);

        if (r == EXIT_DONE)
                r = arming_check_grub(store_env_bootfs()->prefix, &here.asked);
        if (r != EXIT_DONE)
                return r;
        here.env_result = store_env.read(&here.env);
        /* A session that is marked there would be resumed first, wherever this mark is. */
        r = arming_check_other(&here.env, &outcome->mark, /* by_plan= */ false);
        if (r == EXIT_DONE)
                r = request->store ? put_in_wished(&here) : choose_and_put(&here);
        reading_free(&here.env);
        return r;
}

static int arm_here(const struct request *request, struct outcome *outcome)
{
        struct whereabouts where = { .or_read = !request->store };
        int r, closed;

        hibernation_warn();
        r = store_env.open(&where, writes_env(request));
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

/* Takes note of it for --json: WHY is translated, or NULL for a store that took the mark. */
static void consider(struct outcome *outcome, const struct store *store, bool usable, const char *why)
{
        struct json_object *o = json_object_new_object();

        add_text(o, "store", store->name);
        json_object_object_add(o, "usable", json_object_new_boolean(usable));
        add_text(o, "why", why);
        json_object_array_add(outcome->considered, o);
}

static int put_by_plan(const struct request *request, const struct store *store, const struct plan *plan,
                       struct outcome *outcome)
{
        struct whereabouts where = { .plan = plan, .area = &plan->mark };
        int r;

        outcome->store = store;
        r = put_foremost(request, store, &where, &plan->mark, plan->text, /* env_is_open= */ false);
        consider(outcome, store, r == EXIT_DONE,
                 r == EXIT_DONE ? _("it takes the mark") : _("it did not take the mark"));
        return r;
}

static int efi_by_plan(const struct request *request, const struct plan *plan, struct outcome *outcome)
{
        static const char why[] = N_("no mark in an EFI variable: GRUB would not find it, or there was no room for "
                                     "it, says the plan; 'hibctl prepare -v' tells which");

        if (plan->efi)
                return put_by_plan(request, &store_efi, plan, outcome);
        consider(outcome, &store_efi, false, _(why));
        if (request->store)
                return no_store("%s", _(why));
        say_step("%s", _(why));
        return EXIT_NO_STORE;
}

/* The boot filesystem if it is not the sleeping system's, else a variable, else the boot bits, which are nobody's. */
static int choose_by_plan(const struct request *request, const struct plan *plan, struct outcome *outcome)
{
        struct whereabouts where = { .plan = plan, .area = &plan->mark };
        int r = EXIT_NO_STORE;

        if (!request->store && plan->boot_state == PLAN_BOOT_HELD) {
                say(_("UUID=%s: the sleeping system has the boot filesystem mounted, so it is not touched"),
                    plan->boot.uuid);
                consider(outcome, &store_env, false, _("the sleeping system has the boot filesystem mounted"));
        } else if (is_wanted(request, &store_env))
                r = put_by_plan(request, &store_env, plan, outcome);
        if (r != EXIT_DONE && is_wanted(request, &store_efi) && !boot_next_failed())
                r = efi_by_plan(request, plan, outcome);
        if (r == EXIT_DONE || boot_next_failed() || (request->store && request->store != &store_bootbits))
                return r;
        return plan->bootbits ? put_by_plan(request, &store_bootbits, plan, outcome) : refuse_bootbits(&where);
}

static int arm_by_plan(const struct request *request, struct outcome *outcome)
{
        struct plan plan;
        int r = plan_read(request->plan, &plan);

        if (r == EXIT_DONE && plan.boot_state == PLAN_BOOT_UNKNOWN)
                r = refuse(
                        _("%s: the plan is a lasting one and does not know what the sleeping system has mounted; make "
                          "one for this jump with 'hibctl prepare'"),
                        request->plan);
        if (r == EXIT_DONE)
                r = arming_check_plan(request->plan, &plan, request->check_image);
        if (r != EXIT_DONE)
                return r;
        outcome->mark = plan.mark;
        outcome->considered = json_object_new_array();
        return choose_by_plan(request, &plan, outcome);
}

static int print_words(const struct request *request, const struct outcome *outcome)
{
        const struct mark *mark = &outcome->mark;

        if (request->dry_run)
                say(_("would mark: image on %s, offset %llu pages, kernel %s"), mark->image,
                    (unsigned long long)mark->offset, mark->kernel);
        else
                say(_("marked: the power-on after this hibernation resumes from %s with %s, once"), mark->image,
                    mark->kernel);
        if (request->dry_run && boot_next.wanted)
                say(_("would set BootNext, so that the firmware starts the entry of this time, once"));
        return EXIT_DONE;
}

static int arm(const struct request *request)
{
        struct outcome outcome = { .considered = NULL };
        int r = request->dry_run ? EXIT_DONE : take_lock();

        if (r == EXIT_DONE)
                r = check_boot_next(request);
        if (r == EXIT_DONE)
                r = request->plan ? arm_by_plan(request, &outcome) : arm_here(request, &outcome);
        if (r != EXIT_DONE && boot_next.tried && boot_next.result == EXIT_DONE)
                bootnext_restore();
        if (r != EXIT_DONE || !globals.json)
                json_object_put(outcome.considered);
        if (r != EXIT_DONE)
                return r;
        return globals.json ? print_result(request, &outcome) : print_words(request, &outcome);
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
        if (request->check_image && !request->plan)
                return usage_error(_("--check-image goes with --plan: in the running system there is no image yet"));
        return EXIT_DONE;
}

static int run(int argc, char *argv[])
{
        struct request request = { 0 };
        int c, r;

        while ((c = getopt_long(argc, argv, "nh", options, NULL)) != -1)
                switch (c) {
                case OPTION_STORE:
                        request.store = settings_find_store(optarg);
                        if (!request.store)
                                return usage_error(_("--store=%s: unknown store; there are: env, efi, bootbits"),
                                                   optarg);
                        break;
                case OPTION_CHECK_IMAGE:
                        request.check_image = true;
                        break;
                case OPTION_BOOT_NEXT:
                        request.boot_next = true;
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
        r = settings_read(&request.settings);
        if (r != EXIT_DONE)
                return r;
        if (!request.dry_run && need_root() != EXIT_DONE)
                return EXIT_FAILED;
        return arm(&request);
}

const struct command command_mark = {
        .name = "mark",
        .arguments = "[--dry-run] [--plan=FILE [--check-image] | [--image=DEVICE [--offset=PAGES]]\n"
                     "       [--kernel=FILE] [--initrd=FILE|none]] [--store=STORE] [--boot-next]",
        .summary = N_("arm: the next power-on resumes from the image, once"),
        .options = N_("      --image=DEVICE  device, tag (UUID=...) or swap file that holds the image;\n"
                      "                      default: as the running kernel is set to use\n"
                      "      --offset=PAGES  where the swap area starts on that device; default: 0\n"
                      "      --kernel=FILE   kernel to resume with; default: the running one's file\n"
                      "      --initrd=FILE   its initial ramdisk, or 'none': then the kernel itself must know\n"
                      "                      the resume device, by the UUID of its partition\n"
                      "      --plan=FILE     in a save kernel: mark what 'hibctl prepare' planned, touching\n"
                      "                      nothing that the sleeping system holds\n"
                      "      --check-image   after the image was written: refuse if it is not there, and see to it\n"
                      "                      that all of it is on the disk\n"
                      "      --store=STORE   where to write the mark: env, efi or bootbits; default: what\n"
                      "                      hibctl.conf(5) says, or the best that is safe (--dry-run tells why)\n"
                      "      --boot-next     where another system comes first in the firmware's boot order: start\n"
                      "                      the one that was started this time, once (BootNext)\n"
                      "  -n, --dry-run       write nothing, say what would be done\n"
                      "  -h, --help          show this help\n"),
        .run = run,
};
