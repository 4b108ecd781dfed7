/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl mark: arm.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "command.h"
#include "globals.h"
#include "json.h"
#include "situation.h"

enum { OPTION_IMAGE = 256, OPTION_OFFSET, OPTION_KERNEL, OPTION_INITRD, OPTION_STORE };

static const struct option options[] = {
        { "image", required_argument, NULL, OPTION_IMAGE },
        { "offset", required_argument, NULL, OPTION_OFFSET },
        { "kernel", required_argument, NULL, OPTION_KERNEL },
        { "initrd", required_argument, NULL, OPTION_INITRD },
        { "store", required_argument, NULL, OPTION_STORE },
        { "dry-run", no_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

struct request {
        struct target_wish wish;
        const struct store *store;
        bool dry_run;
};

static int set_id(struct mark *mark)
{
        unsigned char random[MARK_ID_LEN / 2];

        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return fail(_("no random bits for the mark's id: %m"));
        for (size_t i = 0; i < sizeof(random); i++)
                sprintf(mark->id + 2 * i, "%02x", random[i]);
        return EXIT_DONE;
}

/* strftime writes the offset as +0100, the mark has +01:00. */
static int set_time(struct mark *mark)
{
        char text[64];
        time_t now = time(NULL);
        struct tm tm;

        if (!localtime_r(&now, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &tm) != MARK_TIME_LEN - 1)
                return fail(_("the clock's time cannot be written in a mark; set the clock"));
        snprintf(mark->time, sizeof(mark->time), "%.22s:%.2s", text, text + 22);
        return EXIT_DONE;
}

static int make_text(const struct target_wish *wish, struct mark *mark, char text[MARK_WIDTH])
{
        enum mark_error e;
        int r;

        *mark = (struct mark){ .state = MARK_ARMED };
        r = target_find_image(wish, mark);
        if (r == EXIT_DONE)
                r = target_find_kernel(wish, mark);
        if (r == EXIT_DONE)
                r = set_id(mark);
        if (r == EXIT_DONE)
                r = set_time(mark);
        if (r != EXIT_DONE)
                return r;
        e = mark_format(mark, text, NULL);
        if (e == MARK_E_TOO_LONG)
                return refuse(_("%s and %s: the paths are too long for a mark of %d bytes; use shorter ones"),
                              mark->kernel, mark->initrd, MARK_WIDTH);
        if (e != MARK_OK)
                return refuse(_("%s, %s, %s: one of them has a character that a mark cannot hold; rename it"),
                              mark->kernel, mark->initrd, mark->release);
        return EXIT_DONE;
}

static int print_result(const struct request *request, const struct mark *mark)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "armed", json_object_new_boolean(!request->dry_run));
        json_object_object_add(o, "dry_run", json_object_new_boolean(request->dry_run));
        add_text(o, "store", request->store->name);
        add_mark(o, mark);
        return print_json(o);
}

static int print_words(const struct request *request, const struct mark *mark)
{
        if (request->dry_run)
                say(_("would mark: image on %s, offset %llu pages, kernel %s"), mark->image,
                    (unsigned long long)mark->offset, mark->kernel);
        else
                say(_("marked: the next power-on resumes from %s with %s, once"), mark->image, mark->kernel);
        return EXIT_DONE;
}

/* Whether the store could take the mark, without writing: what --dry-run can promise. */
static int explain_store(const struct reading *reading)
{
        if (!reading->writable)
                return no_store(_("%s: GRUB could not consume a mark there: %s"), reading->place,
                                reading->why_not_writable);
        if (reading->slot != SLOT_FOUND)
                return no_store(_("%s: there is no usable slot for a mark; run 'hibctl setup' to reserve it"),
                                reading->place);
        say(_("the mark would go to the slot in %s: GRUB can read and consume it there"), reading->place);
        return EXIT_DONE;
}

/* Another system on this machine may share the block, and sleep: its mark is not ours to overwrite. */
static int check_other(const struct reading *reading, const struct mark *mark)
{
        const struct mark *other = &reading->mark;

        if (reading->status != SOURCE_VALID || other->empty ||
            (strcmp(other->image, mark->image) == 0 && other->offset == mark->offset) ||
            target_look_at_image(other, NULL, NULL) != IMAGE_PRESENT)
                return EXIT_DONE;
        return refuse(
                _("%s: another hibernated session is marked there, and its image is on %s; resume that, or give it "
                  "up with 'hibctl cancel --discard-image'"),
                reading->place, other->image);
}

