/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What util/grub-editenv.c and util/editenv.c of GRUB's source have from GRUB's build and from its other sources, over
 * libc: the names are GRUB's, what they do is in fuzz-editenv.c.
 */
#ifndef EDITENVSHIM_CONFIG_H
#define EDITENVSHIM_CONFIG_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define PACKAGE "grub"
#define PACKAGE_NAME "GRUB"
#define PACKAGE_VERSION "0"
#define PACKAGE_BUGREPORT ""
#define DEFAULT_DIRECTORY "/nowhere"

#define _(text) text
#define N_(text) text

/* hibctl has functions of these names, too. */
#define xmalloc editenv_malloc
#define xstrdup editenv_strdup
#define xasprintf editenv_asprintf
#define malloc editenv_malloc
#define free editenv_free

void *editenv_malloc(size_t size);
void editenv_free(void *p);
char *editenv_strdup(const char *s);
char *editenv_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void grub_util_error(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
FILE *editenv_fopen(const char *path, const char *mode);

/* Not for what it does to the disk: the file is in memory. */
#define grub_util_file_sync fflush
#define grub_util_fopen editenv_fopen
#define grub_util_rename rename
#define grub_util_readlink readlink
#define grub_util_unlink unlink
#define grub_util_host_init(argc, argv) ((void)(argc), (void)(argv))
#define program_name "grub-editenv"

extern int verbosity;
void grub_util_create_envblk_file(const char *name);
int grub_install_copy_file(const char *src, const char *dst, int is_critical);
int editenv_main(int argc, char *argv[]);

#endif
