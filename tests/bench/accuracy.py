#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes docs/accuracy.md and docs/accuracy.svg: what detectors keep on each grid.

Runs build/lbw on the detectors and images of ../shared/assets (or LBW_ASSETS) and on
samples/shapes. Every conversion is kept in build/accuracy/ with its time and peak memory, so a
run that was stopped goes on where it was; delete the folder to start over. About fifteen minutes
on two idle cores. The plot needs matplotlib and is left out without it; the comparison with
onnxruntime.quantization needs that package (and onnx, numpy, Pillow) and is left out too.

usage: python3 tests/bench/accuracy.py [PART…]    parts: coco faces shapes cost others
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("LBW_ASSETS", ROOT / "../shared/assets"))
LBW = pathlib.Path(os.environ.get("LBW", ROOT / "build/lbw"))
WORK = ROOT / "build" / "accuracy"
GRIDS = ["6", "5", "4", "3", "2", "4x2", "3x2"]
COCO = {"yolox_nano": "yolox", "nanodet_m_416": "nanodet", "fastestdet": "fastestdet"}
LABELS = ["-i", ASSETS / "coco/eval", "-l", ASSETS / "coco/eval.json"]


def convert(model, name, options, how="quantize"):
    """Converts once; returns {file, size, seconds, memory (bytes), bits (per weight)}."""
    out, note = WORK / f"{name}.onnx", WORK / f"{name}.json"
    if note.exists():
        return json.loads(note.read_text())
    command = [LBW, how, "-q", model, "-o", out, "--report", WORK / f"{name}.report"]
    command += options
    start = time.time()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(str(c) for c in command)}")
    report = json.loads((WORK / f"{name}.report").read_text())
    result = {"file": str(out), "size": out.stat().st_size, "seconds": time.time() - start,
              "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024,
              "bits": report["bits_per_weight"],
              "layers": sum(w.get("seconds", 0) for w in report["weights"])}
    note.write_text(json.dumps(result))
    print(f"{name}: {result['seconds']:.1f} s", file=sys.stderr)
    return result


def evaluate(models, options):
    """One dict of measurements per model file."""
    out = subprocess.run([str(c) for c in [LBW, "eval", *models, "--json", *options]],
                         check=True, capture_output=True, text=True).stdout
    return json.loads(out)["models"]


