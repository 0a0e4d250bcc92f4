#!/bin/sh
# SPDX-License-Identifier: MIT
# --memory and rows of 19,200 weights, whose statistics are 3 GB: with less, columns are kept as far
# as they fit; with next to nothing the layer is rounded. The plan says so beforehand, the report
# afterwards, in the same way. exit 77: no runtime.
set -eu
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
lbw version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime found'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() {
    echo "$*"
    cat out err plan
    exit 1
}
# try MEMORY FIT PLAN_COMMENT CALIBRATED: what plan and conversion make of it
try() {
    lbw plan wide.onnx -b 4 --json --memory "$1" >plan 2>err || fail "plan --memory $1"
    grep -q "\"fit\": \"$2\"" plan || fail "--memory $1 does not plan $2"
    lbw plan wide.onnx -b 4 --memory "$1" >plan 2>err || fail "plan --memory $1"
    [ "$(grep -c "$3" plan)" = 1 ] || fail "--memory $1: no line with $3"
    lbw quantize wide.onnx -o small.onnx -b 4 -c generated:8 --memory "$1" --report report.json \
        >out 2>err || fail "quantize --memory $1"
    grep -q "\"num_calibrated\": $4," report.json || fail "--memory $1 calibrates other than $4"
}

make_model wide wide.onnx
try 1G samples '# fitted to as many columns as [0-9]* bytes of memory hold' 1
grep -q 'in ONNX Runtime, .* fitting layers' out || fail 'no times'
! grep -q warning err || fail 'a warning about a layer that was fitted'
try 8K rounding '# rounded: too little memory for a fit' 0
grep -q 'warning: calibrated 0 of 1 layers.*needs more than half of --memory' err ||
    fail 'no warning of rounding'
grep -q '1 × a fit of 8 rows of 19200 weights needs more than half of --memory' out ||
    fail 'the summary gives no reason'
