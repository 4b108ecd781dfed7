/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <stdarg.h>
#include <string.h>

#include "findings.h"
#include "say.h"

void finding_free(struct finding *f)
{
        free(f->words);
        free(f->remedy);
        f->words = f->remedy = NULL;
}

void find(struct finding *f, enum level level, const char *remedy, const char *fmt, ...)
{
        char *words, *copy = remedy ? xstrdup(remedy) : NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&words, fmt, ap) < 0)
                words = xstrdup(""); /* ends the program: there is no memory */
        va_end(ap);
        finding_free(f); /* both may have been its own */
        *f = (struct finding){ level, words, copy };
}

/* Where the remedy begins: behind the last semicolon, also that of a Chinese or Japanese sentence. */
static const char *find_remedy(const char *said, const char **end)
{
        static const char *const separators[] = { "; ", "；" };
        const char *remedy = NULL;

        for (size_t i = 0; i < ELEMENTS(separators); i++)
                for (const char *at = said; (at = strstr(at, separators[i]));) {
                        *end = at;
                        remedy = at += strlen(separators[i]);
                }
        return remedy;
}

void find_said(struct finding *f, enum level level, const char *said)
{
        const char *end = said + strlen(said), *remedy = find_remedy(said, &end);

        /* In French a blank that does not break the line stands before a semicolon. */
        if (remedy && end - said > 2 && memcmp(end - 2, "\u00a0", 2) == 0)
                end -= 2;
        find(f, level, remedy, "%.*s", (int)(end - said), said);
}

bool is_root(void)
{
        return geteuid() == 0;
}

const char *how_to_see(void)
{
        return is_root() ? _("the kernel's log may say why (dmesg)") : _("run it as root");
}

void find_refused(struct finding *f, enum level level, const char *said)
{
        if (is_root())
                find_said(f, level, said);
        else
                find(f, LEVEL_UNKNOWN, _("run it as root"), "%s", said);
}

const char *level_name(enum level level)
{
        static const char *const names[] = {
                [LEVEL_OK] = "ok",           [LEVEL_NOTE] = "note",       [LEVEL_UNKNOWN] = "unknown",
                [LEVEL_WARNING] = "warning", [LEVEL_PROBLEM] = "problem",
        };

        return names[level];
}
