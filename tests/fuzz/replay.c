/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Runs a fuzz target on the files that are named, without libFuzzer: to measure what the seeds reach.
 */
#include "fuzz.h"

#define INPUT_MAX (1024 * 1024)

static void replay(const char *path)
{
        static uint8_t bytes[INPUT_MAX];
        FILE *file = fopen(path, "rb");
        size_t n;

        REQUIRE(file);
        n = fread(bytes, 1, sizeof(bytes), file);
        REQUIRE(!ferror(file) && feof(file));
        fclose(file);
        uint8_t *input = exact_copy(bytes, n);
        LLVMFuzzerTestOneInput(input, n);
        free(input);
}

int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                replay(argv[i]);
        return 0;
}
