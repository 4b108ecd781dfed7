/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What GRUB's kernel has from firmware and from its memory manager, and drivers for the disks and filesystems of
 * world.h. Compiled with GRUB's headers. There is no script interpreter here: a module that called one would not link.
 */
#include <stdlib.h>
#include <string.h>

#include <config.h>
#include <grub/command.h>
#include <grub/device.h>
#include <grub/disk.h>
#include <grub/dl.h>
#include <grub/efi/efi.h>
#include <grub/env.h>
#include <grub/env_private.h>
#include <grub/err.h>
#include <grub/file.h>
#include <grub/fs.h>
#include <grub/loader.h>
#include <grub/misc.h>
#include <grub/mm.h>
#include <grub/partition.h>
#include <grub/term.h>

#include "fuzz/fuzz.h"
#include "mark/efivar-names.h"
#include "world.h"

/* ---- memory: what is still there, by its address ---- */

#define ALLOCATIONS 8192 /* a power of two */

/* Of what is made once; of the module, and of what it calls; of save_env, which forgets some of its own (2.06). */
enum owner { OWNER_START, OWNER_MODULE, OWNER_SAVE_ENV };

static struct allocation {
        void *at;
        enum owner owner;
} allocations[ALLOCATIONS];
static size_t n_modules;
static enum owner owner;

static size_t slot_of(const void *p)
{
        return ((uintptr_t)p >> 4) * 2654435761U % ALLOCATIONS;
}

/* No entry is ever taken out of a chain: "at" becomes a sign that others may be behind. */
static char gone;

static void remember(void *p)
{
        size_t i = slot_of(p), tried = 0;

        while (allocations[i].at && allocations[i].at != &gone) {
                i = (i + 1) % ALLOCATIONS;
                REQUIRE(++tried < ALLOCATIONS);
        }
        allocations[i] = (struct allocation){ p, owner };
        n_modules += owner == OWNER_MODULE;
}

static void forget(const void *p)
{
        size_t i = slot_of(p), tried = 0;

        while (allocations[i].at != p) {
                REQUIRE(allocations[i].at && ++tried < ALLOCATIONS);
                i = (i + 1) % ALLOCATIONS;
        }
        n_modules -= allocations[i].owner == OWNER_MODULE;
        allocations[i].at = &gone;
}

void *grub_malloc(grub_size_t size)
{
        void *p = size > 64U * 1024 * 1024 || world_fails(WORLD_FAIL_ALLOCATION) ? NULL : malloc(size ? size : 1);

        if (p)
                remember(p);
        else
                grub_error(GRUB_ERR_OUT_OF_MEMORY, "out of memory");
        return p;
}

void grub_free(void *p)
{
        if (!p)
                return;
        forget(p);
        free(p);
}

void *grub_zalloc(grub_size_t size)
{
        void *p = grub_malloc(size);

        return p ? memset(p, 0, size) : NULL;
}

void *grub_calloc(grub_size_t n, grub_size_t size)
{
        size_t total;

        if (__builtin_mul_overflow(n, size, &total)) {
                grub_error(GRUB_ERR_OUT_OF_RANGE, "overflow");
                return NULL;
        }
        return grub_zalloc(total);
}

void *grub_realloc(void *p, grub_size_t size)
{
        void *q;

        if (!p)
                return grub_malloc(size);
        q = world_fails(WORLD_FAIL_ALLOCATION) ? NULL : realloc(p, size ? size : 1);
        if (!q) {
                grub_error(GRUB_ERR_OUT_OF_MEMORY, "out of memory");
                return NULL;
        }
        forget(p);
        remember(q);
        return q;
}

size_t host_allocations(void)
{
        return n_modules;
}

/* Frees what save_env left behind, and makes the chains short again. */
static void tidy(void)
{
        static struct allocation kept[ALLOCATIONS];
        size_t n = 0;

        for (size_t i = 0; i < ALLOCATIONS; i++) {
                if (allocations[i].at && allocations[i].at != &gone && allocations[i].owner != OWNER_SAVE_ENV)
                        kept[n++] = allocations[i];
                else if (allocations[i].at && allocations[i].at != &gone)
                        free(allocations[i].at);
        }
        memset(allocations, 0, sizeof(allocations));
        n_modules = 0;
        for (size_t i = 0; i < n; i++) {
                owner = kept[i].owner;
                remember(kept[i].at);
        }
        owner = OWNER_MODULE;
}

