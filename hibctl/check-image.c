/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl check: the image. Where it would be, whether it fits, and the kernel that writes and reads it.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "bzimage.h"
#include "check.h"
#include "device.h"
#include "globals.h"
#include "say.h"
#include "target.h"

#define SMALL_FILE 65536

static unsigned long long mib(uint64_t bytes)
{
        return (unsigned long long)(bytes >> 20);
}

/* ---- places ---- */

/* 0 or a negative errno. */
static int area_place(const struct swap_area *area, dev_t *dev, uint64_t *offset)
{
        uint64_t byte = 0;
        int r;

        if (area->is_file) {
                r = swap_file_place(area->path, dev, &byte);
                if (r == -EXDEV)
                        r = swap_file_place_btrfs(area->path, dev, &byte);
        } else
                r = device_number(area->path, dev);
        *offset = byte / (uint64_t)sysconf(_SC_PAGESIZE);
        return r;
}

bool check_image_place(const struct checkup *c, dev_t *dev, uint64_t *offset)
{
        return target_resume_setting(dev, offset) > 0 ||
               (c->swaps.n == 1 && area_place(&c->swaps.areas[0], dev, offset) == 0);
}

/* The active swap area that begins there, or NULL. *UNSEEN: the one of which that cannot be told, or NULL; *OTHER: one
 * on the same device that begins elsewhere, or NULL; its offset is *THERE. */
static const struct swap_area *area_at(const struct checkup *c, dev_t dev, uint64_t offset,
                                       const struct swap_area **unseen, const struct swap_area **other, uint64_t *there)
{
        *unseen = *other = NULL;
        for (size_t i = 0; i < c->swaps.n; i++) {
                const struct swap_area *area = &c->swaps.areas[i];
                uint64_t at;
                dev_t on;

                if (area_place(area, &on, &at) < 0)
                        *unseen = area;
                else if (on == dev && at == offset)
                        return area;
                else if (on == dev) {
                        *other = area;
                        *there = at;
                }
        }
        return NULL;
}

/* ---- swap ---- */

void check_swap(const struct checkup *c, struct finding *f)
{
        _cleanup_free_ char *names = xstrdup("");

        for (size_t i = 0; i < c->swaps.n; i++) {
                char *longer = xasprintf("%s%s%s", names, i > 0 ? ", " : "", c->swaps.areas[i].path);
                free(names);
                names = longer;
        }
        if (c->swaps_error < 0)
                find(f, LEVEL_UNKNOWN, _("mount /proc"), _("which swap areas are active cannot be read: %s"),
                     strerror(-c->swaps_error));
        else if (c->swaps.n == 0)
                find(f, LEVEL_PROBLEM, _("make one (mkswap) that is as large as the memory, and run swapon"),
                     _("no swap area is active that could hold an image (zram cannot)"));
        else
                find_ok(f, _("active: %s"), names);
}

/* The number behind KEY in /proc/meminfo, as bytes. */
static bool read_memory(const char *text, const char *key, uint64_t *bytes)
{
        const char *line = strstr(text, key);
        unsigned long long kib;

        if (!line || sscanf(line + strlen(key), " %llu kB", &kib) != 1)
                return false;
        *bytes = (uint64_t)kib * 1024;
        return true;
}

/* The kernel makes an image of at most IMAGE if it can free as much, else of all that is in USE. */
static bool read_sizes(uint64_t *image, uint64_t *use)
{
        _cleanup_free_ char *meminfo = in_root("/proc/meminfo"), *image_size = in_root("/sys/power/image_size");
        _cleanup_free_ char *memory = NULL, *size = NULL;
        uint64_t total, unused;
        unsigned long long n;

        if (read_whole_file(meminfo, SMALL_FILE, &memory) < 0 || !read_memory(memory, "MemTotal:", &total) ||
            !read_memory(memory, "MemFree:", &unused) || unused > total ||
            read_whole_file(image_size, SMALL_FILE, &size) < 0 || sscanf(size, "%llu", &n) != 1)
                return false;
        *image = n;
        *use = total - unused;
        return true;
}

