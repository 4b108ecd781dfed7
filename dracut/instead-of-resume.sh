#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
#
# dracut's own module "resume" would resume from a udev rule, as soon as the device appears and before any setup hook
# was run. It is kept still; hibctl resumes in pre-mount.
mkdir -p /etc/cmdline.d
echo noresume >/etc/cmdline.d/90-hibctl.conf
unset CMDLINE
