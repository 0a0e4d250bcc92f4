#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Quality of several builds of lbw over subsets of the calibration set: what is better, and what is
chance. Each build converts with all images, then with a different quarter, fifth or sixth left out.
Prints agreement with the float model, boxes lost and invented and, where there are labels, AP: mean
(lowest … highest). A grid such as 4.2 is a budget of bits per weight. What the closing fit
does shows beside a build whose lbw_close_weight() returns at once.
Results are kept in build/spread/; delete it to start over.

usage: python3 tests/bench/spread.py [--grids 4,6,4x2] [--detectors A,B] [--subsets N]
                                     [NAME=]LBW [NAME=]LBW…     (the first one also evaluates)
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("LBW_ASSETS", ROOT / "../shared/assets")).resolve()
WORK = ROOT / "build/spread"
COCO = (ASSETS / "coco/calib", ASSETS / "coco/eval", ASSETS / "coco/eval.json", [])
FACES = (ASSETS / "faces", ASSETS / "faces", None)
SHAPES = ROOT / "samples/shapes"
DETECTORS = {"yolox_nano": COCO, "nanodet_m_416": COCO, "fastestdet": COCO,
             "ultraface_rfb_320": (*FACES, []), "yunet_n_dynamic": (*FACES, ["--size", "320x320"]),
             "shapes": (SHAPES / "calib", SHAPES / "eval", SHAPES / "eval",
                        ["--profile", SHAPES / "profile.json"])}
PICTURES = (".jpg", ".jpeg", ".png")


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"failed: {' '.join(str(c) for c in command)}\n{done.stderr}")
    return done.stdout


# Calibration sets: all images, or all but every n-th from an offset.
SUBSETS = [None] + [(n, offset) for n in (4, 5, 6) for offset in range(n)]


def name_of(left_out):
    if left_out is None or left_out[0] == 4:
        return left_out and left_out[1]
    return f"{left_out[0]}.{left_out[1]}"


def subset(calib, left_out):
    """A folder of links to the images of a set."""
    if left_out is None:
        return calib
    folder = WORK / "calib" / calib.parent.name / f"{calib.name}-{name_of(left_out)}"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = sorted(p for p in calib.iterdir() if p.suffix.lower() in PICTURES)
    for i, picture in enumerate(pictures):
        link = folder / picture.name
        if i % left_out[0] != left_out[1] and not link.exists():
            link.symlink_to(picture)
    return folder


def measure(detector, grid, left_out, programs):
    """Agreement, AP or None, boxes lost and invented for each program."""
    calib, pictures, labels, common = DETECTORS[detector]
    folder = WORK / f"{detector}-{grid}-{name_of(left_out)}"
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / ("-".join(programs) + ".json")
    model = (SHAPES if detector == "shapes" else ASSETS / "models") / f"{detector}.onnx"
    if not note.exists():
        outs = [folder / f"{name}.onnx" for name in programs]
        for out, program in zip(outs, programs.values()):
            run(program, "quantize", model, "-o", out, "-q", "--bpw" if "." in grid else "-b", grid,
                "-c", subset(calib, left_out), *common)
        note.write_text(run(next(iter(programs.values())), "eval", *outs, "--reference", model,
                            "--images", pictures, "--json", "-q", *common,
                            *(["--labels", labels] if labels else [])))
    return [(row["agreement"]["ap"], row["labels"]["ap"] if labels else None,
             row["agreement"]["lost"], row["agreement"]["invented"])
            for row in json.loads(note.read_text())["models"]]


def show(values):
    if None in values:
        return ""
    one = "{:.0f}" if isinstance(values[0], int) else "{:.4f}"
    mean, least, most = (one.format(f(values)) for f in (statistics.mean, min, max))
    return mean if len(values) == 1 else f"{mean} ({least} … {most})"


def difference(rows, i, at):
    """Of build i from the first, over the same sets, and its standard error."""
    pairs = [row[i][at] - row[0][at] for row in rows if row[0][at] is not None]
    if len(pairs) < 2:
        return ""
    error = statistics.stdev(pairs) / len(pairs) ** 0.5
    return f", {statistics.mean(pairs):+.4f} ± {error:.4f}"


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--grids", default="4,6,4x2")
    parser.add_argument("--detectors", default=",".join(DETECTORS))
    parser.add_argument("--subsets", type=int, default=5)
    parser.add_argument("programs", nargs="+")
    args = parser.parse_args()
    programs = dict(p.split("=", 1) if "=" in p else (f"lbw{i}", p)
                    for i, p in enumerate(args.programs))
    for title, at in (("agreement", 0), ("AP", 1), ("lost", 2), ("invented", 3)):
        print(f"\n| {title} | bits | {' | '.join(programs)} |\n|---|---|{'--:|' * len(programs)}")
        for detector in args.detectors.split(","):
            for grid in args.grids.split(","):
                rows = [measure(detector, grid, left_out, programs)
                        for left_out in SUBSETS[:args.subsets]]
                cells = [show([row[i][at] for row in rows]) for i in range(len(programs))]
                cells[1:] = [f"{cell}{difference(rows, i, at)}"
                             for i, cell in enumerate(cells[1:], 1)]
                print(f"| {detector} | {grid} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
