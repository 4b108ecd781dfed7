/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The functions that GRUB's envblk.c calls, over libc's: inside [0, size) they do the same.
 */
#ifndef GRUBSHIM_MISC_H
#define GRUBSHIM_MISC_H

#include <string.h>

enum { GRUB_ERR_BAD_FILE_TYPE };

#define grub_memcmp memcmp
#define grub_memcpy memcpy
#define grub_memmove memmove
#define grub_memset memset
#define grub_strlen strlen
#define grub_error(number, text) ((void)(number), (void)(text))

#endif
