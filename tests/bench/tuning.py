#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the tables of docs/tuning.md: detectors rounded alone, fitted, and trained.

Runs build/lbw (or LBW) on the detectors and pictures of ../shared/assets (or LBW_ASSETS) and on
samples/shapes, and keeps every conversion in build/accuracy/ as accuracy.py does, so a run that
was stopped goes on where it was. Training takes MINUTES[model] each: one hour in all on two
idle cores.

usage: python3 tests/bench/tuning.py [PART…]    parts: train shapes coco faces
       train makes the models, the others print what is known of them (and make the rest)
"""
import csv
import json
import sys

import accuracy
from accuracy import ASSETS, COCO, LABELS, ROOT, WORK, ap, convert, evaluate, table

BITS = ["6", "4", "3", "2"]
MINUTES = {"shapes": 1, "yolox_nano": 5, "nanodet_m_416": 3, "fastestdet": 2.5,
           "ultraface_rfb_320": 1.5}
SHAPES = ROOT / "samples/shapes"


def source_of(model):
    return SHAPES / "shapes.onnx" if model == "shapes" else ASSETS / "models" / f"{model}.onnx"


def options_of(model):
    """Profile and pictures."""
    if model == "shapes":
        return ["-p", SHAPES / "profile.json"], SHAPES / "calib"
    if model in COCO:
        return ["-p", COCO[model]], ASSETS / "coco/calib"
    return ["-p", "ultraface"], accuracy.face_pictures()[1]


def make(model, bits, way):
    """One conversion: way is none, real or tuned."""
    profile, pictures = options_of(model)
    name, options = f"{model}-{bits}-{way}", ["-b", bits, *profile]
    if way != "tuned":
        return convert(source_of(model), name,
                       [*options, "--calib", "none" if way == "none" else pictures])
    made = convert(source_of(model), name,
                   [*options, "--calib", pictures, "--minutes", MINUTES[model],
                    "--log", WORK / f"{name}.csv"], "tune")
    with open(WORK / f"{name}.csv") as log:
        rows = list(csv.DictReader(log))
    made.update(views=int(rows[-1]["views"]), before=float(rows[0]["held_back"]),
                after=float(rows[-1]["best"]))
    return made


def scores(model, options, pick):
    """Float's score, and a table row per grid."""
    ways = ["none", "real", "tuned"]
    bits = [b for b in BITS if model != "shapes" or b != "6"]
    made = {(b, w): make(model, b, w) for b in bits for w in ways}
    files = [source_of(model), *[m["file"] for m in made.values()]]
    found = [pick(m) for m in evaluate(files, [*options_of(model)[0], *options])]
    score, rows = dict(zip(made, found[1:])), []
    for b in bits:
        t = made[b, "tuned"]
        rows.append([b, *[ap(score[b, w]) for w in ways], f"{score[b, 'tuned'] / found[0]:.3f}",
                     str(t["views"]), f"{t['before']:.3f} → {t['after']:.3f}",
                     f"{t['memory'] / 1e6:.0f} MB"])
    head = ["bits", "projection", "reconstruction", "tuned", "of float", "views", "loss",
            "memory"]
    print(f"### {model}: float {ap(found[0])}\n\n{table(head, rows)}", flush=True)


def train():
    for bits in ["4", "3", "2", "6"]:
        for model in MINUTES:
            if model != "shapes" or bits != "6":
                made = make(model, bits, "tuned")
                print(model, bits, json.dumps(made), file=sys.stderr)


def main():
    parts = sys.argv[1:] or ["train", "shapes", "coco", "faces"]
    WORK.mkdir(parents=True, exist_ok=True)
    if "train" in parts:
        train()
    if "shapes" in parts:
        scores("shapes", ["-i", SHAPES / "eval", "-l", SHAPES / "eval"],
               lambda m: m["labels"]["voc_all"])
    if "coco" in parts:
        for model in COCO:
            scores(model, LABELS, lambda m: m["labels"]["ap"])
    if "faces" in parts:
        held = accuracy.face_pictures()[0]
        scores("ultraface_rfb_320", ["-i", held, "-r", source_of("ultraface_rfb_320")],
               lambda m: m["agreement"]["ap50"])


if __name__ == "__main__":
    main()
