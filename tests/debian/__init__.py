# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A real Debian: systemd, initramfs-tools, GRUB as its packages set them up, hibctl as an administrator installs it.

base      makes the system's disk, once per machine
machine   the machine that has it: hibernated by systemctl, with somebody logged in
hibctl    what is under test, as it gets into the system
story     ./dev demo --debian
root      files that the base has beside its packages
"""
