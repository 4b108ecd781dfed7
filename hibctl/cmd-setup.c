/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl setup: reserve the slot, install the GRUB module and the scripts of grub.d, and have grub.cfg made anew, while
 * the machine is healthy, so that hibernating never has to grow or shift anything; and undo that. Everything is gone
 * through twice: first to say what there is to do, then to do it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "bootfs.h"
#include "command.h"
#include "envfile.h"
#include "globals.h"
#include "grubcfg.h"
#include "hibernation.h"
#include "json.h"
#include "menu.h"
#include "store-efi.h"
#include "store-env.h"

#define FILE_MAX (1024 * 1024)

enum { OPTION_REMOVE = 256, OPTION_MODULES, OPTION_SCRIPTS };

static const struct option options[] = {
        { "remove", no_argument, NULL, OPTION_REMOVE },
        { "modules", required_argument, NULL, OPTION_MODULES },
        { "scripts", required_argument, NULL, OPTION_SCRIPTS },
        { "dry-run", no_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

struct work {
        bool remove, dry_run;
        const char *modules; /* folder with one folder per platform */
        const char *scripts; /* folder with the scripts for grub.d */
        bool planning;       /* the first time: nothing is changed */
        int changes;
        bool begun;       /* a step is done */
        bool new_scripts; /* so grub.cfg is not up to date */
        bool by_hand;     /* grub.cfg is left to whoever called us */
};

/* R: of a step. */
static int did(struct work *work, int r)
{
        work->begun = work->begun || r == EXIT_DONE;
        return r;
}

/* Says what there is to do. True if it is to be done now. */
static bool _printf_(2, 3) step(struct work *work, const char *fmt, ...)
{
        _cleanup_free_ char *what = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&what, fmt, ap) < 0)
                what = NULL;
        va_end(ap);
        if (!work->planning) {
                say_step("%s", what ? what : "");
                return true;
        }
        work->changes++;
        say(work->dry_run ? _("would do: %s") : _("will do: %s"), what ? what : "");
        return false;
}

/* ---- the slot ---- */

/* The block without a slot: *WANTED, which the caller frees, or NULL if it has none. */
static void plan_removal(const struct envfile *f, char **wanted)
{
        struct envblk block = { xmalloc(f->block.size), f->block.size };

        memcpy(block.buf, f->buf, block.size);
        if (slot_remove(&block) == ENVBLK_DONE) {
                *wanted = block.buf;
                return;
        }
        free(block.buf);
        *wanted = NULL;
}

static int change_slot(struct work *work, struct bootfs *fs, struct envfile *f)
{
        _cleanup_free_ char *wanted = NULL;
        int r = EXIT_DONE;

        if (work->remove)
                plan_removal(f, &wanted);
        else
                r = slot_plan_reserve(f, &wanted);
        if (r != EXIT_DONE || !wanted)
                return r;
        if (!step(work, work->remove ? _("remove the slot from %s") : _("reserve the slot in %s"), f->path))
                return EXIT_DONE;
        r = bootfs_overwrite(fs, f, wanted);
        return did(work, r < 0 ? envfile_explain(f->path, r) : EXIT_DONE);
}

static int make_block(struct work *work, struct bootfs *fs)
{
        char bytes[ENVBLK_DEFAULT_SIZE];
        struct envblk block;
        int r;

        if (work->remove || !step(work, _("make %s with a slot in it"), fs->env_path))
                return EXIT_DONE;
        envblk_create(bytes, sizeof(bytes));
        envblk_open(&block, bytes, sizeof(bytes));
        slot_reserve(&block);
        r = envfile_make(fs->env_path, bytes, sizeof(bytes), 0644, /* for_grub= */ true);
        return r == 0 ? EXIT_DONE : envfile_explain(fs->env_path, r);
}

/* The module is of use all the same where a variable can take the marks. */
static int go_without_slot(const struct work *work, const struct bootfs *fs, const char *why)
{
        const char *no_variable = efi_why_no_reader();

        if (no_variable)
                return no_store(_("%s: GRUB could not consume a mark there: %s (%s); and an EFI variable cannot take "
                                  "its place: %s"),
                                fs->env_path, why, fs->type, no_variable);
        if (work->planning)
                say(_("%s: no slot is reserved, for GRUB could not consume a mark there: %s (%s); marks will go into an EFI "
                      "variable"),
                    fs->env_path, why, fs->type);
        return EXIT_DONE;
}

