/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The types that GRUB's envblk.c uses, over the host's.
 */
#ifndef GRUBSHIM_TYPES_H
#define GRUBSHIM_TYPES_H

#include <stddef.h>

typedef size_t grub_size_t;

#endif
