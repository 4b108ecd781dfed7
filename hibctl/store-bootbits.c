/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The bootbits store: an environment block in the first 1024 bytes of the image's own swap area, which the kernel
 * leaves alone ("bootbits" in union swap_header, linux/swap.h). No filesystem is touched. GRUB reads it with the
 * module, and with load_env in its block-list form.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "device.h"
#include "say.h"
#include "store.h"
#include "target.h"

#define SECTOR ENVBLK_SECTOR
#define BITS_SIZE ENVBLK_DEFAULT_SIZE

/* What is in the boot bits. */
enum content {
        CONTENT_BLANK,   /* nothing, or a first write that was cut short */
        CONTENT_OURS,    /* an environment block with a slot */
        CONTENT_FOREIGN, /* somebody else's: a boot sector, a label */
};

/* The store while it is open. */
static struct {
        const struct mark *area;
        char *device; /* NULL if there is none */
        uint64_t start;
        char bytes[BITS_SIZE];
        int error;    /* of finding the device or reading it */
        bool is_swap; /* of the page size that is expected; GRUB reads the block without asking for that */
        enum content content;
        enum slot_status slot;
        size_t slot_at;
        bool holds_signals;
} bits;

/* ---- reading ---- */

static bool all(const char *p, char c, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (p[i] != c)
                        return false;
        return true;
}

/* A new block is written from its end: as long as its first sector is missing, there is nothing. */
static bool is_blank(const char *bytes)
{
        return all(bytes, 0, SECTOR) && (all(bytes + SECTOR, 0, SECTOR) || all(bytes + SECTOR, '#', SECTOR));
}

static void classify(void)
{
        struct envblk block;

        bits.slot = SLOT_MISSING;
        if (is_blank(bits.bytes))
                bits.content = CONTENT_BLANK;
        else if (!envblk_open(&block, bits.bytes, BITS_SIZE) ||
                 (bits.slot = slot_find(&block, &bits.slot_at)) == SLOT_MISSING)
                bits.content = CONTENT_FOREIGN;
        else
                bits.content = CONTENT_OURS;
}

/* Where the device ends inside the first page, GRUB finds no area. */
static void load(void)
{
        uint32_t size = bits.area->page_size;
        _cleanup_free_ uint8_t *page = xmalloc(size);
        struct image_header header;

        bits.error = device_read(bits.device, bits.start, page, size);
        if (bits.error < 0)
                return;
        memcpy(bits.bytes, page, BITS_SIZE);
        bits.is_swap = image_probe_page(page, size, size, &header) != IMAGE_NONE;
        classify();
}

static int bits_open(const struct whereabouts *where, bool for_writing)
{
        bits.holds_signals = for_writing;
        if (for_writing)
                hold_signals();
        bits.area = where->area;
        bits.error = bits.area ? device_find(bits.area->image, &bits.device) : -ENODEV;
        if (bits.error < 0)
                return EXIT_DONE; /* read and write say it */
        bits.start = mark_image_start(bits.area);
        load();
        return EXIT_DONE;
}

/* Why GRUB could not consume a mark there, or why none can be written. */
static const char *why_not_writable(void)
{
        dev_t dev;
        unsigned int layers = device_number(bits.device, &dev) == 0 ? device_layers(dev) : 0;

        if (layers & LAYER_LVM)
                return _("GRUB cannot write to LVM");
        if (layers & LAYER_RAID)
                return _("GRUB cannot write to RAID");
        if (layers & LAYERS_UNSEEN)
                return _("GRUB cannot see an encrypted, mapped or network device");
        if (bits.error < 0)
                return _("the swap area cannot be read");
        if (!bits.is_swap)
                return _("there is no swap area of this page size");
        if (bits.content == CONTENT_FOREIGN)
                return _("they hold something that is not hibctl's, which is left alone; if nobody needs it, make the "
                         "swap area anew (mkswap)");
        if (bits.content == CONTENT_OURS && bits.slot != SLOT_FOUND)
                return _("the block in them is damaged; make the swap area anew (mkswap)");
        return NULL;
}

/* A mark that names another area than the one that it is in is a copy: nothing to go by. */
static enum source_status status_by_area(const struct mark *mark)
{
        int same = mark->empty ? 1 : target_compare_areas(mark, bits.area);

        if (same < 0)
                return SOURCE_UNREADABLE;
        return same && (mark->empty || mark->page_size == bits.area->page_size) ? SOURCE_VALID : SOURCE_DAMAGED;
}

