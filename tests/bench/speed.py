#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""speed.py [OPTION]… BUILD NAME=MODEL.onnx[:WxH][@CALIB]…

All measurements of docs/speed.md about inference in one run, as Markdown. Models take turns within
one process: float in ONNX Runtime, ONNX Runtime's own static int8, lbw's int8 model in QDQ and in
encoding native, OpenVINO on the float model and on ONNX Runtime's int8 one. BUILD is the build
folder. CALIB is a folder of images for lbw's model; generated images otherwise.

--write FILE puts the result between the two marks in FILE. --cache FOLDER keeps what takes long to
make and is always the same: ONNX Runtime's and lbw's int8 models. --prepare fills it and stops.
Needs what inference.py needs.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

import inference

BEGIN, END = "<!-- begin of speed.py -->", "<!-- end of speed.py -->"
COLUMNS = ["float", "its int8", "that, native", "lbw QDQ", "lbw native", "OpenVINO float", "OpenVINO int8"]


def parse(text):
    name, _, rest = text.partition("=")
    rest, _, calib = rest.partition("@")
    path, _, size = rest.partition(":")
    return name, path, [int(n) for n in size.split("x")] if size else [320, 320], calib


def make_files(args, model, folder):
    """The int8 models of ONNX Runtime and of lbw; the latter in both encodings."""
    name, path, size, calib = model
    theirs, ours = (os.path.join(folder, f"{name}-{who}.onnx") for who in ("theirs", "ours"))
    native = os.path.join(folder, f"{name}-native.onnx")
    if not os.path.exists(theirs):
        with tempfile.TemporaryDirectory() as work:
            port, shape = inference.shape_of(path, size)
            basic = inference.optimize(inference.lift(args.lbw, path, work), work)
            os.replace(inference.make_int8(basic, port, shape, work), theirs)
    if not os.path.exists(ours):
        sizes = ["--size", "%dx%d" % tuple(size)] if not calib else []
        subprocess.run([args.lbw, "quantize", path, "-o", ours, "-b", "4", "--activations", "int8",
                        "-q", "-n", "16" if calib else "4", "-c", calib or "generated:4"] + sizes,
                       check=True)
    converted = os.path.join(folder, f"{name}-theirs-native.onnx")
    for qdq, out in ((ours, native), (theirs, converted)):
        subprocess.run([args.lbw, "convert", qdq, "-o", out, "-e", "native", "-q"], check=True)
    return theirs, ours, native, converted


def runners(args, model, files, threads):
    _, path, size, _ = model
    theirs, ours, native, converted = files
    name, shape = inference.shape_of(path, size)
    feed = {name: 255 * np.random.default_rng(1).random(shape, np.float32)}
    rows = [("float", inference.ort_runner(path, feed, threads)),
            ("its int8", inference.ort_runner(theirs, feed, threads)),
            ("that, native", inference.ort_runner(converted, feed, threads, args.library)),
            ("lbw QDQ", inference.ort_runner(ours, feed, threads)),
            ("lbw native", inference.ort_runner(native, feed, threads, args.library))]
    if inference.openvino:
        rows.append(("OpenVINO float", inference.openvino_runner(path, feed, threads)))
        rows.append(("OpenVINO int8", inference.openvino_runner(theirs, feed, threads)))
    return rows


def latency(args, models, files, threads):
    """One table; cells are times of float and medians of ratios to it, with quartiles."""
    lines = [f"{threads} thread{'s' * (threads > 1)}:", "",
             "| | " + " | ".join(COLUMNS) + " |", "|---|" + "--:|" * len(COLUMNS)]
    for model in models:
        rows = runners(args, model, files[model[0]], threads)
        clock = time.process_time if args.processor_time else time.perf_counter
        times = inference.measure(rows, args.seconds, clock)
        cells = [f"{1e3 * np.median(times[0]):.2f} ms"]
        for (title, _), own in zip(rows[1:], times[1:]):
            low, middle, high = np.percentile(times[0] / own, [25, 50, 75])
            ratio = f"**{middle:.2f}**" if "native" in title else f"{middle:.2f}"
            cells.append(f"{ratio} ({low:.2f} … {high:.2f})")
        cells += ["–"] * (len(COLUMNS) - len(cells))
        lines.append(f"| {model[0]} | " + " | ".join(cells) + " |")
        print(lines[-1], file=sys.stderr)
    return lines + [""]


def memory(args, models, files):
    lines = ["Memory of a session with one run behind it, and load time:", "",
             "| | float | its int8 | lbw QDQ | lbw native |", "|---|--:|--:|--:|--:|"]
    for model in models:
        name, path, size, _ = model
        theirs, ours, native, _ = files[name]
        cells = []
        for file, library in ((path, None), (theirs, None), (ours, None), (native, args.library)):
            runs = [inference.weigh(file, inference.shape_of(path, size), library)
                    for _ in range(args.loads)]
            cells.append(f"{runs[0][1]:.1f} MB, {min(run[0] for run in runs):.0f} ms")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print(lines[-1], file=sys.stderr)
    return lines + [""]


