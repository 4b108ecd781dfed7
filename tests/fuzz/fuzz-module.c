/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The GRUB module's decisions: hibresume's own sources and GRUB's, on a machine that is all in memory (grubhost/).
 *
 * Input: records, one after the other: a kind (1 byte), a length (1), and so many bytes. They describe the machine, and
 * what is done on it, in this order; kinds and contents are at the functions in the table "records" below. Without a
 * command among them, "probe" and "resume" are run at the end.
 *
 * What must be true, whatever the machine holds and whatever fails:
 * - "probe" changes nothing, and says normal, offer or resume.
 * - Nothing is started but by "resume", and only if an image is where the kernel is told to look for it, or the mark
 *   said that it cannot be seen.
 * - What was to be started by itself is not started again by itself after a power cut: the mark was consumed before.
 * - On disks only the bytes of a mark's slot change (its state, or all of it into the empty mark), and those of an
 *   image's signature into the saved one; of variables, only our own.
 * - The words that a kernel is started with are those that were given, and fields of a mark; what grub.cfg is told, from
 *   whatever store, has no sign in it that GRUB's scripting language would take apart.
 * - grub_errno is what the command returns, the error stack is empty, nothing stays open, no memory is lost.
 * - As long as nothing failed: the verdict is the one that oracle.c comes to, without GRUB.
 */
#include "fuzz.h"
#include "grubhost/oracle.h"
#include "grubhost/world.h"
#include "mark/efivar-names.h"
#include "mark/image.h"
#include "mark/verdict.h"
#include "unit/refmark.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_WORDS 40

/* ---- what marks and options name ---- */

static const char *const images[] = {
        "UUID=11223344-5566-7788-99aa-bbccddeeff00", /* gpt2 */
        "UUID=11223344-5566-7788-99aa-bbccddeeff01", /* gpt3 */
        "UUID=11223344-5566-7788-99aa-bbccddeeff02", /* msdos2 */
        "UUID=11223344-5566-7788-99aa-bbccddeeff03", /* the volume */
        "UUID=11223344-5566-7788-99aa-bbccddeeff04", /* the floppy disk */
        "UUID=1234-ABCD",                            /* a file in gpt1 */
        "UUID=0a1b2c3d-1111-2222-3333-444455556666", /* a file in msdos1 */
        "PARTUUID=00112233-4455-6677-8899-aabbccddee02",
        "PARTUUID=00112233-4455-6677-8899-aabbccddee03",
        "PARTUUID=deadbeef-02",
        "UUID=99999999-8888-7777-6666-555555555555", /* nothing */
};
static const char *const fs_uuids[] = { "1234-ABCD", "0a1b2c3d-1111-2222-3333-444455556666", "nowhere" };
static const char *const kernels[] = { "/boot/vmlinuz-6.1.0", "/boot/kernel-6.1.0-56-amd64", "/boot/gone" };
static const char *const initrds[] = { "/boot/initrd.img-6.1.0", "", "/boot/initramfs-6.1.0-56-amd64.img" };
static const char *const offsets[] = { "0", "16", "1", "17592186044415" };
static const char *const page_sizes[] = { "4096", "16384", "65536", "8192" };
static const char *const prefixes[] = { "(hd0,gpt1)/boot/grub", "(hd1,msdos1)/boot/grub", "(lvm/s)/boot/grub",
                                        "/boot/grub" };

#define PICK(array, n) ((array)[(n) % N_OF(array)])

/* ---- the command at hand ---- */

static struct {
        char *words[MAX_WORDS]; /* of probe, owned */
        int n;
} options;

static struct {
        bool by_itself, may_start; /* what was shown before it */
        bool started;              /* linux was called ... */
        bool loaded, booted;       /* ... and so on, successfully */
        char image[64], offset[32];
        char **given;
        int n_given;
} now;

static unsigned int commands; /* that were run for this input */
static bool running;

/* ---- records about the machine ---- */

static uint8_t at(const uint8_t *p, size_t n, size_t i)
{
        return i < n ? p[i] : 0;
}

/* Disk, sector, byte in it (2 bytes), and what is put there. */
static void record_patch(const uint8_t *p, size_t n)
{
        if (n > 4)
                world_put(p[0] % WORLD_N_DISKS, (uint64_t)(p[1] | (p[3] & 2) << 7) * WORLD_SECTOR + (p[2] | (p[3] & 1) << 8),
                          p + 4, n - 4);
}

