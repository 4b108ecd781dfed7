/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Judges crash states of a disk: what GRUB reads from each, what the kernel makes of it, and what the filesystem's
 * checker says then. A program of its own because there are a hundred thousand of them.
 *
 *   judge BASE SCRATCH VERSIONS STATES [--grub FILE] [--kernel DEVICE FOLDER TYPE OPTIONS FILE] [--fsck PROGRAM
 * WORD...]
 *
 * BASE is the disk as it was before the writes, SCRATCH a file that is made to hold one state after the other. VERSIONS
 * has, one after the other, a sector's number (8 bytes) and its 512 bytes; STATES, for each state, a count (4 bytes)
 * and as many numbers of versions (4 bytes each): what differs from BASE. All in the machine's own byte order.
 *
 * FILE of --grub is in GRUB's notation: (loop0)/grub/grubenv. DEVICE is a loop device over SCRATCH; FILE is relative to
 * FOLDER. PROGRAM gets SCRATCH as its last argument.
 *
 * Prints for each state "state GRUB MOUNT LINUX FSCK": numbers of contents, or negative: a file that is not found (-2)
 * or cannot be read (-1) by GRUB, an errno of mounting (0: it was mounted) and of reading; an exit status; "-" for what
 * was not asked. Before a content's first use comes "content NUMBER HEX". What the checker says when it first finds
 * something goes to standard error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECTOR 512
#define CHUNK 65536
#define CONTENT_MAX 65536
#define CONTENTS_MAX 65536
#define UNREADABLE (-1)
#define NOT_FOUND (-2)

extern char **environ;

static struct {
        uint64_t size;
        char *base;
        int scratch;
        const char *scratch_path;
} disk;

static const char *grub_file;
static const char *device, *folder, *type, *options, *file;
static char **fsck_words;

static _Noreturn void die(const char *what)
{
        fprintf(stderr, "judge: %s: %s\n", what, strerror(errno));
        exit(1);
}

/* ---- the disk ---- */

/* Only what is not a hole: an XFS of 320 MiB holds a few. */
static void read_base(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                die(path);
        disk.size = (uint64_t)st.st_size;
        disk.base = calloc(1, disk.size);
        if (!disk.base)
                die("memory");
        for (off_t at = 0; (at = lseek(fd, at, SEEK_DATA)) >= 0;) {
                off_t end = lseek(fd, at, SEEK_HOLE);
                while (at < end) {
                        ssize_t n = pread(fd, disk.base + at, (size_t)(end - at), at);
                        if (n <= 0)
                                die(path);
                        at += n;
                }
        }
        close(fd);
}

static void write_scratch(const void *bytes, size_t n, uint64_t at)
{
        if (pwrite(disk.scratch, bytes, n, (off_t)at) != (ssize_t)n)
                die(disk.scratch_path);
}

static void open_scratch(const char *path)
{
        disk.scratch_path = path;
        disk.scratch = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (disk.scratch < 0 || ftruncate(disk.scratch, (off_t)disk.size) < 0)
                die(path);
        for (uint64_t at = 0; at < disk.size; at += CHUNK) {
                static const char zeros[CHUNK];
                size_t n = disk.size - at < CHUNK ? (size_t)(disk.size - at) : CHUNK;
                if (memcmp(disk.base + at, zeros, n) != 0)
                        write_scratch(disk.base + at, n, at);
        }
}

/* Undoes what the state before, and the kernel that had it mounted, have changed. */
static void reset_scratch(void)
{
        static char seen[CHUNK];

        for (off_t at = 0; (at = lseek(disk.scratch, at, SEEK_DATA)) >= 0;) {
                off_t end = lseek(disk.scratch, at, SEEK_HOLE);
                while (at < end) {
                        size_t n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
                        if (pread(disk.scratch, seen, n, at) != (ssize_t)n)
                                die(disk.scratch_path);
                        if (memcmp(seen, disk.base + at, n) != 0)
                                write_scratch(disk.base + at, n, (uint64_t)at);
                        at += (off_t)n;
                }
        }
}

