#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
#
# dracut sources its hooks; this one has ends of its own.
sh /lib/dracut/resume-by-hibctl.sh
