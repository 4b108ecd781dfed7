/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl prepare: before the jump into the save kernel, while everything can still be asked and mended, find out what
 * the save kernel has to know and write it into a plan.
 */
#include "config.h"

#include <errno.h>
#include <libmount.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "arming.h"
#include "command.h"
#include "globals.h"
#include "holders.h"
#include "initramfs.h"
#include "json.h"
#include "plan.h"
#include "remount.h"
#include "safety.h"
#include "settings.h"
#include "store-efi.h"
#include "store-env.h"

enum { OPTION_PLAN = 256, OPTION_INITRAMFS, OPTION_UNMOUNT, OPTION_LASTING, OPTION_HOOK };

static const struct option options[] = {
        WISH_OPTIONS,
        { "plan", required_argument, NULL, OPTION_PLAN },
        { "initramfs", required_argument, NULL, OPTION_INITRAMFS },
        { "hook", required_argument, NULL, OPTION_HOOK },
        { "unmount", no_argument, NULL, OPTION_UNMOUNT },
        { "lasting", no_argument, NULL, OPTION_LASTING },
        { "dry-run", no_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

struct request {
        struct target_wish wish;
        const char *plan;
        bool is_default; /* that is, in /run */
        const char *initramfs;
        bool unmount, dry_run;
        bool lasting; /* not for one jump: it has nothing that could become untrue before the next */
        const char *hooks[PLAN_HOOKS_MAX];
        unsigned int n_hooks;
        struct settings settings;
};

/* The boot filesystem as the running system has it. */
struct boot {
        struct mounted mount; /* device and mount point; the rest if it is unmounted */
        dev_t dev;
        bool is_part;  /* what is mounted is not the whole filesystem */
        char *no_bits; /* why boot bits are of no use; owned, NULL if they are */
        char *no_efi;  /* likewise an EFI variable */
};

static void boot_free(struct boot *b)
{
        mounted_free(&b->mount);
        free(b->no_bits);
        free(b->no_efi);
}
#define _cleanup_boot_ _cleanup_(boot_free)

/* ---- what is mounted ---- */

static void cleanup_table(struct libmnt_table **tb)
{
        mnt_unref_table(*tb);
}

/* The block device of a mount entry, or 0. */
static dev_t device_of(struct libmnt_fs *fs)
{
        dev_t dev = mnt_fs_get_devno(fs);

        if (major(dev) != 0)
                return dev;
        /* btrfs has a number of its own; its entry names one of its devices. */
        return mnt_fs_get_srcpath(fs) && device_number(mnt_fs_get_srcpath(fs), &dev) == 0 ? dev : 0;
}

/* As in /proc/self/mountinfo. What does not fit is cut: it is for people to read. */
static void escape_path(const char *path, char out[PLAN_PATH_MAX + 1])
{
        size_t n = 0;

        for (; *path && n + 4 <= PLAN_PATH_MAX; path++)
                if (*path > ' ' && *path < 0x7f && *path != '\\')
                        out[n++] = *path;
                else
                        n += (size_t)sprintf(out + n, "\\%03o", (unsigned char)*path);
        out[n] = '\0';
}

/* What cannot be looked at gets no name; the return value is why, a negative errno. */
static int describe_fs(const char *device, const char *path, struct plan_fs *fs)
{
        struct device_tags tags;
        int r = device_get_tags(device, NULL, &tags);

        if (r < 0)
                memset(&tags, 0, sizeof(tags));
        strcpy(fs->uuid, tags.uuid[0] && strlen(tags.uuid) <= PLAN_UUID_MAX ? tags.uuid : "-");
        strcpy(fs->type, tags.type[0] && strlen(tags.type) <= PLAN_TYPE_MAX ? tags.type : "-");
        escape_path(path, fs->path);
        return r;
}

static bool is_listed(const struct plan *plan, const struct plan_fs *fs)
{
        for (unsigned int i = 0; i < plan->n_held; i++)
                if (fs->uuid[0] != '-' && strcmp(plan->held[i].uuid, fs->uuid) == 0)
                        return true;
        return false;
}

/* Each filesystem on a block device, once. */
static int list_held(struct plan *plan)
{
        _cleanup_(cleanup_table) struct libmnt_table *tb = mnt_new_table_from_file("/proc/self/mountinfo");
        struct libmnt_iter *it = mnt_new_iter(MNT_ITER_FORWARD);
        struct libmnt_fs *entry;
        int r = EXIT_DONE;

        if (!tb || !it)
                r = fail(_("/proc/self/mountinfo: cannot read which filesystems are mounted; mount /proc"));
        while (r == EXIT_DONE && mnt_table_next_fs(tb, it, &entry) == 0) {
                _cleanup_free_ char *device = NULL;
                struct plan_fs fs;
                dev_t dev = device_of(entry);
                int known = dev ? device_path(dev, &device) : -ENODEV;
                if (known == -ENODEV)
                        continue;
                if (known < 0) {
                        r = no_device_name(dev, known);
                        break;
                }
                describe_fs(device, mnt_fs_get_target(entry), &fs);
                if (is_listed(plan, &fs))
                        continue;
                if (plan->n_held == PLAN_HELD_MAX)
                        r = refuse(_("more than %d filesystems are mounted, more than a plan can hold; unmount some"),
                                   PLAN_HELD_MAX);
                else
                        plan->held[plan->n_held++] = fs;
        }
        mnt_free_iter(it);
        return r;
}

/* ---- releasing the boot filesystem ---- */

static int busy(const struct boot *b)
{
        _cleanup_free_ char *who = holders_of(b->dev, b->mount.mount_point);

        return refuse(_("%s: the boot filesystem is busy and cannot be unmounted: %s; end or unmount that, or leave "
                        "--unmount out"),
                      b->mount.mount_point, *who ? who : _("by whom cannot be told"));
}

static int unmount_boot(struct boot *b)
{
        struct libmnt_context *cxt = mnt_new_context();
        int r;

        if (!cxt)
                return fail(_("out of memory"));
        /* Neither lazy nor read-only as a fallback: 0 means that it is unmounted. */
        mnt_context_disable_helpers(cxt, 1);
        mnt_context_set_target(cxt, b->mount.mount_point);
        r = mnt_context_umount(cxt);
        if (r != 0)
                r = mnt_context_syscall_called(cxt) ? mnt_context_get_syscall_errno(cxt) : EIO;
        mnt_free_context(cxt);
        if (r == EBUSY)
                return busy(b);
        if (r != 0)
                return fail(_("%s: cannot unmount the boot filesystem: %s"), b->mount.mount_point, strerror(r));
        b->mount.unmounted = true;
        return EXIT_DONE;
}

/* A mount namespace that somebody made a moment ago, as hibctl itself does, has a copy of every mount, and ends soon.
 */
static void wait_until_unused(const char *device)
{
        for (int i = 0; i < 20 && device_is_in_use(device); i++)
                usleep(100000);
}

static int release_boot(struct boot *b)
{
        struct safety safety;
        int r;

        if (b->is_part)
                return refuse(_("%s: only a folder of the boot filesystem is mounted there, the whole is mounted "
                                "elsewhere; unmount both, or leave --unmount out"),
                              b->mount.mount_point);
        r = mounted_describe(&b->mount);
        /* First the note: whatever happens from then on, somebody mounts it again. */
        if (r == EXIT_DONE)
                r = mounted_remember(&b->mount);
        if (r == EXIT_DONE)
                r = unmount_boot(b);
        if (r != EXIT_DONE) {
                mounted_forget();
                return r;
        }
        wait_until_unused(b->mount.device);
        device_safety(b->mount.device, &safety);
        if (safety.report.state == FS_IN_USE)
                r = refuse(
                        _("%s: the boot filesystem is still mounted elsewhere (another mount point, or another mount "
                          "namespace); unmount it there, or leave --unmount out"),
                        b->mount.device);
        else if (safety.report.state != FS_CLEAN)
                r = refuse(_("%s: the boot filesystem is not clean after it was unmounted: %s; check it (fsck %s)"),
                           b->mount.device, safety.report.reason ? _(safety.report.reason) : "", b->mount.device);
        if (r != EXIT_DONE)
                mounted_again(&b->mount);
        else
                say_step(_("unmounted %s"), b->mount.mount_point);
        return r;
}

/* ---- the plan ---- */

/* Whether GRUB will find and be able to consume a mark in the boot bits; reserves their slot if the area is idle. */
static int plan_bootbits(const struct request *request, const struct grub_request *asked, struct plan *plan,
                         struct boot *boot)
{
        struct whereabouts where = { .area = &plan->mark };
        _cleanup_reading_ struct reading reading = { 0 };
        _cleanup_free_ char *device = NULL;

        if (!settings_allow(&request->settings, &store_bootbits)) {
                boot->no_bits = xstrdup(_("hibctl.conf does not name them (Store=)"));
                return EXIT_DONE;
        }
        boot->no_bits = arming_why_no_bits(store_env_bootfs()->prefix, asked, &plan->mark);
        if (boot->no_bits)
                return EXIT_DONE;
        store_bootbits.open(&where, /* for_writing= */ !request->dry_run);
        store_bootbits.read(&reading);
        plan->bootbits = reading.place && reading.writable;
        if (!plan->bootbits)
                boot->no_bits = xstrdup(reading.why_not_writable ? reading.why_not_writable : _("the device is gone"));
        if (plan->bootbits && !request->dry_run && device_find(plan->mark.image, &device) == 0 &&
            !device_is_in_use(device))
                plan->bootbits = store_bootbits.reserve() == EXIT_DONE;
        if (!plan->bootbits && !boot->no_bits)
                boot->no_bits = xstrdup(_("their slot cannot be reserved"));
        store_bootbits.close();
        return EXIT_DONE;
}

static int size_of_image(struct plan *plan)
{
        _cleanup_free_ char *device = NULL;

        if (device_find(plan->mark.image, &device) < 0 || device_size(device, &plan->image_size) < 0)
                return fail(_("%s: cannot tell the size of the device"), plan->mark.image);
        return EXIT_DONE;
}

/* Whether the save kernel may write an EFI variable, and GRUB will find it. */
static void plan_efi(const struct request *request, struct plan *plan, struct boot *boot)
{
        struct whereabouts where = { 0 };
        _cleanup_reading_ struct reading reading = { 0 };

        if (!settings_allow(&request->settings, &store_efi))
                boot->no_efi = xstrdup(_("hibctl.conf does not name it (Store=)"));
        else
                boot->no_efi = efi_why_no_mark(store_env_bootfs()->prefix);
        if (!boot->no_efi) {
                store_efi.open(&where, /* for_writing= */ false);
                store_efi.read(&reading);
                store_efi.close();
                if (arming_holds_other(&reading, &plan->mark))
                        boot->no_efi = xstrdup(_("another hibernated session is marked there"));
        }
        plan->efi = !boot->no_efi;
        if (boot->no_efi)
                say_step(_("no mark in an EFI variable: %s"), boot->no_efi);
}

static int describe_boot(const struct request *request, const struct bootfs *fs, struct plan *plan, struct boot *boot)
{
        _cleanup_free_ char *path = NULL, *device = NULL;
        char type[UUID_TEXT_MAX];
        int r;

        if (!fs->device || path_for_grub(fs->prefix, &path, &device, type) < 0)
                return refuse(_("%s: GRUB's folder is not on a filesystem of a block device"), fs->prefix);
        boot->mount.device = xstrdup(fs->device);
        boot->mount.mount_point = xstrdup(fs->mount_point);
        boot->dev = fs->dev;
        boot->is_part = strcmp(fs->subtree, "/") != 0;
        r = describe_fs(fs->device, path, &plan->boot);
        if (r < 0 || strcmp(plan->boot.type, "-") == 0)
                return fail(_("%s: cannot tell what the boot filesystem is: %s"), fs->device,
                            r < 0 ? strerror(-r) : _("its signature cannot be read, or is not the only one"));
        plan->boot_state = bootfs_why_not_writable(fs) || plan->boot.uuid[0] == '-' ? PLAN_BOOT_UNFIT
                           : fs->mounted_here                                       ? PLAN_BOOT_RELEASED
                                                                                    : PLAN_BOOT_HELD;
        if (!settings_allow(&request->settings, &store_env))
                plan->boot_state = PLAN_BOOT_UNFIT;
        return EXIT_DONE;
}

/* What a plan has that is not of one jump. With store_env open. */
static int look_at_what_lasts(const struct request *request, struct plan *plan, struct boot *boot)
{
        int r = arming_make_mark(&request->wish, &plan->mark, plan->text);

        if (r == EXIT_DONE)
                r = describe_boot(request, store_env_bootfs(), plan, boot);
        plan->boot_state = PLAN_BOOT_UNKNOWN;
        return r == EXIT_DONE ? size_of_image(plan) : r;
}

/* GRUB looks there first, and the save kernel may not be able to clear it, even where it should: a driver is missing,
 * or the disk is gone. Whatever it was for is over: another one is about to be made. */
static int clear_older(const struct request *request, const struct reading *reading, const struct plan *plan)
{
        char empty[MARK_WIDTH];

        if (request->dry_run || !arming_comes_first(reading, &plan->mark))
                return EXIT_DONE;
        mark_format_empty(empty);
        return store_env.write(empty);
}

static bool is_root(const char *mount_point)
{
        return strcmp(mount_point, globals.root[0] ? globals.root : "/") == 0;
}

/* Whether the save kernel is to mark in the environment block. */
static bool is_for_release(const struct request *request, const struct plan *plan, const struct boot *boot)
{
        return plan->boot_state == PLAN_BOOT_RELEASED ||
               (plan->boot_state == PLAN_BOOT_HELD && request->unmount && !is_root(boot->mount.mount_point));
}

/* With store_env open. */
static int look_around(const struct request *request, struct plan *plan, struct boot *boot)
{
        _cleanup_reading_ struct reading reading = { 0 };
        const struct bootfs *fs = store_env_bootfs();
        struct grub_request asked;
        int r = arming_make_mark(&request->wish, &plan->mark, plan->text);

        if (r == EXIT_DONE)
                r = store_env.read(&reading);
        if (r == EXIT_DONE)
                r = arming_check_other(&reading, &plan->mark, /* by_plan= */ false);
        if (r == EXIT_DONE)
                r = arming_check_grub(fs->prefix, &asked);
        if (r == EXIT_DONE)
                r = describe_boot(request, fs, plan, boot);
        if (r == EXIT_DONE && is_for_release(request, plan, boot) && !request->dry_run)
                r = store_env.reserve();
        if (r == EXIT_DONE && !bootfs_why_not_writable(fs))
                r = clear_older(request, &reading, plan);
        if (r == EXIT_DONE)
                r = plan_bootbits(request, &asked, plan, boot);
        if (r != EXIT_DONE)
                return r;
        if (!request->dry_run)
                arming_write_files_out(fs);
        plan_efi(request, plan, boot);
        return size_of_image(plan);
}

static int make_plan(const struct request *request, struct plan *plan, struct boot *boot)
{
        struct whereabouts where = { .or_read = true };
        int r = store_env.open(&where, /* for_writing= */ !request->dry_run && !request->lasting), closed;

        plan_this_machine(plan->machine);
        if (r == EXIT_DONE)
                r = request->lasting ? look_at_what_lasts(request, plan, boot) : look_around(request, plan, boot);
        closed = store_env.close();
        return r == EXIT_DONE ? closed : r;
}

/* What is on the boot filesystem is out of reach once that is unmounted. */
static int check_reach(const struct request *request, const struct boot *boot)
{
        struct stat st;

        if (request->initramfs && stat(request->initramfs, &st) == 0 && st.st_dev == boot->dev)
                return refuse(_("%s: it is on the boot filesystem, which --unmount unmounts; copy it elsewhere first"),
                              request->initramfs);
        return EXIT_DONE;
}

/* The boot filesystem as it will be at the jump. */
static int settle_boot(const struct request *request, struct plan *plan, struct boot *boot)
{
        int r = EXIT_DONE;

        if (request->unmount && plan->boot_state == PLAN_BOOT_UNFIT)
                say(_("the boot filesystem on %s cannot take a mark, so it stays as it is"), boot->mount.device);
        if (request->unmount && plan->boot_state == PLAN_BOOT_HELD) {
                if (is_root(boot->mount.mount_point))
                        say(_("GRUB's folder is on the root filesystem, which stays mounted"));
                else {
                        r = check_reach(request, boot);
                        if (r == EXIT_DONE && !request->dry_run)
                                r = release_boot(boot);
                        plan->boot_state = PLAN_BOOT_RELEASED;
                }
        }
        if (r == EXIT_DONE && plan->boot_state != PLAN_BOOT_RELEASED && !plan->efi && !plan->bootbits)
                r = no_store(_("the save kernel would have no place for a mark: the boot filesystem on %s %s; an EFI "
                               "variable is of no use: %s; and neither are the boot bits of %s: %s"),
                             boot->mount.device,
                             plan->boot_state == PLAN_BOOT_UNFIT ? _("cannot take one")
                                                                 : _("stays mounted (--unmount would change that)"),
                             boot->no_efi, plan->mark.image, boot->no_bits);
        return r;
}

static int write_plan(const struct request *request, const struct plan *plan)
{
        _cleanup_free_ char *text = plan_format(plan);
        _cleanup_free_ char *folder = in_root(request->lasting ? "/etc/hibctl" : "/run/hibctl");
        struct stat st;
        int r;

        if (!text)
                return fail(_("the plan cannot be written: a name in it has a character that it cannot hold"));
        if (request->dry_run)
                return EXIT_DONE;
        if (request->is_default && mkdir(folder, 0755) < 0 && errno != EEXIST)
                return fail(_("%s: cannot make the folder: %m"), folder);
        if (lstat(request->plan, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
                return refuse(_("%s: not a file; name another for the plan"), request->plan);
        r = envfile_make(request->plan, text, strlen(text), 0600, /* for_grub= */ false);
        if (r < 0)
                return fail(_("%s: cannot write the plan: %s"), request->plan, strerror(-r));
        return request->initramfs ? initramfs_put_plan(request->initramfs, text) : EXIT_DONE;
}

static void report(const struct request *request, const struct plan *plan)
{
        struct json_object *o;

        if (request->lasting)
                say(_("the plan has what the setup hooks are told, and no mark is written by it"));
        else if (plan->boot_state == PLAN_BOOT_RELEASED)
                say(_("the save kernel will mark in the environment block on UUID=%s"), plan->boot.uuid);
        else if (plan->efi)
                say(_("the save kernel will mark in an EFI variable"));
        else
                say(_("the save kernel will mark in the boot bits of %s"), plan->mark.image);
        if (!request->dry_run)
                say(_("the plan is in %s"), request->plan);
        if (!globals.json)
                return;
        o = json_object_new_object();
        json_object_object_add(o, "dry_run", json_object_new_boolean(request->dry_run));
        add_text(o, "plan", request->dry_run ? NULL : request->plan);
        add_text(o, "boot", plan_boot_name(plan->boot_state));
        json_object_object_add(o, "bootbits", json_object_new_boolean(plan->bootbits));
        json_object_object_add(o, "efi", json_object_new_boolean(plan->efi));
        json_object_object_add(o, "held", json_object_new_int((int)plan->n_held));
        add_mark(o, &plan->mark);
        print_json(o);
}

static int forget_plans(const struct request *request)
{
        int r = plan_forget(request->plan);

        return r == EXIT_DONE && request->initramfs ? initramfs_forget_plan(request->initramfs) : r;
}

static int prepare(const struct request *request)
{
        _cleanup_boot_ struct boot boot = { 0 };
        struct plan plan = { 0 };
        int r;

        /* If no new one comes of this, an old one must not be taken for it: it may call released what is mounted. */
        r = request->dry_run || request->lasting ? EXIT_DONE : forget_plans(request);
        if (r != EXIT_DONE)
                return r;
        r = make_plan(request, &plan, &boot);
        if (r == EXIT_DONE && !request->lasting)
                r = settle_boot(request, &plan, &boot);
        if (r == EXIT_DONE && !request->lasting)
                r = list_held(&plan);
        for (; plan.n_hooks < request->n_hooks; plan.n_hooks++)
                strcpy(plan.hooks[plan.n_hooks], request->hooks[plan.n_hooks]);
        if (r == EXIT_DONE)
                r = write_plan(request, &plan);
        if (r != EXIT_DONE) {
                /* What a plan that stays calls unmounted must not be mounted. */
                if (request->dry_run || request->lasting || plan_forget(request->plan) == EXIT_DONE)
                        mounted_again(&boot.mount);
        } else
                report(request, &plan);
        return r;
}

static int run(int argc, char *argv[])
{
        _cleanup_free_ char *default_plan = NULL;
        struct request request = { 0 };
        int c, r;

        while ((c = getopt_long(argc, argv, "nh", options, NULL)) != -1)
                switch (c) {
                case OPTION_PLAN:
                        request.plan = optarg;
                        break;
                case OPTION_INITRAMFS:
                        request.initramfs = optarg;
                        break;
                case OPTION_HOOK:
                        if (request.n_hooks == PLAN_HOOKS_MAX)
                                return usage_error(_("--hook: at most %d times; 'hibctl prepare --help' shows how to "
                                                     "call it"),
                                                   PLAN_HOOKS_MAX);
                        if (!plan_is_hook(optarg))
                                return usage_error(_("--hook=%s: not the name of a hook and, after a space, what it is "
                                                     "told, of at most %d printable ASCII characters in all"),
                                                   optarg, PLAN_PATH_MAX);
                        request.hooks[request.n_hooks++] = optarg;
                        break;
                case OPTION_LASTING:
                        request.lasting = true;
                        break;
                case OPTION_UNMOUNT:
                        request.unmount = true;
                        break;
                case 'n':
                        request.dry_run = true;
                        break;
                case 'h':
                        print_command_help(&command_prepare);
                        return EXIT_DONE;
                default:
                        if (wish_take(&request.wish, c, optarg))
                                break;
                        return bad_option(&command_prepare);
                }
        if (optind < argc)
                return usage_error(_("%s: prepare takes no arguments; 'hibctl prepare --help' lists its options"),
                                   argv[optind]);
        if (!request.plan) {
                default_plan = in_root(request.lasting ? PLAN_IN_INITRAMFS : PLAN_IN_RUN);
                request.plan = default_plan;
                request.is_default = true;
        }
        if (request.lasting && request.unmount)
                return usage_error(_("--unmount is for one jump, --lasting is for all of them; give one"));
        if (wish_check(&request.wish) != EXIT_DONE)
                return EXIT_USAGE;
        r = settings_read(&request.settings);
        if (r != EXIT_DONE)
                return r;
        if (!request.dry_run && need_root() != EXIT_DONE)
                return EXIT_FAILED;
        r = request.dry_run ? EXIT_DONE : take_lock();
        if (r != EXIT_DONE)
                return r;
        hold_signals();
        r = prepare(&request);
        release_signals();
        return r;
}

const struct command command_prepare = {
        .name = "prepare",
        .arguments = "[--dry-run] [--unmount|--lasting] [--plan=FILE] [--initramfs=FILE] [--hook=...]\n"
                     "       [--image=DEVICE [--offset=PAGES]]\n"
                     "       [--kernel=FILE] [--initrd=FILE|none]",
        .summary = N_("before the jump into a save kernel: check everything and write it a plan"),
        .options = N_("      --unmount         unmount the boot filesystem, so that the save kernel may write to it\n"
                      "      --lasting         for the initramfs of load kernels: what the setup hooks are told, and\n"
                      "                        nothing that changes from one jump to the next\n"
                      "      --plan=FILE       where to write the plan; default: /run/hibctl/plan, or with --lasting\n"
                      "                        /etc/hibctl/plan, which goes into every initramfs made from then on\n"
                      "      --initramfs=FILE  put the plan into the save kernel's initramfs too, as /etc/hibctl/plan\n"
                      "      --hook='NAME WORD...'\n"
                      "                        arguments for the setup hook NAME in the save kernel; may be repeated\n"
                      "      --image=DEVICE    as for mark, and so:\n"
                      "      --offset=PAGES\n"
                      "      --kernel=FILE\n"
                      "      --initrd=FILE\n"
                      "  -n, --dry-run         change nothing, say what would be done\n"
                      "  -h, --help            show this help\n"),
        .run = run,
};
