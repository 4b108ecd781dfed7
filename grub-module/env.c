/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The mark in GRUB's environment block.  Reading is done here; writing is
 * left to save_env, which knows how to overwrite a file in place in every
 * release (the hook for that changed in 2.12).  save_env does not say whether
 * the write succeeded, so the block is read again afterwards and compared.
 */
#include <grub/command.h>
#include <grub/device.h>
#include <grub/disk.h>
#include <grub/env.h>
#include <grub/file.h>
#include <grub/fs.h>
#include <grub/i18n.h>
#include <grub/misc.h>
#include <grub/mm.h>

#include "hibresume.h"
#include "mark/envblk.h"

/* GRUB's tools make blocks of 1 KiB.  The same limit as in the tool.  */
#define ENV_MAX	(1024 * 1024)

struct env
{
  struct envblk block;		/* block.buf is owned */
  int writable;			/* save_env can overwrite this file */
};

/* ---- can it be overwritten? ---- */

/* A disk that firmware or GRUB's own drivers write to as it is.  LVM and RAID
   (diskfilter), loop devices and such refuse.  */
int
hibresume_is_plain_disk (grub_disk_t disk)
{
  switch (disk->dev->id)
    {
    case GRUB_DISK_DEVICE_BIOSDISK_ID:
    case GRUB_DISK_DEVICE_EFIDISK_ID:
    case GRUB_DISK_DEVICE_OFDISK_ID:
    case GRUB_DISK_DEVICE_ATA_ID:
    case GRUB_DISK_DEVICE_SCSI_ID:
    case GRUB_DISK_DEVICE_UBOOTDISK_ID:
    case GRUB_DISK_DEVICE_CRYPTODISK_ID:
      return 1;
    default:
      return 0;
    }
}

/* Filesystems on which a file's bytes may be overwritten where they are: no
   checksum over them, no copy on write.  The same list as in the tool.  */
static int
is_overwritable (grub_fs_t fs)
{
  static const char *const names[] = { "ext2", "xfs", "fat", "exfat" };
  unsigned i;

  for (i = 0; i < ARRAY_SIZE (names); i++)
    if (grub_strcmp (fs->name, names[i]) == 0)
      return 1;
  return 0;
}

/* ---- reading ---- */

static char *
read_all (grub_file_t file, grub_size_t size)
{
  char *buf = grub_malloc (size);
  grub_size_t got = 0;

  while (buf && got < size)
    {
      grub_ssize_t n = grub_file_read (file, buf + got, size - got);

      if (n <= 0)
	{
	  grub_free (buf);
	  return 0;
	}
      got += n;
    }
  return buf;
}

/* Reads the file at PATH.  SOURCE_VALID: ENV holds an environment block.  */
static enum source_status
open_env (const char *path, struct env *env)
{
  enum source_status status = SOURCE_UNREADABLE;
  grub_file_t file;
  grub_off_t size;
  char *buf = 0;

  grub_errno = GRUB_ERR_NONE;
  file = grub_file_open (path, GRUB_FILE_TYPE_LOADENV
			 | GRUB_FILE_TYPE_NO_DECOMPRESS);
  if (! file)
    return grub_errno == GRUB_ERR_FILE_NOT_FOUND
      ? SOURCE_ABSENT : SOURCE_UNREADABLE;

  size = grub_file_size (file);
  if (size == 0)
    status = SOURCE_DAMAGED;
  else if (size <= ENV_MAX)
    buf = read_all (file, size);
  if (buf)
    status = envblk_open (&env->block, buf, size)
      ? SOURCE_VALID : SOURCE_DAMAGED;
  if (status == SOURCE_VALID)
    env->writable = file->device->disk
      && hibresume_is_plain_disk (file->device->disk)
      && is_overwritable (file->fs);
  else
    grub_free (buf);
  grub_file_close (file);
  return status;
}

void
hibresume_read_block (const struct envblk *block,
		      struct hibresume_claim *claim)
{
  enum slot_status slot;
  grub_size_t at;

