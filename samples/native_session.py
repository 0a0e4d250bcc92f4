#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""native_session.py MODEL.onnx: runs a model of encoding native on lbw's kernels in ONNX Runtime.

Needs the packages onnxruntime, numpy and lbw; LBW_ORT_LIBRARY may name liblbw_ort.so instead of lbw.
"""
import os
import sys
import time

import numpy as np
import onnxruntime


def library():
    path = os.environ.get("LBW_ORT_LIBRARY")
    if path:
        return path
    import lbw
    return lbw.native_library()


def open_session(path, native):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if native:
        options.register_custom_ops_library(library())
    return onnxruntime.InferenceSession(path, options)


def main(path):
    sessions = {"functions": open_session(path, False), "kernels": open_session(path, True)}
    port = sessions["kernels"].get_inputs()[0]
    shape = [d if isinstance(d, int) else 1 for d in port.shape]
    picture = {port.name: 255 * np.random.default_rng(0).random(shape, np.float32)}
    outputs = {}
    for name, session in sessions.items():
        outputs[name] = session.run(None, picture)
        start = time.perf_counter()
        for _ in range(10):
            session.run(None, picture)
        print(f"{name}: {100 * (time.perf_counter() - start):.2f} ms")
    apart = max(float(np.abs(a - b).max()) for a, b in zip(*outputs.values()))
    print(f"largest difference {apart:g}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.split("\n")[0])
    main(sys.argv[1])
