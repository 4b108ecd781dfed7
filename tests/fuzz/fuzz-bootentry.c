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
        char name[UEFI_NAME_MAX];
        bool active;

        memset(name, 'x', sizeof(name));
        if (uefi_parse_boot_entry(bytes, size, name, &active) == 0) {
                size_t len = strnlen(name, sizeof(name));
                REQUIRE(size >= 8 && active == (data[0] & 1) && len < sizeof(name));
                for (size_t i = 0; i < len; i++) {
                        unsigned int c = data[6 + 2 * i] | (unsigned int)data[7 + 2 * i] << 8;
                        REQUIRE(c != 0 && name[i] >= ' ' && name[i] <= '~');
                        REQUIRE((unsigned char)name[i] == c || name[i] == '?');
                }
                if (len < sizeof(name) - 1)
                        REQUIRE(data[6 + 2 * len] == 0 && data[7 + 2 * len] == 0);
        }
        free(bytes);
        return 0;
}
