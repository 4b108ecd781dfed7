/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A boot entry of the firmware. Input: the variable's bytes.
 */
#include "efi/uefi.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t *bytes = exact_copy(data, size);
        struct uefi_boot_entry entry;
        const char *name = entry.name;

        memset(&entry, 'x', sizeof(entry));
        if (uefi_parse_boot_entry(bytes, size, &entry) == 0) {
                size_t len = strnlen(name, sizeof(entry.name));
                REQUIRE(size >= 8 && entry.active == (data[0] & 1) && len < sizeof(entry.name));
                for (size_t i = 0; i < len; i++) {
                        unsigned int c = data[6 + 2 * i] | (unsigned int)data[7 + 2 * i] << 8;
                        REQUIRE(c != 0 && name[i] >= ' ' && name[i] <= '~');
                        REQUIRE((unsigned char)name[i] == c || name[i] == '?');
                }
                if (len < sizeof(entry.name) - 1)
                        REQUIRE(data[6 + 2 * len] == 0 && data[7 + 2 * len] == 0);
                if (entry.has_partition)
                        REQUIRE(memmem(data + 8, size - 8, entry.partition, sizeof(entry.partition)));
        }
        free(bytes);
        return 0;
}
