/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <string.h>

#include "globals.h"
#include "hibernation.h"
#include "say.h"

#define LINE_MAX_SIZE 4096 /* bytes; the files are one short line */

/* The word in brackets of a line such as "none [integrity] confidentiality"; "" if there is none, or it is too long. */
static void selected_word(const char *file, char *word, size_t size)
{
        _cleanup_free_ char *path = in_root(file), *text = NULL;
        const char *begin, *end;

        word[0] = '\0';
        if (read_whole_file(path, LINE_MAX_SIZE, &text) < 0)
                return;
        begin = strchr(text, '[');
        end = begin ? strchr(begin, ']') : NULL;
        if (end && (size_t)(end - begin) <= size) {
                memcpy(word, begin + 1, (size_t)(end - begin) - 1);
                word[end - begin - 1] = '\0';
        }
}

/* Documentation/ABI/testing/sysfs-power: "disabled" stands where the method would, for whatever reason. */
void hibernation_look(struct hibernation *h)
{
        char method[24];

        selected_word("/sys/power/disk", method, sizeof(method));
        selected_word("/sys/kernel/security/lockdown", h->lockdown, sizeof(h->lockdown));
        h->access = !method[0]                        ? HIBERNATION_UNKNOWN
                    : strcmp(method, "disabled") == 0 ? HIBERNATION_OFF
                                                      : HIBERNATION_POSSIBLE;
}

static bool is_locked_down(const struct hibernation *h)
{
        return h->lockdown[0] && strcmp(h->lockdown, "none") != 0;
}

char *hibernation_why_not(const struct hibernation *h)
{
        if (h->access != HIBERNATION_OFF)
                return NULL;
        if (is_locked_down(h))
                return xasprintf(_("the running kernel is locked down (%s), as many are under Secure Boot"),
                                 h->lockdown);
        if (!h->lockdown[0])
                return xstrdup(_(
                        "the running kernel has it switched off: it is locked down, or was started with nohibernate"));
        return xstrdup(
                _("the running kernel has it switched off (nohibernate, or memory that may not be written out)"));
}

void hibernation_warn(void)
{
        struct hibernation h;
        _cleanup_free_ char *why = NULL;

        hibernation_look(&h);
        why = hibernation_why_not(&h);
        if (why)
                say(_("hibernating is not possible here: %s; a mark is of no use without an image"), why);
}
