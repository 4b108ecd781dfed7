/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The image's place: /sys/power/resume, /proc/swaps, swap partitions and swap files.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device.h"
#include "globals.h"
#include "say.h"
#include "swaps.h"
#include "target.h"

#define SMALL_FILE 65536

/* A swap area as the kernel addresses it. */
struct area {
        char *device;    /* owned */
        uint64_t offset; /* pages */
        bool is_file;
};

static void area_free(struct area *a)
{
        free(a->device);
        a->device = NULL;
}
#define _cleanup_area_ _cleanup_(area_free)

static uint32_t system_page_size(void)
{
        return (uint32_t)sysconf(_SC_PAGESIZE);
}

/* ---- numbers in files ---- */

static bool parse_u64(const char *text, uint64_t *value)
{
        char *end;

        if (text[0] < '0' || text[0] > '9')
                return false;
        errno = 0;
        *value = strtoull(text, &end, 10);
        return errno == 0 && (*end == '\0' || *end == '\n');
}

/* 1, or 0 if there is no such file or it does not hold a device number other than 0:0, or a negative errno. */
static int read_resume_device(dev_t *dev)
{
        _cleanup_free_ char *path = in_root("/sys/power/resume");
        _cleanup_free_ char *text = NULL;
        unsigned int maj, min;
        ssize_t n = read_whole_file(path, SMALL_FILE, &text);

        if (n < 0)
                return n == -ENOENT ? 0 : (int)n;
        if (sscanf(text, "%u:%u", &maj, &min) != 2 || (maj == 0 && min == 0))
                return 0;
        *dev = makedev(maj, min);
        return 1;
}

/* Old kernels have no such file. */
static int read_resume_offset(uint64_t *offset)
{
        _cleanup_free_ char *path = in_root("/sys/power/resume_offset");
        _cleanup_free_ char *text = NULL;
        ssize_t n = read_whole_file(path, SMALL_FILE, &text);

        *offset = 0;
        if (n < 0)
                return n == -ENOENT ? 0 : (int)n;
        return parse_u64(text, offset) ? 0 : -EINVAL;
}

int target_resume_setting(dev_t *dev, uint64_t *offset)
{
        int r = read_resume_device(dev), of_offset = 0;

        *offset = 0;
        if (r > 0)
                of_offset = read_resume_offset(offset);
        return of_offset < 0 ? of_offset : r;
}

int no_device_name(dev_t dev, int r)
{
        return fail(_("/sys/dev/block/%u:%u: cannot read the name of the device: %s"), major(dev), minor(dev),
                    strerror(-r));
}

/* ---- swap files ---- */

static int file_area(const char *path, struct area *area)
{
        uint64_t byte;
        dev_t dev;
        int r = swap_file_place(path, &dev, &byte);

        if (r == 0)
                r = device_path(dev, &area->device);
        if (r == -ENODEV)
                r = -EXDEV;
        if (r == -ENOTSUP)
                return refuse(_("%s: cannot tell where the swap file is on its device; use a swap partition, or give "
                                "--image=DEVICE and --offset=PAGES"),
                              path);
        if (r == -EXDEV)
                return refuse(
                        _("%s: its filesystem is not on one block device, so extents do not tell the offset; give "
                          "--image=DEVICE and --offset=PAGES"),
                        path);
        if (r < 0)
                return fail(_("%s: cannot open the swap file: %s"), path, strerror(-r));
        area->offset = byte / system_page_size();
        area->is_file = true;
        return EXIT_DONE;
}

/* ---- /proc/swaps ---- */

/* The one active swap area that can hold an image. The caller frees *PATH. */
static int only_active_swap(char **path, bool *is_file)
{
        _cleanup_swaps_ struct swaps swaps = { .n = 0 };
        _cleanup_free_ char *file = in_root("/proc/swaps");

        if (swaps_read(&swaps) < 0)
                return fail(_("%s: cannot read which swap areas are active; mount /proc"), file);
        if (swaps.n == 0)
                return refuse(_("no swap area is active and no resume device is set, so there is nowhere to hibernate "
                                "to; run swapon, or name one with --image"));
        if (swaps.n > 1)
                return refuse(
                        _("%d swap areas are active and no resume device is set in /sys/power/resume, so the kernel's "
                          "choice cannot be foretold; boot with resume=, or name one with --image"),
                        (int)swaps.n);
        *path = xstrdup(swaps.areas[0].path);
        *is_file = swaps.areas[0].is_file;
        return EXIT_DONE;
}

/* ---- choosing ---- */

static int not_unique(const char *tag)
{
        return refuse(
                _("%s: more than one device carries it, so the boot loader could not tell which; give a copy a new "
                  "UUID (swaplabel -U, tune2fs -U); if they are the parts of one mirror, take another swap area"),
                tag);
}

static int wished_file(const char *file, const struct target_wish *wish, struct area *area)
{
        uint64_t offset;
        int r = file_area(file, area);

        if (r == EXIT_DONE && wish->offset && (!parse_u64(wish->offset, &offset) || offset != area->offset))
                return usage_error(_("--offset=%s: where a swap file starts is found out; leave it out"), wish->offset);
        return r;
}

