#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a conversion costs: processor time, wall time and peak memory of `lbw quantize`, of another
build of it, and of onnxruntime's static quantization, on the same models and images.

Every program runs in a process of its own, they take turns, and of several rounds the one with the
least processor time is shown. Needs onnxruntime, onnx, numpy and Pillow for --onnxruntime.

usage: conversion.py [--old LBW] [--onnxruntime] [--rounds N] [--limit SECONDS] PICTURES
                     MODEL[:SAMPLES[:OPTION…]]…
"""
import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def quantize_static(model, out, pictures, num):
    """onnxruntime's tool, as its documentation calls it: images resized, 0 … 1."""
    import numpy as np
    import onnxruntime
    from onnxruntime import quantization
    from PIL import Image

    port = onnxruntime.InferenceSession(model).get_inputs()[0]
    height, width = (d if isinstance(d, int) else 320 for d in port.shape[2:])
    files = sorted(pathlib.Path(pictures).iterdir())[:num]

    class Pictures(quantization.CalibrationDataReader):
        def __init__(self):
            self.files = iter(files)

        def get_next(self):
            file = next(self.files, None)
            if file is None:
                return None
            picture = Image.open(file).convert("RGB").resize((width, height), Image.BILINEAR)
            pixels = np.asarray(picture, np.float32) / 255
            return {port.name: np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])}

    quantization.quantize_static(model, out, Pictures(), per_channel=True)


def measure(command, limit):
    """(processor seconds, wall seconds, peak MB), or what stopped it."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen([str(c) for c in command], stdout=messages, stderr=messages)
        stop = threading.Timer(limit, process.send_signal, [signal.SIGKILL])
        stop.start()
        _, status, usage = os.wait4(process.pid, 0)
        stop.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == -signal.SIGKILL:
            return f"stopped after {limit:.0f} s, {usage.ru_maxrss / 1024:,.0f} MB"
        if process.returncode:
            messages.seek(0)
            return "failed: " + messages.read().decode(errors="replace").strip()[-200:]
    return usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss / 1024


def show(best):
    if best is None or isinstance(best, str):
        return best or ""
    return f"{best[0]:.1f} s ({best[1]:.1f} s by the clock), {best[2]:,.0f} MB"


def main():
    if sys.argv[1:2] == ["--child"]:
        quantize_static(*sys.argv[2:5], int(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--old")
    parser.add_argument("--onnxruntime", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1200)
    parser.add_argument("images")
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    programs = {"lbw": os.environ.get("LBW", ROOT / "build/lbw"), "old": args.old}
    print("| model | lbw | old lbw | onnxruntime static int8 |\n|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.onnx"
        for text in args.models:
            model, samples, *options = [*text.split(":"), "64"] if ":" not in text else text.split(":")
            commands = {name: [program, "quantize", model, "-o", out, "-q", "-b", "4", "-c",
                               args.images, "-n", samples, *options]
                        for name, program in programs.items() if program}
            if args.onnxruntime:
                commands["onnxruntime"] = [sys.executable, __file__, "--child", model, out,
                                           args.images, samples]
            best = {}
            for _ in range(args.rounds):
                for name, command in commands.items():
                    if not isinstance(best.get(name), str):
                        found = measure(command, args.limit)
                        better = isinstance(found, str) or name not in best or found < best[name]
                        best[name] = found if better else best[name]
            name = pathlib.Path(model).stem
            print(f"| {name}, {samples} images {' '.join(options)} | {show(best.get('lbw'))} | "
                  f"{show(best.get('old'))} | {show(best.get('onnxruntime'))} |", flush=True)


if __name__ == "__main__":
    main()
