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

shapes=samples/shapes
show build/lbw quantize $shapes/shapes.onnx -o build/small.onnx \
    --profile $shapes/profile.json --calib $shapes/calib
show build/lbw eval $shapes/shapes.onnx build/small.onnx \
    --profile $shapes/profile.json --images $shapes/eval --labels $shapes/eval
show build/lbw detect build/small.onnx $shapes/eval/eval21.jpg --profile $shapes/profile.json \
    --reference $shapes/shapes.onnx -o build/shapes.png
