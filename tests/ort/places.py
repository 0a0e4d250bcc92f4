# SPDX-License-Identifier: MIT
"""Weights in every place a model can keep them: each is found (or the reason told), converted in
every encoding, expanded again; checker and ONNX Runtime agree each time."""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto as T, helper as h, numpy_helper as nh
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

lbw = sys.argv[1]
random = np.random.default_rng(5)
ort.set_default_logger_severity(3)


def values(*shape, dtype=np.float32):
    return random.standard_normal(shape).astype(dtype) * 0.3


def constant(name, array):
    return h.make_node("Constant", [], [name], value=nh.from_array(array))


def conv(x, w, y, op="Conv", **attributes):
    return h.make_node(op, [x, w], [y], **attributes)


def port(name, shape, kind=T.FLOAT):
    return h.make_tensor_value_info(name, kind, shape)


X = [1, 8, 12, 12]


def model(nodes, initializers=(), shape=X, functions=(), inputs=(), sparse=(), rank=None):
    graph = h.make_graph(nodes, "g", [port("x", shape), *inputs],
                         [port("y", [None] * (rank or len(shape)))],
                         [nh.from_array(a, n) for n, a in initializers],
                         sparse_initializer=list(sparse))
    domains = [h.make_opsetid("", 17), h.make_opsetid("here", 1)]
    return h.make_model(graph, opset_imports=domains[: 2 if functions else 1], ir_version=8,
                        functions=list(functions))


def function(name, inputs, nodes, attributes=()):
    return h.make_function("here", name, inputs, ["out"], nodes,
                           [h.make_opsetid("", 17), h.make_opsetid("here", 1)],
                           attributes=list(attributes))


def call(name, inputs, output, **attributes):
    return h.make_node(name, inputs, [output], domain="here", **attributes)


def body(nodes, output, initializers=(), inputs=()):
    return h.make_graph(nodes, "body", list(inputs), [port(output, None)],
                        [nh.from_array(a, n) for n, a in initializers])


def branches(condition, then, other, output):
    return h.make_node("If", [condition], [output], then_branch=then, else_branch=other)


w = values(16, 8, 3, 3)
v = values(16, 8, 3, 3)
truth = np.array(True)
in_if = function("Branch", ["a", "k", "flag"], [branches(
    "flag", body([conv("a", "k", "transposed", "ConvTranspose", group=8)], "transposed"),
    body([h.make_node("Conv", ["a", "k"], ["plain"])], "plain"), "out")])
in_if.node[0].attribute[0].g.node[0].attribute.append(
    onnx.AttributeProto(name="group", ref_attr_name="groups", type=onnx.AttributeProto.INT))
in_if.attribute.append("groups")
outer = function("Outer", ["a", "k"], [
    constant("no", np.array(False)), call("Branch", ["a", "k", "no"], "out", groups=1)])
with_constant = function("Block", ["a"], [constant("k", w), conv("a", "k", "out")])
scan = h.make_graph([conv("s", "w", "t"), h.make_node("Identity", ["t"], ["scanned"])], "body",
                    [port("s", X)], [port("scanned", None)])