def table(head, rows):
    """A Markdown table, first column left, the others right."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def ap(value):
    return f"{value:.4f}".replace("0.", ".", 1)


def coco():
    """AP on COCO for each detector, grid and way of converting."""
    text, points, costs = "", {}, []
    calib = ["--calib", ASSETS / "coco/calib"]
    for model, profile in COCO.items():
        source = ASSETS / "models" / f"{model}.onnx"
        ways = [("none", ["--calib", "none"]), ("real", calib),
                ("pow2", [*calib, "--scale", "pow2"])]
        made = {(g, w): convert(source, f"{model}-{g}-{w}", ["-b", g, "-p", profile, *more])
                for g in GRIDS for w, more in ways}
        files = [source] + [made[g, w]["file"] for g in GRIDS for w, _ in ways]
        found = [m["labels"]["ap"] for m in evaluate(files, ["-p", profile, *LABELS])]
        float_ap, rest = found[0], dict(zip(made, found[1:]))
        rows = []
        for g in GRIDS:
            real = made[g, "real"]
            rows.append([g, f"{real['bits']:.2f}", f"{real['size'] / source.stat().st_size:.3f}",
                         ap(rest[g, "none"]), ap(rest[g, "pow2"]), f"**{ap(rest[g, 'real'])}**",
                         f"{rest[g, 'real'] / float_ap:.3f}"])
            points.setdefault(model, []).append(
                (real["bits"], rest[g, "none"], rest[g, "real"], "x" in g))
        points[model].append((32, float_ap, float_ap, False))
        text += f"### {model}: float AP {ap(float_ap)}\n\n"
        text += table(["grid", "bits/weight", "file", "projection", "pow2", "real",
                       "of float"], rows) + "\n"
        cost = made["6", "real"]
        costs.append([model, f"{cost['seconds']:.1f} s", f"{cost['cpu']:.1f} s",
                      f"{cost['layers']:.1f} s", f"{cost['memory'] / 1e6:.0f} MB"])
    text += "Time and peak memory of a conversion at 6 bits with 64 images:\n\n"
    text += table(["detector", "wall", "CPU", "of it in layers", "peak memory"], costs)
    return text, points


def crops(folder, pictures):
    """Each image whole and two crops of it: what the face detector is calibrated on."""
    from PIL import Image
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    for file in pictures:
        picture = Image.open(file).convert("RGB")
        picture.save(folder / f"{file.stem}-0.png")
        for i in (1, 2):
            share = rng.uniform(0.4, 0.8)
            width, height = int(picture.width * share), int(picture.height * share)
            x, y = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
            picture.crop((x, y, x + width, y + height)).save(folder / f"{file.stem}-{i}.png")


def face_pictures():
    """Two folders: photographs that are held back, and crops of the others to learn from."""
    pictures = sorted((ASSETS / "faces").iterdir())
    held, used = WORK / "faces-held", WORK / "faces-used"
    held.mkdir(parents=True, exist_ok=True)
    for file in pictures[0::2]:
        (held / file.name).write_bytes(file.read_bytes())
    crops(used, pictures[1::2])
    return held, used


def faces():
    """Agreement of the face detector with itself, on images not used for calibration."""
    held, used = face_pictures()
    source = ASSETS / "models/ultraface_rfb_320.onnx"
    ways = [("5", "real", used), ("5", "pow2", used), ("4", "real", used), ("4", "pow2", used),
            ("3", "real", used), ("2", "real", used), ("4x2", "real", used),
            ("5", "real", "generated"), ("5", "real", "none")]
    made = [convert(source, f"faces-{g}-{s}-{pathlib.Path(c).name}",
                    ["-b", g, "--scale", s, "-p", "ultraface", "--calib", c])
            for g, s, c in ways]
    found = evaluate([m["file"] for m in made],
                     ["-p", "ultraface", "-i", held, "-r", source])
    rows = []
    for (g, s, c), m, f in zip(ways, made, found):
        a = f["agreement"]
        rows.append([g, s, "36 crops" if c == used else c, f"{m['bits']:.2f}",
                     ap(a["ap50"]), ap(a["ap75"]), str(a["lost"]), str(a["invented"])])
    return table(["grid", "scale", "calibration", "bits/weight", "AP50", "AP75", "lost",
                  "invented"], rows)


def shapes():
    """The detector that ships with the project."""
    folder = ROOT / "samples/shapes"
    profile, source = folder / "profile.json", folder / "shapes.onnx"
    ways = [("none", ["--calib", "none"]), ("nonepow2", ["--calib", "none", "--scale", "pow2"]),
            ("generated", []), ("calib", ["--calib", folder / "calib"])]
    made = {(g, w): convert(source, f"shapes-{g}-{w}", ["-b", g, "-p", profile, *more])
            for g in GRIDS for w, more in ways}
    files = [source] + [m["file"] for m in made.values()]
    found = evaluate(files, ["-p", profile, "-i", folder / "eval", "-l", folder / "eval"])
    score = dict(zip(made, [f["labels"]["voc_all"] for f in found[1:]]))
    rows = [[g, f"{made[g, 'calib']['bits']:.2f}",
             f"{made[g, 'calib']['size'] / source.stat().st_size:.3f}",
             *[ap(score[g, w]) for w in ("nonepow2", "none", "generated", "calib")]]
            for g in GRIDS]
    return (f"Float mAP50 {ap(found[0]['labels']['voc_all'])} on the 40 scenes of eval/.\n\n" +
            table(["grid", "bits/weight", "file", "projection, pow2", "projection, real",
                   "generated images", "32 scenes"], rows))


def cost():
    """What evaluating costs beside ONNX Runtime's own time, one image at a time."""
    rows = []
    for model, profile in COCO.items():
        command = [LBW, "eval", ASSETS / "models" / f"{model}.onnx", "--json", "--threads", "1",
                   "-p", profile, *LABELS]
        out = json.loads(subprocess.run([str(c) for c in command], check=True,
                                        capture_output=True, text=True).stdout)
        runtime, decode = (out["models"][0][k] for k in ("runtime_seconds", "decode_seconds"))
        each = [1000 * t / out["images"] for t in (runtime, decode, out["read_seconds"])]
        rows.append([model, *[f"{t:.1f} ms" for t in each], f"{decode / runtime:.1%}"])
    return table(["detector", "ONNX Runtime", "decoding boxes", "reading the image",
                  "decoding / runtime"], rows)


