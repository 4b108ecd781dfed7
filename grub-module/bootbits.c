/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The mark in the boot bits: an environment block of two sectors, where the
 * swap area begins.  load_env reads it as (DEVICE)SECTOR+2; but save_env of
 * 2.06 writes to no block list, so the sector is written here.
 *
 * Swapping never touches these bytes, so anything may stand there: what does
 * not begin like an environment block is none of our business.
 */
#include <grub/device.h>
#include <grub/disk.h>
#include <grub/i18n.h>
#include <grub/misc.h>

#include "hibresume.h"
#include "mark/envblk.h"

#define BITS_SIZE	ENVBLK_DEFAULT_SIZE

/* The boot bits of one area, in memory.  */
struct bits
{
  grub_disk_addr_t sector;	/* where they begin */
  struct envblk block;		/* in buf; if the status is SOURCE_VALID */
  char buf[BITS_SIZE];
};

/* ---- reading ---- */

/* The area's first page is longer than the boot bits, so they are all on
   DISK.  */
static enum source_status
load (grub_disk_t disk, const struct mark *area, struct bits *bits)
{
  if (! hibresume_area_start (disk, area, &bits->sector))
    return SOURCE_ABSENT;
  if (grub_disk_read (disk, bits->sector, 0, BITS_SIZE, bits->buf))
    return SOURCE_UNREADABLE;
  return envblk_open (&bits->block, bits->buf, BITS_SIZE)
    ? SOURCE_VALID : SOURCE_ABSENT;
}

/* A mark in an area must be about that area.  If not, the area is a copy.  */
static void
check_area (struct hibresume_claim *claim, const struct mark *area)
{
  struct source *facts = &claim->facts;

  if (facts->status == SOURCE_VALID && ! facts->empty
      && ! hibresume_same_area (&claim->mark, area))
    facts->status = SOURCE_DAMAGED;
  if (facts->status != SOURCE_VALID)
    claim->mark = *area;
  /* Where the mark could be read, the image can be looked at.  */
  facts->verify = MARK_VERIFY_HEADER;
}

void
hibresume_bootbits_read (const struct mark *area,
			 struct hibresume_claim *claim)
{
  grub_device_t dev = grub_device_open (claim->image_device);
  struct source *facts = &claim->facts;
  struct bits bits;

  facts->status = SOURCE_UNREADABLE;
  if (dev && dev->disk)
    {
      facts->status = load (dev->disk, area, &bits);
      facts->writable = hibresume_is_plain_disk (dev->disk);
    }
  if (dev)
    grub_device_close (dev);
  if (facts->status == SOURCE_VALID)
    hibresume_read_block (&bits.block, claim);
  check_area (claim, area);
  grub_errno = GRUB_ERR_NONE;
}

/* ---- writing ---- */

/* Writes the one sector that the slot is in, and looks whether the disk has
   it.  */
static grub_err_t
overwrite (grub_disk_t disk, const struct mark *area,
	   void (*edit) (char *slot))
{
  struct bits bits, seen;
  grub_size_t at;

  hibresume_drop_cache ();
  if (load (disk, area, &bits) != SOURCE_VALID
      || slot_find (&bits.block, &at) != SLOT_FOUND)
    return grub_errno ? grub_errno
      : grub_error (GRUB_ERR_BAD_FILE_TYPE,
		    N_("%s: no usable slot for a mark"), area->image);
  edit (bits.buf + at);
  at >>= GRUB_DISK_SECTOR_BITS;
  if (grub_disk_write (disk, bits.sector + at, 0, GRUB_DISK_SECTOR_SIZE,
		       bits.buf + (at << GRUB_DISK_SECTOR_BITS)))
    return grub_errno;
  hibresume_drop_cache ();
  if (grub_disk_read (disk, bits.sector, 0, BITS_SIZE, seen.buf))
    return grub_errno;
  if (grub_memcmp (bits.buf, seen.buf, BITS_SIZE) != 0)
    return grub_error (GRUB_ERR_WRITE_ERROR,
		       N_("%s: the mark was written, but the disk does not"
			  " hold it"), area->image);
  return GRUB_ERR_NONE;
}

grub_err_t
hibresume_bootbits_overwrite (const struct hibresume_claim *claim,
			      void (*edit) (char *slot))
{
  grub_device_t dev = grub_device_open (claim->image_device);
  grub_err_t err;

  if (! dev)
    return grub_errno;
  if (dev->disk && claim->facts.writable)
    err = overwrite (dev->disk, &claim->mark, edit);
  else
    err = grub_error (GRUB_ERR_WRITE_ERROR, N_("%s: GRUB cannot write there"),
		      claim->mark.image);
  grub_error_push ();
  grub_device_close (dev);
  grub_error_pop ();
  return err;
}
