#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh SAMPLE: the sample program converts a model, and what it writes is a smaller model.
set -eu
sample=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$LBW_BUILD_ROOT/tests/make_model" detector in.onnx
case $sample in
*/convert_memory)
    "$sample" in.onnx >log
    cat log
    grep -q '^52040 bytes became [0-9]*$' log
    set -- $(tail -n 1 log)
    [ "$4" -lt 40000 ]
    ;;
*)
    "$sample" in.onnx out.onnx
    [ "$(wc -c <out.onnx)" -lt 15000 ]
    "$LBW_BUILD_ROOT/lbw" inspect out.onnx | grep -q '5 of them encoded'
    ;;
esac
"$sample" missing.onnx out2.onnx && exit 1
[ ! -e out2.onnx ]
