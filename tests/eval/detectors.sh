#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs detectors.py; LBW_PYTHON may name a Python that has pycocotools.
exec "${LBW_PYTHON:-python3}" "$LBW_SOURCE_ROOT/tests/eval/detectors.py" \
    "$LBW_BUILD_ROOT/lbw" "${LBW_ASSETS:-$LBW_SOURCE_ROOT/../shared/assets}"
