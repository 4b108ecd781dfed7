/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "child.h"
#include "say.h"
#include "setup-hooks.h"
#include "util.h"
#include "waiting.h"

#define DONE_FOLDER "/run/hibctl/setup.done" /* one empty file for each hook that was run */
#define ARGUMENTS_MAX 32
#define INSIDE "HIBCTL_SETUP_HOOK" /* in the environment of each hook */

/* ---- one hook ---- */

/* The words for NAME in the plan, split in place: a line "NAME WORD...". */
static void find_arguments(const struct plan *plan, const char *name, char line[PLAN_PATH_MAX + 1], char *argv[])
{
        size_t len = strlen(name);
        char *rest = line;
        int n = 1;

        for (unsigned int i = 0; plan && i < plan->n_hooks; i++)
                if (strncmp(plan->hooks[i], name, len) == 0 && plan->hooks[i][len] == ' ') {
                        strcpy(line, plan->hooks[i] + len + 1);
                        for (char *word; n < ARGUMENTS_MAX && (word = strsep(&rest, " "));)
                                argv[n++] = word;
                        break;
                }
        argv[n] = NULL;
}

/* The child, in a group of its own, so that all of it can be ended. */
static _Noreturn void become(const char *path, char *argv[])
{
        static char path_variable[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        static char inside[] = INSIDE "=1";
        char *environment[] = { path_variable, inside, NULL };

        setpgid(0, 0);
        child_become(path, argv, environment);
}

static int64_t milliseconds_left(int64_t deadline)
{
        int64_t left = (deadline - clock_now()) / 1000000;

        return left < 0 ? 0 : left > 1000000000 ? 1000000000 : left;
}

/* Its wait status, or a negative errno; -ETIMEDOUT: it was ended. */
static int wait_for(pid_t child, int64_t deadline)
{
        int pidfd = pidfd_open(child, 0), status, r;
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        do
                r = pidfd < 0 ? 1 : poll(&p, 1, (int)milliseconds_left(deadline));
        while (r < 0 && errno == EINTR);
        if (pidfd >= 0)
                close(pidfd);
        if (r == 0)
                kill(-child, SIGKILL);
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return r == 0 ? -ETIMEDOUT : status;
}

static int run_hook(const char *path, const char *name, const struct plan *plan, int64_t deadline)
{
        char line[PLAN_PATH_MAX + 1], *argv[ARGUMENTS_MAX + 1];
        _cleanup_free_ char *copy = xstrdup(path);
        pid_t child;
        int r;

        argv[0] = copy;
        find_arguments(plan, name, line, argv);
        say_step(_("%s: running the setup hook"), path);
        child = fork();
        if (child < 0)
                return fail(_("%s: cannot start the setup hook: %m"), path);
        if (child == 0)
                become(path, argv);
        setpgid(child, child);
        r = wait_for(child, deadline);
        if (r == -ETIMEDOUT)
                return fail(_("%s: the setup hook took too long and was ended; mend it, or give it more time with "
                              "--timeout"),
                            path);
        if (r < 0)
                return fail(_("%s: cannot wait for the setup hook: %s"), path, strerror(-r));
        if (WIFSIGNALED(r))
                return fail(_("%s: the setup hook was killed by signal %d"), path, WTERMSIG(r));
        if (WEXITSTATUS(r) != 0)
                return fail(_("%s: the setup hook failed with status %d; what it said stands above"), path,
                            WEXITSTATUS(r));
        return EXIT_DONE;
}

/* ---- once ---- */

static bool is_done(const char *name)
{
        _cleanup_free_ char *stamp = xasprintf("%s/%s", DONE_FOLDER, name);

        return access(stamp, F_OK) == 0;
}

static int set_done(const char *name)
{
        _cleanup_free_ char *stamp = xasprintf("%s/%s", DONE_FOLDER, name);
        _cleanup_close_ int fd = -1;

        if ((mkdir("/run/hibctl", 0755) < 0 && errno != EEXIST) || (mkdir(DONE_FOLDER, 0755) < 0 && errno != EEXIST))
                return fail(_("%s: cannot make the folder: %m; mount a tmpfs on /run"), DONE_FOLDER);
        fd = open(stamp, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        return fd < 0 ? fail(_("%s: cannot remember that the setup hook was run: %m"), stamp) : EXIT_DONE;
}

/* ---- all ---- */

/* As run-parts has it: no backup files of editors and package managers. */
static int is_hook(const struct dirent *e)
{
        for (const char *c = e->d_name; *c; c++)
                if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
                        return 0;
        return 1;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name); /* whatever the locale */
}

static int consider(const char *folder, const char *name, const struct plan *plan, int64_t deadline)
{
        _cleanup_free_ char *path = xasprintf("%s/%s", folder, name);
        struct stat st;
        int r;

        if (stat(path, &st) < 0) /* a link that leads nowhere is nobody's hook */
                return errno == ENOENT ? EXIT_DONE : fail(_("%s: cannot look at the setup hook: %m"), path);
        if (!S_ISREG(st.st_mode) || is_done(name))
                return EXIT_DONE;
        if (!(st.st_mode & S_IXUSR))
                return fail(_("%s: the setup hook is not executable; chmod +x it, or remove it"), path);
        r = run_hook(path, name, plan, deadline);
        return r == EXIT_DONE ? set_done(name) : r;
}

int setup_hooks_run(const char *folder, const struct plan *plan, int64_t deadline)
{
        struct dirent **names;
        int n, r = EXIT_DONE;

        /* A hook looks for the device below its own: hooks that it started in turn would start it again. */
        if (getenv(INSIDE))
                return EXIT_DONE;
        n = scandir(folder, &names, is_hook, by_bytes);
        if (n < 0)
                return errno == ENOENT ? EXIT_DONE : fail(_("%s: cannot look for setup hooks: %m"), folder);
        for (int i = 0; i < n; i++) {
                if (r == EXIT_DONE)
                        r = consider(folder, names[i]->d_name, plan, deadline);
                free(names[i]);
        }
        free(names);
        return r;
}
