/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * hibctl.conf: any bytes. What is taken is what the same settings, written plainly, are taken for; what is refused is
 * refused with a message that names file and line.
 */
#include "hibctl/settings.h"
#include "quiet.h"

const struct store store_env = { .name = "env" }, store_efi = { .name = "efi" }, store_bootbits = { .name = "bootbits" };

static int parse(struct settings *settings, const char *bytes, size_t n)
{
        char *text = malloc(n + 1);
        int r;

        REQUIRE(text);
        memcpy(text, bytes, n);
        text[n] = '\0';
        quiet_errors = 0;
        r = settings_parse(settings, "/a/file", text, n);
        free(text);
        return r;
}

static void check(const struct settings *settings)
{
        static const struct store *const all[] = { &store_env, &store_efi, &store_bootbits };
        struct settings again = { .n_stores = 0 };
        static const char *const modes[] = { "try", "require", "off" };
        char plain[100] = "Store=";

        REQUIRE(settings->n_stores <= SETTINGS_STORES_MAX);
        for (size_t i = 0; i < settings->n_stores; i++) {
                REQUIRE(settings->stores[i] && settings_find_store(settings->stores[i]->name) == settings->stores[i]);
                for (size_t k = 0; k < i; k++)
                        REQUIRE(settings->stores[i] != settings->stores[k]);
                strcat(strcat(plain, " "), settings->stores[i]->name);
        }
        for (size_t k = 0; k < ELEMENTS(all); k++) {
                bool named = settings->n_stores == 0;
                for (size_t i = 0; i < settings->n_stores; i++)
                        named = named || settings->stores[i] == all[k];
                REQUIRE(settings_allow(settings, all[k]) == named);
        }
        strcat(strcat(plain, "\nBootNext = "), settings->boot_next ? "yes" : "no");
        REQUIRE(settings->sleep <= SLEEP_OFF);
        strcat(strcat(plain, "\nSleep="), modes[settings->sleep]);
        REQUIRE(parse(&again, plain, strlen(plain)) == EXIT_DONE);
        REQUIRE(again.n_stores == settings->n_stores && again.boot_next == settings->boot_next &&
                again.sleep == settings->sleep);
        REQUIRE(memcmp(again.stores, settings->stores, again.n_stores * sizeof(again.stores[0])) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct settings settings = { .n_stores = 0 };
        int r = parse(&settings, (const char *)data, size);

        REQUIRE(r == EXIT_DONE || r == EXIT_USAGE);
        REQUIRE((r == EXIT_DONE) == (quiet_errors == 0));
        if (r != EXIT_DONE) {
                REQUIRE(strncmp(quiet_message, "/a/file", 7) == 0);
                REQUIRE(memchr(data, '\0', size) || strstr(quiet_message, ", line "));
                /* What is shown to people does not move their cursor. */
                for (const char *c = quiet_message; *c; c++)
                        REQUIRE(((unsigned char)*c >= ' ' && *c != 0x7f) || *c == '\t' || *c == '\r');
        } else {
                REQUIRE(!memchr(data, '\0', size));
                check(&settings);
        }
        return 0;
}
