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

/* DATA: the device.  */
static enum file_state
look_beside (void *data, const char *path)
{
  return data ? look_for_file (data, path) : FILE_MISSING;
}

/* systemd names no files, but a release.  */
static void
look_for_release (const struct hibresume_config *config,
		  struct hibresume_claim *claim)
{
  if (config->device.fs_uuid[0])
    claim->boot_device = hibresume_find_fs (config->device.fs_uuid);
  source_find_files (&claim->mark, &config->device, look_beside,
		     claim->boot_device, &claim->facts);
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

static void
read_bootbits (const struct hibresume_config *config,
	       struct hibresume_findings *findings)
{
  struct hibresume_claim *bits = &findings->claims[HIBRESUME_BOOTBITS];

  if (! config->has_device)
    return;
  bits->image_device = hibresume_find_image (config->device.image);
  if (bits->image_device)
    hibresume_bootbits_read (&config->device, bits);
}

static void
ask_bootbits (const struct hibresume_config *config,
	      struct hibresume_findings *findings)
{
  if (! config->has_device)
    return;
  read_bootbits (config, findings);
  look (&findings->claims[HIBRESUME_BOOTBITS]);
  judge (findings);
}

static void
ask_efi (const struct hibresume_config *config __attribute__ ((unused)),
	 struct hibresume_findings *findings)
{
  struct hibresume_claim *efi = &findings->claims[HIBRESUME_EFI];

  hibresume_efi_read (efi);
  if (names_image (efi) && efi->facts.verify == MARK_VERIFY_HEADER)
    efi->image_device = hibresume_find_image (efi->mark.image);
  look (efi);
  judge (findings);
}

/* Whether systemd's variable names an image that is there, and which.  */
static int
read_systemd (struct hibresume_findings *findings)
{
  struct hibresume_claim *systemd = &findings->claims[HIBRESUME_SYSTEMD];
  struct source *facts = &systemd->facts;

  hibresume_systemd_read (systemd);
  if (! names_image (systemd))
    return 0;
  facts->image = IMAGE_NO_DEVICE;
  systemd->image_device = hibresume_find_image (systemd->mark.image);
  if (systemd->image_device)
    facts->image = hibresume_area_look (systemd->image_device,
					&systemd->mark);
  if (facts->image == IMAGE_PRESENT)
    hibresume_systemd_identify (systemd);
  return facts->image == IMAGE_PRESENT;
}

static void
ask_systemd (const struct hibresume_config *config,
	     struct hibresume_findings *findings)
{
  if (read_systemd (findings))
    look_for_release (config, &findings->claims[HIBRESUME_SYSTEMD]);
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

  if (! config->has_device || ! config->device.kernel[0])
    return;
  configured->facts.status = SOURCE_VALID;
  configured->mark = config->device;
  configured->image_device = device ? grub_strdup (device) : 0;
  look (configured);
  judge (findings);
}

/* In the order in which they count.  */
static const struct
{
  enum source_kind kind;
  void (*ask) (const struct hibresume_config *config,
	       struct hibresume_findings *findings);
} places[HIBRESUME_N_CLAIMS] =
  {
    [HIBRESUME_ENV] = { SOURCE_ENV, ask_env },
    [HIBRESUME_BOOTBITS] = { SOURCE_BOOTBITS, ask_bootbits },
    [HIBRESUME_EFI] = { SOURCE_EFI, ask_efi },
    [HIBRESUME_SYSTEMD] = { SOURCE_SYSTEMD, ask_systemd },
    [HIBRESUME_CONFIGURED] = { SOURCE_CONFIGURED, ask_configured },
  };

/* A mark that has an image ends the search.  Where no device is configured and
   nothing is marked, no device is looked at.  */
void
hibresume_assess (const struct hibresume_config *config,
		  struct hibresume_findings *findings)
{
  unsigned i;

  grub_memset (findings, 0, sizeof (*findings));
  for (i = 0; i < HIBRESUME_N_CLAIMS; i++)
    findings->claims[i].facts.kind = places[i].kind;
  for (i = 0; i < HIBRESUME_N_CLAIMS; i++)
    if (findings->judgement.verdict == VERDICT_NORMAL)
      {
	places[i].ask (config, findings);
	findings->n_asked = i + 1;
      }
}

void
hibresume_read_others (const struct hibresume_config *config,
		       struct hibresume_findings *findings)
{
  if (findings->n_asked <= HIBRESUME_BOOTBITS)
    read_bootbits (config, findings);
  if (findings->n_asked <= HIBRESUME_EFI)
    hibresume_efi_read (&findings->claims[HIBRESUME_EFI]);
  if (findings->n_asked <= HIBRESUME_SYSTEMD)
    read_systemd (findings);
  findings->n_asked = HIBRESUME_N_CLAIMS;
}

struct hibresume_claim *
hibresume_untried_systemd (struct hibresume_findings *findings,
			   const struct hibresume_claim *claim)
{
  struct hibresume_claim *systemd = &findings->claims[HIBRESUME_SYSTEMD];

  if (names_image (systemd) && systemd->facts.image == IMAGE_PRESENT
      && systemd->facts.state == MARK_ARMED
      && hibresume_same_area (&systemd->mark, &claim->mark))
    return systemd;
  return 0;
}

void
hibresume_forget (struct hibresume_findings *findings)
{
  unsigned i;

  for (i = 0; i < HIBRESUME_N_CLAIMS; i++)
    {
      grub_free (findings->claims[i].image_device);
      grub_free (findings->claims[i].boot_device);
      grub_free (findings->claims[i].location);
    }
  grub_memset (findings, 0, sizeof (*findings));
}

struct hibresume_claim *
hibresume_deciding (struct hibresume_findings *findings)
{
  return findings->judgement.source < HIBRESUME_N_CLAIMS
    ? &findings->claims[findings->judgement.source] : 0;
}