static int wished_area(const struct target_wish *wish, struct area *area)
{
        struct stat st;
        int r = device_find(wish->image, &area->device);

        if (r == -ENOTUNIQ)
                return not_unique(wish->image);
        if (r < 0 || stat(area->device, &st) < 0)
                return refuse(_("%s: there is no such device; 'blkid' lists what there is"), wish->image);
        if (S_ISREG(st.st_mode)) {
                _cleanup_free_ char *file = area->device;
                area->device = NULL;
                return wished_file(file, wish, area);
        }
        if (!S_ISBLK(st.st_mode))
                return refuse(_("%s: not a block device or a swap file; name the swap area"), area->device);
        if (wish->offset && (!parse_u64(wish->offset, &area->offset) || area->offset >= MARK_OFFSET_LIMIT))
                return usage_error(_("--offset=%s: not a number of pages"), wish->offset);
        return EXIT_DONE;
}

static int system_area(struct area *area)
{
        _cleanup_free_ char *path = NULL;
        bool is_file = false;
        dev_t dev;
        int r = target_resume_setting(&dev, &area->offset);

        if (r < 0)
                return fail(_("/sys/power/resume: cannot read which resume device is set: %s"), strerror(-r));
        if (r > 0) {
                r = device_path(dev, &area->device);
                if (r == -ENODEV)
                        return refuse(_("/sys/power/resume names the device %u:%u, which is not there; correct resume= "
                                        "or name the swap area with --image"),
                                      major(dev), minor(dev));
                return r == 0 ? EXIT_DONE : no_device_name(dev, r);
        }
        r = only_active_swap(&path, &is_file);
        if (r != EXIT_DONE)
                return r;
        if (is_file)
                return file_area(path, area);
        area->device = realpath(path, NULL);
        return area->device ? EXIT_DONE : fail(_("%s: cannot look at the swap area: %m"), path);
}

/* ---- looking ---- */

int area_read_header(const char *device, uint64_t start, struct image_header *header)
{
        _cleanup_free_ uint8_t *page = xmalloc(IMAGE_PAGE_MAX);
        size_t len = IMAGE_PAGE_MAX;
        int r = device_read(device, start, page, len);

        if (r == -ENODATA) { /* a small device: the smallest page is enough to tell */
                len = IMAGE_PAGE_MIN;
                r = device_read(device, start, page, len);
        }
        if (r < 0)
                return r;
        image_probe(page, len, header);
        return 0;
}

/* EXPECTED: an image may be there already, as in a kernel that has just written it. In a running system that is about
 * to hibernate, one that is there is an old one: if hibernating fails, it would be resumed over a system that has been
 * used since. */
static int check_header(const struct area *area, bool expected, struct image_header *header)
{
        uint64_t start = area->offset * system_page_size();
        int r = area_read_header(area->device, start, header);

        if (r < 0)
                return refuse(_("%s: cannot read at byte %" PRIu64 ": %s"), area->device, start, strerror(-r));
        switch (header->kind) {
        case IMAGE_SWAP:
                return EXIT_DONE;
        case IMAGE_SWSUSP:
                return expected
                               ? EXIT_DONE
                               : refuse(_("%s: it holds an image of an earlier hibernation; discard that ('hibctl cancel "
                                          "--discard-image'), or, if it is the one to mark, name it with --image"),
                                        area->device);
        case IMAGE_NONE:
                return refuse(_("%s: there is no swap area at byte %" PRIu64 "; make one (mkswap) or name another with "
                                "--image and --offset"),
                              area->device, start);
        default:
                return refuse(_("%s: it holds an image of another kind (uswsusp, TuxOnIce), which the kernel does not "
                                "resume by itself; resume or discard that first"),
                              area->device);
        }
}

/* A swap partition is named by its own UUID, a swap file by that of its filesystem; both survive hibernation. */
static int name_device(const struct area *area, bool has_initrd, struct mark *mark)
{
        static const char *const swap_types[] = { "swap", "swsuspend", NULL };
        struct device_tags tags;
        int r = device_get_tags(area->device, NULL, &tags);

        if (r < 0)
                return fail(_("%s: cannot look at the device: %s"), area->device, strerror(-r));
        if (tags.ambiguous)
                return refuse(
                        _("%s: it carries the signatures of more than one filesystem or swap area; remove the wrong "
                          "one (wipefs)"),
                        area->device);
        const char *const same_type[] = { tags.type, NULL };
        if (tags.uuid[0] && device_count_uuid(tags.uuid, area->offset == 0 ? swap_types : same_type) > 1)
                return not_unique(tags.uuid);
        /* Without an initial ramdisk the kernel itself looks for resume=, and it knows the UUIDs of partitions only. */
        if (tags.uuid[0] && (has_initrd || !tags.part_uuid[0]))
                snprintf(mark->image, sizeof(mark->image), "UUID=%.36s", tags.uuid);
        else if (tags.part_uuid[0])
                snprintf(mark->image, sizeof(mark->image), "PARTUUID=%.36s", tags.part_uuid);
        else
                return refuse(
                        _("%s: it has no UUID by which the boot loader could find it; give it one (swaplabel -U)"),
                        area->device);
        return EXIT_DONE;
}