void check_swap_size(const struct checkup *c, struct finding *f)
{
        const struct swap_area *area = c->swaps.n == 1 ? &c->swaps.areas[0] : NULL, *unseen, *other;
        uint64_t image, use, offset, there, left;
        dev_t dev;

        if (!area && check_image_place(c, &dev, &offset))
                area = area_at(c, dev, offset, &unseen, &other, &there);
        if (!area)
                return; /* which one, is told below */
        left = area->used < area->size ? (area->size - area->used) * 1024 : 0;
        if (!read_sizes(&image, &use))
                find(f, LEVEL_UNKNOWN, _("mount /proc and /sys"),
                     _("%s has %llu MiB left; how large an image is cannot be told (/proc/meminfo, "
                       "/sys/power/image_size)"),
                     area->path, mib(left));
        else if (left >= image)
                find_ok(f, _("%s has %llu MiB left, and the kernel aims at an image of at most %llu MiB"), area->path,
                        mib(left), mib(image));
        else if (left >= use)
                find(f, LEVEL_NOTE, NULL,
                     _("%s has %llu MiB left, enough for the %llu MiB of memory in use now, but less than the %llu MiB "
                       "that an image may have"),
                     area->path, mib(left), mib(use), mib(image));
        else
                find(f, LEVEL_WARNING, _("make it larger, or write a smaller number to /sys/power/image_size"),
                     _("%s has %llu MiB left, less than the %llu MiB that an image may have, and than the %llu MiB of "
                       "memory in use: hibernating may fail"),
                     area->path, mib(left), mib(image), mib(use));
}

/* ---- the resume device ---- */

static void compare_with_active(const struct checkup *c, dev_t dev, uint64_t offset, struct finding *f)
{
        const struct swap_area *unseen, *other, *area;
        _cleanup_free_ char *device = NULL, *remedy = NULL;
        uint64_t there = 0;

        if (device_path(dev, &device) < 0)
                device = xstrdup("/sys/power/resume");
        area = area_at(c, dev, offset, &unseen, &other, &there);
        remedy = xasprintf(_("correct resume_offset= to %llu"), (unsigned long long)there);
        if (area)
                find_ok(f, _("%s, offset %llu: that is %s"), device, (unsigned long long)offset, area->path);
        else if (other)
                find(f, LEVEL_PROBLEM, remedy, _("%s, offset %llu: but %s begins at %llu"), device,
                     (unsigned long long)offset, other->path, (unsigned long long)there);
        else if (unseen)
                find(f, LEVEL_UNKNOWN,
                     is_root() ? _("compare it with 'filefrag -v' or 'btrfs inspect-internal map-swapfile -r'")
                               : _("run it as root"),
                     _("%s, offset %llu: whether %s is there cannot be told"), device, (unsigned long long)offset,
                     unseen->path);
        else if (c->swaps.n == 0) /* that is a finding of its own */
                find(f, LEVEL_NOTE, NULL, _("%s, offset %llu, where no swap area is active"), device,
                     (unsigned long long)offset);
        else
                find(f, LEVEL_PROBLEM, _("run swapon, or correct resume="),
                     _("%s, offset %llu: no swap area that is active is there, so the kernel will not hibernate"),
                     device, (unsigned long long)offset);
}

/* Where no resume device is set, mark needs to be told of a swap file on btrfs. *REMEDY, which the caller frees, is
 * how, or NULL. */
static void find_boot_words(const struct checkup *c, char **remedy)
{
        _cleanup_free_ char *device = NULL;
        uint64_t offset;
        dev_t dev;

        *remedy = NULL;
        if (c->swaps.n == 1 && c->swaps.areas[0].is_file && area_place(&c->swaps.areas[0], &dev, &offset) == 0 &&
            device_path(dev, &device) == 0)
                *remedy = xasprintf(_("boot with resume=%s resume_offset=%llu"), device, (unsigned long long)offset);
}

