#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
#
# Resumes from what the kernel's command line, or the initramfs, names.
. /lib/dracut-lib.sh

# Not by getarg: instead-of-resume.sh has said it to others.
read -r words </proc/cmdline
case " $words " in
*" noresume "*) exit 0 ;;
esac
device=$(getarg resume=) && [ -n "$device" ] && [ -e /sys/power/resume ] || exit 0
/usr/lib/hibctl/load "$device" "$(getarg resume_offset=)"
case $? in
2 | 3) # hibctl has decided; with any other status it did not get so far
	mkdir -p /run/hibctl
	true >/run/hibctl/resume-decided
	;;
esac
exit 0
