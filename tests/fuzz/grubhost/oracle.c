/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "oracle.h"

#include <strings.h>

#include "fuzz/fuzz.h"
#include "mark/efivar-names.h"
#include "mark/image.h"
#include "mark/verdict.h"
#include "world.h"

/* ---- devices ---- */

struct device {
        unsigned int disk;
        uint64_t start, sectors;
        int gpt, msdos; /* number of the partition, from 1; 0: of no such table */
        const char *name;
};

#define DEVICES_MAX 12

static const struct device shapes[] = {
        { WORLD_HD0, 0, 536, 0, 0, "hd0" },        { WORLD_HD0, 8, 256, 1, 0, "hd0,gpt1" },
        { WORLD_HD0, 264, 136, 2, 0, "hd0,gpt2" }, { WORLD_HD0, 400, 136, 3, 0, "hd0,gpt3" },
        { WORLD_HD1, 0, 400, 0, 0, "hd1" },        { WORLD_HD1, 8, 256, 0, 1, "hd1,msdos1" },
        { WORLD_HD1, 264, 136, 0, 2, "hd1,msdos2" }, { WORLD_LVM, 0, 0, 0, 0, "lvm/s" },
        { WORLD_HD2, 0, 536, 0, 0, "hd2" },        { WORLD_HD2, 8, 256, 1, 0, "hd2,gpt1" },
        { WORLD_HD2, 264, 136, 2, 0, "hd2,gpt2" }, { WORLD_HD2, 400, 136, 3, 0, "hd2,gpt3" },
};

static size_t list_devices(struct device *list)
{
        size_t n = 0;

        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
                if (world_disks[shapes[i].disk].present) {
                        list[n] = shapes[i];
                        if (shapes[i].disk == WORLD_LVM)
                                list[n].sectors = world_disks[WORLD_LVM].sectors;
                        n++;
                }
        return n;
}

static void get(const struct device *d, uint64_t at, void *to, size_t n)
{
        world_get(d->disk, d->start * WORLD_SECTOR + at, to, n);
}

/* A whole disk's tables, but for what PARTUUIDs are made of, are as they were. */
static bool table_is_known(const struct device *d)
{
        if (world_disks[d->disk].sectors != d->sectors || !world_is_fresh(d->disk, 0, 0x1b8) ||
            !world_is_fresh(d->disk, 0x1bc, 2 * WORLD_SECTOR - 0x1bc))
                return false;
        for (uint64_t entry = 0; d->disk != WORLD_HD1 && entry < 4; entry++)
                if (!world_is_fresh(d->disk, 1024 + entry * 128, 16) || !world_is_fresh(d->disk, 1024 + entry * 128 + 32, 96))
                        return false;
        return true;
}

/* GRUB finds the partitions that "shapes" has, and no others, as inside one of them. */
static bool tables_are_known(void)
{
        struct device list[DEVICES_MAX];
        size_t n = list_devices(list);
        uint8_t start[2 * WORLD_SECTOR];

        for (size_t i = 0; i < n; i++) {
                bool whole = list[i].gpt == 0 && list[i].msdos == 0 && list[i].disk != WORLD_LVM;

                get(&list[i], 0, start, sizeof(start));
                if (whole ? !table_is_known(&list[i])
                          : memcmp(start + 510, "\x55\xaa", 2) == 0 || memcmp(start + WORLD_SECTOR, "EFI PART", 8) == 0)
                        return false;
        }
        return true;
}

/* ---- names ---- */

static bool is_swap(const struct device *d, const char *uuid)
{
        static uint8_t bytes[IMAGE_PAGE_MAX];
        size_t len = d->sectors < IMAGE_PAGE_MAX / WORLD_SECTOR ? d->sectors * WORLD_SECTOR : IMAGE_PAGE_MAX;
        struct image_header header;
        char text[37];

        if (len < IMAGE_PAGE_MIN)
                return false;
        get(d, 0, bytes, len);
        if (image_probe(bytes, len, &header) == IMAGE_NONE || !header.has_uuid)
                return false;
        image_format_uuid(header.uuid, text);
        return strcasecmp(text, uuid) == 0;
}

