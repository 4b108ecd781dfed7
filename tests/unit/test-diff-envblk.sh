#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
#
# Builds mark/envblk.c together with GRUB's own grub-core/lib/envblk.c and compares them (see diff-envblk.c): with guard
# pages, then with the address and undefined-behaviour sanitizers; and a new block with grub-editenv's.
#
# Usage: test-diff-envblk.sh [COUNT [SEED]]     default 200000 cases, a few seconds; millions for a thorough run
# GRUB's source tree: $HIBCTL_DEV_CACHE/grub, else /var/cache/hibctl-dev/grub.
# MARK_DIR: another directory to take envblk.c and mark.c from.
set -u

here=$(cd "$(dirname "$0")" && pwd) || exit 99
top=$(cd "$here/../.." && pwd) || exit 99
mark=${MARK_DIR:-$top/mark}
grub=${HIBCTL_DEV_CACHE:-/var/cache/hibctl-dev}/grub
count=${1:-200000}
seed=${2:-1}
cc=${CC:-gcc}

if [ ! -f "$grub/grub-core/lib/envblk.c" ]; then
        echo "skipped: no GRUB source tree at $grub (./dev install-deps puts it there)"
        exit 77
fi
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM

# $mark/.. comes first, so that "mark/mark.h" is the one that goes with the sources.
build() { # OUTPUT FLAG...
        out=$1
        shift
        # shellcheck disable=SC2086
        $cc -std=gnu11 -D_GNU_SOURCE -g "$@" -I"$mark/.." -I"$here" -I"$here/grubshim" -I"$grub/include" -o "$out" \
                "$here/diff-envblk.c" "$grub/grub-core/lib/envblk.c" "$mark/envblk.c" "$mark/mark.c"
}

build "$tmp/diff" -O2 || exit 1
"$tmp/diff" "$count" "$seed" || exit 1

if build "$tmp/diff-asan" -O1 -fsanitize=address,undefined -fno-sanitize-recover=all 2>"$tmp/messages"; then
        # The guard's signal handler names the case; the sanitizer names the line.
        ASAN_OPTIONS=allow_user_segv_handler=1:handle_segv=0 "$tmp/diff-asan" "$((count / 10))" "$((seed + 1))" || exit 1
else
        echo "skipped: this compiler has no sanitizers"
fi

if command -v grub-editenv >/dev/null; then
        grub-editenv "$tmp/grubenv" create || exit 1
        "$tmp/diff" --create 1024 >"$tmp/ours" || exit 1
        cmp "$tmp/grubenv" "$tmp/ours" || exit 1
        echo "the same as grub-editenv create"
fi
