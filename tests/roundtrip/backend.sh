#!/bin/sh
# SPDX-License-Identifier: MIT
# The models of the ONNX backend tests, opened and saved. LBW_PYTHON names a Python with onnx.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/node"
"${LBW_PYTHON:-python3}" "$LBW_SOURCE_ROOT/tests/roundtrip/backend.py" "$work/node" >"$work/out" ||
    { status=$?; cat "$work/out"; exit $status; }
ln -s "$(cat "$work/out")" "$work/package"
for folder in node package; do
    LBW_ASSETS=$work/none LBW_ONNX_TESTDATA=$work/$folder "$1" >"$work/log" 2>&1 ||
        { cat "$work/log"; exit 1; }
    sed -n 's/^# \([0-9]* models\)/'$folder': \1/p' "$work/log"
done
