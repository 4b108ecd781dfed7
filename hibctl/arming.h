/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What comes before a mark is written, in the running system and, through a plan, for the save kernel. Functions that
 * return an int say what is wrong and return an exit status.
 */
#ifndef HIBCTL_ARMING_H
#define HIBCTL_ARMING_H

#include <getopt.h>

#include "bootfs.h"
#include "grubcfg.h"
#include "plan.h"
#include "store.h"
#include "target.h"

/* The options that say what to mark. */
enum { WISH_IMAGE = 1024, WISH_OFFSET, WISH_KERNEL, WISH_INITRD };
#define WISH_OPTIONS                                                                                                   \
        { "image", required_argument, NULL, WISH_IMAGE }, { "offset", required_argument, NULL, WISH_OFFSET },          \
                { "kernel", required_argument, NULL, WISH_KERNEL },                                                    \
        {                                                                                                              \
                "initrd", required_argument, NULL, WISH_INITRD                                                         \
        }

/* Whether OPTION is one of these; then it is noted. */
bool wish_take(struct target_wish *wish, int option, const char *value);

/* Refuses, as wrong usage, what does not go together. */
int wish_check(const struct target_wish *wish);

/* Finds image and kernel and makes the mark: armed, with a new id, of this moment. */
int arming_make_mark(const struct target_wish *wish, struct mark *mark, char text[MARK_WIDTH]);

/* The last step of that, with image and kernel in MARK. */
int arming_complete_mark(struct mark *mark, char text[MARK_WIDTH]);

/* Refuses if READING holds the mark of another session whose image is there, or out of sight. BY_PLAN: in a save
 * kernel, which sees less than the running system that made the plan and has asked the same; so only if it is there. */
int arming_check_other(const struct reading *reading, const struct mark *mark, bool by_plan);

/* Whether it does. Says nothing. */
bool arming_holds_other(const struct reading *reading, const struct mark *mark);

/* Whether READING holds an older mark that counts if GRUB looks there first: for the area of MARK, or a hint. Says
 * nothing. */
bool arming_comes_first(const struct reading *reading, const struct mark *mark);

/* Such marks, in stores where GRUB would look first. */
struct older {
        bool env, bootbits;
};

/* Looks for them before MARK is written to STORE; fails if one of these stores cannot be read. The environment block is
 * looked at only if store_env is open. */
int arming_look_for_older(const struct store *store, const struct mark *mark, bool env_is_open, struct older *older);

/* Clears them, with MARK written. store_env is open as it was. */
int arming_clear_older(const struct older *older, const struct mark *mark);

/* Refuses if grub.cfg in the folder PREFIX does not look for a mark: it would do nothing. */
int arming_check_grub(const char *prefix, struct grub_request *asked);

/* Whether GRUB in the folder PREFIX has its module for one platform at least. Says nothing. */
bool arming_has_module(const char *prefix);

/* A mark in the environment block is written with everything that its filesystem has in a journal or in memory, where
 * GRUB does not look. Where the mark goes elsewhere, a new kernel or initial ramdisk may be there still. Best effort;
 * says if it fails. */
void arming_write_files_out(const struct bootfs *fs);

/* Why GRUB in the folder PREFIX, with the grub.cfg that says ASKED, would not read MARK in its boot bits, as a part of
 * a sentence with its remedy, or NULL if it would. The caller frees. */
char *arming_why_no_bits(const char *prefix, const struct grub_request *asked, const struct mark *mark);

/* In a save kernel: refuses unless PLAN, which was read from FILE, is of this machine, and the device of the image is
 * the one that it was and holds a swap area or an image. CHECK_IMAGE: an image, which then is on the disk as a whole.
 */
int arming_check_plan(const char *file, const struct plan *plan, bool check_image);

#endif
