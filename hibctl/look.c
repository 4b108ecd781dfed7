/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <langinfo.h>
#include <string.h>
#include <wchar.h>

#include "look.h"
#include "say.h"

#define KEY_WIDTH 12 /* columns */

struct look how_to_look(void)
{
        const char *no_color = getenv("NO_COLOR");

        return (struct look){
                .colour = isatty(STDOUT_FILENO) && !(no_color && no_color[0]),
                .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        };
}

/* Columns that TEXT takes; its bytes if that cannot be told. */
static int width_of(const char *text)
{
        wchar_t wide[64];
        size_t n = mbstowcs(wide, text, ELEMENTS(wide));
        int width = n < ELEMENTS(wide) ? wcswidth(wide, n) : -1;

        return width >= 0 ? width : (int)strlen(text);
}

static bool section_begins;

void put_section(void)
{
        section_begins = true;
}

void put_row(const struct look *look, const char *key, enum sign sign, const char *value)
{
        static const struct {
                const char *plain, *utf8, *colour;
        } signs[] = {
                [SIGN_BAD] = { "!", "✗", "\033[31m" },     [SIGN_GOOD] = { "+", "✓", "\033[32m" },
                [SIGN_NONE] = { " ", " ", NULL },          [SIGN_DOUBTFUL] = { "~", "!", "\033[33m" },
                [SIGN_UNKNOWN] = { "?", "?", "\033[33m" },
        };
        const char *colour = look->colour ? signs[sign].colour : NULL;
        int room = KEY_WIDTH - width_of(key);

        if (section_begins)
                printf("\n");
        section_begins = false;
        printf("%*s%s  %s%s%s %s\n", room > 0 ? room : 0, "", key, colour ? colour : "",
               look->utf8 ? signs[sign].utf8 : signs[sign].plain, colour ? "\033[0m" : "", value);
}

void put_below(const struct look *look, const char *text)
{
        printf("%*s%s %s\n", KEY_WIDTH + 4, "", look->utf8 ? "→" : "->", text);
}

const char *slot_words(enum slot_status slot)
{
        static const char *const words[] = {
                [SLOT_FOUND] = N_("reserved"),
                [SLOT_MISSING] = N_("not reserved; run 'hibctl setup'"),
                [SLOT_DUPLICATE] = N_("there is more than one; run 'hibctl setup'"),
                [SLOT_WIDTH] = N_("of the wrong width; run 'hibctl setup'"),
                [SLOT_STRADDLES] = N_("shifted across two sectors; run 'hibctl setup'"),
                [SLOT_BROKEN] = N_("in a damaged block; look at it with 'hibctl env verify'"),
        };

        return _(words[slot]);
}