def plot(points):
    """AP against bits per weight, one panel a detector."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is missing: no plot", file=sys.stderr)
        return
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "lbw"
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, len(points), figsize=(11, 3.4), sharey=True)
    for axis, (model, values) in zip(axes, points.items()):
        axis.axhline(values[-1][2], color="#444444", lw=1, ls="--", label="float32")
        for index, label, colour in [(2, "reconstruction", "#0b6e4f"),
                                     (1, "projection alone", "#c8553d")]:
            for two, marker in [(False, "o"), (True, "s")]:
                line = sorted((v[0], v[index]) for v in values[:-1] if v[3] == two)
                axis.plot(*zip(*line), marker=marker, color=colour, lw=1.6, ms=5,
                          ls=":" if two else "-", label=label + (", two terms" if two else ""))
        axis.set_title(model, fontsize=10)
        axis.set_xlabel("bits per weight, scales included")
        axis.set_ylim(bottom=-0.005)
        axis.grid(alpha=0.25)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[0].set_ylabel("COCO AP .50:.95")
    axes[-1].legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    figure.savefig(ROOT / "docs/accuracy.svg", metadata={"Date": None})
    figure.savefig(WORK / "accuracy.png", dpi=110)


def others():
    """The same detector through onnxruntime.quantization."""
    try:
        import ort_quantize
    except ImportError as missing:
        return f"(left out: {missing})\n"
    source = ASSETS / "models/yolox_nano.onnx"
    options = ["-p", "yolox", *LABELS]
    pictures = sorted((ASSETS / "coco/calib").iterdir())[:64]
    rows = [["float32", f"{source.stat().st_size / 1e6:.2f} MB", "",
             ap(evaluate([source], options)[0]["labels"]["ap"])]]
    for index, (name, make) in enumerate(ort_quantize.METHODS.items()):
        out = WORK / f"other-{index}.onnx"
        start = time.time()
        try:
            make(source, out, pictures)
            taken = f"{time.time() - start:.1f} s"
            score = ap(evaluate([out], options)[0]["labels"]["ap"])
        except subprocess.CalledProcessError:
            score = "does not load"
        rows.append([f"onnxruntime: {name}", f"{out.stat().st_size / 1e6:.2f} MB", taken, score])
    for grid in ("4", "4x2"):
        ours = convert(source, f"yolox_nano-{grid}-real",
                       ["-b", grid, "-p", "yolox", "--calib", ASSETS / "coco/calib"])
        score = evaluate([ours["file"]], options)[0]["labels"]["ap"]
        rows.append([f"lbw --bits {grid}", f"{ours['size'] / 1e6:.2f} MB",
                     f"{ours['seconds']:.1f} s", ap(score)])
    return table(["method", "file", "time", "AP"], rows)


PARTS = {
    "coco": ("COCO", "AP .50:.95 on the 120 val2017 images of coco/eval, calibrated on the 64 "
             "train2017 images of coco/calib. *file* is the size relative to the float file. "
             "*projection* is the AP with `--calib none` and a real scale, *pow2* and *real* the "
             "AP after calibration with that `--scale`; *of float* is *real* divided by the "
             "float AP."),
    "faces": ("Faces", "ultraface_rfb_320: agreement with the float model's boxes (score above .6, "
              "NMS .3) on 12 photographs that calibration did not use. *lost* and *invented* "
              "count boxes."),
    "shapes": ("The detector in samples/shapes", ""),
    "cost": ("What lbw eval costs", "Per image, on one thread. Reading is JPEG decoding and "
             "resizing."),
    "others": ("Against other tools", "yolox_nano, the same 64 calibration images, one run."),
}


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:] or list(PARTS)
    for part in wanted:
        result = globals()[part]()
        if part == "coco":
            result, points = result
            plot(points)
        (WORK / f"{part}.md").write_text(result)
    text = ("# Accuracy\n\nWritten by `python3 tests/bench/accuracy.py` (2 cores of an AMD EPYC "
            "virtual machine, 24 GiB, Debian 12,\nONNX Runtime 1.32; other work shared the "
            "machine, so times are upper bounds). ONNX Runtime and BLAS\nround differently on "
            "other processors: expect differences of a few thousandths.\n")
    for part, (title, note) in PARTS.items():
        if (WORK / f"{part}.md").exists():
            text += f"\n## {title}\n\n" + (note + "\n\n" if note else "")
            if part == "coco":
                text += "![AP against bits per weight](accuracy.svg)\n\n"
            text += (WORK / f"{part}.md").read_text()
    (ROOT / "docs/accuracy.md").write_text(text)


if __name__ == "__main__":
    main()
