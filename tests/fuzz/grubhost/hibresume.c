/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The module never goes away while GRUB runs, and remembers that it tried. Here one GRUB after the other is started in
 * one process, so it must be made to forget.
 */
#include "grub-module/hibresume.c"

void host_forget_try (void);

void
host_forget_try (void)
{
  tried = 0;
  cmd = 0;
}
