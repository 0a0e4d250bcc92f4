#!/bin/sh
# SPDX-License-Identifier: MIT
# Every grid in every encoding passes onnx.checker in full, and ONNX's own reference evaluator
# decodes packed weights to the values of float.
set -eu
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
python=${LBW_PYTHON:-python3}
"$python" -c 'import numpy, onnx.reference' 2>/dev/null || { echo 'no Python with onnx'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
make_model detector model.onnx
for grid in $(lbw grids | sed -n 's/^\([2-6][0-9xd]*\) .*/\1/p'); do
    for encoding in packed dq float; do
        lbw quantize model.onnx -o $encoding-$grid.onnx -b $grid -e $encoding --calib none -q
    done
    lbw quantize model.onnx -o inline-$grid.onnx -b $grid --inline --calib none -q
    lbw expand packed-$grid.onnx -o expanded-$grid.onnx -q
done 2>/dev/null
"$python" "$LBW_SOURCE_ROOT/tests/ort/checker.py" .
