/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl resume: in the load kernel, before anything is mounted, hand the image to the kernel. If it comes back, there
 * was nothing to resume, or it failed, and the machine boots on.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "command.h"
#include "device.h"
#include "globals.h"
#include "json.h"
#include "plan.h"
#include "store.h"
#include "systemd.h"
#include "target.h"
#include "waiting.h"

enum { OPTION_DEVICE = 256, OPTION_OFFSET, OPTION_PLAN, OPTION_TIMEOUT };

static const struct option options[] = {
        { "device", required_argument, NULL, OPTION_DEVICE },
        { "offset", required_argument, NULL, OPTION_OFFSET },
        { "plan", required_argument, NULL, OPTION_PLAN },
        { "timeout", required_argument, NULL, OPTION_TIMEOUT },
        { "dry-run", no_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

struct request {
        const char *device, *offset, *plan, *timeout;
        bool dry_run;
};

/* Where the image is. */
struct place {
        char *tag; /* owned */
        uint64_t offset;
        char *device; /* node; owned */
        bool has_plan;
        struct plan plan;
};

static void place_free(struct place *p)
{
        free(p->tag);
        free(p->device);
}
#define _cleanup_place_ _cleanup_(place_free)

/* ---- where ---- */

static int parse_offset(const char *text, uint64_t *offset)
{
        char *end;

        errno = 0;
        *offset = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno != 0 || *offset >= MARK_OFFSET_LIMIT)
                return usage_error(_("offset %s: not a number of pages"), text);
        return EXIT_DONE;
}

/* What the kernel was started with: words of the text that they were read from, or NULL. */
struct words {
        const char *device, *offset;
        bool noresume;
};

/* The last of several counts, as for the kernel. TEXT gets the whole line; the caller frees. */
static int read_command_line(char **text, struct words *words)
{
        _cleanup_free_ char *path = in_root("/proc/cmdline");
        char *save = NULL;

        if (read_whole_file(path, 65536, text) < 0)
                return fail(_("%s: cannot read the kernel's command line; mount /proc"), path);
        for (char *word = strtok_r(*text, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save)) {
                if (strcmp(word, "noresume") == 0)
                        words->noresume = true;
                if (strncmp(word, "resume=", 7) == 0)
                        words->device = word + 7;
                if (strncmp(word, "resume_offset=", 14) == 0)
                        words->offset = word + 14;
        }
        return EXIT_DONE;
}

static int take_plan(const char *file, struct place *p)
{
        int r = plan_read(file, &p->plan);

        p->has_plan = true;
        p->tag = xstrdup(p->plan.mark.image);
        p->offset = p->plan.mark.offset;
        return r;
}

static int take_words(const char *device, const char *offset, struct place *p)
{
        p->tag = xstrdup(device ? device : "");
        return offset ? parse_offset(offset, &p->offset) : EXIT_DONE;
}

static int find_place(const struct request *request, struct place *p)
{
        _cleanup_free_ char *text = NULL;
        struct words words = { .device = NULL };
        int r = read_command_line(&text, &words);

        if (r != EXIT_DONE)
                return r;
        /* Who chose that in the boot menu has given the session up, whatever else names it. */
        if (words.noresume) {
                say(_("the kernel was started with noresume; not resuming"));
                return EXIT_NOTHING;
        }
        if (request->plan)
                r = take_plan(request->plan, p);
        else if (request->device)
                r = take_words(request->device, request->offset, p);
        else
                r = take_words(words.device, words.offset, p);
        if (r == EXIT_DONE && !*p->tag) {
                say(_("no resume device is named: neither resume= on the kernel's command line nor --device"));
                return EXIT_NOTHING;
        }
        return r;
}

/* ---- the image ---- */

static int check_image(const struct place *p, struct image_header *header)
{
        uint32_t page_size = (uint32_t)sysconf(_SC_PAGESIZE);
        int r = area_read_header(p->device, p->offset * page_size, header);

        if (r < 0)
                return fail(_("%s: cannot read the swap area at offset %" PRIu64 " pages: %s"), p->device, p->offset,
                            strerror(-r));
        if (header->kind == IMAGE_SWSUSP && header->page_size == page_size)
                return EXIT_DONE;
        if (header->kind == IMAGE_SWSUSP)
                return refuse(_("%s: the image was written by a kernel with pages of %u bytes; this one has %u"),
                              p->device, header->page_size, page_size);
        if (header->kind != IMAGE_SWAP && header->kind != IMAGE_NONE)
                return refuse(_("%s: an image of another kind (uswsusp, TuxOnIce), which the kernel does not resume"),
                              p->device);
        say(_("%s: there is no hibernation image; booting on"), p->device);
        return EXIT_NOTHING;
}

/* ---- the mark ---- */

/* Where the firmware's variables cannot be reached at all, as in an initramfs without efivarfs, GRUB has done it. */
static bool may_hold_a_mark(const struct store *store, const struct reading *reading)
{
        return reading->status == SOURCE_UNREADABLE && (store != &store_efi || !reading->why_not_writable);
}

/* Takes the mark in an open store, if it is armed for this image. */
static int take(const struct store *store, const struct mark *image)
{
        _cleanup_reading_ struct reading reading = { 0 };
        int r = store->read(&reading), same;

        if (r == EXIT_DONE && may_hold_a_mark(store, &reading))
                return fail(_("%s: it cannot be read, and may hold a mark by which the image would be resumed once "
                              "more; the image is left alone"),
                            reading.place ? reading.place : store->name);
        if (r != EXIT_DONE || reading.status != SOURCE_VALID || reading.mark.state != MARK_ARMED)
                return r;
        same = target_compare_areas(&reading.mark, image);
        if (same < 0)
                return fail(_("%s: cannot look at the device: %s"), reading.mark.image, strerror(-same));
        if (same == 0)
                return EXIT_DONE;
        r = store_take(store, &reading);
        if (r == EXIT_DONE)
                say_step(_("%s: took the mark"), reading.place);
        return r;
}

/* As systemd's own tool does before it resumes, which comes too late now; and as that, goes on if it cannot: GRUB's
 * note of the try keeps it from a second one. */
static void forget_location(const struct mark *image)
{
        struct systemd_claim claim;

        if (systemd_read(&claim) == SOURCE_VALID && target_same_area(&claim.mark, image))
                systemd_delete();
}

/* GRUB has taken it as a rule; who comes here by another way must not leave it armed, or a resume that fails would be
 * tried for ever. The boot filesystem is touched only if the plan says that nobody has it. */
static int take_marks(const struct place *p)
{
        struct mark image = { .offset = p->offset, .page_size = (uint32_t)sysconf(_SC_PAGESIZE) };
        struct whereabouts where = { .plan = &p->plan, .area = &image };
        _cleanup_free_ char *node = NULL;
        dev_t dev;
        int r, closed;

        /* The kernel's own name for it, which is always short. */
        if (device_number(p->device, &dev) < 0 || device_path(dev, &node) < 0 || strlen(node) > MARK_IMAGE_MAX)
                return fail(_("%s: the kernel has no name for the device"), p->device);
        strcpy(image.image, node);
        store_bootbits.open(&where, /* for_writing= */ true);
        r = take(&store_bootbits, &image);
        store_bootbits.close();
        if (r == EXIT_DONE) {
                store_efi.open(&where, /* for_writing= */ true);
                r = take(&store_efi, &image);
                store_efi.close();
        }
        if (r == EXIT_DONE)
                forget_location(&image);
        if (r != EXIT_DONE || !p->has_plan || p->plan.boot_state != PLAN_BOOT_RELEASED)
                return r;
        r = store_env.open(&where, /* for_writing= */ true);
        if (r == EXIT_DONE)
                r = take(&store_env, &image);
        closed = store_env.close();
        return r == EXIT_DONE ? closed : r;
}

/* ---- handing over ---- */

static int write_text(const char *file, const char *text)
{
        _cleanup_free_ char *path = in_root(file);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                return -errno;
        return 0;
}

static int hand_over(const struct place *p)
{
        _cleanup_free_ char *offset = xasprintf("%" PRIu64, p->offset), *number = NULL;
        struct image_header header;
        dev_t dev;
        int r = device_number(p->device, &dev);

        if (r < 0)
                return fail(_("%s: not a block device: %s"), p->device, strerror(-r));
        number = xasprintf("%u:%u", major(dev), minor(dev));
        r = write_text("/sys/power/resume_offset", offset);
        if (r < 0 && p->offset != 0)
                return fail(
                        _("/sys/power/resume_offset: cannot set it: %s; this kernel cannot resume from a swap file"),
                        strerror(-r));
        say_step(_("handing the image on %s (%s, offset %s) to the kernel"), p->device, number, offset);
        r = write_text("/sys/power/resume", number);
        /* Whoever reads this was not resumed. */
        if (area_read_header(p->device, p->offset * (uint64_t)sysconf(_SC_PAGESIZE), &header) == 0 &&
            header.kind == IMAGE_SWSUSP)
                return fail(_("%s: the kernel did not resume (%s); the image is still there; the kernel log says more"),
                            p->device, r < 0 ? strerror(-r) : _("no reason given"));
        return fail(_("%s: the kernel tried to resume and failed (%s); the session is lost; the kernel log says more"),
                    p->device, r < 0 ? strerror(-r) : _("no reason given"));
}

static int resume(const struct request *request, int64_t deadline)
{
        _cleanup_place_ struct place p = { 0 };
        struct image_header header;
        int r = find_place(request, &p);

        if (r == EXIT_DONE)
                r = wait_for_device(p.tag, deadline, &p.device);
        if (r == EXIT_DONE)
                r = check_image(&p, &header);
        if (r != EXIT_DONE)
                return r;
        if (request->dry_run) {
                say(_("would resume from %s, offset %" PRIu64 " pages"), p.device, p.offset);
                return EXIT_DONE;
        }
        r = take_lock();
        if (r == EXIT_DONE)
                r = take_marks(&p);
        return r == EXIT_DONE ? hand_over(&p) : r;
}

static int run(int argc, char *argv[])
{
        struct request request = { 0 };
        int64_t deadline;
        int c;

        while ((c = getopt_long(argc, argv, "nh", options, NULL)) != -1)
                switch (c) {
                case OPTION_DEVICE:
                        request.device = optarg;
                        break;
                case OPTION_OFFSET:
                        request.offset = optarg;
                        break;
                case OPTION_PLAN:
                        request.plan = optarg;
                        break;
                case OPTION_TIMEOUT:
                        request.timeout = optarg;
                        break;
                case 'n':
                        request.dry_run = true;
                        break;
                case 'h':
                        print_command_help(&command_resume);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_resume);
                }
        if (optind < argc)
                return usage_error(_("%s: resume takes no arguments; 'hibctl resume --help' lists its options"),
                                   argv[optind]);
        if (request.offset && !request.device)
                return usage_error(_("--offset goes with --device, which names the device that it is on"));
        if (request.plan && request.device)
                return usage_error(_("--plan and --device both say where the image is; give one"));
        if (parse_timeout(request.timeout, &deadline) != EXIT_DONE)
                return EXIT_USAGE;
        if (!request.dry_run && need_root() != EXIT_DONE)
                return EXIT_FAILED;
        return resume(&request, deadline);
}

const struct command command_resume = {
        .name = "resume",
        .arguments = "[--dry-run] [--plan=FILE | --device=DEVICE [--offset=PAGES]] [--timeout=SECONDS]",
        .summary = N_("in the load kernel: take the mark and hand the image to the kernel"),
        .options = N_("      --plan=FILE        the image that a plan names\n"
                      "      --device=DEVICE    device or tag (UUID=...) that holds the image; default: resume= and\n"
                      "                         resume_offset= of the kernel's command line\n"
                      "      --offset=PAGES     where the swap area starts on that device; default: 0\n"
                      "      --timeout=SECONDS  how long to wait for the device; default: 30\n"
                      "  -n, --dry-run          say what would be resumed\n"
                      "  -h, --help             show this help\n\n"
                      "Call it before any filesystem is mounted. It comes back only if nothing was resumed: with\n"
                      "status 2 if there is no image.\n"),
        .run = run,
};
