/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * GRUB's envblk.c includes its configuration and uses nothing of it.
 */