def profile(args, model, native):
    """Where a run goes: kinds of nodes by their share, the small ones together."""
    name, path, size, _ = model
    port, shape = inference.shape_of(path, size)
    feed = {port: 255 * np.random.default_rng(1).random(shape, np.float32)}
    with tempfile.TemporaryDirectory() as work:
        kinds = inference.node_times(native, feed, args.library, work)
        of_float = inference.node_times(path, feed, None, work)
    total = sum(kind[1] for kind in kinds.values())
    lines = [f"Where a run of {name} goes (one thread, lower quartile of 50 runs per node; with the "
             "runtime's profiler on):", "",
             "| | nodes | time | share | multiply-adds/s |", "|---|--:|--:|--:|--:|"]
    rest = [0, 0.0]
    for kind, (num, us, products) in sorted(kinds.items(), key=lambda k: -k[1][1]):
        if us < total / 100:
            rest = [rest[0] + num, rest[1] + us]
            continue
        rate = f"{products / us / 1e3:.0f} G" if products else ""
        lines.append(f"| {kind} | {num} | {us / 1e3:.2f} ms | {100 * us / total:.0f} % | {rate} |")
    lines.append(f"| others | {rest[0]} | {rest[1] / 1e3:.2f} ms | {100 * rest[1] / total:.0f} % | |")
    lines.append(f"| together | {sum(k[0] for k in kinds.values())} | {total / 1e3:.2f} ms | | float: "
                 f"{sum(k[1] for k in of_float.values()) / 1e3:.2f} ms |")
    return lines + [""]


def layers(args):
    """The kernels by shape, and the share of the peak measured in the same run."""
    out = subprocess.run([os.path.join(args.build, "tests", "bench_kernels")], check=True,
                         capture_output=True, text=True).stdout.splitlines()
    lines = ["A convolution of the kernels by shape, and its share of what the dot product alone does in "
             f"registers ({out[0]}; best of nine):", "",
             "| kind | channels | kernel | output | time | G/s | of peak |",
             "|---|---|---|---|--:|--:|--:|"]
    for line in out[1:]:
        found = re.match(r"(\S+) +(\d+) > +(\d+) +(\S+) +(\S+) +(\S+) us +(\S+) G/s +(\S+) %", line)
        if found:
            kind, inputs, outputs, kernel, sides, us, rate, share = found.groups()
            lines.append(f"| {kind} | {inputs} → {outputs} | {kernel} | {sides} | {us} µs | {rate} | "
                         f"{share} % |")
    return lines + [""]


def precision(args, models, files):
    """Average precision on labelled images: QDQ by the runtime alone, native by the kernels."""
    lines = ["Average precision (COCO AP) of the same int8 model in both encodings, the second with the "
             "operator library:", "", "| | lbw QDQ | lbw native | difference |", "|---|--:|--:|--:|"]
    for model in models:
        if not model[3]:
            continue
        ap = []
        for file, extra in ((files[model[0]][1], ["--no-native"]), (files[model[0]][2], [])):
            out = subprocess.run([args.lbw, "eval", file, "-i", args.images, "-l", args.labels, "-q",
                                  "--json", *extra], capture_output=True, text=True)
            if out.returncode:
                print(f"{model[0]}: {out.stderr}", file=sys.stderr)
                break
            ap.append(json.loads(out.stdout)["models"][0]["labels"]["ap"])
        if len(ap) == 2:
            lines.append(f"| {model[0]} | {ap[0]:.4f} | {ap[1]:.4f} | {abs(ap[0] - ap[1]):.4f} |")
            print(lines[-1], file=sys.stderr)
    return lines + [""]


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "an unnamed processor"


def write(path, lines):
    with open(path) as file:
        text = file.read()
    if BEGIN not in text or END not in text:
        sys.exit(f"{path}: no line '{BEGIN}' … '{END}'")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    with open(path + ".new", "w") as file:
        file.write(head + BEGIN + "\n\n" + "\n".join(lines).rstrip() + "\n\n" + END + tail)
    os.replace(path + ".new", path)


def collect(args, models, files):
    version = f"ONNX Runtime {onnxruntime.__version__}"
    if inference.openvino:
        version += f", OpenVINO {inference.openvino.__version__.split('-')[0]}"
    how = "in processor time" if args.processor_time else "by the clock"
    lines = [f"{version}, {processor()}. Float {how}; the others: how many times faster than "
             "float, median and quartiles of the ratio of neighbouring runs.", ""]
    for threads in args.threads:
        lines += latency(args, models, files, threads)
    lines += memory(args, models, files)
    lines += profile(args, models[0], files[models[0][0]][2])
    lines += layers(args)
    if args.images and args.labels:
        lines += precision(args, models, files)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="for each model and runtime")
    parser.add_argument("--threads", type=lambda t: [int(n) for n in t.split(",")], default=[1, 2])
    parser.add_argument("--processor-time", action="store_true",
                        help="for one thread on a machine that others use as well")
    parser.add_argument("--loads", type=int, default=3, help="sessions opened for the load time")
    parser.add_argument("--images", help="labelled images, for average precision")
    parser.add_argument("--labels")
    parser.add_argument("--cache")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--write")
    parser.add_argument("build")
    parser.add_argument("models", nargs="+", type=parse)
    args = parser.parse_args()
    args.lbw = os.path.join(args.build, "lbw")
    args.library = os.path.join(args.build, "src", "liblbw_ort.so")
    onnxruntime.set_default_logger_severity(4)
    with tempfile.TemporaryDirectory() as work:
        folder = args.cache or work
        os.makedirs(folder, exist_ok=True)
        files = {model[0]: make_files(args, model, folder) for model in args.models}
        if args.prepare:
            return 0
        lines = collect(args, args.models, files)
    if args.write:
        write(args.write, lines)
    else:
        print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
