/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * nbd-file FILE DEVICE: makes FILE the content of the network block device DEVICE, with a server of its own at the
 * other end of a socket. Goes to the background when the device can be read.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void give_up(const char *what) {
        perror(what);
        exit(1);
}

static int transfer(int fd, void *data, size_t size, int out) {
        for (char *at = data; size > 0;) {
                ssize_t n = out ? write(fd, at, size) : read(fd, at, size);

                if (n <= 0)
                        return -1;
                at += n;
                size -= n;
        }
        return 0;
}

static void serve(int file, int sock) {
        struct nbd_request request;

        while (transfer(sock, &request, sizeof(request), 0) == 0) {
                struct nbd_reply reply = { .magic = htobe32(NBD_REPLY_MAGIC) };
                unsigned int command = be32toh(request.type) & 0xffff, size = be32toh(request.len);
                off_t from = be64toh(request.from);
                char *data = malloc(size + 1);

                memcpy(reply.handle, request.handle, sizeof(reply.handle));
                if (command == NBD_CMD_DISC)
                        exit(0);
                if (command == NBD_CMD_WRITE &&
                    (transfer(sock, data, size, 0) < 0 || pwrite(file, data, size, from) < 0))
                        reply.error = htobe32(5);
                if (command == NBD_CMD_READ && pread(file, data, size, from) != (ssize_t)size)
                        reply.error = htobe32(5);
                if (transfer(sock, &reply, sizeof(reply), 1) < 0 ||
                    (command == NBD_CMD_READ && !reply.error && transfer(sock, data, size, 1) < 0))
                        exit(1);
                free(data);
        }
        exit(0);
}

int main(int argc, char **argv) {
        int file = argc == 3 ? open(argv[1], O_RDWR) : -1, device = argc == 3 ? open(argv[2], O_RDWR) : -1, ends[2];
        struct stat st;

        if (file < 0 || device < 0 || fstat(file, &st) < 0)
                give_up("nbd-file FILE DEVICE");
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
                give_up("socketpair");
        if (ioctl(device, NBD_SET_BLKSIZE, 512UL) < 0 || ioctl(device, NBD_SET_SIZE_BLOCKS, st.st_size / 512) < 0 ||
            ioctl(device, NBD_SET_FLAGS, (unsigned long)NBD_FLAG_HAS_FLAGS) < 0 ||
            ioctl(device, NBD_SET_SOCK, ends[0]) < 0)
                give_up(argv[2]);
        if (fork() == 0) {
                close(ends[0]);
                setsid();
                serve(file, ends[1]);
        }
        close(ends[1]);
        if (fork() == 0) {
                setsid();
                exit(ioctl(device, NBD_DO_IT) < 0);
        }
        for (int tries = 0; tries < 100; tries++, usleep(50000)) {
                int again = open(argv[2], O_RDONLY | O_DIRECT);
                void *aligned = aligned_alloc(4096, 4096);

                if (again >= 0 && pread(again, aligned, 4096, 0) == 4096)
                        return 0;
                close(again);
                free(aligned);
        }
        give_up("no answer");
}
