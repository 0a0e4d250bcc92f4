# SPDX-License-Identifier: MIT
"""LBW weights (zero, a power of two or the sum of two) for ONNX detectors.

    import lbw

    result = lbw.quantize("model.onnx", "small.onnx", bits="4x2", calibration="photos/")
    print(result.bytes_before, result.bytes_after)
    print(lbw.evaluate(["model.onnx", "small.onnx"], "val/", "val.json")[1].labels.ap)

A model is a path, bytes, or an onnx.ModelProto. Functions that run models use the ONNX Runtime of
the installed package onnxruntime, unless the environment variable LBW_ORT names another.
"""

from ._call import (
    ArgumentError,
    Error,
    FileError,
    FormatError,
    Interrupted,
    OnnxRuntimeError,
    OutOfMemoryError,
    UnsupportedError,
    text as _text,
)
from ._convert import convert, expand, grids, inspect, plan, profiles, quantize, tune
from ._detect import Detector, bench, compare, detect, evaluate, search
from ._lbw import lib as _lib
from ._options import native_library
from ._results import (
    AveragePrecision,
    BenchRow,
    Box,
    Budget,
    Comparison,
    CompareRow,
    Conversion,
    Detections,
    EvaluatedModel,
    Evaluation,
    Grid,
    Inspection,
    Kept,
    KeptOutput,
    Layer,
    Plan,
    Port,
    Profile,
    Reencoding,
    SearchResult,
    Spread,
    Training,
    Trial,
    Weight,
)

__version__ = _text(_lib.lbw_version())
__all__ = [
    "ArgumentError",
    "AveragePrecision",
    "BenchRow",
    "Box",
    "Budget",
    "CompareRow",
    "Comparison",
    "Conversion",
    "Detections",
    "Detector",
    "Error",
    "EvaluatedModel",
    "Evaluation",
    "FileError",
    "FormatError",
    "Grid",
    "Inspection",
    "Interrupted",
    "Kept",
    "KeptOutput",
    "Layer",
    "OnnxRuntimeError",
    "OutOfMemoryError",
    "Plan",
    "Port",
    "Profile",
    "Reencoding",
    "SearchResult",
    "Spread",
    "Training",
    "Trial",
    "UnsupportedError",
    "Weight",
    "bench",
    "compare",
    "convert",
    "detect",
    "evaluate",
    "expand",
    "grids",
    "inspect",
    "native_library",
    "plan",
    "profiles",
    "quantize",
    "search",
    "tune",
]
