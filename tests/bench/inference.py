#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""inference.py [--threads N] [--seconds S] LBW LIBRARY MODEL.onnx[:WxH]…

Times each model in ONNX Runtime and OpenVINO, interleaved: float, ONNX Runtime's own static int8 (QDQ,
per channel), the same in lbw's encoding native with the operator library, and where LBW's quantize
takes --activations its int8 model in both forms. Prints medians of the ratios to float ONNX Runtime.
Needs numpy, onnx, onnxruntime and, for its columns, openvino.
"""
import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType,
                                      quantize_static)

try:
    import openvino
except ImportError:
    openvino = None


class Noise(CalibrationDataReader):
    """Ranges do not change the speed: noise is enough."""

    def __init__(self, name, shape):
        rng = np.random.default_rng(0)
        self.left = [{name: 255 * rng.random(shape, np.float32)} for _ in range(4)]

    def get_next(self):
        return self.left.pop() if self.left else None


def shape_of(path, size):
    port = onnxruntime.InferenceSession(path).get_inputs()[0]
    sides = [1, 3, size[1], size[0]]
    return port.name, [d if isinstance(d, int) else sides[i] for i, d in enumerate(port.shape)]


def lift(lbw, path, folder):
    """Opset 13, and no initializer that is a graph input: that is what the quantizer wants."""
    out = os.path.join(folder, "lifted.onnx")
    model = onnx.load(path, load_external_data=False)
    version = max([o.version for o in model.opset_import if o.domain == ""] + [13])
    subprocess.run([lbw, "convert", path, "-o", out, "-e", "float", "--opset", str(version), "-q"],
                   check=True, stderr=subprocess.DEVNULL)
    model = onnx.load(out)
    names = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    onnx.save(model, out)
    return out


def optimize(path, folder):
    """What the runtime does at load that the quantizer must see: BatchNormalization folded."""
    out = os.path.join(folder, "basic.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = out
    onnxruntime.InferenceSession(path, options)
    return out


def make_int8(path, name, shape, folder):
    out = os.path.join(folder, "int8.onnx")
    quantize_static(path, out, Noise(name, shape), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return out


def ort_runner(path, feed, threads, library=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if library:
        options.register_custom_ops_library(library)
    session = onnxruntime.InferenceSession(path, options)
    return lambda: session.run(None, feed)


def openvino_runner(path, feed, threads):
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape({model.inputs[0]: list(feed.values())[0].shape})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads,
                                                 "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    values = list(feed.values())
    return lambda: request.infer(values)


def own_int8(lbw, path, size, folder):
    """lbw's own int8 models, or none where quantize has no --activations."""
    usage = subprocess.run([lbw, "quantize", "--help"], capture_output=True, text=True).stdout
    if "--activations" not in usage:
        return []
    made = []
    for encoding in "packed", "native":
        out = os.path.join(folder, encoding + ".onnx")
        done = subprocess.run([lbw, "quantize", path, "-o", out, "--activations", "int8", "-e",
                               encoding, "-q"], capture_output=True, text=True)
        if done.returncode:
            print(done.stderr.strip(), file=sys.stderr)
            return []
        made.append(out)
    return made


def runners(args, path, size, folder):
    name, shape = shape_of(path, size)
    feed = {name: 255 * np.random.default_rng(1).random(shape, np.float32)}
    int8 = make_int8(optimize(lift(args.lbw, path, folder), folder), name, shape, folder)
    native = os.path.join(folder, "int8-native.onnx")
    subprocess.run([args.lbw, "convert", int8, "-o", native, "-e", "native", "-q"], check=True)
    threads = args.threads
    rows = [("float", ort_runner(path, feed, threads)),
            ("its int8", ort_runner(int8, feed, threads)),
            ("its int8, native", ort_runner(native, feed, threads, args.library))]
    own = own_int8(args.lbw, path, size, folder)
    if own:
        rows.append(("lbw int8", ort_runner(own[0], feed, threads)))
        rows.append(("lbw int8, native", ort_runner(own[1], feed, threads, args.library)))
    if openvino:
        rows.append(("OpenVINO float", openvino_runner(path, feed, threads)))
        rows.append(("OpenVINO int8", openvino_runner(int8, feed, threads)))
    return rows


def measure(rows, seconds):
    """One run of each in turn; times[k][i] is the i-th of runner k."""
    for _ in range(3):
        start = time.perf_counter()
        for _, run in rows:
            run()
        length = time.perf_counter() - start
    rounds = max(11, min(2000, int(seconds * len(rows) / length)))
    times = np.zeros((len(rows), rounds))
    for i in range(rounds):
        for j in range(len(rows)):
            k = (i + j) % len(rows)
            start = time.perf_counter()
            rows[k][1]()
            times[k, i] = time.perf_counter() - start
    return times


def report(path, rows, times):
    print(f"{os.path.basename(path)}, {times.shape[1]} runs of each")
    for (title, _), own in zip(rows, times):
        ratio = times[0] / own
        low, middle, high = np.percentile(ratio, [25, 50, 75])
        print(f"    {title:18} {1e3 * np.median(own):8.2f} ms   {middle:5.2f}×"
              f"   {low:5.2f} … {high:5.2f}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("lbw")
    parser.add_argument("library")
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    print(f"ONNX Runtime {onnxruntime.__version__}"
          + (f", OpenVINO {openvino.__version__.split('-')[0]}" if openvino else "")
          + f", {args.threads} thread" + "s" * (args.threads > 1))
    for model in args.models:
        path, _, size = model.partition(":")
        size = [int(n) for n in size.split("x")] if size else [320, 320]
        with tempfile.TemporaryDirectory() as folder:
            rows = runners(args, path, size, folder)
            report(path, rows, measure(rows, args.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