/* GRUB's own, byte by byte, takes most of the time; and libc's cares about overlaps just as little. */
void *grub_memmove(void *to, const void *from, grub_size_t n)
{
        return memmove(to, from, n);
}

/* ---- the console, and what must never be called ---- */

static void put(const char *text)
{
        REQUIRE(text);
}

void (*grub_xputs)(const char *str) = put;

void grub_refresh(void)
{
}

int grub_getkey(void)
{
        abort();
}

void grub_exit(void)
{
        abort();
}

struct grub_term_input *grub_term_inputs;

int grub_is_lockdown(void)
{
        return 0;
}

grub_uint64_t grub_get_time_ms(void)
{
        return 0;
}

grub_dl_t grub_dl_load(const char *name)
{
        (void)name;
        abort();
}

grub_uint64_t grub_dl_ref(grub_dl_t mod)
{
        (void)mod;
        return 1;
}

grub_uint64_t grub_dl_unref(grub_dl_t mod)
{
        (void)mod;
        return 0;
}

void grub_loader_unset(void)
{
}

/* ---- disks ---- */

static size_t open_disks;

static unsigned int disk_index(const struct grub_disk *disk)
{
        return (unsigned int)(uintptr_t)disk->data;
}

static int iterate_kind(unsigned int kind, grub_disk_dev_iterate_hook_t hook, void *data, grub_disk_pull_t pull)
{
        if (pull != GRUB_DISK_PULL_NONE)
                return 0;
        for (unsigned int i = 0; i < WORLD_N_DISKS; i++)
                if (world_disks[i].present && world_disks[i].kind == kind && hook(world_disks[i].name, data))
                        return 1;
        return 0;
}

static grub_err_t open_kind(unsigned int kind, const char *name, struct grub_disk *disk)
{
        for (unsigned int i = 0; i < WORLD_N_DISKS; i++) {
                const struct world_disk *d = &world_disks[i];

                if (!d->present || d->kind != kind || strcmp(d->name, name) != 0)
                        continue;
                if (world_fails(WORLD_FAIL_OPEN))
                        return grub_error(GRUB_ERR_IO, "cannot open");
                disk->total_sectors = d->sectors;
                disk->id = d->bytes;
                disk->data = (void *)(uintptr_t)i;
                open_disks++;
                return GRUB_ERR_NONE;
        }
        return grub_error(GRUB_ERR_UNKNOWN_DEVICE, "no such disk");
}

static void close_disk(struct grub_disk *disk)
{
        (void)disk;
        REQUIRE(open_disks > 0);
        open_disks--;
}

static grub_err_t read_disk(struct grub_disk *disk, grub_disk_addr_t sector, grub_size_t size, char *buf)
{
        REQUIRE(sector < disk->total_sectors && size <= disk->total_sectors - sector);
        return world_read(disk_index(disk), sector, size, buf) ? GRUB_ERR_NONE : grub_error(GRUB_ERR_READ_ERROR, "read");
}

static grub_err_t write_disk(struct grub_disk *disk, grub_disk_addr_t sector, grub_size_t size, const char *buf)
{
        unsigned int i = disk_index(disk);

        REQUIRE(sector < disk->total_sectors && size <= disk->total_sectors - sector);
        if (world_disks[i].kind == WORLD_DISKFILTER)
                return grub_error(GRUB_ERR_NOT_IMPLEMENTED_YET, "diskfilter writes are not supported");
        return world_write(i, sector, size, buf) ? GRUB_ERR_NONE : grub_error(GRUB_ERR_WRITE_ERROR, "write");
}

