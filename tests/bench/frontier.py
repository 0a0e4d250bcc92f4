#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes docs/frontier.md: quality against size, for uniform grids and for --bits auto.

Runs build/lbw (or LBW) on the detectors and pictures of ../shared/assets (or LBW_ASSETS) and on
samples/shapes. Every conversion and evaluation is kept in build/frontier/, so a run that was
stopped goes on where it was; delete the folder to start over.

usage: python3 tests/bench/frontier.py [--keep | --search N | --plans N] [DETECTOR…]

FRONTIER=NAME,… in the environment leaves out all rows but these. The options print a table instead.
--keep: what `lbw quantize --keep 98%` finds. --search: what `lbw search` finds in N trials on every
other image, beside `--bits auto` at the same size, tested on the images between. --plans: how
well the predicted loss ranks N random plans per detector (Spearman).
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

INTRODUCTION = """# Quality against size

`python3 tests/bench/frontier.py` wrote this page. The rows are plans: one grid for all weights, or `--bits auto` with
a budget of bits per weight (`--bpw`) or its default. *agreement* is AP .50:.95 with the float model's boxes above a
score of .6 as the truth, *at IoU .75* the same at that overlap. *lost* are boxes above that score that only the float
model finds, *invented* those that only the converted model finds. *AP* is against labels. The test images were not used
for calibration, except for the face detectors (ultraface and yunet).

"""


