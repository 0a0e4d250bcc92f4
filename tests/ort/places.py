# SPDX-License-Identifier: MIT
"""Weights in every place a model can keep them: each is found (or the reason told), converted in
every encoding, expanded again; checker and ONNX Runtime agree each time."""
import json
import os
import subprocess
import sys
import tempfile

try:
    import ml_dtypes
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto as T, helper as h, numpy_helper as nh
    from onnx.reference import ReferenceEvaluator
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


def model(nodes, initializers=(), shape=X, functions=(), inputs=(), sparse=(), rank=None,
          opset=17):
    graph = h.make_graph(nodes, "g", [port("x", shape), *inputs],
                         [port("y", [None] * (rank or len(shape)))],
                         [nh.from_array(a, n) for n, a in initializers],
                         sparse_initializer=list(sparse))
    domains = [h.make_opsetid("", opset), h.make_opsetid("here", 1)]
    return h.make_model(graph, opset_imports=domains[: 2 if functions else 1],
                        ir_version=8 if opset < 19 else 10, functions=list(functions))


def function(name, inputs, nodes, attributes=(), opset=17):
    return h.make_function("here", name, inputs, ["out"], nodes,
                           [h.make_opsetid("", opset), h.make_opsetid("here", 1)],
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

P = {"pads": [1, 1, 1, 1]}
sq, sq2 = values(8, 8, 3, 3), values(8, 8, 3, 3)
FLAG = [port("c", [], T.BOOL)]


def loop(nodes, initializers=()):
    """Two rounds over x; the body reads s and makes t."""
    inner = h.make_graph([*nodes, h.make_node("Identity", ["go_on"], ["goes_on"])], "body",
                         [port("i", [], T.INT64), port("go_on", [], T.BOOL), port("s", X)],
                         [port("goes_on", [], T.BOOL), port("t", None)],
                         [nh.from_array(a, n) for n, a in initializers])
    return [constant("rounds", np.array(2)), constant("go", truth),
            h.make_node("Loop", ["rounds", "go", "x"], ["y"], body=inner)]


def chain(name, num, *inputs):
    """Calls of a function, one behind the other, from x to y."""
    names = ["x", *("a%d" % i for i in range(num - 1)), "y"]
    return [call(name, [names[i], *inputs], names[i + 1]) for i in range(num)]


def typed(dtype, opset):
    kind = h.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = h.make_graph([conv("x", "w", "y")], "g", [port("x", X, kind)],
                         [port("y", [None] * 4, kind)], [nh.from_array(w.astype(dtype), "w")])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=10)


square = function("Square", ["a"], [constant("k", sq), conv("a", "k", "out", **P)])
own_if = function("OwnIf", ["a", "flag"], [branches(
    "flag", body([constant("k", sq), conv("a", "k", "p", **P)], "p"),
    body([conv("a", "u", "q", **P)], "q", [("u", sq2)]), "out")])
captured_if = function("CapturedIf", ["a", "flag"], [constant("k", sq), branches(
    "flag", body([conv("a", "k", "p", **P)], "p"),
    body([conv("a", "k", "r", **P), h.make_node("Relu", ["r"], ["q"])], "q"), "out")])
given_if = function("GivenIf", ["a", "flag", "k"], [branches(
    "flag", body([conv("a", "k", "p", **P)], "p"),
    body([h.make_node("Identity", ["k"], ["l"]), conv("a", "l", "r", **P),
          h.make_node("Relu", ["r"], ["q"])], "q"), "out")])
nested = function("Nested", ["a"], [
    call("Square", ["a"], "b"), call("Square", ["b"], "c"), constant("k", sq2),
    conv("c", "k", "out", **P)])
casting = function("Casting", ["a", "k"], [
    h.make_node("Cast", ["k"], ["wide"], to=T.FLOAT), conv("a", "wide", "out", **P)])
older = function("Older", ["a", "k"], [conv("a", "k", "out", **P)], opset=13)
given = function("Given", ["a", "k"], [conv("a", "k", "out", **P)])
newer = function("Newer", ["a"], [constant("k", sq), call("Given", ["a", "k"], "out")])
epsilon = h.make_node("BatchNormalization", ["p", "one", "zero", "zero", "one"], ["q"])
epsilon.attribute.append(onnx.AttributeProto(name="epsilon", ref_attr_name="eps",
                                             type=onnx.AttributeProto.FLOAT))
normalized = function("Normalized", ["a", "flag"], [branches(
    "flag", body([constant("k", sq), constant("one", np.full(8, 0.01, np.float32)),
                  constant("zero", np.zeros(8, np.float32)), conv("a", "k", "p", **P), epsilon],
                 "q"), body([h.make_node("Identity", ["a"], ["r"])], "r"), "out")], ["eps"])