#define DISK_DRIVER(number, id_)                                                                                       \
        static int iterate_##number(grub_disk_dev_iterate_hook_t hook, void *data, grub_disk_pull_t pull)              \
        {                                                                                                              \
                return iterate_kind(number, hook, data, pull);                                                         \
        }                                                                                                              \
        static grub_err_t open_##number(const char *name, struct grub_disk *disk)                                      \
        {                                                                                                              \
                return open_kind(number, name, disk);                                                                  \
        }                                                                                                              \
        static struct grub_disk_dev driver_##number = { .name = #number,                                               \
                                                        .id = (id_),                                                   \
                                                        .disk_iterate = iterate_##number,                              \
                                                        .disk_open = open_##number,                                    \
                                                        .disk_close = close_disk,                                      \
                                                        .disk_read = read_disk,                                        \
                                                        .disk_write = write_disk };

DISK_DRIVER(WORLD_EFIDISK, GRUB_DISK_DEVICE_EFIDISK_ID)
DISK_DRIVER(WORLD_BIOSDISK, GRUB_DISK_DEVICE_BIOSDISK_ID)
DISK_DRIVER(WORLD_CRYPTODISK, GRUB_DISK_DEVICE_CRYPTODISK_ID)
DISK_DRIVER(WORLD_DISKFILTER, GRUB_DISK_DEVICE_DISKFILTER_ID)
DISK_DRIVER(WORLD_LOOPBACK, GRUB_DISK_DEVICE_LOOPBACK_ID)

size_t host_open_disks(void)
{
        return open_disks;
}

/* ---- the filesystem ---- */

struct node {
        struct world_superblock sb;
        unsigned int file;
};

static grub_err_t mount(grub_device_t device, unsigned int driver, struct world_superblock *sb)
{
        if (!device->disk || grub_disk_read(device->disk, 0, 0, sizeof(*sb), sb))
                return grub_errno ? grub_errno : grub_error(GRUB_ERR_BAD_FS, "not a disk");
        if (memcmp(sb->magic, WORLD_MAGIC, sizeof(sb->magic)) != 0 || sb->driver != driver)
                return grub_error(GRUB_ERR_BAD_FS, "another filesystem");
        return GRUB_ERR_NONE;
}

static grub_err_t open_file(struct grub_file *file, const char *name, unsigned int driver)
{
        struct node *node = grub_zalloc(sizeof(*node));

        if (!node)
                return grub_errno;
        if (mount(file->device, driver, &node->sb))
                goto fail;
        for (node->file = 0; node->file < WORLD_N_FILES; node->file++)
                if (node->sb.files >> node->file & 1 && strcmp(world_files[node->file], name) == 0)
                        break;
        if (node->file == WORLD_N_FILES) {
                grub_error(GRUB_ERR_FILE_NOT_FOUND, "no such file");
                goto fail;
        }
        file->size = node->file == WORLD_GRUBENV   ? node->sb.env_size
                     : node->file == WORLD_MODINFO ? WORLD_MODINFO_SIZE
                                                   : 1;
        file->data = node;
        return GRUB_ERR_NONE;
fail:
        grub_free(node);
        return grub_errno;
}

static grub_ssize_t read_file(struct grub_file *file, char *buf, grub_size_t len)
{
        const struct node *node = file->data;
        grub_disk_t disk = file->device->disk;
        grub_size_t done = 0;

        if (node->sb.layout & WORLD_SHORT_READS && len > 100)
                len = 100;
        if (!(node->sb.layout & WORLD_SPARSE)) {
                disk->read_hook = file->read_hook;
                disk->read_hook_data = file->read_hook_data;
        }
        while (done < len) {
                grub_uint64_t at = file->offset + done, sector = at / WORLD_SECTOR;
                grub_size_t n = WORLD_SECTOR - at % WORLD_SECTOR;

                if (n > len - done)
                        n = len - done;
                sector = node->file == WORLD_GRUBENV ? world_env_sector(&node->sb, sector) : WORLD_MODINFO_AT + sector;
                if (grub_disk_read(disk, sector, at % WORLD_SECTOR, n, buf + done))
                        break;
                done += n;
        }
        disk->read_hook = NULL;
        return done < len ? -1 : (grub_ssize_t)done;
}

static grub_err_t close_file(struct grub_file *file)
{
        grub_free(file->data);
        return GRUB_ERR_NONE;
}