/* A file that was made, but is not where GRUB finds it, or cannot be looked at. */
static int unmake(const struct bootfs *fs, int result)
{
        if (unlink(fs->env_path) < 0)
                return result;
        bootfs_write_out(fs); /* best effort: else GRUB may still find it */
        return result;
}

static int setup_slot(struct work *work, struct bootfs *fs)
{
        _cleanup_envfile_ struct envfile f = ENVFILE_INIT;
        const char *why = bootfs_why_not_writable(fs);
        bool made = envfile_is_missing(fs->env_path);
        int r;

        if (why && !work->remove)
                return go_without_slot(work, fs, why);
        if (made) {
                r = make_block(work, fs);
                if (r != EXIT_DONE || work->planning || work->remove)
                        return r;
        }
        r = envfile_open(&f, fs->env_path, /* for_writing= */ !work->planning);
        if (r != EXIT_DONE)
                return made ? unmake(fs, r) : r;
        if (!f.sound)
                return work->remove ? EXIT_DONE : slot_cannot_reserve(f.path, ENVBLK_BROKEN);
        r = change_slot(work, fs, &f);
        if (r != EXIT_DONE || work->planning || !made)
                return r;
        /* A new file too must be where GRUB finds it. */
        int e = bootfs_confirm(fs, &f);
        return e == 0 ? EXIT_DONE : unmake(fs, envfile_explain(f.path, e));
}

/* ---- files ---- */

static int install_file(struct work *work, const char *from, const char *to, mode_t mode, bool for_grub)
{
        _cleanup_free_ char *wanted = NULL, *present = NULL;
        ssize_t n = read_whole_file(from, FILE_MAX, &wanted);
        int r;

        if (n < 0)
                return fail(_("%s: cannot read what is to be installed: %s; install hibctl again"), from,
                            strerror((int)-n));
        if (read_whole_file(to, FILE_MAX, &present) == n && memcmp(wanted, present, (size_t)n) == 0 &&
            (!(mode & 0111) || access(to, X_OK) == 0))
                return EXIT_DONE;
        if (!step(work, _("install %s"), to))
                return EXIT_DONE;
        r = envfile_make(to, wanted, (size_t)n, mode, for_grub);
        return did(work, r == 0 ? EXIT_DONE : envfile_explain(to, r));
}

static int remove_file(struct work *work, const char *path)
{
        if (is_missing(path) || !step(work, _("remove %s"), path))
                return EXIT_DONE;
        return did(work, unlink(path) == 0 ? EXIT_DONE : fail(_("%s: cannot remove it: %m; remove it by hand"), path));
}

/* ---- the module ---- */

static int setup_modules(struct work *work, const struct bootfs *fs)
{
        int r = EXIT_DONE;

        for (size_t i = 0; i < N_GRUB_PLATFORMS && r == EXIT_DONE; i++) {
                _cleanup_free_ char *folder = xasprintf("%s/%s", fs->prefix, grub_platforms[i]);
                _cleanup_free_ char *from = xasprintf("%s/%s/%s", work->modules, grub_platforms[i], GRUB_MODULE_NAME);
                _cleanup_free_ char *to = xasprintf("%s/%s", folder, GRUB_MODULE_NAME);

                if (is_missing(folder))
                        continue;
                if (work->remove)
                        r = remove_file(work, to);
                else if (!is_missing(from))
                        r = install_file(work, from, to, 0644, /* for_grub= */ true);
                else if (work->planning)
                        say(_("%s: there is no module for %s; GRUB will use its plain script, which cannot look at the "
                              "image"),
                            from, grub_platforms[i]);
        }
        return r;
}

/* ---- EFI variables ---- */

