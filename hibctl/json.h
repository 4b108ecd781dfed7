/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Results for programs.
 */
#ifndef HIBCTL_JSON_H
#define HIBCTL_JSON_H

#include <json-c/json.h>
#include <stddef.h>

#include "mark/mark.h"

/* Prints and releases OBJECT. Returns EXIT_DONE; a failure of standard output is found when the program ends. */
int print_json(struct json_object *object);

/* The text at S up to a NUL, at most LEN bytes. What is not UTF-8, and so cannot be in JSON, becomes U+FFFD: names,
 * values and paths are not ours, and may hold anything. The caller frees. */
char *utf8_text(const char *s, size_t len);

/* Adds a text, made UTF-8, to an object; NULL as null. */
void add_text(struct json_object *object, const char *key, const char *value);

/* Adds the fields of a mark that names an image, all but its state. */
void add_mark(struct json_object *object, const struct mark *mark);

#endif
