/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Likewise the mark that was taken: see hibresume.c beside this file.
 */
#include "grub-module/efi.c"

void host_forget_taken (void);

void
host_forget_taken (void)
{
  has_taken = 0;
}
