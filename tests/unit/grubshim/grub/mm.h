/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#ifndef GRUBSHIM_MM_H
#define GRUBSHIM_MM_H

#include <stdlib.h>

#define grub_malloc malloc
#define grub_free free

#endif
