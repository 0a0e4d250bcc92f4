# SPDX-License-Identifier: MIT
"""lift_nodes.py LIFT_MODEL: all ONNX backend node tests and the models of PyTorch beside them,
lifted to the last opset; the outputs are what they were. Where ONNX Runtime has no kernel for
the original, ONNX's own evaluator judges. The last lines count."""
import collections
import glob
import os
import subprocess
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")
try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import numpy_helper, version_converter
    from onnx.backend.test.loader import DATA_DIR, load_node_model_tests
    from onnx.reference import ReferenceEvaluator
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

tool, TARGET = sys.argv[1], 25
RANDOM = {"Bernoulli", "Multinomial", "RandomNormalLike", "RandomUniformLike"}
ort.set_default_logger_severity(4)
counts = collections.Counter()
operators, froms, refusals = set(), collections.Counter(), []
failures = []


def opset_of(model):
    return next((i.version for i in model.opset_import if i.domain in ("", "ai.onnx")), None)


def read(path):
    tensor = onnx.TensorProto()
    with open(path, "rb") as file:
        tensor.ParseFromString(file.read())
    return numpy_helper.to_array(tensor)


def cases():
    """(name, model, inputs in order)"""
    for case in load_node_model_tests():
        yield case.name, case.model, case.data_sets[0][0] if case.data_sets else None
    for kind in "simple", "pytorch-converted", "pytorch-operator":
        for folder in sorted(glob.glob(os.path.join(DATA_DIR, kind, "*"))):
            model = onnx.load(os.path.join(folder, "model.onnx"))
            if opset_of(model) == 6:  # lifting starts at 7
                model = version_converter.convert_version(model, 7)
            paths = sorted(glob.glob(os.path.join(folder, "test_data_set_0", "input_*.pb")))
            try:
                yield kind + "/" + os.path.basename(folder), model, [read(p) for p in paths]
            except Exception:  # sequences
                yield kind + "/" + os.path.basename(folder), model, None


def run_ort(path, feed):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return session.run(None, {k: v for k, v in feed.items() if k in names})


def run_reference(path, feed):
    return ReferenceEvaluator(path).run(None, feed)


def is_same(a, b):
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(is_same, a, b))
    if a is None or b is None:
        return a is b
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind not in "fV" or a.dtype.itemsize < 2:
        return a.tobytes() == b.tobytes() or np.array_equal(a, b)
    tolerance = 2e-3 if a.dtype.itemsize == 2 else 1e-5
    # kernels say "minus infinity" or "the lowest number" to a masked position
    a, b = (np.clip(x.astype(np.float64), -1e38, 1e38) for x in (a, b))
    return np.allclose(a, b, rtol=tolerance, atol=tolerance / 10, equal_nan=True)


def judge(run, path, lifted, feed):
    """None where the judge cannot run the one or the other."""
    try:
        before = run(path, feed)
    except Exception:
        return None
    try:
        return is_same(before, run(lifted, feed))
    except Exception as problem:
        return None if "NOT_IMPLEMENTED" in str(problem) else False


def check(name, model, inputs, folder):
    path, lifted = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
    onnx.save(model, path)
    done = subprocess.run([tool, path, lifted, str(TARGET)], capture_output=True, text=True)
    if done.returncode:
        counts["refused"] += 1
        refusals.append(done.stderr.strip().split(": ", 1)[-1])
        if done.returncode != 1 or "cannot be lifted" not in done.stderr:
            failures.append("%s: %s" % (name, done.stderr.strip()))
        return
    counts["lifted"] += 1
    froms[opset_of(model)] += 1
    if RANDOM & {n.op_type for n in model.graph.node}:
        inputs = None
    feed = dict(zip([i.name for i in model.graph.input], inputs or []))
    for who, run in (("ONNX Runtime", run_ort), ("the reference evaluator", run_reference)):
        same = judge(run, path, lifted, feed) if inputs is not None else None
        if same is not None:
            counts["equal by " + who] += same
            operators.update(n.op_type for n in model.graph.node)
            if not same:
                failures.append("%s: from %d to %d: other outputs by %s"
                                % (name, opset_of(model), TARGET, who))
            return
    counts["not judged"] += 1


with tempfile.TemporaryDirectory() as folder:
    for name, model, inputs in cases():
        opset = opset_of(model)
        if opset is None or not 7 <= opset < TARGET:
            continue
        check(name, model, inputs, folder)
for problem in failures:
    print(problem)
for reason, number in collections.Counter(refusals).items():
    print("refused, %d: %s" % (number, reason))
print("from", ", ".join("%d: %d" % item for item in sorted(froms.items())))
print(", ".join("%d %s" % (number, what) for what, number in counts.items())
      + "; %d operators" % len(operators))
sys.exit(bool(failures) or counts["lifted"] == 0)
