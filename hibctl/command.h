/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A command: one verb, one file, one table entry.
 */
#ifndef HIBCTL_COMMAND_H
#define HIBCTL_COMMAND_H

#include <getopt.h>

#include "say.h"

struct command {
        const char *name;
        const char *arguments;              /* what follows the name in the usage line */
        const char *summary;                /* one line, for translation */
        const char *options;                /* lines of help, for translation; NULL if it has none */
        bool takes_words;                   /* what follows the first word is not ours to look at */
        int (*run)(int argc, char *argv[]); /* argv[0] is the name; returns an exit status */
};

extern const struct command command_status, command_mark, command_cancel, command_settle, command_check, command_setup,
        command_prepare, command_locate, command_resume, command_env, command_sleep;

/* Prints the help of one command. */
void print_command_help(const struct command *command);

/* What getopt_long returned as '?' or ':' was said already; this names the remedy and returns EXIT_USAGE. */
int bad_option(const struct command *command);

/* For commands that change something. Says it and returns an exit status. */
int need_root(void);

#endif