/* ---- contents ---- */

static struct {
        char *bytes;
        size_t size;
} contents[CONTENTS_MAX];
static int n_contents;

static int content_number(const char *bytes, size_t size)
{
        for (int i = 0; i < n_contents; i++)
                if (contents[i].size == size && memcmp(contents[i].bytes, bytes, size) == 0)
                        return i;
        if (n_contents == CONTENTS_MAX) {
                errno = E2BIG;
                die("contents");
        }
        contents[n_contents].bytes = malloc(size ? size : 1);
        if (!contents[n_contents].bytes)
                die("memory");
        memcpy(contents[n_contents].bytes, bytes, size);
        contents[n_contents].size = size;
        printf("content %d ", n_contents);
        for (size_t i = 0; i < size; i++)
                printf("%02x", (unsigned char)bytes[i]);
        printf("\n");
        return n_contents++;
}

/* ---- programs ---- */

struct said {
        char out[CONTENT_MAX], err[1024];
        size_t out_len, err_len;
        int status;
};

static void take(int fd, char *to, size_t *len, size_t max, bool *open_still)
{
        char rest[4096];
        bool room = *len < max;
        ssize_t n = read(fd, room ? to + *len : rest, room ? max - *len : sizeof(rest));

        if (n <= 0)
                *open_still = false;
        else if (room)
                *len += (size_t)n;
}

/* Runs a program to its end. SAID gets what it printed. Returns its exit status. */
static int run(char *const argv[], struct said *said)
{
        posix_spawn_file_actions_t actions;
        int out[2], err[2], status;
        pid_t child;

        if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
                die("pipe");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
        errno = posix_spawnp(&child, argv[0], &actions, NULL, argv, environ);
        if (errno)
                die(argv[0]);
        posix_spawn_file_actions_destroy(&actions);
        close(out[1]);
        close(err[1]);

        said->out_len = said->err_len = 0;
        bool out_open = true, err_open = true;
        while (out_open || err_open) {
                struct pollfd p[2] = { { out_open ? out[0] : -1, POLLIN, 0 }, { err_open ? err[0] : -1, POLLIN, 0 } };
                if (poll(p, 2, -1) < 0)
                        die("poll");
                if (p[0].revents)
                        take(out[0], said->out, &said->out_len, sizeof(said->out), &out_open);
                if (p[1].revents)
                        take(err[0], said->err, &said->err_len, sizeof(said->err), &err_open);
        }
        close(out[0]);
        close(err[0]);
        if (waitpid(child, &status, 0) != child)
                die("waitpid");
        said->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return said->status;
}

/* ---- the judges ---- */

#define NOT_ASKED INT_MIN

struct verdict {
        int grub, mount_error, kernel, fsck;
};

static int ask_grub(void)
{
        static struct said said;
        char *const argv[] = { "grub-fstest", (char *)disk.scratch_path, "cat", (char *)grub_file, NULL };

        if (!grub_file)
                return NOT_ASKED;
        if (run(argv, &said) == 0)
                return content_number(said.out, said.out_len);
        return memmem(said.err, said.err_len, "not found", 9) ? NOT_FOUND : UNREADABLE;
}

/* The number of what is in FILE, or a negative errno. */
static int read_in_kernel(void)
{
        static char bytes[CONTENT_MAX];
        char path[4096];
        ssize_t n;
        int fd, r;

        snprintf(path, sizeof(path), "%s/%s", folder, file);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, bytes, sizeof(bytes));
        r = n < 0 ? -errno : content_number(bytes, (size_t)n);
        close(fd);
        return r;
}

/* Programs that look for a filesystem open every device. While one has this one open, the kernel keeps what it has
 * read, of another state. */
