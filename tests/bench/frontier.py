#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes docs/frontier.md: quality against size, for uniform grids, --bits auto and lbw search.

Runs build/lbw (or LBW) on the detectors and images of ../shared/assets (or LBW_ASSETS) and on
samples/shapes. Every conversion and evaluation is kept in build/frontier/, so a run that was
stopped goes on where it was; delete the folder to start over.

usage: python3 tests/bench/frontier.py [--kept] [--only PART,…] [DETECTOR…]

Without --only it writes the document, with it these parts to standard output: grids (uniform
grids and --bits auto), search (what 16 trials find on every other image at the size of
--bits auto, tested on the images between), shares (what is left of the loss of plain 4 bits), keep
(what `lbw quantize --keep 98%` finds), plans (how well the predicted loss ranks thirty random
plans, Spearman), closing (boxes lost and invented without the closing fit, by the program
LBW_OPEN: a build whose lbw_close_weight() returns at once). With --kept nothing is run: a
detector that build/frontier/ does not have all results of is left out of that part, which says so.
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
GRIDS = ["2", "3", "4", "5", "6", "3x2", "4x2"]
BUDGETS = ["3.3", "3.6", "4.0", "4.2", "4.6", "5.2"]
AIMS = {"3.6": "half", "4.2": "a quarter", "4.6": "a tenth"}
TRIALS = 16
PLANS = 30
COCO = (ASSETS / "coco/calib", ASSETS / "coco/eval", ASSETS / "coco/eval.json")
FACES = (ASSETS / "faces", ASSETS / "faces", None)
DETECTORS = {  # model, calibration, images to test with, labels, options of every command
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


class Missing(Exception):
    """A result that would take a run, with --kept."""


ONLY_KEPT = "--kept" in sys.argv


def run(*command, unmet=0):
    """Standard output of a command, or the end of everything with its message."""
    if ONLY_KEPT:
        raise Missing
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode not in (0, unmet):
        sys.exit(f"failed: {' '.join(str(c) for c in command)}\n{done.stderr}")
    return done.stdout


def note(detector, name):
    return WORK / f"{detector}-{name}.json"


def remember(path, make):
    """What a file holds, or what make() returns, kept there."""
    if not path.exists():
        value = make()
        path.write_text(json.dumps(value))
    return json.loads(path.read_text())


def convert(detector, name, options, program=LBW):
    """A converted model, and of the report what the tables need."""
    model, calib, _, _, common = DETECTORS[detector]
    out = WORK / f"{detector}-{name}.onnx"

    def make():
        report = json.loads(run(program, "quantize", model, "-o", out, "--calib", calib, "--json",
                                *common, *options, unmet=3 * ("--keep" in options)))
        print(detector, name, report["bits_per_weight"], file=sys.stderr, flush=True)
        return {"bits": report["bits_per_weight"], "kept": report.get("kept")}

    return out, remember(note(detector, name + "-converted"), make)


def measure(detector, plans, folder=None, suffix="", program=LBW):
    """
    Converts by each of the plans, pairs of a name and options, and tests all in one pass over the
    images: sizes, bits, agreement with the float model, AP against labels.
    """
    model, _, pictures, labels, common = DETECTORS[detector]
    missing = [plan for plan in plans if not note(detector, plan[0] + suffix).exists()]
    made = [convert(detector, *plan, program) for plan in missing]
    common = common + (["--labels", labels] if labels else [])
    rows = json.loads(run(LBW, "eval", *[out for out, _ in made], "--reference", model, "--images",
                          folder or pictures, "--json", *common))["models"] if made else []
    for (name, _), (_, report), row in zip(missing, made, rows):
        note(detector, name + suffix).write_text(json.dumps({
            **report, "size": row["size"],
            **{key: row["agreement"][key]
               for key in ("ap", "ap75", "wanted", "lost", "invented")},
            "labelled": row["labels"]["ap"] if labels else None}))
    return [json.loads(note(detector, name + suffix).read_text()) for name, _ in plans]


def auto(budget):
    return f"auto-{budget}", ["--bpw", budget]


def quality(r):
    labelled = f" {r['labelled']:.4f} |" if r["labelled"] else ""
    return (f" {r['ap']:.4f} | {r['ap75']:.4f} | {r['lost']} of {r['wanted']} | {r['invented']} |"
            f"{labelled}\n")


def size(r):
    return f" {r['bits']:.2f} | {r['size'] / 1000:.0f} kB |"


def columns(detector, *first):
    titles = [*first, "agreement", "at IoU .75", "lost", "invented"]
    titles += ["AP"] * (DETECTORS[detector][3] is not None)
    return f"| {' | '.join(titles)} |\n|---{'|--:' * (len(titles) - 1)}|\n"


def grids(detector):
    """Uniform grids and --bits auto."""
    ways = [(f"{g} everywhere", g, ["--bits", g]) for g in GRIDS]
    ways += [(f"auto, {b}", *auto(b)) for b in BUDGETS] + [("auto, the default", "auto", [])]
    found = measure(detector, [way[1:] for way in ways])
    return columns(detector, "plan", "bits per weight", "file") + "".join(
        f"| {title} |{size(r)}{quality(r)}" for (title, *_), r in zip(ways, found))


def half(pictures, which):
    """A folder of links to every other image, with their labels."""
    folder = WORK / f"{pictures.parent.name}-{pictures.name}-{which}"
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(p for p in pictures.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for picture in names[which::2]:
        if not (folder / picture.name).exists():
            (folder / picture.name).symlink_to(picture.resolve())
    return folder


def find_plan(detector, budget, target):
    """The plan that a search finds, and what its trials made of the images that it judged by."""
    model, calib, pictures, _, common = DETECTORS[detector]
    plan = WORK / f"{detector}-search-{budget}.plan"

    def make():
        found = json.loads(run(LBW, "search", model, "--images", half(pictures, 0), "--calib",
                               calib, "--target-size", target, "--trials", TRIALS, "-o", plan,
                               "--json", *common))
        print(detector, "search", budget, file=sys.stderr, flush=True)
        return [{key: t[key] for key in ("what", "ap", "size", "fits", "best")}
                for t in found["trials"]]

    return plan, remember(note(detector, f"search-{budget}-trials"), make)


def search(detector):
    """At each size --bits auto and what trials make of it, on images that no trial has used."""
    _, _, pictures, labels, _ = DETECTORS[detector]
    text = columns(detector, "plan", "bits per weight", "file", "judged")
    for budget in BUDGETS:
        [whole] = measure(detector, [auto(budget)])
        plan, trials = find_plan(detector, budget, whole["size"])
        ways = [auto(budget), (f"search-{budget}", ["--plan", plan])]
        rows = measure(detector, ways, half(pictures, 1), "-half")
        start = [t["ap"] for t in trials if t["what"] == "bits by gradients"]
        best = [t["ap"] for t in trials if t["best"]]
        for title, ap, r in zip(("auto", "search"), (start[:1], best[-1:]), rows):
            text += f"| {title}, {budget} |{size(r)} {'%.4f' % ap[0] if ap else '-'} |{quality(r)}"
    return text


def shares(detector):
    """What is left, at three sizes, of the agreement that plain 4 bits lose against 4x2."""
    plain, fine, *rows = measure(detector, [(g, ["--bits", g]) for g in ("4", "4x2")] +
                                 [auto(budget) for budget in AIMS])
    left = [(fine["ap"] - r["ap"]) / (fine["ap"] - plain["ap"]) for r in rows]
    return f"| {detector} | {' | '.join(f'{max(0, 100 * x):.0f} %' for x in left)} |\n"


def share(kept, lost):
    """With the interval that holds the true share with 95 %, by Wilson."""
    z, p = 1.96, 1 - lost / kept
    middle = (p + z * z / (2 * kept)) / (1 + z * z / kept)
    reach = z / (1 + z * z / kept) * (p * (1 - p) / kept + z * z / (4 * kept * kept)) ** .5
    return (f"{100 * p:.1f} % of {kept} ({100 * (middle - reach):.1f} … "
            f"{100 * (middle + reach):.1f})")


def keep(detector):
    """The row of the smallest file that keeps 98 % of the boxes, as far as it was tested."""
    [r] = measure(detector, [("keep", ["--keep", "98%"])])
    held, whole = r["kept"], DETECTORS[detector][0].stat().st_size
    is_met = held["lost"] == 0 or held["at_least"] >= .98
    return (f"| {detector} | {r['size'] / 1000:.0f} kB{'' if is_met else ', not reached'} | "
            f"{100 * r['size'] / whole:.0f} % | {share(held['boxes'], held['lost'])} | "
            f"{share(r['wanted'], r['lost'])} |\n")


def closing(detector):
    """Boxes lost and invented without the closing fit, and with it."""
    text = ""
    ways = [("4", ["--bits", "4"]), ("4x2", ["--bits", "4x2"]), auto("4.2"), ("auto", [])]
    titles = ("4", "4x2", "auto, 4.2", "auto")
    after = measure(detector, ways)
    before = measure(detector, [(f"{name}-open", options) for name, options in ways],
                     program=os.environ.get("LBW_OPEN", "LBW_OPEN"))
    for title, b, a in zip(titles, before, after):
        pairs = [f"{b[key]} → {a[key]}" for key in ("lost", "invented")]
        pairs += [f"{b[key]:.4f} → {a[key]:.4f}" if b[key] else "-" for key in ("ap", "labelled")]
        text += f"| {detector} | {title} | {' | '.join(pairs)} |\n"
    return text


def losses(detector):
    """What each weight is predicted to lose on each grid, from plans of many sizes."""
    model, calib, _, _, common = DETECTORS[detector]
    known = {}
    for tenths in range(34, 74, 4):
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


def correlation(detector):
    """Spearman's between predicted loss and what random plans lose of the agreement."""
    plan, known = losses(detector)
    predicted, ways = [], []
    for seed in range(PLANS):
        draw = random.Random(seed)
        coarseness, loss = draw.random(), 0
        for weight in plan["weights"]:
            choices = known.get(weight["tensor"])
            if not weight["grid"] or not choices:
                continue
            ordered = sorted(choices, key=choices.get)
            coarse = draw.random() < coarseness
            weight["grid"] = ordered[-1] if coarse else draw.choice(ordered)
            loss += choices[weight["grid"]]
        path = WORK / f"{detector}-plan{seed}.plan"
        path.write_text(json.dumps(plan))
        predicted.append(loss)
        ways.append((f"plan{seed}", ["--plan", path, "--samples", "16"]))
    measured = [1 - r["ap"] for r in measure(detector, ways)]
    a, b = ranks(predicted), ranks(measured)
    distance = sum((x - y) ** 2 for x, y in zip(a, b))
    return 1 - 6 * distance / (PLANS * (PLANS * PLANS - 1))


def plans(detector):
    value = remember(note(detector, f"plans-{PLANS}"), lambda: correlation(detector))
    return f"| {detector} | {value:.2f} |\n"


def head(*titles):
    return f"| {' | '.join(titles)} |\n|---{'|--:' * (len(titles) - 1)}|\n"


PARTS = {  # what a detector adds; heading; for parts of one table its head; an introduction
    "grids": (grids, "", None, ""),
    "search": (search, "lbw search", None, f"""Searches of {TRIALS} trials on every other test \
image, at the file size of `--bits auto`. *judged* is the agreement on these images; all other columns \
were measured on the remaining test images. Where only *judged* rises, the trials chose by chance: in 60 images some \
detectors find fewer than 100 boxes."""),
    "shares": (shares, "How much of the loss of 4 bits remains",
               head("detector", *(f"{b} bits (aim: {aim})" for b, aim in AIMS.items())),
               "The agreement that `--bits auto` loses against 4x2 everywhere, as a share of what 4 bits "
               "everywhere lose: 100 % is as bad as 4 bits, 0 % as good as 4x2."),
    "keep": (keep, "--keep 98%",
             head("detector", "file", "of float", "kept of held-back samples",
                  "kept in testing"),
             "What `lbw quantize --keep 98%` finds: the share of the float model's boxes that it "
             "keeps, with intervals of 95 %, counted above .4 in 16 held-back samples and above "
             ".6 in the test images. Weights that no grid rounds well enough stay float."),
    "plans": (plans, "Prediction",
              head("detector", "rank correlation"),
              f"Predicted loss and measured agreement of {PLANS} random plans (Spearman), each "
              "calibrated with 16 images."),
    "closing": (closing, "The closing fit",
                head("detector", "plan", "lost", "invented", "agreement", "AP"),
                "Without → with the closing fit ([search.md](search.md#restoring-the-level-of-scores))."),
}


def write(part, detectors):
    """The text of one part."""
    make, title, table, introduction = PARTS[part]
    text = f"\n## {title}\n\n{introduction}\n" if title else ""
    text += f"\n{table}" if table else ""
    left_out = []
    for name in detectors:
        try:
            rows = make(name)
        except Missing:
            left_out.append(name)
            continue
        text += rows if table else f"\n{'###' if title else '##'} {name}\n\n{rows}"
    return text + (f"\nNot measured: {', '.join(left_out)}.\n" if left_out else "")


def main(arguments):
    parts = list(PARTS)
    arguments = [argument for argument in arguments if argument != "--kept"]
    is_partial = arguments[:1] == ["--only"] and len(arguments) > 1
    if is_partial:
        parts, arguments = arguments[1].split(","), arguments[2:]
    if set(arguments) - set(DETECTORS) or set(parts) - set(PARTS):
        sys.exit(__doc__)
    WORK.mkdir(parents=True, exist_ok=True)
    detectors = [name for name in arguments or DETECTORS if DETECTORS[name][0].exists()]
    for name in set(arguments or DETECTORS) - set(detectors):
        print(f"{name}: no {DETECTORS[name][0]}, left out", file=sys.stderr)
    text = ""
    for part in parts:
        text += write(part, detectors)
    if is_partial:
        print(text)
    else:
        (ROOT / "docs" / "frontier.md").write_text(INTRODUCTION + text)


if __name__ == "__main__":
    main(sys.argv[1:])
