/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * GRUB's menu, which grub-mkconfig makes from the scripts in /etc/grub.d: ours among them ask for a mark.
 */
#ifndef HIBCTL_MENU_H
#define HIBCTL_MENU_H

#include "util.h"

#define N_MENU_SCRIPTS 4
extern const char *const menu_scripts[N_MENU_SCRIPTS];

/* The command by which this distribution makes GRUB's menu anew, for the grub.cfg in the folder PREFIX, as one would
 * type it. NULL if there is none, or if it would make that of another system: below --root. The caller frees. */
char *menu_command(const char *prefix);

/* Runs it. What it prints goes to standard error. Says what is wrong and returns an exit status. */
int menu_make(const char *prefix);

#endif
