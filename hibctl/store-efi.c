/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The efi store: a variable of the firmware. It touches no disk, so it is there where GRUB cannot write to the boot
 * filesystem, and where nothing that sleeps may be touched. There is never an empty mark: disarmed means deleted.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "grubcfg.h"
#include "mark/efivar-names.h"
#include "say.h"
#include "store-efi.h"

/* The store while it is open. */
static struct {
        enum uefi_access access;
        char bytes[EFIVAR_MARK_LEN];
        ssize_t size; /* of the contents; or a negative errno: -EFBIG if they are longer than a mark */
        bool holds_signals;
} efi;

/* ---- words ---- */

static const char *why_no_access(enum uefi_access access)
{
        switch (access) {
        case UEFI_NO_FIRMWARE:
                return _("this machine was not started by UEFI");
        case UEFI_NOT_MOUNTED:
                return _("efivarfs is not mounted (mount -t efivarfs efivarfs /sys/firmware/efi/efivars)");
        case UEFI_READ_ONLY:
                return _("efivarfs is mounted read-only (mount -o remount,rw /sys/firmware/efi/efivars)");
        default:
                return NULL;
        }
}

const char *efi_why_not(void)
{
        return why_no_access(uefi_access());
}

bool efi_has_module(const char *prefix, char **folder)
{
        *folder = NULL;
        for (size_t i = 0; i < N_GRUB_PLATFORMS; i++) {
                _cleanup_free_ char *path = NULL;
                const char *kind = strrchr(grub_platforms[i], '-');

                if (strcmp(kind, "-efi") != 0)
                        continue;
                free(*folder);
                *folder = xasprintf("%s/%s", prefix, grub_platforms[i]);
                path = xasprintf("%s/%s", *folder, GRUB_MODULE_NAME);
                if (access(path, F_OK) == 0)
                        return true;
        }
        return false;
}

const char *efi_why_no_reader(void)
{
        const char *why = efi_why_not();

        if (!why && uefi_secure_boot())
                why = _("Secure Boot is on, and GRUB then loads no module that could read it");
        return why;
}

char *efi_why_no_mark(const char *prefix)
{
        _cleanup_free_ char *folder = NULL;
        const char *why = efi_why_no_reader();
        int64_t room = uefi_room();

        if (why)
                return xstrdup(why);
        if (!efi_has_module(prefix, &folder))
                return xasprintf(_("GRUB's module, which would read it, is not in %s; run 'hibctl setup'"), folder);
        if (room >= 0 && room < uefi_space_for(&uefi_mark, EFIVAR_MARK_LEN))
                return xasprintf(_("the firmware has room for %lld bytes only, and %lld are needed; remove old boot "
                                   "entries (efibootmgr) or crash records (/sys/fs/pstore)"),
                                 (long long)room, (long long)uefi_space_for(&uefi_mark, EFIVAR_MARK_LEN));
        return NULL;
}

static void tell(const char *function, const char *message, int error)
{
        say_step("%s: %s: %s", function, message, strerror(error));
}

int efi_explain(const struct uefi_variable *variable, int error, bool in_doubt)
{
        const char *name = variable->name;

        uefi_each_error(tell);
        if (in_doubt)
                say_error(_("%s: the EFI variable may have been changed: its old contents could not be put back"),
                          name);
        switch (error) {
        case -ENODEV:
                return no_store(_("%s: no EFI variables can be reached: %s"), name,
                                efi_why_not() ? efi_why_not() : strerror(ENODEV));
        case -ENOSPC:
                return no_store(_("%s: the firmware has no room left for the EFI variable; remove old boot entries "
                                  "(efibootmgr) or crash records (/sys/fs/pstore)"),
                                name);
        case -EROFS:
                return no_store(_("%s: EFI variables are write-protected here, by the firmware or because efivarfs is "
                                  "mounted read-only (mount -o remount,rw /sys/firmware/efi/efivars)"),
                                name);
        case -EPERM:
        case -EACCES:
                return no_store(_("%s: the EFI variable may not be changed: %s; it may be immutable (lsattr and "
                                  "chattr -i on it in /sys/firmware/efi/efivars), or protected by the firmware"),
                                name, strerror(-error));
        case -ESTALE:
                return fail(_("%s: the EFI variable was written, but other bytes were read back; after a resume "
                              "efivarfs may not know of what the boot loader did: unmount and mount it again, or "
                              "reboot"),
                            name);
        default:
                return fail(_("%s: the firmware or the kernel fails to change the EFI variable: %s; use another store, "
                              "or reboot"),
                            name, strerror(-error));
        }
}

