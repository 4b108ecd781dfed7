/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What every unit test includes: cmocka with the headers that it wants before it.
 */
#ifndef HIBCTL_TESTS_TESTING_H
#define HIBCTL_TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A literal with its length, so that it may hold NUL bytes. */
#define LIT(text) (text), sizeof(text) - 1

/* A failed row of a table, named. */
#define fail_row(...)                                                                                                  \
        do {                                                                                                           \
                print_error(__VA_ARGS__);                                                                              \
                print_error("\n");                                                                                     \
                fail();                                                                                                \
        } while (0)

#endif
