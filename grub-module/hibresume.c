/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibresume.mod: resume a hibernated session, once, and only if it is there.
 *
 *   hibresume probe [--env FILE]
 *		     [--device TAG [--offset PAGES] [--page-size N]]
 *		     [--fs UUID --kernel PATH [--initrd PATH]]
 *   hibresume resume ARG...
 *   hibresume discard
 *
 * A plain command and no extcmd: the words after `resume' are a kernel command
 * line, in which "--" and the like are not options of ours.
 */
#include <grub/command.h>
#include <grub/dl.h>
#include <grub/env.h>
#include <grub/i18n.h>
#include <grub/misc.h>
#include <grub/mm.h>

#include "guard.h"
#include "hibresume.h"
#include "mark/image.h"

GRUB_MOD_LICENSE ("GPLv3+");

#define INTERFACE_VERSION	"1"	/* for grub.cfg */
#define OFFSET_LIMIT		(1ULL << 44)	/* as in a mark: no overflow */

/* What `probe' was told, and what it found: the menu was made from that.  */
static struct hibresume_config config;
static struct hibresume_findings shown;
static int probed;

/* A session was to be resumed since GRUB was started.  */
static int tried;

/* ---- options of probe ---- */

static void
forget_config (void)
{
  grub_free (config.env);
  grub_memset (&config, 0, sizeof (config));
  hibresume_forget (&shown);
  probed = 0;
}

static grub_err_t
copy_word (const char *option, const char *value, char *to, grub_size_t size)
{
  if (grub_strlen (value) >= size)
    return grub_error (GRUB_ERR_BAD_ARGUMENT, N_("%s %s: too long"), option,
		       value);
  grub_strcpy (to, value);
  return GRUB_ERR_NONE;
}

static grub_err_t
parse_number (const char *option, const char *value, grub_uint64_t *number)
{
  const char *end;

  *number = grub_strtoull (value, &end, 10);
  if (grub_errno || ! *value || *end || *number >= OFFSET_LIMIT)
    return grub_error (GRUB_ERR_BAD_NUMBER, N_("%s %s: not a number, or too"
					       " large"), option, value);
  return GRUB_ERR_NONE;
}

static grub_err_t
parse_page_size (const char *option, const char *value)
{
  grub_uint64_t n;

  if (parse_number (option, value, &n))
    return grub_errno;
  if (n < IMAGE_PAGE_MIN || n > IMAGE_PAGE_MAX || (n & (n - 1)) != 0)
    return grub_error (GRUB_ERR_BAD_ARGUMENT, N_("%s %s: not a page size"),
		       option, value);
  config.device.page_size = n;
  return GRUB_ERR_NONE;
}

static grub_err_t
parse_option (const char *option, const char *value)
{
  struct mark *device = &config.device;

  if (grub_strcmp (option, "--env") == 0)
    {
      grub_free (config.env);
      config.env = grub_strdup (value);
      return config.env ? GRUB_ERR_NONE : grub_errno;
    }
  if (grub_strcmp (option, "--device") == 0)
    {
      config.has_device = 1;
      return copy_word (option, value, device->image, sizeof (device->image));
    }
  if (grub_strcmp (option, "--offset") == 0)
    return parse_number (option, value, &device->offset);
  if (grub_strcmp (option, "--page-size") == 0)
    return parse_page_size (option, value);
  if (grub_strcmp (option, "--fs") == 0)
    return copy_word (option, value, device->fs_uuid,
		      sizeof (device->fs_uuid));
  if (grub_strcmp (option, "--kernel") == 0)
    return copy_word (option, value, device->kernel, sizeof (device->kernel));
  if (grub_strcmp (option, "--initrd") == 0)
    return copy_word (option, value, device->initrd, sizeof (device->initrd));
  return grub_error (GRUB_ERR_BAD_ARGUMENT, N_("unknown option `%s'"), option);
}

static grub_err_t
default_env (void)
{
  const char *prefix = grub_env_get ("prefix");

  if (! config.env && prefix)
    config.env = grub_xasprintf ("%s/grubenv", prefix);
  return grub_errno;
}