int target_how_to_verify(const char *device, enum mark_verify *verify)
{
        dev_t dev;
        int r = device_number(device, &dev);

        if (r < 0)
                return r;
        *verify = device_layers(dev) & LAYERS_UNSEEN ? MARK_VERIFY_HINT : MARK_VERIFY_HEADER;
        return 0;
}

static int fill_in(const struct area *area, const struct target_wish *wish, struct mark *mark)
{
        struct image_header header;
        int r = check_header(area, /* expected= */ wish->image, &header);

        if (r == EXIT_DONE)
                r = name_device(area, !wish->initrd || strcmp(wish->initrd, "none") != 0, mark);
        if (r != EXIT_DONE)
                return r;
        mark->offset = area->offset;
        mark->page_size = header.page_size;
        r = target_how_to_verify(area->device, &mark->verify);
        if (r < 0)
                return fail(_("%s: cannot look at the device: %s"), area->device, strerror(-r));
        say_step(_("image: %s (%s), offset %" PRIu64 " pages of %u bytes"), area->device, mark->image, mark->offset,
                 mark->page_size);
        return EXIT_DONE;
}

int target_find_image(const struct target_wish *wish, struct mark *mark)
{
        _cleanup_area_ struct area area = { 0 };
        int r = wish->image ? wished_area(wish, &area) : system_area(&area);

        return r == EXIT_DONE ? fill_in(&area, wish, mark) : r;
}

bool target_configured(struct mark *mark)
{
        _cleanup_area_ struct area area = { 0 };
        struct device_tags tags;
        dev_t dev;

        if (target_resume_setting(&dev, &area.offset) <= 0 || device_path(dev, &area.device) < 0 ||
            device_get_tags(area.device, NULL, &tags) < 0 || !tags.uuid[0])
                return false;
        *mark = (struct mark){ .state = MARK_ARMED, .offset = area.offset, .page_size = system_page_size() };
        snprintf(mark->image, sizeof(mark->image), "UUID=%.36s", tags.uuid);
        return target_how_to_verify(area.device, &mark->verify) == 0;
}

enum image_state target_look_at_image(const struct mark *mark, struct image_header *header, char **device)
{
        _cleanup_free_ uint8_t *page = xmalloc(mark->page_size);
        _cleanup_free_ char *path = NULL;
        struct image_header ignored;
        int r = device_find(mark->image, &path);

        header = header ? header : &ignored;
        *header = (struct image_header){ .kind = IMAGE_NONE };
        if (r < 0) /* without rights no device could be asked for its name */
                return geteuid() == 0 ? IMAGE_NO_DEVICE : IMAGE_NOT_READABLE;
        if (device)
                *device = xstrdup(path);
        r = device_read(path, mark_image_start(mark), page, mark->page_size);
        if (r == -ENODATA)
                return IMAGE_NO_DEVICE;
        return r < 0 ? IMAGE_NOT_READABLE : source_look_at_page(page, mark->page_size, header);
}

int target_compare_areas(const struct mark *a, const struct mark *b)
{
        _cleanup_free_ char *path_a = NULL, *path_b = NULL;
        dev_t dev_a, dev_b;
        int r;

        if (a->offset != b->offset)
                return 0;
        if (strcmp(a->image, b->image) == 0)
                return 1;
        if (device_find(a->image, &path_a) < 0 || device_find(b->image, &path_b) < 0)
                return 0;
        r = device_number(path_a, &dev_a);
        if (r == 0)
                r = device_number(path_b, &dev_b);
        if (r < 0)
                return r == -ENOENT || r == -ENOTBLK ? 0 : r;
        return dev_a == dev_b;
}

bool target_same_area(const struct mark *a, const struct mark *b)
{
        return target_compare_areas(a, b) > 0;
}

/* ---- discarding ---- */

int target_discard_image(const struct mark *mark)
{
        _cleanup_free_ char *device = NULL;
        struct image_header header;
        enum image_state state = target_look_at_image(mark, &header, &device);
        uint8_t tail[IMAGE_SECTOR];
        int r;

        if (state == IMAGE_GONE)
                return EXIT_NOTHING;
        if (state != IMAGE_PRESENT || !header.restorable)
                return refuse(
                        _("%s: there is no image that could be discarded safely; look at it with 'hibctl status'"),
                        mark->image);
        uint64_t at = mark_image_start(mark) + header.page_size - IMAGE_SECTOR;
        r = device_read(device, at, tail, sizeof(tail));
        if (r == 0 && !image_restore_swap(tail))
                r = -ESTALE;
        if (r == 0)
                /* A swap partition must be idle; a swap file's device is that of a mounted filesystem. */
                r = device_write_sector(device, at, tail, /* exclusive= */ mark->offset == 0);
        if (r == -EBUSY)
                return refuse(_("%s: the swap area is in use; swapoff it first"), device);
        if (r < 0)
                return fail(_("%s: cannot put the swap signature back: %s"), device, strerror(-r));
        return EXIT_DONE;
}
