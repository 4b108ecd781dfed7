/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The env store: a slot in GRUB's environment block.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "bootfs.h"
#include "envfile.h"
#include "say.h"
#include "store-env.h"

#define TRIES 3 /* when another tool changes the block at the same time */

/* The store while it is open. */
static struct {
        struct bootfs fs;
        bool attached, holds_signals;
} env;

static int slot_problem(const struct envfile *f, enum slot_status slot)
{
        switch (slot) {
        case SLOT_MISSING:
                return no_store(_("%s: there is no slot for a mark; run 'hibctl setup' to reserve it"), f->path);
        case SLOT_DUPLICATE:
                return no_store(_("%s: there is more than one '%s'; run 'hibctl setup' to put that in order"), f->path,
                                MARK_NAME);
        case SLOT_WIDTH:
                return no_store(_("%s: '%s' is not a slot of the right width; run 'hibctl setup' to reserve it again"),
                                f->path, MARK_NAME);
        case SLOT_STRADDLES:
                return no_store(_("%s: the slot has been shifted across two sectors, where a power cut could tear it; "
                                  "run 'hibctl setup' to put it back"),
                                f->path);
        case SLOT_BROKEN:
                return no_store(
                        _("%s: the block is damaged, so that GRUB could not change the mark ('hibctl env verify' "
                          "says where); make a new one with 'hibctl env create'"),
                        f->path);
        default:
                return EXIT_DONE;
        }
}

static int unsound(const struct envfile *f)
{
        return no_store(_("%s: not a GRUB environment block; make a new one with 'hibctl env create' and reserve the "
                          "slot with 'hibctl setup'"),
                        f->path);
}

/* ---- reading ---- */

static int env_read(struct reading *out)
{
        _cleanup_envfile_ struct envfile f = ENVFILE_INIT;
        const char *why;
        size_t at;
        int r;

        *out = (struct reading){ .status = SOURCE_UNREADABLE, .slot = SLOT_MISSING };
        if (!env.attached)
                return EXIT_FAILED; /* open has said why */
        why = bootfs_why_not_writable(&env.fs);
        out->place = xstrdup(env.fs.env_path);
        out->prefix = xstrdup(env.fs.prefix);
        out->writable = !why;
        out->why_not_writable = why ? xstrdup(why) : NULL;
        if (bootfs_is_read_only(&env.fs))
                out->why_not_now = _("the boot filesystem is mounted read-only; remount it read-write (mount -o "
                                     "remount,rw)");
        if (envfile_is_missing(env.fs.env_path)) {
                out->status = SOURCE_ABSENT;
                return EXIT_DONE;
        }
        r = envfile_open(&f, env.fs.env_path, /* for_writing= */ false);
        if (r == EXIT_DONE)
                out->status = f.sound ? source_read_block(&f.block, &out->mark, &out->slot, &at) : SOURCE_DAMAGED;
        return r;
}

/* ---- writing ---- */

/* -EAGAIN: the block changed under us; start again. */
static int write_once(const char text[MARK_WIDTH])
{
        _cleanup_envfile_ struct envfile f = ENVFILE_INIT;
        _cleanup_free_ char *new_block = NULL;
        enum slot_status slot;
        size_t at;
        int r = envfile_open(&f, env.fs.env_path, /* for_writing= */ true);

        if (r != EXIT_DONE)
                return r;
        if (!f.sound)
                return unsound(&f);
        slot = slot_find(&f.block, &at);
        if (slot != SLOT_FOUND)
                return slot_problem(&f, slot);

        new_block = xmalloc(f.block.size);
        memcpy(new_block, f.buf, f.block.size);
        memcpy(new_block + at, text, MARK_WIDTH);
        r = bootfs_overwrite(&env.fs, &f, new_block);
        return r == 0 || r == -EAGAIN ? r : envfile_explain(f.path, r);
}

