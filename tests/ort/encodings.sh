#!/bin/sh
# SPDX-License-Identifier: MIT
# Calibrated conversion end to end: every encoding gives the same outputs, expanding too.
set -eu
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
lbw version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime found'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
make_model detector model.onnx
for grid in 3 4x2d2; do
    for encoding in packed dq float; do
        lbw quantize model.onnx -o $encoding.onnx -b $grid --encoding $encoding \
            --calib generated:2 -q
    done
    lbw quantize model.onnx -o inline.onnx -b $grid --inline --calib generated:2 -q
    lbw expand packed.onnx -o expanded.onnx -q
    for other in dq inline expanded float; do
        lbw compare packed.onnx $other.onnx --rtol 1e-5 --json >/dev/null ||
            { echo "grid $grid: $other differs from packed"; exit 1; }
    done
done
# The same command twice gives the same bytes.
lbw quantize model.onnx -o again.onnx -b 4x2d2 --encoding float --calib generated:2 -q
cmp again.onnx float.onnx
# A model is not equal to its conversion, and says so.
if lbw compare model.onnx packed.onnx --rtol 1e-5 >/dev/null 2>&1; then exit 1; else [ $? = 3 ]; fi
