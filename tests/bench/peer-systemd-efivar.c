/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * peer-systemd-efivar FILE LETTER: makes the system calls that systemd (257) makes to set an EFI variable, as it does for
 * HibernateLocation, without the rest of systemd-sleep: look whether it has that value already; take away the kernel's
 * protection; write; touch the file, which efivarfs does not do by itself; protect it again. Nothing is read back. Like
 * the others here, it writes 400 bytes.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MARK_SIZE 400

struct variable {
        uint32_t attributes;
        char contents[MARK_SIZE + 1]; /* one more, to see if there is more */
};
#define VARIABLE_SIZE (sizeof(uint32_t) + MARK_SIZE)

static bool is_there(const char *path, const struct variable *wanted)
{
        int fd = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
        struct variable found;
        struct iovec parts[] = { { &found.attributes, sizeof(found.attributes) },
                                 { found.contents, sizeof(found.contents) } };
        struct stat st;
        bool same;

        if (fd < 0)
                return false;
        same = fstat(fd, &st) == 0 && readv(fd, parts, 2) == (ssize_t)VARIABLE_SIZE &&
               memcmp(&found, wanted, VARIABLE_SIZE) == 0;
        close(fd);
        return same;
}

/* Sets or clears the flag. Whether it was set: 0 or 1; -1 if it cannot be told. */
static int protect(int fd, bool wanted)
{
        unsigned int flags, was;

        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
                return -1;
        was = flags & FS_IMMUTABLE_FL;
        if (!was == !wanted)
                return was != 0;
        flags = wanted ? flags | FS_IMMUTABLE_FL : flags & ~(unsigned int)FS_IMMUTABLE_FL;
        return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -1 : was != 0;
}

static int unprotect(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW), was;
        struct stat st;

        if (fd < 0)
                return -1;
        was = fstat(fd, &st) == 0 ? protect(fd, false) : -1;
        close(fd);
        return was;
}

int main(int argc, char *argv[])
{
        struct variable variable = { .attributes = 7 };
        int was, fd;

        if (argc != 3)
                return 64;
        memset(variable.contents, argv[2][0], MARK_SIZE);
        if (is_there(argv[1], &variable))
                return 0;
        was = unprotect(argv[1]);
        fd = open(argv[1], O_WRONLY | O_CREAT | O_NOCTTY | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, &variable, VARIABLE_SIZE) != (ssize_t)VARIABLE_SIZE)
                return 1;
        futimens(fd, NULL);
        if (was >= 0)
                protect(fd, was);
        close(fd);
        return 0;
}
