/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The verdict: what the boot loader does at the next power-on, and why. The tool and the GRUB module collect the same
 * facts, each in its own way, and this code judges them for both.
 *
 * Freestanding: no libc, no allocation, no I/O, bounded work.
 */
#ifndef HIBCTL_MARK_VERDICT_H
#define HIBCTL_MARK_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "image.h"
#include "location.h"
#include "mark.h"

/* Where a claim about an image comes from, in the order in which the boot loader looks. */
enum source_kind {
        SOURCE_ENV,        /* slot in GRUB's environment block */
        SOURCE_BOOTBITS,   /* environment block in the boot bits of a swap area */
        SOURCE_EFI,        /* our EFI variable */
        SOURCE_SYSTEMD,    /* systemd's HibernateLocation */
        SOURCE_CONFIGURED, /* no mark: the resume device that grub.cfg names */
};

enum source_status {
        SOURCE_ABSENT,     /* nothing there */
        SOURCE_UNREADABLE, /* could not be read */
        SOURCE_DAMAGED,    /* there, but broken: checksum, width, field, duplicate */
        SOURCE_FUTURE,     /* a mark of a newer format */
        SOURCE_VALID,      /* a mark, or for SOURCE_CONFIGURED a device to look at */
};

/* What was found where a source says that the image is. */
enum image_state {
        IMAGE_NOT_LOOKED,   /* not needed for the verdict */
        IMAGE_NO_DEVICE,    /* no such device, or the area is outside it */
        IMAGE_NOT_READABLE, /* reading failed */
        IMAGE_GONE,         /* a swap area without an image, or no swap area */
        IMAGE_PRESENT,      /* S1SUSPEND, of the page size that the mark names */
        IMAGE_FOREIGN,      /* an image of another kind: this kernel path cannot resume it */
};

enum file_state {
        FILE_NOT_LOOKED,
        FILE_PRESENT,
        FILE_MISSING,
};

/* The facts about one source. Only "kind" and "status" count unless the status is SOURCE_VALID. */
struct source {
        enum source_kind kind;
        enum source_status status;
        enum mark_state state; /* SOURCE_CONFIGURED: ignored */
        bool empty;            /* the mark names no image */
        enum mark_verify verify;
        bool writable; /* the boot loader can consume it */
        enum image_state image;
        enum file_state kernel;
        enum file_state initrd;
};

enum verdict {
        VERDICT_NORMAL, /* the ordinary menu */
        VERDICT_OFFER,  /* the ordinary menu and default; a resume entry is added for a person to choose */
        VERDICT_RESUME, /* the resume entry is the default and takes itself */
};

enum verdict_reason {
        REASON_NOTHING,           /* no mark, no image */
        REASON_READY,             /* armed, image there */
        REASON_READY_HINT,        /* armed, the device cannot be seen from the boot loader */
        REASON_STALE,             /* armed, but no image there */
        REASON_NO_DEVICE,         /* armed, but the device is not there */
        REASON_NOT_READABLE,      /* armed, but the device cannot be read */
        REASON_FOREIGN,           /* an image that the kernel does not resume by itself */
        REASON_KERNEL_GONE,       /* image there, kernel not */
        REASON_INITRD_GONE,       /* image there, initrd not */
        REASON_CANNOT_CONSUME,    /* image there, but the mark cannot be taken: a loop would be possible */
        REASON_TRIED,             /* taken already, image still there */
        REASON_SPENT,             /* taken already, image gone: it was resumed or it failed */
        REASON_UNMARKED,          /* an image without a mark on the configured device */
        REASON_DAMAGED,           /* the mark is damaged */
        REASON_FUTURE,            /* the mark is of a newer format */
        REASON_SOURCE_UNREADABLE, /* the store cannot be read */
        REASON_COUNT
};

struct judgement {
        enum verdict verdict;
        enum verdict_reason reason;
        size_t source; /* index of the source that decided; N if none did */
};

/* The mark in an environment block: whether there is one, and *MARK if the answer is SOURCE_VALID. *SLOT says what was
 * found of the slot, and *AT, after SLOT_FOUND, where its MARK_WIDTH bytes begin. */
enum source_status source_read_block(const struct envblk *block, struct mark *mark, enum slot_status *slot, size_t *at);

/* The mark in N bytes that are nothing else, as in an EFI variable. No bytes: there is none. */
enum source_status source_read_text(const void *text, size_t n, struct mark *mark);

/* The N bytes of systemd's HibernateLocation as an armed mark: image, offset, page size and release. What it does not
 * say is empty. No bytes: there is none. *ERROR (may be NULL) says what is wrong if the answer is SOURCE_DAMAGED. */
enum source_status source_read_location(const void *bytes, size_t n, struct mark *mark, enum location_error *error);

/* Finds kernel and initrd for a MARK that has only a release: in the folder of CONFIGURED->kernel, under the names that
 * distributions give them; without a release the configured ones. LOOK says whether CONFIGURED->fs_uuid has a file.
 * Fills fs_uuid, kernel and initrd of MARK, and kernel and initrd of FACTS. What was not found is named all the same,
 * so that a person can be told; "" if there is no folder to look in, or no name fits. */
void source_find_files(struct mark *mark, const struct mark *configured,
                       enum file_state (*look)(void *data, const char *path), void *data, struct source *facts);

/* What PAGE_SIZE bytes at PAGE, the first page of a swap area as a mark or grub.cfg says, hold. *HEADER is filled in.
 */
enum image_state source_look_at_page(const uint8_t *page, uint32_t page_size, struct image_header *header);

/* Judges N sources, which stand in the order in which they count. */
void verdict_judge(const struct source *sources, size_t n, struct judgement *out);

/* One plain sentence, English, to be translated by the caller. */
const char *verdict_reason_text(enum verdict_reason reason);

/* A stable word for programs: "ready", "stale", ... */
const char *verdict_reason_name(enum verdict_reason reason);
const char *verdict_name(enum verdict verdict);      /* "normal", "offer", "resume" */
const char *source_kind_name(enum source_kind kind); /* "env", "bootbits", "efi", "systemd", "configured" */

#endif