named = function("Named", ["a"], [
    constant("k", sq), h.make_node("Shape", ["k"], ["k.shape"]), conv("a", "k", "k.lbw.wide", **P),
    h.make_node("Cast", ["k.shape"], ["b"], to=T.FLOAT),
    h.make_node("ReduceSum", ["b"], ["c"], keepdims=0),
    h.make_node("Div", ["k.lbw.wide", "c"], ["out"])])

# name → (model, weights found, converted, reconstructed by calibration; or why not converted, or
# None where the runtime has no kernel)
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
    "loop, captured": (model(loop([conv("s", "w", "t", **P)]), [("w", sq)]), 1, 1, 0),
    "loop, own": (model(loop([conv("s", "w", "t", **P)], [("w", sq)])), 1, 1, 0),
    "loop, constant": (model(loop([constant("w", sq), conv("s", "w", "t", **P)])), 1, 1, 0),
    "loop, cast of a captured one": (model(
        loop([h.make_node("Cast", ["w"], ["wide"], to=T.FLOAT), conv("s", "wide", "t", **P)]),
        [("w", sq.astype(np.float16))]), 1, 1, 0),
    "loop around an if": (model(
        loop([branches("go_on", body([conv("s", "w", "p", **P)], "p"),
                       body([conv("s", "u", "q", **P)], "q"), "t")]), [("w", sq), ("u", sq2)]),
        2, 2, 0),
    "loop around a function with an if": (model(
        loop([call("GivenIf", ["s", "go_on", "w"], "t")]), [("w", sq)], functions=[given_if]),
        1, 1, 0),
    "if, two bodies with the same names": (model(
        [branches("c", body([constant("k", w), conv("x", "k", "p")], "p"),
                  body([constant("k", v), conv("x", "k", "p")], "p"), "y")], inputs=FLAG),
        2, 2, 0),
    "if, captured and read outside": (model(
        [branches("c", body([conv("x", "w", "p", **P)], "p"),
                  body([conv("x", "w", "q", **P)], "q"), "z"), conv("z", "w", "y")],
        [("w", sq)], inputs=FLAG), 1, 1, 0),
    "function, called four times": (model(chain("Square", 4), functions=[square]), 1, 1, 0),
    "function, called in bodies": (model(
        [branches("c", body([call("Square", ["x"], "p")], "p"),
                  body([call("Square", ["x"], "r"), call("Square", ["r"], "q")], "q"), "y")],
        functions=[square], inputs=FLAG), 1, 1, 0),
    "function with an if, own": (model(chain("OwnIf", 2, "c"), functions=[own_if], inputs=FLAG),
                                 2, 2, 0),
    "function with an if, captured": (model(
        chain("CapturedIf", 2, "c"), functions=[captured_if], inputs=FLAG), 1, 1, 0),
    "function with an if, given": (model(
        [call("GivenIf", ["x", "c", "w"], "a"), call("GivenIf", ["a", "c", "u"], "y")],
        [("w", sq), ("u", sq2)], functions=[given_if], inputs=FLAG), 2, 2, 0),
    "function in a function": (model(chain("Nested", 2), functions=[square, nested]), 2, 2, 0),
    "function, cast of its input": (model(
        [call("Casting", ["x", "w"], "a"), call("Casting", ["a", "u"], "y")],
        [("w", sq.astype(np.float16)), ("u", sq2.astype(np.float16))], functions=[casting]),
        2, 2, 2),
    "function of an older opset": (model(
        [call("Older", ["x", "w"], "a"), call("Older", ["a", "u"], "y")],
        [("w", sq), ("u", sq2)], functions=[older]), 2, 2, 2),
    "function of a newer opset that calls one": (model(
        [call("Newer", ["x"], "y")], functions=[given, newer], opset=16), 1, 1, 0),
    "function whose epsilon is given": (model(
        [call("Normalized", ["x", "c"], "a", eps=1.0), call("Normalized", ["a", "c"], "y", eps=2.0)],
        functions=[normalized], inputs=FLAG), 1, 1, 0),
    **{"function of opset %d in a model of %d" % (own, of): (model(
        chain("Own", 2), functions=[function("Own", ["a"], square.node, opset=own)], opset=of),
        1, 1, 0) for own, of in ((8, 7), (8, 8), (9, 10), (13, 18), (18, 13), (20, 19))},
    "names that we give": (model(
        [conv("x", "w", "w.lbw.wide"), h.make_node("Add", ["w.lbw.wide", "lbw.4.levels"], ["a"]),
         h.make_node("Reshape", ["a", "lbw.shape.16x8x3x3"], ["y"])],
        [("w", w), ("lbw.4.levels", values(1)), ("lbw.shape.16x8x3x3", np.array([1, 4, 4, 100]))]),
        1, 1, 1),
    "names that we give, in a function": (model(chain("Named", 2), functions=[named]), 1, 1, 0),
    "shared, two strides": (model(
        [conv("x", "w", "a", **P), conv("a", "w", "y", strides=[2, 2])], [("w", sq)]), 1, 1, 1),
    "shared, two operators": (model(
        [conv("x", "w", "a", **P), conv("a", "w", "y", "ConvTranspose")], [("w", sq)]), 1, 1, 0),
    "float16": (typed(np.float16, 17), 1, 1, 1),
    "float16, opset 9": (typed(np.float16, 9), 1, 1, 1),
    "bfloat16": (typed(ml_dtypes.bfloat16, 22), 1, 1, None),
    "double": (typed(np.float64, 21), 1, 1, None),
    "Conv1d": (model([conv("x", "w", "y")], [("w", values(16, 8, 5))], [1, 8, 30]), 1, 1, 1),
    "Conv3d": (model([conv("x", "w", "y")], [("w", values(16, 8, 3, 3, 3))],
                     [1, 8, 6, 6, 6]), 1, 1, 1),
    "ConvTranspose": (model([conv("x", "w", "y", "ConvTranspose")],
                            [("w", values(8, 16, 3, 3))]), 1, 1, 1),
    "ConvTranspose, groups": (model([conv("x", "w", "y", "ConvTranspose", group=2)],
                                    [("w", values(8, 16, 3, 3))]), 1, 1, 1),
    "ConvTranspose1d, groups": (model(
        [conv("x", "w", "y", "ConvTranspose", group=2, strides=[2])], [("w", values(8, 6, 5))],
        [1, 8, 30]), 1, 1, 1),
    "ConvTranspose3d, groups": (model(
        [conv("x", "w", "y", "ConvTranspose", group=4, strides=[2, 1, 2])],
        [("w", values(8, 6, 3, 3, 3))], [1, 8, 6, 6, 6]), 1, 1, 1),
    "ConvTranspose, depthwise": (model([conv("x", "w", "y", "ConvTranspose", group=8)],
                                       [("w", values(8, 1, 5, 5))]), 1, 1, 1),
    "input": (model([conv("x", "k", "y")], inputs=[port("k", w.shape)]), 1, 0,
              "an input of the model"),
    "computed": (model([h.make_node("Mul", ["w", "k"], ["m"]), conv("x", "m", "y")], [("w", w)],
                       inputs=[port("k", [1])]), 1, 0, "computed at run time from an input"),
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
    feed = np.random.default_rng(1)
    inputs = {}
    for i in proto.graph.input:
        dims = [d.dim_value for d in i.type.tensor_type.shape.dim]
        kind = h.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type)
        inputs[i.name] = truth if kind == bool else feed.standard_normal(dims).astype(kind)
    try:
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)[0].astype(np.float64)
    except ort.capi.onnxruntime_pybind11_state.NotImplemented:  # Conv of double or bfloat16
        return ReferenceEvaluator(path).run(None, inputs)[0].astype(np.float64)