static int env_write(const char text[MARK_WIDTH])
{
        const char *why = bootfs_why_not_writable(&env.fs);
        int r = -EAGAIN;

        if (why)
                return no_store(_("%s: GRUB could not consume a mark there: %s (%s)"), env.fs.env_path, why,
                                env.fs.type);
        if (envfile_is_missing(env.fs.env_path))
                return no_store(_("%s: there is no environment block; run 'hibctl setup' to make it"), env.fs.env_path);
        for (int i = 0; i < TRIES && r == -EAGAIN; i++)
                r = write_once(text);
        if (r == -EAGAIN)
                return fail(_("%s: the block changes all the time; try again when the other program is done"),
                            env.fs.env_path);
        return r;
}

/* ---- reserving ---- */

int slot_cannot_reserve(const char *path, enum envblk_result result)
{
        if (result == ENVBLK_NO_ROOM)
                return refuse(_("%s: there is no room for a slot of %d bytes; remove variables that nobody needs "
                                "('hibctl env list', 'hibctl env unset')"),
                              path, MARK_WIDTH);
        return refuse(
                _("%s: the block is damaged, so nothing is added to it ('hibctl env verify' says where); make a new "
                  "one with 'hibctl env create'"),
                path);
}

int slot_plan_reserve(const struct envfile *f, char **wanted)
{
        struct envblk block = { xmalloc(f->block.size), f->block.size };
        enum envblk_result result;
        size_t at;

        *wanted = NULL;
        memcpy(block.buf, f->buf, block.size);
        if (slot_find(&f->block, &at) == SLOT_FOUND)
                result = ENVBLK_NOT_FOUND; /* nothing to do; a mark in it stays */
        else if ((result = slot_reserve(&block)) == ENVBLK_DONE && slot_find(&block, &at) != SLOT_FOUND)
                result = ENVBLK_BROKEN; /* damage elsewhere in the block hides it, or stands for it */
        if (result == ENVBLK_DONE) {
                *wanted = block.buf;
                return EXIT_DONE;
        }
        free(block.buf);
        return result == ENVBLK_NOT_FOUND ? EXIT_DONE : slot_cannot_reserve(f->path, result);
}

static int env_reserve(void)
{
        _cleanup_envfile_ struct envfile f = ENVFILE_INIT;
        _cleanup_free_ char *wanted = NULL;
        int r;

        if (envfile_is_missing(env.fs.env_path))
                return no_store(_("%s: there is no environment block; run 'hibctl setup' to make it"), env.fs.env_path);
        r = envfile_open(&f, env.fs.env_path, /* for_writing= */ true);
        if (r != EXIT_DONE)
                return r;
        if (!f.sound)
                return unsound(&f);
        r = slot_plan_reserve(&f, &wanted);
        if (r != EXIT_DONE || !wanted)
                return r;
        r = bootfs_overwrite(&env.fs, &f, wanted);
        return r == 0 ? EXIT_DONE : envfile_explain(f.path, r);
}

/* ---- the sequence: find, mount if need be; read or overwrite and prove; unmount, prove again ---- */

static int env_open(const struct whereabouts *where, bool for_writing)
{
        enum bootfs_mount how = !for_writing ? BOOTFS_READ : where->or_read ? BOOTFS_WRITE_OR_READ : BOOTFS_WRITE;
        int r;

        env.holds_signals = for_writing;
        if (for_writing)
                hold_signals();
        r = where->plan ? bootfs_attach_planned(&env.fs, where->plan, for_writing) : bootfs_attach(&env.fs, how);
        env.attached = r == EXIT_DONE;
        return r;
}

const struct bootfs *store_env_bootfs(void)
{
        return &env.fs;
}

static int env_close(void)
{
        int r = env.attached ? bootfs_detach(&env.fs) : EXIT_DONE;

        bootfs_release(&env.fs);
        env.attached = false;
        if (env.holds_signals)
                release_signals();
        env.holds_signals = false;
        return r;
}

const struct store store_env = {
        .name = "env",
        .kind = SOURCE_ENV,
        .open = env_open,
        .read = env_read,
        .reserve = env_reserve,
        .write = env_write,
        .close = env_close,
};