static grub_err_t get_uuid(grub_device_t device, char **uuid, unsigned int driver)
{
        struct world_superblock sb;

        *uuid = NULL;
        if (mount(device, driver, &sb))
                return grub_errno;
        sb.uuid[sizeof(sb.uuid) - 1] = '\0';
        if (sb.uuid[0])
                *uuid = grub_strdup(sb.uuid);
        return grub_errno;
}

#define FS_DRIVER(number)                                                                                              \
        static grub_err_t dir_##number(grub_device_t device, const char *path, grub_fs_dir_hook_t hook, void *data)    \
        {                                                                                                              \
                struct world_superblock sb;                                                                            \
                (void)path, (void)hook, (void)data;                                                                    \
                return mount(device, number, &sb);                                                                     \
        }                                                                                                              \
        static grub_err_t open_file_##number(struct grub_file *file, const char *name)                                 \
        {                                                                                                              \
                return open_file(file, name, number);                                                                  \
        }                                                                                                              \
        static grub_err_t uuid_##number(grub_device_t device, char **uuid)                                             \
        {                                                                                                              \
                return get_uuid(device, uuid, number);                                                                 \
        }                                                                                                              \
        static struct grub_fs fs_##number = { .fs_dir = dir_##number,                                                  \
                                              .fs_open = open_file_##number,                                           \
                                              .fs_read = read_file,                                                    \
                                              .fs_close = close_file,                                                  \
                                              .fs_uuid = uuid_##number };

FS_DRIVER(0)
FS_DRIVER(1)
FS_DRIVER(2)

/* ---- the firmware's variables, as GRUB 2.06 passes them on ---- */

static struct world_variable *find_variable(const char *name, const grub_efi_guid_t *guid)
{
        static const grub_efi_guid_t own = EFIVAR_GUID_NUMBERS, systemds = EFIVAR_SYSTEMD_GUID_NUMBERS;

        for (unsigned int i = 0; i < WORLD_N_VARS; i++)
                if (strcmp(world_variables[i].name, name) == 0 &&
                    memcmp(guid, i == WORLD_VAR_LOCATION ? &systemds : &own, sizeof(*guid)) == 0)
                        return &world_variables[i];
        REQUIRE(!"a variable that the module has nothing to do with");
        return NULL;
}

grub_efi_status_t grub_efi_get_variable(const char *name, const grub_efi_guid_t *guid, grub_size_t *size, void **data)
{
        const struct world_variable *v = find_variable(name, guid);

        *data = NULL;
        *size = 0;
        if (world_fails(WORLD_FAIL_GET_VARIABLE))
                return GRUB_EFI_DEVICE_ERROR;
        if (!v->present)
                return GRUB_EFI_NOT_FOUND;
        if (v->len == 0) /* to the question for the length, without a buffer */
                return GRUB_EFI_INVALID_PARAMETER;
        *data = grub_malloc(v->len);
        if (!*data)
                return GRUB_EFI_OUT_OF_RESOURCES;
        memcpy(*data, v->bytes, v->len);
        *size = v->len;
        return GRUB_EFI_SUCCESS;
}

grub_err_t grub_efi_set_variable(const char *name, const grub_efi_guid_t *guid, void *data, grub_size_t size)
{
        struct world_variable *v = find_variable(name, guid);
        struct world_setting *log = &world_settings[world_n_settings];

        if (world_fails(WORLD_FAIL_SET_VARIABLE) || (size == 0 && !v->present))
                return grub_error(GRUB_ERR_IO, "could not set EFI variable `%s'", name);
        REQUIRE(world_n_settings < WORLD_SETTINGS_MAX && size <= sizeof(log->bytes));
        log->variable = (unsigned int)(v - world_variables);
        log->len = size;
        if (size > 0)
                memcpy(log->bytes, data, size);
        world_n_settings++;
        if (world_fails(WORLD_LOSE_SET_VARIABLE))
                return GRUB_ERR_NONE;
        v->present = size > 0;
        v->len = size;
        if (size > 0)
                memcpy(v->bytes, data, size);
        return GRUB_ERR_NONE;
}

/* ---- starting ---- */

