/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "say.h"
#include "store.h"

#define LOCK_WAIT_S 10

void reading_free(struct reading *r)
{
        free(r->place);
        free(r->prefix);
        free(r->why_not_writable);
        r->place = r->prefix = r->why_not_writable = NULL;
}

int store_take(const struct store *store, const struct reading *reading)
{
        struct mark mark = reading->mark;
        char text[MARK_WIDTH];

        mark.state = MARK_TAKEN;
        if (store == &store_efi)
                mark_format_empty(text);
        else if (mark_format(&mark, text, NULL) != MARK_OK)
                return fail(_("%s: the mark cannot be written"), reading->place);
        return store->write(text);
}

static int lock_fd = -1;

static void on_alarm(int signal)
{
        (void)signal;
}

int take_lock(void)
{
        /* One for the machine, whatever --root says: two trees may hold the same boot filesystem. */
        static const char path[] = "/run/hibctl.lock";
        int r;

        lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (lock_fd < 0)
                return fail(_("%s: cannot open the lock file: %m; run it as root, with /run mounted"), path);
        if (flock(lock_fd, LOCK_EX | LOCK_NB) == 0)
                return EXIT_DONE;
        say_step(_("another hibctl is running; waiting for it"));
        sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL); /* no SA_RESTART: it ends the wait */
        alarm(LOCK_WAIT_S);
        r = flock(lock_fd, LOCK_EX);
        alarm(0);
        if (r == 0)
                return EXIT_DONE;
        return fail(_("%s: another hibctl has been running for %d seconds; wait for it or end it"), path, LOCK_WAIT_S);
}

void release_lock(void)
{
        close(lock_fd);
        lock_fd = -1;
}

static void set_signals(int how)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGQUIT);
        sigprocmask(how, &set, NULL);
}

/* How many have asked to hold them. */
static int holders;

void hold_signals(void)
{
        if (holders++ == 0)
                set_signals(SIG_BLOCK);
}

void release_signals(void)
{
        if (holders > 0 && --holders == 0)
                set_signals(SIG_UNBLOCK);
}
