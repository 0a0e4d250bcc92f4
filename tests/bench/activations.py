#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""8-bit activations, measured: what they cost, what fuses, how fast it is; the table of
docs/activations.md.

usage: python3 tests/bench/activations.py [--speed] [DETECTOR…]

Runs build/lbw (or LBW) on the detectors and images of ../shared/assets (or LBW_ASSETS).
Converts each detector to the grids 4, auto and 4x2, with and without --activations int8, and
beside them by onnxruntime's static quantization (QDQ, uint8 activations, int8 weights per
channel) and by NNCF's post-training quantization, where Python has them, from the same
images. Conversions and evaluations are kept in build/activations/: a run that was stopped
goes on where it was.

AP is against the labels of COCO; agreement, lost and invented boxes against the float model's.
--speed times all files in ONNX Runtime, interleaved, on one thread and on two, as ratios to the
float model.
"""
import collections
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime as ort
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("LBW_ASSETS", ROOT / "../shared/assets"))
LBW = pathlib.Path(os.environ.get("LBW", ROOT / "build/lbw"))
WORK = ROOT / "build" / "activations"
GRIDS = ["4", "auto", "4x2"]
COCO = (ASSETS / "coco/calib", ASSETS / "coco/eval", ASSETS / "coco/eval.json")
FACES = (WORK / "faces/calib", WORK / "faces/eval", None)  # every second photograph


def corner(picture, side, pad):
    ratio = min(side / picture.width, side / picture.height)
    size = int(picture.width * ratio), int(picture.height * ratio)
    canvas = np.full((side, side, 3), pad, np.float32)
    canvas[: size[1], : size[0]] = np.asarray(picture.resize(size, Image.BILINEAR))
    return canvas


def stretch(picture, width, height):
    return np.asarray(picture.resize((width, height), Image.BILINEAR)).astype(np.float32)


DETECTORS = {  # images, and how a tool of others gets them: RGB in, HWC out
    "yolox_nano": (*COCO, lambda p: corner(p, 416, 114)[..., ::-1]),
    "nanodet_m_416": (*COCO, lambda p: (corner(p, 416, 0)[..., ::-1]
                                        - [103.53, 116.28, 123.675]) / [57.375, 57.12, 58.395]),
    "fastestdet": (*COCO, lambda p: stretch(p, 352, 352)[..., ::-1] / 255),
    "ultraface_rfb_320": (*FACES, lambda p: (stretch(p, 320, 240) - 127) / 128),
}


def run(*command):
    """Standard output of a command, or the end of everything with its message."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"failed: {' '.join(str(c) for c in command)}\n{done.stderr}")
    return done.stdout


def split_faces():
    for i, file in enumerate(sorted((ASSETS / "faces").iterdir())):
        folder = FACES[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / file.name).exists():
            (folder / file.name).symlink_to(file.resolve())


def samples(detector):
    calib, _, _, dress = DETECTORS[detector]
    for file in sorted(calib.iterdir()):
        pixels = dress(Image.open(file).convert("RGB"))
        yield np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)


def lifted(detector):
    """Scales per channel need opset 13, and the tools want weights that are not inputs."""
    model = onnx.load(ASSETS / f"models/{detector}.onnx")
    weights = {i.name for i in model.graph.initializer}
    for value in [v for v in model.graph.input if v.name in weights]:
        model.graph.input.remove(value)
    return onnx.version_converter.convert_version(model, 13)


def by_lbw(grid, activations):
    def convert(detector, out):
        more = ["--activations", "int8"] if activations else []
        run(LBW, "quantize", ASSETS / f"models/{detector}.onnx", "-o", out, "--bits", grid,
            "--calib", DETECTORS[detector][0], "-q", "--report", f"{out}.json", *more)
    return convert


def by_ort(detector, out):
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self, name):
            self.inputs = ({name: x} for x in samples(detector))

        def get_next(self):
            return next(self.inputs, None)

    plain, ready = f"{out}.lifted", f"{out}.ready"
    onnx.save(lifted(detector), plain)
    quant_pre_process(plain, ready, skip_symbolic_shape=True)
    quantization.quantize_static(
        ready, str(out), Reader(onnx.load(ready).graph.input[0].name), per_channel=True,
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)


