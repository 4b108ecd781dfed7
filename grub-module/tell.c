/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What grub.cfg learns: a few variables, exported so that they are there in
 * submenus and after `configfile'.
 */
#include <grub/env.h>
#include <grub/i18n.h>
#include <grub/misc.h>
#include <grub/mm.h>

#include "hibresume.h"

static void
set (const char *name, const char *value)
{
  grub_env_set (name, value);
  grub_env_export (name);
  grub_errno = GRUB_ERR_NONE;
}

/* What REASON is about: the block, a file, or the image.  The boot bits are
   called by the name of their area.  To be freed.  */
static char *
object (const struct hibresume_config *config,
	const struct hibresume_claim *claim, enum verdict_reason reason)
{
  const struct mark *mark = &claim->mark;

  switch (reason)
    {
    case REASON_DAMAGED:
    case REASON_FUTURE:
    case REASON_SOURCE_UNREADABLE:
    case REASON_CANNOT_CONSUME:
      if (claim->facts.kind == SOURCE_ENV)
	return grub_strdup (config->env ? config->env : "");
      break;
    case REASON_KERNEL_GONE:
      return grub_strdup (mark->kernel);
    case REASON_INITRD_GONE:
      return grub_strdup (mark->initrd);
    default:
      break;
    }
  if (mark->offset)
    return grub_xasprintf ("%s+%llu", mark->image,
			   (unsigned long long) mark->offset);
  return grub_strdup (mark->image);
}

static void
tell_words (const struct hibresume_config *config,
	    const struct hibresume_claim *claim, enum verdict_reason reason)
{
  const char *text = grub_gettext (verdict_reason_text (reason));
  char *about = claim ? object (config, claim, reason) : 0;
  char *words = 0;

  if (about && *about)
    words = grub_xasprintf ("%s: %s", about, text);
  set ("hib_words", words ? words : text);
  grub_free (words);
  grub_free (about);
}

/* "2026-11-22T16:03:12+01:00" as "2026-11-22 16:03"; "" stays "".  */
static void
tell_time (const char *time)
{
  char shown[sizeof ("2026-11-22 16:03")];

  grub_strncpy (shown, time, sizeof (shown) - 1);
  shown[sizeof (shown) - 1] = '\0';
  if (shown[0])
    shown[10] = ' ';
  set ("hib_time", shown);
}

void
hibresume_tell (const struct hibresume_config *config,
		struct hibresume_findings *findings)
{
  const struct judgement *judgement = &findings->judgement;
  const struct hibresume_claim *claim = hibresume_deciding (findings);

  set ("hib_verdict", verdict_name (judgement->verdict));
  set ("hib_reason", verdict_reason_name (judgement->reason));
  tell_words (config, claim, judgement->reason);
  tell_time (claim ? claim->mark.time : "");
  set ("hib_release", claim ? claim->mark.release : "");
}

void
hibresume_tell_noresume (int noresume)
{
  set ("hib_noresume", noresume ? "noresume" : "");
}
