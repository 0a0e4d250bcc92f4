#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs lift.py; LBW_PYTHON names a Python that has onnx and onnxruntime (else: skipped).
exec "${LBW_PYTHON:-python3}" "$LBW_SOURCE_ROOT/tests/ort/lift.py" "$1" \
    "${LBW_ASSETS:-$LBW_SOURCE_ROOT/../shared/assets}" "$LBW_SOURCE_ROOT/src/onnx/opset_rules.c"
