/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The references that keep the module out of a GRUB of another release.  No
 * header of GRUB is included, so that functions can be named without knowing
 * how they are declared.
 */
#include "guard.h"

extern const char HIBRESUME_GUARD_SINCE[];
#ifdef HIBRESUME_GUARD_UNTIL
extern const char HIBRESUME_GUARD_UNTIL[];
#endif

extern const char *const hibresume_guard_symbols[];
const char *const hibresume_guard_symbols[] = {
  HIBRESUME_GUARD_SINCE,
#ifdef HIBRESUME_GUARD_UNTIL
  HIBRESUME_GUARD_UNTIL,
#endif
};