/* An image, or none, in an area: area, kind, size of its page, page of the area that it is in, UUID's last byte. */
static void record_image(const uint8_t *p, size_t n)
{
        static const char signatures[][IMAGE_SIG_LEN + 1] = { "S1SUSPEND", "SWAPSPACE2", "ULSUSPEND", "LINHIB0001",
                                                              "SWAP-SPACE", "" };
        const struct world_place *area = &PICK(world_areas, at(p, n, 0));
        uint64_t page = 4096U << at(p, n, 2) % 5;
        uint64_t start = area->start * WORLD_SECTOR + at(p, n, 3) % 4 * page;
        char tail[2 * IMAGE_SIG_LEN] = "SWAPSPACE2";
        uint8_t last = at(p, n, 4);
        const char *kind = PICK(signatures, at(p, n, 1));

        if (at(p, n, 1) & 0x80)
                memset(tail, 0, IMAGE_SIG_LEN);
        memcpy(tail + IMAGE_SIG_LEN, kind, IMAGE_SIG_LEN);
        world_put(area->disk, start + page - sizeof(tail), tail, sizeof(tail));
        if (n > 4)
                world_put(area->disk, start + 1036 + 15, &last, 1);
}

static void put_block(unsigned int fs, const char *block, size_t size)
{
        const struct world_place *place = &world_filesystems[fs];
        struct world_superblock sb;

        world_get(place->disk, place->start * WORLD_SECTOR, &sb, sizeof(sb));
        for (size_t i = 0; i < size; i += WORLD_SECTOR)
                world_put(place->disk, (place->start + world_env_sector(&sb, i / WORLD_SECTOR)) * WORLD_SECTOR, block + i,
                          size - i < WORLD_SECTOR ? size - i : WORLD_SECTOR);
}

static void put_variable(unsigned int which, const void *bytes, size_t n)
{
        world_variables[which].present = true;
        world_variables[which].len = n < WORLD_VAR_MAX ? n : WORLD_VAR_MAX;
        memcpy(world_variables[which].bytes, bytes, world_variables[which].len);
}

static size_t append(char *block, size_t at, const char *text, size_t n)
{
        memcpy(block + at, text, n);
        return at + n;
}

/* A mark: place, state and verify, image, offset, page size, filesystem, kernel, initrd, flags, and then edits of three
 * bytes each: where (2), what. Flag 1: a right checksum over the edits; 2: other variables before it; 4: a sector of
 * them; 8: the same slot once more; 16: it cannot be seen. */
static void record_mark(const uint8_t *p, size_t n)
{
        static const enum mark_state states[] = { MARK_ARMED, MARK_TAKEN, MARK_NONE };
        struct mark mark = { .state = PICK(states, at(p, n, 1)), .id = "0123456789abcdef0123456789abcdef" };
        uint8_t place = at(p, n, 0), flags = at(p, n, 8);
        char text[MARK_WIDTH], block[2048];
        size_t len;

        strcpy(mark.image, PICK(images, at(p, n, 2)));
        mark.offset = strtoull(PICK(offsets, at(p, n, 3)), NULL, 10);
        mark.page_size = (uint32_t)strtoul(PICK(page_sizes, at(p, n, 4)), NULL, 10);
        if (flags & 16) /* a wrong page size would make it another area, and nobody would look */
                mark.page_size = 4096;
        strcpy(mark.fs_uuid, PICK(fs_uuids, at(p, n, 5)));
        strcpy(mark.kernel, PICK(kernels, at(p, n, 6)));
        strcpy(mark.initrd, PICK(initrds, at(p, n, 7)));
        strcpy(mark.release, "6.1.0");
        strcpy(mark.time, "2026-11-22T16:03:12+01:00");
        mark.verify = flags & 16 ? MARK_VERIFY_HINT : MARK_VERIFY_HEADER;
        mark.empty = mark.state == MARK_NONE;
        if (mark_format(&mark, text, NULL) != MARK_OK)
                return;
        for (size_t i = 9; i + 2 < n; i += 3)
                text[(p[i] | p[i + 1] << 8) % MARK_WIDTH] = (char)p[i + 2];
        if (flags & 1)
                ref_seal(text);
        if (place % 16 == 2) {
                put_variable(WORLD_VAR_MARK, text, MARK_WIDTH);
                return;
        }
        memset(block, '#', sizeof(block));
        len = append(block, 0, ENVBLK_SIGNATURE, ENVBLK_SIGNATURE_LEN);
        if (flags & 2)
                len = append(block, len, "saved_entry=a\\\\b\n", 17);
        if (flags & 4) {
                memset(block + len, 'a', WORLD_SECTOR);
                memcpy(block + len, "x=", 2);
                len += WORLD_SECTOR;
                block[len - 1] = '\n';
        }
        for (int i = 0; i < (flags & 8 ? 2 : 1); i++) {
                len = append(block, len, MARK_NAME "=", strlen(MARK_NAME) + 1);
                len = append(block, len, text, MARK_WIDTH);
                len = append(block, len, "\n", 1);
        }
        append(block, len, "next_entry=\n", 12);
        if (place % 16 < 2)
                put_block(place % 16, block, sizeof(block));
        else {
                const struct world_place *area = &PICK(world_areas, (unsigned int)place % 16 - 3);
                world_put(area->disk, area->start * WORLD_SECTOR, block, 1024);
        }
}

