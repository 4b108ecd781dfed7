/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A store: a place for a mark. Each store is a table of functions, so that commands need not know which one they
 * work with.
 */
#ifndef HIBCTL_STORE_H
#define HIBCTL_STORE_H

#include <stdbool.h>

#include "mark/mark.h"
#include "mark/verdict.h"

/* What a store holds, as the boot loader will read it. */
struct reading {
        enum source_status status;
        struct mark mark;        /* valid with SOURCE_VALID */
        enum slot_status slot;   /* SLOT_FOUND: a mark can be written */
        bool writable;           /* the boot loader can consume the mark */
        const char *why_not_now; /* nothing can be written there as things are: a part of a sentence, or NULL */
        bool foreign;            /* bootbits: this is no swap area, or none any more: nothing is written there */
        char *place;             /* for people: the file, device or variable; owned, may be NULL */
        char *prefix;            /* env: GRUB's folder; owned, may be NULL */
        char *why_not_writable;  /* owned; NULL if writable */
};

void reading_free(struct reading *r);
#define _cleanup_reading_ _cleanup_(reading_free)

/* Where a store is to be looked for. */
struct whereabouts {
        const struct plan *plan; /* env: in a save kernel, the only thing that is believed; else NULL */
        const struct mark *area; /* bootbits: image, offset and page size of the swap area; NULL if none is known */
        bool or_read; /* env: if GRUB could not write there, that it is opened for reading will do for FOR_WRITING */
};

/* Each function says what is wrong and returns an exit status. */
struct store {
        const char *name;
        enum source_kind kind;

        /* Makes the store reachable: mounts the boot filesystem for a moment if it is not mounted. What WHERE points to
         * must live until close. From here to close, signals that would end the program wait. To be closed in any case,
         * once. */
        int (*open)(const struct whereabouts *where, bool for_writing);

        /* A missing or damaged mark is not an error. *OUT is filled in any case, and is to be freed. */
        int (*read)(struct reading *out);

        /* Reserves the slot if there is none. 0 if there is one now, and GRUB would find it. */
        int (*reserve)(void);

        /* Overwrites the mark with TEXT. Returns 0 only after the bytes that the boot loader will read were read back
         * from the device; on any other status the old mark is there. */
        int (*write)(const char text[MARK_WIDTH]);

        /* Unmounts what open mounted, and proves once more what write wrote. */
        int (*close)(void);
};

extern const struct store store_env, store_bootbits, store_efi;

/* Takes the armed mark that was read from STORE, which is open for writing; a variable goes. */
int store_take(const struct store *store, const struct reading *reading);

/* One run at a time. Held until it is released, or the program ends. Says what is wrong and returns an exit status. */
int take_lock(void);
void release_lock(void);

/* Signals that would end the program wait until it is in an order that may be left. */
void hold_signals(void);
void release_signals(void);

#endif
