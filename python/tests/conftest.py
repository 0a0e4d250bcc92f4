# SPDX-License-Identifier: MIT
"""What the tests share: the sample detector, and the program to compare with."""

import pathlib
import subprocess
import sys

import pytest

import lbw

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPES = ROOT / "samples/shapes"
MODEL = SHAPES / "shapes.onnx"
PROFILE = SHAPES / "profile.json"
# Leaves a few layers to convert, where what is tested is not the conversion.
SKIP = "stem|stage|merge|lateral|head16|where"


def has_runtime():
    try:
        lbw.compare(MODEL, MODEL, num_samples=1)
    except lbw.OnnxRuntimeError:
        return False
    return True


HAS_RUNTIME = has_runtime()
runtime = pytest.mark.skipif(not HAS_RUNTIME, reason="no ONNX Runtime")


@pytest.fixture
def program():
    """Runs the program; its standard output, or what it says when it fails."""

    def run(*arguments, ok=True):
        command = [sys.executable, "-m", "lbw", *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert (done.returncode == 0) == ok, done.stderr
        return done.stdout if ok else done.stderr.strip()

    return run


def images(num, seed=0):
    """`num` samples for the sample detector."""
    numpy = pytest.importorskip("numpy")
    shape = (num, 1, 3, 192, 192)
    return numpy.random.default_rng(seed).random(shape, numpy.float32)
