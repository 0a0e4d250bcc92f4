#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes docs/frontier.md: quality against size, for uniform grids and for --bits auto.

Runs build/lbw (or LBW) on the detectors and pictures of ../shared/assets (or LBW_ASSETS) and on
samples/shapes. Every conversion and evaluation is kept in build/frontier/, so a run that was
stopped goes on where it was; delete the folder to start over.

usage: python3 tests/bench/frontier.py [--keep] [--plans N] [DETECTOR…]

FRONTIER=NAME,… in the environment leaves out all rows but these. With --keep there is a table of
what `lbw quantize --keep 98%` finds. With --plans N it also converts N random plans per detector and reports how well the predicted
loss ranks them (Spearman).
"""
import json
import os
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("LBW_ASSETS", ROOT / "../shared/assets"))
LBW = pathlib.Path(os.environ.get("LBW", ROOT / "build/lbw"))
WORK = ROOT / "build" / "frontier"
SHAPES = ROOT / "samples" / "shapes"
BUDGETS = ["3.3", "3.6", "4.0", "4.2", "4.6", "5.2"]
COCO = (ASSETS / "coco/calib", ASSETS / "coco/eval", ASSETS / "coco/eval.json")
FACES = (ASSETS / "faces", ASSETS / "faces", None)
DETECTORS = {  # model, calibration, pictures to test with, labels, options of every command
    "shapes": (SHAPES / "shapes.onnx", SHAPES / "calib", SHAPES / "eval", SHAPES / "eval",
               ["--profile", SHAPES / "profile.json"]),
    "yolox_nano": (ASSETS / "models/yolox_nano.onnx", *COCO, []),
    "nanodet_m_416": (ASSETS / "models/nanodet_m_416.onnx", *COCO, []),
    "fastestdet": (ASSETS / "models/fastestdet.onnx", *COCO, []),
    "ultraface_rfb_320": (ASSETS / "models/ultraface_rfb_320.onnx", *FACES, []),
    "yunet_n_dynamic": (ASSETS / "models/yunet_n_dynamic.onnx", *FACES, ["--size", "320x320"]),
}


def run(*command, unmet=0):
    """Standard output of a command, or the end of everything with its message."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode not in (0, unmet):
        sys.exit(f"failed: {' '.join(str(c) for c in command)}\n{done.stderr}")
    return done.stdout


def measure(detector, name, options):
    """Converts and tests once: size, bits, agreement with the float model, AP against labels."""
    model, calib, pictures, labels, common = DETECTORS[detector]
    out, note = WORK / f"{detector}-{name}.onnx", WORK / f"{detector}-{name}.json"
    if note.exists():
        return json.loads(note.read_text())
    report = json.loads(run(LBW, "quantize", model, "-o", out, "--calib", calib, "--json",
                            *common, *options, unmet=3 * ("--keep" in options)))
    common = common + (["--labels", labels] if labels else [])
    row = json.loads(run(LBW, "eval", out, "--reference", model, "--images", pictures, "--json",
                         *common))["models"][0]
    result = {"bits": report["bits_per_weight"], "size": row["size"], "kept": report.get("kept"),
              **{key: row["agreement"][key]
                 for key in ("ap", "ap75", "wanted", "lost", "invented")},
              "labelled": row["labels"]["ap"] if labels else None}
    note.write_text(json.dumps(result))
    print(detector, name, result, file=sys.stderr)
    return result


def frontier(detector):
    """One table."""
    has_labels = DETECTORS[detector][3] is not None
    text = (f"## {detector}\n\n| plan | bits per weight | file | agreement | at IoU .75 | lost | "
            f"invented |{' AP |' * has_labels}\n|---{'|--:' * (6 + has_labels)}|\n")
    ways = [(f"{g} everywhere", g, ["--bits", g]) for g in ("4", "6", "4x2")]
    ways += [(f"auto, {b}", f"auto-{b}", ["--bpw", b]) for b in BUDGETS]
    ways += [("auto, the default", "auto", [])]
    for title, name, options in ways:
        if os.environ.get("FRONTIER") and name not in os.environ["FRONTIER"].split(","):
            continue
        r = measure(detector, name, options)
        labelled = f" {r['labelled']:.4f} |" if has_labels and r["labelled"] else ""
        text += (f"| {title} | {r['bits']:.2f} | {r['size'] / 1000:.0f} kB | {r['ap']:.4f} | "
                 f"{r['ap75']:.4f} | {r['lost']} of {r['wanted']} | {r['invented']} |"
                 f"{labelled}\n")
    return text


