/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * floor-mount DEVICE FOLDER TYPE FILE LETTER: the least that can write a mark on a filesystem that is not mounted:
 * mount, one sector in place, one flush, unmount.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static char sector[512] __attribute__((aligned(4096)));

int main(int argc, char *argv[])
{
        int fd;

        if (argc != 6 || mount(argv[1], argv[2], argv[3], 0, NULL) < 0)
                return 1;
        memset(sector, argv[5][0], sizeof(sector));
        fd = open(argv[4], O_WRONLY | O_DIRECT);
        if (fd < 0 || pwrite(fd, sector, sizeof(sector), 0) != sizeof(sector) || fdatasync(fd) < 0)
                return 1;
        close(fd);
        return umount(argv[2]) < 0;
}
