#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the section on 8-bit activations of docs/compatibility.md: which runtimes load such
models, agree with the same rounding computed in float, and run convolutions on integers.

Converts models of samples/shapes and ../shared/assets (or LBW_ASSETS) with build/lbw (or LBW) in
every encoding. Needs numpy, onnx and onnxruntime; openvino and cv2 where they are installed.

usage: python3 tests/bench/activations_runtimes.py
"""
import collections
import copy
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import onnx
from onnx import helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("LBW_ASSETS", ROOT / "../shared/assets"))
LBW = pathlib.Path(os.environ.get("LBW", ROOT / "build/lbw"))
WORK = ROOT / "build" / "activations_runtimes"
DOCUMENT = ROOT / "docs/compatibility.md"
TITLE, NEXT = "## 8-bit activations", "## Model by model"
MODELS = [ROOT / "samples/shapes/shapes.onnx", ASSETS / "models/ultraface_rfb_320.onnx"]
ENCODINGS = {"packed": [], "inline": ["--inline"], "dq": ["-e", "dq"]}
INTEGERS = ("u8", "i8")

TEXT = """{title}

`--activations int8 --bits 4x2`, calibrated on four generated images, by
`python3 tests/bench/activations_runtimes.py` on {models}. A cell is the number of models that load, how
many of all convolutions run on integers, and how each layer agrees with the same rounding computed in
float (ONNX Runtime without optimizations): with equal input bytes, the largest difference of the output
bytes, in steps, and how many of a million differ.

{table}

{failures}
* `packed` uses functions, which OpenVINO and OpenCV do not support: use `--inline` or `-e dq` there.
* A fused layer sums in another order, so a value halfway between two steps may be rounded to the other one. Later
  layers pass such differences on and add their own, so outputs of the whole model have an SNR of {whole} here.
  For comparison, rounding the activations at all changes them by {noise}.
