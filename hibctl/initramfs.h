/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A plan inside an initramfs. The kernel unpacks one cpio archive after the other (Documentation/driver-api/early-
 * userspace/buffer-format.rst), so the plan is put behind what is there, as an archive of its own.
 */
#ifndef HIBCTL_INITRAMFS_H
#define HIBCTL_INITRAMFS_H

#include <stddef.h>

/* DATA of SIZE bytes, which are an initramfs image, with TEXT behind it as PLAN_IN_INITRAMFS, instead of a plan that
 * was put there before. The caller frees; *NEW_SIZE is its size. */
char *initramfs_with_plan(const char *data, size_t size, const char *text, size_t *new_size);

/* Takes a plan that was put there out of FILE. As below. */
int initramfs_forget_plan(const char *file);

/* Puts a plan into FILE, which gets the new content whole or stays as it was. Says what is wrong and returns an exit
 * status. */
int initramfs_put_plan(const char *file, const char *text);

#endif
