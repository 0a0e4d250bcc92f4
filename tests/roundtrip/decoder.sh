#!/bin/sh
# SPDX-License-Identifier: MIT
# Every grid, type and carrier, read by a decoder that was written from docs/format.md alone.
# LBW_PYTHON names a Python that has onnx (else: skipped).
set -eu
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
python=${LBW_PYTHON:-python3}
decoder=$LBW_SOURCE_ROOT/tests/roundtrip/decoder.py
"$python" "$decoder" || exit $?
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
make_model detector model.onnx
for grid in $(lbw grids | sed -n 's/^\([2-6][0-9xd]*\) .*/\1/p'); do
    for options in '--scale real' '--group tensor' '--scale pow2'; do
        lbw quantize model.onnx -o "packed-$grid-${options##* }.onnx" -b "$grid" $options --all \
            --calib none -q
    done
done 2>/dev/null
# Carriers that no runtime here takes are among these.
for case in 2:25 2:21 3:23 4:13 4:23 5:19 6:13 6:19 4x2:21; do
    lbw quantize model.onnx -o "dq-$case.onnx" -b "${case%:*}" --opset "${case#*:}" -e dq \
        --target any --all --calib none -q
done 2>/dev/null
for model in *.onnx; do
    lbw inspect --digest "$model"
done >wanted
"$python" "$decoder" *.onnx >got
diff wanted got
echo "$(wc -l <got) models read alike"
