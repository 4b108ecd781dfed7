/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * systemd's HibernateLocation: what it says, and whether the boot loader has tried that image already. Nothing is said
 * here but by the functions that delete.
 */
#ifndef HIBCTL_SYSTEMD_H
#define HIBCTL_SYSTEMD_H

#include "mark/location.h"
#include "mark/verdict.h"

struct systemd_claim {
        unsigned char bytes[LOCATION_MAX]; /* of the variable */
        size_t size;
        struct mark mark;          /* what it says, as if a mark said so */
        enum location_error error; /* why it is damaged */
        bool noted;                /* the boot loader's note of a try is there, about whatever image */
        bool tried;                /* it is about the image that is there now */
};

/* Reads the variable, and whether there is a note. */
enum source_status systemd_read(struct systemd_claim *claim);

/* Finds kernel and initial ramdisk as the boot loader, whose folder is PREFIX, does: beside the kernel of CONFIGURED.
 * *BLIND: where they would be cannot be seen from here. */
void systemd_find_files(struct systemd_claim *claim, const char *prefix, const struct mark *configured,
                        struct source *facts, bool *blind);

/* With an image on DEVICE: whether the note is about it. 0 or a negative errno of reading the device. */
int systemd_look_for_try(struct systemd_claim *claim, const char *device);

/* Deletes the note, or systemd's variable. EXIT_NOTHING if there was none. Says what is wrong and returns an exit
 * status. */
int systemd_forget_try(const struct systemd_claim *claim);
int systemd_delete(void);

#endif
