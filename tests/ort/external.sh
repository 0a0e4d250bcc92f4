#!/bin/sh
# SPDX-License-Identifier: MIT
# Models written with --external by every command: valid, aligned, and equal in ONNX Runtime to
# those in one file. LBW_PYTHON names a Python that has onnx and onnxruntime (else: skipped).
set -eu
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
python=${LBW_PYTHON:-python3}
"$python" -c 'import onnx, onnxruntime' 2>/dev/null ||
    { echo 'no Python with onnx and onnxruntime'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
make_model detector model.onnx
convert() { # COMMAND… -o NAME.onnx: once in one file, once in two
    lbw "$@" -q
    name=${*##*-o }
    name=${name%% *}
    mkdir -p out
    lbw "$@" -o out/$name --external $name.data $external -q
    "$python" "$LBW_SOURCE_ROOT/tests/ort/external.py" $name out/$name out/$name.data $alignment
}
external= alignment=4096
for encoding in packed dq float; do
    convert quantize model.onnx --calib none -e $encoding -o $encoding.onnx 2>/dev/null
done
convert quantize model.onnx --calib none --inline -o inline.onnx 2>/dev/null
external='--external-threshold 1 --external-alignment 64K' alignment=65536
convert expand packed.onnx -o expanded.onnx
convert convert packed.onnx -e dq -o converted.onnx
cmp converted.onnx dq.onnx
# What is external already, in and out of files.
external='--external-threshold 300 --external-alignment 16' alignment=16
convert convert out/converted.onnx -e packed -o back.onnx
cmp back.onnx packed.onnx
if "$LBW_BUILD_ROOT/lbw" version | grep -q 'ONNX Runtime [0-9]'; then
    external= alignment=4096
    convert tune model.onnx --bits 3 --steps 2 -n 4 -o tuned.onnx
    convert quantize model.onnx -o fitted.onnx
    # and read: initializers and constants in nodes, wherever they are
    cp "$LBW_SOURCE_ROOT/samples/shapes/shapes.onnx" inside.onnx
    lbw convert inside.onnx -e float -o outside.onnx --external outside.data \
        --external-threshold 1 -q 2>/dev/null
    lbw compare inside.onnx outside.onnx -n 1 --rtol 0 >/dev/null
    lbw tune inside.onnx -o inside-tuned.onnx --steps 2 -n 4 -q
    lbw tune outside.onnx -o outside-tuned.onnx --steps 2 -n 4 -q
    cmp inside-tuned.onnx outside-tuned.onnx
fi
