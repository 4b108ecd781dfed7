#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
#
# mark/ must need nothing from outside: no libc, no libgcc, no header that is not the compiler's own. Every compiler and
# word size of this machine at three levels of optimisation; the objects are linked into one, which must have no
# undefined symbol.
#
# Usage: test-freestanding.sh [MARK-DIRECTORY]
set -u

here=$(cd "$(dirname "$0")" && pwd) || exit 99
mark=$(cd "${1:-$here/../../mark}" && pwd) || exit 99
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM

flags='-std=gnu11 -ffreestanding -fno-builtin -nostdlib -nostdinc -fno-stack-protector -fno-pie -fno-pic'
flags="$flags -fno-asynchronous-unwind-tables -Wall -Wextra"
checked=0
failed=0

# Directory of the compiler's own headers: stddef.h, stdint.h, stdbool.h.
own_headers() {
        case $1 in
        clang*) echo "$("$1" -print-resource-dir)/include" ;;
        *) "$1" -print-file-name=include ;;
        esac
}

own_flags() {
        case $1 in
        clang*) ;;
        *) echo -fno-tree-loop-distribute-patterns ;; # or gcc makes calls of memset and memmove from plain loops
        esac
}

fail() {
        echo "FAIL: $1"
        failed=$((failed + 1))
}

# one COMPILER WORD-SIZE LEVEL
one() {
        name="$1 -m$2 $3"
        emulation=elf_x86_64
        [ "$2" = 64 ] || emulation=elf_i386
        checked=$((checked + 1))
        objects=
        for source in "$mark"/*.c; do
                object=$tmp/$(basename "$source" .c).o
                # shellcheck disable=SC2046,SC2086
                if ! "$1" -m"$2" "$3" $flags $(own_flags "$1") -isystem "$(own_headers "$1")" -c "$source" \
                        -o "$object" 2>"$tmp/messages"; then
                        fail "$name: $(basename "$source") does not compile"
                        cat "$tmp/messages"
                        return
                fi
                objects="$objects $object"
        done
        # shellcheck disable=SC2086
        if ! ld -m "$emulation" -r -o "$tmp/all.o" $objects; then
                fail "$name: ld -r"
                return
        fi
        nm -u "$tmp/all.o" >"$tmp/undefined" || fail "$name: nm"
        if [ -s "$tmp/undefined" ]; then
                fail "$name: needs $(tr -s ' \n' ' ' <"$tmp/undefined")"
                return
        fi
        # What the test looks at must be there, or an empty list would mean nothing.
        for symbol in envblk_set mark_parse slot_find image_probe location_parse verdict_judge; do
                nm --defined-only "$tmp/all.o" | grep -q " T $symbol\$" || fail "$name: no $symbol in the result"
        done
        echo "ok: $name, $(size -A "$tmp/all.o" | awk '$1 ~ /^\.(text|rodata|data|bss)/ { n += $2 } END { print n }') bytes"
}

printf '#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\nuint64_t x;\n' >"$tmp/try.c"
for compiler in gcc clang; do
        command -v "$compiler" >/dev/null || { echo "skipped: no $compiler here" && continue; }
        for bits in 64 32; do
                # shellcheck disable=SC2086
                if ! "$compiler" -m"$bits" $flags -isystem "$(own_headers "$compiler")" -c "$tmp/try.c" \
                        -o "$tmp/try.o" 2>/dev/null; then
                        echo "skipped: $compiler cannot do -m$bits here"
                        continue
                fi
                for level in -O0 -Os -O2; do
                        one "$compiler" "$bits" "$level"
                done
        done
done

echo "freestanding: $checked builds, $failed failed"
[ "$checked" -gt 0 ] || exit 77
[ "$failed" -eq 0 ]
