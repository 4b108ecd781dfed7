/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What the module should find, told from the machine's bytes without any code of GRUB's or of grub-module/: the facts
 * are collected here once more, and only the parsers and the judge of mark/ are shared.
 */
#ifndef HIBCTL_TESTS_ORACLE_H
#define HIBCTL_TESTS_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

/* As when GRUB starts: nothing was tried, nothing was probed. */
void oracle_forget(void);

/* "resume" was run: from now on the module itself remembers, until GRUB starts anew. */
void oracle_note_try(void);

/* Whether the last probe was accepted, so that its verdict stands. */
bool oracle_was_shown(void);

/* Compares the verdict of "probe ARGV", which was accepted or not. Where something failed, or a partition table or a
 * disk's length was changed, nothing is said. */
void oracle_check(bool accepted, int argc, char **argv, const char *verdict, const char *reason);

/* Whether a page of any size, OFFSET such pages into the one device that TAG names, holds S1SUSPEND. */
bool oracle_image_is_at(const char *tag, uint64_t offset);

/* Whether any store has a mark about TAG that says that the image cannot be seen. */
bool oracle_has_hint(const char *tag);

/* Whether both are about the same bytes. */
bool oracle_same_area(const char *a, const char *a_offset, const char *b, const char *b_offset);

#endif