/* One that cannot be read may be there: that is said when the rest is done. */
static int remove_variable(struct work *work, const struct uefi_variable *variable)
{
        char byte;
        ssize_t n = uefi_read(variable, &byte, sizeof(byte), NULL);
        int r;

        if (n == 0 || !step(work, _("delete the EFI variable %s"), variable->name))
                return EXIT_DONE;
        r = n < 0 && n != -EFBIG ? (int)n : uefi_delete(variable);
        return r == 0 ? EXIT_DONE : efi_explain(variable, r, /* in_doubt= */ false);
}

/* What mark, and the boot loader, have made there: setup itself makes none. When the module is gone, so that the note
 * of a try is not missed. */
static int remove_variables(struct work *work)
{
        int r;

        if (uefi_access() == UEFI_NO_FIRMWARE)
                return EXIT_DONE;
        r = remove_variable(work, &uefi_mark);
        return r == EXIT_DONE ? remove_variable(work, &uefi_tried) : r;
}

/* ---- the menu ---- */

/* Where there is no grub.d, grub.cfg is written by hand. */
static int setup_scripts(struct work *work)
{
        _cleanup_free_ char *folder = in_root("/etc/grub.d");
        int r = EXIT_DONE, before = work->changes;

        if (is_missing(folder))
                return EXIT_DONE;
        for (size_t i = 0; i < N_MENU_SCRIPTS && r == EXIT_DONE; i++) {
                _cleanup_free_ char *from = xasprintf("%s/%s", work->scripts, menu_scripts[i]);
                _cleanup_free_ char *to = xasprintf("%s/%s", folder, menu_scripts[i]);

                r = work->remove ? remove_file(work, to) : install_file(work, from, to, 0755, /* for_grub= */ false);
        }
        work->new_scripts = work->new_scripts || work->changes > before;
        return r;
}

/* One that cannot be read is made anew, too. */
static bool is_menu_as_wanted(const struct work *work, const struct bootfs *fs)
{
        struct grub_request asked = { .asks = false };

        return grub_request_read(fs->prefix, &asked) == 0 && asked.asks == !work->remove;
}

static int setup_menu(struct work *work, const struct bootfs *fs)
{
        _cleanup_free_ char *command = menu_command(fs->prefix);
        int r;

        if (is_menu_as_wanted(work, fs) && !work->new_scripts)
                return EXIT_DONE;
        /* What we have mounted is not where that command would look. */
        if (!command || fs->mounted_here) {
                work->by_hand = true;
                return EXIT_DONE;
        }
        if (!step(work, _("make grub.cfg anew: %s"), command))
                return EXIT_DONE;
        /* It may take minutes, and a machine that is to sleep meanwhile must be marked. */
        release_lock();
        r = did(work, menu_make(fs->prefix));
        if (take_lock() != EXIT_DONE)
                return EXIT_FAILED;
        if (r == EXIT_DONE && !is_menu_as_wanted(work, fs))
                r = fail(work->remove ? _("%s/grub.cfg: it still asks for a mark after %s; look for another script in "
                                          "/etc/grub.d that does")
                                      : _("%s/grub.cfg: it does not ask for a mark after %s; that command may write "
                                          "another file: look into /etc/default/grub and /etc/grub.d"),
                         fs->prefix, command);
        return r;
}

/* What no setup can change: said each time, so that nobody waits for a resume that will not come. */
static void say_what_will_not_work(void)
{
        hibernation_warn();
        if (uefi_secure_boot())
                say(_("Secure Boot is on: GRUB does not load the module from a file, and resumes by its plain script, "
                      "which cannot look at the image; a GRUB that you sign can carry the module inside"));
}

/* ---- the command ---- */

static int print_result(const struct work *work)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "changes", json_object_new_int(work->changes));
        json_object_object_add(o, "dry_run", json_object_new_boolean(work->dry_run));
        json_object_object_add(o, "removed", json_object_new_boolean(work->remove && !work->dry_run));
        return print_json(o);
}