static grub_err_t answer(int failed, enum world_failure kind)
{
        if (failed || world_fails(kind))
                return grub_error(GRUB_ERR_BAD_OS, "not loaded");
        return GRUB_ERR_NONE;
}

static grub_err_t run_linux(struct grub_command *cmd, int argc, char **argv)
{
        (void)cmd;
        return answer(world_linux(argc, argv), WORLD_FAIL_LINUX);
}

static grub_err_t run_initrd(struct grub_command *cmd, int argc, char **argv)
{
        (void)cmd;
        return answer(world_initrd(argc, argv), WORLD_FAIL_INITRD);
}

/* It comes back only if nothing was started. */
static grub_err_t run_boot(struct grub_command *cmd, int argc, char **argv)
{
        (void)cmd;
        return answer(world_boot(argc, argv), WORLD_FAIL_BOOT);
}

static grub_command_func_t real_save_env;

static grub_err_t run_save_env(struct grub_command *cmd, int argc, char **argv)
{
        grub_err_t err;

        owner = OWNER_SAVE_ENV;
        err = real_save_env(cmd, argc, argv);
        owner = OWNER_MODULE;
        return err;
}

/* Each module's own GRUB_MOD_INIT, under the name that run-fuzz gives it. */
extern void init_gpt(grub_dl_t), init_msdos(grub_dl_t), init_loadenv(grub_dl_t), init_hibresume(grub_dl_t);
extern void fini_hibresume(grub_dl_t);

/* What the module remembers for as long as GRUB runs: GRUB never unloads it. */
extern void host_forget_try(void), host_forget_taken(void);

void host_start(void)
{
        static struct grub_disk_dev *const disks[] = { &driver_WORLD_EFIDISK, &driver_WORLD_BIOSDISK,
                                                       &driver_WORLD_CRYPTODISK, &driver_WORLD_DISKFILTER,
                                                       &driver_WORLD_LOOPBACK };
        static struct grub_fs *const filesystems[] = { &fs_0, &fs_1, &fs_2 };

        for (size_t i = 0; i < ARRAY_SIZE(disks); i++)
                grub_disk_dev_register(disks[i]);
        for (size_t i = 0; i < ARRAY_SIZE(filesystems); i++) {
                filesystems[i]->name = world_drivers[i];
                grub_fs_register(filesystems[i]);
        }
        init_msdos(NULL);
        init_gpt(NULL);
        init_loadenv(NULL);
        grub_register_command("linux", run_linux, NULL, NULL);
        grub_register_command("initrd", run_initrd, NULL, NULL);
        grub_register_command("boot", run_boot, NULL, NULL);
        grub_command_t save_env = grub_command_find("save_env");
        real_save_env = save_env->func;
        save_env->func = run_save_env;
        owner = OWNER_MODULE;
}

void host_load_module(void)
{
        host_forget_try();
        host_forget_taken();
        init_hibresume(NULL);
}

void host_unload_module(void)
{
        fini_hibresume(NULL);
}

void host_drop_cache(void)
{
        grub_disk_cache_invalidate_all();
}

void host_forget(void)
{
        struct grub_env_var *var;
        char *name;

        grub_disk_cache_invalidate_all();
        do {
                name = NULL;
                FOR_SORTED_ENV(var)
                {
                        if (!name)
                                name = strdup(var->name);
                }
                if (name)
                        grub_env_unset(name);
                free(name);
        } while (name);
        grub_errno = GRUB_ERR_NONE;
        tidy();
}

int host_run(const char *name, int argc, char **argv, int *grub_error_)
{
        grub_command_t command = grub_command_find(name);
        grub_err_t err;

        if (!command)
                return -1;
        err = command->func(command, argc, argv);
        *grub_error_ = (int)grub_errno;
        grub_errno = GRUB_ERR_NONE;
        return (int)err;
}

/* GRUB's error stack cannot be looked at, but an error that is on it comes back. */
bool host_error_stack_is_empty(void)
{
        return !grub_error_pop();
}

const char *host_env_get(const char *name)
{
        return grub_env_get(name);
}

void host_env_set(const char *name, const char *value)
{
        grub_env_set(name, value);
        grub_errno = GRUB_ERR_NONE;
}
