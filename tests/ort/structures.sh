#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs structures.py; LBW_PYTHON names a Python that has onnx and onnxruntime (else: skipped).
"$LBW_BUILD_ROOT/lbw" version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime'; exit 77; }
exec "${LBW_PYTHON:-python3}" "$LBW_SOURCE_ROOT/tests/ort/structures.py" "$LBW_BUILD_ROOT/lbw"
