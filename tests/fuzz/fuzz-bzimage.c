/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The build inside a kernel file.
 *
 * Input: flags (1 byte), lengths of a release and of a version (1 each), those, and the file. Flag 1: it is given the
 * magic; 2: what follows is put where its header (two bytes) says, else it is the file from its start.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "hibctl/bzimage.h"
#include "quiet.h"

#define FILE_MAX 70000

static size_t put_file(int fd, unsigned int flags, const uint8_t *data, size_t size)
{
        static uint8_t file[FILE_MAX];
        size_t len = size, at;

        if (flags & 2) {
                memset(file, 0, sizeof(file));
                if (size < 2)
                        return 0;
                at = data[0] | (size_t)data[1] << 8;
                memcpy(file + 0x20e, data, 2);
                memcpy(file + 0x200 + at, data + 2, size - 2);
                len = 0x200 + at + size - 2 > 0x210 ? 0x200 + at + size - 2 : 0x210;
        } else
                memcpy(file, data, size);
        if (flags & 1 && len >= 0x210)
                memcpy(file + 0x202, "HdrS", 4);
        REQUIRE(ftruncate(fd, 0) == 0 && pwrite(fd, file, len, 0) == (ssize_t)len);
        return len;
}

static void check_text(int fd, const char *text)
{
        char seen[BZIMAGE_TEXT_MAX] = "";
        uint8_t head[0x210];

        REQUIRE(pread(fd, head, sizeof(head), 0) == sizeof(head) && memcmp(head + 0x202, "HdrS", 4) == 0);
        ssize_t n = pread(fd, seen, sizeof(seen) - 1, 0x200 + (head[0x20e] | head[0x20f] << 8));
        REQUIRE(n > 0 && memcmp(seen, text, (size_t)n) == 0 && text[n] == '\0');
}

static void check_build(const char *text, const char *release, const char *version)
{
        size_t r = strlen(release), v = strlen(version), n = strlen(text);

        if (!bzimage_is_build(text, release, version))
                return;
        REQUIRE(n >= r + v + 2);
        REQUIRE(memcmp(text, release, r) == 0 && text[r] == ' ' && strcmp(text + n - v, version) == 0);
        REQUIRE(text[n - v - 1] == ' ' && text[n - v - 2] == ')');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static char path[40];
        static int fd = -1;
        char text[BZIMAGE_TEXT_MAX], release[256] = "", version[256] = "";

        if (fd < 0) {
                fd = memfd_create("kernel", MFD_CLOEXEC);
                REQUIRE(fd >= 0);
                snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        }
        if (size < 3 || (size_t)data[1] + data[2] > size - 3 || size > 4096)
                return 0;
        memcpy(release, data + 3, data[1]);
        memcpy(version, data + 3 + data[1], data[2]);
        size_t used = 3 + (size_t)data[1] + data[2];
        put_file(fd, data[0], data + used, size - used);
        memset(text, 'x', sizeof(text));
        if (bzimage_read_build(path, text) > 0) {
                check_text(fd, text);
                check_build(text, release, version);
        }
        return 0;
}
