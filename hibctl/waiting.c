/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "device.h"
#include "say.h"
#include "waiting.h"

#define SECOND INT64_C(1000000000)
#define PAUSE (SECOND / 10)
#define SAY_AFTER SECOND
#define LOOK_AGAIN (2 * SECOND) /* a device that is there may get its contents later */

int64_t clock_now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_BOOTTIME, &t);
        return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

int parse_timeout(const char *text, int64_t *deadline)
{
        char *end;
        unsigned long seconds;

        *deadline = clock_now() + WAIT_DEFAULT_S * SECOND;
        if (!text)
                return EXIT_DONE;
        errno = 0;
        seconds = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno != 0 || seconds > WAIT_MAX_S)
                return usage_error(_("--timeout=%s: not a number of seconds up to %d"), text, WAIT_MAX_S);
        *deadline = clock_now() + (int64_t)seconds * SECOND;
        return EXIT_DONE;
}

static void pause_a_moment(void)
{
        struct timespec t = { 0, PAUSE };

        nanosleep(&t, NULL);
}

/* -ENODEV also for a path where no block device is. */
static int look(const char *tag, char **device)
{
        dev_t dev;
        int r = device_find(tag, device);

        if (r == 0 && device_number(*device, &dev) < 0) {
                free(*device);
                *device = NULL;
                r = -ENODEV;
        }
        return r;
}

/* What the kernel knows of devices, or NULL: as long as it is the same, there is little to look for. The caller
 * frees. */
static char *known_devices(void)
{
        char *text = NULL;

        return read_whole_file("/proc/partitions", 1024 * 1024, &text) < 0 ? NULL : text;
}

int wait_for_device(const char *tag, int64_t deadline, char **device)
{
        int64_t start = clock_now(), looked;
        bool said = false;
        int r;

        for (;;) {
                _cleanup_free_ char *before = known_devices();
                looked = clock_now();
                r = look(tag, device);
                if (r != -ENODEV)
                        break;
                for (bool again = false; !again && clock_now() < deadline;) {
                        if (!said && clock_now() - start > SAY_AFTER) {
                                say(_("waiting for %s, up to %d seconds more"), tag,
                                    (int)((deadline - clock_now()) / SECOND));
                                said = true;
                        }
                        pause_a_moment();
                        _cleanup_free_ char *now = known_devices();
                        again = clock_now() - looked > LOOK_AGAIN || !before || !now || strcmp(before, now) != 0;
                }
                if (clock_now() >= deadline)
                        break;
        }
        if (r == 0)
                return EXIT_DONE;
        if (r == -ENOTUNIQ)
                return refuse(_("%s: more than one device carries it, so which one is meant cannot be told; give the "
                                "copy another"),
                              tag);
        if (r == -ENODEV)
                return fail(_("%s: the device did not appear; is its driver loaded? 'blkid' lists what there is"), tag);
        return fail(_("%s: cannot look for it: %s"), tag, strerror(-r));
}
