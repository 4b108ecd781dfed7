/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What 'hibctl check' looks at. One function for each finding: it reads what was collected, and says what it found, or
 * nothing if that does not concern this machine.
 */
#ifndef HIBCTL_CHECK_H
#define HIBCTL_CHECK_H

#include "bootfs.h"
#include "choice.h"
#include "findings.h"
#include "hibernation.h"
#include "settings.h"
#include "situation.h"
#include "swaps.h"

/* How another command's step ended here: its exit status, and what it would have said. */
struct attempt {
        int result;
        char *said; /* owned */
};

/* What is looked at by more than one of the functions, or only while the boot filesystem is mounted. */
struct checkup {
        const char *modules;       /* folder with one folder per platform, as setup has it */
        const struct bootfs *boot; /* NULL if it was not found */
        struct situation s;
        struct attempt opening, settings_read, asking; /* the stores; hibctl.conf; whether grub.cfg asks for a mark */
        struct attempt imaging, kernel;                /* the two halves of a mark */
        struct settings settings;
        struct grub_request asked;
        struct mark mark; /* that 'hibctl mark' would write, as far as both halves went well */
        char text[MARK_WIDTH];
        struct swaps swaps;
        int swaps_error;
        bool has_choice;
        struct choice choice; /* of a store, if it could be made */
};

/* Where an image would be: the device, and the offset in pages. As /sys/power/resume says, or the only swap area that
 * is active. False if neither tells. */
bool check_image_place(const struct checkup *c, dev_t *dev, uint64_t *offset);

/* What a program's configuration says. */
struct config {
        char *value, *file; /* owned: NULL if nothing says it, and the file that does */
        char *unread;       /* owned: a file or folder that cannot be read, or NULL; then the rest may not be so */
        int error;          /* why */
};

void config_free(struct config *config);
#define _cleanup_config_ _cleanup_(config_free)

/* RESUME= of initramfs-tools. */
void check_initramfs_tools_resume(struct config *config);

/* That CONFIG could not be read. */
void find_unread(struct finding *f, const struct config *config);

typedef void check_fn(const struct checkup *c, struct finding *f);

/* GRUB, and where the mark goes. */
check_fn check_grub, check_folder, check_slot, check_module, check_grub_cfg, check_grub_cfg_age, check_grub_cfg_device,
        check_store, check_marks;

/* The image, and who writes and reads it. */
check_fn check_hibernation, check_kernel, check_swap, check_swap_size, check_resume, check_resume_settings,
        check_encryption, check_initramfs, check_sleep_hook;

/* The firmware. */
check_fn check_secure_boot, check_variables, check_boot_order, check_systemd;

/* hibctl itself. */
check_fn check_rights, check_settings;

#endif