# name → (model, weights found, converted, reconstructed by calibration)
places = {
    "initializer": (model([conv("x", "w", "y")], [("w", w)]), 1, 1, 1),
    "constant": (model([constant("w", w), conv("x", "w", "y")]), 1, 1, 1),
    "identity": (model([h.make_node("Identity", ["w"], ["a"]),
                        h.make_node("Identity", ["a"], ["b"]), conv("x", "b", "y")],
                       [("w", w)]), 1, 1, 1),
    "identities of one weight": (model(
        [h.make_node("Identity", ["w"], ["a"]), h.make_node("Identity", ["w"], ["b"]),
         conv("x", "a", "p"), conv("x", "b", "q"), h.make_node("Add", ["p", "q"], ["y"])],
        [("w", w)]), 1, 1, 1),
    "cast": (model([h.make_node("Cast", ["w"], ["wide"], to=T.FLOAT), conv("x", "wide", "y")],
                   [("w", w.astype(np.float16))]), 1, 1, 1),
    "cast of a constant, behind identity": (model(
        [constant("w", w.astype(np.float64)), h.make_node("Identity", ["w"], ["a"]),
         h.make_node("Cast", ["a"], ["b"], to=T.FLOAT), h.make_node("Identity", ["b"], ["c"]),
         conv("x", "c", "y")]), 1, 1, 1),
    "cast, the start read elsewhere": (model(
        [h.make_node("Cast", ["w"], ["wide"], to=T.FLOAT), conv("x", "wide", "p"),
         h.make_node("ReduceMax", ["w"], ["m"], keepdims=0),
         h.make_node("Cast", ["m"], ["n"], to=T.FLOAT), h.make_node("Add", ["p", "n"], ["y"])],
        [("w", w.astype(np.float16))]), 1, 1, 1),
    "if, captured": (model(
        [branches("c", body([conv("x", "w", "p")], "p"), body([conv("x", "u", "q")], "q"),
                  "y")], [("w", w), ("u", v)], inputs=[port("c", [], T.BOOL)]), 2, 2, 0),
    "if, own": (model(
        [branches("c", body([conv("x", "w", "p")], "p", [("w", w)]),
                  body([constant("u", v), conv("x", "u", "q")], "q"), "y")],
        inputs=[port("c", [], T.BOOL)]), 2, 2, 0),
    "if, always taken": (model(
        [constant("c", truth), branches("c", body([conv("x", "w", "p")], "p", [("w", w)]),
                                        body([conv("x", "u", "q")], "q", [("u", v)]), "y")]),
        1, 1, 1),
    "scan, captured": (model(
        [h.make_node("Scan", ["xs"], ["y"], body=scan, num_scan_inputs=1)], [("w", w)],
        inputs=[port("xs", [2, *X])], rank=5), 1, 1, 0),
    "function, weight as input": (model(
        [call("Outer", ["x", "w"], "p"), call("Outer", ["x", "u"], "q"),
         h.make_node("Add", ["p", "q"], ["y"])], [("w", w), ("u", v)],
        functions=[in_if, outer]), 2, 2, 2),
    "function, one weight for two calls": (model(
        [call("Outer", ["x", "w"], "p"), call("Outer", ["x", "w"], "q"),
         h.make_node("Add", ["p", "q"], ["y"])], [("w", w)], functions=[in_if, outer]), 1, 1, 1),
    "function, called once": (model([call("Block", ["x"], "y")], functions=[with_constant]),
                              1, 1, 1),
    "function, called twice": (model(
        [call("Block", ["x"], "p"), call("Block", ["x"], "q"),
         h.make_node("Add", ["p", "q"], ["y"])], functions=[with_constant]), 1, 1, 0),
    "Conv1d": (model([conv("x", "w", "y")], [("w", values(16, 8, 5))], [1, 8, 30]), 1, 1, 1),
    "Conv3d": (model([conv("x", "w", "y")], [("w", values(16, 8, 3, 3, 3))],
                     [1, 8, 6, 6, 6]), 1, 1, 1),
    "ConvTranspose": (model([conv("x", "w", "y", "ConvTranspose")],
                            [("w", values(8, 16, 3, 3))]), 1, 1, 1),
    "ConvTranspose, groups": (model([conv("x", "w", "y", "ConvTranspose", group=2)],
                                    [("w", values(8, 16, 3, 3))]), 1, 1, 1),
    "ConvTranspose, depthwise": (model([conv("x", "w", "y", "ConvTranspose", group=8)],
                                       [("w", values(8, 1, 5, 5))]), 1, 1, 1),
    "input": (model([conv("x", "k", "y")], inputs=[port("k", w.shape)]), 1, 0,
              "an input of the model"),
    "computed": (model([h.make_node("Mul", ["w", "k"], ["m"]), conv("x", "m", "y")], [("w", w)],
                       inputs=[port("k", [1])]), 1, 0, "computed at run time"),
    "sparse": (model([conv("x", "w", "y")], sparse=[h.make_sparse_tensor(
        nh.from_array(values(9), "w"), nh.from_array(np.arange(0, 900, 100)),
        list(w.shape))]), 1, 0, "a sparse initializer"),
}


