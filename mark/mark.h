/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The mark: one line of printable ASCII that tells the boot loader about a hibernation image.
 *
 * It always has MARK_WIDTH bytes, so that arming, consuming and cancelling overwrite the same bytes of the same disk
 * sector and move nothing. Fields are separated by single spaces, in this order; an absent field is "-":
 *
 *   hib1 armed ID IMAGE OFFSET PAGESIZE FSUUID KERNEL INITRD RELEASE TIME VERIFY <spaces> CRC
 *
 *   hib1      magic and format version
 *   armed     state, MARK_STATE_LEN bytes: "none ", "armed" or "taken"
 *   ID        128 random bits, 32 lower-case hexadecimal digits
 *   IMAGE     the device that holds the image: UUID=... or PARTUUID=...
 *   OFFSET    start of the swap area on that device in pages: the kernel's resume_offset, 0 for a partition
 *   PAGESIZE  of the kernel that wrote the image: 4096, 16384 or 65536
 *   FSUUID    UUID of the filesystem that kernel and initrd are on, as GRUB prints it
 *   KERNEL    absolute path on that filesystem
 *   INITRD    likewise, or "-"
 *   RELEASE   kernel release (uname -r)
 *   TIME      when it was armed, local time with offset: 2026-11-22T16:03:12+01:00
 *   VERIFY    "header": the boot loader can and must check the image header; "hint": it cannot see the device
 *   CRC       CRC-32 (IEEE 802.3, as zlib's crc32) of all bytes before it except the state, 8 hexadecimal digits
 *
 * The state is outside the checksum so that GRUB's scripting language, which cannot compute one, can consume a mark.
 * A slot that holds no mark holds the empty mark: state "none ", every other field "-".
 *
 * Freestanding: no libc, no allocation, no I/O, bounded work.
 */
#ifndef HIBCTL_MARK_MARK_H
#define HIBCTL_MARK_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "envblk.h"

#define MARK_NAME "hib_mark" /* the variable in an environment block */
#define MARK_MAGIC "hib"     /* followed by one digit: the format version */
#define MARK_VERSION '1'
#define MARK_WIDTH 400 /* bytes; leaves 77 beside it in GRUB's smallest block, 512 bytes on btrfs */
#define MARK_STATE_AT 5
#define MARK_STATE_LEN 5
#define MARK_CRC_LEN 8

/* Longest text in each field, without the terminating NUL. They need not all fit at once: mark_format says. */
#define MARK_ID_LEN 32
#define MARK_IMAGE_MAX 45 /* "PARTUUID=" and 36 */
#define MARK_UUID_MAX 36
#define MARK_PATH_MAX 200
#define MARK_RELEASE_MAX 64 /* __NEW_UTS_LEN in linux/utsname.h */
#define MARK_TIME_LEN 25

#define MARK_OFFSET_LIMIT ((uint64_t)1 << 44) /* pages; with 64 KiB pages still below 2^60 bytes */

enum mark_state {
        MARK_NONE,  /* the slot is reserved, nothing is marked */
        MARK_ARMED, /* the next power-on is to resume */
        MARK_TAKEN, /* the boot loader has handed over to the kernel once */
};

enum mark_verify {
        MARK_VERIFY_HEADER,
        MARK_VERIFY_HINT,
};

/* A mark taken apart. Strings are NUL-terminated and, after mark_parse, within the character sets of the format. If
 * "empty" is true, as it always is with MARK_NONE, no image is named: the other fields are empty or zero. */
struct mark {
        enum mark_state state;
        bool empty;
        char id[MARK_ID_LEN + 1];
        char image[MARK_IMAGE_MAX + 1];
        uint64_t offset; /* pages; below MARK_OFFSET_LIMIT */
        uint32_t page_size;
        char fs_uuid[MARK_UUID_MAX + 1];
        char kernel[MARK_PATH_MAX + 1];
        char initrd[MARK_PATH_MAX + 1]; /* "" if there is none */
        char release[MARK_RELEASE_MAX + 1];
        char time[MARK_TIME_LEN + 1];
        enum mark_verify verify;
};

enum mark_error {
        MARK_OK = 0,
        MARK_E_WIDTH,    /* not MARK_WIDTH bytes, or a byte that is not printable ASCII */
        MARK_E_MAGIC,    /* not a mark */
        MARK_E_VERSION,  /* a mark of another format version */
        MARK_E_CHECKSUM, /* the checksum does not match */
        MARK_E_STATE,    /* unknown state */
        MARK_E_FIELD,    /* a field has a wrong form; see mark_field */
        MARK_E_TOO_LONG, /* mark_format: the fields do not fit in MARK_WIDTH */
};

enum mark_field {
        MARK_FIELD_NONE,
        MARK_FIELD_ID,
        MARK_FIELD_IMAGE,
        MARK_FIELD_OFFSET,
        MARK_FIELD_PAGE_SIZE,
        MARK_FIELD_FS_UUID,
        MARK_FIELD_KERNEL,
        MARK_FIELD_INITRD,
        MARK_FIELD_RELEASE,
        MARK_FIELD_TIME,
        MARK_FIELD_VERIFY,
};

/* Takes LEN bytes at TEXT apart. A line of state "none " may still hold the fields of the mark that was cancelled; they
 * are checked, but not returned. *MARK is valid only after MARK_OK. *FIELD (may be NULL) names the field after
 * MARK_E_FIELD, else it is MARK_FIELD_NONE. */
enum mark_error mark_parse(const char *text, size_t len, struct mark *mark, enum mark_field *field);

/* Writes MARK as MARK_WIDTH bytes, no NUL, to OUT. An empty mark needs only "state" and "empty". Every field is checked
 * as mark_parse checks it; on an error OUT is unchanged. */
enum mark_error mark_format(const struct mark *mark, char out[MARK_WIDTH], enum mark_field *field);

/* Writes the empty mark with state "none ". */
void mark_format_empty(char out[MARK_WIDTH]);

/* Overwrites the state inside a mark's text. */
void mark_set_state(char text[MARK_WIDTH], enum mark_state state);

/* The state's name without padding: "none", "armed", "taken". */
const char *mark_state_name(enum mark_state state);

/* Where the swap area starts on the image's device, in bytes. */
uint64_t mark_image_start(const struct mark *mark);

/* Where the mark is in an environment block. */
enum slot_status {
        SLOT_FOUND,     /* right width, inside one sector */
        SLOT_MISSING,   /* no such variable */
        SLOT_DUPLICATE, /* more than one: GRUB's set and load would not mean the same */
        SLOT_WIDTH,     /* there, but of another width: not a slot */
        SLOT_STRADDLES, /* it crosses a sector boundary: an overwrite could tear */
        SLOT_BROKEN,    /* GRUB reads it, but its set would not overwrite just these bytes: the block is damaged */
};

/* Finds the slot. After SLOT_FOUND, GRUB's own set with a value of the same width changes these bytes and no others.
 * *AT is the offset in the block of the MARK_WIDTH bytes of the value, valid with SLOT_FOUND and SLOT_STRADDLES. Sector
 * boundaries are taken relative to the start of the block. */
enum slot_status slot_find(const struct envblk *block, size_t *at);

/* Puts an empty slot right behind the signature, where no other variable's change can shift it, and removes what was
 * left of older ones. Every other byte sequence (variable, comment) keeps its content and order. Unless it returns
 * ENVBLK_DONE, older slots may be gone already: work on a copy. */
enum envblk_result slot_reserve(struct envblk *block);

/* Removes the variable, wherever and however often it occurs. Undoes slot_reserve. */
enum envblk_result slot_remove(struct envblk *block);

#endif
