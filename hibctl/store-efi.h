/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What is said of the firmware's variables, by the efi store and whoever else uses them.
 */
#ifndef HIBCTL_STORE_EFI_H
#define HIBCTL_STORE_EFI_H

#include "efi/uefi.h"
#include "store.h"

/* Why no variable can be written here, as a sentence with its remedy, or NULL if it can. */
const char *efi_why_not(void);

/* Likewise for a mark in one: with its module GRUB would find it. */
const char *efi_why_no_reader(void);

/* Likewise for GRUB in the folder PREFIX: whether it would find a mark in a variable, and there is room for one. The
 * caller frees. */
char *efi_why_no_mark(const char *prefix);

/* Whether a GRUB for UEFI in PREFIX has the module. *FOLDER, which the caller frees, is the folder that was looked at.
 */
bool efi_has_module(const char *prefix, char **folder);

/* Says why a function of efi/ failed with ERROR on VARIABLE, and under -v what libefivar said. IN_DOUBT as there.
 * Returns an exit status. */
int efi_explain(const struct uefi_variable *variable, int error, bool in_doubt);

#endif
