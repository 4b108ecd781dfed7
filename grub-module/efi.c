/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The variables of UEFI firmware: the mark in one of our own, and the place
 * that systemd hibernated to in one of systemd's.  Ours is consumed by deleting
 * it.  systemd's is for systemd to clear; so that nothing is tried twice, a
 * second one of ours remembers which image was tried.
 *
 * Firmware is asked for as little as possible, and never believed: whatever is
 * written or deleted is read again.
 */
#include <grub/i18n.h>
#include <grub/misc.h>
#include <grub/mm.h>

#ifdef GRUB_MACHINE_EFI
# include <grub/efi/efi.h>
#endif

#include "hibresume.h"
#include "mark/efivar-names.h"

/* What a variable holds.  SOURCE_VALID: there are bytes.  A length of zero,
   which some firmware leaves behind, is a variable that is not there.  */
struct variable
{
  enum source_status status;
  grub_size_t len;
  void *bytes;			/* owned; NULL unless SOURCE_VALID */
};

#ifdef GRUB_MACHINE_EFI

/* ---- firmware ---- */

/* As the UEFI specification lays it out.  GRUB's own type for it got another
   name in 2.12, and wants to be aligned more (2.06) or less.  */
struct guid
{
  grub_uint32_t data1;
  grub_uint16_t data2;
  grub_uint16_t data3;
  grub_uint8_t data4[8];
} __attribute__ ((aligned (8)));

static const struct guid own_guid = EFIVAR_GUID_NUMBERS;
static const struct guid systemd_guid = EFIVAR_SYSTEMD_GUID_NUMBERS;

/* GUID is a struct guid, and a pointer to anything for GRUB's functions.  */
static void
read_variable (const void *guid, const char *name, struct variable *variable)
{
  grub_efi_status_t status;

  variable->bytes = 0;
  variable->len = 0;
  variable->status = SOURCE_UNREADABLE;
  status = grub_efi_get_variable (name, guid, &variable->len,
				  &variable->bytes);
  /* GRUB asks for the length first, without a buffer.  If that is zero, EDK II
     says that the buffer is missing, and not that it is too small.  */
  if (status == GRUB_EFI_NOT_FOUND || status == GRUB_EFI_INVALID_PARAMETER
      || (status == GRUB_EFI_SUCCESS && ! variable->bytes))
    variable->status = SOURCE_ABSENT;
  else if (status == GRUB_EFI_SUCCESS)
    variable->status = SOURCE_VALID;
  grub_errno = GRUB_ERR_NONE;
}

/* Writes, or deletes if LEN is 0, our variable NAME.  2.06 calls it an error if
   there is nothing to delete; what counts is what is there afterwards.  */
static grub_err_t
write_variable (const char *name, void *bytes, grub_size_t len)
{
  const void *guid = &own_guid;
  struct variable now;
  int done;

  grub_efi_set_variable (name, guid, bytes, len);
  read_variable (guid, name, &now);
  done = len == 0
    ? now.status == SOURCE_ABSENT
    : now.status == SOURCE_VALID && now.len == len
      && grub_memcmp (now.bytes, bytes, len) == 0;
  grub_free (now.bytes);
  if (done)
    return GRUB_ERR_NONE;
  return grub_error (GRUB_ERR_WRITE_ERROR,
		     N_("%s: the firmware does not change this variable"),
		     name);
}

/* ---- the mark ---- */

/* What was taken since GRUB was started.  The variable is gone, but its image
   may be there still, for a person to choose.  */
static struct mark taken;
static int has_taken;

void
hibresume_efi_read (struct hibresume_claim *claim)
{
  struct source *facts = &claim->facts;
  struct variable variable;

  read_variable (&own_guid, EFIVAR_MARK, &variable);
  facts->status = variable.status;
  /* Whether it can be deleted is known only after trying.  */
  facts->writable = 1;
  if (variable.status == SOURCE_VALID)
    {
      facts->status = source_read_text (variable.bytes, variable.len,
					&claim->mark);
      hibresume_take_facts (claim);
    }
  else if (variable.status == SOURCE_ABSENT && has_taken)
    {
      facts->status = SOURCE_VALID;
      claim->mark = taken;
      hibresume_take_facts (claim);
    }
  grub_free (variable.bytes);
}

grub_err_t
hibresume_efi_take (const struct hibresume_claim *claim)
{
  grub_err_t err = hibresume_efi_delete ();

  if (err)
    return err;
  taken = claim->mark;
  taken.state = MARK_TAKEN;
  has_taken = 1;
  return GRUB_ERR_NONE;
}

grub_err_t
hibresume_efi_delete (void)
{
  has_taken = 0;
  return write_variable (EFIVAR_MARK, 0, 0);
}

/* ---- systemd's HibernateLocation ---- */

void
hibresume_systemd_read (struct hibresume_claim *claim)
{
  struct source *facts = &claim->facts;
  struct variable variable;

  read_variable (&systemd_guid, EFIVAR_LOCATION, &variable);
  facts->status = variable.status;
  facts->writable = 1;
  claim->location = variable.bytes;
  claim->location_len = variable.len;
  if (variable.status != SOURCE_VALID)
    return;
  facts->status = source_read_location (variable.bytes, variable.len,
					&claim->mark, &claim->location_error);
  hibresume_take_facts (claim);
}

void
hibresume_systemd_identify (struct hibresume_claim *claim)
{
  char fingerprint[EFIVAR_TRIED_LEN];
  struct variable tried;
  grub_uint8_t *page;

  page = hibresume_area_page (claim->image_device, &claim->mark);
  if (! page)
    {
      claim->facts.image = IMAGE_NOT_READABLE;
      return;
    }
  location_fingerprint (claim->location, claim->location_len, page,
			fingerprint);
  grub_free (page);
  grub_memcpy (claim->fingerprint, fingerprint, sizeof (fingerprint));

  read_variable (&own_guid, EFIVAR_TRIED, &tried);
  if (tried.status == SOURCE_VALID && tried.len == sizeof (fingerprint)
      && grub_memcmp (tried.bytes, fingerprint, sizeof (fingerprint)) == 0)
    claim->facts.state = MARK_TAKEN;
  grub_free (tried.bytes);
}

grub_err_t
hibresume_systemd_remember (const struct hibresume_claim *claim)
{
  char fingerprint[EFIVAR_TRIED_LEN];

  grub_memcpy (fingerprint, claim->fingerprint, sizeof (fingerprint));
  return write_variable (EFIVAR_TRIED, fingerprint, sizeof (fingerprint));
}

#else /* ! GRUB_MACHINE_EFI */

/* Other firmware has no variables: there is never anything to find.  */

void
hibresume_efi_read (struct hibresume_claim *claim)
{
  claim->facts.status = SOURCE_ABSENT;
}

grub_err_t
hibresume_efi_take (const struct hibresume_claim *claim
		    __attribute__ ((unused)))
{
  return GRUB_ERR_NONE;
}

grub_err_t
hibresume_efi_delete (void)
{
  return GRUB_ERR_NONE;
}

void
hibresume_systemd_read (struct hibresume_claim *claim)
{
  claim->facts.status = SOURCE_ABSENT;
}

void
hibresume_systemd_identify (struct hibresume_claim *claim
			    __attribute__ ((unused)))
{
}

grub_err_t
hibresume_systemd_remember (const struct hibresume_claim *claim
			    __attribute__ ((unused)))
{
  return GRUB_ERR_NONE;
}

#endif /* ! GRUB_MACHINE_EFI */
