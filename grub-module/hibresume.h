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

#include <grub/err.h>
#include <grub/types.h>

#include "mark/mark.h"
#include "mark/verdict.h"

/* The places that are asked, in the order in which they count.  */
enum
  {
    HIBRESUME_ENV,
    HIBRESUME_CONFIGURED,
    HIBRESUME_N_CLAIMS
  };

/* What one place says about an image, and what was found there.  */
struct hibresume_claim
{
  struct source facts;		/* for verdict_judge */
  struct mark mark;		/* valid if facts.status is SOURCE_VALID */
  char *image_device;		/* GRUB's name, no brackets; NULL if not found */
  char *boot_device;		/* likewise: kernel and initrd are on it */
};

/* What `hibresume probe' was told.  */
struct hibresume_config
{
  char *env;			/* path of the environment block */
  int has_device;		/* a resume device is configured ... */
  struct mark device;		/* ... as if a mark named it; no id, no time */
};

struct hibresume_findings
{
  struct hibresume_claim claims[HIBRESUME_N_CLAIMS];
  struct judgement judgement;	/* .source is an index into claims, or past it */
};

/* assess.c: asks the places, looks at what they name, judges.  */
void hibresume_assess (const struct hibresume_config *config,
		       struct hibresume_findings *findings);
void hibresume_forget (struct hibresume_findings *findings);

/* The claim that decided, or NULL.  */
struct hibresume_claim *
hibresume_deciding (struct hibresume_findings *findings);

/* env.c: the environment block.  READ fills facts.status, .state, .empty,
   .verify and .writable, and the mark.  TAKE and CLEAR overwrite the slot
   through save_env and compare what the disk holds afterwards; an error means
   that it does not hold the new mark, or that this is not known.  */
void hibresume_env_read (const char *path, struct hibresume_claim *claim);
grub_err_t hibresume_env_take (const char *path);
grub_err_t hibresume_env_clear (const char *path);

/* find.c: devices.  The answer is a GRUB device name without brackets, to be
   freed; NULL if there is none, or if more than one fits.  TAG is UUID=... or
   PARTUUID=...; UUID is a filesystem's.  */
char *hibresume_find_image (const char *tag);
char *hibresume_find_fs (const char *uuid);

/* area.c: the image header on DEVICE, where MARK says it is.  RESTORE puts the
   saved swap signature back and compares what the disk holds afterwards.  */
enum image_state hibresume_area_look (const char *device,
				      const struct mark *mark);
grub_err_t hibresume_area_restore (const char *device,
				   const struct mark *mark);

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
