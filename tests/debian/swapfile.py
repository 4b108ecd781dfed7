# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""Swap in a file of the root filesystem, as an administrator moves it there."""

# systemd hibernates only to where the kernel was told to resume from.
_MOVE = """\
set -e
swapoff -a
sed -i '/swap/d' /etc/fstab
dd if=/dev/zero of=/swapfile bs=1M count=400
chmod 600 /swapfile
mkswap /swapfile
echo '/swapfile none swap sw 0 0' >>/etc/fstab
swapon -a
offset=$(filefrag -v /swapfile | awk '$1 == "0:" {sub(/[.]*$/, "", $4); print $4}')
root=UUID=$(findmnt -n -o UUID /)
sed -i "s/=quiet$/='quiet resume=$root resume_offset=$offset'/" /etc/default/grub
if [ -d /etc/initramfs-tools/conf.d ]; then
        sed -i "s/^RESUME=.*/RESUME=$root/" /etc/initramfs-tools/conf.d/resume
fi
"""


def move(machine):
    """What is made from the configuration, the initramfs and grub.cfg, is left to the caller."""
    machine.run(f"({_MOVE}) 2>&1", timeout=900)


def assert_in_use(machine):
    assert machine.run("swapon --show=NAME --noheadings").output.split() == ["/swapfile"]
