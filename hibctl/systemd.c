/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "device.h"
#include "mark/efivar-names.h"
#include "say.h"
#include "store-efi.h"
#include "systemd.h"
#include "target.h"

enum source_status systemd_read(struct systemd_claim *claim)
{
        char note[EFIVAR_TRIED_LEN];
        ssize_t n;

        *claim = (struct systemd_claim){ .size = 0 };
        if (uefi_access() == UEFI_NO_FIRMWARE)
                return SOURCE_ABSENT;
        n = uefi_read(&uefi_tried, note, sizeof(note), NULL);
        claim->noted = n > 0 || n == -EFBIG;
        n = uefi_read(&uefi_location, claim->bytes, sizeof(claim->bytes), NULL);
        if (n == -EFBIG) {
                claim->error = LOCATION_E_SIZE;
                return SOURCE_DAMAGED;
        }
        if (n < 0)
                return SOURCE_UNREADABLE;
        claim->size = (size_t)n;
        return source_read_location(claim->bytes, claim->size, &claim->mark, &claim->error);
}

struct looking {
        const char *prefix, *fs_uuid;
        bool blind;
};

static enum file_state look(void *data, const char *path)
{
        struct looking *looking = data;
        enum file_state state = target_look_at_file(looking->prefix, looking->fs_uuid, path);

        looking->blind = looking->blind || state == FILE_NOT_LOOKED;
        return state;
}

void systemd_find_files(struct systemd_claim *claim, const char *prefix, const struct mark *configured,
                        struct source *facts, bool *blind)
{
        struct looking looking = { .prefix = prefix, .fs_uuid = configured->fs_uuid };

        source_find_files(&claim->mark, configured, look, &looking, facts);
        *blind = looking.blind;
        if (looking.blind)
                facts->kernel = facts->initrd = FILE_NOT_LOOKED;
}

int systemd_look_for_try(struct systemd_claim *claim, const char *device)
{
        _cleanup_free_ unsigned char *page = xmalloc(LOCATION_PAGE);
        char fingerprint[LOCATION_FINGERPRINT_LEN], note[EFIVAR_TRIED_LEN];
        int r = device_read(device, mark_image_start(&claim->mark), page, LOCATION_PAGE);

        if (r < 0)
                return r;
        location_fingerprint(claim->bytes, claim->size, page, fingerprint);
        claim->tried = uefi_read(&uefi_tried, note, sizeof(note), NULL) == (ssize_t)sizeof(note) &&
                       memcmp(note, fingerprint, sizeof(note)) == 0;
        return 0;
}

static int delete_variable(const struct uefi_variable *variable)
{
        int r = uefi_delete(variable);

        return r < 0 ? efi_explain(variable, r, /* in_doubt= */ false) : EXIT_DONE;
}

int systemd_forget_try(const struct systemd_claim *claim)
{
        return claim->noted ? delete_variable(&uefi_tried) : EXIT_NOTHING;
}

int systemd_delete(void)
{
        char byte;
        ssize_t n = uefi_read(&uefi_location, &byte, sizeof(byte), NULL);

        return n > 0 || n == -EFBIG ? delete_variable(&uefi_location) : EXIT_NOTHING;
}
