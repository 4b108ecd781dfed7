/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <string.h>

#include "arming.h"
#include "choice.h"
#include "say.h"
#include "store-efi.h"
#include "store-env.h"

void choice_free(struct choice *choice)
{
        for (size_t i = 0; i < choice->n; i++)
                free(choice->candidates[i].why);
        choice->n = 0;
}

/* ---- each store: NULL if it is usable, or why not; owned ---- */

static char *env_why_not(const struct reading *r)
{
        if (!r->place || r->status == SOURCE_UNREADABLE)
                return xstrdup(_("the environment block cannot be read"));
        if (!r->writable)
                return xasprintf(_("GRUB could not consume a mark there: %s"), r->why_not_writable);
        if (r->slot != SLOT_FOUND)
                return xstrdup(_("there is no usable slot for a mark; run 'hibctl setup' to reserve it"));
        return r->why_not_now ? xstrdup(r->why_not_now) : NULL;
}

static char *bits_why_not(const struct reading *r, const struct mark *mark, const struct grub_request *asked)
{
        const char *prefix = store_env_bootfs()->prefix;
        char *why = arming_why_no_bits(prefix, asked, mark);

        if (why)
                return why;
        /* Nobody has asked for them, so a GRUB that may have the module inside is not enough. */
        if (!arming_has_module(prefix))
                return xasprintf(_("GRUB's module, which would read them, is not in %s; run 'hibctl setup'"), prefix);
        if (!r->place)
                return xstrdup(_("the device is gone"));
        if (!r->writable)
                return xstrdup(r->why_not_writable);
        return r->why_not_now ? xstrdup(r->why_not_now) : NULL;
}

/* BITS: the boot bits, which GRUB looks at first. */
static char *efi_no(const struct reading *r, const struct reading *bits, const struct mark *mark)
{
        char *why = efi_why_no_mark(store_env_bootfs()->prefix);

        if (!why && arming_holds_other(r, mark))
                why = xstrdup(_("another hibernated session is marked there"));
        if (!why && bits->why_not_now && arming_comes_first(bits, mark))
                why = xstrdup(_("an older mark in the boot bits would come first, and cannot be cleared while the swap "
                                "area is in use"));
        return why;
}

static const char *why_usable(const struct store *store)
{
        if (store == &store_efi)
                return _("GRUB's module reads and deletes the variable, and no disk is touched");
        if (store == &store_bootbits)
                return _("the swap area is idle, and GRUB's module looks there");
        return store_env_bootfs()->mounted_here
                       ? _("GRUB can read and consume a mark there, and nobody has the boot filesystem mounted")
                       : _("GRUB can read and consume a mark there; the boot filesystem is mounted, so one sector of "
                           "it is overwritten in place, as GRUB itself does");
}

/* ---- all of them ---- */

static void rank(struct choice *choice, const struct settings *settings)
{
        static const struct store *const released[] = { &store_env, &store_efi, &store_bootbits };
        static const struct store *const held[] = { &store_efi, &store_bootbits, &store_env };
        const struct store *const *order = store_env_bootfs()->mounted_here ? released : held;

        if (settings->n_stores > 0)
                order = settings->stores;
        choice->n = settings->n_stores > 0 ? settings->n_stores : ELEMENTS(held);
        for (size_t i = 0; i < choice->n; i++)
                choice->candidates[i] = (struct candidate){ .store = order[i] };
}

static void look(const struct store *store, const struct mark *mark, struct reading *reading)
{
        struct whereabouts where = { .area = mark };

        store->open(&where, /* for_writing= */ false);
        store->read(reading);
        store->close();
}

void choice_make(struct choice *choice, const struct settings *settings, const struct mark *mark,
                 const struct reading *env, const struct grub_request *asked)
{
        _cleanup_reading_ struct reading bits = { 0 }, efi = { 0 };

        rank(choice, settings);
        look(&store_bootbits, mark, &bits);
        look(&store_efi, mark, &efi);
        for (size_t i = 0; i < choice->n; i++) {
                struct candidate *c = &choice->candidates[i];
                c->why = c->store == &store_env        ? env_why_not(env)
                         : c->store == &store_bootbits ? bits_why_not(&bits, mark, asked)
                                                       : efi_no(&efi, &bits, mark);
                c->usable = !c->why;
                c->is_odd = !c->usable && c->store == &store_efi && efi.place; /* there is UEFI */
                if (c->usable)
                        c->why = xstrdup(why_usable(c->store));
        }
}

/* ---- telling ---- */

void choice_explain(const struct choice *choice)
{
        for (size_t i = 0; i < choice->n; i++) {
                const struct candidate *c = &choice->candidates[i];
                if (c->usable)
                        say(_("store %s: yes: %s"), c->store->name, c->why);
                else
                        say(_("store %s: no: %s"), c->store->name, c->why);
        }
}

void choice_complain(const struct choice *choice)
{
        for (size_t i = 0; i < choice->n; i++) {
                const struct candidate *c = &choice->candidates[i];
                if (c->is_odd)
                        say_error(_("store %s: no: %s"), c->store->name, c->why);
                else if (!c->usable)
                        say_step(_("store %s: no: %s"), c->store->name, c->why);
        }
}

struct json_object *choice_json(const struct choice *choice)
{
        struct json_object *list = json_object_new_array();

        for (size_t i = 0; i < choice->n; i++) {
                const struct candidate *c = &choice->candidates[i];
                struct json_object *o = json_object_new_object();
                add_text(o, "store", c->store->name);
                json_object_object_add(o, "usable", json_object_new_boolean(c->usable));
                add_text(o, "why", c->why);
                json_object_array_add(list, o);
        }
        return list;
}
