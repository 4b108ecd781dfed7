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
# Nobody else is to resume what hibctl has refused. Where there is no image, systemd may see that for itself: it then clears
# its HibernateLocation.
if [ $? -eq 3 ]; then
	mkdir -p /run/hibctl
	true >/run/hibctl/resume-decided
fi
exit 0
