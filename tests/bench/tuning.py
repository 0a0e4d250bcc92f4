#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the table of docs/tuning.md and draws docs/tuning.svg: detectors fitted and trained.

Runs build/lbw (or LBW) on the detectors and images of ../shared/assets (or LBW_ASSETS) and on
samples/shapes. Every conversion, its log and its checkpoint are kept in build/accuracy/ as
accuracy.py keeps its own, so a run that was stopped resumes. A run has as many views as two
idle cores do in the minutes given (PER_MINUTE), whatever else the machine does meanwhile, so
results can be repeated. Every run of five minutes together takes two hours.

usage: python3 tests/bench/tuning.py [--quick] [--minutes N,…] [--made] [MODEL…] [PLAN…]
       python3 tests/bench/tuning.py --draw NAME=LOG…     only the drawing, of these logs
       models: shapes yolox_nano nanodet_m_416 fastestdet ultraface_rfb_320; plans: 6 4 3 2 auto
       --quick: a handful of images and steps, to see whether it runs
       --minutes: lengths of training (default 5); the fit alone, 0, is always among them
       --made: only what is already in build/accuracy/
"""
import csv
import math
import sys

import accuracy
from accuracy import ASSETS, COCO, ROOT, WORK, ap, convert, evaluate, table

PLANS = {"6": ["-b", "6"], "4": ["-b", "4"], "3": ["-b", "3"], "2": ["-b", "2"],
         "auto": ["-b", "auto", "--bpw", "3.6"]}
MODELS = ["shapes", *COCO, "ultraface_rfb_320"]
BATCH = 8
PER_MINUTE = {"shapes": 5000, "yolox_nano": 1690, "nanodet_m_416": 1395, "fastestdet": 4065,
              "ultraface_rfb_320": 3500}        # views on two idle cores: "What a view costs"
SHAPES = ROOT / "samples/shapes"
QUICK = "--quick" in sys.argv


def source_of(model):
    return SHAPES / "shapes.onnx" if model == "shapes" else ASSETS / "models" / f"{model}.onnx"


def options_of(model):
    """Profile, images to learn from, and what to measure."""
    if model == "shapes":
        held = SHAPES / "eval"
        return ["-p", SHAPES / "profile.json"], SHAPES / "calib", held, ["-l", held]
    if model in COCO:
        return (["-p", COCO[model]], ASSETS / "coco/calib", ASSETS / "coco/eval",
                ["-l", ASSETS / "coco/eval.json"])
    held, used = accuracy.face_pictures()
    return ["-p", "ultraface"], used, held, []


def read_log(path):
    """(views, loss of the step, loss on held-out samples relative to the start) of each step."""
    with open(path) as file:
        return [(int(r["views"]), float(r["loss"]), float(r["relative"]))
                for r in csv.DictReader(file)]


def make(model, plan, views):
    """One conversion and its log; 0 views: what training starts from, by a step of no length."""
    profile, pictures, _, _ = options_of(model)
    name = f"{'quick-' if QUICK else ''}{model}-{plan}-{views}"
    log = WORK / f"{name}.csv"
    options = [*PLANS[plan], *profile, "--calib", pictures, "--log", log,
               "--state", WORK / f"{name.rsplit('-', 1)[0]}.state",
               "--steps", max(1, views // BATCH)]
    options += ["--checkpoint", WORK / f"{name}.ck"] if views else ["--rate", "1e-7"]
    options += ["--views", "16", "-n", "8"] if QUICK else []
    made = convert(source_of(model), name, options, "tune")
    made["log"] = read_log(log)
    return made


def measure(model, files):
    """AP against labels, None without; agreement with the float model: a dict each."""
    profile, _, held, labels = options_of(model)
    options = [*profile, "-i", held, *(["-n", "8"] if QUICK else [])]
    agreement = [m["agreement"] for m in
                 evaluate(files, [*options, "-r", source_of(model)])]
    if not labels:
        return [None] * len(files), agreement
    key = "voc_all" if model == "shapes" else "ap"
    return [m["labels"][key] for m in evaluate(files, [*options, *labels])], agreement


def rows_of(model, plans, lengths):
    """A row for each plan and length."""
    made = {(p, v): make(model, p, v) for p in plans for v in lengths
            if "--made" not in sys.argv or (WORK / f"{model}-{p}-{v}.json").exists()}
    scores, agreement = measure(model, [source_of(model), *[m["file"] for m in made.values()]])
    rows = []
    for (plan, views), score, agrees in zip(made, scores[1:], agreement[1:]):
        m = made[plan, views]
        rows.append([model, plan, str(views), f"{m['size'] / 1e3:.0f} kB",
                     f"{m['cpu'] / 60:.1f}", "" if score is None else ap(scores[0]),
                     "" if score is None else ap(score),
                     ap(agrees["ap"]),
                     f"{agrees['lost']}, {agrees['invented']}",
                     f"{min(r for _, _, r in m['log']):.3f}"])
    return rows, {f"{model}, {p} bits" if p != "auto" else f"{model}, auto 3.6": m["log"]
                  for (p, v), m in made.items() if v == max(lengths)}


# Loss of training in a PyTorch copy of YOLOX-nano: 337 images, batches of 16, on a GPU.
REFERENCE = {"reference, 4 bits": [(23000, .75), (69000, .67)],
             "reference, 6 bits": [(23000, .65), (69000, .61)]}
COLOURS = ["#0b6e4f", "#c8553d", "#2f5d8a", "#b8860b", "#6a4c93", "#444444"]


def held_out(log):
    """Where it was measured."""
    return [log[0][::2]] + [b[::2] for a, b in zip(log, log[1:]) if a[2] != b[2]]


def training(log):
    """Means over 40 parts of the steps, relative to the first 16 steps."""
    steps = log[1:]
    mean = lambda part: sum(loss for _, loss, _ in part) / len(part)
    size = max(16, len(steps) // 40)
    parts = [steps[i:i + size] for i in range(0, len(steps) - size + 1, size)]
    return [(p[-1][0], mean(p) / mean(steps[:16])) for p in parts]


def draw(lines, path):
    """The loss on held-out images, relative to the start, at every look; thin: of training."""
    left, top, width, height = 60, 20, 520, 300
    near, far = 100, max(log[-1][0] for log in [*lines.values(), *REFERENCE.values()])
    low, high = 0.5, 1.5
    place = lambda v, r: (left + width * math.log(max(v, near) / near) / math.log(far / near),
                          top + height * (high - min(max(r, low), high)) / (high - low))
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="820" height="370" '
           'font-family="sans-serif" font-size="12">', '<rect width="820" height="370" '
           'fill="white"/>']
    for i in range(11):
        y = place(0, low + i / 10)[1]
        out.append(f'<path d="M{left} {y:.1f}h{width}" stroke="#ddd"/><text x="{left - 8}" '
                   f'y="{y + 4:.1f}" text-anchor="end">{low + i / 10:.1f}</text>')
    for views in (100, 300, 1000, 3000, 10000, 30000, 100000):
        if views <= far:
            out.append(f'<text x="{place(views, high)[0]:.1f}" y="{top + height + 18}" '
                       f'text-anchor="middle">{views:,}</text>')
    out.append(f'<text x="{left + width / 2}" y="{top + height + 38}" text-anchor="middle">'
               'views</text>')
    for i, (name, line) in enumerate(sorted(lines.items())):
        points, thin = (" ".join("{:.1f},{:.1f}".format(*place(*p)) for p in part)
                        for part in (held_out(line), training(line)))
        colour, y = COLOURS[i % len(COLOURS)], top + 14 + 18 * i
        dash = ' stroke-dasharray="5 3"' if i >= len(COLOURS) else ""
        out.append(f'<polyline points="{thin}" fill="none" stroke="{colour}" '
                   f'stroke-width="0.8" stroke-dasharray="2 2"/>')
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" '
                   f'stroke-width="1.6"{dash}/><path d="M{left + width + 16} {y - 4}h18" '
                   f'stroke="{colour}" stroke-width="2"{dash}/>'
                   f'<text x="{left + width + 40}" y="{y}">{name}</text>')
    for i, (name, points) in enumerate(REFERENCE.items()):
        y = top + 14 + 18 * (len(lines) + i)
        mark = ('<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="{}" stroke="#444"/>')
        fill = ["#444", "white"][i % 2]
        out += [mark.format(*place(*p), fill) for p in points]
        out.append(mark.format(left + width + 25, y - 4, fill) +
                   f'<text x="{left + width + 40}" y="{y}">{name}</text>')
    path.write_text("\n".join([*out, "</svg>"]) + "\n")


def main():
    if "--draw" in sys.argv:
        pairs = [word.split("=", 1) for word in sys.argv[2:]]
        draw({name: read_log(log) for name, log in pairs}, ROOT / "docs/tuning.svg")
        return
    words, minutes = [w for w in sys.argv[1:] if w not in ("--quick", "--made")], [5]
    if "--minutes" in words:
        at = words.index("--minutes")
        minutes = [int(m) for m in words[at + 1].split(",")]
        del words[at:at + 2]
    for word in words:
        if word not in MODELS and word not in PLANS:
            sys.exit(__doc__)
    models = [m for m in MODELS if m in words] or MODELS
    plans = [p for p in PLANS if p in words] or list(PLANS)
    WORK.mkdir(parents=True, exist_ok=True)
    rows, lines = [], {}
    for model in models:
        lengths = [0, 32] if QUICK else [0, *[PER_MINUTE[model] * m // BATCH * BATCH
                                              for m in minutes]]
        more, logs = rows_of(model, plans, lengths)
        rows += more
        lines.update(logs)
    print(table(["detector", "bits", "views", "file", "CPU min", "float", "AP",
                 "agreement", "lost, invented", "loss"], rows))
    draw(lines, WORK / "quick-tuning.svg" if QUICK else ROOT / "docs/tuning.svg")


if __name__ == "__main__":
    main()