def command(*arguments):
    done = subprocess.run([lbw, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit("%s: %s" % (" ".join(arguments), done.stderr))
    return done.stdout


def run(path, proto):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = np.random.default_rng(1)
    inputs = {}
    for i in proto.graph.input:
        dims = [d.dim_value for d in i.type.tensor_type.shape.dim]
        is_bool = i.type.tensor_type.elem_type == T.BOOL
        inputs[i.name] = truth if is_bool else feed.standard_normal(dims).astype(np.float32)
    return session.run(None, inputs)[0]


def encode(folder, path, *options):
    out = os.path.join(folder, "out.onnx")
    report = json.loads(command("quantize", path, "-o", out, "--all", "--json", *options))
    return out, report


def check(name, folder):
    proto, found, converted, calibrated = places[name]
    path = os.path.join(folder, "in.onnx")
    onnx.save(proto, path)
    reference = None
    for options in [["-e", "float"], ["-e", "packed"], ["--inline"], ["-e", "dq"]]:
        out, report = encode(folder, path, "--calib", "none", *options)
        assert len(report["weights"]) == found, report["weights"]
        assert report["num_converted"] == converted, report["weights"]
        if isinstance(calibrated, str):
            assert report["weights"][0]["how"] == calibrated, report["weights"]
            return
        onnx.checker.check_model(onnx.load(out), full_check=True)
        y = run(out, proto)
        reference = y if reference is None else reference
        assert np.allclose(y, reference, rtol=1e-5, atol=1e-5), options
        noise = np.linalg.norm(y - run(path, proto)) / np.linalg.norm(y)
        assert 1e-3 < noise < 0.5, noise  # converted, and rightly
        plain = os.path.join(folder, "plain.onnx")
        command("expand", out, "-o", plain)
        assert np.allclose(run(plain, proto), reference, rtol=1e-5, atol=1e-5), "expand"
    if not any(i.type.tensor_type.elem_type == T.BOOL for i in proto.graph.input):
        samples = {i.name: values(*[2 if k == 0 else d.dim_value for k, d in
                                    enumerate(i.type.tensor_type.shape.dim)])
                   for i in proto.graph.input}
        data = os.path.join(folder, "data.npz")
        if "Scan" in [n.op_type for n in proto.graph.node]:
            return
        np.savez(data, **samples)
        _, report = encode(folder, path, "--calib", data)
        how = [row["how"] for row in report["weights"]]
        assert how.count("reconstruction") == calibrated, how


def check_ring(folder):
    """A function that calls itself is refused, and calls that multiply are."""
    ring = function("Ring", ["a", "k"], [call("Ring", ["a", "k"], "b"), conv("b", "k", "out")])
    bombs = [function("Bomb0", ["a", "k"], [conv("a", "k", "out")])]
    for i in range(1, 24):
        bombs.append(function("Bomb%d" % i, ["a", "k"], [
            call("Bomb%d" % (i - 1), ["a", "k"], "b"),
            call("Bomb%d" % (i - 1), ["b", "k"], "out")]))
    for last, functions, words in (("Ring", [ring], "calls itself"),
                                   ("Bomb23", bombs, "stand for more than")):
        path = os.path.join(folder, "bad.onnx")
        onnx.save(model([call(last, ["x", "w"], "y")], [("w", w)], functions=functions), path)
        done = subprocess.run([lbw, "plan", path], capture_output=True, text=True)
        assert done.returncode == 1 and words in done.stderr, (done.returncode, done.stderr)


with tempfile.TemporaryDirectory() as folder:
    failed = 0
    check_ring(folder)
    for name in places:
        try:
            check(name, folder)
        except (AssertionError, SystemExit, Exception) as problem:
            print("%s: %s: %s" % (name, type(problem).__name__, str(problem)[:600]))
            failed += 1
    print("%d places, %d failed" % (len(places), failed))
sys.exit(failed != 0)