/* A variable: which (and 0x80: the text is widened to UTF-16, with a NUL behind it), and what it holds. */
static void record_variable(const uint8_t *p, size_t n)
{
        uint8_t wide[2 * 256 + 2] = { 0 };
        unsigned int which = (at(p, n, 0) & 0x7f) % WORLD_N_VARS;

        if (n == 0)
                return;
        for (size_t i = 1; i < n; i++)
                wide[2 * (i - 1)] = p[i];
        if (p[0] & 0x80)
                put_variable(which, wide, 2 * n);
        else
                put_variable(which, p + 1, n - 1);
}

/* A filesystem: which, driver, layout, bits of its files to change (2), size of its environment block. */
static void record_filesystem(const uint8_t *p, size_t n)
{
        static const uint32_t sizes[] = { 1024, 512, 0, 2048, 1025, 26, 1024 * 1024 + 1, 100000, 1048576 };
        const struct world_place *place = &PICK(world_filesystems, at(p, n, 0));
        struct world_superblock sb;

        world_get(place->disk, place->start * WORLD_SECTOR, &sb, sizeof(sb));
        sb.driver = at(p, n, 1) % WORLD_N_DRIVERS;
        sb.layout = at(p, n, 2) & 7;
        sb.files ^= (uint16_t)(at(p, n, 3) | at(p, n, 4) << 8);
        sb.env_size = PICK(sizes, at(p, n, 5));
        world_put(place->disk, place->start * WORLD_SECTOR, &sb, sizeof(sb));
}

/* A disk: which, whether it is there, what kind, its length in sectors (2; 0: as it was). */
static void record_disk(const uint8_t *p, size_t n)
{
        struct world_disk *disk = &PICK(world_disks, at(p, n, 0));
        unsigned int sectors = at(p, n, 3) | (unsigned int)at(p, n, 4) << 8;

        disk->present = at(p, n, 1) & 1;
        disk->kind = at(p, n, 2) % WORLD_N_KINDS;
        if (sectors)
                disk->sectors = sectors;
}

/* Something that fails: what, after how many times (2), and whether always from then on (0x80). */
static void record_failure(const uint8_t *p, size_t n)
{
        world_set_failure((enum world_failure)(at(p, n, 0) % WORLD_N_FAILURES),
                          at(p, n, 1) | (at(p, n, 2) & 0x0fU) << 8, at(p, n, 2) & 0x80);
}

/* A variable of GRUB's: which, and its value. */
static void record_environment(const uint8_t *p, size_t n)
{
        static const char *const names[] = { "prefix", "hib_mark", "hibresume_version", "hib_verdict" };
        char value[256] = "";

        if (n > 1)
                memcpy(value, p + 1, n - 1);
        if (at(p, n, 0) & 0x80)
                strcpy(value, PICK(prefixes, at(p, n, 1)));
        host_env_set(PICK(names, at(p, n, 0) & 0x7f), value);
}

/* ---- options of probe ---- */

static void add_option(const char *word)
{
        if (options.n < MAX_WORDS)
                options.words[options.n++] = strdup(word);
}

static void clear_options(void)
{
        while (options.n > 0)
                free(options.words[--options.n]);
}

