# SPDX-License-Identifier: MIT
"""Exports an Ultralytics model to ONNX and converts it; keeps the metadata of the export.

usage: ultralytics_export.py WEIGHTS.pt [IMAGES]
"""

import sys

import lbw


def export(yolo, calibration=None, bits="4x2", **options):
    """yolo.export(format="onnx", **options), converted in place; returns the path."""
    path = yolo.export(format="onnx", **options)
    result = lbw.quantize(path, path, bits=bits, calibration=calibration, progress=True)
    print(f"{path}: {result.bytes_before:,} -> {result.bytes_after:,} bytes")
    return path


if __name__ == "__main__":
    from ultralytics import YOLO

    export(YOLO(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
