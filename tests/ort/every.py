# SPDX-License-Identifier: MIT
"""Every model of the suite through every command, and all that they write into ONNX Runtime.

    every.py LBW MAKE_MODEL PROGRAM...

Takes every model that the test programs make, those of make_model, detectors and the fuzzers' corpora.
Where ONNX Runtime loads a model, it has to load what becomes of it; lbw may refuse, in one line that says
why. The commands that run models take two samples, one step, two trials, and those that look for boxes
take the detectors only.
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
shapes = os.path.join(root, "samples/shapes")
environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

# What only looks: of every model, also of those that the runtime refuses.
LOOKS = [["inspect"], ["inspect", "--json"], ["plan", "--calib", "none"],
         ["plan", "--calib", "none", "--all", "--json"]]

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


# What runs models; {name} stands for the file of that name, {images} for a folder of images.
RUNS = [
    ("calibrated", ["quantize", "{model}", "-q", "-n", "2", "-o"]),
    ("native", ["quantize", "{model}", "-q", "-n", "2", "-e", "native", "--activations", "int8",
                "--bits", "4x2", "-o"]),
    ("int8", ["quantize", "{model}", "-q", "-n", "2", "-e", "dq", "--activations", "int8", "-o"]),
    ("int8 packed", ["convert", "{int8}", "-e", "packed", "-o"]),
    ("native to dq", ["convert", "{native}", "-e", "dq", "-o"]),
    ("native to float", ["convert", "{native}", "-e", "float", "-o"]),
    ("native, expanded", ["expand", "{native}", "-o"]),
    ("tuned", ["tune", "{model}", "-q", "-n", "2", "--steps", "1", "--views", "2", "--batch", "1", "-o"]),
    (None, ["compare", "{model}", "{calibrated}", "-n", "1"]),
    (None, ["compare", "{native}", "{native to float}", "-n", "1", "--json"]),
    (None, ["bench", "{model}", "{native}", "-n", "1", "-t", "1"]),
]
DETECTS = [
    (None, ["eval", "{model}", "{native}", "-q", "-r", "{model}", "--images", "{pictures}"]),
    (None, ["detect", "{calibrated}", "{pictures}", "-r", "{model}"]),
    ("plan", ["search", "{model}", "-q", "-n", "2", "--trials", "2", "--images", "{pictures}", "-o"]),
    ("searched", ["quantize", "{model}", "-q", "-n", "2", "--plan", "{plan}", "-o"]),
]


def load(path):
    """What ONNX Runtime has against the model, or None."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        with open(path, "rb") as file:
            ort.InferenceSession(file.read(), options, providers=["CPUExecutionProvider"])
        return None
    except Exception as problem:  # the runtime's are of many kinds
        return str(problem)[:300]


def run(command, complaints):
    """Whether it succeeded; a failure has to be exit 1 or 2 and one line, warnings apart."""
    done = subprocess.run([lbw, *command], capture_output=True, text=True, errors="replace",
                          env=environment)
    lines = [line for line in done.stderr.splitlines() if "warning: " not in line]
    if done.returncode not in (0, 1, 2):
        complaints.append("%s: exit %d: %s" % (" ".join(command), done.returncode, done.stderr))
    elif done.returncode and len(lines) != 1:
        complaints.append("%s: said %s" % (" ".join(command), done.stderr))
    return done.returncode == 0


class Taker:
    """One model on its way through the commands."""

    def __init__(self, path, folder, pictures):
        self.files = {"model": path, "pictures": pictures}
        self.folder = folder
        self.written, self.complaints = 0, []

    def write(self, name, command):
        """A command whose last word is -o; the result loads."""
        target = os.path.join(self.folder, name)
        done = run([*command, target], self.complaints)
        if not done and os.path.exists(target):
            self.complaints.append("%s: failed, and wrote something" % name)
        if done:
            self.files[name] = target
            self.written += 1
            problem = load(target) if name != "plan" else None
            if problem:
                self.complaints.append("%s: %s" % (name, problem))

    def steps(self, steps, options):
        for name, command in steps:
            try:
                words = [word.format(**self.files) for word in command]
            except KeyError:  # one that failed before
                continue
            extra = options if words[0] in ("quantize", "tune", "search", "compare", "eval",
                                            "detect") else []
            if name:
                self.write(name, [*words[:-1], *extra, "-o"])
            else:
                run([*words, *extra], self.complaints)


def take(task):
    """(loads, results written, complaints) of one model."""
    path, pictures, options = task
    with tempfile.TemporaryDirectory() as folder:
        taker = Taker(path, folder, pictures)
        for look in LOOKS:
            run([look[0], path, *look[1:]], taker.complaints)
        if load(path):
            return False, 0, taker.complaints
        for name, start, command in WAYS:
            source = taker.files.get(start or "model")
            if source:
                taker.write(name, [command[0], source, *command[1:], "-o"])
        taker.steps(RUNS, options or [])
        if options is not None:
            taker.steps(DETECTS, options)
        return True, taker.written, taker.complaints


def detectors(folder):
    """The detectors of families.py and the sample, with the options that they need."""
    subprocess.run([sys.executable, os.path.join(root, "tests/ort/families.py")], cwd=folder, check=True)
    for path in sorted(glob.glob(os.path.join(folder, "*.onnx"))):
        name = os.path.basename(path)[:-5]
        if name == "fixed":  # at 640 only: slow, and as yolov8
            continue
        profiles = {"heads": ["-p", "yolov5"], "paddle": ["-p", "ppyoloe"]}
        sized = name in ("yolov6", "yolox", "pose", "heads", "paddle", "dfine", "keras_yolo3")
        yield path, folder, profiles.get(name, []) + ([] if sized else ["--size", "64x64"])
    yield os.path.join(shapes, "shapes.onnx"), folder, ["-p", os.path.join(shapes, "profile.json")]


def fixtures(folder):
    for program in programs:  # what they test is tested elsewhere
        subprocess.run([program], env=dict(os.environ, LBW_FIXTURES=folder),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    made = len(os.listdir(folder))
    assert made > 50, "the test programs leave %d models" % made
    for kind in ("detector", "detector:7", "detector:13", "detector:21", "half", "plain",
                 "nested", "short", "overflow", "negative", "hostile"):
        subprocess.run([make_model, kind, os.path.join(folder, kind + ".onnx")],
                       stderr=subprocess.DEVNULL)
    paths = sorted(glob.glob(os.path.join(folder, "*.onnx")))
    for corpus in ("convert", "load"):
        paths += sorted(glob.glob(os.path.join(root, "tests/fuzz/corpus", corpus, "*")))
    return paths


def main():
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        tasks = list(detectors(other))
        num_detectors = len(tasks)
        tasks += [(path, other, None) for path in fixtures(folder)]
        with multiprocessing.Pool(2) as pool:
            results = pool.map(take, tasks, chunksize=1)
    num_loaded = num_written = num_bad = 0
    for (path, *_), (loads, written, complaints) in zip(tasks, results):
        num_loaded += loads
        num_written += written
        num_bad += len(complaints)
        for complaint in complaints:
            print("%s: %s" % (os.path.basename(path), complaint))
    print("%d models, %d that ONNX Runtime loads, %d of them detectors, %d results, %d of them bad"
          % (len(tasks), num_loaded, num_detectors, num_written, num_bad))
    return num_bad != 0 or num_loaded < 40


if __name__ == "__main__":
    sys.exit(main())
