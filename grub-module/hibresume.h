/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibresume.mod: what its files share.  All of it is bounded and treats what
 * comes from a disk as hostile; all judging is done by mark/, so that the
 * boot loader and the hibctl tool never disagree.
 *
 * Functions that return a state or a name, and not a grub_err_t, leave
 * grub_errno clear: what went wrong is in the state.
 */
#ifndef HIBRESUME_H
#define HIBRESUME_H 1

#include <grub/disk.h>
#include <grub/err.h>
#include <grub/types.h>

#include "mark/envblk.h"
#include "mark/location.h"
#include "mark/mark.h"
#include "mark/verdict.h"

/* The places that are asked, in the order in which they count.  */
enum
  {
    HIBRESUME_ENV,
    HIBRESUME_BOOTBITS,		/* of the configured area */
    HIBRESUME_EFI,		/* our variable */
    HIBRESUME_SYSTEMD,		/* systemd's variable */
    HIBRESUME_CONFIGURED,
    HIBRESUME_N_CLAIMS
  };

/* What one place says about an image, and what was found there.  */
struct hibresume_claim
{
  struct source facts;		/* for verdict_judge */
  struct mark mark;		/* valid if facts.status is SOURCE_VALID; of
				   the boot bits otherwise: the area */
  char *image_device;		/* GRUB's name, no brackets; NULL if not found */
  char *boot_device;		/* likewise: kernel and initrd are on it */

  /* Of systemd's variable only.  */
  void *location;		/* its bytes */
  grub_size_t location_len;
  enum location_error location_error;	/* if facts.status is SOURCE_DAMAGED */
  char fingerprint[LOCATION_FINGERPRINT_LEN];	/* of the image that is there */
};

/* What `hibresume probe' was told.  */
struct hibresume_config
{
  char *env;			/* path of the environment block */
  int has_device;		/* a resume device is configured ... */
  struct mark device;		/* ... as if a mark named it; no id, no time,
				   and perhaps no kernel.  The kernel may be
				   known without a device, too: others are
				   looked for beside it */
};

struct hibresume_findings
{
  struct hibresume_claim claims[HIBRESUME_N_CLAIMS];
  unsigned n_asked;		/* the first so many of them were read */
  struct judgement judgement;	/* .source is an index into claims, or past it */
};

/* assess.c: asks the places, looks at what they name, judges.  */
void hibresume_assess (const struct hibresume_config *config,
		       struct hibresume_findings *findings);
void hibresume_forget (struct hibresume_findings *findings);

/* Reads the places that were not asked because another one had decided.  */
void hibresume_read_others (const struct hibresume_config *config,
			    struct hibresume_findings *findings);

/* systemd's variable, if it is about the area that CLAIM, one of FINDINGS, is
   about, its image is there and it was not tried; or NULL.  */
struct hibresume_claim *
hibresume_untried_systemd (struct hibresume_findings *findings,
			   const struct hibresume_claim *claim);

/* The claim that decided, or NULL.  */
struct hibresume_claim *
hibresume_deciding (struct hibresume_findings *findings);

/* env.c: the environment block.  READ fills facts.status, .state, .empty,
   .verify and .writable, and the mark.  OVERWRITE writes what EDIT makes of
   the slot through save_env, and compares what the disk holds afterwards; an
   error means that it does not hold the new mark, or that this is not
   known.  */
void hibresume_env_read (const char *path, struct hibresume_claim *claim);
grub_err_t hibresume_env_overwrite (const char *path,
				    void (*edit) (char *slot));

/* The mark in BLOCK: all facts but .writable.  */
void hibresume_read_block (const struct envblk *block,
			   struct hibresume_claim *claim);

/* The facts that are in claim->mark, if there is one.  */
void hibresume_take_facts (struct hibresume_claim *claim);

/* Whether DISK can be written to as it is.  */
int hibresume_is_plain_disk (grub_disk_t disk);

/* bootbits.c: the same for the boot bits of AREA, which is on image_device;
   one sector is written.  A mark there that is about another area is
   SOURCE_DAMAGED.  */
void hibresume_bootbits_read (const struct mark *area,
			      struct hibresume_claim *claim);
grub_err_t hibresume_bootbits_overwrite (const struct hibresume_claim *claim,
					 void (*edit) (char *slot));

/* efi.c: our variable, which is consumed by deleting it; and systemd's.  TAKE
   deletes, too, but for as long as GRUB runs there is a taken mark in its place.
   IDENTIFY, for an image that is there, tells it from others and finds out
   whether it was tried.  REMEMBER writes down that it was.  An error of TAKE,
   DELETE or REMEMBER means that the firmware has not done it.  */
void hibresume_efi_read (struct hibresume_claim *claim);
grub_err_t hibresume_efi_take (const struct hibresume_claim *claim);
grub_err_t hibresume_efi_delete (void);
void hibresume_systemd_read (struct hibresume_claim *claim);
void hibresume_systemd_identify (struct hibresume_claim *claim);
grub_err_t hibresume_systemd_remember (const struct hibresume_claim *claim);

/* find.c: devices.  The answer is a GRUB device name without brackets, to be
   freed; NULL if there is none, or if more than one fits.  TAG is UUID=... or
   PARTUUID=...; UUID is a filesystem's.  */
char *hibresume_find_image (const char *tag);
char *hibresume_find_fs (const char *uuid);

/* Whether the marks A and B name the same swap area, by whatever name.  */
int hibresume_same_area (const struct mark *a, const struct mark *b);

/* area.c: the image header on DEVICE, where MARK says it is.  PAGE is the whole
   first page of the area, to be freed, or NULL.  RESTORE puts the saved swap
   signature back and compares what the disk holds afterwards.
   START gives the sector where the area begins; false if its first page is not
   wholly on DISK.  */
enum image_state hibresume_area_look (const char *device,
				      const struct mark *mark);
grub_uint8_t *hibresume_area_page (const char *device,
				   const struct mark *mark);
grub_err_t hibresume_area_restore (const char *device,
				   const struct mark *mark);
int hibresume_area_start (grub_disk_t disk, const struct mark *mark,
			  grub_disk_addr_t *sector);

/* Drops GRUB's copies of sectors, so that the next read sees the disk.  */
void hibresume_drop_cache (void);

/* tell.c: the variables for grub.cfg.  */
void hibresume_tell (const struct hibresume_config *config,
		     struct hibresume_findings *findings);
void hibresume_tell_noresume (int noresume);

/* handover.c: linux, initrd, boot.  Returns only on failure.  */
grub_err_t hibresume_handover (const struct hibresume_claim *claim,
			       int argc, char **argv);

#endif /* ! HIBRESUME_H */
