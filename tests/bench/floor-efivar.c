/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * floor-efivar FILE LETTER [unlock]: the least that can write a mark into an EFI variable: one write to its file in
 * efivarfs, which is one call of the firmware. "unlock" also takes away the protection that the kernel gives to every
 * variable that it does not know, once for as long as the file is there.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MARK_SIZE 400

static struct {
        uint32_t attributes;
        char contents[MARK_SIZE];
} variable = { .attributes = 7 };

int main(int argc, char *argv[])
{
        int fd = argc > 2 ? open(argv[1], O_WRONLY | O_CREAT, 0644) : -1, flags = 0;

        if (fd < 0)
                return 1;
        memset(variable.contents, argv[2][0], sizeof(variable.contents));
        if (write(fd, &variable, sizeof(variable)) != sizeof(variable))
                return 1;
        return argc > 3 && ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0;
}
