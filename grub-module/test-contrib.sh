#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
#
# test-contrib.sh WORKDIR GRUBSRC: builds the module inside a copy of GRUB's
# source, as GRUB's INSTALL describes for GRUB_CONTRIB. Exits with 0 only if
# GRUB made hibresume.mod, for EFI and for a PC, and it is the module: its
# name, the modules it needs, and its guard are in it.
set -eu

[ $# -eq 2 ] || { echo "usage: $0 WORKDIR GRUBSRC" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
source=$(cd "$2" && pwd)
jobs=${JOBS:-2}

# run LOG COMMAND...
run ()
{
  log=$work/$1
  shift
  if ! "$@" > "$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "test-contrib.sh: '$*' failed; all of it is in $log" >&2
    exit 1
  fi
}

# build_for PLATFORM CPU
build_for ()
{
  build=$work/build-$1
  rm -rf "$build"
  mkdir -p "$build"
  cd "$build"
  run "configure-$1.log" "$work/grub/configure" "--with-platform=$1" \
    "--target=$2" --disable-werror --disable-nls --disable-grub-mkfont \
    --disable-grub-mount --disable-device-mapper --disable-liblzma \
    --disable-libzfs
  # Which modules it needs is worked out from all of them.
  run "make-$1.log" make -j"$jobs" -C grub-core hibresume.mod
  check "$build/grub-core/hibresume.mod"
}

check ()
{
  [ -s "$1" ] || { echo "test-contrib.sh: $1: not made" >&2; exit 1; }
  [ "$(section "$1" .modname)" = "hibresume " ] ||
    { echo "test-contrib.sh: $1: no module name in it" >&2; exit 1; }
  case $(section "$1" .moddeps) in
    *disk*) ;;
    *) echo "test-contrib.sh: $1: it does not name the module disk" >&2; exit 1 ;;
  esac
  nm -u "$1" | grep -q grub_calloc ||
    { echo "test-contrib.sh: $1: no guard in it" >&2; exit 1; }
  echo "$1: $(wc -c < "$1") bytes"
}

# section FILE NAME: its strings, a space after each.
section ()
{
  objcopy -O binary --only-section="$2" --set-section-flags "$2=alloc" "$1" \
    "$work/section"
  tr '\0' ' ' < "$work/section"
}

rm -rf "$work/grub" "$work/contrib"
cp -R "$source" "$work/grub"
"$here/make-contrib" "$work/contrib" "$work/grub"
cd "$work/grub"
run autogen.log env GRUB_CONTRIB="$work/contrib" PYTHON="${PYTHON:-python3}" \
  ./autogen.sh
build_for efi x86_64
build_for pc i386
