/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The build inside an x86 kernel file: a text "RELEASE (USER@HOST) VERSION", as of the x86 boot protocol
 * (Documentation/arch/x86/boot.rst, kernel_version).
 */
#ifndef HIBCTL_BZIMAGE_H
#define HIBCTL_BZIMAGE_H

#include <stdbool.h>

#define BZIMAGE_TEXT_MAX 512 /* with the NUL; more is cut off */

/* Reads the text of the kernel file at PATH. 1; 0 if it is not such a file: then its build cannot be told; or a
 * negative errno if it cannot be read. */
int bzimage_read_build(const char *path, char text[BZIMAGE_TEXT_MAX]);

/* Whether TEXT is of the kernel that says RELEASE and VERSION of itself, as uname does. */
bool bzimage_is_build(const char *text, const char *release, const char *version);

#endif
