/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A command for tests of what GRUB makes of EFI variables, so that many can be
 * tried in one boot:
 *
 *   putvar NAME [FILE [LENGTH]]
 *
 * writes the first LENGTH bytes of FILE, or all; without a file, or with no
 * bytes, it deletes the variable.  The owner follows from the name.
 */
#include <grub/command.h>
#include <grub/dl.h>
#include <grub/efi/efi.h>
#include <grub/err.h>
#include <grub/file.h>
#include <grub/misc.h>
#include <grub/mm.h>

#include "mark/efivar-names.h"

GRUB_MOD_LICENSE ("GPLv3+");

struct guid
{
  grub_uint32_t data1;
  grub_uint16_t data2;
  grub_uint16_t data3;
  grub_uint8_t data4[8];
} __attribute__ ((aligned (8)));

static const struct guid own_guid = EFIVAR_GUID_NUMBERS;
static const struct guid systemd_guid = EFIVAR_SYSTEMD_GUID_NUMBERS;

static char *
read_file (const char *path, grub_size_t *len)
{
  grub_file_t file = grub_file_open (path, GRUB_FILE_TYPE_CAT
				     | GRUB_FILE_TYPE_NO_DECOMPRESS);
  char *bytes = 0;

  if (! file)
    return 0;
  *len = grub_file_size (file);
  bytes = grub_malloc (*len + 1);
  if (bytes && grub_file_read (file, bytes, *len) != (grub_ssize_t) *len)
    {
      grub_free (bytes);
      bytes = 0;
    }
  grub_file_close (file);
  return bytes;
}

static grub_err_t
cmd_putvar (grub_command_t cmd __attribute__ ((unused)), int argc, char **argv)
{
  const void *guid = &own_guid;
  grub_size_t len = 0;
  char *bytes = 0;

  if (argc < 1)
    return grub_error (GRUB_ERR_BAD_ARGUMENT, "a name is missing");
  if (grub_strcmp (argv[0], EFIVAR_LOCATION) == 0)
    guid = &systemd_guid;
  if (argc >= 2)
    bytes = read_file (argv[1], &len);
  if (argc >= 2 && ! bytes)
    return grub_errno;
  if (argc >= 3)
    len = grub_strtoul (argv[2], 0, 10);
  grub_efi_set_variable (argv[0], guid, bytes, len);
  grub_free (bytes);
  /* There may be nothing to delete.  */
  if (! len)
    grub_errno = GRUB_ERR_NONE;
  return grub_errno;
}

static grub_command_t cmd;

GRUB_MOD_INIT (putvar)
{
  cmd = grub_register_command ("putvar", cmd_putvar, "NAME [FILE [LENGTH]]",
			       "Write an EFI variable.");
}

GRUB_MOD_FINI (putvar)
{
  grub_unregister_command (cmd);
}
