/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl check: the firmware, its variables and whom it starts. Nothing is said where there is no UEFI.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "check.h"
#include "mark/efivar-names.h"
#include "say.h"
#include "store-efi.h"

void check_secure_boot(const struct checkup *c, struct finding *f)
{
        int on = uefi_secure_boot_state();

        (void)c;
        if (uefi_access() == UEFI_NO_FIRMWARE)
                return;
        if (uefi_access() == UEFI_NOT_MOUNTED)
                find(f, LEVEL_UNKNOWN, "mount -t efivarfs efivarfs " UEFI_MOUNT_POINT,
                     _("whether it is on cannot be told without efivarfs"));
        else if (on < 0)
                find(f, LEVEL_UNKNOWN, how_to_see(), _("whether it is on cannot be told: %s"), strerror(-on));
        else if (on)
                find(f, LEVEL_NOTE, NULL,
                     _("on: GRUB loads no module that is not part of it, and sees a mark in the environment block only"));
        else
                find_ok(f, _("off: GRUB may load its module"));
}

void check_variables(const struct checkup *c, struct finding *f)
{
        int64_t room = uefi_room(), needed = uefi_space_for(&uefi_mark, EFIVAR_MARK_LEN);
        enum uefi_access access = uefi_access();

        (void)c;
        if (access == UEFI_NO_FIRMWARE)
                return;
        if (access == UEFI_NOT_MOUNTED)
                find(f, LEVEL_WARNING, "mount -t efivarfs efivarfs " UEFI_MOUNT_POINT,
                     _("efivarfs is not mounted, so nothing is known of marks in variables, and none is written there"));
        else if (access == UEFI_READ_ONLY)
                find(f, LEVEL_WARNING, "mount -o remount,rw " UEFI_MOUNT_POINT,
                     _("efivarfs is mounted read-only, so no mark is written there"));
        else if (room >= 0 && room < needed)
                find(f, LEVEL_WARNING, _("remove old boot entries (efibootmgr) or crash records (/sys/fs/pstore)"),
                     _("the firmware has room for %lld bytes only, and a mark needs %lld"), (long long)room,
                     (long long)needed);
        else if (room >= 0)
                find_ok(f, _("can be written, %lld bytes are left"), (long long)room);
        else
                find_ok(f, _("can be written"));
}

/* ---- the boot order ---- */

/* Two systems whose boot loaders are on one EFI system partition both mount it, and a firmware update writes there. */
static bool shares_partition(const struct uefi_boot_entry *a, const struct uefi_boot_entry *b)
{
        return a->has_partition && b->has_partition && memcmp(a->partition, b->partition, sizeof(a->partition)) == 0 &&
               memcmp(a->partition_number, b->partition_number, sizeof(a->partition_number)) == 0;
}

static void add_name(char **names, uint16_t number, const struct uefi_boot_entry *entry,
                     const struct uefi_boot_entry *own)
{
        _cleanup_free_ char *before = *names;
        _cleanup_free_ char *name =
                xasprintf(shares_partition(entry, own) ? _("%04X %s (on the same EFI system partition)") : "%04X %s",
                          number, entry->name);

        *names = xasprintf("%s%s%s", before, *before ? ", " : "", name);
}

/* The active entries that come before CURRENT in the order: *NAMES, which the caller frees. Their number, or a negative
 * errno. An entry that cannot be read is not started. */
static int entries_before(uint16_t current, char **names)
{
        struct uefi_boot_entry entry, own;
        uint16_t order[UEFI_BOOT_ORDER_MAX];
        ssize_t n = uefi_boot_order(order, ELEMENTS(order));
        int count = 0;

        *names = xstrdup("");
        if (uefi_boot_entry(current, &own) < 0)
                own.has_partition = false;
        for (ssize_t i = 0; i < n && order[i] != current; i++) {
                int r = uefi_boot_entry(order[i], &entry);

                if (r < 0 && r != -ENOENT && r != -EBADMSG)
                        return r;
                if (r < 0 || !entry.active)
                        continue;
                add_name(names, order[i], &entry, &own);
                count++;
        }
        return n < 0 ? (int)n : count;
}

void check_boot_order(const struct checkup *c, struct finding *f)
{
        _cleanup_free_ char *names = NULL;
        uint16_t current;
        int n;

        if (uefi_access() < UEFI_READ_ONLY)
                return;
        n = uefi_boot_current(&current);
        if (n == 0)
                n = entries_before(current, &names);
        if (n == -ENOENT || n == -EBADMSG) /* so says the firmware */
                find(f, LEVEL_NOTE, _("look at it with efibootmgr"),
                     _("the firmware does not tell whom it starts first"));
        else if (n < 0)
                find(f, LEVEL_UNKNOWN, how_to_see(), _("whom the firmware starts first cannot be told: %s"),
                     strerror(-n));
        else if (n == 0)
                find_ok(f, _("the entry that this system was started by, %04X, comes first"), current);
        else if (c->settings.boot_next)
                find(f, LEVEL_NOTE, NULL, _("%s: before this system's entry, %04X; 'hibctl mark' sets BootNext"), names,
                     current);
        else
                find(f, LEVEL_WARNING, _("'hibctl mark --boot-next', or BootNext=yes in hibctl.conf"),
                     ngettext("%s: it comes before this system's entry, %04X, and is started first",
                              "%s: they come before this system's entry, %04X, and are started first", (unsigned int)n),
                     names, current);
}

/* ---- systemd's variable ---- */

void check_systemd(const struct checkup *c, struct finding *f)
{
        enum source_status status = c->s.sources[AT_SYSTEMD].status;

        if (uefi_access() < UEFI_READ_ONLY)
                return;
        if (status == SOURCE_UNREADABLE)
                find(f, LEVEL_UNKNOWN, how_to_see(), _("HibernateLocation cannot be read"));
        else if (status == SOURCE_DAMAGED)
                find(f, LEVEL_WARNING, _("run 'hibctl cancel --hibernate-location'"),
                     _("HibernateLocation is damaged: %s"), _(location_error_text(c->s.systemd.error)));
        else if (status == SOURCE_VALID && c->s.seen[AT_SYSTEMD] == IMAGE_GONE)
                find(f, LEVEL_WARNING, _("run 'hibctl cancel --hibernate-location'"),
                     _("HibernateLocation is left over: it names no image that is there"));
        else if (status == SOURCE_VALID && c->s.seen[AT_SYSTEMD] == IMAGE_NOT_READABLE)
                find(f, LEVEL_UNKNOWN, how_to_see(), _("HibernateLocation names %s, which cannot be read"),
                     c->s.systemd.mark.image);
        else if (status == SOURCE_VALID)
                find(f, LEVEL_NOTE, _("'hibctl status' says what it does"), _("HibernateLocation names an image on %s"),
                     c->s.systemd.mark.image);
        else if (c->s.systemd.noted)
                find(f, LEVEL_WARNING, _("run 'hibctl settle'"),
                     _("HibctlTried, a note of an earlier try to resume, is left over"));
        else
                find_ok(f, _("no variable is left over"));
}