def share(kept, lost):
    return f"{100 * (1 - lost / kept):.1f} % of {kept}"


def keep(detector):
    """The row of the smallest file that keeps 98 % of the boxes, as far as it was tested."""
    r = measure(detector, "keep", ["--keep", "98%"])
    held = r["kept"]
    return (f"| {detector} | {r['bits']:.2f} | {r['size'] / 1000:.0f} kB | "
            f"{share(held['boxes'], held['lost'])} | {share(r['wanted'], r['lost'])} |\n")


def losses(detector):
    """What each weight is predicted to lose on each grid, from plans of many sizes."""
    model, calib, _, _, common = DETECTORS[detector]
    known = {}
    for tenths in range(34, 74, 2):
        plan = json.loads(run(LBW, "plan", model, "--calib", calib, "--json", "--bpw",
                              tenths / 10, *common))
        for weight in plan["weights"]:
            loss = weight.get("predicted_loss")
            if weight["grid"] and loss is not None:
                known.setdefault(weight["tensor"], {})[weight["grid"]] = loss
    return plan, known


def ranks(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    return [order.index(i) for i in range(len(values))]


def correlation(detector, num):
    """Spearman's between predicted loss and what random plans lose of the agreement."""
    plan, known = losses(detector)
    predicted, measured = [], []
    for seed in range(num):
        draw = random.Random(seed)
        share, loss = draw.random(), 0
        for weight in plan["weights"]:
            grids = known.get(weight["tensor"])
            if not weight["grid"] or not grids:
                continue
            ordered = sorted(grids, key=grids.get)
            coarse = draw.random() < share
            weight["grid"] = ordered[-1] if coarse else draw.choice(ordered)
            loss += grids[weight["grid"]]
        path = WORK / f"{detector}-plan{seed}.plan"
        path.write_text(json.dumps(plan))
        predicted.append(loss)
        measured.append(1 - measure(detector, f"plan{seed}", ["--plan", path])["ap"])
    a, b = ranks(predicted), ranks(measured)
    distance = sum((x - y) ** 2 for x, y in zip(a, b))
    return 1 - 6 * distance / (num * (num * num - 1))


def main(arguments):
    plans, kept = 0, ""
    wants_share = arguments[:1] == ["--keep"]
    arguments = arguments[wants_share:]
    if arguments[:1] == ["--plans"]:
        plans, arguments = int(arguments[1]), arguments[2:]
    WORK.mkdir(parents=True, exist_ok=True)
    text = ("# Quality against size\n\nWritten by `python3 tests/bench/frontier.py`. Agreement is "
            "AP .50:.95 with the float model's boxes above a score of .6 as the truth; *lost* and "
            "*invented* are boxes above that score in one model without a partner in the other; "
            "AP is against labels. Images for testing were not used for calibration, except "
            "for faces.\n\n")
    for detector in arguments or list(DETECTORS):
        if not DETECTORS[detector][0].exists():
            print(f"{detector}: no {DETECTORS[detector][0]}, left out", file=sys.stderr)
            continue
        text += frontier(detector)
        if plans:
            text += (f"\nRank correlation of predicted and measured loss over {plans} random "
                     f"plans: {correlation(detector, plans):.2f}.\n")
        text += "\n"
        kept += keep(detector) if wants_share else ""
    if kept:
        text += ("## A share of the boxes\n\nWhat `--keep 98%` finds, the share that it saw on 16 "
                 "images held back (boxes above a score of .4), and the share on the images for "
                 "testing (above .6), which it did not see except for faces.\n\n| detector | bits "
                 "per weight | file | held back | testing |\n|---|--:|--:|--:|--:|\n" + kept)
    (ROOT / "docs" / "frontier.md").write_text(text.rstrip() + "\n")


main(sys.argv[1:])
