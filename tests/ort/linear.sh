#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs linear.py; LBW_PYTHON names a Python that has onnx and onnxruntime (else: skipped).
exec "${LBW_PYTHON:-python3}" "$LBW_SOURCE_ROOT/tests/ort/linear.py"
