/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Finding devices.  A session must never be resumed from the wrong one of two
 * that claim the same name (a cloned disk, the halves of a mirror), so a name
 * counts only if exactly one device has it.
 */
#include <grub/device.h>
#include <grub/disk.h>
#include <grub/env.h>
#include <grub/file.h>
#include <grub/fs.h>
#include <grub/misc.h>
#include <grub/mm.h>
#include <grub/partition.h>

#include "hibresume.h"
#include "mark/image.h"

/* struct grub_gpt_partentry: the partition's own GUID follows that of its
   type.  */
#define GPT_GUID_AT	16
#define GUID_LEN	16
/* "Disk signature" in the MBR, 32 bits little-endian.  */
#define MBR_SIGNATURE_AT	0x1b8

#define NAME_LEN	37	/* a UUID as text, and its NUL */

/* Bytes, by whatever name: two drivers or partition maps can show the same
   ones.  */
struct place
{
  unsigned long dev_id, disk_id;
  grub_disk_addr_t start;
};

struct search
{
  int (*matches) (struct search *search, grub_device_t dev);
  const char *wanted;
  grub_uint8_t *buf;		/* IMAGE_PAGE_MAX bytes */
  char *found;
  struct place place;		/* of what was found */
  int ambiguous;
};

static void
locate (grub_disk_t disk, struct place *place)
{
  place->dev_id = disk->dev->id;
  place->disk_id = disk->id;
  place->start = grub_partition_get_start (disk->partition);
}

static int
is_same_place (const struct place *a, const struct place *b)
{
  return a->dev_id == b->dev_id && a->disk_id == b->disk_id
    && a->start == b->start;
}

static void
note (struct search *search, const char *name, grub_disk_t disk)
{
  struct place place;

  locate (disk, &place);
  if (! search->found)
    {
      search->found = grub_strdup (name);
      search->place = place;
    }
  else if (! is_same_place (&search->place, &place))
    search->ambiguous = 1;
}

static int
is_floppy (const char *name)
{
  return name[0] == 'f' && name[1] == 'd' && grub_isdigit (name[2]);
}

static int
visit (const char *name, void *data)
{
  struct search *search = data;
  grub_device_t dev;

  /* A floppy drive without a disk takes seconds to say so.  */
  if (is_floppy (name))
    return 0;
  dev = grub_device_open (name);
  if (dev)
    {
      if (dev->disk && search->matches (search, dev))
	note (search, name, dev->disk);
      grub_device_close (dev);
    }
  /* What cannot be read cannot match.  */
  grub_errno = GRUB_ERR_NONE;
  return search->ambiguous;
}

/* Looks at every device.  Returns the name, if there is exactly one; *NONE
   says that there is none at all.  */
static char *
find_one (int (*matches) (struct search *, grub_device_t), const char *wanted,
	  int *none)
{
  struct search search = { .matches = matches, .wanted = wanted };

  *none = 0;
  search.buf = grub_malloc (IMAGE_PAGE_MAX);
  if (search.buf)
    {
      grub_device_iterate (visit, &search);
      *none = ! search.found && ! search.ambiguous;
    }
  grub_free (search.buf);
  grub_errno = GRUB_ERR_NONE;
  if (search.ambiguous)
    {
      grub_free (search.found);
      return 0;
    }
  return search.found;
}

/* ---- what can match ---- */

/* GRUB has no driver for swap areas, so it finds no UUID in them.  */
static int
is_swap (struct search *search, grub_device_t dev)
{
  grub_uint64_t sectors = grub_disk_native_sectors (dev->disk);
  grub_size_t len = IMAGE_PAGE_MAX;
  struct image_header header;
  char uuid[NAME_LEN];

  if (sectors < (IMAGE_PAGE_MAX >> GRUB_DISK_SECTOR_BITS))
    len = sectors << GRUB_DISK_SECTOR_BITS;
  if (len < IMAGE_PAGE_MIN
      || grub_disk_read (dev->disk, 0, 0, len, search->buf))
    return 0;
  if (image_probe (search->buf, len, &header) == IMAGE_NONE
      || ! header.has_uuid)
    return 0;
  image_format_uuid (header.uuid, uuid);
  return grub_strcasecmp (uuid, search->wanted) == 0;
}

static int
has_fs_uuid (grub_device_t dev, const char *wanted)
{
  grub_fs_t fs = grub_fs_probe (dev);
  char *uuid = 0;
  int same;

  if (! fs || ! fs->fs_uuid || fs->fs_uuid (dev, &uuid) || ! uuid)
    return 0;
  same = grub_strcasecmp (uuid, wanted) == 0;
  grub_free (uuid);
  return same;
}

static int
is_fs (struct search *search, grub_device_t dev)
{
  return has_fs_uuid (dev, search->wanted);
}

