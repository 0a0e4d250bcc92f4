#!/bin/sh
# SPDX-License-Identifier: MIT
# The kernels for 64-bit ARM against their definition, cross-compiled and run by qemu.
set -eu
compiler=aarch64-linux-gnu-gcc emulator=qemu-aarch64
for program in $compiler $emulator; do
    command -v $program >/dev/null || { echo "no $program: the ARM kernels are not tested"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$LBW_SOURCE_ROOT"
for name in conv conv_float pool softmax; do
    $compiler -std=c11 -O2 -D_GNU_SOURCE -DLBW_VERSION="\"0\"" -ffp-contract=off \
        -Wall -Wextra -Wno-missing-field-initializers \
        -Werror -static -Iinclude -Isrc -Itests/arm -Itests src/kernels/conv.c \
        src/kernels/conv_plan.c src/kernels/conv_planes.c src/kernels/conv_run.c src/kernels/conv_float.c src/kernels/floats.c \
        src/kernels/isa.c src/kernels/isa_neon.c src/kernels/parallel.c \
        src/kernels/pool.c src/kernels/reference.c src/kernels/softmax.c src/base/error.c src/base/bits.c \
        src/base/text.c \
        "tests/unit/$name.c" -o "$work/$name" -lm
    $emulator -cpu max "$work/$name" >"$work/out"
    cat "$work/out"
done
