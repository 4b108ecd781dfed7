/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * The EFI variables that hibctl reads, as files of efivarfs: four bytes of attributes and the contents. All the way
 * through libefivar, efi/ and what judges the contents.
 *
 * Input: flags (1 byte) and bytes. The lowest two bits: 0 our mark, 1 the note of a try, 2 and 3 systemd's
 * HibernateLocation. Flag 4: the bytes are the file as it is; else they are the contents, and the usual attributes are
 * put before them. Flag 8: contents of a mark's length get a right checksum. Flag 16: a mark, or a note, is written
 * over it, and deleted again; this takes long.
 *
 * LIBEFIVAR_OPS and EFIVARFS_PATH must be set before it starts; run-fuzz does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "efi/uefi.h"
#include "fuzz.h"
#include "mark/efivar-names.h"
#include "mark/verdict.h"
#include "unit/refmark.h"

#define PREFIX 4 /* bytes of attributes */

/* As hibctl has room for, so that what is longer is noticed. */
static const struct {
        const struct uefi_variable *variable;
        size_t size;
} kinds[] = {
        { &uefi_mark, EFIVAR_MARK_LEN },
        { &uefi_tried, EFIVAR_TRIED_LEN },
        { &uefi_location, EFIVAR_LOCATION_MAX },
        { &uefi_location, EFIVAR_LOCATION_MAX },
};

static const char *path_of(const struct uefi_variable *variable)
{
        static char path[4096];
        const char *folder = getenv("EFIVARFS_PATH");

        REQUIRE(folder && getenv("LIBEFIVAR_OPS"));
        snprintf(path, sizeof(path), "%s%s-%s", folder, variable->name, variable->guid);
        return path;
}

static void put_file(const struct uefi_variable *variable, const uint8_t *bytes, size_t n)
{
        int fd = open(path_of(variable), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        REQUIRE(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && close(fd) == 0);
}

/* ---- what the contents mean ---- */

static bool is_sealed(const char *text)
{
        char sealed[MARK_WIDTH];

        memcpy(sealed, text, MARK_WIDTH);
        ref_seal(sealed);
        return memcmp(sealed, text, MARK_WIDTH) == 0;
}

static bool is_from_location(const struct mark *m, const struct location *l)
{
        return strncmp(m->image, "UUID=", 5) == 0 && strcmp(m->image + 5, l->uuid) == 0 && m->offset == l->offset &&
               m->page_size == LOCATION_PAGE && strcmp(m->release, l->kernel_version) == 0 && m->state == MARK_ARMED &&
               !m->empty && m->verify == MARK_VERIFY_HEADER && !m->id[0] && !m->kernel[0] && !m->initrd[0];
}

/* N bytes, or more where the boot loader reads them; the tool knows then only that they are too long. */
static void check_mark(const char *bytes, size_t n)
{
        struct mark m, again;
        enum source_status status = source_read_text(bytes, n, &m);
        enum mark_error error = n > 0 ? mark_parse(bytes, n, &again, NULL) : MARK_OK;

        REQUIRE((status == SOURCE_ABSENT) == (n == 0));
        REQUIRE((status == SOURCE_VALID) == (n > 0 && error == MARK_OK));
        REQUIRE((status == SOURCE_FUTURE) == (error == MARK_E_VERSION));
        REQUIRE(n == 0 || n == EFIVAR_MARK_LEN || status == SOURCE_DAMAGED);
        if (status == SOURCE_VALID)
                REQUIRE(is_sealed(bytes) && m.state == again.state);
}

static void check_location(const uint8_t *bytes, size_t n)
{
        struct mark m;
        struct location l;
        enum location_error error = LOCATION_E_COUNT;
        enum source_status status = source_read_location(bytes, n, &m, &error);

        REQUIRE((status == SOURCE_ABSENT) == (n == 0));
        REQUIRE(n == 0 || (status == SOURCE_VALID) == (error == LOCATION_OK));
        REQUIRE(n == 0 || status == SOURCE_VALID || status == SOURCE_DAMAGED);
        if (status == SOURCE_VALID)
                REQUIRE(location_parse(bytes, n, &l) == LOCATION_OK && is_from_location(&m, &l));
}

/* ---- the file ---- */

/* FILE: all N bytes of it. Returns whether it is a variable at all. */
static bool check_reading(const struct uefi_variable *variable, size_t size, const uint8_t *file, size_t n)
{
        uint8_t *buf = malloc(size);
        uint32_t attributes = 0, want;
        ssize_t got;

        REQUIRE(buf);
        got = uefi_read(variable, buf, size, &attributes);
        if (n < PREFIX)
                REQUIRE(got <= 0);
        else if (n - PREFIX > size)
                REQUIRE(got == -EFBIG);
        else {
                memcpy(&want, file, PREFIX);
                REQUIRE(got == (ssize_t)(n - PREFIX) && attributes == want);
                REQUIRE(memcmp(buf, file + PREFIX, n - PREFIX) == 0);
        }
        free(buf);
        return n >= PREFIX;
}

static void check_contents(const struct uefi_variable *variable, const uint8_t *contents, size_t n)
{
        if (variable == &uefi_mark)
                check_mark((const char *)contents, n);
        else if (variable == &uefi_location)
                check_location(contents, n);
}

/* Whatever was there: the new contents are there after it, or an error is said and the old ones are. */
static void check_writing(const struct uefi_variable *variable, size_t size)
{
        uint8_t *bytes = malloc(size), *buf = malloc(size);
        uint32_t attributes = 0;
        bool in_doubt = true;

        REQUIRE(bytes && buf);
        memset(bytes, 'x', size);
        if (uefi_write(variable, bytes, size, &in_doubt) == 0) {
                REQUIRE(!in_doubt && uefi_read(variable, buf, size, &attributes) == (ssize_t)size);
                REQUIRE(attributes == EFIVAR_ATTRIBUTES && memcmp(buf, bytes, size) == 0);
        } else
                REQUIRE(access(path_of(variable), F_OK) == 0 || in_doubt);
        REQUIRE(uefi_delete(variable) == 0 && access(path_of(variable), F_OK) < 0);
        REQUIRE(uefi_read(variable, buf, size, NULL) == 0);
        free(bytes);
        free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct uefi_variable *variable;
        const uint32_t usual = EFIVAR_ATTRIBUTES;
        size_t n, prefix;
        uint8_t *file;

        if (size < 1)
                return 0;
        variable = kinds[data[0] & 3].variable;
        prefix = data[0] & 4 ? 0 : PREFIX;
        n = size - 1 + prefix;
        file = malloc(n ? n : 1);
        REQUIRE(file);
        memcpy(file, &usual, prefix);
        memcpy(file + prefix, data + 1, size - 1);
        if (data[0] & 8 && variable == &uefi_mark && n == PREFIX + MARK_WIDTH)
                ref_seal((char *)file + PREFIX);

        put_file(variable, file, n);
        if (check_reading(variable, kinds[data[0] & 3].size, file, n)) {
                uint8_t *contents = exact_copy(file + PREFIX, n - PREFIX);
                check_contents(variable, contents, n - PREFIX);
                free(contents);
        }
        if (data[0] & 16 && variable != &uefi_location)
                check_writing(variable, kinds[data[0] & 3].size);
        free(file);
        return 0;
}