static void forget_cache(void)
{
        int fd = open(device, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || ioctl(fd, BLKFLSBUF, 0) < 0)
                die(device);
        close(fd);
}

static void ask_kernel(struct verdict *v)
{
        v->mount_error = v->kernel = NOT_ASKED;
        if (!device)
                return;
        forget_cache();
        v->mount_error = mount(device, folder, type, 0, options) < 0 ? errno : 0;
        if (v->mount_error)
                return;
        v->kernel = read_in_kernel();
        for (int tries = 0; umount2(folder, 0) < 0; tries++) {
                if (errno != EBUSY || tries == 1000)
                        die(folder);
                usleep(10000);
        }
}

/* ---- states ---- */

struct version {
        uint64_t sector;
        char bytes[SECTOR];
};

static const void *map_file(const char *path, size_t *size)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        void *bytes;

        if (fd < 0 || fstat(fd, &st) < 0)
                die(path);
        *size = (size_t)st.st_size;
        bytes = *size ? mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
        if (bytes == MAP_FAILED)
                die(path);
        close(fd);
        return bytes;
}

static void print_number(int number)
{
        if (number == NOT_ASKED)
                printf(" -");
        else
                printf(" %d", number);
}

/* What it says the first time that it finds something goes to standard error. */
static int ask_fsck(void)
{
        static struct said said;
        static bool told;

        if (!fsck_words)
                return NOT_ASKED;
        if (run(fsck_words, &said) != 0 && !told) {
                told = true;
                fwrite(said.out, 1, said.out_len, stderr);
                fwrite(said.err, 1, said.err_len, stderr);
        }
        return said.status;
}

static void judge(struct verdict *v)
{
        v->grub = ask_grub();
        ask_kernel(v);
        v->fsck = ask_fsck();
        printf("state");
        print_number(v->grub);
        print_number(v->mount_error);
        print_number(v->kernel);
        print_number(v->fsck);
        printf("\n");
}

static void judge_all(const char *versions_path, const char *states_path)
{
        size_t versions_size, states_size;
        const struct version *versions = map_file(versions_path, &versions_size);
        const uint32_t *next = map_file(states_path, &states_size);
        const uint32_t *end = next + states_size / sizeof(*next);
        struct verdict v;

        while (next < end) {
                reset_scratch();
                for (uint32_t count = *next++; count > 0; count--, next++)
                        write_scratch(versions[*next].bytes, SECTOR, versions[*next].sector * SECTOR);
                judge(&v);
        }
}

/* ---- the command line ---- */

static char **take_fsck(char **argv, int count, char *scratch)
{
        char **words = calloc((size_t)count + 2, sizeof(*words));

        if (!words)
                die("memory");
        memcpy(words, argv, (size_t)count * sizeof(*words));
        words[count] = scratch;
        return words;
}

int main(int argc, char **argv)
{
        if (argc < 5) {
                fprintf(stderr, "usage: judge BASE SCRATCH VERSIONS STATES [--grub FILE]\n"
                                "       [--kernel DEVICE FOLDER TYPE OPTIONS FILE] [--fsck PROGRAM WORD...]\n");
                return 64;
        }
        for (int i = 5; i < argc; i++)
                if (strcmp(argv[i], "--grub") == 0 && i + 1 < argc)
                        grub_file = argv[++i];
                else if (strcmp(argv[i], "--kernel") == 0 && i + 5 < argc) {
                        device = argv[i + 1];
                        folder = argv[i + 2];
                        type = argv[i + 3];
                        options = argv[i + 4];
                        file = argv[i + 5];
                        i += 5;
                } else if (strcmp(argv[i], "--fsck") == 0) {
                        fsck_words = take_fsck(argv + i + 1, argc - i - 1, argv[2]);
                        break;
                }
        read_base(argv[1]);
        open_scratch(argv[2]);
        judge_all(argv[3], argv[4]);
        return fflush(stdout) == 0 ? 0 : 1;
}