/* The words that are separated by NULs. */
static void add_words(const uint8_t *p, size_t n)
{
        char *text = exact_copy(p, n + 1 > n ? n : 0), word[256];

        for (size_t i = 0; i < n;) {
                size_t len = strnlen(text + i, n - i);

                memcpy(word, text + i, len);
                word[len] = '\0';
                add_option(word);
                i += len + 1;
        }
        free(text);
}

static void usual_options(unsigned int flags, const uint8_t *p, size_t n)
{
        if (flags & 1) {
                add_option("--env");
                add_option(flags & 64 ? "(hd1,msdos1)/boot/grub/grubenv" : "(hd0,gpt1)/boot/grub/grubenv");
        }
        if (flags & 2) {
                add_option("--device");
                add_option(PICK(images, at(p, n, 0)));
        }
        if (flags & 4) {
                add_option("--offset");
                add_option(PICK(offsets, at(p, n, 1)));
        }
        if (flags & 8) {
                add_option("--page-size");
                add_option(PICK(page_sizes, at(p, n, 2)));
        }
        if (flags & 16) {
                add_option("--fs");
                add_option(PICK(fs_uuids, at(p, n, 3)));
                add_option("--kernel");
                add_option(PICK(kernels, at(p, n, 4)));
        }
        if (flags & 32) {
                add_option("--initrd");
                add_option(PICK(initrds, at(p, n, 5)));
        }
}

/* Instead of the usual ones: flags, image, offset, page size, filesystem, kernel, initrd, and other words. */
static void record_options(const uint8_t *p, size_t n)
{
        if (n == 0)
                return;
        clear_options();
        usual_options(p[0], p + 1, n - 1);
        if (n > 7)
                add_words(p + 7, n - 7);
}

/* ---- what the module calls ---- */

static void check_path(const char *word)
{
        REQUIRE(word[0] == '(' && strchr(word, ')') && strchr(word, ')')[1] == '/');
        REQUIRE(!strpbrk(word, " \t\n\\\"'$`{}[]<>|;&*?!#"));
}

/* What was written is there, or the variable is as it was to be. */
static bool something_consumed(void)
{
        uint8_t sector[WORLD_SECTOR];

        for (size_t i = 0; i < world_n_changes; i++) {
                world_get(world_changes[i].disk, world_changes[i].sector * WORLD_SECTOR, sector, sizeof(sector));
                if (memcmp(sector, world_changes[i].before, sizeof(sector)) != 0 &&
                    memcmp(sector, world_changes[i].after, sizeof(sector)) == 0)
                        return true;
        }
        for (size_t i = 0; i < world_n_settings; i++) {
                const struct world_variable *v = &world_variables[world_settings[i].variable];
                if (world_settings[i].len == 0 ? !v->present
                                               : v->len == world_settings[i].len &&
                                                         memcmp(v->bytes, world_settings[i].bytes, v->len) == 0)
                        return true;
        }
        return false;
}

int world_linux(int argc, char **argv)
{
        REQUIRE(running && now.may_start && !now.started);
        REQUIRE(argc == now.n_given + 3);
        check_path(argv[0]);
        for (int i = 0; i < now.n_given; i++)
                REQUIRE(strcmp(argv[1 + i], now.given[i]) == 0);
        REQUIRE(strncmp(argv[argc - 2], "resume=", 7) == 0 && strlen(argv[argc - 2]) < sizeof(now.image));
        REQUIRE(strncmp(argv[argc - 1], "resume_offset=", 14) == 0 && strlen(argv[argc - 1]) < sizeof(now.offset));
        strcpy(now.image, argv[argc - 2] + 7);
        strcpy(now.offset, argv[argc - 1] + 14);
        REQUIRE(strspn(now.offset, "0123456789") == strlen(now.offset));
        if (!world_may_fail())
                REQUIRE(oracle_image_is_at(now.image, strtoull(now.offset, NULL, 10)) || oracle_has_hint(now.image));
        REQUIRE(!now.by_itself || something_consumed());
        now.started = true;
        return 0;
}

int world_initrd(int argc, char **argv)
{
        REQUIRE(running && now.started && argc == 1);
        check_path(argv[0]);
        now.loaded = true;
        return 0;
}