static bool get_superblock(const struct device *d, struct world_superblock *sb)
{
        if (d->sectors == 0)
                return false;
        get(d, 0, sb, sizeof(*sb));
        sb->uuid[sizeof(sb->uuid) - 1] = '\0';
        return memcmp(sb->magic, WORLD_MAGIC, sizeof(sb->magic)) == 0 && sb->driver < WORLD_N_DRIVERS;
}

static bool is_fs(const struct device *d, const char *uuid)
{
        struct world_superblock sb;

        return get_superblock(d, &sb) && sb.uuid[0] && strcasecmp(sb.uuid, uuid) == 0;
}

static bool is_partition(const struct device *d, const char *uuid)
{
        char text[48];
        uint8_t b[16];

        if (d->gpt) {
                world_get(d->disk, 1024 + (uint64_t)(d->gpt - 1) * 128 + 16, b, 16);
                snprintf(text, sizeof(text), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[3],
                         b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
        } else if (d->msdos) {
                world_get(d->disk, 0x1b8, b, 4);
                snprintf(text, sizeof(text), "%02x%02x%02x%02x-%02x", b[3], b[2], b[1], b[0], d->msdos);
        } else
                return false;
        return strcasecmp(text, uuid) == 0;
}

static bool same_place(const struct device *a, const struct device *b)
{
        return world_disks[a->disk].kind == world_disks[b->disk].kind &&
               world_disks[a->disk].bytes == world_disks[b->disk].bytes && a->start == b->start;
}

/* The number of places that match; the first one is *FOUND. */
static int count(bool (*matches)(const struct device *d, const char *uuid), const char *uuid, struct device *found)
{
        struct device list[DEVICES_MAX];
        size_t n = list_devices(list);
        int places = 0;

        for (size_t i = 0; i < n; i++)
                if (matches(&list[i], uuid) && (places == 0 || !same_place(found, &list[i])))
                        if (places++ == 0)
                                *found = list[i];
        return places;
}

static bool find_image(const char *tag, struct device *found)
{
        int places;

        if (strncmp(tag, "PARTUUID=", 9) == 0)
                return count(is_partition, tag + 9, found) == 1;
        if (strncmp(tag, "UUID=", 5) != 0)
                return false;
        places = count(is_swap, tag + 5, found);
        if (places == 0)
                places = count(is_fs, tag + 5, found);
        return places == 1;
}

/* The device in "(DEVICE)..."; false if there is none of this name. */
static bool named_device(const char *path, struct device *found)
{
        struct device list[DEVICES_MAX];
        size_t n = list_devices(list), len = path[0] == '(' ? strcspn(path + 1, ")") : 0;

        for (size_t i = 0; i < n; i++)
                if (strlen(list[i].name) == len && strncmp(list[i].name, path + 1, len) == 0) {
                        *found = list[i];
                        return true;
                }
        return false;
}

static bool find_fs(const char *uuid, struct device *found)
{
        const char *prefix = host_env_get("prefix");

        if (prefix && named_device(prefix, found) && is_fs(found, uuid))
                return true;
        return count(is_fs, uuid, found) == 1;
}

static bool has_file(const struct device *d, const char *path)
{
        struct world_superblock sb;

        if (!get_superblock(d, &sb))
                return false;
        for (int i = 0; i < WORLD_N_FILES; i++)
                if (sb.files >> i & 1 && strcmp(world_files[i], path) == 0)
                        return true;
        return false;
}

static bool is_plain(const struct device *d)
{
        return world_disks[d->disk].kind <= WORLD_CRYPTODISK;
}

/* ---- what the stores say ---- */

struct claim {
        struct source facts;
        struct mark mark;
};

struct config {
        const char *env;
        char own_env[300];
        bool has_device;
        struct mark device;
};

static bool same_area(const struct mark *a, const struct mark *b)
{
        struct device x, y;

        if (a->offset != b->offset || a->page_size != b->page_size)
                return false;
        return strcasecmp(a->image, b->image) == 0 ||
               (find_image(a->image, &x) && find_image(b->image, &y) && same_place(&x, &y));
}

static bool is_inside(const struct device *d, const struct mark *mark)
{
        uint64_t first = mark->offset * mark->page_size / WORLD_SECTOR, n = mark->page_size / WORLD_SECTOR;

        return first + n <= d->sectors;
}

static void take_facts(struct claim *c)
{
        if (c->facts.status != SOURCE_VALID)
                return;
        c->facts.state = c->mark.state;
        c->facts.empty = c->mark.empty;
        c->facts.verify = c->mark.verify;
}

static enum source_status read_slot(char *bytes, size_t size, struct claim *c)
{
        struct envblk block;
        enum slot_status slot;
        size_t at;

        if (!envblk_open(&block, bytes, size))
                return SOURCE_DAMAGED;
        c->facts.status = source_read_block(&block, &c->mark, &slot, &at);
        take_facts(c);
        return c->facts.status;
}

static void read_env(const struct config *config, struct claim *c)
{
        const char *path = config->env ? strchr(config->env, ')') : NULL;
        struct world_superblock sb;
        struct device d;
        char *bytes;

        if (!config->env)
                return;
        c->facts.status = SOURCE_UNREADABLE;
        if (!path || !named_device(config->env, &d) || !get_superblock(&d, &sb))
                return;
        c->facts.status = SOURCE_ABSENT;
        if (!has_file(&d, path + 1))
                return;
        c->facts.status = SOURCE_DAMAGED;
        if (sb.env_size == 0)
                return;
        c->facts.status = SOURCE_UNREADABLE;
        uint64_t last = (sb.env_size - 1) / WORLD_SECTOR;
        if (sb.env_size > 1024 * 1024 || world_env_sector(&sb, last) >= d.sectors)
                return;
        bytes = malloc(sb.env_size);
        REQUIRE(bytes);
        for (uint64_t i = 0; i <= last; i++) {
                size_t n = i < last ? WORLD_SECTOR : sb.env_size - last * WORLD_SECTOR;
                get(&d, world_env_sector(&sb, i) * WORLD_SECTOR, bytes + i * WORLD_SECTOR, n);
        }
        c->facts.status = read_slot(bytes, sb.env_size, c);
        c->facts.writable = is_plain(&d) && sb.driver < 2; /* ext2, fat; not btrfs */
        free(bytes);
}

static void read_bootbits(const struct config *config, struct claim *c)
{
        char bytes[1024];
        struct device d;

        if (!config->has_device || !find_image(config->device.image, &d) || !is_inside(&d, &config->device))
                return;
        get(&d, config->device.offset * config->device.page_size, bytes, sizeof(bytes));
        if (read_slot(bytes, sizeof(bytes), c) == SOURCE_DAMAGED && memcmp(bytes, ENVBLK_SIGNATURE, ENVBLK_SIGNATURE_LEN))
                c->facts.status = SOURCE_ABSENT;
        c->facts.writable = is_plain(&d);
        c->facts.verify = MARK_VERIFY_HEADER;
        if (c->facts.status == SOURCE_VALID && !c->facts.empty && !same_area(&c->mark, &config->device))
                c->facts.status = SOURCE_DAMAGED;
}

static void read_efi(struct claim *c)
{
        const struct world_variable *v = &world_variables[WORLD_VAR_MARK];

        c->facts.status = source_read_text(v->bytes, v->present ? v->len : 0, &c->mark);
        c->facts.writable = true;
        take_facts(c);
}

static void read_systemd(struct claim *c)
{
        const struct world_variable *v = &world_variables[WORLD_VAR_LOCATION];

        c->facts.status = source_read_location(v->bytes, v->present ? v->len : 0, &c->mark, NULL);
        c->facts.writable = true;
        take_facts(c);
}

/* ---- what is there ---- */

static enum image_state look_at_area(const struct mark *mark)
{
        static uint8_t page[IMAGE_PAGE_MAX];
        struct image_header header;
        struct device d;

        if (!find_image(mark->image, &d) || !is_inside(&d, mark))
                return IMAGE_NO_DEVICE;
        get(&d, mark->offset * mark->page_size, page, mark->page_size);
        switch (image_probe_page(page, mark->page_size, mark->page_size, &header)) {
        case IMAGE_SWSUSP:
                return IMAGE_PRESENT;
        case IMAGE_NONE:
        case IMAGE_SWAP:
                return IMAGE_GONE;
        default:
                return IMAGE_FOREIGN;
        }
}

static void look(struct claim *c)
{
        struct device d;
        bool found;

        if (c->facts.status != SOURCE_VALID || c->facts.empty)
                return;
        if (c->facts.verify == MARK_VERIFY_HEADER) {
                c->facts.image = look_at_area(&c->mark);
                if (c->facts.image != IMAGE_PRESENT)
                        return;
        }
        found = find_fs(c->mark.fs_uuid, &d);
        c->facts.kernel = found && has_file(&d, c->mark.kernel) ? FILE_PRESENT : FILE_MISSING;
        if (c->mark.initrd[0])
                c->facts.initrd = found && has_file(&d, c->mark.initrd) ? FILE_PRESENT : FILE_MISSING;
}

static enum file_state look_beside(void *data, const char *path)
{
        return data && has_file(data, path) ? FILE_PRESENT : FILE_MISSING;
}

static void look_for_systemd(const struct config *config, struct claim *c)
{
        const struct world_variable *location = &world_variables[WORLD_VAR_LOCATION];
        const struct world_variable *tried = &world_variables[WORLD_VAR_TRIED];
        char fingerprint[LOCATION_FINGERPRINT_LEN];
        uint8_t page[LOCATION_PAGE];
        struct device d, fs;
        bool found;

        if (c->facts.status != SOURCE_VALID)
                return;
        c->facts.image = look_at_area(&c->mark);
        if (c->facts.image != IMAGE_PRESENT || !find_image(c->mark.image, &d))
                return;
        get(&d, c->mark.offset * LOCATION_PAGE, page, sizeof(page));
        location_fingerprint(location->bytes, location->len, page, fingerprint);
        if (tried->present && tried->len == sizeof(fingerprint) &&
            memcmp(tried->bytes, fingerprint, sizeof(fingerprint)) == 0)
                c->facts.state = MARK_TAKEN;
        found = config->device.fs_uuid[0] && find_fs(config->device.fs_uuid, &fs);
        source_find_files(&c->mark, &config->device, look_beside, found ? &fs : NULL, &c->facts);
}

static void ask(enum source_kind kind, const struct config *config, struct claim *c)
{
        switch (kind) {
        case SOURCE_ENV:
                read_env(config, c);
                look(c);
                break;
        case SOURCE_BOOTBITS:
                read_bootbits(config, c);
                look(c);
                break;
        case SOURCE_EFI:
                read_efi(c);
                look(c);
                break;
        case SOURCE_SYSTEMD:
                read_systemd(c);
                look_for_systemd(config, c);
                break;
        case SOURCE_CONFIGURED:
                if (!config->has_device || !config->device.kernel[0])
                        return;
                c->facts.status = SOURCE_VALID;
                c->mark = config->device;
                look(c);
        }
}

static struct judgement judge(const struct config *config)
{
        struct claim claims[SOURCE_CONFIGURED + 1] = { 0 };
        struct source sources[SOURCE_CONFIGURED + 1] = { 0 };
        struct judgement j = { 0 };

        for (unsigned int i = 0; i <= SOURCE_CONFIGURED; i++)
                sources[i].kind = claims[i].facts.kind = (enum source_kind)i;
        for (unsigned int i = 0; i <= SOURCE_CONFIGURED && j.verdict == VERDICT_NORMAL; i++) {
                ask((enum source_kind)i, config, &claims[i]);
                sources[i] = claims[i].facts;
                verdict_judge(sources, SOURCE_CONFIGURED + 1, &j);
        }
        return j;
}

/* ---- the questions ---- */

static bool shown, tried;

/* False for words that stand for something else than what is modelled here: block lists, other names of a device. */
static bool read_options(int argc, char **argv, struct config *config)
{
        const char *prefix = host_env_get("prefix");
        struct device ignored;

        memset(config, 0, sizeof(*config));
        config->device.page_size = 4096;
        for (int i = 0; i + 1 < argc; i += 2) {
                const char *value = argv[i + 1];

                if (strcmp(argv[i], "--env") == 0)
                        config->env = value;
                else if (strcmp(argv[i], "--device") == 0) {
                        config->has_device = true;
                        snprintf(config->device.image, sizeof(config->device.image), "%s", value);
                } else if (strcmp(argv[i], "--offset") == 0)
                        config->device.offset = strtoull(value, NULL, 10);
                else if (strcmp(argv[i], "--page-size") == 0)
                        config->device.page_size = (uint32_t)strtoul(value, NULL, 10);
                else if (strcmp(argv[i], "--fs") == 0)
                        snprintf(config->device.fs_uuid, sizeof(config->device.fs_uuid), "%s", value);
                else if (strcmp(argv[i], "--kernel") == 0)
                        snprintf(config->device.kernel, sizeof(config->device.kernel), "%s", value);
                else if (strcmp(argv[i], "--initrd") == 0)
                        snprintf(config->device.initrd, sizeof(config->device.initrd), "%s", value);
        }
        if (!config->env && prefix) {
                snprintf(config->own_env, sizeof(config->own_env), "%s/grubenv", prefix);
                config->env = config->own_env;
        }
        if (config->env) {
                const char *path = strchr(config->env, ')');
                if (config->env[0] != '(' || !path || path[1] != '/' || !named_device(config->env, &ignored))
                        return false;
                /* of the files that are no environment block */
                for (int i = 0; i < WORLD_N_FILES; i++)
                        if (i != WORLD_GRUBENV && strcmp(path + 1, world_files[i]) == 0)
                                return false;
        }
        if (prefix && prefix[0] == '(' && !named_device(prefix, &ignored))
                return false;
        return (!config->device.kernel[0] || config->device.kernel[0] == '/') &&
               (!config->device.initrd[0] || config->device.initrd[0] == '/');
}

void oracle_forget(void)
{
        shown = tried = false;
}

void oracle_note_try(void)
{
        tried = true;
}

bool oracle_was_shown(void)
{
        return shown;
}

void oracle_check(bool accepted, int argc, char **argv, const char *verdict, const char *reason)
{
        struct config config;
        struct judgement j;

        shown = accepted;
        if (!accepted)
                REQUIRE(strcmp(verdict, "normal") == 0 || world_may_fail());
        if (!accepted || tried || world_may_fail() || !tables_are_known() || !read_options(argc, argv, &config))
                return;
        j = judge(&config);
        if (strcmp(verdict, verdict_name(j.verdict)) != 0 || strcmp(reason, verdict_reason_name(j.reason)) != 0) {
                fprintf(stderr, "the module says %s, %s; it should be %s, %s\n", verdict, reason, verdict_name(j.verdict),
                        verdict_reason_name(j.reason));
                REQUIRE(!"the verdict");
        }
}

bool oracle_image_is_at(const char *tag, uint64_t offset)
{
        char sig[IMAGE_SIG_LEN];
        struct device d;

        if (!tables_are_known())
                return true; /* nothing is known */
        if (!find_image(tag, &d))
                return false;
        for (uint64_t page = IMAGE_PAGE_MIN; page <= IMAGE_PAGE_MAX; page *= 2) {
                get(&d, (offset + 1) * page - sizeof(sig), sig, sizeof(sig));
                if ((offset + 1) * page <= d.sectors * WORLD_SECTOR && memcmp(sig, "S1SUSPEND", sizeof(sig)) == 0)
                        return true;
        }
        return false;
}

static bool is_hint(const char *text, size_t n, const char *tag)
{
        struct mark mark;

        return mark_parse(text, n, &mark, NULL) == MARK_OK && !mark.empty && mark.verify == MARK_VERIFY_HINT &&
               strcmp(mark.image, tag) == 0;
}

/* Only the environment blocks and the variable can have one: a mark in boot bits can be checked where it can be read.
 * After the variable was deleted, it is the module that remembers it: then the log has it, but not its text. */
bool oracle_has_hint(const char *tag)
{
        static char bytes[4096];
        bool deleted = tried;

        if (is_hint((const char *)world_variables[WORLD_VAR_MARK].bytes, MARK_WIDTH, tag))
                return true; /* the bytes stay when a variable is deleted */
        for (int i = 0; i < WORLD_N_FILESYSTEMS; i++) {
                const struct world_place *place = &world_filesystems[i];
                world_get(place->disk, (place->start + WORLD_ENV_AT) * WORLD_SECTOR, bytes, sizeof(bytes));
                for (size_t at = 0; at + MARK_WIDTH <= sizeof(bytes); at++)
                        if (memcmp(bytes + at, "hib1", 4) == 0 && is_hint(bytes + at, MARK_WIDTH, tag))
                                return true;
        }
        return deleted;
}

bool oracle_same_area(const char *a, const char *a_offset, const char *b, const char *b_offset)
{
        struct device x, y;

        if (strcmp(a_offset, b_offset) != 0)
                return false;
        if (strcasecmp(a, b) == 0)
                return true;
        return find_image(a, &x) && find_image(b, &y) && same_place(&x, &y);
}
