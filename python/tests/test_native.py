# SPDX-License-Identifier: MIT
"""The operator library is where the package says, and onnxruntime takes it."""

import os

import pytest
from conftest import MODEL

import lbw

onnxruntime = pytest.importorskip("onnxruntime")


def test_onnxruntime_takes_the_library():
    path = lbw.native_library()
    assert os.path.isabs(path) and os.path.basename(path) == "liblbw_ort.so"
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(path)
    assert onnxruntime.InferenceSession(MODEL, options).get_inputs()
