/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Starting the kernel, by argument vector: nothing out of a mark passes
 * through GRUB's script parser.
 */
#include <grub/command.h>
#include <grub/i18n.h>
#include <grub/loader.h>
#include <grub/misc.h>
#include <grub/mm.h>

#include "hibresume.h"

#define OWN_WORDS	3	/* the kernel, resume=, resume_offset= */

/* linux (DEV)KERNEL ARG... resume=IMAGE resume_offset=OFFSET.  The kernel
   takes the last of several resume parameters, so ours stand last.  */
static grub_err_t
load_kernel (const struct hibresume_claim *claim, int argc, char **argv)
{
  const struct mark *mark = &claim->mark;
  char *kernel = grub_xasprintf ("(%s)%s", claim->boot_device, mark->kernel);
  char *resume = grub_xasprintf ("resume=%s", mark->image);
  char *offset = grub_xasprintf ("resume_offset=%llu",
				 (unsigned long long) mark->offset);
  char **words = grub_calloc (argc + OWN_WORDS, sizeof (*words));
  grub_err_t err = GRUB_ERR_OUT_OF_MEMORY;

  if (kernel && resume && offset && words)
    {
      words[0] = kernel;
      grub_memcpy (words + 1, argv, argc * sizeof (*words));
      words[argc + 1] = resume;
      words[argc + 2] = offset;
      err = grub_command_execute ("linux", argc + OWN_WORDS, words);
    }
  grub_free (words);
  grub_free (offset);
  grub_free (resume);
  grub_free (kernel);
  return err;
}

static grub_err_t
load_initrd (const struct hibresume_claim *claim)
{
  grub_err_t err = GRUB_ERR_OUT_OF_MEMORY;
  char *initrd;

  if (! claim->mark.initrd[0])
    return GRUB_ERR_NONE;
  initrd = grub_xasprintf ("(%s)%s", claim->boot_device, claim->mark.initrd);
  if (initrd)
    err = grub_command_execute ("initrd", 1, &initrd);
  grub_free (initrd);
  return err;
}

grub_err_t
hibresume_handover (const struct hibresume_claim *claim, int argc,
		    char **argv)
{
  grub_err_t err = load_kernel (claim, argc, argv);

  if (! err)
    err = load_initrd (claim);
  if (! err)
    err = grub_command_execute ("boot", 0, 0);

  /* The menu boots whatever is loaded when an entry ends: a kernel without its
     initial ramdisk, here.  */
  grub_error_push ();
  grub_loader_unset ();
  grub_error_pop ();
  return err;
}
