# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Virtual machines that really boot through GRUB, hibernate, lose power and come back.

layout    what is on a disk and under which UUIDs
disk      makes disk images, without root and without loop devices, and reads and damages them afterwards
guest     the small system that runs inside: an initramfs and a root filesystem around the stock kernel
grubcfg   the GRUB configuration, from the distribution's header and the project's own grub.d scripts
machine   a machine that can be switched on, typed at, hibernated, cut off and looked at
secure    shim, the signed GRUB, and signatures of our own, for Secure Boot
envblock  GRUB's environment block, read independently of the code under test
host      the tools and inputs of the machine that runs the tests
"""
