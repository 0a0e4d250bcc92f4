# SPDX-License-Identifier: MIT
"""No output that does not load where its input did.

    every.py LBW MAKE_MODEL PROGRAM...

Takes every model that the test programs make, those of make_model and the fuzzers' corpora through every
command that writes models, in every encoding. Where ONNX Runtime loads a model, it has to load what
becomes of it; lbw may refuse, with a line that says why.
"""
import glob
import multiprocessing
import os
import subprocess
import sys
import tempfile

try:
    import onnxruntime as ort
except ImportError:
    print("skipped: no onnxruntime for Python")
    sys.exit(77)

lbw, make_model, *programs = sys.argv[1:]
root = os.environ["LBW_SOURCE_ROOT"]

QUANTIZE = ["quantize", "--calib", "none", "--all", "-q"]
# From the model, by these options, to a name; "convert" and "expand" start from one of those.
WAYS = [
    ("packed", None, QUANTIZE),
    ("inline", None, [*QUANTIZE, "--inline"]),
    ("dq", None, [*QUANTIZE, "-e", "dq"]),
    ("float", None, [*QUANTIZE, "-e", "float", "--bits", "5"]),
    ("unfolded", None, [*QUANTIZE, "--no-fold", "--group", "tensor", "--bits", "2"]),
    ("lifted", None, [*QUANTIZE, "--opset", "21", "-e", "dq"]),
    ("packed to dq", "packed", ["convert", "-e", "dq"]),
    ("packed to float", "packed", ["convert", "-e", "float"]),
    ("dq to inline", "dq", ["convert", "-e", "packed", "--inline"]),
    ("expanded", "inline", ["expand"]),
    ("as it is to dq", None, ["convert", "-e", "dq"]),
]


def load(path):
    """What ONNX Runtime has against the model, or None."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return None
    except Exception as problem:  # the runtime's are of many kinds
        return str(problem)[:300]


def take(path):
    """(loads, results written, complaints) of one model."""
    written, complaints = 0, []
    if load(path):
        return False, 0, []
    with tempfile.TemporaryDirectory() as folder:
        for name, start, command in WAYS:
            source = os.path.join(folder, start) if start else path
            target = os.path.join(folder, name)
            if not os.path.exists(source):
                continue
            done = subprocess.run([lbw, command[0], source, "-o", target, *command[1:]],
                                  capture_output=True, text=True, errors="replace")
            if done.returncode not in (0, 1, 2) or (done.returncode and not done.stderr):
                complaints.append("%s: exit %d: %s" % (name, done.returncode, done.stderr))
            if done.returncode and os.path.exists(target):
                complaints.append("%s: failed, and wrote something" % name)
            if done.returncode == 0:
                written += 1
                problem = load(target)
                if problem:
                    complaints.append("%s: %s" % (name, problem))
    return True, written, complaints


def main():
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, LBW_FIXTURES=folder)
        for program in programs:  # what they test is tested elsewhere
            subprocess.run([program], env=environment, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        made = len(os.listdir(folder))
        assert made > 50, "the test programs leave %d models" % made
        for kind in ("detector", "detector:7", "detector:13", "detector:21", "half", "plain",
                     "nested", "short", "overflow", "negative", "hostile"):
            subprocess.run([make_model, kind, os.path.join(folder, kind + ".onnx")],
                           stderr=subprocess.DEVNULL)
        paths = sorted(glob.glob(os.path.join(folder, "*.onnx")))
        for corpus in ("convert", "load"):
            paths += sorted(glob.glob(os.path.join(root, "tests/fuzz/corpus", corpus, "*")))
        with multiprocessing.Pool(2) as pool:
            results = pool.map(take, paths, chunksize=4)
    num_loaded = num_written = num_bad = 0
    for path, (loads, written, complaints) in zip(paths, results):
        num_loaded += loads
        num_written += written
        num_bad += len(complaints)
        for complaint in complaints:
            print("%s: %s" % (os.path.basename(path), complaint))
    print("%d models, %d that ONNX Runtime loads, %d results, %d of them bad"
          % (len(paths), num_loaded, num_written, num_bad))
    return num_bad != 0 or num_loaded < 40


if __name__ == "__main__":
    sys.exit(main())