def run(*command, unmet=0):
    """Standard output of a command, or the end of everything with its message."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode not in (0, unmet):
        sys.exit(f"failed: {' '.join(str(c) for c in command)}\n{done.stderr}")
    return done.stdout


def note(detector, name):
    return WORK / f"{detector}-{name}.json"


def measure(detector, plans):
    """
    Converts by each of the plans, pairs of a name and options, and tests all in one pass over the
    images: sizes, bits, agreement with the float model, AP against labels.
    """
    model, calib, pictures, labels, common = DETECTORS[detector]
    missing = [(name, options) for name, options in plans if not note(detector, name).exists()]
    reports, outs = [], []
    for name, options in missing:
        outs.append(WORK / f"{detector}-{name}.onnx")
        reports.append(json.loads(run(LBW, "quantize", model, "-o", outs[-1], "--calib", calib,
                                      "--json", *common, *options,
                                      unmet=3 * ("--keep" in options))))
        print(detector, name, reports[-1]["bits_per_weight"], file=sys.stderr, flush=True)
    common = common + (["--labels", labels] if labels else [])
    rows = json.loads(run(LBW, "eval", *outs, "--reference", model, "--images", pictures, "--json",
                          *common))["models"] if outs else []
    for (name, _), report, row in zip(missing, reports, rows):
        note(detector, name).write_text(json.dumps({
            "bits": report["bits_per_weight"], "size": row["size"], "kept": report.get("kept"),
            **{key: row["agreement"][key]
               for key in ("ap", "ap75", "wanted", "lost", "invented")},
            "labelled": row["labels"]["ap"] if labels else None}))
    return [json.loads(note(detector, name).read_text()) for name, _ in plans]


def frontier(detector):
    """One table."""
    has_labels = DETECTORS[detector][3] is not None
    text = (f"## {detector}\n\n| plan | bits per weight | file | agreement | at IoU .75 | lost | "
            f"invented |{' AP |' * has_labels}\n|---{'|--:' * (6 + has_labels)}|\n")
    ways = [(f"{g} everywhere", g, ["--bits", g]) for g in ("4", "6", "4x2")]
    ways += [(f"auto, {b}", f"auto-{b}", ["--bpw", b]) for b in BUDGETS]
    ways += [("auto, the default", "auto", [])]
    if os.environ.get("FRONTIER"):
        ways = [way for way in ways if way[1] in os.environ["FRONTIER"].split(",")]
    found = measure(detector, [way[1:] for way in ways])
    for (title, _, _), r in zip(ways, found):
        labelled = f" {r['labelled']:.4f} |" if has_labels and r["labelled"] else ""
        text += (f"| {title} | {r['bits']:.2f} | {r['size'] / 1000:.0f} kB | {r['ap']:.4f} | "
                 f"{r['ap75']:.4f} | {r['lost']} of {r['wanted']} | {r['invented']} |"
                 f"{labelled}\n")
    return text


def share(kept, lost):
    return f"{100 * (1 - lost / kept):.1f} % of {kept}"


def keep(detector):
    """The row of the smallest file that keeps 98 % of the boxes, as far as it was tested."""
    [r] = measure(detector, [("keep", ["--keep", "98%"])])
    held = r["kept"]
    return (f"| {detector} | {r['bits']:.2f} | {r['size'] / 1000:.0f} kB | "
            f"{share(held['boxes'], held['lost'])} | {share(r['wanted'], r['lost'])} |\n")


def half(pictures, which):
    """A folder of links to every other image."""
    folder = WORK / f"{pictures.parent.name}-{pictures.name}-{which}"
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(p for p in pictures.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for picture in names[which::2]:
        if not (folder / picture.name).exists():
            (folder / picture.name).symlink_to(picture.resolve())
    return folder


def search(detector, trials):
    """Two rows: --bits auto at 4.2 bits per weight, and what trials make of it."""
    model, calib, pictures, _, common = DETECTORS[detector]
    plan = WORK / f"{detector}-search-{trials}.plan"
    if not plan.exists():
        run(LBW, "search", model, "--images", half(pictures, 0), "--calib", calib, "--target-bpw",
            "4.2", "--trials", trials, "-o", plan, *common)
    outs = [WORK / f"{detector}-{name}.onnx" for name in ("auto-4.2", f"search-{trials}")]
    reports = [json.loads(run(LBW, "quantize", model, "-o", out, "--calib", calib, "--json",
                              *common, *options))
               for out, options in zip(outs, (["--bpw", "4.2"], ["--plan", plan]))]
    rows = json.loads(run(LBW, "eval", *outs, "--reference", model, "--images", half(pictures, 1),
                          "--json", *common))["models"]
    return "".join(
        f"| {detector} | {title} | {report['bits_per_weight']:.2f} | {row['size'] / 1000:.0f} kB | "
        f"{row['agreement']['ap']:.4f} | {row['agreement']['ap75']:.4f} | "
        f"{row['agreement']['lost']} of {row['agreement']['wanted']} | "
        f"{row['agreement']['invented']} |\n"
        for title, report, row in zip(("auto, 4.2", f"search, {trials} trials"), reports, rows))


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
    predicted, plans = [], []
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
        plans.append((f"plan{seed}", ["--plan", path]))
    measured = [1 - r["ap"] for r in measure(detector, plans)]
    a, b = ranks(predicted), ranks(measured)
    distance = sum((x - y) ** 2 for x, y in zip(a, b))
    return 1 - 6 * distance / (num * (num * num - 1))


def head(*columns):
    return f"| detector | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}\n"


def main(arguments):
    option, num = "", 0
    if arguments[:1] == ["--keep"]:
        option, arguments = "keep", arguments[1:]
    elif arguments[:1] in (["--search"], ["--plans"]):
        option, num, arguments = arguments[0][2:], int(arguments[1]), arguments[2:]
    WORK.mkdir(parents=True, exist_ok=True)
    if set(arguments) - set(DETECTORS):
        sys.exit(__doc__)
    detectors = [name for name in arguments or DETECTORS if DETECTORS[name][0].exists()]
    for name in set(arguments or DETECTORS) - set(detectors):
        print(f"{name}: no {DETECTORS[name][0]}, left out", file=sys.stderr)
    if option == "keep":
        print(head("bits per weight", "file", "held back", "testing"), end="")
        for name in detectors:
            print(keep(name), end="", flush=True)
    elif option == "search":
        print(head("plan", "bits per weight", "file", "agreement", "at IoU .75", "lost",
                   "invented"), end="")
        for name in detectors:
            print(search(name, num), end="", flush=True)
    elif option == "plans":
        print(head("rank correlation"), end="")
        for name in detectors:
            print(f"| {name} | {correlation(name, num):.2f} |", flush=True)
    else:
        text = "\n".join(frontier(name) for name in detectors)
        (ROOT / "docs" / "frontier.md").write_text(INTRODUCTION + text)


main(sys.argv[1:])
