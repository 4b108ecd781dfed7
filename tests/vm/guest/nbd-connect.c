/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * nbd-connect [--again] HOST PORT NUMBER: connects the network block device /dev/nbdNUMBER with a server (default
 * export), and ends: the kernel does the rest, so there is no process that hibernation would freeze. --again: gives a
 * device whose connection is gone a new one; what was asked of it meanwhile waits for that.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_FOR_SERVER_S 120 /* before what is asked of a dead connection fails */
#define ASK_AGAIN_S 3         /* what was sent into one that died is sent again */

static void give_up(const char *what) {
        perror(what);
        exit(1);
}

/* ---- the server ---- */

static void get(int fd, void *data, size_t size) {
        if (recv(fd, data, size, MSG_WAITALL) != (ssize_t)size)
                give_up("no answer from the server");
}

/* Fixed newstyle negotiation; returns the device's size. */
static uint64_t negotiate(int fd, uint16_t *flags) {
        struct __attribute__((packed)) {
                char magic[8], options[8];
                uint16_t flags;
        } hello;
        const struct __attribute__((packed)) {
                uint32_t flags;
                char magic[8];
                uint32_t option, length;
        } choice = { htobe32(3), "IHAVEOPT", htobe32(1), 0 }; /* no padding; NBD_OPT_EXPORT_NAME */
        struct __attribute__((packed)) {
                uint64_t size;
                uint16_t flags;
        } device;

        get(fd, &hello, sizeof(hello));
        if (memcmp(hello.magic, "NBDMAGICIHAVEOPT", 16) != 0 || (be16toh(hello.flags) & 3) != 3)
                give_up("not a server of the newstyle protocol");
        if (write(fd, &choice, sizeof(choice)) != sizeof(choice))
                give_up("write");
        get(fd, &device, sizeof(device));
        *flags = be16toh(device.flags);
        return be64toh(device.size);
}

static int connect_to(const char *host, const char *port) {
        struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (inet_pton(AF_INET, host, &server.sin_addr) != 1 ||
            connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0)
                give_up(host);
        return fd;
}

/* ---- the kernel ---- */

struct message {
        struct nlmsghdr netlink;
        struct genlmsghdr generic;
        char attributes[2048];
};

static void begin(struct message *m, uint16_t family, uint8_t command) {
        memset(m, 0, sizeof(*m));
        m->netlink.nlmsg_type = family;
        m->netlink.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
        m->netlink.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
        m->generic.cmd = command;
        m->generic.version = 1;
}

static struct nlattr *add(struct message *m, uint16_t type, const void *data, size_t size) {
        struct nlattr *attribute = (struct nlattr *)((char *)m + NLMSG_ALIGN(m->netlink.nlmsg_len));

        attribute->nla_type = type;
        attribute->nla_len = (uint16_t)(NLA_HDRLEN + size);
        if (size > 0)
                memcpy((char *)attribute + NLA_HDRLEN, data, size);
        m->netlink.nlmsg_len = (uint32_t)((char *)attribute - (char *)m + NLA_ALIGN(NLA_HDRLEN + size));
        return attribute;
}

static void add_u64(struct message *m, uint16_t type, uint64_t value) {
        add(m, type, &value, sizeof(value));
}

static void add_socket(struct message *m, int fd) {
        struct nlattr *sockets = add(m, NBD_ATTR_SOCKETS | NLA_F_NESTED, NULL, 0);
        struct nlattr *item = add(m, NBD_SOCK_ITEM | NLA_F_NESTED, NULL, 0);
        uint32_t number = (uint32_t)fd;
        char *end;

        add(m, NBD_SOCK_FD, &number, sizeof(number));
        end = (char *)m + m->netlink.nlmsg_len;
        item->nla_len = (uint16_t)(end - (char *)item);
        sockets->nla_len = (uint16_t)(end - (char *)sockets);
}

/* Sends M and takes in its answer, up to the acknowledgement. ANSWER: what came before that. */
static void talk(int netlink, struct message *m, struct message *answer) {
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        char data[4096];

        if (sendto(netlink, m, m->netlink.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
                give_up("netlink");
        for (;;) {
                ssize_t left = recv(netlink, data, sizeof(data), 0);

                for (struct nlmsghdr *h = (void *)data; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
                        if (h->nlmsg_type == NLMSG_ERROR) {
                                int error = ((struct nlmsgerr *)NLMSG_DATA(h))->error;

                                if (error != 0)
                                        fprintf(stderr, "netlink: %s\n", strerror(-error));
                                if (error != 0)
                                        exit(1);
                                return;
                        } else if (answer && h->nlmsg_len <= sizeof(*answer))
                                memcpy(answer, h, h->nlmsg_len);
                if (left < 0)
                        give_up("netlink");
        }
}

static uint16_t find_family(int netlink) {
        struct message m, answer = { 0 };

        begin(&m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
        add(&m, CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME, sizeof(NBD_GENL_FAMILY_NAME));
        talk(netlink, &m, &answer);
        for (struct nlattr *a = (void *)answer.attributes; a->nla_len >= NLA_HDRLEN;
             a = (void *)((char *)a + NLA_ALIGN(a->nla_len)))
                if (a->nla_type == CTRL_ATTR_FAMILY_ID)
                        return *(uint16_t *)((char *)a + NLA_HDRLEN);
        fprintf(stderr, "the module nbd is not there\n");
        exit(1);
}

int main(int argc, char **argv) {
        int again = argc == 5 && !strcmp(argv[1], "--again");
        char **words = argv + 1 + again;
        struct message m;
        uint32_t number;
        uint16_t flags;
        uint64_t size;
        int server, netlink;

        if (argc != 4 + again) {
                fprintf(stderr, "usage: nbd-connect [--again] HOST PORT NUMBER\n");
                return 64;
        }
        number = (uint32_t)atoi(words[2]);
        server = connect_to(words[0], words[1]);
        size = negotiate(server, &flags);
        netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
        begin(&m, find_family(netlink), again ? NBD_CMD_RECONFIGURE : NBD_CMD_CONNECT);
        add(&m, NBD_ATTR_INDEX, &number, sizeof(number));
        if (!again) {
                add_u64(&m, NBD_ATTR_SIZE_BYTES, size);
                add_u64(&m, NBD_ATTR_BLOCK_SIZE_BYTES, 4096);
                add_u64(&m, NBD_ATTR_SERVER_FLAGS, flags);
                add_u64(&m, NBD_ATTR_DEAD_CONN_TIMEOUT, WAIT_FOR_SERVER_S);
                add_u64(&m, NBD_ATTR_TIMEOUT, ASK_AGAIN_S);
        }
        add_socket(&m, server);
        talk(netlink, &m, NULL);
        return 0;
}