static grub_err_t
parse_options (int argc, char **argv)
{
  config.device.page_size = IMAGE_PAGE_MIN;
  for (; argc >= 2; argc -= 2, argv += 2)
    if (parse_option (argv[0], argv[1]))
      return grub_errno;
  if (argc)
    return grub_error (GRUB_ERR_BAD_ARGUMENT, N_("%s: a value is missing"),
		       argv[0]);
  return default_env ();
}

/* ---- the subcommands ---- */

/* A mark that is armed after an attempt could not be taken.  Then a person may
   still choose the session, but nothing happens by itself: no loop.  */
static void
only_once (struct judgement *judgement)
{
  if (! tried || judgement->verdict != VERDICT_RESUME)
    return;
  judgement->verdict = VERDICT_OFFER;
  judgement->reason = REASON_CANNOT_CONSUME;
}

/* grub.cfg goes on whatever comes out, so the variables are always set.  */
static grub_err_t
do_probe (int argc, char **argv)
{
  grub_err_t err;

  forget_config ();
  err = parse_options (argc, argv);
  grub_error_push ();
  if (! err)
    hibresume_assess (&config, &shown);
  else
    shown.judgement.source = HIBRESUME_N_CLAIMS;
  only_once (&shown.judgement);
  probed = ! err;
  hibresume_tell (&config, &shown);
  grub_error_pop ();
  return err;
}

/* Looks again, because the menu may have been up for hours.  What `probe'
   offered must still stand: the same image, not tried meanwhile.  */
static grub_err_t
look_again (struct hibresume_findings *now)
{
  struct hibresume_claim *then_claim, *claim;
  enum verdict then_verdict = shown.judgement.verdict;

  if (! probed)
    return grub_error (GRUB_ERR_BAD_ARGUMENT, N_("`hibresume probe' was not"
						 " run"));
  hibresume_drop_cache ();
  hibresume_assess (&config, now);
  claim = hibresume_deciding (now);
  then_claim = hibresume_deciding (&shown);
  if (! claim || now->judgement.verdict == VERDICT_NORMAL
      || (then_verdict == VERDICT_RESUME
	  && now->judgement.verdict != VERDICT_RESUME))
    return grub_error (GRUB_ERR_BAD_ARGUMENT, "%s",
		       _(verdict_reason_text (now->judgement.reason)));
  if (! then_claim || then_claim->facts.kind != claim->facts.kind
      || grub_strcmp (then_claim->mark.id, claim->mark.id) != 0
      || grub_memcmp (then_claim->fingerprint, claim->fingerprint,
		      sizeof (claim->fingerprint)) != 0)
    return grub_error (GRUB_ERR_BAD_ARGUMENT,
		       N_("the mark has changed since the menu was made"));
  return GRUB_ERR_NONE;
}

static int
has_mark (const struct hibresume_claim *claim)
{
  return claim->facts.kind != SOURCE_CONFIGURED
    && claim->facts.status == SOURCE_VALID && ! claim->facts.empty;
}

static void
take (char *slot)
{
  mark_set_state (slot, MARK_TAKEN);
}

/* In the store that CLAIM is from.  */
static grub_err_t
take_mark (const struct hibresume_claim *claim)
{
  switch (claim->facts.kind)
    {
    case SOURCE_BOOTBITS:
      return hibresume_bootbits_overwrite (claim, take);
    case SOURCE_EFI:
      return hibresume_efi_take (claim);
    case SOURCE_SYSTEMD:
      return hibresume_systemd_remember (claim);
    default:
      return hibresume_env_overwrite (config.env, take);
    }
}

/* What will say, at the next start, that the image of CLAIM was tried?  Not a
   mark that is deleted, nor one whose image cannot be seen: of that nobody knows
   whether it is still there.  Then no other mark of the same area may be the
   reason for a second try.  One that cannot be written to never is.  */