/* The first three groups of a GUID on disk are little-endian numbers.  */
static void
format_guid (const grub_uint8_t *guid, char *out)
{
  static const grub_uint8_t order[GUID_LEN]
    = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
  grub_uint8_t plain[GUID_LEN];
  unsigned i;

  for (i = 0; i < GUID_LEN; i++)
    plain[i] = guid[order[i]];
  image_format_uuid (plain, out);
}

static int
read_partuuid (grub_disk_t disk, grub_partition_t part, char *out)
{
  grub_uint8_t guid[GUID_LEN], sig[4];

  if (grub_strcmp (part->partmap->name, "gpt") == 0)
    {
      if (grub_disk_read (disk, part->offset, part->index + GPT_GUID_AT,
			  sizeof (guid), guid))
	return 0;
      format_guid (guid, out);
      return 1;
    }
  if (grub_strcmp (part->partmap->name, "msdos") == 0)
    {
      if (grub_disk_read (disk, 0, MBR_SIGNATURE_AT, sizeof (sig), sig))
	return 0;
      grub_snprintf (out, NAME_LEN, "%02x%02x%02x%02x-%02x", sig[3], sig[2],
		     sig[1], sig[0], (unsigned) part->number + 1);
      return 1;
    }
  return 0;
}

static int
is_partition (struct search *search, grub_device_t dev)
{
  grub_partition_t part = dev->disk->partition;
  char uuid[NAME_LEN];
  grub_disk_t disk;
  int same;

  /* A partition inside a partition has no PARTUUID that Linux knows.  */
  if (! part || part->parent)
    return 0;
  /* The table is outside the partition.  */
  disk = grub_disk_open (dev->disk->name);
  if (! disk)
    return 0;
  same = read_partuuid (disk, part, uuid)
    && grub_strcasecmp (uuid, search->wanted) == 0;
  grub_disk_close (disk);
  return same;
}

/* ---- the questions ---- */

/* Asks the filesystem drivers that are loaded first, as `search' does: loading
   all others takes long, and happens for every device that none knows.  */
static char *
find_fs (const char *uuid)
{
  grub_fs_autoload_hook_t autoload = grub_fs_autoload_hook;
  char *name;
  int none;

  grub_fs_autoload_hook = 0;
  name = find_one (is_fs, uuid, &none);
  grub_fs_autoload_hook = autoload;
  return none ? find_one (is_fs, uuid, &none) : name;
}

char *
hibresume_find_image (const char *tag)
{
  char *name;
  int none;

  if (grub_strncmp (tag, "PARTUUID=", sizeof ("PARTUUID=") - 1) == 0)
    return find_one (is_partition, tag + sizeof ("PARTUUID=") - 1, &none);
  if (grub_strncmp (tag, "UUID=", sizeof ("UUID=") - 1) != 0)
    return 0;
  tag += sizeof ("UUID=") - 1;
  name = find_one (is_swap, tag, &none);
  /* A swap file is named by the filesystem that it is in.  */
  return none ? find_fs (tag) : name;
}

/* Where GRUB itself was loaded from, which most often is where the kernels
   are.  NULL, and no error, if that has another UUID.  */
static char *
prefix_if (const char *uuid)
{
  const char *prefix = grub_env_get ("prefix");
  char *name = prefix ? grub_file_get_device_name (prefix) : 0;
  grub_device_t dev = name ? grub_device_open (name) : 0;
  int same = dev && dev->disk && has_fs_uuid (dev, uuid);

  if (dev)
    grub_device_close (dev);
  grub_errno = GRUB_ERR_NONE;
  if (same)
    return name;
  grub_free (name);
  return 0;
}

/* A filesystem on several devices (btrfs) has one UUID on each, so the one
   that GRUB is on is taken without asking whether it is the only one.  */
char *
hibresume_find_fs (const char *uuid)
{
  char *name = prefix_if (uuid);

  return name ? name : find_fs (uuid);
}

/* Where the image's device that TAG names is.  False if it is not found.  */
static int
locate_image (const char *tag, struct place *place)
{
  char *name = hibresume_find_image (tag);
  grub_device_t dev = name ? grub_device_open (name) : 0;
  int found = dev && dev->disk;

  if (found)
    locate (dev->disk, place);
  if (dev)
    grub_device_close (dev);
  grub_free (name);
  grub_errno = GRUB_ERR_NONE;
  return found;
}

int
hibresume_same_area (const struct mark *a, const struct mark *b)
{
  struct place a_place, b_place;

  if (a->offset != b->offset || a->page_size != b->page_size)
    return 0;
  if (grub_strcasecmp (a->image, b->image) == 0)
    return 1;
  return locate_image (a->image, &a_place) && locate_image (b->image, &b_place)
    && is_same_place (&a_place, &b_place);
}
