/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * floor-pwrite FILE LETTER [freeze]: the least that can write a mark: one sector in place, and one flush. With "freeze"
 * also what a filesystem with a journal needs before a boot loader reads the file for certain.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static char sector[512] __attribute__((aligned(4096)));

int main(int argc, char *argv[])
{
        int fd = argc > 2 ? open(argv[1], O_WRONLY | O_DIRECT) : -1;

        if (fd < 0)
                return 1;
        memset(sector, argv[2][0], sizeof(sector));
        if (pwrite(fd, sector, sizeof(sector), 0) != sizeof(sector) || fdatasync(fd) < 0)
                return 1;
        return argc > 3 && (ioctl(fd, FIFREEZE, 0) < 0 || ioctl(fd, FITHAW, 0) < 0);
}
