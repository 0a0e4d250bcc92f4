#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the Python package costs: time beside the library, memory over many conversions, threads.

Wants the package, the program that it was built with (LBW, default build/lbw), and a model, by default
yolox_nano.onnx of LBW_ASSETS. About five minutes on two cores.

usage: PYTHONPATH=build/python-test/site python3 tests/bench/python.py [MODEL.onnx]
"""

import concurrent.futures
import hashlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import lbw
from lbw import _call, _options

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("LBW", ROOT / "build/lbw")
ASSETS = pathlib.Path(os.environ.get("LBW_ASSETS", ROOT / "../shared/assets"))
ROUNDS = int(os.environ.get("ROUNDS", "7"))
CONVERSIONS = 50


def digest(data):
    return hashlib.sha256(data).hexdigest()[:12]


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def beside_the_library(model):
    """Seconds of a call; of its processor time, what the caller's thread spends beside the library.

    Long calls of the library run in a thread of their own, so the caller's thread has the rest, the
    callbacks included; short calls are taken off. Processor time, for a busy machine delays every
    change of threads.
    """
    inside = [0.0]

    def timed(function):
        def call(*args):
            start = time.thread_time()
            try:
                return function(*args)
            finally:
                inside[0] += time.thread_time() - start

        return call

    do = _call.Call.do
    shares, totals = [], []
    try:
        _call.Call.do = lambda self, function, *args: do(self, timed(function), *args)
        for _ in range(ROUNDS):
            inside[0] = 0.0
            begin = time.perf_counter(), time.thread_time(), time.process_time()
            lbw.quantize(model, progress=lambda what, done, total: None)
            totals.append(time.perf_counter() - begin[0])
            beside = time.thread_time() - begin[1] - inside[0]
            shares.append(beside / (time.process_time() - begin[2]))
    finally:
        _call.Call.do = do
    return statistics.median(totals), statistics.median(shares), max(shares)


def whole_processes(model):
    """An interpreter that converts over a program that does, taking turns; same bytes."""
    code = "import sys, lbw; lbw.quantize(sys.argv[1], sys.argv[2])"
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = f"{folder}/a.onnx", f"{folder}/b.onnx"
        for _ in range(ROUNDS):
            times = []
            for command in ([sys.executable, "-c", code, model, ours],
                            [PROGRAM, "quantize", "-q", model, "-o", theirs]):
                start = time.perf_counter()
                subprocess.run(command, check=True)
                times.append(time.perf_counter() - start)
            ratios.append(times[0] / times[1])
        same = pathlib.Path(ours).read_bytes() == pathlib.Path(theirs).read_bytes()
    return statistics.median(ratios), same


def memory(model):
    """Resident megabytes after 10 conversions and after all."""
    sizes = []
    for i in range(CONVERSIONS):
        lbw.quantize(model, calibration="generated:2")
        if i + 1 in (10, CONVERSIONS // 2, CONVERSIONS):
            sizes.append(resident())
    return sizes


def threads(model):
    """Four conversions at once, and whether they give the bytes that they give alone."""

    def convert(bits):
        return digest(lbw.quantize(model, bits=bits, calibration="generated:4").model)

    bits = [2, 3, 4, "4x2"]
    start = time.perf_counter()
    alone = [convert(b) for b in bits]
    middle = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(convert, bits))
    return together == alone, (time.perf_counter() - middle) / (middle - start)


def main():
    os.environ.setdefault("LBW_ORT", _options.runtime_folder() or "")  # the program's, too
    model = sys.argv[1] if len(sys.argv) > 1 else str(ASSETS / "models/yolox_nano.onnx")
    print(f"lbw {lbw.__version__}, Python {sys.version.split()[0]}, {os.path.basename(model)}")
    ratio, same = whole_processes(model)
    print(f"an interpreter that converts over the program, {ROUNDS} rounds in turns: "
          f"{ratio:.3f}, {'the same bytes' if same else 'OTHER BYTES'}")
    total, share, most = beside_the_library(model)
    print(f"quantize(): {total:.2f} s; of its processor time beside the library {100 * share:.2f} %, "
          f"at most {100 * most:.2f} %")
    sizes = memory(model)
    print(f"resident after 10, {CONVERSIONS // 2} and {CONVERSIONS} conversions: "
          + ", ".join(f"{size:.0f} MB" for size in sizes))
    same, ratio = threads(model)
    print(f"four at once: {'the same bytes' if same else 'OTHER BYTES'}, "
          f"{ratio:.2f} of the time one after another")


if __name__ == "__main__":
    main()
