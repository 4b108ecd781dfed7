/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <efivar/efivar.h>
#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mark/efivar-names.h"
#include "uefi.h"

#define MODE 0644 /* what is in our variables is no secret, and status is for everybody */
#define GLOBAL_GUID "8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define SHIM_GUID "605dab50-e046-4300-abb6-3dd810dd8b23"

/* A variable as firmware keeps it: a header of 60 bytes (EDK2's authenticated one), the name in UTF-16, the contents.
 */
#define HEADER_SIZE 60

const struct uefi_variable uefi_mark = { EFIVAR_MARK, EFIVAR_GUID }, uefi_tried = { EFIVAR_TRIED, EFIVAR_GUID },
                           uefi_location = { EFIVAR_LOCATION, EFIVAR_SYSTEMD_GUID };

static const char *test_folder(void)
{
        const char *path = getenv("EFIVARFS_PATH");

        return path && path[0] ? path : NULL;
}

/* ---- can it be used ---- */

enum uefi_access uefi_access(void)
{
        const char *folder = test_folder();
        struct statfs fs;
        struct statvfs vfs;

        if (access(folder ? folder : "/sys/firmware/efi", F_OK) != 0)
                return errno == ENOENT || errno == ENOTDIR ? UEFI_NO_FIRMWARE : UEFI_NOT_MOUNTED;
        if (!folder)
                folder = UEFI_MOUNT_POINT;
        /* Without a way to reach variables libefivar would crash. */
        if (!efi_variables_supported() || statfs(folder, &fs) < 0 ||
            (!test_folder() && (unsigned int)fs.f_type != EFIVARFS_MAGIC))
                return UEFI_NOT_MOUNTED;
        return statvfs(folder, &vfs) == 0 && (vfs.f_flag & ST_RDONLY) ? UEFI_READ_ONLY : UEFI_USABLE;
}

void uefi_start(char *argv[])
{
        if (efi_variables_supported() || getenv("LIBEFIVAR_OPS") || test_folder() ||
            access("/sys/firmware/efi", F_OK) != 0)
                return;
        if (setenv("LIBEFIVAR_OPS", "efivarfs", 1) == 0)
                execv("/proc/self/exe", argv);
        unsetenv("LIBEFIVAR_OPS"); /* then there is no such store */
}

