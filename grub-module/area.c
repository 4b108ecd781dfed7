/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The image header: the first page of a swap area, on the disk.
 */
#include <grub/device.h>
#include <grub/disk.h>
#include <grub/i18n.h>
#include <grub/misc.h>
#include <grub/mm.h>

#include "hibresume.h"
#include "mark/image.h"

/* GRUB exports the table, but not the function that empties it.  */
void
hibresume_drop_cache (void)
{
  unsigned i;

  for (i = 0; i < GRUB_DISK_CACHE_NUM; i++)
    {
      struct grub_disk_cache *cache = grub_disk_cache_table + i;

      if (cache->data && ! cache->lock)
	{
	  grub_free (cache->data);
	  cache->data = 0;
	}
    }
}

/* Offset and page size are bounded by mark_parse: no overflow.  */
int
hibresume_area_start (grub_disk_t disk, const struct mark *mark,
		      grub_disk_addr_t *sector)
{
  grub_uint64_t sectors = grub_disk_native_sectors (disk);

  *sector = mark_image_start (mark) >> GRUB_DISK_SECTOR_BITS;
  return *sector <= sectors
    && (mark->page_size >> GRUB_DISK_SECTOR_BITS) <= sectors - *sector;
}

/* IMAGE_NOT_LOOKED: PAGE is filled.  */
static enum image_state
read_page (grub_disk_t disk, const struct mark *mark, grub_uint8_t *page)
{
  grub_disk_addr_t sector;

  if (! hibresume_area_start (disk, mark, &sector))
    return IMAGE_NO_DEVICE;
  if (grub_disk_read (disk, sector, 0, mark->page_size, page))
    return IMAGE_NOT_READABLE;
  return IMAGE_NOT_LOOKED;
}

static enum image_state
look (grub_disk_t disk, const struct mark *mark, grub_uint8_t *page)
{
  enum image_state state = read_page (disk, mark, page);
  struct image_header header;

  if (state != IMAGE_NOT_LOOKED)
    return state;
  return source_look_at_page (page, mark->page_size, &header);
}

enum image_state
hibresume_area_look (const char *device, const struct mark *mark)
{
  enum image_state state = IMAGE_NOT_READABLE;
  grub_device_t dev = grub_device_open (device);
  grub_uint8_t *page = grub_malloc (mark->page_size);

  if (dev && dev->disk && page)
    state = look (dev->disk, mark, page);
  grub_free (page);
  if (dev)
    grub_device_close (dev);
  grub_errno = GRUB_ERR_NONE;
  return state;
}

grub_uint8_t *
hibresume_area_page (const char *device, const struct mark *mark)
{
  grub_device_t dev = grub_device_open (device);
  grub_uint8_t *page = grub_malloc (mark->page_size);
  int done = dev && dev->disk && page
    && read_page (dev->disk, mark, page) == IMAGE_NOT_LOOKED;

  if (dev)
    grub_device_close (dev);
  grub_errno = GRUB_ERR_NONE;
  if (done)
    return page;
  grub_free (page);
  return 0;
}

static grub_err_t
restore (grub_disk_t disk, const struct mark *mark)
{
  grub_uint8_t tail[IMAGE_SECTOR], seen[IMAGE_SECTOR];
  grub_disk_addr_t sector;

  if (! hibresume_area_start (disk, mark, &sector))
    return grub_error (GRUB_ERR_OUT_OF_RANGE,
		       N_("%s: the swap area is outside the device"),
		       mark->image);
  sector += (mark->page_size >> GRUB_DISK_SECTOR_BITS) - 1;
  hibresume_drop_cache ();
  if (grub_disk_read (disk, sector, 0, sizeof (tail), tail))
    return grub_errno;
  if (! image_restore_swap (tail))
    return grub_error (GRUB_ERR_BAD_SIGNATURE,
		       N_("%s: no image with a saved swap signature"),
		       mark->image);
  if (grub_disk_write (disk, sector, 0, sizeof (tail), tail))
    return grub_errno;
  hibresume_drop_cache ();
  if (grub_disk_read (disk, sector, 0, sizeof (seen), seen))
    return grub_errno;
  if (grub_memcmp (tail, seen, sizeof (tail)) != 0)
    return grub_error (GRUB_ERR_WRITE_ERROR,
		       N_("%s: the swap signature was written, but the device"
			  " does not hold it"), mark->image);
  return GRUB_ERR_NONE;
}

grub_err_t
hibresume_area_restore (const char *device, const struct mark *mark)
{
  grub_device_t dev = grub_device_open (device);
  grub_err_t err;

  if (! dev)
    return grub_errno;
  if (dev->disk)
    err = restore (dev->disk, mark);
  else
    err = grub_error (GRUB_ERR_BAD_DEVICE, N_("%s: not a disk"), mark->image);
  grub_error_push ();
  grub_device_close (dev);
  grub_error_pop ();
  return err;
}