int world_boot(int argc, char **argv)
{
        (void)argv;
        REQUIRE(running && now.started && argc == 0);
        now.booted = true;
        return 0;
}

/* ---- what must be true after a command ---- */

/* The only bytes that may differ are N ones at START. */
static bool differs_only(const struct world_change *c, size_t start, size_t n)
{
        return memcmp(c->before, c->after, start) == 0 &&
               memcmp(c->before + start + n, c->after + start + n, WORLD_SECTOR - start - n) == 0;
}

/* In this sector a slot was taken, or emptied. */
static bool is_slot_change(const struct world_change *c, bool discard)
{
        const size_t name = strlen(MARK_NAME "=");
        char empty[MARK_WIDTH];

        mark_format_empty(empty);
        for (size_t i = 0; i + name + MARK_WIDTH <= WORLD_SECTOR; i++) {
                if (memcmp(c->before + i, MARK_NAME "=", name) != 0)
                        continue;
                if (!discard && differs_only(c, i + name + MARK_STATE_AT, MARK_STATE_LEN) &&
                    memcmp(c->after + i + name + MARK_STATE_AT, "taken", MARK_STATE_LEN) == 0)
                        return true;
                if (discard && differs_only(c, i + name, MARK_WIDTH) &&
                    memcmp(c->after + i + name, empty, MARK_WIDTH) == 0)
                        return true;
        }
        return false;
}

/* The saved signature took the image's place: the last bytes of a page. */
static bool is_restored(const struct world_change *c)
{
        const size_t saved = WORLD_SECTOR - 2 * IMAGE_SIG_LEN, sig = WORLD_SECTOR - IMAGE_SIG_LEN;

        return memcmp(c->before + sig, "S1SUSPEND", IMAGE_SIG_LEN) == 0 && differs_only(c, saved, 2 * IMAGE_SIG_LEN) &&
               memcmp(c->after + sig, c->before + saved, IMAGE_SIG_LEN) == 0;
}

static void check_changes(bool resume, bool discard)
{
        REQUIRE(resume || discard || (world_n_changes == 0 && world_n_settings == 0));
        for (size_t i = 0; i < world_n_changes; i++) {
                const struct world_change *c = &world_changes[i];
                REQUIRE(memcmp(c->before, c->after, WORLD_SECTOR) == 0 || is_slot_change(c, discard) ||
                        (discard && is_restored(c)));
        }
        for (size_t i = 0; i < world_n_settings; i++) {
                const struct world_setting *s = &world_settings[i];
                REQUIRE(s->variable == WORLD_VAR_MARK ? s->len == 0
                                                      : s->variable == WORLD_VAR_TRIED && s->len == EFIVAR_TRIED_LEN);
        }
}

static bool is_one_of(const char *text, const char *const *list, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(text, list[i]) == 0)
                        return true;
        return false;
}

static const char *value_of(const char *name)
{
        const char *value = host_env_get(name);

        return value ? value : "";
}

/* grub.cfg may use these in any way: there is nothing in them that it would take apart. hib_words and hib_about hold what
 * probe was given, too, which is grub.cfg's own. */
static void check_words(void)
{
        static const char *const verdicts[] = { "normal", "offer", "resume" };
        static const char *const names[] = { "hib_reason", "hib_time", "hib_release" };
        bool known = false;
        const char *about;

        if (world_may_fail() && !*value_of("hib_verdict"))
                return;
        REQUIRE(is_one_of(value_of("hib_verdict"), verdicts, N_OF(verdicts)));
        for (enum verdict_reason r = 0; r < REASON_COUNT; r++)
                known = known || strcmp(value_of("hib_reason"), verdict_reason_name(r)) == 0;
        REQUIRE(known || world_may_fail());
        about = value_of("hib_about");
        if (*about && !world_may_fail()) {
                REQUIRE(strncmp(value_of("hib_words"), about, strlen(about)) == 0);
                REQUIRE(strncmp(value_of("hib_words") + strlen(about), ": ", 2) == 0);
        }
        for (size_t i = 0; i < N_OF(names); i++)
                REQUIRE(!strpbrk(value_of(names[i]), "\t\n\\\"'$`(){}[]<>|;&*?!#%"));
}