def by_nncf(detector, out):
    import nncf
    model = lifted(detector)
    name = model.graph.input[0].name
    data = nncf.Dataset(list(samples(detector)), lambda x: {name: x})
    onnx.save(nncf.quantize(model, data, subset_size=64), str(out))


METHODS = {
    **{f"{grid}{', int8' if a else ''}": by_lbw(grid, a) for grid in GRIDS for a in (0, 1)},
    "onnxruntime static": by_ort,
    "NNCF": by_nncf,
}


def convert(detector, name):
    """The file, and seconds; None where the tool is missing or fails, which is printed."""
    out = WORK / f"{detector}-{name.replace(', ', '-').replace(' ', '_')}.onnx"
    note = pathlib.Path(f"{out}.seconds")
    if not note.exists():
        start = time.perf_counter()
        try:
            METHODS[name](detector, out)
        except Exception as problem:  # other tools fail in many ways
            print(f"{detector}, {name}: {str(problem).splitlines()[0]}", file=sys.stderr)
            return None
        note.write_text(f"{time.perf_counter() - start:.0f}")
    return out, int(note.read_text())


def evaluate(detector, model):
    note = pathlib.Path(f"{model}.eval.json")
    _, pictures, labels, _ = DETECTORS[detector]
    if not note.exists():
        rows = {}
        for option, value in [("--labels", labels),
                              ("--reference", ASSETS / f"models/{detector}.onnx")]:
            if value:
                rows |= json.loads(run(LBW, "eval", model, "--images", pictures, option, value,
                                       "--json"))["models"][0]
        note.write_text(json.dumps(rows))
    return json.loads(note.read_text())


def fused(model):
    """Convolutions on integers, and all of them, in ONNX Runtime's optimized graph."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(WORK / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    ops = collections.Counter(n.op_type for n in onnx.load(WORK / "optimized.onnx").graph.node)
    return f"{ops['QLinearConv']} of {ops['QLinearConv'] + ops['Conv'] + ops['FusedConv']}"


def kept_float(model):
    report = pathlib.Path(f"{model}.json")
    rows = json.loads(report.read_text()).get("activations", []) if report.exists() else []
    return f"{sum(a['type'] == 'float' for a in rows)} of {len(rows)}" if rows else ""


def power(model):
    """Of errors, by which the ranges were fitted."""
    report = pathlib.Path(f"{model}.json")
    ranges = json.loads(report.read_text()).get("ranges") if report.exists() else None
    return f"{ranges['power']:g}" if ranges else ""


def show(detector):
    print(f"\n## {detector}\n\n| | file | AP | agreement | lost, invented | ranges "
          "| integer convolutions | float activations | time |\n"
          "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    files = {"float": ASSETS / f"models/{detector}.onnx"}
    for name in ["float", *METHODS]:
        made = (files["float"], 0) if name == "float" else convert(detector, name)
        if not made:
            continue
        files[name] = made[0]
        row = evaluate(detector, made[0]) if name != "float" or DETECTORS[detector][2] else {}
        ap = f"{row['labels']['ap']:.4f}".lstrip("0") if "labels" in row else ""
        same = row.get("agreement") if name != "float" else None
        agree = f"{same['ap']:.3f}".lstrip("0") if same else ""
        boxes = f"{same['lost']}, {same['invented']} of {same['wanted']}" if same else ""
        print(f"| {name} | {made[0].stat().st_size / 1000:.0f} kB | {ap} | {agree} | {boxes} | "
              f"{power(made[0])} | {fused(made[0])} | {kept_float(made[0])} | {made[1]} s |", flush=True)
    return files


def speed(files):
    """Ratios to the float model, the runs of all files interleaved."""
    rows = {name: [] for name in files}
    for threads in "1", "2":
        report = json.loads(run(LBW, "bench", *files.values(), "--threads", threads, "--json"))
        for name, row in zip(files, report["settings"][0]["models"]):
            rows[name].append(f"{row['speed']['median']:.2f}")
    print("\n| | one thread | two |\n|---|--:|--:|")
    for name, numbers in rows.items():
        print(f"| {name} | {' | '.join(numbers)} |", flush=True)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--speed"]
    WORK.mkdir(parents=True, exist_ok=True)
    split_faces()
    for detector in arguments or DETECTORS:
        files = show(detector)
        if "--speed" in sys.argv:
            speed(files)


if __name__ == "__main__":
    main()