static int bits_read(struct reading *out)
{
        struct envblk block = { bits.bytes, BITS_SIZE };
        size_t at;

        *out = (struct reading){ .status = SOURCE_ABSENT, .slot = SLOT_MISSING };
        if (!bits.device)
                return EXIT_DONE;
        out->place = xasprintf(_("%s, boot bits at byte %" PRIu64), bits.device, bits.start);
        const char *why = why_not_writable();
        out->writable = !why;
        if (device_is_in_use(bits.device))
                out->why_not_now = _("the swap area is in use, so nothing can be written there");
        out->why_not_writable = why ? xstrdup(why) : NULL;
        out->foreign = bits.error == 0 && !bits.is_swap;
        if (bits.error < 0) {
                out->status = bits.error == -ENODATA ? SOURCE_ABSENT : SOURCE_UNREADABLE;
                return EXIT_DONE;
        }
        if (bits.content != CONTENT_OURS)
                return EXIT_DONE;
        out->status = source_read_block(&block, &out->mark, &out->slot, &at);
        if (out->status == SOURCE_VALID)
                out->status = status_by_area(&out->mark);
        return EXIT_DONE;
}

/* ---- writing ---- */

static int check_writable(void)
{
        const char *why;

        if (!bits.area)
                return no_store(_("grub.cfg names no resume device, so GRUB would not look at boot bits; set "
                                  "GRUB_HIBCTL_RESUME in /etc/default/grub and run update-grub"));
        if (bits.error == -ENOTUNIQ)
                return refuse(_("%s: more than one device carries it; give the copy a new UUID (swaplabel -U)"),
                              bits.area->image);
        if (!bits.device)
                return no_store(_("%s: the device of the swap area is not there; attach it"), bits.area->image);
        why = why_not_writable();
        if (why)
                return no_store(_("%s: no mark in the boot bits at byte %" PRIu64 ": %s"), bits.device, bits.start,
                                why);
        return EXIT_DONE;
}

static int cannot_write(int error)
{
        if (error == -EBUSY)
                return refuse(
                        _("%s: the swap area or a filesystem on the device is in use, so nothing is written to its "
                          "boot bits; use another store, or swapoff it first"),
                        bits.device);
        return fail(_("%s: cannot write to the boot bits: %s"), bits.device, strerror(-error));
}

/* Writes the sectors in which WANTED differs from NOW and reads back. A block that was not there is written from its
 * end, and one that goes away from its start: it is there as long as its first sector is. */
static int overwrite(const char *now, const char *wanted)
{
        int order[] = { 1, 0 };
        char seen[BITS_SIZE];
        int r = 0;

        if (is_blank(wanted)) {
                order[0] = 0;
                order[1] = 1;
        }
        for (size_t i = 0; i < ELEMENTS(order) && r == 0; i++) {
                size_t at = (size_t)order[i] * SECTOR;
                if (memcmp(now + at, wanted + at, SECTOR) != 0)
                        r = device_write_sector(bits.device, bits.start + at, wanted + at, /* exclusive= */ true);
        }
        if (r == 0)
                r = device_read(bits.device, bits.start, seen, BITS_SIZE);
        if (r == 0 && memcmp(seen, wanted, BITS_SIZE) != 0)
                r = -EIO;
        return r;
}

/* After an error, which may have come before anything was written. */
static bool is_as_before(void)
{
        char seen[BITS_SIZE];

        return device_read(bits.device, bits.start, seen, BITS_SIZE) == 0 && memcmp(seen, bits.bytes, BITS_SIZE) == 0;
}

static int replace(const char *wanted)
{
        int r = overwrite(bits.bytes, wanted);

        if (r == 0) {
                load();
                return EXIT_DONE;
        }
        if (!is_as_before() && overwrite(wanted, bits.bytes) < 0)
                say_error(_("%s: the boot bits may have been changed: the old bytes could not be put back"),
                          bits.device);
        return cannot_write(r);
}

/* The block as it is to be, with TEXT in its slot. */
static void compose(char wanted[BITS_SIZE], const char text[MARK_WIDTH])
{
        struct envblk block = { wanted, BITS_SIZE };
        size_t at = bits.slot_at;

        if (bits.content == CONTENT_BLANK) {
                envblk_create(wanted, BITS_SIZE);
                slot_reserve(&block);
                slot_find(&block, &at);
        } else
                memcpy(wanted, bits.bytes, BITS_SIZE);
        memcpy(wanted + at, text, MARK_WIDTH);
}

static int bits_write(const char text[MARK_WIDTH])
{
        char wanted[BITS_SIZE];
        int r = check_writable();

        if (r != EXIT_DONE)
                return r;
        compose(wanted, text);
        return replace(wanted);
}

static int bits_reserve(void)
{
        char empty[MARK_WIDTH];

        if (bits.device && bits.error == 0 && bits.is_swap && bits.content == CONTENT_OURS && bits.slot == SLOT_FOUND)
                return EXIT_DONE;
        mark_format_empty(empty);
        return bits_write(empty);
}

static int bits_close(void)
{
        if (bits.holds_signals)
                release_signals();
        free(bits.device);
        memset(&bits, 0, sizeof(bits));
        return EXIT_DONE;
}

const struct store store_bootbits = {
        .name = "bootbits",
        .kind = SOURCE_BOOTBITS,
        .open = bits_open,
        .read = bits_read,
        .reserve = bits_reserve,
        .write = bits_write,
        .close = bits_close,
};