def encode(folder, path, *options):
    out = os.path.join(folder, "out.onnx")
    report = json.loads(command("quantize", path, "-o", out, "--all", "--json", *options))
    return out, report


def is_close(a, b, tolerance):
    """Kernels may sum in another order where a weight is no constant to them."""
    return a.shape == b.shape and np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(b))


def check(name, folder):
    proto, found, converted, calibrated = places[name]
    path = os.path.join(folder, "in.onnx")
    onnx.save(proto, path)
    kind = proto.graph.input[0].type.tensor_type.elem_type
    reference, tolerance = None, 1e-2 if kind in (T.FLOAT16, T.BFLOAT16) else 1e-5
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
        assert is_close(y, reference, tolerance), options
        noise = np.linalg.norm(y - run(path, proto)) / np.linalg.norm(y)
        assert 1e-3 < noise < 0.5, noise  # converted, and rightly
        plain = os.path.join(folder, "plain.onnx")
        command("expand", out, "-o", plain)
        assert is_close(run(plain, proto), reference, tolerance), "expand"
    if calibrated is not None and T.BOOL not in [i.type.tensor_type.elem_type
                                                 for i in proto.graph.input]:
        samples = {i.name: values(*[2 if k == 0 else d.dim_value for k, d in
                                    enumerate(i.type.tensor_type.shape.dim)], dtype=(
                                        h.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type)))
                   for i in proto.graph.input}
        data = os.path.join(folder, "data.npz")
        if "Scan" in [n.op_type for n in proto.graph.node]:
            return
        np.savez(data, **samples)
        _, report = encode(folder, path, "--calib", data)
        how = [row["how"] for row in report["weights"]]
        assert how.count("reconstruction") == calibrated, how