static void run(const char *word, int argc, char **argv)
{
        bool probe = strcmp(word, "probe") == 0, resume = strcmp(word, "resume") == 0;
        bool discard = strcmp(word, "discard") == 0;
        char *words[MAX_WORDS + 1] = { (char *)word };
        int r, error;

        memset(&now, 0, sizeof(now));
        now.by_itself = strcmp(value_of("hib_verdict"), "resume") == 0 && oracle_was_shown();
        now.may_start = resume;
        now.given = argv;
        now.n_given = argc;
        for (int i = 0; i < argc && i < MAX_WORDS; i++)
                words[1 + i] = argv[i];
        world_clear_log();
        if (probe) /* nobody but this target changes a disk while GRUB runs */
                host_drop_cache();
        running = true;
        commands++;
        r = host_run("hibresume", argc + 1, words, &error);
        running = false;
        if (resume)
                oracle_note_try();
        if (r == -1)
                return; /* it has kept itself out: another build */
        REQUIRE(host_error_stack_is_empty());
        REQUIRE(r == error);
        REQUIRE(host_open_disks() == 0);
        check_changes(resume, discard);
        if (probe) {
                check_words();
                oracle_check(r == 0, argc, argv, value_of("hib_verdict"), value_of("hib_reason"));
        }
}

/* ---- a power cut ---- */

static void switch_on(void)
{
        host_env_set("prefix", prefixes[0]);
        host_load_module();
        oracle_forget();
}

static void switch_off(void)
{
        host_unload_module();
        host_forget();
        REQUIRE(host_allocations() == 0);
}

static void restart(void)
{
        switch_off();
        switch_on();
}

/* The kernel was started by itself, and then the power went away. */
static void check_once(void)
{
        char image[sizeof(now.image)], offset[sizeof(now.offset)], prefix[256];

        strcpy(image, now.image);
        strcpy(offset, now.offset);
        snprintf(prefix, sizeof(prefix), "%s", value_of("prefix"));
        world_clear_failures();
        restart();
        host_env_set("prefix", prefix);
        run("probe", options.n, options.words);
        if (strcmp(value_of("hib_verdict"), "resume") != 0)
                return;
        run("resume", 0, NULL);
        REQUIRE(!now.started || !oracle_same_area(image, offset, now.image, now.offset));
}

static void record_restart(const uint8_t *p, size_t n)
{
        (void)p, (void)n;
        restart();
}

/* ---- records that do something ---- */

static void run_resume(int argc, char **argv)
{
        run("resume", argc, argv);
        if (now.booted && now.by_itself)
                check_once();
}

/* A command: which, and its words. */
static void record_command(const uint8_t *p, size_t n)
{
        char *saved[MAX_WORDS];
        int n_saved = options.n;

        if (n == 0)
                return;
        memcpy(saved, options.words, sizeof(saved));
        if (p[0] % 4 == 0) {
                run("probe", options.n, options.words);
                return;
        }
        options.n = 0;
        add_words(p + 1, n - 1);
        /* What follows takes the words out of "options", where the next probe expects its own. */
        char *words[MAX_WORDS];
        int n_words = options.n;
        memcpy(words, options.words, sizeof(words));
        memcpy(options.words, saved, sizeof(saved));
        options.n = n_saved;
        if (p[0] % 4 == 1)
                run_resume(n_words, words);
        else if (p[0] % 4 == 2)
                run("discard", n_words, words);
        else if (n_words > 0 && strcmp(words[0], "resume") == 0)
                run_resume(n_words - 1, words + 1);
        else if (n_words > 0)
                run(words[0], n_words - 1, words + 1);
        for (int i = 0; i < n_words; i++)
                free(words[i]);
}

static void (*const records[])(const uint8_t *p, size_t n) = {
        record_patch,    record_image,   record_mark,        record_variable, record_filesystem, record_disk,
        record_failure,  record_options, record_environment, record_command,  record_restart,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static bool started;

        if (!started)
                host_start();
        started = true;
        world_reset();
        clear_options();
        usual_options(2 | 16 | 32, NULL, 0);
        commands = 0;
        switch_on();
        while (size >= 2) {
                size_t len = data[1] < size - 2 ? data[1] : size - 2;

                PICK(records, data[0])(data + 2, len);
                data += 2 + len;
                size -= 2 + len;
        }
        if (commands == 0) {
                run("probe", options.n, options.words);
                run_resume(0, NULL);
        }
        world_clear_failures();
        switch_off();
        return 0;
}
