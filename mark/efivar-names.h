/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The EFI variables that hibctl and its GRUB module share: names, owners, lengths. Macros only, so that the tool, which
 * names a GUID as text, and the boot loader, which needs it as numbers, take both from here.
 */
#ifndef HIBCTL_MARK_EFIVAR_NAMES_H
#define HIBCTL_MARK_EFIVAR_NAMES_H

#include "location.h"
#include "mark.h"

/* Our own variables. */
#define EFIVAR_GUID "2825577a-fa13-4241-91d7-ecfc5966ad34"
#define EFIVAR_GUID_NUMBERS                                                                                            \
        {                                                                                                              \
                0x2825577a, 0xfa13, 0x4241,                                                                            \
                {                                                                                                      \
                        0x91, 0xd7, 0xec, 0xfc, 0x59, 0x66, 0xad, 0x34                                                 \
                }                                                                                                      \
        }

/* systemd's, as in src/fundamental/efivars-fundamental.h of systemd. */
#define EFIVAR_SYSTEMD_GUID "8cf2644b-4b0b-428f-9387-6d876050dc67"
#define EFIVAR_SYSTEMD_GUID_NUMBERS                                                                                    \
        {                                                                                                              \
                0x8cf2644b, 0x4b0b, 0x428f,                                                                            \
                {                                                                                                      \
                        0x93, 0x87, 0x6d, 0x87, 0x60, 0x50, 0xdc, 0x67                                                 \
                }                                                                                                      \
        }

/* The mark, as in a slot. There is no empty one: disarmed means deleted. */
#define EFIVAR_MARK "HibctlMark"
#define EFIVAR_MARK_LEN MARK_WIDTH

/* Which image of systemd's was tried: location_fingerprint's text. */
#define EFIVAR_TRIED "HibctlTried"
#define EFIVAR_TRIED_LEN LOCATION_FINGERPRINT_LEN

/* Where systemd hibernated to; see location.h. */
#define EFIVAR_LOCATION "HibernateLocation"
#define EFIVAR_LOCATION_MAX LOCATION_MAX

/* Of all three: non-volatile, to be seen by the boot loader, to be seen by the system (UEFI specification,
 * EFI_VARIABLE_NON_VOLATILE and the two after it). */
#define EFIVAR_ATTRIBUTES 7

#endif
