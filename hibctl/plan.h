/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The plan: what the running system knew before it went to sleep, for a save kernel that can ask nobody. It is a small
 * text, one "key value" a line, in this order:
 *
 *   hibctl-plan 1
 *   machine UUID          the machine's own (DMI product UUID), or "-" if it has none
 *   mark LINE             the mark to write: MARK_WIDTH bytes, armed (mark/mark.h)
 *   image-size BYTES      of the block device that the mark names
 *   bootbits yes|no       whether GRUB looks for a mark in the boot bits of that swap area, and can consume it
 *   efi yes|no            whether GRUB looks for a mark in an EFI variable, and the firmware takes one
 *   boot STATE UUID TYPE PREFIX
 *                         the boot filesystem and GRUB's folder on it. STATE: "held", the sleeping system has it
 *                         mounted; "released", it has not; "unfit", GRUB could not consume a mark there; "unknown",
 *                         the plan is not of one jump but stays in an initramfs, and no mark is written by it
 *   held UUID TYPE WHERE  0 to PLAN_HELD_MAX lines: each filesystem on a block device that the sleeping system has
 *                         mounted; UUID may be "-"; WHERE as in /proc/self/mountinfo
 *   hook NAME WORD...     0 to PLAN_HOOKS_MAX lines: arguments for the setup hook NAME
 *   crc XXXXXXXX          CRC-32 (zlib's) of all bytes before this line, 8 hexadecimal digits
 */
#ifndef HIBCTL_PLAN_H
#define HIBCTL_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "mark/mark.h"

#define PLAN_SIZE_MAX 65536 /* bytes */
#define PLAN_HELD_MAX 100
#define PLAN_HOOKS_MAX 32
#define PLAN_UUID_MAX 36
#define PLAN_TYPE_MAX 16
#define PLAN_PATH_MAX 255
#define PLAN_IN_INITRAMFS "/etc/hibctl/plan"
#define PLAN_IN_RUN "/run/hibctl/plan"

enum plan_boot { PLAN_BOOT_HELD, PLAN_BOOT_RELEASED, PLAN_BOOT_UNFIT, PLAN_BOOT_UNKNOWN };

struct plan_fs {
        char uuid[PLAN_UUID_MAX + 1]; /* "-" if it has none */
        char type[PLAN_TYPE_MAX + 1];
        char path[PLAN_PATH_MAX + 1]; /* boot: GRUB's folder; held: where it is mounted */
};

struct plan {
        char machine[PLAN_UUID_MAX + 1];
        char text[MARK_WIDTH]; /* of the mark, as it is to be written */
        struct mark mark;
        uint64_t image_size;
        bool bootbits, efi;
        enum plan_boot boot_state;
        struct plan_fs boot;
        unsigned int n_held;
        struct plan_fs held[PLAN_HELD_MAX];
        unsigned int n_hooks;
        char hooks[PLAN_HOOKS_MAX][PLAN_PATH_MAX + 1]; /* name and words, single spaces between */
};

/* Takes SIZE bytes at TEXT apart. 0 or a negative errno: -EBADMSG if the checksum is wrong or the text is cut,
 * -EPROTO for another version, -EINVAL for a field of a wrong form. */
int plan_parse(const char *text, size_t size, struct plan *plan);

/* Writes it out. The caller frees. NULL if a field cannot be written. */
char *plan_format(const struct plan *plan);

/* Reads and takes apart FILE. Says what is wrong and returns an exit status. */
int plan_read(const char *file, struct plan *plan);

/* Removes FILE if it looks like a plan: what it says is not true any more. Says what is wrong and returns an exit
 * status. */
int plan_forget(const char *file);

/* Whether TEXT is a hook's name and words, as in a plan. */
bool plan_is_hook(const char *text);

/* As in a plan: "held", ... */
const char *plan_boot_name(enum plan_boot state);

/* This machine, as it is in a plan. */
void plan_this_machine(char out[PLAN_UUID_MAX + 1]);

#endif
