#!/bin/sh
# SPDX-License-Identifier: MIT
# Calibrated conversion gives the same bytes on one processor, and when killed and resumed.
set -eu
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
lbw version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime found'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
make_model detector model.onnx
convert() {
    "$@" lbw quantize model.onnx -o out.onnx -b 4 --calib generated:4 -q
}
convert env
mv out.onnx whole.onnx

if command -v taskset >/dev/null; then
    convert taskset -c 0
    cmp out.onnx whole.onnx
    rm out.onnx
fi

# Killed as soon as the state holds a layer or two.
lbw quantize model.onnx -o out.onnx -b 4 --calib generated:4 --state layers.state -q &
pid=$!
while kill -0 $pid 2>/dev/null && [ "$(wc -c 2>/dev/null <layers.state || echo 0)" -lt 900 ]; do
    sleep 0.01
done
kill -9 $pid 2>/dev/null || echo 'it was done already'
wait $pid 2>/dev/null || true
[ -s layers.state ]
lbw quantize model.onnx -o out.onnx -b 4 --calib generated:4 --state layers.state -q
cmp out.onnx whole.onnx

# Another run does not take it over.
if lbw quantize model.onnx -o other.onnx -b 3 --calib generated:4 --state layers.state -q; then
    exit 1
fi
[ ! -e other.onnx ]
