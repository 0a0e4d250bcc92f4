#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""8-bit activations, measured: what fuses in ONNX Runtime, how fast it is, and what it costs.

usage: activations.py LBW MODEL.onnx CALIB_DIR [--labels EVAL.json --images EVAL_DIR]
                      [--bits GRID]… [--samples N]

Converts MODEL with and without --activations int8 for every grid, and prints per file: bytes,
the kernels of ONNX Runtime's optimised graph, the time of a run on one thread as a ratio to the
float model (all files interleaved, best of several), and AP where labels are given.
"""
import argparse
import collections
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

ROUNDS = 12


def convert(args, grid, activations, out):
    command = [args.lbw, "quantize", args.model, "-o", out, "--bits", grid, "--calib",
               args.calib, "-q"]
    if args.samples:
        command += ["-n", str(args.samples)]
    if activations:
        command += ["--activations", "int8", "--report", out + ".json"]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def open_session(path, optimized):
    options = ort.SessionOptions()
    options.optimized_model_filepath = optimized
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    ops = collections.Counter(n.op_type for n in onnx.load(optimized).graph.node)
    return session, ops


def time_all(sessions):
    info = sessions[0].get_inputs()[0]
    shape = [d if isinstance(d, int) else 1 for d in info.shape]
    x = np.random.default_rng(0).random(shape, dtype=np.float32) * 255
    best = [float("inf")] * len(sessions)
    for _ in range(ROUNDS):
        for i, session in enumerate(sessions):
            start = time.perf_counter()
            session.run(None, {session.get_inputs()[0].name: x})
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def precision(args, paths):
    if not args.labels:
        return ["" for _ in paths]
    result = subprocess.run(
        [args.lbw, "eval", *paths, "--images", args.images, "--labels", args.labels, "--json"],
        check=True, capture_output=True, text=True)
    return [f"{model['labels']['ap']:.4f}" for model in json.loads(result.stdout)["models"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lbw")
    parser.add_argument("model")
    parser.add_argument("calib")
    parser.add_argument("--labels")
    parser.add_argument("--images")
    parser.add_argument("--bits", action="append")
    parser.add_argument("--samples", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = [("float", args.model, 0.0)]
        for grid in args.bits or ["4", "auto", "4x2"]:
            for activations in (False, True):
                name = f"{grid}{' int8' if activations else ''}"
                path = f"{work}/{name.replace(' ', '_')}.onnx"
                rows.append((name, path, convert(args, grid, activations, path)))
        opened = [open_session(path, f"{work}/optimized.onnx") for _, path, _ in rows]
        times = time_all([session for session, _ in opened])
        aps = precision(args, [path for _, path, _ in rows])
        print("model  bytes  QLinearConv  Conv  speed  AP  float activations  seconds")
        for (name, path, seconds), (_, ops), best, ap in zip(rows, opened, times, aps):
            kept = ""
            if Path(path + ".json").exists():
                report = json.loads(Path(path + ".json").read_text())
                kept = sum(a["type"] == "float" for a in report["activations"])
            print(f"{name}  {Path(path).stat().st_size}  {ops['QLinearConv']}  "
                  f"{ops['Conv'] + ops['FusedConv']}  {times[0] / best:.2f}  {ap}  {kept}  "
                  f"{seconds:.0f}")


if __name__ == "__main__":
    main()
