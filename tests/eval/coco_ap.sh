#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs coco_ap.py; LBW_PYTHON names a Python that has pycocotools (else: skipped).
exec "${LBW_PYTHON:-python3}" "$LBW_SOURCE_ROOT/tests/eval/coco_ap.py" "$1" \
    "${LBW_ASSETS:-$LBW_SOURCE_ROOT/../shared/assets}"
