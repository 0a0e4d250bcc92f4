#!/bin/sh
# SPDX-License-Identifier: MIT
# Who may put an ONNX Runtime in the program's way: LBW_ORT, and a build folder that none but its
# owner writes to; nobody who can write beside an installed program.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset LBW_ORT
export LD_LIBRARY_PATH="$LBW_BUILD_ROOT/src"
mkdir -p "$work/bin/ort" "$work/ort"
cp "$LBW_BUILD_ROOT/lbw" "$work/bin/"
for folder in "$work/bin/ort" "$work/ort"; do echo 'not a library' >"$folder/libonnxruntime.so"; done
chmod 755 "$work" "$work/bin"

# takes: whether the planted library is tried, which fails with its path
takes() { "$work/bin/lbw" version | grep -q "$work"; }

takes && { echo 'an installed program takes what lies beside it'; exit 1; }
touch "$work/build.ninja"
takes && { echo 'a program takes what lies above it'; exit 1; }
touch "$work/bin/build.ninja"
takes || { echo 'a program in its build folder does not take its own'; exit 1; }
for mode in 775 757; do
    chmod $mode "$work/bin"
    takes && { echo "a program takes what others may have written (mode $mode)"; exit 1; }
done
exit 0
