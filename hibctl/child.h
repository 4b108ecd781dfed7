/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Another program, run without a shell.
 */
#ifndef HIBCTL_CHILD_H
#define HIBCTL_CHILD_H

/* In the child, after fork(): becomes the program, with these words and this environment, no signals held and nothing
 * to read. What it prints is for people: standard output is for our result. Exit status 127 if it cannot be started. */
_Noreturn void child_become(const char *path, char *argv[], char *environment[]);

#endif
