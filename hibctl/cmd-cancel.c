/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl cancel: disarm. hibctl settle: clear what is spent.
 */
#include "config.h"

#include "bootnext.h"
#include "command.h"
#include "globals.h"
#include "json.h"
#include "plan.h"
#include "remount.h"
#include "situation.h"

enum { OPTION_DISCARD = 256, OPTION_LOCATION, OPTION_AT_BOOT };

static const struct option cancel_options[] = {
        { "discard-image", no_argument, NULL, OPTION_DISCARD },
        { "hibernate-location", no_argument, NULL, OPTION_LOCATION },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

static const struct option settle_options[] = {
        { "at-boot", no_argument, NULL, OPTION_AT_BOOT },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

/* Something is in the slot that is not the empty mark. A mark of a newer version is left for a newer version to
 * settle, but can be cancelled. */
static bool is_marked(const struct situation *s, size_t at)
{
        const struct reading *r = &s->readings[at];

        return r->slot == SLOT_FOUND && (r->status != SOURCE_VALID || r->mark.state != MARK_NONE);
}

/* So is what the module takes for damaged, but GRUB's plain script might resume by; that it cannot be overwritten, and
 * what to do, write says. */
static bool is_to_be_cancelled(const struct situation *s, size_t at)
{
        const struct reading *r = &s->readings[at];
        bool is_out_of_reach = r->slot == SLOT_DUPLICATE || r->slot == SLOT_STRADDLES || r->slot == SLOT_BROKEN;

        return is_marked(s, at) || (at == AT_ENV && r->status == SOURCE_DAMAGED && is_out_of_reach);
}

/* A system that was resumed swaps to the area again, so the mark stays. It was taken, and the next one overwrites it.
 * Where there is no swap area, there is no image either, and the bytes are somebody else's by now. */
static bool is_harmless(const struct situation *s, size_t at)
{
        const struct reading *r = &s->readings[at];

        if (r->foreign) {
                say_step(_("%s: the mark there does nothing, because there is no swap area; it is left alone"),
                         r->place);
                return true;
        }
        if (at != AT_BOOTBITS || !r->why_not_now || r->status != SOURCE_VALID || r->mark.state != MARK_TAKEN ||
            s->seen[at] != IMAGE_GONE)
                return false;
        say_step(_("%s: the mark there was used and does nothing; it can be cleared when the swap area is not in use"),
                 r->place);
        return true;
}

/* Puts the empty mark into every store in which WHICH finds something. EXIT_NOTHING if there is none; the first error,
 * but the other stores are cleared all the same. */
static int clear(const struct situation *s, bool (*which)(const struct situation *s, size_t at))
{
        char empty[MARK_WIDTH];
        int result = EXIT_NOTHING;

        mark_format_empty(empty);
        for (size_t i = 0; i < N_STORES; i++) {
                if (!which(s, i) || is_harmless(s, i))
                        continue;
                int r = stores[i]->write(empty);
                if (result == EXIT_NOTHING || result == EXIT_DONE)
                        result = r;
        }
        return result;
}

/* What was done, to be said when the store is closed and so everything is proved. */
struct outcome {
        const char *what; /* key in JSON */
        bool done;
        const char *also; /* another key, or NULL */
        bool also_done;
        const char *words;  /* translated, or NULL */
        const char *reason; /* translated, or NULL */
        enum verdict_reason was;
};

static void report(const struct outcome *outcome)
{
        struct json_object *o;

        if (outcome->reason)
                say("%s: %s", outcome->words, outcome->reason);
        else if (outcome->words)
                say("%s", outcome->words);
        if (!globals.json)
                return;
        o = json_object_new_object();
        json_object_object_add(o, outcome->what, json_object_new_boolean(outcome->done));
        if (outcome->also)
                json_object_object_add(o, outcome->also, json_object_new_boolean(outcome->also_done));
        add_text(o, "was", verdict_reason_name(outcome->was));
        print_json(o);
}

/* What names the image to discard: what decided, else a mark, else grub.cfg, else the running kernel. */
static bool find_image(const struct situation *s, struct mark *mark)
{
        const struct mark *named = situation_mark(s, s->judgement.source);

        for (size_t i = 0; i < N_SOURCES && !named; i++)
                named = situation_mark(s, i);
        if (!named)
                return target_configured(mark);
        *mark = *named;
        return true;
}

static int discard_image(const struct situation *s)
{
        struct mark mark;
        int r = find_image(s, &mark) ? target_discard_image(&mark) : EXIT_NOTHING;

        if (r == EXIT_NOTHING)
                say(_("there is no image to discard"));
        if (r == EXIT_DONE)
                say(_("discarded: %s holds no image any more"), mark.image);
        return r;
}

/* Of two results the one that tells more: an error, else that something was done. */
static int both(int a, int b)
{
        if (a == EXIT_NOTHING || (a == EXIT_DONE && b != EXIT_NOTHING))
                return b;
        return a;
}

/* --discard-image, --hibernate-location */
static bool discard, location;

/* What the boot loader and we have put into variables beside the mark. LIVE: systemd's variable goes on naming an image
 * that is there, or may be; then that a try was made is not forgotten, or there would be a second one. */
static int clear_variables(const struct situation *s, bool live)
{
        int r = bootnext_restore();

        return live ? r : both(r, systemd_forget_try(&s->systemd));
}

static int cancel_systemd(const struct situation *s, bool discarded)
{
        int r = location ? systemd_delete() : EXIT_NOTHING;
        bool live = situation_systemd_is_live(s) && !discarded;

        if (r == EXIT_DONE)
                say(_("deleted systemd's HibernateLocation"));
        else if (r == EXIT_NOTHING && location)
                say(_("there is no HibernateLocation to delete"));
        else if (r == EXIT_NOTHING && live)
                say(_("systemd's HibernateLocation still names the image on %s; 'hibctl cancel --hibernate-location' "
                      "deletes it"),
                    s->systemd.mark.image);
        return both(r, clear_variables(s, live && r != EXIT_DONE));
}

/* OTHERS: marks elsewhere were cleared. */
static int cannot_tell(const struct reading *variable, bool others)
{
        const char *why =
                variable->why_not_writable ? variable->why_not_writable : _("the firmware or the kernel fails; reboot");

        if (others)
                return fail(_("%s: it cannot be read, and may hold a mark; what was marked elsewhere is cleared: %s"),
                            variable->place, why);
        return fail(_("%s: it cannot be read, and may hold a mark: %s"), variable->place, why);
}

/* R: of clearing what could be read. */
static int check_all_seen(const struct situation *s, int r)
{
        for (size_t i = 0; i < N_STORES; i++)
                if (s->sources[i].status == SOURCE_UNREADABLE && s->readings[i].place)
                        r = cannot_tell(&s->readings[i], r == EXIT_DONE);
        if (s->no_request)
                r = fail(_("%s/grub.cfg: it cannot be read, so the boot bits that it names may hold a mark"),
                         s->readings[AT_ENV].prefix);
        return r;
}

/* An initramfs that knows the area looks for an image there, whatever GRUB does. Returns whether there is one. */
static bool say_what_stays(const struct situation *s)
{
        for (size_t i = 0; i < N_SOURCES; i++)
                if (s->seen[i] == IMAGE_PRESENT) {
                        say(_("the image on %s is still there, and an ordinary start may resume it; 'hibctl cancel "
                              "--discard-image' discards it"),
                            situation_mark(s, i)->image);
                        return true;
                }
        return false;
}

static int cancel_mark(const struct situation *s, struct outcome *outcome)
{
        int r, image = EXIT_NOTHING, variables;

        *outcome = (struct outcome){ .what = "cancelled", .was = s->judgement.reason };
        /* The image first: if that fails, the mark still tells of it. */
        if (discard) {
                image = discard_image(s);
                if (image != EXIT_DONE && image != EXIT_NOTHING)
                        return image;
        }
        r = clear(s, is_to_be_cancelled);
        r = check_all_seen(s, r);
        variables = cancel_systemd(s, image == EXIT_DONE);
        outcome->done = r == EXIT_DONE;
        if (r == EXIT_NOTHING) {
                r = both(image, variables);
                outcome->words = r == EXIT_NOTHING ? _("nothing is marked") : NULL;
                return r;
        }
        if (r == EXIT_DONE && image != EXIT_DONE && say_what_stays(s))
                outcome->words = _("cancelled");
        else if (image == EXIT_DONE || location || !situation_systemd_is_live(s))
                outcome->words = _("cancelled: the next power-on boots normally");
        else
                outcome->words = _("cancelled");
        return both(r, variables);
}

/* Of the marks alone in which WHICH finds something, by what can be seen from here. */
static enum verdict_reason what_it_was(const struct situation *s, bool (*which)(const struct situation *s, size_t at))
{
        struct source sources[N_STORES];
        struct judgement judgement;
        size_t n = 0;

        for (size_t i = 0; i < N_STORES; i++)
                if (which(s, i)) {
                        sources[n] = s->sources[i];
                        sources[n++].image = s->seen[i];
                }
        verdict_judge(sources, n, &judgement);
        return judgement.reason;
}

/* ---- at boot ---- */

static bool at_boot;

static bool is_armed(const struct situation *s, size_t at)
{
        return is_marked(s, at) && s->readings[at].status == SOURCE_VALID && s->readings[at].mark.state == MARK_ARMED &&
               !situation_is_spent(s, at);
}

/* A session of this system was marked and not resumed at this start: its device was not there, or somebody chose
 * another entry. By now its filesystems have been written to, so no later power-on may resume it by itself. */
static bool is_overtaken(const struct situation *s, size_t at)
{
        return at_boot && is_armed(s, at) && situation_is_own(s, at);
}

/* The same of what systemd left behind. A note that cannot be compared, because the image is away, may be about an
 * earlier one. */
static bool is_location_overtaken(const struct situation *s)
{
        return at_boot && situation_systemd_is_live(s) && !s->systemd.tried && situation_is_own(s, AT_SYSTEMD);
}

static void say_overtaken(const char *place)
{
        say(_("%s: the session that is marked there was not resumed at this start, so GRUB will not resume it by itself "
              "any more"),
            place);
}

/* EXIT_NOTHING if there is none; the first error, but the others are disarmed all the same. systemd's variable first:
 * GRUB would resume by it when a mark is gone. */
static int disarm_overtaken(const struct situation *s)
{
        int result = is_location_overtaken(s) ? systemd_delete() : EXIT_NOTHING;

        if (result == EXIT_DONE)
                say_overtaken("HibernateLocation");
        for (size_t i = 0; i < N_STORES; i++) {
                int r = is_overtaken(s, i) ? store_take(stores[i], &s->readings[i]) : EXIT_NOTHING;

                if (r == EXIT_DONE)
                        say_overtaken(s->readings[i].place);
                result = both(result, r);
        }
        return result;
}

/* ---- settling ---- */

/* A mark stays that may yet be resumed: then BootNext stays, too. */
static bool is_still_armed(const struct situation *s, bool disarmed)
{
        for (size_t i = 0; i < N_STORES; i++)
                if (is_armed(s, i) && !(disarmed && is_overtaken(s, i)))
                        return true;
        return false;
}

static bool is_left_alone(const struct situation *s, size_t at)
{
        return is_marked(s, at) && !is_overtaken(s, at);
}

static bool is_any(const struct situation *s, bool (*which)(const struct situation *s, size_t at))
{
        for (size_t i = 0; i < N_STORES; i++)
                if (which(s, i))
                        return true;
        return false;
}

/* What --json and, but for what was disarmed, words tell of: what was done, else what was left. */
static enum verdict_reason what_was_settled(const struct situation *s, bool cleared)
{
        struct judgement of_systemd;

        if (cleared)
                return what_it_was(s, situation_is_spent);
        if (is_any(s, is_overtaken) || !is_location_overtaken(s))
                return what_it_was(s, is_any(s, is_overtaken) ? is_overtaken : is_marked);
        verdict_judge(&s->sources[AT_SYSTEMD], 1, &of_systemd);
        return of_systemd.reason;
}

static int settle_mark(const struct situation *s, struct outcome *outcome)
{
        int r = clear(s, situation_is_spent), disarmed = disarm_overtaken(s), variables = EXIT_NOTHING;
        bool all_disarmed = disarmed == EXIT_DONE, live = situation_systemd_is_live(s);
        enum verdict_reason left;

        *outcome = (struct outcome){
                .what = "cleared", .done = r != EXIT_NOTHING, .also = "disarmed", .also_done = all_disarmed
        };
        if (!is_still_armed(s, all_disarmed))
                variables = clear_variables(s, live && !(all_disarmed && is_location_overtaken(s)));
        outcome->was = what_was_settled(s, outcome->done);
        if (outcome->done) {
                outcome->words = _("cleared");
                outcome->reason = _(verdict_reason_text(outcome->was));
        } else if (is_any(s, is_left_alone)) {
                left = what_it_was(s, is_left_alone);
                outcome->words = left == REASON_TRIED
                                         ? _("left alone ('hibctl cancel --discard-image' gives the session up)")
                                         : _("left alone");
                outcome->reason = _(verdict_reason_text(left));
        }
        return both(both(r, disarmed), variables);
}

/* The environment block cannot be reached, for a reason that has been said: R. What is marked elsewhere is disarmed all
 * the same; an image is not given up, because the mark in the block would stay. */
static int cancel_elsewhere(const struct situation *s, int r)
{
        if (clear(s, is_marked) == EXIT_DONE)
                say(_("the environment block may hold a mark; what was marked elsewhere is cleared"));
        if (discard)
                say(_("the image is not discarded, because a mark in the environment block would still tell of it; mend "
                      "that, and cancel again"));
        clear_variables(s, situation_systemd_is_live(s));
        return r;
}

/* With the lock. */
static int with_situation(int (*act)(const struct situation *s, struct outcome *outcome))
{
        _cleanup_situation_ struct situation s = { 0 };
        struct outcome outcome = { 0 };
        int r, closed;

        r = situation_open(&s, /* for_writing= */ true);
        if (r == EXIT_DONE)
                r = act(&s, &outcome);
        else if (act == cancel_mark)
                r = cancel_elsewhere(&s, r);
        else
                disarm_overtaken(&s); /* what is elsewhere all the same; R has been said */
        closed = situation_close();
        if (closed != EXIT_DONE && (r == EXIT_DONE || r == EXIT_NOTHING))
                r = closed;
        if (r == EXIT_DONE || r == EXIT_NOTHING)
                report(&outcome);
        return r;
}

static int run_cancel(int argc, char *argv[])
{
        int c;

        while ((c = getopt_long(argc, argv, "h", cancel_options, NULL)) != -1)
                switch (c) {
                case OPTION_DISCARD:
                        discard = true;
                        break;
                case OPTION_LOCATION:
                        location = true;
                        break;
                case 'h':
                        print_command_help(&command_cancel);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_cancel);
                }
        if (optind < argc)
                return usage_error(_("%s: cancel takes no arguments; 'hibctl cancel --help' lists its options"),
                                   argv[optind]);
        c = need_root();
        if (c == EXIT_DONE)
                c = take_lock();
        return c == EXIT_DONE ? with_situation(cancel_mark) : c;
}

static int settle(void)
{
        _cleanup_free_ char *plan = in_root(PLAN_IN_RUN);
        int r, mounted, forgotten;

        /* A plan is for one jump: the next one starts from another state. */
        forgotten = plan_forget(plan);
        /* Before the marks: looking at those may take a mount namespace of our own. A plan that stays calls the boot
         * filesystem released, so that stays unmounted. */
        mounted = forgotten == EXIT_DONE ? remount_remembered() : EXIT_NOTHING;
        if (mounted == EXIT_FAILED)
                return mounted;
        r = with_situation(settle_mark);
        r = r == EXIT_NOTHING ? mounted : r;
        return forgotten != EXIT_DONE && (r == EXIT_DONE || r == EXIT_NOTHING) ? forgotten : r;
}

static int run_settle(int argc, char *argv[])
{
        int c;

        while ((c = getopt_long(argc, argv, "h", settle_options, NULL)) != -1)
                switch (c) {
                case OPTION_AT_BOOT:
                        at_boot = true;
                        break;
                case 'h':
                        print_command_help(&command_settle);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_settle);
                }
        if (optind < argc)
                return usage_error(_("%s: settle takes no arguments; 'hibctl settle --help' lists its options"),
                                   argv[optind]);
        c = need_root();
        if (c == EXIT_DONE)
                c = take_lock();
        return c == EXIT_DONE ? settle() : c;
}

const struct command command_cancel = {
        .name = "cancel",
        .arguments = "[--discard-image] [--hibernate-location]",
        .summary = N_("disarm: the next power-on boots normally"),
        .options = N_("      --discard-image       also put the swap signature back, so that the image is gone\n"
                      "      --hibernate-location  also delete systemd's EFI variable of that name\n"
                      "  -h, --help                show this help\n"),
        .run = run_cancel,
};

const struct command command_settle = {
        .name = "settle",
        .arguments = "[--at-boot]",
        .summary = N_("after a resume or a failed one: clear a mark that is spent or stale"),
        .options =
                N_("      --at-boot  the system starts afresh: GRUB shall not resume by itself any more what it has\n"
                   "                 marked and was started without\n"
                   "  -h, --help     show this help\n\n"
                   "A boot filesystem that 'hibctl prepare --unmount' unmounted is mounted again.\n"
                   "Call it when hibernating is over, not right after 'systemctl hibernate', which does not wait:\n"
                   "a mark without an image is taken for a stale one.\n"),
        .run = run_settle,
};
