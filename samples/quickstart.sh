#!/bin/sh
# SPDX-License-Identifier: MIT
# From a fresh machine to a small detector: packages, build, ONNX Runtime, the main job.
set -eu
cd "$(dirname "$0")/.."
. samples/setup.sh
build_lbw
get_onnxruntime

# Shows a command, then runs it.
show() {
    echo
    echo "\$ $*"
    "$@"
}

model=samples/shapes/shapes.onnx
if [ -f $model ]; then
    calibration="--profile samples/shapes/profile.json --calib samples/shapes/calib"
else
    model=build/model.onnx
    calibration='--calib generated'
    build/tests/make_model detector $model
fi
show build/lbw quantize $model -o build/small.onnx --bits 4 $calibration
show build/lbw compare $model build/small.onnx