static grub_err_t
take_others (struct hibresume_findings *findings,
	     const struct hibresume_claim *claim)
{
  const struct hibresume_claim *systemd;
  unsigned i;

  if (claim->facts.kind != SOURCE_EFI
      && claim->facts.verify != MARK_VERIFY_HINT)
    return GRUB_ERR_NONE;
  hibresume_read_others (&config, findings);
  systemd = hibresume_untried_systemd (findings, claim);
  if (systemd && hibresume_systemd_remember (systemd))
    return grub_errno;
  for (i = 0; i < HIBRESUME_N_CLAIMS; i++)
    {
      const struct hibresume_claim *other = &findings->claims[i];

      if (other != claim && other->facts.kind != SOURCE_SYSTEMD
	  && has_mark (other) && other->facts.state == MARK_ARMED
	  && other->facts.writable
	  && hibresume_same_area (&other->mark, &claim->mark)
	  && take_mark (other))
	return grub_errno;
    }
  return GRUB_ERR_NONE;
}

/* The mark of CLAIM, one of FINDINGS, is consumed before anything is started:
   whatever happens next, the machine will not try by itself again.  */
static grub_err_t
consume (struct hibresume_findings *findings,
	 const struct hibresume_claim *claim)
{
  int by_itself = shown.judgement.verdict == VERDICT_RESUME;
  grub_err_t err;

  if (! has_mark (claim) || claim->facts.state != MARK_ARMED)
    return GRUB_ERR_NONE;
  err = take_others (findings, claim);
  if (err && by_itself)
    return err;
  grub_print_error ();
  err = take_mark (claim);
  if (err && by_itself)
    return err;
  /* A person chose this entry, so it is no loop.  */
  grub_print_error ();
  grub_errno = GRUB_ERR_NONE;
  return GRUB_ERR_NONE;
}

static grub_err_t
do_resume (int argc, char **argv)
{
  struct hibresume_findings now;
  struct hibresume_claim *claim;
  grub_err_t err;

  grub_memset (&now, 0, sizeof (now));
  err = look_again (&now);
  claim = hibresume_deciding (&now);
  tried = 1;
  if (! err)
    err = consume (&now, claim);
  if (! err)
    err = hibresume_handover (claim, argc, argv);
  hibresume_forget (&now);
  return err;
}

/* Whether an image is there that can be given back to swapping.  */
static grub_err_t
restore_swap (const struct hibresume_claim *claim)
{
  if (claim->facts.image == IMAGE_PRESENT)
    return hibresume_area_restore (claim->image_device, &claim->mark);
  if (claim->facts.status == SOURCE_VALID && ! claim->facts.empty
      && claim->facts.verify == MARK_VERIFY_HINT)
    return grub_error (GRUB_ERR_BAD_DEVICE,
		       N_("%s: cannot be seen from the boot loader; the image"
			  " stays there"), claim->mark.image);
  return GRUB_ERR_NONE;
}

/* Clears the mark of CLAIM in the store that it is from.  */
static grub_err_t
clear_mark (const struct hibresume_claim *claim)
{
  switch (claim->facts.kind)
    {
    case SOURCE_BOOTBITS:
      return hibresume_bootbits_overwrite (claim, mark_format_empty);
    case SOURCE_EFI:
      return hibresume_efi_delete ();
    case SOURCE_SYSTEMD:
      /* For systemd to clear.  Without an image it means nothing.  */
      return GRUB_ERR_NONE;
    default:
      return hibresume_env_overwrite (config.env, mark_format_empty);
    }
}

/* Prints the error NOW, if it is one, and keeps it in ERR.  */
static void
print_and_keep (grub_err_t now, grub_err_t *err)
{
  if (! now)
    return;
  *err = now;
  grub_print_error ();
  grub_errno = GRUB_ERR_NONE;
}

/* Clears every mark of the image that CLAIM, one of FINDINGS, is about.  A mark
   of another image stays.  STAYS: the image could not be discarded; then
   systemd's variable must not bring it back by itself.  */
