/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "arming.h"
#include "device.h"
#include "efi/uefi.h"
#include "say.h"

bool wish_take(struct target_wish *wish, int option, const char *value)
{
        const char **const fields[] = { &wish->image, &wish->offset, &wish->kernel, &wish->initrd };

        if (option < WISH_IMAGE || option > WISH_INITRD)
                return false;
        *fields[option - WISH_IMAGE] = value;
        return true;
}

int wish_check(const struct target_wish *wish)
{
        if (wish->offset && !wish->image)
                return usage_error(_("--offset goes with --image, which names the device that it is on"));
        return EXIT_DONE;
}

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

int arming_complete_mark(struct mark *mark, char text[MARK_WIDTH])
{
        enum mark_error e;
        int r = set_id(mark);

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

int arming_make_mark(const struct target_wish *wish, struct mark *mark, char text[MARK_WIDTH])
{
        int r;

        *mark = (struct mark){ .state = MARK_ARMED };
        r = target_find_image(wish, mark);
        if (r == EXIT_DONE)
                r = target_find_kernel(wish, mark);
        return r == EXIT_DONE ? arming_complete_mark(mark, text) : r;
}

/* What is marked without a look at the image is on an encrypted device, as a rule. Whoever else is started here has not
 * unlocked it. */
static bool may_be_out_of_sight(const struct mark *other, enum image_state image)
{
        return other->state == MARK_ARMED && other->verify == MARK_VERIFY_HINT &&
               (image == IMAGE_NO_DEVICE || image == IMAGE_NOT_READABLE);
}

static bool holds_other(const struct reading *reading, const struct mark *mark, bool *in_sight)
{
        const struct mark *other = &reading->mark;
        enum image_state image;

        if (reading->status != SOURCE_VALID || other->empty || target_same_area(other, mark))
                return false;
        image = target_look_at_image(other, NULL, NULL);
        *in_sight = image == IMAGE_PRESENT;
        return *in_sight || may_be_out_of_sight(other, image);
}

bool arming_holds_other(const struct reading *reading, const struct mark *mark)
{
        bool in_sight;

        return holds_other(reading, mark, &in_sight);
}

/* Another system on this machine may share the block, and sleep: its mark is not ours to overwrite. */
int arming_check_other(const struct reading *reading, const struct mark *mark, bool by_plan)
{
        bool in_sight;

        if (!holds_other(reading, mark, &in_sight) || (by_plan && !in_sight))
                return EXIT_DONE;
        if (!in_sight)
                return refuse(_("%s: another hibernated session is marked there, and whether its image is still on %s "
                                "cannot be seen from here; resume that, or give it up with 'hibctl cancel'"),
                              reading->place, reading->mark.image);
        return refuse(
                _("%s: another hibernated session is marked there, and its image is on %s; resume that, or give it "
                  "up with 'hibctl cancel --discard-image'"),
                reading->place, reading->mark.image);
}

/* ---- older marks ---- */

bool arming_comes_first(const struct reading *reading, const struct mark *mark)
{
        const struct mark *older = &reading->mark;

        if (reading->status != SOURCE_VALID || older->empty || older->state == MARK_NONE)
                return false;
        /* A hint of another area that holds no image is believed all the same. */
        return target_same_area(older, mark) || (older->state == MARK_ARMED && older->verify == MARK_VERIFY_HINT);
}

/* With the store open. */
static int look_for_one(const struct store *store, const struct mark *mark, bool *found)
{
        _cleanup_reading_ struct reading reading = { 0 };
        int r = store->read(&reading);

        if (r == EXIT_DONE && reading.status == SOURCE_UNREADABLE)
                r = EXIT_FAILED;
        if (r != EXIT_DONE)
                say_error(_("%s: it cannot be read, and may hold an older mark, which GRUB would find first; allow "
                            "another store (--store), or mend it"),
                          reading.place ? reading.place : store->name);
        *found = r == EXIT_DONE && arming_comes_first(&reading, mark);
        return r;
}

int arming_look_for_older(const struct store *store, const struct mark *mark, bool env_is_open, struct older *older)
{
        struct whereabouts where = { .area = mark };
        int r = EXIT_DONE;

        *older = (struct older){ 0 };
        if (store != &store_env && env_is_open)
                r = look_for_one(&store_env, mark, &older->env);
        if (r == EXIT_DONE && store == &store_efi) {
                store_bootbits.open(&where, /* for_writing= */ false);
                r = look_for_one(&store_bootbits, mark, &older->bootbits);
                store_bootbits.close();
        }
        return r;
}

/* With the store open. */
static int clear_one(const struct store *store)
{
        char empty[MARK_WIDTH];
        int r;

        mark_format_empty(empty);
        r = store->write(empty);
        if (r == EXIT_DONE)
                say_step(_("cleared an older mark in the store '%s', which GRUB would have found first"), store->name);
        else
                say_error(
                        _("an older mark in the store '%s', which GRUB would find first, could not be cleared; 'hibctl "
                          "cancel' does that when it can be written to"),
                        store->name);
        return r;
}

int arming_clear_older(const struct older *older, const struct mark *mark)
{
        struct whereabouts where = { .area = mark };
        int r = EXIT_DONE;

        /* First what may be in use, and then refuses. */
        if (older->bootbits) {
                store_bootbits.open(&where, /* for_writing= */ true);
                r = clear_one(&store_bootbits);
                store_bootbits.close();
        }
        return r == EXIT_DONE && older->env ? clear_one(&store_env) : r;
}

/* ---- GRUB ---- */

void arming_write_files_out(const struct bootfs *fs)
{
        if (!fs->mounted_here && !bootfs_is_read_only(fs) && bootfs_write_out(fs) < 0)
                say(_("%s: cannot write its filesystem out: %m; if the kernel or its initial ramdisk is new, GRUB may not "
                      "find it"),
                    fs->prefix);
}

int arming_check_grub(const char *prefix, struct grub_request *asked)
{
        int r = grub_request_read(prefix, asked);

        if (r == -EBADMSG)
                return no_store(_("%s/grub.cfg: its line \"hibresume probe\" is not as hibctl's script writes it; run "
                                  "update-grub"),
                                prefix);
        if (r < 0)
                return no_store(_("%s/grub.cfg: cannot read whether GRUB looks for a mark: %s; make it anew with "
                                  "update-grub"),
                                prefix, strerror(-r));
        if (!asked->asks)
                return no_store(_("%s/grub.cfg: it does not look for a mark, so GRUB would boot as ever; run "
                                  "'hibctl setup'"),
                                prefix);
        return EXIT_DONE;
}

/* For a platform that GRUB is installed for; *FOLDER, which the caller frees, is that platform's. */
static bool module_is_missing(const char *prefix, char **folder)
{
        for (size_t i = 0; i < N_GRUB_PLATFORMS; i++) {
                _cleanup_free_ char *path = NULL;
                *folder = xasprintf("%s/%s", prefix, grub_platforms[i]);
                path = xasprintf("%s/%s", *folder, GRUB_MODULE_NAME);
                if (!is_missing(*folder) && is_missing(path))
                        return true;
                free(*folder);
                *folder = NULL;
        }
        return false;
}

bool arming_has_module(const char *prefix)
{
        for (size_t i = 0; i < N_GRUB_PLATFORMS; i++) {
                _cleanup_free_ char *path = xasprintf("%s/%s/%s", prefix, grub_platforms[i], GRUB_MODULE_NAME);
                if (access(path, F_OK) == 0)
                        return true;
        }
        return false;
}

static bool grub_knows_area(const struct grub_request *asked, const struct mark *mark)
{
        return asked->has_device && asked->device.page_size == mark->page_size &&
               target_same_area(&asked->device, mark);
}

char *arming_why_no_bits(const char *prefix, const struct grub_request *asked, const struct mark *mark)
{
        _cleanup_free_ char *folder = NULL;

        if (uefi_secure_boot())
                return xstrdup(_("Secure Boot is on, and GRUB then loads no module that could read them"));
        if (module_is_missing(prefix, &folder))
                return xasprintf(_("GRUB's module, which would read them, is not in %s; run 'hibctl setup'"), folder);
        if (!grub_knows_area(asked, mark))
                return xasprintf(_("grub.cfg does not name %s as the resume device; set GRUB_HIBCTL_RESUME in "
                                   "/etc/default/grub and run update-grub"),
                                 mark->image);
        return NULL;
}

/* ---- by a plan ---- */

/* The machine is switched off right after the mark, without a system that would write out what is in memory. */
static int flush_device(const char *device)
{
        _cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return fail(_("%s: the image may not be on the disk as a whole: %m; write it again"), device);
        return EXIT_DONE;
}

static int check_image_device(const struct plan *plan, const char *device, bool check_image)
{
        const struct mark *mark = &plan->mark;
        struct image_header header;
        uint64_t size;
        int r = device_size(device, &size);

        if (r == 0 && size != plan->image_size)
                return refuse(
                        _("%s: the device of the image has another size than when the plan was made, so it has been "
                          "replaced; make the plan anew"),
                        device);
        if (r == 0)
                r = area_read_header(device, mark_image_start(mark), &header);
        if (r < 0)
                return refuse(_("%s: cannot read the swap area: %s"), device, strerror(-r));
        if ((header.kind != IMAGE_SWAP && header.kind != IMAGE_SWSUSP) || header.page_size != mark->page_size)
                return refuse(
                        _("%s: where the plan says that the image is there is neither an image nor a swap area; make "
                          "the plan anew"),
                        device);
        if (!check_image)
                return EXIT_DONE;
        if (header.kind == IMAGE_SWAP)
                return refuse(_("%s: there is no image that could be marked; write it first"), device);
        return flush_device(device);
}

/* Who wrote that did not know what it is for, or is not to be trusted. */
static int check_contradiction(const char *file, const struct plan *plan)
{
        for (unsigned int i = 0; i < plan->n_held && plan->boot_state == PLAN_BOOT_RELEASED; i++)
                if (strcmp(plan->held[i].uuid, plan->boot.uuid) == 0)
                        return refuse(
                                _("%s: the plan contradicts itself: the boot filesystem UUID=%s was released, and is "
                                  "mounted on %s; make it anew"),
                                file, plan->boot.uuid, plan->held[i].path);
        return EXIT_DONE;
}

int arming_check_plan(const char *file, const struct plan *plan, bool check_image)
{
        _cleanup_free_ char *device = NULL;
        char machine[PLAN_UUID_MAX + 1];
        int r;

        plan_this_machine(machine);
        /* A kernel that was started by kexec may not know: then the devices have to tell. */
        if (strcmp(machine, "-") != 0 && strcmp(plan->machine, "-") != 0 && strcmp(machine, plan->machine) != 0)
                return refuse(_("%s: the plan is of another machine (%s, this is %s)"), file, plan->machine, machine);
        r = check_contradiction(file, plan);
        if (r != EXIT_DONE)
                return r;
        r = device_find(plan->mark.image, &device);
        if (r == -ENOTUNIQ)
                return refuse(_("%s: more than one device carries it, so which one holds the image cannot be told"),
                              plan->mark.image);
        if (r < 0)
                return refuse(
                        _("%s: the device of the image is not there; load its driver, or wait for it with 'hibctl "
                          "locate'"),
                        plan->mark.image);
        return check_image_device(plan, device, check_image);
}
