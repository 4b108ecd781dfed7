/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * GRUB looks at no version when it loads a module: one that was built for
 * another GRUB is taken silently and reads structures that have changed.  So
 * this module keeps itself out, in two ways.
 *
 * Another release: the module refers to symbols that only its own release
 * exports; GRUB then says "symbol not found" and loads nothing.  Found by
 * comparing the exports of Debian's 2.06-13, 2.12-9 and 2.14-4; where a
 * release exports nothing that a later one lacks, there is no UNTIL.
 *
 * Another build of the same release: distributions change structures in
 * security updates (struct grub_fs between 2.06-13+deb12u1 and u2), so the
 * version of the package, which grub-install puts beside the modules, must be
 * the one that the module was built with.
 *
 * HIBRESUME_GRUB is the release as a number: 206 for 2.06.
 */
#ifndef HIBRESUME_GUARD_H
#define HIBRESUME_GUARD_H 1

#include "grub-release.h"	/* made by build-module or make-contrib */

#if HIBRESUME_GRUB == 206
# define HIBRESUME_GUARD_SINCE grub_calloc
# if defined (GRUB_MACHINE_EFI) && defined (__x86_64__)
#  define HIBRESUME_GUARD_UNTIL efi_wrap_5
# endif
#elif HIBRESUME_GRUB == 212
# define HIBRESUME_GUARD_SINCE grub_env_get_bool
# ifdef GRUB_MACHINE_EFI
#  define HIBRESUME_GUARD_UNTIL grub_efi_set_text_mode
# endif
#elif HIBRESUME_GRUB == 214
# define HIBRESUME_GUARD_SINCE grub_strtok
#else
# error "hibresume: this GRUB release is not known; see guard.h"
#endif

/* False, and a message, if the modules that GRUB was installed with are of
   another build.  True if that cannot be told.  */
int hibresume_guard_fits (void);

#endif /* ! HIBRESUME_GUARD_H */