* *no layer by itself*: the program does not accept bytes as input; only the model's outputs are compared.
"""


def convert(source, name):
    out = WORK / f"{source.stem}-{name}.onnx"
    if not out.exists():
        command = [LBW, "quantize", source, "-o", out, "-b", "4x2", "--activations", "int8",
                   "--calib", "generated:4", "-q", *ENCODINGS[name]]
        subprocess.run([str(c) for c in command], check=True)
    return out


def feed_of(source):
    graph = onnx.load(source).graph
    weights = {t.name for t in graph.initializer}
    (port,) = [p for p in graph.input if p.name not in weights]
    dims = [d.dim_value for d in port.type.tensor_type.shape.dim]
    return {port.name: np.random.default_rng(0).random(dims, dtype=np.float32)}


def by_ort(model, feed, optimized=True):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.log_severity_level = 4
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = (levels.ORT_ENABLE_ALL if optimized
                                        else levels.ORT_DISABLE_ALL)
    options.optimized_model_filepath = str(WORK / "optimized.onnx")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, feed)))
    ops = collections.Counter(n.op_type for n in onnx.load(WORK / "optimized.onnx").graph.node)
    return found, (ops["QLinearConv"], ops["QLinearConv"] + ops["Conv"] + ops["FusedConv"])


def by_openvino(model, feed):
    import openvino
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU",
                                  {"EXECUTION_MODE_HINT": "ACCURACY"})
    kinds = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    kinds = [str(k["runtimePrecision"].astype(str)) for k in kinds
             if "Convolution" in str(k["layerType"].astype(str))]
    found = compiled(feed)
    return ({port.get_any_name(): found[port] for port in compiled.outputs},
            (sum(k in INTEGERS for k in kinds), len(kinds)))


def by_opencv(model, feed):
    import cv2
    import numpy
    net = cv2.dnn.readNetFromONNX(numpy.frombuffer(model, numpy.uint8))
    for name, value in feed.items():
        net.setInput(value, name)
    names = net.getUnconnectedOutLayersNames()
    return dict(zip(names, net.forward(names))), None


def version(module):
    return getattr(__import__(module), "__version__").split("-")[0]


RUNTIMES = {"ONNX Runtime": ("onnxruntime", by_ort, True),
            "OpenVINO": ("openvino", by_openvino, True), "OpenCV": ("cv2", by_opencv, False)}


def snr(reference, outputs):
    """In dB, on average over outputs; each is compared with the one of its size most alike."""
    found = []
    for x in reference.values():
        x = x.astype(np.float64).ravel()
        errors = [np.square(x - y.astype(np.float64).ravel()).sum() for y in outputs.values()
                  if y.size == x.size]
        error, energy = min(errors, default=np.inf), np.square(x - x.mean()).sum()
        found.append(10 * np.log10(energy / error) if error > 0 else np.inf)
    return float(np.mean(found))


def rounded(model):
    """The bytes of each rounded tensor: name → node that writes it."""
    return {n.output[0]: n for n in model.graph.node if n.op_type == "QuantizeLinear"}


def exact(model, feed):
    """What the nodes say: all outputs, and the bytes of all rounded tensors."""
    model = copy.deepcopy(model)
    for name in rounded(model):
        model.graph.output.append(helper.make_empty_tensor_value_info(name))
    return by_ort(model.SerializeToString(), feed, optimized=False)[0]


def layers(model, values):
    """Model, inputs and name of each rounded tensor: from bytes, or inputs, to bytes."""
    graph, bytes_of = model.graph, rounded(model)
    constants = {t.name: t for t in graph.initializer}
    writers = {o: n for n in graph.node for o in n.output}

    def port(name):
        value = values[name]
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)

    for name in bytes_of:
        left, seen, inputs = [name], set(), []
        while left:
            value = left.pop()
            if not value or value in seen:
                continue
            seen.add(value)
            if value != name and (value in bytes_of or
                                  value not in writers and value not in constants):
                inputs.append(value)
            elif value in writers:
                left += writers[value].input
        nodes = [n for n in graph.node if not seen.isdisjoint(n.output)
                 and not set(n.output) & set(inputs)]
        part = helper.make_graph(nodes, "layer", [port(i) for i in inputs], [port(name)],
                                 [constants[v] for v in sorted(seen & constants.keys())])
        made = helper.make_model(part, opset_imports=model.opset_import,
                                 ir_version=model.ir_version, functions=model.functions)
        yield made.SerializeToString(), {i: values[i] for i in inputs}, name


def compare_layers(runtime, model, values):
    """The largest difference in steps, how many values differ, and of how many."""
    most, differ, count = 0, 0, 0
    for part, feed, name in layers(model, values):
        found = next(iter(runtime(part, feed)[0].values()))
        steps = np.abs(found.astype(int) - values[name].astype(int))
        most, differ = max(most, int(steps.max())), differ + int((steps > 0).sum())
        count += steps.size
    return most, differ, count


def why(problem):
    """The line that names a failure, without paths."""
    lines = [l.strip() for l in str(problem).splitlines() if len(l.strip()) > 9]
    telling = [l for l in lines if re.search("fail|error|not supported", l, re.IGNORECASE)]
    return re.sub(r"\S*/\S+", "…", (telling or lines or ["no word"])[-1])[:110]


def try_all(runtime, takes_bytes, encoding, failures, whole):
    """One cell."""
    loaded, worst, most, differ, count, integers, convs = 0, np.inf, 0, 0, 0, 0, 0
    for source in MODELS:
        feed, model = feed_of(source), onnx.load(convert(source, encoding))
        try:
            outputs, counts = runtime(model.SerializeToString(), feed)
        except Exception as problem:  # a runtime that refuses
            failures[why(problem)] = None
            continue
        values = exact(model, feed)
        loaded += 1
        worst = min(worst, snr({o.name: values[o.name] for o in model.graph.output}, outputs))
        if takes_bytes:
            here = compare_layers(runtime, model, {**values, **feed})
            most, differ, count = max(most, here[0]), differ + here[1], count + here[2]
            integers, convs = integers + counts[0], convs + counts[1]
    if not loaded:
        return "none"
    whole.append(worst)
    if not takes_bytes:
        return f"{loaded}; outputs {worst:.0f} dB, no layer by itself"
    return f"{loaded}; {integers} of {convs}; {most} step, {1e6 * differ / count:.1f}"


def decibels(values):
    return f"{min(values):.0f} to {max(values):.0f} dB"


def rounding_noise():
    """SNR of the rounded models against float ones, beside which the table's is small."""
    values = []
    for source in MODELS:
        rounded_file = convert(source, "dq")
        expanded = WORK / f"{source.stem}-expanded.onnx"
        subprocess.run([str(LBW), "expand", str(rounded_file), "-o", str(expanded), "-q"],
                       check=True)
        feed = feed_of(source)
        values.append(snr(by_ort(expanded.read_bytes(), feed)[0],
                          by_ort(rounded_file.read_bytes(), feed, optimized=False)[0]))
    return decibels(values)


def section():
    WORK.mkdir(parents=True, exist_ok=True)
    rows, failures, whole = [], [], []
    for title, (module, runtime, takes_bytes) in RUNTIMES.items():
        try:
            number = version(module)
        except ImportError:
            print(f"{title}: Python has no {module}", file=sys.stderr)
            continue
        told = {}
        cells = [try_all(runtime, takes_bytes, name, told, whole) for name in ENCODINGS]
        rows.append(f"| {title} {number} | " + " | ".join(cells) + " |")
        failures += [f"* {title}: `{why}`" for why in told]
    table = "\n".join(["| | " + " | ".join(ENCODINGS) + " |", "|---" * (1 + len(ENCODINGS)) + "|",
                       *rows])
    return TEXT.format(title=TITLE, models=", ".join(m.stem for m in MODELS), table=table,
                       noise=rounding_noise(), whole=decibels(whole),
                       failures="\n".join(failures))


def main():
    text = DOCUMENT.read_text()
    start = text.index(TITLE) if TITLE in text else text.index(NEXT)
    DOCUMENT.write_text(text[:start] + section() + "\n" + text[text.index(NEXT):])


if __name__ == "__main__":
    main()