  claim->facts.status = source_read_block (block, &claim->mark, &slot, &at);
  hibresume_take_facts (claim);
}

void
hibresume_take_facts (struct hibresume_claim *claim)
{
  struct source *facts = &claim->facts;

  if (facts->status != SOURCE_VALID)
    return;
  facts->state = claim->mark.state;
  facts->empty = claim->mark.empty;
  facts->verify = claim->mark.verify;
}

void
hibresume_env_read (const char *path, struct hibresume_claim *claim)
{
  struct env env;

  claim->facts.status = open_env (path, &env);
  if (claim->facts.status == SOURCE_VALID)
    {
      claim->facts.writable = env.writable;
      hibresume_read_block (&env.block, claim);
      grub_free (env.block.buf);
    }
  grub_errno = GRUB_ERR_NONE;
}

/* ---- writing ---- */

/* As `set' and `save_env -f PATH' in grub.cfg; the variable gets its old value
   back, so that nothing is left behind in the environment.  */
static grub_err_t
save (const char *path, const char text[MARK_WIDTH])
{
  char dash_f[] = "-f", name[] = MARK_NAME;
  char *file = grub_strdup (path);
  const char *was = grub_env_get (MARK_NAME);
  char *old = was ? grub_strdup (was) : 0;
  char value[MARK_WIDTH + 1];
  char *argv[] = { dash_f, file, name };
  grub_err_t err = GRUB_ERR_OUT_OF_MEMORY;

  grub_memcpy (value, text, MARK_WIDTH);
  value[MARK_WIDTH] = '\0';
  if (file && ! grub_env_set (MARK_NAME, value))
    err = grub_command_execute ("save_env", ARRAY_SIZE (argv), argv);

  grub_error_push ();
  if (old)
    grub_env_set (MARK_NAME, old);
  else
    grub_env_unset (MARK_NAME);
  grub_error_pop ();
  grub_free (old);
  grub_free (file);
  return err;
}

static grub_err_t
compare (const char *path, const struct envblk *expected)
{
  struct env now;
  int same;

  hibresume_drop_cache ();
  if (open_env (path, &now) != SOURCE_VALID)
    return grub_errno ? grub_errno
      : grub_error (GRUB_ERR_FILE_READ_ERROR,
		    N_("%s: cannot be read after writing"), path);
  same = now.block.size == expected->size
    && grub_memcmp (now.block.buf, expected->buf, expected->size) == 0;
  grub_free (now.block.buf);
  if (! same)
    return grub_error (GRUB_ERR_WRITE_ERROR,
		       N_("%s: the mark was written, but the disk does not"
			  " hold it"), path);
  return GRUB_ERR_NONE;
}

/* Overwrites the slot of ENV, which was read from PATH, in memory and then on
   the disk.  */
static grub_err_t
overwrite (const char *path, struct env *env, void (*edit) (char *slot))
{
  grub_err_t err;
  grub_size_t at;

  if (slot_find (&env->block, &at) != SLOT_FOUND)
    return grub_error (GRUB_ERR_BAD_FILE_TYPE,
		       N_("%s: no usable slot for a mark"), path);
  edit (env->block.buf + at);
  err = save (path, env->block.buf + at);
  return err ? err : compare (path, &env->block);
}

grub_err_t
hibresume_env_overwrite (const char *path, void (*edit) (char *slot))
{
  struct env env;
  grub_err_t err;

  hibresume_drop_cache ();
  if (open_env (path, &env) != SOURCE_VALID)
    return grub_errno ? grub_errno
      : grub_error (GRUB_ERR_BAD_FILE_TYPE,
		    N_("%s: not an environment block"), path);
  if (env.writable)
    err = overwrite (path, &env, edit);
  else
    err = grub_error (GRUB_ERR_WRITE_ERROR,
		      N_("%s: GRUB cannot write there"), path);
  grub_free (env.block.buf);
  return err;
}
