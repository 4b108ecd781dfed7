/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Whether this module and the GRUB that loads it come from one build.
 */
#include <config.h>
#include <grub/env.h>
#include <grub/file.h>
#include <grub/i18n.h>
#include <grub/misc.h>
#include <grub/mm.h>

#include "guard.h"

/* grub-install copies it from the package, whenever it copies the modules.  */
#define MODINFO		"modinfo.sh"
#define MODINFO_MAX	(64 * 1024)
#define VERSION_IS	"grub_package_version=\""

/* The text of FILE, to be freed; NULL if it cannot be read.  */
static char *
read_text (grub_file_t file)
{
  grub_off_t size = grub_file_size (file);
  char *text;

  if (size > MODINFO_MAX)
    return 0;
  text = grub_malloc (size + 1);
  if (! text)
    return 0;
  if (grub_file_read (file, text, size) != (grub_ssize_t) size)
    {
      grub_free (text);
      return 0;
    }
  text[size] = '\0';
  return text;
}

static int
is_same_build (const char *text)
{
  static const char same[] = VERSION_IS PACKAGE_VERSION "\"";
  const char *line = grub_strstr (text, VERSION_IS);

  return ! line || grub_strncmp (line, same, sizeof (same) - 1) == 0;
}

int
hibresume_guard_fits (void)
{
  const char *prefix = grub_env_get ("prefix");
  char *path = grub_xasprintf ("%s/" GRUB_TARGET_CPU "-" GRUB_PLATFORM "/"
			       MODINFO, prefix ? prefix : "");
  grub_file_t file = path ? grub_file_open (path, GRUB_FILE_TYPE_FS_SEARCH
					    | GRUB_FILE_TYPE_NO_DECOMPRESS
					    | GRUB_FILE_TYPE_SKIP_SIGNATURE)
    : 0;
  char *text = file ? read_text (file) : 0;
  int fits = ! text || is_same_build (text);

  if (! fits)
    grub_printf_ (N_("hibresume: built for GRUB %s, which is not the one in"
		     " %s\n"), PACKAGE_VERSION, path);
  grub_free (text);
  if (file)
    grub_file_close (file);
  grub_free (path);
  grub_errno = GRUB_ERR_NONE;
  return fits;
}
