# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The crash lab: every state in which a power cut could leave a disk while a program writes to it.

A program does its work on a real filesystem whose disk keeps a log of every write and every order to flush
(recording.py). From the log come the states that a power cut could have left (states.py). GRUB, the kernel and the
filesystem's checker look at each (judge.c), and what they say is compared with what was there before and after
(lab.py). kinds.py has the filesystems, writers.py the programs, trials.py says what is tried on what."""