void check_resume(const struct checkup *c, struct finding *f)
{
        _cleanup_free_ char *remedy = NULL;
        uint64_t offset;
        dev_t dev;
        int r = target_resume_setting(&dev, &offset);
        bool is_set = r > 0;

        if (c->imaging.result != EXIT_DONE) {
                find_refused(f, LEVEL_PROBLEM, c->imaging.said);
                find_boot_words(c, &remedy);
                if (!is_set && remedy)
                        find(f, f->level, remedy, "%s", f->words);
        } else if (r < 0)
                find(f, LEVEL_UNKNOWN, how_to_see(), _("/sys/power/resume: cannot read which resume device is set: %s"),
                     strerror(-r));
        else if (!is_set)
                find(f, LEVEL_NOTE, NULL,
                     _("%s, offset %llu, as the only area that is active: no resume device is set"), c->mark.image,
                     (unsigned long long)c->mark.offset);
        if (is_set && (c->imaging.result == EXIT_DONE || !is_root()))
                compare_with_active(c, dev, offset, f);
}

/* Whether TAG is that device. Who is not root cannot look for it: then anything is. */
static bool leads_to(const char *tag, dev_t dev)
{
        _cleanup_free_ char *path = NULL;
        dev_t found;

        if (device_find(tag, &path) < 0 || device_number(path, &found) < 0)
                return !is_root();
        return found == dev;
}

/* The last values of resume= and resume_offset= on the running kernel's command line. */
struct command_line {
        char resume[256]; /* "" if it is not there */
        uint64_t offset;
};

/* 0 or a negative errno. */
static int read_command_line(struct command_line *line)
{
        _cleanup_free_ char *path = in_root("/proc/cmdline"), *text = NULL;
        ssize_t n = read_whole_file(path, SMALL_FILE, &text);
        char *save = NULL;

        *line = (struct command_line){ .offset = 0 };
        if (n < 0)
                return (int)n;
        for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
                if (strncmp(word, "resume=", 7) == 0)
                        snprintf(line->resume, sizeof(line->resume), "%s", word + 7);
                else if (strncmp(word, "resume_offset=", 14) == 0)
                        line->offset = strtoull(word + 14, NULL, 10);
        }
        return 0;
}

static bool is_device(const char *value)
{
        return value && value[0] && strcmp(value, "none") != 0 && strcmp(value, "auto") != 0;
}

/* What says where to resume from, beside what the running kernel has been told. */
void check_resume_settings(const struct checkup *c, struct finding *f)
{
        _cleanup_config_ struct config ramdisk;
        struct command_line line;
        uint64_t offset;
        dev_t dev;
        int r = read_command_line(&line);

        check_initramfs_tools_resume(&ramdisk);
        if (!check_image_place(c, &dev, &offset))
                return;
        if (line.resume[0] && (!leads_to(line.resume, dev) || line.offset != offset))
                find(f, LEVEL_WARNING, _("correct the command line in /etc/default/grub, and run update-grub"),
                     _("resume=%s resume_offset=%llu on the kernel's command line is not where this system would "
                       "hibernate to now"),
                     line.resume, (unsigned long long)line.offset);
        else if (is_device(ramdisk.value) && !leads_to(ramdisk.value, dev))
                find(f, LEVEL_WARNING, _("correct it, and run update-initramfs -u"),
                     _("%s: RESUME=%s is not where this system would hibernate to now"), ramdisk.file, ramdisk.value);
        else if (r < 0)
                find(f, LEVEL_UNKNOWN, _("mount /proc"), _("the kernel's command line cannot be read: %s"),
                     strerror(-r));
        else if (ramdisk.unread)
                find_unread(f, &ramdisk);
        else if (line.resume[0] || is_device(ramdisk.value))
                find_ok(f, _("the kernel's command line and the initramfs name no other place"));
}

/* ---- encryption ---- */

/* Whether the mapping NAME gets a new key at each start, says FILE: 1 or 0, or a negative errno. */
static int has_random_key(const char *name, const char *file)
{
        _cleanup_free_ char *text = NULL;
        ssize_t n = read_whole_file(file, SMALL_FILE, &text);
        char *save = NULL;

        if (n < 0)
                return n == -ENOENT ? 0 : (int)n;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char mapping[256], source[256], key[256];
                if (sscanf(line, "%255s %255s %255s", mapping, source, key) == 3 && strcmp(mapping, name) == 0)
                        return strcmp(key, "/dev/urandom") == 0 || strcmp(key, "/dev/random") == 0 ||
                               strcmp(key, "/dev/hwrng") == 0;
        }
        return 0;
}

