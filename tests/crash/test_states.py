# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""The states of a small disk, counted by hand; and against another way of making them."""

import itertools
import random

import pytest

from .recording import Write
from .states import crash_states

FLUSH = Write(0, b"")
ANY = 10**9


def write(sector, text):
    """One letter, one sector."""
    return Write(sector, b"".join(letter.encode() * 512 for letter in text))


def base(sector):
    return b"." * 512


def disks(writes, done=ANY, sectors=8, limit=ANY, **more):
    """State -> late, a disk as text."""
    states, versions = crash_states(writes, done, base, limit, **more)
    found = {}
    for state in states:
        disk = ["."] * sectors
        for number in state.versions:
            sector, data = versions[number]
            disk[sector] = data[:1].decode()
        assert "".join(disk) not in found
        found["".join(disk)] = state
    return found


def texts(*args, **more):
    return set(disks(*args, **more))


def late(*args, **more):
    return {text for text, state in disks(*args, **more).items() if state.late}


def test_nothing_written():
    assert texts([]) == {"........"}


def test_one_sector():
    assert texts([write(1, "a")]) == {"........", ".a......"}


def test_what_was_there_counts_once():
    assert texts([write(1, "."), write(1, "a"), write(1, ".")]) == {"........", ".a......"}


def test_a_write_is_torn_between_sectors():
    assert texts([write(1, "abc")]) == {"........", ".abc....", ".a......", ".ab.....", "..bc....", "...c....", ".a.c....",
                                        "..b....."}


def test_between_flushes_any_order():
    assert texts([write(0, "a"), write(1, "b"), FLUSH, write(2, "c")]) == {
        "........", "a.......", ".b......", "ab......", "abc....."}


def test_the_later_write_of_a_sector_wins():
    assert texts([write(0, "a"), write(0, "b")]) == {"........", "a.......", "b......."}


def test_late_states_lose_nothing_that_was_flushed():
    assert late([write(0, "a"), FLUSH], 2) == {"a......."}
    assert late([write(0, "a"), FLUSH, write(1, "b"), write(2, "c")], 2) == {"a.......", "ab......", "a.c.....", "abc....."}
    assert late([write(0, "a"), FLUSH, FLUSH, write(1, "b"), write(2, "c")], 2) == {
        "a.......", "ab......", "a.c.....", "abc....."}
    assert late([write(0, "a"), FLUSH, write(1, "b")], 2, limit=0) == {"a.......", "ab......"}


def test_late_states_lose_what_was_not():
    assert late([write(0, "a")], 1) == {"........", "a......."}
    assert late([write(0, "a")], 1, limit=0) == {"a......."}
    assert late([write(0, "a"), FLUSH, write(1, "b")], 3) == {"a.......", "ab......"}
    assert late([write(0, "a"), write(1, "b"), FLUSH], 1) == {"........", "a.......", ".b......", "ab......"}


def test_a_superblock_is_torn_where_its_sectors_were_never_together():
    found = disks([write(2, "ab"), FLUSH, write(2, "cd")], superblock=(2, 3))
    assert {text for text, state in found.items() if state.torn} == {"..a.....", "...b....", "..cb....", "..ad...."}


def test_order():
    found = disks([write(0, "a"), write(1, "b")])
    assert {text for text, state in found.items() if not state.ordered} == {".b......"}


def test_limit_keeps_the_order():
    writes = [write(i % 8, chr(97 + i)) for i in range(20)]
    found = disks(writes, limit=40)
    assert sum(state.ordered for state in found.values()) == 21
    assert 21 < len(found) <= 61


def test_subsets_are_tried_however_many_prefixes_there_are():
    writes = [write(0, "abcdefgh"), FLUSH, write(0, "x"), write(4, "y"), FLUSH]
    assert "abcdyfgh" in texts(writes, limit=10)


def by_hand(writes):
    """Every state of few small writes, in the plainest way: any sectors of any writes since the last flush."""
    epochs = [[]]
    for one in writes:
        if one.is_flush:
            epochs.append([])
        else:
            epochs[-1].append(one)
    found, before = {"." * 8}, ["."] * 8
    for epoch in epochs:
        pieces = [(i, at) for i, one in enumerate(epoch) for at in range(len(one.data) // 512)]
        for chosen in itertools.product((False, True), repeat=len(pieces)):
            disk = list(before)
            for (i, at), there in zip(pieces, chosen, strict=True):
                if there:
                    disk[epoch[i].sector + at] = chr(epoch[i].data[at * 512])
            found.add("".join(disk))
        before = disk
    return found


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_made_up(seed):
    """Whatever the lab makes is possible; and of single sectors all that is possible is made."""
    rng = random.Random(seed)
    longest = 1 if seed % 2 else 3
    writes = []
    for _ in range(6):
        size = rng.randint(1, longest)
        writes.append(write(rng.randint(0, 8 - size), "".join(rng.choices("abcdef", k=size))))
        if rng.random() < 0.4:
            writes.append(FLUSH)
    possible = by_hand(writes)
    made = texts(writes)
    assert made <= possible
    if longest == 1:
        assert made == possible
