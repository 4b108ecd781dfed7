/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * witness SOCKET: proves that a session is the same one. Reads a secret from standard input, keeps it only in its
 * memory, counts, and tells "SECRET COUNT" to whoever connects to SOCKET. Goes to the background when it listens.
 * witness --ask SOCKET: prints that answer; exit status 1 if nobody is there.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TICK_MS 20

static int open_socket(const char *path, struct sockaddr_un *address) {
        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(address->sun_path))
                return -1;
        strcpy(address->sun_path, path);
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int ask(const char *path) {
        struct sockaddr_un address;
        char answer[256];
        ssize_t n;
        int fd = open_socket(path, &address);

        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return 1;
        while ((n = read(fd, answer, sizeof(answer))) > 0)
                if (write(STDOUT_FILENO, answer, n) != n)
                        return 1;
        return n < 0;
}

static int keep(const char *path) {
        static char secret[128];
        struct sockaddr_un address;
        unsigned long count = 0;
        int listener = open_socket(path, &address);

        if (!fgets(secret, sizeof(secret), stdin))
                return 1;
        secret[strcspn(secret, "\n")] = '\0';
        if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 4) < 0)
                return 1;
        if (daemon(0, 0) < 0 || mlockall(MCL_CURRENT) < 0) /* a child does not inherit locks */
                return 1;
        for (;;) {
                struct pollfd ready = { .fd = listener, .events = POLLIN };

                if (poll(&ready, 1, TICK_MS) > 0) {
                        int fd = accept(listener, NULL, NULL);

                        if (fd >= 0) {
                                dprintf(fd, "%s %lu\n", secret, count);
                                close(fd);
                        }
                }
                count++;
        }
}

int main(int argc, char **argv) {
        if (argc == 3 && !strcmp(argv[1], "--ask"))
                return ask(argv[2]);
        if (argc == 2)
                return keep(argv[1]);
        fprintf(stderr, "usage: witness [--ask] SOCKET\n");
        return 64;
}