void check_encryption(const struct checkup *c, struct finding *f)
{
        _cleanup_free_ char *name = NULL, *file = in_root("/etc/crypttab");
        unsigned int layers;
        uint64_t offset;
        dev_t dev;
        int random;

        if (!check_image_place(c, &dev, &offset))
                return;
        layers = device_layers(dev);
        name = layers & LAYER_CRYPT ? device_mapping_name(dev) : NULL;
        random = name ? has_random_key(name, file) : 0;
        if (random > 0)
                find(f, LEVEL_PROBLEM, _("give it a key that stays, in LUKS"),
                     _("%s gets a new random key at each start (%s): no image on it can be read again"), name, file);
        else if (random < 0)
                find(f, LEVEL_UNKNOWN, how_to_see(),
                     _("%s is encrypted; whether its key stays cannot be told, for %s cannot be read: %s"), name, file,
                     strerror(-random));
        else if (layers & LAYERS_UNSEEN)
                find(f, LEVEL_NOTE, NULL,
                     _("the image will be on a device that GRUB does not see (encrypted, mapped or on the network): a "
                       "mark is taken for its word, once"));
        else
                find_ok(f, _("the device is not encrypted: GRUB can see the image"));
}

/* ---- the kernel ---- */

/* mark also takes a kernel file of which it cannot tell the build: one that is none of x86; or, without root's rights,
 * one that cannot be read. */
void check_kernel(const struct checkup *c, struct finding *f)
{
        _cleanup_free_ char *path = NULL;
        char build[BZIMAGE_TEXT_MAX];
        struct utsname running;

        uname(&running);
        path = target_kernel_of(running.release);
        if (c->kernel.result != EXIT_DONE)
                find_refused(f, LEVEL_PROBLEM, c->kernel.said);
        else if (path &&
                 (bzimage_read_build(path, build) <= 0 || !bzimage_is_build(build, running.release, running.version)))
                find(f, LEVEL_UNKNOWN, _("see to it that it is the file of the running kernel"),
                     _("%s: whether it is the running kernel cannot be told: it is no x86 kernel file, or cannot be "
                       "read"),
                     path);
        else
                find_ok(f, _("the running one is installed: %s"), c->mark.kernel);
}

void check_hibernation(const struct checkup *c, struct finding *f)
{
        struct hibernation h;
        _cleanup_free_ char *why = NULL;

        (void)c;
        hibernation_look(&h);
        why = hibernation_why_not(&h);
        if (why)
                find(f, LEVEL_PROBLEM, _("start a kernel that hibernates, or switch Secure Boot off"),
                     _("not possible: %s"), why);
        else if (h.access == HIBERNATION_UNKNOWN)
                find(f, LEVEL_UNKNOWN, _("mount /sys, or start a kernel that has hibernation built in"),
                     _("the running kernel does not tell whether it can (/sys/power/disk)"));
        else
                find_ok(f, _("the running kernel can"));
}

/* ---- the sleep hook ---- */

void check_sleep_hook(const struct checkup *c, struct finding *f)
{
        static const char *const hooks[] = { SYSTEMDSLEEPDIR "/hibctl", ELOGINDSLEEPDIR "/hibctl" };

        if (c->settings.sleep == SLEEP_OFF) {
                find(f, LEVEL_WARNING, _("remove it there, or run 'hibctl mark' before each hibernation"),
                     _("hibctl.conf has Sleep=off, so nobody marks when this system hibernates"));
                return;
        }
        for (size_t i = 0; i < ELEMENTS(hooks); i++) {
                _cleanup_free_ char *path = in_root(hooks[i]), *remedy = xasprintf("chmod +x %s", path);
                if (access(path, X_OK) == 0) {
                        find_ok(f, "%s", path);
                        return;
                }
                if (access(path, F_OK) == 0)
                        find(f, LEVEL_WARNING, remedy, _("%s is there, but cannot be run"), path);
        }
        if (!f->words)
                find(f, LEVEL_WARNING, _("install hibctl's sleep hook, or run 'hibctl mark' before each hibernation"),
                     _("neither %s nor %s is there, so nobody marks when this system hibernates"), hooks[0], hooks[1]);
}