static grub_err_t
clear_marks (struct hibresume_findings *findings,
	     const struct hibresume_claim *claim, int stays)
{
  const struct hibresume_claim *systemd;
  grub_err_t err = GRUB_ERR_NONE;
  unsigned i;

  hibresume_read_others (&config, findings);
  systemd = stays ? hibresume_untried_systemd (findings, claim) : 0;
  if (systemd)
    print_and_keep (hibresume_systemd_remember (systemd), &err);
  for (i = 0; i < HIBRESUME_N_CLAIMS; i++)
    {
      struct hibresume_claim *other = &findings->claims[i];

      if (has_mark (other) && hibresume_same_area (&other->mark, &claim->mark))
	print_and_keep (clear_mark (other), &err);
    }
  return err ? grub_error (err, N_("the mark could not be cleared"))
    : GRUB_ERR_NONE;
}

/* Both halves are tried, whatever becomes of the other.  */
static grub_err_t
do_discard (void)
{
  struct hibresume_findings now;
  struct hibresume_claim *claim;
  grub_err_t image_err = GRUB_ERR_NONE, mark_err = GRUB_ERR_NONE;

  if (! probed)
    return grub_error (GRUB_ERR_BAD_ARGUMENT, N_("`hibresume probe' was not"
						 " run"));
  hibresume_drop_cache ();
  hibresume_assess (&config, &now);
  claim = hibresume_deciding (&now);
  if (claim)
    image_err = restore_swap (claim);
  grub_print_error ();
  grub_errno = GRUB_ERR_NONE;
  hibresume_tell_noresume (image_err != GRUB_ERR_NONE);
  if (claim)
    mark_err = clear_marks (&now, claim, image_err != GRUB_ERR_NONE);
  hibresume_forget (&now);
  if (image_err && ! mark_err)
    return grub_error (image_err, N_("the image could not be discarded"));
  return mark_err;
}

/* ---- the command ---- */

static grub_err_t
cmd_hibresume (grub_command_t cmd __attribute__ ((unused)), int argc,
	       char **argv)
{
  grub_errno = GRUB_ERR_NONE;
  if (argc >= 1 && grub_strcmp (argv[0], "probe") == 0)
    return do_probe (argc - 1, argv + 1);
  if (argc >= 1 && grub_strcmp (argv[0], "resume") == 0)
    return do_resume (argc - 1, argv + 1);
  if (argc == 1 && grub_strcmp (argv[0], "discard") == 0)
    return do_discard ();
  return grub_error (GRUB_ERR_BAD_ARGUMENT,
		     N_("one of `probe', `resume' and `discard' is"
			" expected"));
}

/* Always "1", whatever grub.cfg or an environment block sets: grub.cfg clears
   the variable before `insmod', and that must not hide a module that an
   earlier pass through grub.cfg has loaded.  */
static const char *
read_version (struct grub_env_var *var __attribute__ ((unused)),
	      const char *val __attribute__ ((unused)))
{
  return INTERFACE_VERSION;
}

static char *
write_version (struct grub_env_var *var __attribute__ ((unused)),
	       const char *val __attribute__ ((unused)))
{
  return grub_strdup (INTERFACE_VERSION);
}

static grub_command_t cmd;

GRUB_MOD_INIT (hibresume)
{
  if (! hibresume_guard_fits ())
    return;
  cmd = grub_register_command ("hibresume", cmd_hibresume,
			       N_("probe|resume|discard [ARGUMENT]..."),
			       N_("Resume a hibernated session."));
  grub_register_variable_hook ("hibresume_version", read_version,
			       write_version);
  grub_env_export ("hibresume_version");
  /* Every context of the environment has a copy of the variable, with its
     hooks: the module must not go away under them.  */
  grub_dl_ref (mod);
}

GRUB_MOD_FINI (hibresume)
{
  if (! cmd)
    return;
  grub_unregister_command (cmd);
  grub_register_variable_hook ("hibresume_version", 0, 0);
  grub_env_unset ("hibresume_version");
  forget_config ();
}