/* A mark that GRUB does not look for would do nothing. */
static int check_grub_asks(const struct reading *reading)
{
        struct grub_request asked;
        int r = grub_request_read(reading->prefix, &asked);

        if (r == -EBADMSG)
                return no_store(_("%s/grub.cfg: its line \"hibresume probe\" is not as hibctl's script writes it; run "
                                  "update-grub"),
                                reading->prefix);
        if (r < 0)
                return no_store(_("%s/grub.cfg: cannot read whether GRUB looks for a mark: %s; make it anew with "
                                  "update-grub"),
                                reading->prefix, strerror(-r));
        if (!asked.asks)
                return no_store(_("%s/grub.cfg: it does not look for a mark, so GRUB would boot as ever; run "
                                  "update-grub"),
                                reading->prefix);
        return EXIT_DONE;
}

static int use_store(const struct request *request, struct mark *mark)
{
        _cleanup_reading_ struct reading reading = { 0 };
        const struct store *store = request->store;
        char text[MARK_WIDTH];
        int r = make_text(&request->wish, mark, text);

        if (r == EXIT_DONE)
                r = store->read(&reading);
        if (r == EXIT_DONE)
                r = check_other(&reading, mark);
        if (r == EXIT_DONE)
                r = check_grub_asks(&reading);
        if (r == EXIT_DONE)
                r = request->dry_run ? explain_store(&reading) : store->write(text);
        return r;
}

/* The store is open while the kernel is looked for: they may be on the same filesystem, mounted for this moment. */
static int arm(const struct request *request)
{
        struct mark mark;
        int r = request->dry_run ? EXIT_DONE : take_lock(), closed;

        if (r != EXIT_DONE)
                return r;
        r = request->store->open(/* for_writing= */ !request->dry_run);
        if (r == EXIT_DONE)
                r = use_store(request, &mark);
        closed = request->store->close();
        r = r == EXIT_DONE ? closed : r;
        if (r != EXIT_DONE)
                return r;
        return globals.json ? print_result(request, &mark) : print_words(request, &mark);
}

static int run(int argc, char *argv[])
{
        struct request request = { .store = &store_env };
        int c;

        while ((c = getopt_long(argc, argv, "nh", options, NULL)) != -1)
                switch (c) {
                case OPTION_IMAGE:
                        request.wish.image = optarg;
                        break;
                case OPTION_OFFSET:
                        request.wish.offset = optarg;
                        break;
                case OPTION_KERNEL:
                        request.wish.kernel = optarg;
                        break;
                case OPTION_INITRD:
                        request.wish.initrd = optarg;
                        break;
                case OPTION_STORE:
                        if (strcmp(optarg, store_env.name) != 0)
                                return usage_error(_("--store=%s: unknown store; there is: %s"), optarg,
                                                   store_env.name);
                        break;
                case 'n':
                        request.dry_run = true;
                        break;
                case 'h':
                        print_command_help(&command_mark);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_mark);
                }
        if (optind < argc)
                return usage_error(_("%s: mark takes no arguments; 'hibctl mark --help' lists its options"),
                                   argv[optind]);
        if (request.wish.offset && !request.wish.image)
                return usage_error(_("--offset goes with --image, which names the device that it is on"));
        if (!request.dry_run && need_root() != EXIT_DONE)
                return EXIT_FAILED;
        return arm(&request);
}

const struct command command_mark = {
        .name = "mark",
        .arguments = "[--dry-run] [--image=DEVICE [--offset=PAGES]] [--kernel=FILE] [--initrd=FILE|none]",
        .summary = N_("arm: the next power-on resumes from the image, once"),
        .options = N_("      --image=DEVICE  device, tag (UUID=...) or swap file that holds the image;\n"
                      "                      default: as the running kernel is set to use\n"
                      "      --offset=PAGES  where the swap area starts on that device; default: 0\n"
                      "      --kernel=FILE   kernel to resume with; default: the running one's file\n"
                      "      --initrd=FILE   its initial ramdisk, or 'none': then the kernel itself must know\n"
                      "                      the resume device, by the UUID of its partition\n"
                      "      --store=STORE   where to write the mark: env\n"
                      "  -n, --dry-run       write nothing, say what would be done\n"
                      "  -h, --help          show this help\n"),
        .run = run,
};
