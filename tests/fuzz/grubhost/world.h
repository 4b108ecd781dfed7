/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The machine that the GRUB module runs on in fuzz-module: disks, EFI variables and memory, all of them in memory, and
 * all of them able to fail. Below it there is nothing of ours: GRUB's own disk cache, partition maps, file layer,
 * environment, error stack, commands and save_env are compiled from GRUB's source (see run-fuzz).
 *
 * No header of GRUB is needed here, so that both sides can include it.
 *
 *   hd0     GPT: gpt1 a filesystem, gpt2 and gpt3 swap areas
 *   hd1     MBR: msdos1 a filesystem, msdos2 a swap area
 *   lvm/s   a volume that GRUB cannot write to: all of it a swap area
 *   fd0     a floppy disk: a swap area, which nobody must find
 *   hd2     another name for hd0
 */
#ifndef HIBCTL_TESTS_WORLD_H
#define HIBCTL_TESTS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_SECTOR 512
#define WORLD_SECTORS_MAX 536

enum { WORLD_HD0, WORLD_HD1, WORLD_LVM, WORLD_FD0, WORLD_HD2, WORLD_N_DISKS };

/* What writes to a disk; one kind for each grub_disk_dev_id that matters. */
enum { WORLD_EFIDISK, WORLD_BIOSDISK, WORLD_CRYPTODISK, WORLD_DISKFILTER, WORLD_LOOPBACK, WORLD_N_KINDS };

struct world_disk {
        const char *name;
        bool present;
        unsigned int kind;
        uint64_t sectors;   /* may be more than there are bytes for: those read as zeros */
        unsigned int bytes; /* index of the disk whose bytes these are */
};

extern struct world_disk world_disks[WORLD_N_DISKS];

/* Where something is on a disk, in sectors. */
struct world_place {
        unsigned int disk;
        uint64_t start, sectors;
        const char *name; /* GRUB's */
};

enum { WORLD_GPT2, WORLD_GPT3, WORLD_MSDOS2, WORLD_VOLUME, WORLD_FLOPPY, WORLD_FILE0, WORLD_FILE1, WORLD_N_AREAS };
enum { WORLD_FS0, WORLD_FS1, WORLD_N_FILESYSTEMS };

extern const struct world_place world_areas[WORLD_N_AREAS];
extern const struct world_place world_filesystems[WORLD_N_FILESYSTEMS];

/* The filesystem that both have, made for this: its first sector. What else there is has a fixed place. */
struct world_superblock {
        char magic[8];
        uint8_t driver; /* index in world_drivers */
        uint8_t layout; /* of the environment block: WORLD_SPARSE and so on */
        uint16_t files; /* a bit for each of world_files */
        uint32_t env_size;
        char uuid[40];
};
#define WORLD_MAGIC "hostfs1"
#define WORLD_ENV_AT 8     /* sectors from the start of the filesystem */
#define WORLD_MODINFO_AT 4 /* likewise */
#define WORLD_MODINFO_SIZE 100
enum { WORLD_FRAGMENTED = 1, WORLD_SPARSE = 2, WORLD_SHORT_READS = 4 };

#define WORLD_N_DRIVERS 3
#define WORLD_N_FILES 9
extern const char *const world_drivers[WORLD_N_DRIVERS];
extern const char *const world_files[WORLD_N_FILES];
enum { WORLD_GRUBENV, WORLD_MODINFO = WORLD_N_FILES - 1 };

/* The sector of the filesystem in which sector N of the environment block is. */
uint64_t world_env_sector(const struct world_superblock *sb, uint64_t n);

/* ---- EFI variables ---- */

enum { WORLD_VAR_MARK, WORLD_VAR_TRIED, WORLD_VAR_LOCATION, WORLD_N_VARS };
#define WORLD_VAR_MAX 4200

struct world_variable {
        const char *name;
        bool present;
        size_t len;
        uint8_t bytes[WORLD_VAR_MAX];
};

extern struct world_variable world_variables[WORLD_N_VARS];

/* ---- failing ---- */

enum world_failure {
        WORLD_FAIL_ALLOCATION,
        WORLD_FAIL_READ,
        WORLD_FAIL_WRITE,
        WORLD_LOSE_WRITE, /* says that it was written, and it was not */
        WORLD_FAIL_OPEN,
        WORLD_FAIL_GET_VARIABLE,
        WORLD_FAIL_SET_VARIABLE,
        WORLD_LOSE_SET_VARIABLE,
        WORLD_FAIL_LINUX,
        WORLD_FAIL_INITRD,
        WORLD_FAIL_BOOT,
        WORLD_N_FAILURES
};

/* The call after COUNT others fails; if ALWAYS, all after it too. */
void world_set_failure(enum world_failure kind, unsigned int count, bool always);
void world_clear_failures(void);
bool world_may_fail(void); /* since they were set, one was met */
bool world_fails(enum world_failure kind);

/* ---- disks ---- */

/* Every disk as it is when the machine is new: partitions, filesystems, empty swap areas; no variables. */
void world_reset(void);

/* What a tool, or the firmware, has put there. */
void world_put(unsigned int disk, uint64_t at, const void *bytes, size_t n);
void world_get(unsigned int disk, uint64_t at, void *bytes, size_t n);

/* Whether these bytes are as they were when the machine was new. */
bool world_is_fresh(unsigned int disk, uint64_t at, size_t n);

/* What a driver does. False if it fails. */
bool world_read(unsigned int disk, uint64_t sector, uint64_t n, void *to);
bool world_write(unsigned int disk, uint64_t sector, uint64_t n, const void *from);

/* Every sector that a driver wrote since the log was cleared. */
struct world_change {
        unsigned int disk;
        uint64_t sector;
        uint8_t before[WORLD_SECTOR], after[WORLD_SECTOR];
};
#define WORLD_CHANGES_MAX 64
extern struct world_change world_changes[WORLD_CHANGES_MAX];
extern size_t world_n_changes;

/* Every change of a variable. */
struct world_setting {
        unsigned int variable;
        size_t len;
        uint8_t bytes[16];
};
#define WORLD_SETTINGS_MAX 32
extern struct world_setting world_settings[WORLD_SETTINGS_MAX];
extern size_t world_n_settings;

void world_clear_log(void);

/* ---- GRUB's side, grub.c ---- */

/* What the module calls, by grub_command_execute: the target answers 0, or an error. */
int world_linux(int argc, char **argv);
int world_initrd(int argc, char **argv);
int world_boot(int argc, char **argv);

void host_start(void); /* once */
void host_load_module(void);
void host_unload_module(void);
void host_forget(void); /* the environment, the disk cache: as when GRUB starts */
void host_drop_cache(void);

/* Runs a command as a line of grub.cfg would. *GRUB_ERROR is grub_errno afterwards; the answer is the command's. -1 if
 * there is no such command. */
int host_run(const char *name, int argc, char **argv, int *grub_error);
bool host_error_stack_is_empty(void);

const char *host_env_get(const char *name);
void host_env_set(const char *name, const char *value);

/* Memory that the module has, or has made GRUB have, since the last call of host_forget; devices that are open. */
size_t host_allocations(void);
size_t host_open_disks(void);

#endif
