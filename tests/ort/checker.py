# SPDX-License-Identifier: MIT
"""Checks the models that checker.sh made: valid ONNX, equal outputs per grid."""
import glob
import os
import sys

import numpy
import onnx
from onnx.reference import ReferenceEvaluator

folder = sys.argv[1]
image = numpy.random.default_rng(1).random((1, 3, 32, 32), dtype=numpy.float32)


def check(path):
    onnx.checker.check_model(path, full_check=True)


def run(path):
    return ReferenceEvaluator(onnx.load(path)).run(None, {"images": image})[0]


failed = 0
floats = sorted(glob.glob(os.path.join(folder, "float-*.onnx")))
for path in floats:
    check(path)
    check(path.replace("float-", "dq-"))  # the evaluator has no DequantizeLinear of opset 13
    expected = run(path)
    for encoding in ("packed", "inline", "expanded"):
        other = path.replace("float-", encoding + "-")
        check(other)
        error = numpy.abs(run(other) - expected).max() / numpy.abs(expected).max()
        if not error <= 1e-6:
            print(f"{other}: off by {error} of float")
            failed += 1
print(f"{len(floats)} grids in 5 forms")
sys.exit(failed > 0 or not floats)
