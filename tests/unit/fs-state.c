/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Says what the tool thinks of a device, for tests that have real filesystems. No test itself.
 *
 * fs-state DEVICE        the whole question: held, ambiguous, part of something, clean
 * fs-state TYPE IMAGE    the state of a filesystem of TYPE in a file
 *
 * Prints "STATE TYPE: reason". Exit status: 0 clean; 1 anything else.
 */
#include "config.h"

#include <string.h>

#include "hibctl/safety.h"
#include "hibctl/say.h"

static const char *const names[] = {
        [FS_UNKNOWN] = "unknown",
        [FS_CLEAN] = "clean",
        [FS_NEEDS_RECOVERY] = "needs-recovery",
        [FS_MARKED_MOUNTED] = "marked-mounted",
        [FS_IN_USE] = "in-use",
};

static int tell(const struct fs_report *report, const char *type)
{
        printf("%s %s: %s\n", names[report->state], type[0] ? type : "?", report->reason ? report->reason : "");
        return report->state == FS_CLEAN ? 0 : 1;
}

int main(int argc, char **argv)
{
        struct fs_report report;
        struct safety safety;

        if (argc == 2) {
                device_safety(argv[1], &safety);
                return tell(&safety.report, safety.tags.type);
        }
        if (argc != 3) {
                fprintf(stderr, "usage: fs-state DEVICE | fs-state TYPE IMAGE\n");
                return EXIT_USAGE;
        }
        report = fs_state(argv[2], argv[1]);
        return tell(&report, argv[1]);
}