/* ---- reading ---- */

static int efi_open(const struct whereabouts *where, bool for_writing)
{
        efi.holds_signals = for_writing;
        if (for_writing)
                hold_signals();
        efi.access = uefi_access();
        /* In a save kernel nobody else does. */
        if (efi.access == UEFI_NOT_MOUNTED && where->plan && uefi_mount() == 0)
                efi.access = uefi_access();
        if (efi.access >= UEFI_READ_ONLY)
                efi.size = uefi_read(&uefi_mark, efi.bytes, sizeof(efi.bytes), NULL);
        else
                efi.size = efi.access == UEFI_NO_FIRMWARE ? 0 : -ENODEV;
        return EXIT_DONE; /* read and write say what is wrong */
}

static enum source_status judge(struct mark *mark)
{
        if (efi.size == -EFBIG)
                return SOURCE_DAMAGED;
        return efi.size < 0 ? SOURCE_UNREADABLE : source_read_text(efi.bytes, (size_t)efi.size, mark);
}

/* "writable" is about the boot loader, which can delete the variable however efivarfs is mounted here. */
static int efi_read(struct reading *out)
{
        const char *why = why_no_access(efi.access);

        *out = (struct reading){ .status = SOURCE_ABSENT, .slot = SLOT_MISSING };
        if (efi.access == UEFI_NO_FIRMWARE)
                return EXIT_DONE;
        out->place = xasprintf(_("EFI variable %s-%s"), uefi_mark.name, uefi_mark.guid);
        out->status = judge(&out->mark);
        out->slot = efi.size > 0 || efi.size == -EFBIG ? SLOT_FOUND : SLOT_MISSING;
        out->writable = efi.access >= UEFI_READ_ONLY;
        out->why_not_writable = why ? xstrdup(why) : NULL;
        return EXIT_DONE;
}

/* ---- writing ---- */

static int efi_disarm(void)
{
        int r = uefi_delete(&uefi_mark);

        if (r < 0)
                return efi_explain(&uefi_mark, r, /* in_doubt= */ false);
        efi.size = 0;
        return EXIT_DONE;
}

static int efi_write(const char text[MARK_WIDTH])
{
        char empty[MARK_WIDTH];
        bool in_doubt;
        int r;

        if (efi.access != UEFI_USABLE)
                return no_store(_("%s: no mark in an EFI variable: %s"), uefi_mark.name, why_no_access(efi.access));
        mark_format_empty(empty);
        if (memcmp(text, empty, MARK_WIDTH) == 0)
                return efi_disarm();
        r = uefi_write(&uefi_mark, text, EFIVAR_MARK_LEN, &in_doubt);
        if (r < 0)
                return efi_explain(&uefi_mark, r, in_doubt);
        memcpy(efi.bytes, text, EFIVAR_MARK_LEN);
        efi.size = EFIVAR_MARK_LEN;
        return EXIT_DONE;
}

/* There is nothing to reserve. */
static int efi_reserve(void)
{
        return EXIT_DONE;
}

static int efi_close(void)
{
        if (efi.holds_signals)
                release_signals();
        memset(&efi, 0, sizeof(efi));
        return EXIT_DONE;
}

const struct store store_efi = {
        .name = "efi",
        .kind = SOURCE_EFI,
        .open = efi_open,
        .read = efi_read,
        .reserve = efi_reserve,
        .write = efi_write,
        .close = efi_close,
};
