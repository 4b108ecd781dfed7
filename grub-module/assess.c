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

static int
names_image (const struct hibresume_claim *claim)
{
  return claim->facts.status == SOURCE_VALID && ! claim->facts.empty;
}

/* Fills in what the verdict needs and no more.  image_device is known.  */
static void
look (struct hibresume_claim *claim)
{
  struct source *facts = &claim->facts;

  if (! names_image (claim))
    return;
  if (facts->verify == MARK_VERIFY_HEADER)
    {
      facts->image = claim->image_device
	? hibresume_area_look (claim->image_device, &claim->mark)
	: IMAGE_NO_DEVICE;
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

static void
ask_env (const struct hibresume_config *config,
	 struct hibresume_findings *findings)
{
  struct hibresume_claim *env = &findings->claims[HIBRESUME_ENV];

  if (config->env)
    hibresume_env_read (config->env, env);
  if (names_image (env) && env->facts.verify == MARK_VERIFY_HEADER)
    env->image_device = hibresume_find_image (env->mark.image);
  look (env);
  judge (findings);
}

void
hibresume_read_bootbits (const struct hibresume_config *config,
			 struct hibresume_findings *findings)
{
  struct hibresume_claim *bits = &findings->claims[HIBRESUME_BOOTBITS];

  if (! config->has_device || bits->image_device)
    return;
  bits->image_device = hibresume_find_image (config->device.image);
  if (bits->image_device)
    hibresume_bootbits_read (&config->device, bits);
}

static void
ask_bootbits (const struct hibresume_config *config,
	      struct hibresume_findings *findings)
{
  hibresume_read_bootbits (config, findings);
  look (&findings->claims[HIBRESUME_BOOTBITS]);
  judge (findings);
}

/* Comes after the boot bits, which have found the device.  Without a kernel
   there is nothing to offer.  */
static void
ask_configured (const struct hibresume_config *config,
		struct hibresume_findings *findings)
{
  struct hibresume_claim *configured
    = &findings->claims[HIBRESUME_CONFIGURED];
  const char *device = findings->claims[HIBRESUME_BOOTBITS].image_device;

  if (! config->device.kernel[0])
    return;
  configured->facts.status = SOURCE_VALID;
  configured->mark = config->device;
  configured->image_device = device ? grub_strdup (device) : 0;
  look (configured);
  judge (findings);
}

/* A mark that has an image ends the search.  Where no device is configured and
   nothing is marked, no device is looked at.  */
void
hibresume_assess (const struct hibresume_config *config,
		  struct hibresume_findings *findings)
{
  grub_memset (findings, 0, sizeof (*findings));
  findings->claims[HIBRESUME_ENV].facts.kind = SOURCE_ENV;
  findings->claims[HIBRESUME_BOOTBITS].facts.kind = SOURCE_BOOTBITS;
  findings->claims[HIBRESUME_CONFIGURED].facts.kind = SOURCE_CONFIGURED;

  ask_env (config, findings);
  if (! config->has_device)
    return;
  if (findings->judgement.verdict == VERDICT_NORMAL)
    ask_bootbits (config, findings);
  if (findings->judgement.verdict == VERDICT_NORMAL)
    ask_configured (config, findings);
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
