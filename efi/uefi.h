/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The firmware's variables, over libefivar: read, written only where they differ, read back. Says nothing; the caller
 * does.
 *
 * LIBEFIVAR_OPS and EFIVARFS_PATH, libefivar's own settings, lead to a plain folder instead, as in the tests. A folder
 * that is not there stands for a machine without UEFI.
 */
#ifndef HIBCTL_EFI_UEFI_H
#define HIBCTL_EFI_UEFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UEFI_VARIABLE_MAX 65536 /* bytes of contents that are read; none that hibctl knows is as long */
#define UEFI_MOUNT_POINT "/sys/firmware/efi/efivars"

struct uefi_variable {
        const char *name, *guid; /* the GUID as text, 36 characters */
};

/* mark/efivar-names.h says what they are. */
extern const struct uefi_variable uefi_mark, uefi_tried, uefi_location;

enum uefi_access {
        UEFI_NO_FIRMWARE, /* the machine was not started by UEFI, or the kernel does not know */
        UEFI_NOT_MOUNTED, /* it was, but efivarfs is not mounted */
        UEFI_READ_ONLY,   /* mounted, but nothing can be written */
        UEFI_USABLE,
};

enum uefi_access uefi_access(void);

/* To be called first in main: libefivar decides, when it is loaded, how variables are reached, and never again. If
 * efivarfs is not mounted yet, this starts the program anew, so that it can be mounted later. ARGV is as in main. */
void uefi_start(char *argv[]);

/* Mounts efivarfs in a mount namespace of our own. 0 or a negative errno. */
int uefi_mount(void);

/* Reads at most SIZE bytes of contents. Their number, 0 if there is no such variable or nothing in it, or a negative
 * errno: -EFBIG if there are more. ATTRIBUTES may be NULL. */
ssize_t uefi_read(const struct uefi_variable *variable, void *buf, size_t size, uint32_t *attributes);

/* Makes SIZE bytes the contents, with EFIVAR_ATTRIBUTES; nothing is written if it is so already. Reads back. 0 or a
 * negative errno: -ESTALE if other bytes were read back. On an error the old contents are there, unless *IN_DOUBT. */
int uefi_write(const struct uefi_variable *variable, const void *bytes, size_t size, bool *in_doubt);

/* Deletes it; done if there is none. Looks again. 0 or a negative errno: -ESTALE if it is there still. */
int uefi_delete(const struct uefi_variable *variable);

/* Bytes that are left for variables; negative if the kernel does not tell (before Linux 6.7). */
int64_t uefi_room(void);

/* What SIZE bytes of contents under NAME take there, with some reserve for how firmware keeps them. */
int64_t uefi_space_for(const struct uefi_variable *variable, size_t size);

/* Whether the firmware, and so GRUB, refuses what is not signed. The first: 1 or 0, or a negative errno; to the second,
 * what cannot be read is not on. */
int uefi_secure_boot_state(void);
bool uefi_secure_boot(void);

/* The boot entry that this system was started by, and the one that is to be started next, once. 0 or a negative errno:
 * -ENOENT if there is none, -EBADMSG if it is not such a number. */
int uefi_boot_current(uint16_t *number);
int uefi_boot_next(uint16_t *number);
int uefi_set_boot_next(uint16_t number, bool *in_doubt);
int uefi_delete_boot_next(void);

/* The firmware's boot order: at most MAX numbers. How many, or a negative errno, as above. */
#define UEFI_BOOT_ORDER_MAX 256
ssize_t uefi_boot_order(uint16_t *numbers, size_t max);

#define UEFI_NAME_MAX 128 /* bytes, with the NUL */
#define UEFI_PARTITION_ID_LEN 16

struct uefi_boot_entry {
        bool active;              /* the firmware starts it by itself */
        char name[UEFI_NAME_MAX]; /* what is no printable ASCII becomes '?' */
        bool has_partition;       /* it is started from one that can be told from others, by both of these */
        uint8_t partition_number[4];
        uint8_t partition[UEFI_PARTITION_ID_LEN]; /* GUID of a GPT's entry, or the signature of an MBR */
};

/* The boot entry NUMBER. 0 or a negative errno, as above. */
int uefi_boot_entry(uint16_t number, struct uefi_boot_entry *entry);

/* The same for the N bytes of such a variable (EFI_LOAD_OPTION of the UEFI specification). */
int uefi_parse_boot_entry(const uint8_t *bytes, size_t n, struct uefi_boot_entry *entry);

/* What libefivar has said since the last call of a function here that failed, outermost last. */
void uefi_each_error(void (*tell)(const char *function, const char *message, int error));

#endif
