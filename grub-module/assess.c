/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Collects the facts about every place that may name an image, and has them
 * judged.
 */
#include <grub/file.h>
#include <grub/misc.h>
#include <grub/mm.h>

#include "hibresume.h"

/* Only whether it is there: without SKIP_SIGNATURE a verifier such as the
   TPM's would read the whole kernel.  */
static enum file_state
look_for_file (const char *device, const char *path)
{
  char *name = grub_xasprintf ("(%s)%s", device, path);
  grub_file_t file = 0;

  if (name)
    file = grub_file_open (name, GRUB_FILE_TYPE_FS_SEARCH
			   | GRUB_FILE_TYPE_NO_DECOMPRESS
			   | GRUB_FILE_TYPE_SKIP_SIGNATURE);
  grub_free (name);
  if (file)
    grub_file_close (file);
  grub_errno = GRUB_ERR_NONE;
  return file ? FILE_PRESENT : FILE_MISSING;
}

static void
look_for_image (struct hibresume_claim *claim)
{
  claim->image_device = hibresume_find_image (claim->mark.image);
  claim->facts.image = claim->image_device
    ? hibresume_area_look (claim->image_device, &claim->mark)
    : IMAGE_NO_DEVICE;
}

static void
look_for_files (struct hibresume_claim *claim)
{
  const struct mark *mark = &claim->mark;

  claim->boot_device = hibresume_find_fs (mark->fs_uuid);
  claim->facts.kernel = claim->boot_device
    ? look_for_file (claim->boot_device, mark->kernel) : FILE_MISSING;
  if (mark->initrd[0])
    claim->facts.initrd = claim->boot_device
      ? look_for_file (claim->boot_device, mark->initrd) : FILE_MISSING;
}

/* Fills in what the verdict needs and no more: on a machine where nothing is
   marked no device is looked at.  */
static void
look (struct hibresume_claim *claim)
{
  struct source *facts = &claim->facts;

  if (facts->status != SOURCE_VALID || facts->empty)
    return;
  if (facts->verify == MARK_VERIFY_HEADER)
    {
      look_for_image (claim);
      if (facts->image != IMAGE_PRESENT)
	return;
    }
  look_for_files (claim);
}

static void
judge (struct hibresume_findings *findings)
{
  struct source sources[HIBRESUME_N_CLAIMS];
  unsigned i;

  for (i = 0; i < HIBRESUME_N_CLAIMS; i++)
    sources[i] = findings->claims[i].facts;
  verdict_judge (sources, HIBRESUME_N_CLAIMS, &findings->judgement);
}

void
hibresume_assess (const struct hibresume_config *config,
		  struct hibresume_findings *findings)
{
  struct hibresume_claim *env = &findings->claims[HIBRESUME_ENV];
  struct hibresume_claim *configured
    = &findings->claims[HIBRESUME_CONFIGURED];

  grub_memset (findings, 0, sizeof (*findings));
  env->facts.kind = SOURCE_ENV;
  configured->facts.kind = SOURCE_CONFIGURED;

  if (config->env)
    hibresume_env_read (config->env, env);
  look (env);
  judge (findings);

  /* A mark that has an image counts before any other place.  */
  if (config->has_device && findings->judgement.verdict == VERDICT_NORMAL)
    {
      configured->facts.status = SOURCE_VALID;
      configured->mark = config->device;
      look (configured);
      judge (findings);
    }
}

void
hibresume_forget (struct hibresume_findings *findings)
{
  unsigned i;

  for (i = 0; i < HIBRESUME_N_CLAIMS; i++)
    {
      grub_free (findings->claims[i].image_device);
      grub_free (findings->claims[i].boot_device);
    }
  grub_memset (findings, 0, sizeof (*findings));
}

struct hibresume_claim *
hibresume_deciding (struct hibresume_findings *findings)
{
  return findings->judgement.source < HIBRESUME_N_CLAIMS
    ? &findings->claims[findings->judgement.source] : 0;
}