int uefi_mount(void)
{
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("efivarfs", UEFI_MOUNT_POINT, "efivarfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return -errno;
        return 0;
}

/* ---- what libefivar says ---- */

#define TOLD_MAX 8

/* Of the last call that failed: what comes after it, to put things in order, would make libefivar forget. */
static struct {
        struct {
                char *function, *message;
                int error;
        } lines[TOLD_MAX];
        unsigned int n;
        bool kept; /* until things are in order */
} told;

static void forget(void)
{
        for (; told.n > 0; told.n--) {
                free(told.lines[told.n - 1].function);
                free(told.lines[told.n - 1].message);
        }
}

static void note(void)
{
        char *file, *function, *message;
        int line, error;

        if (told.kept)
                return;
        forget();
        for (; told.n < TOLD_MAX && efi_error_get(told.n, &file, &function, &line, &message, &error) > 0; told.n++) {
                told.lines[told.n].function = strdup(function ? function : "");
                told.lines[told.n].message = strdup(message ? message : "");
                told.lines[told.n].error = error;
        }
}

void uefi_each_error(void (*tell)(const char *function, const char *message, int error))
{
        for (unsigned int i = 0; i < told.n; i++)
                if (told.lines[i].function && told.lines[i].message)
                        tell(told.lines[i].function, told.lines[i].message, told.lines[i].error);
        forget();
}

/* ---- one call of libefivar each ---- */

/* Before a call. */
static int begin(const struct uefi_variable *variable, efi_guid_t *guid)
{
        efi_error_clear();
        if (uefi_access() < UEFI_READ_ONLY)
                return -ENODEV;
        return efi_str_to_guid(variable->guid, guid) < 0 ? -EINVAL : 0;
}

static int error_of(int result)
{
        int r = result >= 0 ? 0 : errno > 0 ? -errno : -EIO;

        if (r < 0 && r != -ENOENT)
                note();
        return r;
}

ssize_t uefi_read(const struct uefi_variable *variable, void *buf, size_t size, uint32_t *attributes)
{
        efi_guid_t guid;
        uint8_t *data = NULL;
        size_t n = 0;
        uint32_t ignored;
        int r = begin(variable, &guid);

        if (r < 0)
                return r;
        errno = 0;
        r = error_of(efi_get_variable(guid, variable->name, &data, &n, attributes ? attributes : &ignored));
        if (r == 0 && n > size)
                r = -EFBIG;
        if (r == 0 && n > 0)
                memcpy(buf, data, n);
        free(data);
        return r == -ENOENT ? 0 : r < 0 ? r : (ssize_t)n;
}

static int set(const struct uefi_variable *variable, const void *bytes, size_t size, uint32_t attributes)
{
        efi_guid_t guid;
        int r = begin(variable, &guid);

        if (r < 0)
                return r;
        errno = 0;
        return error_of(efi_set_variable(guid, variable->name, (uint8_t *)(uintptr_t)bytes, size, attributes, MODE));
}

static int del(const struct uefi_variable *variable)
{
        efi_guid_t guid;
        int r = begin(variable, &guid);

        if (r < 0)
                return r;
        errno = 0;
        r = error_of(efi_del_variable(guid, variable->name));
        return r == -ENOENT ? 0 : r;
}

/* ---- writing ---- */

struct contents {
        uint8_t bytes[UEFI_VARIABLE_MAX];
        ssize_t size; /* 0: none; or a negative errno */
        uint32_t attributes;
};

static struct contents *load(const struct uefi_variable *variable)
{
        struct contents *c = malloc(sizeof(*c));

        if (c)
                c->size = uefi_read(variable, c->bytes, sizeof(c->bytes), &c->attributes);
        return c;
}

static bool holds(const struct contents *c, const void *bytes, ssize_t size, uint32_t attributes)
{
        return c && c->size == size &&
               (size == 0 || (c->attributes == attributes && memcmp(c->bytes, bytes, size) == 0));
}

static bool is_now(const struct uefi_variable *variable, const void *bytes, size_t size, uint32_t attributes)
{
        struct contents *now = load(variable);
        bool same = holds(now, bytes, (ssize_t)size, attributes);

        free(now);
        return same;
}

/* Firmware changes the attributes of no variable; and a plain folder does not cut a file that is overwritten. */
static int replace(const struct uefi_variable *variable, const struct contents *old, const void *bytes, size_t size)
{
        int r = 0;

        if (old->size == -EFBIG ||
            (old->size > 0 && ((size_t)old->size != size || old->attributes != EFIVAR_ATTRIBUTES)))
                r = del(variable);
        if (r == 0)
                r = set(variable, bytes, size, EFIVAR_ATTRIBUTES);
        return r;
}

/* After a write that failed, which may have left anything. */
static bool put_back(const struct uefi_variable *variable, const struct contents *old)
{
        if (old->size == -EFBIG)
                return false;
        if (old->size > 0 && is_now(variable, old->bytes, (size_t)old->size, old->attributes))
                return true;
        /* A file without contents stays behind where the kernel made it before the firmware refused. */
        del(variable);
        if (old->size > 0)
                set(variable, old->bytes, (size_t)old->size, old->attributes);
        return is_now(variable, old->bytes, (size_t)old->size, old->attributes);
}

int uefi_write(const struct uefi_variable *variable, const void *bytes, size_t size, bool *in_doubt)
{
        struct contents *old = load(variable);
        int r;

        *in_doubt = false;
        if (!old)
                return -ENOMEM;
        r = old->size < 0 && old->size != -EFBIG ? (int)old->size : 0;
        if (r == 0 && !holds(old, bytes, (ssize_t)size, EFIVAR_ATTRIBUTES)) {
                r = replace(variable, old, bytes, size);
                if (r == 0 && !is_now(variable, bytes, size, EFIVAR_ATTRIBUTES))
                        r = -ESTALE;
                told.kept = true;
                if (r < 0)
                        *in_doubt = !put_back(variable, old);
                told.kept = false;
        }
        free(old);
        return r;
}

int uefi_delete(const struct uefi_variable *variable)
{
        int r = del(variable);

        return r < 0 || is_now(variable, NULL, 0, 0) ? r : -ESTALE;
}

/* ---- room ---- */

int64_t uefi_room(void)
{
        const char *folder = test_folder();
        struct statfs fs;

        if (uefi_access() < UEFI_READ_ONLY || statfs(folder ? folder : UEFI_MOUNT_POINT, &fs) < 0 || fs.f_blocks == 0)
                return -1;
        return (int64_t)fs.f_bavail * fs.f_bsize;
}

int64_t uefi_space_for(const struct uefi_variable *variable, size_t size)
{
        return (int64_t)(HEADER_SIZE + 2 * (strlen(variable->name) + 1) + size);
}

/* ---- variables that the firmware and shim make ---- */

/* 1 or 0, or a negative errno. */
static int is_one(const struct uefi_variable *variable, uint32_t *attributes)
{
        uint8_t value;
        ssize_t n = uefi_read(variable, &value, 1, attributes);

        return n < 0 && n != -EFBIG ? (int)n : n == 1 && value == 1;
}

/* shim can be told to check nothing ("mokutil --disable-validation"); it then leaves a volatile variable. */
int uefi_secure_boot_state(void)
{
        static const struct uefi_variable secure_boot = { "SecureBoot", GLOBAL_GUID },
                                          setup_mode = { "SetupMode", GLOBAL_GUID },
                                          disabled = { "MokSBStateRT", SHIM_GUID };
        uint32_t attributes = 0;
        int r = is_one(&secure_boot, NULL), setup, off;

        if (r <= 0)
                return r;
        setup = is_one(&setup_mode, NULL);
        off = is_one(&disabled, &attributes);
        if (setup > 0 || (off > 0 && !(attributes & EFI_VARIABLE_NON_VOLATILE)))
                return 0;
        return setup < 0 ? setup : off < 0 ? off : 1;
}

bool uefi_secure_boot(void)
{
        int r = uefi_secure_boot_state();

        return r > 0;
}

static const struct uefi_variable boot_current = { "BootCurrent", GLOBAL_GUID },
                                  boot_next = { "BootNext", GLOBAL_GUID }, boot_order = { "BootOrder", GLOBAL_GUID };

static int read_number(const struct uefi_variable *variable, uint16_t *number)
{
        uint8_t bytes[2];
        ssize_t n = uefi_read(variable, bytes, sizeof(bytes), NULL);

        if (n != 2)
                return n == 0 ? -ENOENT : n == 1 || n == -EFBIG ? -EBADMSG : (int)n;
        *number = (uint16_t)(bytes[0] | bytes[1] << 8);
        return 0;
}

int uefi_boot_current(uint16_t *number)
{
        return read_number(&boot_current, number);
}

int uefi_boot_next(uint16_t *number)
{
        return read_number(&boot_next, number);
}

int uefi_set_boot_next(uint16_t number, bool *in_doubt)
{
        const uint8_t bytes[] = { (uint8_t)number, (uint8_t)(number >> 8) };

        return uefi_write(&boot_next, bytes, sizeof(bytes), in_doubt);
}

int uefi_delete_boot_next(void)
{
        return uefi_delete(&boot_next);
}

ssize_t uefi_boot_order(uint16_t *numbers, size_t max)
{
        uint8_t bytes[2 * UEFI_BOOT_ORDER_MAX];
        ssize_t n = uefi_read(&boot_order, bytes, sizeof(bytes), NULL);

        if (n <= 0 || n % 2 != 0)
                return n == 0 ? -ENOENT : n > 0 || n == -EFBIG ? -EBADMSG : n;
        for (size_t i = 0; i < (size_t)n / 2 && i < max; i++)
                numbers[i] = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        return (size_t)n / 2 < max ? n / 2 : (ssize_t)max;
}

/* The Hard Drive node of a device path (UEFI specification, 10.3.5.1): type 4, subtype 1, a length of 42, the
 * partition's number (4 bytes), start and size (8 each), signature (16), the table's format, and what the signature is;
 * 0: nothing. */
enum {
        NODE_MEDIA = 4,
        NODE_HARD_DRIVE = 1,
        NODE_END = 0x7f,
        HARD_DRIVE_LEN = 42,
        SIGNATURE_AT = 24,
        SIGNATURE_TYPE_AT = 41
};

static void find_partition(const uint8_t *path, size_t n, struct uefi_boot_entry *entry)
{
        for (size_t at = 0, len; n - at >= 4 && path[at] != NODE_END; at += len) {
                const uint8_t *node = path + at;

                len = node[2] | (size_t)node[3] << 8;
                if (len < 4 || len > n - at)
                        return;
                if (node[0] != NODE_MEDIA || node[1] != NODE_HARD_DRIVE || len != HARD_DRIVE_LEN)
                        continue;
                entry->has_partition = node[SIGNATURE_TYPE_AT] != 0;
                memcpy(entry->partition_number, node + 4, sizeof(entry->partition_number));
                memcpy(entry->partition, node + SIGNATURE_AT, UEFI_PARTITION_ID_LEN);
                return;
        }
}

/* Attributes in 4 bytes, bit 0: active; the length of the device path in 2; the name in UTF-16, with a NUL; the device
 * path. */
int uefi_parse_boot_entry(const uint8_t *bytes, size_t n, struct uefi_boot_entry *entry)
{
        size_t len = 0, path_len;

        *entry = (struct uefi_boot_entry){ .active = false };
        if (n < 6)
                return -EBADMSG;
        entry->active = bytes[0] & 1;
        path_len = bytes[4] | (size_t)bytes[5] << 8;
        for (size_t at = 6; at + 1 < n; at += 2) {
                unsigned int c = bytes[at] | (unsigned int)bytes[at + 1] << 8;
                if (c == 0) {
                        if (path_len <= n - at - 2)
                                find_partition(bytes + at + 2, path_len, entry);
                        return 0;
                }
                if (len < UEFI_NAME_MAX - 1)
                        entry->name[len++] = (char)(c < ' ' || c > '~' ? '?' : c);
        }
        return -EBADMSG;
}

int uefi_boot_entry(uint16_t number, struct uefi_boot_entry *entry)
{
        char variable_name[] = "Boot0000";
        const struct uefi_variable variable = { variable_name, GLOBAL_GUID };
        uint8_t bytes[4096];
        ssize_t n;

        snprintf(variable_name, sizeof(variable_name), "Boot%04X", number);
        n = uefi_read(&variable, bytes, sizeof(bytes), NULL);
        if (n <= 0)
                return n == 0 ? -ENOENT : n == -EFBIG ? -EBADMSG : (int)n;
        return uefi_parse_boot_entry(bytes, (size_t)n, entry);
}
