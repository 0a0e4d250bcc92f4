#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""inference.py [--threads N] [--seconds S] LBW LIBRARY MODEL.onnx[:WxH]…

Times each model in ONNX Runtime and OpenVINO, interleaved: float, ONNX Runtime's own static int8
(QDQ, per channel), the same in lbw's encoding native with the operator library, and where LBW's
quantize takes --activations its int8 model in both forms. Prints medians of the ratios to float ONNX
Runtime. --profile adds where the time of the native model goes, --memory what a session of each
takes, measured in a process of its own.
Needs numpy, onnx, onnxruntime and, for its columns, openvino.
"""
import argparse
import json
import os
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
    if args.profile:
        profile(own[1] if own else native, feed, args.library, folder)
    if args.memory:
        for title, file, library in (("float", path, None), ("its int8", int8, None),
                                     ("native", own[1] if own else native, args.library)):
            loaded, resident = weigh(file, (name, shape), library)
            print(f"        {title:18} loads in {loaded:6.0f} ms, takes {resident:6.1f} MB")
    if openvino:
        rows.append(("OpenVINO float", openvino_runner(path, feed, threads)))
        rows.append(("OpenVINO int8", openvino_runner(int8, feed, threads)))
    return rows


def kind_of(event):
    """Convolutions by their shape, everything else by its operator."""
    args = event["args"]
    op = args["op_name"]
    if not op.startswith("QConv"):
        return op, 0
    x, w = (list(args["input_type_shape"][i].values())[0] for i in (0, 3))
    y = list(args["output_type_shape"][0].values())[0]
    products = int(np.prod(w)) * y[0] * y[2] * y[3]
    stride = round(x[2] / y[2])
    shape = "depthwise" if w[1] == 1 and w[0] == x[1] > 1 else "first" if x[1] == 3 else "dense"
    return f"{shape} {w[2]}x{w[3]}" + (f", stride {stride}" if stride > 1 else ""), products


def node_times(path, feed, library, folder):
    """Per kind of node: how many, their time in microseconds, their multiply-adds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = os.path.join(folder, "profile")
    if library:
        options.register_custom_ops_library(library)
    session = onnxruntime.InferenceSession(path, options)
    for _ in range(50):
        session.run(None, feed)
    with open(session.end_profiling()) as file:
        events = [e for e in json.load(file) if e["name"].endswith("_kernel_time")]
    nodes = {}
    for event in events:
        nodes.setdefault(event["name"], []).append(event)
    kinds = {}
    for own in nodes.values():
        kind, products = kind_of(own[0])
        row = kinds.setdefault(kind, [0, 0.0, 0])
        row[0] += 1
        row[1] += float(np.percentile([e["dur"] for e in own], 25))
        row[2] += products
    return kinds


def profile(path, feed, library, folder):
    """Prints the time per kind of node, from the runtime's own profile."""
    kinds = node_times(path, feed, library, folder)
    total = sum(row[1] for row in kinds.values())
    for kind, (num, time_us, products) in sorted(kinds.items(), key=lambda k: -k[1][1]):
        rate = f"{products / time_us / 1e3:6.0f} G/s" if products else ""
        share = 100 * time_us / total
        print(f"        {kind:24} {num:4} {time_us / 1e3:8.3f} ms {share:5.1f} % {rate}")


def weigh(path, shape, library):
    """Load time and memory of a session with one run behind it, in a child process."""
    code = """
import sys, time, numpy as np, onnxruntime as ort
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096
path, library, name, *shape = sys.argv[1:]
ort.set_default_logger_severity(4)
options = ort.SessionOptions()
options.intra_op_num_threads = 1
x = np.zeros([int(d) for d in shape], np.float32)
before = resident()
start = time.perf_counter()
if library:
    options.register_custom_ops_library(library)
session = ort.InferenceSession(path, options)
loaded = time.perf_counter() - start
session.run(None, {name: x})
print(1e3 * loaded, (resident() - before) / 1e6)
"""
    name, dims = shape
    out = subprocess.run([sys.executable, "-c", code, path, library or "", name,
                          *map(str, dims)], check=True, capture_output=True, text=True).stdout
    return [float(n) for n in out.split()]


def measure(rows, seconds, clock):
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
            start = clock()
            rows[k][1]()
            times[k, i] = clock() - start
    return times


def report(path, rows, times):
    print(f"{os.path.basename(path)}, {times.shape[1]} runs of each")
    for (title, _), own in zip(rows, times):
        low, middle, high = np.percentile(times[0] / own, [25, 50, 75])
        best, of_float = np.percentile(own, 10), np.percentile(times[0], 10)
        print(f"    {title:18} {1e3 * np.median(own):8.2f} ms {middle:6.2f}× {low:6.2f} … {high:.2f}"
              f"   fastest tenth {1e3 * best:8.2f} ms {of_float / best:6.2f}×")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--processor-time", action="store_true",
                        help="for one thread on a machine that others use as well")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("lbw")
    parser.add_argument("library")
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    clock = time.process_time if args.processor_time else time.perf_counter
    print(f"ONNX Runtime {onnxruntime.__version__}"
          + (f", OpenVINO {openvino.__version__.split('-')[0]}" if openvino else "")
          + f", {args.threads} thread" + "s" * (args.threads > 1))
    for model in args.models:
        path, _, size = model.partition(":")
        size = [int(n) for n in size.split("x")] if size else [320, 320]
        with tempfile.TemporaryDirectory() as folder:
            rows = runners(args, path, size, folder)
            report(path, rows, measure(rows, args.seconds, clock))
    return 0


if __name__ == "__main__":
    sys.exit(main())
