#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every.py; LBW_PYTHON names a Python that has onnxruntime (else: skipped).
exec "${LBW_PYTHON:-python3}" "$LBW_SOURCE_ROOT/tests/ort/every.py" "$LBW_BUILD_ROOT/lbw" "$@"
