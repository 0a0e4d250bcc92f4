#!/bin/sh
# SPDX-License-Identifier: MIT
# A build without anything optional: it says at configure time what it lacks, and where that is
# missed; all else works, calibration included. Then one without the program.
set -eu
unset LD_LIBRARY_PATH # each program finds its own library
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$LBW_SOURCE_ROOT"
options='-Dtests=false -Dsamples=false -Dcairo=disabled -Dexpat=disabled -Djpeg=disabled
    -Dpng=disabled -Dopenblas=disabled'
meson setup "$work/build" $options >"$work/log" || { cat "$work/log"; exit 1; }
for library in cairo expat libturbojpeg libpng openblas; do
    grep -q "WARNING: without $library: " "$work/log" || { echo "no word of $library"; exit 1; }
done
meson compile -C "$work/build" >"$work/log" 2>&1 || { tail -n 40 "$work/log"; exit 1; }
grep 'warning: ' "$work/log" && exit 1
lbw=$work/build/lbw
readelf -d "$work/build/src/liblbw.so" | grep -E 'cairo|expat|jpeg|libpng|blas|lapack' && exit 1

# fails WANTED COMMAND…: exit status 1, and one line with WANTED
fails() {
    wanted=$1
    shift
    if "$@" >"$work/out" 2>"$work/err"; then
        echo "$*: did not fail"
        exit 1
    fi
    grep -q "$wanted" "$work/err" || { cat "$work/err"; exit 1; }
}
cd "$work"
"$LBW_BUILD_ROOT/tests/make_model" detector model.onnx
# lbw looks for ONNX Runtime below its own build folder: this one borrows the other's
for place in ort ort-venv ort-npm; do
    [ ! -e "$LBW_BUILD_ROOT/$place" ] || ln -s "$LBW_BUILD_ROOT/$place" "$work/build/$place"
done
"$lbw" quantize model.onnx -o rounded.onnx --calib none -q 2>/dev/null
"$LBW_BUILD_ROOT/lbw" quantize model.onnx -o expected.onnx --calib none -q 2>/dev/null
cmp rounded.onnx expected.onnx
if "$lbw" version | grep -q 'ONNX Runtime [0-9]'; then
    fails 'JPEG: lbw was built without libturbojpeg' "$lbw" detect \
        -p "$LBW_SOURCE_ROOT/samples/shapes/profile.json" "$LBW_SOURCE_ROOT/samples/shapes/shapes.onnx" \
        "$LBW_SOURCE_ROOT"/tests/fuzz/corpus/image/jpeg_444_progressive
    "$lbw" quantize model.onnx -o fitted.onnx --bits 4 -n 8 -q
    "$LBW_BUILD_ROOT/lbw" quantize model.onnx -o reference.onnx --bits 4 -n 8 -q
    # plain loops add up in another order, no more than that
    "$lbw" compare reference.onnx fitted.onnx --json | grep -q '"snr": \(null\|[2-9][0-9]\|1[0-9][0-9]\)' ||
        { "$lbw" compare reference.onnx fitted.onnx; exit 1; }
else
    echo 'no ONNX Runtime: calibration without OpenBLAS not tried'
fi
meson configure "$work/build" -Dcli=false
meson compile -C "$work/build" >"$work/log" 2>&1 || { tail -n 40 "$work/log"; exit 1; }
