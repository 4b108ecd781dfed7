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
#include "mark/efivar-names.h"

static void
set (const char *name, const char *value)
{
  grub_env_set (name, value);
  grub_env_export (name);
  grub_errno = GRUB_ERR_NONE;
}

/* What the image that MARK names is called; with WHERE, whose word it is.  To
   be freed.  */
static char *
image_name (const struct mark *mark, const char *where)
{
  const char *before = where ? where : "", *open = where ? " (" : "";
  const char *close = where ? ")" : "";

  if (mark->offset)
    return grub_xasprintf ("%s%s%s+%llu%s", before, open, mark->image,
			   (unsigned long long) mark->offset, close);
  return grub_xasprintf ("%s%s%s%s", before, open, mark->image, close);
}

/* What REASON is about: the block, a variable, a file, or the image.  The boot
   bits are called by the name of their area.  To be freed.  */
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
      if (claim->facts.kind == SOURCE_EFI)
	return grub_strdup (EFIVAR_MARK);
      if (claim->facts.kind == SOURCE_SYSTEMD)
	return grub_strdup (EFIVAR_LOCATION);
      break;
    case REASON_KERNEL_GONE:
      return grub_strdup (mark->kernel[0] ? mark->kernel : mark->release);
    case REASON_INITRD_GONE:
      return grub_strdup (mark->initrd);
    default:
      break;
    }
  /* Nobody has marked it with our help, so a person may wonder.  */
  return image_name (mark, claim->facts.kind == SOURCE_SYSTEMD
		     ? EFIVAR_LOCATION : 0);
}

static const char *
reason_text (const struct hibresume_claim *claim, enum verdict_reason reason)
{
  if (claim && claim->facts.kind == SOURCE_SYSTEMD
      && reason == REASON_DAMAGED)
    return location_error_text (claim->location_error);
  return verdict_reason_text (reason);
}

static void
tell_words (const struct hibresume_config *config,
	    const struct hibresume_claim *claim, enum verdict_reason reason)
{
  const char *text = reason_text (claim, reason);
  char *about = claim ? object (config, claim, reason) : 0;
  char *words = 0;

  if (about && *about)
    words = grub_xasprintf ("%s: %s", about, text);
  set ("hib_words", words ? words : text);
  /* grub.cfg can say the reason's own sentence in another language.  */
  set ("hib_about", words && text == verdict_reason_text (reason) ? about : "");
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
