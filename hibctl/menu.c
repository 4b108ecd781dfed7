/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <sys/wait.h>

#include "child.h"
#include "globals.h"
#include "menu.h"
#include "say.h"

const char *const menu_scripts[N_MENU_SCRIPTS] = { "06_hibctl", "30_hibctl", "30_os-prober_hibctl", "44_hibctl" };

#define PATH_VARIABLE "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* As each distribution calls it; Debian's takes no file name and knows itself. */
static const struct {
        const char *name;
        bool takes_output;
} makers[] = {
        { "update-grub", false },
        { "grub2-mkconfig", true },
        { "grub-mkconfig", true },
};

static const char *const folders[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

/* Words that are left to execve: no shell. The caller frees both, the second may be NULL. */
static bool find_maker(const char *prefix, char **path, char **output)
{
        *path = *output = NULL;
        if (globals.root[0])
                return false;
        for (size_t i = 0; i < ELEMENTS(makers); i++)
                for (size_t k = 0; k < ELEMENTS(folders); k++) {
                        *path = xasprintf("%s/%s", folders[k], makers[i].name);
                        if (access(*path, X_OK) == 0) {
                                *output = makers[i].takes_output ? xasprintf("%s/grub.cfg", prefix) : NULL;
                                return true;
                        }
                        free(*path);
                }
        *path = NULL;
        return false;
}

char *menu_command(const char *prefix)
{
        _cleanup_free_ char *path = NULL, *output = NULL;

        if (!find_maker(prefix, &path, &output))
                return NULL;
        return output ? xasprintf("%s -o %s", path, output) : xstrdup(path);
}

/* The child. */
static _Noreturn void become(char *path, char *output)
{
        static char path_variable[] = PATH_VARIABLE, dash_o[] = "-o";
        char *argv[] = { path, output ? dash_o : NULL, output, NULL };
        /* The menu is in that language, and what is printed. */
        static const char *const languages[] = { "LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES" };
        char *environment[ELEMENTS(languages) + 2] = { path_variable };
        size_t n = 1;

        for (size_t i = 0; i < ELEMENTS(languages); i++)
                if (getenv(languages[i]))
                        environment[n++] = xasprintf("%s=%s", languages[i], getenv(languages[i]));
        child_become(path, argv, environment);
}

int menu_make(const char *prefix)
{
        _cleanup_free_ char *path = NULL, *output = NULL;
        int status;
        pid_t child;

        if (!find_maker(prefix, &path, &output))
                return fail(_("%s: the command that makes grub.cfg anew is gone; install it again"), prefix);
        child = fork();
        if (child < 0)
                return fail(_("%s: cannot start it: %m; run it by hand"), path);
        if (child == 0)
                become(path, output);
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return fail(_("%s: cannot wait for it: %m; run it by hand"), path);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return fail(_("%s: it failed, so the menu may not be as wanted; mend what it says above, and run it "
                              "again"),
                            path);
        return EXIT_DONE;
}