/* What GRUB would trip over without the rest comes last, and goes first. */
static int go_through(struct work *work, struct bootfs *fs, bool planning)
{
        int r = EXIT_DONE;

        work->planning = planning;
        if (work->remove)
                r = setup_scripts(work);
        if (r == EXIT_DONE && work->remove)
                r = setup_menu(work, fs);
        if (r == EXIT_DONE)
                r = setup_slot(work, fs);
        if (r == EXIT_DONE)
                r = setup_modules(work, fs);
        if (r == EXIT_DONE && !work->remove)
                r = setup_scripts(work);
        if (r == EXIT_DONE && !work->remove)
                r = setup_menu(work, fs);
        /* New files may be in the journal only, where GRUB does not look. */
        if (r == EXIT_DONE && work->changes > 0 && !planning && bootfs_write_out(fs) < 0)
                r = fail(_("%s: cannot write its filesystem out: %m; GRUB may not see what was changed; run sync"),
                         fs->prefix);
        if (r == EXIT_DONE && work->remove)
                r = remove_variables(work);
        return r;
}

static void say_what_is_left(const struct work *work, const char *prefix)
{
        if (work->by_hand) /* not to be missed, whoever called us */
                say_error(_("now run update-grub (or grub-mkconfig -o %s/grub.cfg), so that the menu %s"), prefix,
                          work->remove ? _("is as it was") : _("asks for a mark"));
        else
                say(work->remove ? _("done: the boot loader is as it was")
                                 : _("done: GRUB asks for a mark at each power-on; 'hibctl check' says whether "
                                     "anything is missing"));
}

static int setup(struct work *work)
{
        _cleanup_bootfs_ struct bootfs fs = BOOTFS_INIT;
        int r = bootfs_attach(&fs, work->dry_run ? BOOTFS_READ : BOOTFS_WRITE);

        if (r == EXIT_DONE)
                r = go_through(work, &fs, /* planning= */ true);
        if (r == EXIT_DONE && work->changes > 0 && !work->dry_run)
                r = go_through(work, &fs, /* planning= */ false);
        if (r != EXIT_DONE && work->begun)
                say_error(_("a part of it may have been done; when that is mended, run the same again"));
        if (r == EXIT_DONE)
                r = bootfs_detach(&fs);
        if (r != EXIT_DONE)
                return r;
        if (!work->remove)
                say_what_will_not_work();
        if (globals.json)
                print_result(work);
        if (work->changes == 0 && !work->by_hand)
                say(_("nothing to do"));
        if (work->by_hand || (work->changes > 0 && !work->dry_run))
                say_what_is_left(work, fs.prefix);
        return work->changes > 0 ? EXIT_DONE : EXIT_NOTHING;
}

static int run(int argc, char *argv[])
{
        struct work work = { .modules = MODULEDIR, .scripts = SCRIPTDIR };
        int c, r;

        while ((c = getopt_long(argc, argv, "nh", options, NULL)) != -1)
                switch (c) {
                case OPTION_REMOVE:
                        work.remove = true;
                        break;
                case OPTION_MODULES:
                        work.modules = optarg;
                        break;
                case OPTION_SCRIPTS:
                        work.scripts = optarg;
                        break;
                case 'n':
                        work.dry_run = true;
                        break;
                case 'h':
                        print_command_help(&command_setup);
                        return EXIT_DONE;
                default:
                        return bad_option(&command_setup);
                }
        if (optind < argc)
                return usage_error(_("%s: setup takes no arguments; 'hibctl setup --help' lists its options"),
                                   argv[optind]);
        if (!work.dry_run && need_root() != EXIT_DONE)
                return EXIT_FAILED;
        r = work.dry_run ? EXIT_DONE : take_lock();
        if (r != EXIT_DONE)
                return r;
        hold_signals();
        r = setup(&work);
        release_signals();
        return r;
}

const struct command command_setup = {
        .name = "setup",
        .arguments = "[--remove] [--dry-run] [--modules=DIR] [--scripts=DIR]",
        .summary = N_("make GRUB ask for marks: slot, module and menu; undo that with --remove"),
        .options = N_("      --remove       undo what setup did\n"
                      "      --modules=DIR  take the module from DIR/PLATFORM/; default: where it was installed\n"
                      "      --scripts=DIR  take the scripts for /etc/grub.d from DIR; default: likewise\n"
                      "  -n, --dry-run      change nothing, say what would be done\n"
                      "  -h, --help         show this help\n"),
        .run = run,
};
