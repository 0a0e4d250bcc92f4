#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the models that two builds of lbw write, byte for byte.

Converts models in every grid and encoding, with and without calibration, by both programs, and
compares SHA-256 digests of the files. Prints one line per difference and one on the whole; exits 1
where files differ. By default three small models and two grids (a minute); --full takes every
model of ../shared/assets (or LBW_ASSETS), b = 2 … 6 and 4x2. Calibration looks at two generated
images: it is the same code for two as for sixty.

Against 0.1.0 (b88aeca) all 312 files of --full --how rounded are the same: preparing, planning,
projecting and encoding gave no other byte. Calibrated files all differ, by intent: layers are
fitted in single precision and side by side (src/num/bundle.c), scores get their amplitude back
(src/pass/closing.c), and a share of the samples is held back for the check of the result.

usage: python3 tests/bench/same_models.py [--full] [--models A,B] [--grids A,B]
                                          [--how rounded,calibrated] OLD [NEW]
       (NEW: build/lbw)
"""
import argparse
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("LBW_ASSETS", ROOT / "../shared/assets"))
SHAPES = ROOT / "samples/shapes/shapes.onnx"
FEW = ("ultraface_rfb_320", "yunet_n_dynamic")
ENCODINGS = {"packed": ["-e", "packed"], "inline": ["-e", "packed", "--inline"],
             "dq": ["-e", "dq"], "float": ["-e", "float"]}
CALIBRATIONS = {"rounded": ["-c", "none"], "calibrated": ["-c", "generated:2"]}


def models(names):
    found = [SHAPES, *sorted((ASSETS / "models").glob("*.onnx"))]
    return [path for path in found if names is None or path.stem in names]


def digest(program, model, options, folder):
    """The digest of the file, or the exit status and the message without its paths."""
    out = folder / "out.onnx"
    out.unlink(missing_ok=True)
    size = ["--size", "320x320"]
    run = subprocess.run([program, "quantize", model, "-o", out, "-q", *size, *options],
                         capture_output=True, text=True)
    if run.returncode != 0 and "size" in run.stderr:
        run = subprocess.run([program, "quantize", model, "-o", out, "-q", *options],
                             capture_output=True, text=True)
    if run.returncode != 0:
        return f"exit {run.returncode}: {run.stderr.strip()}"
    return hashlib.sha256(out.read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--models")
    parser.add_argument("--grids")
    parser.add_argument("--how", default=",".join(CALIBRATIONS))
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path, nargs="?", default=ROOT / "build/lbw")
    args = parser.parse_args()
    names = args.models.split(",") if args.models else None if args.full else ("shapes", *FEW)
    grids = (args.grids or ("2,3,4,5,6,4x2" if args.full else "2,4x2")).split(",")
    num = failed = num_refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for model in models(names):
            for grid in grids:
                for how in args.how.split(","):
                    calibration = CALIBRATIONS[how]
                    for name, encoding in ENCODINGS.items():
                        options = ["-b", grid, *calibration, *encoding]
                        old, new = (digest(program, model, options, pathlib.Path(folder))
                                    for program in (args.old, args.new))
                        num += 1
                        num_refused += old.startswith("exit") and new.startswith("exit")
                        if old == new or (old[:6] == new[:6] and old.startswith("exit")):
                            continue
                        failed += 1
                        print(f"{model.stem} {grid} {how} {name}: {old[:60]} … {new[:60]}",
                              flush=True)
    print(f"{num} files by two programs: {failed} differ, {num_refused} refused by both")
    return failed > 0 or num == 0


if __name__ == "__main__":
    sys.exit(main())
