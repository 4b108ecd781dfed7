/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The facts that the boot loader will find at the next power-on, collected from the running system, and what mark/
 * makes of them.
 */
#ifndef HIBCTL_SITUATION_H
#define HIBCTL_SITUATION_H

#include "grubcfg.h"
#include "store.h"
#include "systemd.h"
#include "target.h"

/* In the order in which the boot loader asks. The stores first. */
enum { AT_ENV, AT_BOOTBITS, AT_EFI, AT_SYSTEMD, AT_CONFIGURED, N_SOURCES };
#define N_STORES AT_SYSTEMD

extern const struct store *const stores[N_STORES];

struct situation {
        struct reading readings[N_STORES];
        struct systemd_claim systemd;     /* judged at AT_SYSTEMD */
        struct grub_request request;      /* what grub.cfg asks for; .device is judged at AT_CONFIGURED */
        enum image_state seen[N_SOURCES]; /* of the image, also where the boot loader cannot look */
        struct source sources[N_SOURCES];
        char *devices[N_SOURCES]; /* node of the image's device, or NULL; owned */
        struct judgement judgement;
        bool unseen[N_SOURCES]; /* a part of the source could not be seen */
        bool blind;             /* something that decides could not be seen: the judgement may be wrong */
        bool no_request;        /* grub.cfg is there and cannot be read: where GRUB looks for boot bits is not known */
        bool secure_boot;       /* GRUB loads no module, and looks at the environment block only, with a script */
        bool lacks_module;      /* the GRUB that starts this machine has none, and uses that script */
        bool has_module;        /* a GRUB for UEFI has its module in GRUB's folder */
};

/* Opens the stores, collects and judges. Problems with single parts are said and show in the result; EXIT_DONE unless
 * nothing could be seen at all. To be closed in any case. */
int situation_open(struct situation *s, bool for_writing);

/* Closes the stores; what was seen stays. To be freed after that. */
int situation_close(void);
void situation_free(struct situation *s);
#define _cleanup_situation_ _cleanup_(situation_free)

/* A mark that will do nothing: armed without an image, taken and done, or damaged beyond use in a whole slot. AT is
 * that of a store. */
bool situation_is_spent(const struct situation *s, size_t at);

/* What the source names is a session of this system, not of another one on this machine: its kernel runs, or there are
 * modules for it here, or it is where the running kernel resumes from. What cannot be looked at speaks for it. */
bool situation_is_own(const struct situation *s, size_t at);

/* A mark that was made since this system was started, and the image is not there yet: nothing is wrong with that. AT as
 * above. */
bool situation_awaits_image(const struct situation *s, size_t at);

/* systemd's variable names an image that is there, or may be there at the next power-on: what the boot loader knows of
 * a try must not be forgotten. */
bool situation_systemd_is_live(const struct situation *s);

/* What the source names, or NULL if it names no image. */
const struct mark *situation_mark(const struct situation *s, size_t at);

#endif
