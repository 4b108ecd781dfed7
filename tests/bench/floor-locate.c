/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * floor-locate UUID: the least that can find a swap area or an ext2 filesystem by its UUID: one read from each block
 * device. It stops at the first one, so a copy would go unseen.
 *
 * floor-locate UUID FILE LETTER: the least that can write a mark and know that nobody else has that UUID: one read from
 * each, then one sector in place, and one flush.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SWAP_UUID 0x40c
#define EXT_UUID 0x468

static char sector[512] __attribute__((aligned(4096)));

static int parse(const char *text, unsigned char uuid[16])
{
        for (int i = 0; i < 16; i++, text += 2) {
                text += *text == '-';
                if (sscanf(text, "%2hhx", &uuid[i]) != 1)
                        return -1;
        }
        return 0;
}

static int write_mark(const char *path, char letter)
{
        int fd = open(path, O_WRONLY | O_DIRECT);

        memset(sector, letter, sizeof(sector));
        return fd < 0 || pwrite(fd, sector, sizeof(sector), 0) != sizeof(sector) || fdatasync(fd) < 0;
}

int main(int argc, char *argv[])
{
        unsigned char uuid[16], head[4096];
        char line[256], name[128], path[160];
        FILE *all = fopen("/proc/partitions", "re");

        if ((argc != 2 && argc != 4) || !all || parse(argv[1], uuid) < 0)
                return 1;
        while (fgets(line, sizeof(line), all)) {
                if (sscanf(line, "%*u %*u %*u %127s", name) != 1)
                        continue;
                snprintf(path, sizeof(path), "/dev/%s", name);
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                ssize_t n = pread(fd, head, sizeof(head), 0);
                close(fd);
                if (n != sizeof(head) || (memcmp(head + SWAP_UUID, uuid, 16) != 0 && memcmp(head + EXT_UUID, uuid, 16) != 0))
                        continue;
                puts(path);
                return 0;
        }
        return argc == 4 ? write_mark(argv[2], argv[3][0]) : 2;
}