def tensors_of(message):
    """Every large tensor, wherever it is kept."""
    for field, content in message.ListFields():
        if field.message_type is None:
            continue
        for item in content if isinstance(content, list) or hasattr(content, "add") else [content]:
            if isinstance(item, onnx.TensorProto) and len(item.raw_data) > 1000:
                yield item
            elif not isinstance(item, onnx.TensorProto):
                yield from tensors_of(item)


def spread(proto, folder, way):
    """Moves values out of the model: to one file, to files of their own, or every second one."""
    moved = onnx.ModelProto()
    moved.CopyFrom(proto)
    os.makedirs(os.path.join(folder, "parts"), exist_ok=True)
    with open(os.path.join(folder, "all.bin"), "wb") as one:
        for i, tensor in enumerate(tensors_of(moved)):
            place, data = {}, tensor.raw_data
            if way == "mixed" and i % 2 == 0:
                continue
            if way == "files":
                place["location"] = "parts/%d.bin" % i
                with open(os.path.join(folder, place["location"]), "wb") as part:
                    part.write(data)
            else:
                one.write(b"?" * (-one.tell() % 4096 + 12))
                place = {"location": "all.bin", "offset": one.tell(), "length": len(data)}
                one.write(data)
            tensor.ClearField("raw_data")
            tensor.data_location = T.EXTERNAL
            for key, content in place.items():
                tensor.external_data.add(key=key, value=str(content))
    onnx.save(moved, os.path.join(folder, "spread.onnx"))


def check_external(name, folder):
    """The same file whether the values were in the model or beside it."""
    path = os.path.join(folder, "in.onnx")
    onnx.save(places[name][0], path)
    with open(encode(folder, path, "--calib", "none")[0], "rb") as file:
        expected = file.read()
    for way in "one file", "files", "mixed":
        spread(places[name][0], folder, way)
        out, _ = encode(folder, os.path.join(folder, "spread.onnx"), "--calib", "none")
        with open(out, "rb") as file:
            assert file.read() == expected, way


def check_ring(folder):
    """A function that calls itself is refused, and calls that multiply are."""
    ring = function("Ring", ["a", "k"], [call("Ring", ["a", "k"], "b"), conv("b", "k", "out")])
    bombs = [function("Bomb0", ["a", "k"], [conv("a", "k", "out")])]
    for i in range(1, 24):
        bombs.append(function("Bomb%d" % i, ["a", "k"], [
            call("Bomb%d" % (i - 1), ["a", "k"], "b"),
            call("Bomb%d" % (i - 1), ["b", "k"], "out")]))
    big = function("Big", ["a", "k", "flag"], [branches(
        "flag", body([conv("a", "k", "p"), *(h.make_node("Relu", ["p"], ["r%d" % i])
                                             for i in range(400))], "r0"),
        body([h.make_node("Identity", ["a"], ["q"])], "q"), "out")])
    many = function("Many", ["a", "k"], [
        constant("no", np.array(False)), *(call("Big", ["a", "k", "no"], "b%d" % i)
                                           for i in range(200)), conv("b0", "k", "out")])
    heavy = function("Heavy", ["a", "k"], [
        constant("c", np.zeros(1 << 18, np.float32)), conv("a", "k", "out")])
    often = function("Often", ["a", "k"], [
        *(call("Heavy", ["a", "k"], "b%d" % i) for i in range(200)), conv("b0", "k", "out")])
    for last, functions, words in (("Ring", [ring], "calls itself"),
                                   ("Bomb23", bombs, "expand to more than"),
                                   ("Many", [big, many], "expand to more than"),
                                   ("Often", [heavy, often], "expand to more than")):
        path = os.path.join(folder, "bad.onnx")
        onnx.save(model([call(last, ["x", "w"], "y")], [("w", w)], functions=functions), path)
        done = subprocess.run([lbw, "plan", path], capture_output=True, text=True,
                              timeout=20)
        assert done.returncode == 1 and words in done.stderr, (done.returncode, done.stderr)


with tempfile.TemporaryDirectory() as folder:
    failed = 0
    check_ring(folder)
    for name in places:
        try:
            check(name, folder)
            check_external(name, folder)
        except (AssertionError, SystemExit, Exception) as problem:
            print("%s: %s: %s" % (name, type(problem).__name__, str(problem)[:600]))
            failed += 1
    print("%d places, %d failed" % (len(places), failed))
sys.exit(failed != 0)
