/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * What a mark points at: the swap area that holds the image, and the kernel that goes with it. Each function says what
 * is wrong and returns an exit status.
 */
#ifndef HIBCTL_TARGET_H
#define HIBCTL_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mark/image.h"
#include "mark/mark.h"
#include "mark/verdict.h"

/* What the command line asked for; NULL means: find it. */
struct target_wish {
        const char *image;  /* device, tag or swap file */
        const char *offset; /* pages, decimal */
        const char *kernel;
        const char *initrd; /* "none": the kernel needs none */
};

/* Finds the swap area that the kernel will write its image to, or that holds one, and fills in image, offset, page size
 * and how it can be verified. */
int target_find_image(const struct target_wish *wish, struct mark *mark);

/* Finds the file of the running kernel and its initial ramdisk, proves that the file is the same build, and fills in
 * kernel, initrd, filesystem and release. */
int target_find_kernel(const struct target_wish *wish, struct mark *mark);

/* Looks for the image that MARK names. *DEVICE (may be NULL, else the caller frees) is its node, if there is one. A
 * device that may not be read gives IMAGE_NOT_READABLE. Says nothing. */
enum image_state target_look_at_image(const struct mark *mark, struct image_header *header, char **device);

/* Whether both name the same swap area, by whatever tags: 1, 0, or a negative errno if that cannot be told. Says
 * nothing. */
int target_compare_areas(const struct mark *a, const struct mark *b);

/* The same; what cannot be told counts as another area. */
bool target_same_area(const struct mark *a, const struct mark *b);

/* Reads the first page of a swap area that starts at byte START. 0 or a negative errno; says nothing. */
int area_read_header(const char *device, uint64_t start, struct image_header *header);

/* Whether PATH is on the filesystem FS_UUID, as GRUB, whose folder is PREFIX (may be NULL), finds both. FILE_NOT_LOOKED
 * if that is not mounted here. Says nothing. */
enum file_state target_look_at_file(const char *prefix, const char *fs_uuid, const char *path);

/* Puts the swap signature back where MARK points, so that nobody resumes the image any more. */
int target_discard_image(const struct mark *mark);

/* *VERIFY: MARK_VERIFY_HINT for a device that the boot loader does not see. 0 or a negative errno: a hint is believed
 * without a look, so it is never a guess. */
int target_how_to_verify(const char *device, enum mark_verify *verify);

/* What /sys/power says of it: the device, and the offset in pages. 1, 0 if none is set, or a negative errno. Says
 * nothing. */
int target_resume_setting(dev_t *dev, uint64_t *offset);

/* Says that device_path() failed with R. EXIT_FAILED. */
int no_device_name(dev_t dev, int r);

/* The paths of the kernel RELEASE and of its initial ramdisk, or NULL. Say nothing; the caller frees. */
char *target_kernel_of(const char *release);
char *target_initrd_of(const char *release);

/* The device that the running system resumes from, for an image without a mark: fills in image, offset and page size.
 * False if none is configured. Says nothing. */
bool target_configured(struct mark *mark);

#endif
