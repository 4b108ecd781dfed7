/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * systemd's HibernateLocation.
 *
 * Input: flags (1 byte) and bytes. Flag 1: the bytes are the variable as it is. Else they are characters up to 0xff,
 * made into UTF-16LE; flag 2 puts a NUL behind them. Flag 4: the fingerprint is looked at, too, which takes long.
 */
#include "fuzz.h"
#include "mark/location.h"
#include "unit/refmark.h"

static bool is_ascii(const char *text, size_t max)
{
        size_t n = 0;

        for (; text[n]; n++)
                if (text[n] < 0x20 || text[n] > 0x7e)
                        return false;
        return n <= max;
}

static void check_location(const struct location *l)
{
        static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

        REQUIRE(strlen(l->uuid) == sizeof(form) - 1);
        for (size_t i = 0; form[i]; i++)
                REQUIRE(form[i] == '-' ? l->uuid[i] == '-' : strchr("0123456789abcdef", l->uuid[i]) != NULL);
        REQUIRE(l->offset < 1ULL << 44);
        REQUIRE(strlen(l->kernel_version) <= LOCATION_RELEASE_MAX && l->kernel_version[0] != '-');
        REQUIRE(!strpbrk(l->kernel_version, "/ \t\n\\\"'$`(){}[]<>|;&*?!#%,:=@"));
        REQUIRE(is_ascii(l->kernel_version, LOCATION_RELEASE_MAX) && is_ascii(l->os_id, LOCATION_OS_MAX));
        REQUIRE(is_ascii(l->os_image_id, LOCATION_OS_MAX) && is_ascii(l->os_version_id, LOCATION_OS_MAX));
        REQUIRE(is_ascii(l->os_image_version, LOCATION_OS_MAX));
}

static bool is_empty(const struct location *l)
{
        return !l->uuid[0] && l->offset == 0 && !l->kernel_version[0] && !l->os_id[0] && !l->os_image_id[0] &&
               !l->os_version_id[0] && !l->os_image_version[0];
}

/* White space at either end, and one NUL more or less behind it, change nothing. */
static void check_around(const uint8_t *bytes, size_t n, const struct location *was)
{
        uint8_t *more = malloc(n + 4);
        struct location l;

        REQUIRE(more);
        memset(&l, 0, sizeof(l));
        memcpy(more, " ", 2);
        memcpy(more + 2, bytes, n);
        memset(more + 2 + n, 0, 2);
        if (n + 4 <= LOCATION_MAX) {
                REQUIRE(location_parse(more, n + 4, &l) == LOCATION_OK);
                REQUIRE(strcmp(l.uuid, was->uuid) == 0 && l.offset == was->offset);
                REQUIRE(strcmp(l.kernel_version, was->kernel_version) == 0);
                REQUIRE(strcmp(l.os_image_version, was->os_image_version) == 0);
        }
        free(more);
}

static void check_fingerprint(const uint8_t *bytes, size_t n)
{
        uint8_t page[LOCATION_PAGE] = { [1024] = 1 };
        char is[LOCATION_FINGERPRINT_LEN + 1] = "", want[9];

        location_fingerprint(bytes, n, page, is);
        snprintf(want, sizeof(want), "%08x", ref_crc32(ref_crc32(0, bytes, n), page + 1024, sizeof(page) - 1024));
        REQUIRE(strcmp(is, want) == 0);
}

static void check_bytes(const uint8_t *bytes, size_t n)
{
        struct location l;

        memset(&l, 0x55, sizeof(l));
        enum location_error e = location_parse(bytes, n, &l);
        REQUIRE((size_t)e < LOCATION_E_COUNT);
        REQUIRE((e == LOCATION_OK) == (location_error_text(e)[0] == '\0'));
        if (n == 0 || n > LOCATION_MAX)
                REQUIRE(e == LOCATION_E_SIZE);
        else if (n % 2)
                REQUIRE(e == LOCATION_E_ENCODING);
        if (e == LOCATION_OK) {
                check_location(&l);
                check_around(bytes, n, &l);
        } else
                REQUIRE(is_empty(&l));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t *bytes;
        size_t n;

        if (size < 1)
                return 0;
        if (data[0] & 1) {
                n = size - 1;
                bytes = exact_copy(data + 1, n);
        } else {
                n = 2 * (size - 1) + (data[0] & 2 ? 2 : 0);
                bytes = calloc(1, n ? n : 1);
                REQUIRE(bytes);
                for (size_t i = 1; i < size; i++)
                        bytes[2 * i - 2] = data[i];
        }
        check_bytes(bytes, n);
        if (data[0] & 4)
                check_fingerprint(bytes, n);
        free(bytes);
        return 0;
}
