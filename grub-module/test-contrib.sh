#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
#
# test-contrib.sh WORKDIR GRUBSRC [GRUBLIB]: builds the module inside a copy of
# GRUB's source, as GRUB's INSTALL describes for GRUB_CONTRIB. Exits with 0 only
# if GRUB made hibresume.mod, for EFI and for a PC (or for those in PLATFORMS),
# and it is the module: its name, the modules it needs, and its guard are in it.
#
# Which modules it needs, and that no name in it is another's, GRUB works out
# from all its modules. Those that are in GRUBLIB/x86_64-efi and GRUBLIB/i386-pc
# (/usr/lib/grub, of the same source) it need not build for that.
set -eu

[ $# -eq 2 ] || [ $# -eq 3 ] ||
  { echo "usage: $0 WORKDIR GRUBSRC [GRUBLIB]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
work=$(cd "$1" && pwd)
source=$(cd "$2" && pwd)
lib=
[ $# -eq 2 ] || lib=$(cd "$3" && pwd)
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
  built=
  [ -z "$lib" ] || take_built "$lib/$2-$1"
  # shellcheck disable=SC2086
  run "make-$1.log" make -j"$jobs" -C grub-core $built hibresume.marker \
    hibresume.mod
  check "$build/grub-core/hibresume.mod"
}

# take_built FOLDER: its modules become those of the build in this folder, and
# $built the options with which make keeps them.
take_built ()
{
  for file in "$1"/*.mod; do
    name=$(basename "$file" .mod)
    [ "$name" != hibresume ] || continue
    cp "$file" "grub-core/$name.module"
    built="$built -o $name.module"
  done
  cp "$1/video.lst" grub-core
  built="$built -o video.lst"
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
for platform in ${PLATFORMS:-efi pc}; do
  case $platform in
    efi) build_for efi x86_64 ;;
    *) build_for "$platform" i386 ;;
  esac
done
