/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "globals.h"
#include "util.h"

struct globals globals = { .root = "" };

char *in_root(const char *path)
{
        return xasprintf("%s%s", globals.root, path);
}

char *resolve(const char *path)
{
        size_t skip = strlen(globals.root);
        struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
        _cleanup_close_ int root = -1, fd = -1;
        _cleanup_free_ char *link = NULL;

        if (skip == 0 || strncmp(path, globals.root, skip) != 0 || path[skip] != '/')
                return realpath(path, NULL);
        root = open(globals.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return NULL;
        fd = (int)syscall(SYS_openat2, root, path + skip + 1, &how, sizeof(how));
        if (fd < 0)
                return NULL;
        link = xasprintf("/proc/self/fd/%d", fd);
        return realpath(link, NULL);
}
