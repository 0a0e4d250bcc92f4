# SPDX-License-Identifier: MIT
"""Threads, progress, interruption, memory."""

import concurrent.futures
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import MODEL, PROFILE, SHAPES, runtime

import lbw

CALIB = SHAPES / "calib"


def convert(bits, **options):
    return lbw.quantize(MODEL, bits=bits, calibration=CALIB, num_samples=2, profile=PROFILE,
                        **options).model


@runtime
def test_four_conversions_at_once():
    bits = [2, 3, 4, "4x2"]
    one_by_one = [convert(b) for b in bits]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(convert, bits)) == one_by_one


@runtime
def test_one_detector_in_four_threads():
    pictures = sorted((SHAPES / "eval").glob("*.jpg"))[:12]
    with lbw.Detector(MODEL, profile=PROFILE, threads=1) as detector:
        one_by_one = [detector(p) for p in pictures]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(detector, pictures)) == one_by_one


@runtime
def test_other_threads_run_meanwhile():
    counted = [0]
    stop = threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    before = counted[0]
    convert(4)
    stop.set()
    thread.join()
    assert counted[0] - before > 20


@runtime
def test_progress_comes_in_the_callers_thread():
    calls = []

    def progress(what, done, total):
        calls.append((threading.current_thread(), what, done, total))

    convert(4, progress=progress)
    assert {c[0] for c in calls} == {threading.current_thread()}
    assert [c[2] for c in calls] == sorted(c[2] for c in calls)
    assert calls[-1][3] >= 79 and any("Conv" in c[1] or "weight" in c[1] for c in calls)


@runtime
def test_a_bar_needs_no_tqdm():
    convert(4, progress=True)


INTERRUPTED = """
import os, signal, sys, lbw
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
def progress(what, done, total):
    if done == 2:
        print("begun", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
try:
    lbw.quantize(sys.argv[1], sys.argv[2], calibration="generated:4", bits=4, progress=progress)
except KeyboardInterrupt:
    print("interrupted")
"""


@runtime
def test_ctrl_c_raises_and_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, MODEL, tmp_path / "out.onnx"],
                          stdout=subprocess.PIPE, text=True)
    assert done.stdout.split() == ["begun", "interrupted"] and done.returncode == 0
    assert list(tmp_path.iterdir()) == []


@runtime
def test_ctrl_c_from_outside_without_a_callback(tmp_path):
    code = ("import signal, sys, lbw; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "print('begun', flush=True)\n"
            "lbw.quantize(sys.argv[1], sys.argv[2], calibration='generated:200', bits=4)")
    process = subprocess.Popen([sys.executable, "-c", code, MODEL, tmp_path / "out.onnx"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors and process.returncode != 0
    assert list(tmp_path.iterdir()) == []


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc")
def test_memory_is_given_back():
    data = MODEL.read_bytes()
    for _ in range(10):
        lbw.expand(lbw.quantize(data, calibration="none"))
    before = resident()
    for _ in range(50):
        lbw.expand(lbw.quantize(data, calibration="none"))
    assert resident() - before < 5 * len(data)  # leaked models would be fifty times that


@runtime
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc")
def test_freed_memory_is_not_kept_for_later():
    """glibc would keep it for each thread apart: 15 MB after this, more with every call."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        pytest.skip("no malloc_trim()")
    for _ in range(3):
        convert(4)
    before = resident()
    trim(0)
    assert before - resident() < 3e6


def test_the_program():
    for arguments, code in ((["--version"], 0), (["nonsense"], 2)):
        done = subprocess.run([sys.executable, "-m", "lbw", *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == code
    assert "did you mean" in subprocess.run(
        [sys.executable, "-m", "lbw", "quantise"], stderr=subprocess.PIPE, text=True).stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_runtime_is_that_of_the_package():
    onnxruntime = pytest.importorskip("onnxruntime")
    text = subprocess.run([sys.executable, "-m", "lbw", "--version"], stdout=subprocess.PIPE,
                          text=True, env={k: v for k, v in os.environ.items() if k != "LBW_ORT"})
    assert onnxruntime.__version__ in text.stdout
