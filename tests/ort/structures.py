# SPDX-License-Identifier: MIT
"""Structures in models from other tools, with the messages and results of the commands for each."""
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
random = np.random.default_rng(3)
PAD = dict(pads=[1] * 4)


def values(*shape, dtype=np.float32):
    return (random.standard_normal(shape) * 0.3).astype(dtype)


def port(name, shape, kind=T.FLOAT):
    return h.make_tensor_value_info(name, kind, shape)


def op(kind, inputs, outputs, domain="", **attributes):
    return h.make_node(kind, inputs.split(), outputs.split(), domain=domain, **attributes)


def model(nodes, constants, inputs=None, outputs=None, imports=(("", 17),), tensors=()):
    graph = h.make_graph(nodes, "g", inputs or [port("x", [1, 3, 32, 32])],
                         outputs or [port("y", None)],
                         [*(nh.from_array(np.asarray(a), n) for n, a in constants.items()), *tensors])
    made = h.make_model(graph, opset_imports=[h.make_opsetid(*i) for i in imports])
    made.ir_version = 10
    return made


def run(*words, expect=0):
    done = subprocess.run([lbw, *words], capture_output=True, text=True, errors="replace")
    assert done.returncode == expect, (words, done.returncode, done.stderr)
    return done.stdout + done.stderr


def quantize(made, *options, expect=0):
    onnx.save(made, "in.onnx")
    return run("quantize", "in.onnx", "-o", "out.onnx", "-n", "2", *options, expect=expect)


def loads(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def says(text, *parts):
    for part in parts:
        assert part in text, "no %r in:\n%s" % (part, text)


def never(text, *parts):
    for part in parts:
        assert part not in text, "%r in:\n%s" % (part, text)


# ---- headlines ----


def unknown_operator(options):
    """The runtime loads no more than its beginning: converted all the same, and said."""
    made = model([op("Conv", "x w", "a", **PAD), op("Magic", "a", "m", domain="my.ops"),
                  op("Conv", "m w2", "y", **PAD)],
                 {"w": values(32, 3, 3, 3), "w2": values(32, 32, 3, 3)},
                 imports=(("", 17), ("my.ops", 1)))
    text = quantize(made, *options)
    says(text, "warning: calibrated 1 of 2 layers", "my.ops:Magic(-1) is not a registered function",
         "warning: what the result keeps was not measured")
    if "4" not in options:
        says(text, "warning: the effect of 2 weights is unknown")
    if "-q" not in options:
        says(text, "calibrated 1 of 2 layers with 2 generated images", "mean SNR of the outputs of 1 of 2 layers")
        never(text, "exact")


def test_unknown_operator():
    unknown_operator([])
    unknown_operator(["-q"])
    unknown_operator(["--bits", "4"])


def test_unknown_tail():
    """Suppression by an operator of TensorRT: bits and quality are measured up to the heads."""
    made = model([op("Conv", "x w", "a", **PAD), op("Relu", "a", "r"), op("Conv", "r w2", "head", **PAD),
                  op("Sigmoid", "head", "s"), op("EfficientNMS_TRT", "s s", "num boxes", domain="TRT")],
                 {"w": values(32, 3, 3, 3), "w2": values(32, 32, 3, 3)},
                 outputs=[port("num", [1, 1], T.INT32), port("boxes", [1, 100, 4])],
                 imports=(("", 17), ("TRT", 1)))
    text = quantize(made)
    says(text, "calibrated with 2 generated images", "layer head: SNR ",
         "warning: what the result keeps was measured at its last layers only: in.onnx: loading the model",
         "TRT:EfficientNMS_TRT(-1) is not a registered function")
    never(text, "effect of", "exact")
    says(run("plan", "in.onnx", "-n", "2"), "predicted loss")
    says(quantize(made, "--json", "--bits", "4"), '"of_layers": "in.onnx: loading the model')
    says(run("compare", "in.onnx", "out.onnx", "-n", "1"), "head    float32  1x32x32x32 ",
         "warning: compared at the last layers only: model A: in.onnx: loading the model")


def test_unknown_effect():
    """Outputs of NaN, or of no values, tell nothing of what rounding costs: two terms then."""
    weights = {"w": values(32, 3, 3, 3), "w2": values(32, 32, 3, 3)}
    nan = model([op("Conv", "x w", "a", **PAD), op("Log", "a", "l"), op("Conv", "l w2", "y", **PAD)],
                weights)
    empty = model([op("Conv", "x w", "a", **PAD), op("Slice", "a at at at", "e"),
                   op("Conv", "e w2", "y", **PAD)], {**weights, "at": np.array([0])})
    for made in nan, empty:
        onnx.save(made, "in.onnx")
        text = run("plan", "in.onnx")
        says(text, "the effect of 2 weights is unknown", "# effect unknown", "4x2   real  channel  w2 ")
        never(text, "nan", "predicted loss")


def test_other_shape():
    """Boxes that come and go: outputs of another shape are not called exact."""
    made = model([op("Conv", "x w", "a", **PAD), op("Greater", "a half", "g"), op("NonZero", "g", "y")],
                 {"w": values(32, 3, 3, 3), "half": np.float32(0.1)}, outputs=[port("y", None, T.INT64)])
    text = quantize(made, "--bits", "2", "--all")
    says(text, "output y: of another shape")
    never(text, "exact")


def test_sequence():
    """A model with a sequence among its outputs is converted, and the report names that output."""
    made = model([op("Conv", "x w", "y", **PAD), op("SequenceConstruct", "y y", "s")],
                 {"w": values(32, 3, 3, 3)},
                 outputs=[h.make_tensor_sequence_value_info("s", T.FLOAT, None), port("y", None)])
    says(quantize(made), "calibrated with 2 generated images",
         "output s: not a tensor of numbers, not compared", "output y: SNR ")
    says(run("compare", "in.onnx", "out.onnx", "-n", "1"),
         "warning: output 's' was not compared: not a tensor of numbers")
    alone = model(made.graph.node, {"w": values(32, 3, 3, 3)}, outputs=[made.graph.output[0]])
    says(quantize(alone), "what the result keeps was not measured: ", "no output is a tensor of numbers")


def conv_and(nodes, outputs, **constants):
    return model([op("Conv", "x w", "a", **PAD), *nodes], {"w": values(32, 3, 3, 3), **constants},
                 outputs=outputs)


def test_other_outputs():
    """Missing, renamed and other-shaped outputs are named, and the rest is compared."""
    onnx.save(conv_and([op("Relu", "a", "y"), op("Neg", "a", "old"), op("Shape", "a", "s")],
                       [port("y", None), port("old", None), port("s", None, T.INT64)]), "a.onnx")
    onnx.save(conv_and([op("Relu", "a", "y"), op("Neg", "a", "new"), op("Shape", "w", "s", start=1)],
                       [port("s", None, T.INT64), port("new", None), port("y", None)]), "b.onnx")
    text = run("compare", "a.onnx", "b.onnx", "-n", "1")
    says(text, "warning: output 'old' was not compared: only in model A",
         "warning: output 'new' was not compared: only in model B", "y       float32  1x32x32x32",
         "s       int64    4, B: 3         other shape")
    onnx.save(conv_and([op("Relu", "a", "y")], [port("y", None)]), "c.onnx")
    says(run("compare", "a.onnx", "c.onnx", "-n", "1", "--rtol", "100", expect=3),
         "the models have different outputs")
    says(run("compare", "b.onnx", "c.onnx", "-n", "1", "--json"), '"reason": "only in model A"')


def test_nothing_to_compare():
    """No values, and a layer that only zeros reach: neither is called exact, or calibrated."""
    made = conv_and([op("Mul", "a zero", "z"), op("Conv", "z w2", "b", **PAD),
                     op("Slice", "a at at at", "none")], [port("none", None), port("b", None)],
                    zero=np.float32(0), w2=values(32, 32, 3, 3), at=np.array([0]))
    made.graph.output.append(port("a", None))
    text = quantize(made, "--bits", "4")
    says(text, "output none: no finite values to compare",
         "warning: calibrated 1 of 2 layers, the others are only rounded: its input is zero in every sample")
    says(run("compare", "in.onnx", "out.onnx", "-n", "1"), "no values")


def test_whose_error():
    """Every command names the file that it speaks of, also where only a run fails."""
    open_size = model([op("Conv", "x w", "y", **PAD)], {"w": values(32, 3, 3, 3)},
                      [port("x", [1, 3, "h", "w"])])
    # an index beyond the end, that only pixels tell
    fails = conv_and([op("ReduceMax", "a", "m", keepdims=0), op("Abs", "m", "p"),
                      op("Add", "p big", "q"), op("Cast", "q", "i", to=T.INT64),
                      op("Gather", "a i", "g", axis=1), op("Unsqueeze", "g one", "c"),
                      op("Conv", "c w2", "y", **PAD)], None, big=np.float32(1e6),
                     one=np.array([1]), w2=values(64, 1, 3, 3))
    onnx.save(open_size, "open.onnx")
    onnx.save(fails, "fails.onnx")
    commands = [["quantize", "-o", "out.onnx", "-n", "2"], ["quantize", "--bits", "4", "-o", "out.onnx"],
                ["tune", "-o", "out.onnx", "-n", "2", "--bits", "4"], ["bench", "-n", "1"]]
    for command, *options in commands:
        for name, said, status in ("open", "input 'x' has a dynamic size", 2), ("fails", "Gather", 1):
            text = run(command, name + ".onnx", *options, expect=status)
            assert text.splitlines()[-3 if "Calibration runs" in text else -1].startswith(
                "lbw: %s.onnx: " % name), text
            says(text, said)
    for name, said, status in ("open", "input 'x' has a dynamic size", 2), ("fails", "Gather", 1):
        text = run("compare", name + ".onnx", name + ".onnx", "-n", "1", expect=status)
        says(text, "%s.onnx: " % name, said)
    says(run("plan", "fails.onnx", "-n", "2"), "the effect of 2 weights is unknown (run: ONNX Runtime: ")


def test_long_name():
    """One long name does not push all columns of a table away."""
    made = model([op("Conv", "x w", "a", **PAD), op("Conv", "a w2", "y", **PAD)],
                 {"w": values(32, 3, 3, 3), "w2": values(32, 32, 3, 3)})
    made.graph.node[0].name, made.graph.node[1].name = "short", "n" * 2000
    onnx.save(made, "in.onnx")
    rows = [line for line in run("inspect", "in.onnx").splitlines() if line.startswith(("short", "nnn"))]
    assert len(rows[0]) < 150 and len(rows[1]) > 2000, rows


def test_no_image():
    """One line says what is wanted, and nothing else."""
    made = model([op("Conv", "x w", "y")], {"w": values(64, 1, 9)}, [port("x", ["b", 1, "t"])])
    text = quantize(made, expect=1)
    assert len(text.splitlines()) == 1, text
    says(text, "no input takes images (the first, 'x', is ?x1x?); give arrays of that shape")


def test_later_than_runtime():
    """Operators of a set that the runtime does not know yet: converted, and said."""
    made = model([op("Conv", "x w", "a", **PAD), op("Relu", "a", "r"), op("Conv", "r w2", "y", **PAD)],
                 {"w": values(32, 3, 3, 3), "w2": values(32, 32, 3, 3)}, imports=(("", 99),))
    says(quantize(made, "-q"), "the effect of 2 weights is unknown (loading the model",
         "what the result keeps was not measured", "Opset 99")


# ---- weights that are outputs ----


def test_weight_as_output():
    """The model gives its weights out: they stay what they are, unless asked for."""
    made = model([op("Conv", "x w", "a", **PAD), op("Conv", "a w2", "b", **PAD), op("Identity", "w2", "copy"),
                  op("Conv", "b w3", "y", **PAD), op("Cast", "h", "w4", to=T.FLOAT),
                  op("Conv", "y w4", "z", **PAD)],
                 {"w": values(32, 3, 3, 3), "w2": values(32, 32, 3, 3), "w3": values(32, 32, 3, 3),
                  "h": values(32, 32, 3, 3, dtype=np.float16)},
                 outputs=[port("w", [32, 3, 3, 3]), port("copy", None), port("z", None),
                          port("h", [32, 32, 3, 3], T.FLOAT16)])
    text = quantize(made)
    says(text, "not converted: 2 weights", "2 × also an output (a, b)", "2 of 4 weights")
    says(run("compare", "in.onnx", "out.onnx", "-n", "1", "--json").split('"copy"')[1].split("}")[0],
         '"max_error": 0.0')
    text = run("compare", "in.onnx", "out.onnx", "-n", "1")
    same = [line for line in text.splitlines() if line.startswith(("w ", "copy ", "h ")) and " equal " in line]
    assert len(same) == 3, text
    says(quantize(made, "--all"), "4 of 4 weights")
    loads("out.onnx")
    never(run("compare", "in.onnx", "out.onnx", "-n", "1").split("copy ")[1].split("\n")[0], "equal")


# ---- inputs ----


def test_two_images():
    """Both cameras get images, other ones; a mask or a state beside them gets zeros."""
    made = model([op("Concat", "x other mask", "both", axis=1), op("Conv", "both w", "y", **PAD),
                  op("Sub", "x other", "d"), op("ReduceMax", "d", "apart", keepdims=0)],
                 {"w": values(32, 7, 3, 3)},
                 [port("x", [1, 3, "h", "w"]), port("other", [1, 3, "h", "w"]), port("mask", [1, 1, 64, 64])],
                 [port("y", None), port("apart", None)])
    text = quantize(made, "--size", "64x64", "--bits", "4")
    says(text, "; input 'other': the next image; input 'mask': zeros")
    text = run("compare", "in.onnx", "in.onnx", "-n", "2", "--size", "64x64", "--json")
    assert float(text.split('"apart"')[1].split('"max_value": ')[1].split(",")[0]) > .1, text


def test_batch():
    made = model([op("Conv", "x w", "y", **PAD)], {"w": values(32, 3, 3, 3)}, [port("x", [4, 3, 32, 32])])
    says(quantize(made, "--bits", "4"), "2 batches of 4 generated images, 32x32",
         "calibrated with 2 batches of 4 generated images")


# ---- operator sets ----


def test_no_such_version():
    for version in 0, -3:
        made = model([op("Conv", "x w", "y", **PAD)], {"w": values(64, 3, 3, 3)}, imports=(("", version),))
        says(quantize(made, expect=1), "version %d of the default operator set" % version)


# ---- weights that others quantized ----


def test_int4():
    """Levels -8 … 7 are those of a 4-bit integer, not of a grid that lbw stores as one."""
    codes = h.make_tensor("q", T.INT4, [64, 3, 3, 3], (np.arange(64 * 27) % 16 - 8).tolist())
    made = model([op("DequantizeLinear", "q s", "w", axis=0), op("Conv", "x w", "y", **PAD)],
                 {"s": np.abs(values(64)) + .01}, imports=(("", 21),), tensors=[codes])
    says(quantize(made), "quantized by another tool: int4")


# ---- operators of ai.lbw ----


def test_native_again():
    """Layers on 8-bit activations open again: expanded wholly, never quantized twice unasked."""
    made = model([op("Conv", "x w", "a", **PAD), op("Relu", "a", "r"), op("Conv", "r w2", "b", **PAD),
                  op("Relu", "b", "s"), op("Conv", "s w3", "c", **PAD), op("Relu", "c", "y")],
                 {"w": values(32, 3, 3, 3), "w2": values(32, 32, 3, 3), "w3": values(32, 32, 3, 3)})
    quantize(made, "--activations", "int8", "-e", "native", "--bits", "4x2")
    says(run("expand", "out.onnx", "-o", "float.onnx"), "3 weights expanded")
    loads("float.onnx")
    assert not onnx.load("float.onnx").functions
    says(run("quantize", "out.onnx", "-o", "again.onnx", expect=1), "already encoded, as operators of ai.lbw")
    run("quantize", "out.onnx", "-o", "again.onnx", "--requantize", "-n", "2")
    loads("again.onnx")


# ---- the same structures with their data beside the model, and inside a function ----


def norm(i, channels):
    return {"g%d" % i: 1 + np.abs(values(channels)), "b%d" % i: values(channels), "m%d" % i: values(channels),
            "v%d" % i: 1 + np.abs(values(channels))}


def shared_by_levels():
    nodes, constants = [op("Conv", "x s", "r0", **PAD)], {"s": values(32, 3, 3, 3), "w": values(32, 32, 3, 3)}
    for i in range(3):
        nodes += [op("Conv", "r%d w" % i, "c%d" % i, **PAD),
                  op("BatchNormalization", "c%d g%d b%d m%d v%d" % ((i,) * 5), "r%d" % (i + 1) if i < 2 else "y")]
        constants.update(norm(i, 32))
    return model(nodes, constants)


def first_norm():
    w = values(16, 3, 3, 3)
    sums = w.sum((1, 2, 3))
    return model([op("Conv", "x w", "c"), op("BatchNormalization", "c g b m v", "n"),
                  op("Conv", "n w2", "y", **PAD)],
                 {"w": w, "g": np.ones(16, np.float32), "b": np.zeros(16, np.float32), "m": 110 * sums,
                  "v": 3600 * sums * sums + 100, "w2": values(32, 16, 3, 3)})


def foreign():
    codes = random.integers(-127, 127, (32, 3, 3, 3)).astype(np.int8)
    return model([op("DequantizeLinear", "q s z", "w", axis=0), op("Conv", "x w", "a", **PAD),
                  op("Conv", "a w2", "y", **PAD)],
                 {"q": codes, "s": np.abs(values(32)) + .01, "z": np.zeros(32, np.int8), "w2": values(32, 32, 3, 3)})


def computed():
    return model([op("Transpose", "t", "w", perm=[3, 2, 0, 1]), op("Conv", "x w", "a", **PAD),
                  op("Split", "f", "p q", axis=0), op("Conv", "a p", "b", **PAD), op("Conv", "b q", "y", **PAD)],
                 {"t": values(3, 3, 3, 32), "f": values(64, 32, 3, 3)})


def left_alone():
    return model([op("Conv", "x w", "a", **PAD), op("Conv", "a z", "n"),
                  op("Einsum", "a m", "y", equation="bchw,cd->bdhw")],
                 {"w": values(32, 3, 3, 3), "z": np.zeros((0, 32, 1, 1), np.float32), "m": values(32, 64)})


def as_function(made):
    """All of the graph as one function's body, its weights Constants."""
    graph = made.graph
    inputs, outputs = ([p.name for p in ports] for ports in (graph.input, graph.output))
    nodes = [h.make_node("Constant", [], [t.name], value=t) for t in graph.initializer] + list(graph.node)
    function = h.make_function("here", "net", inputs, outputs, nodes, made.opset_import)
    call = h.make_node("net", inputs, outputs, domain="here")
    inside = h.make_model(h.make_graph([call], "g", graph.input, graph.output), functions=[function],
                          opset_imports=[*made.opset_import, h.make_opsetid("here", 1)])
    inside.ir_version = 10
    return inside


def test_in_other_places():
    for make, *said in (
            (shared_by_levels, "2 of 2 weights (10,080 parameters)"),
            (foreign, "1 of 2 weights", "quantized by another tool: int8 with zero points"),
            (computed, "3 of 3 weights (19,296 parameters)"),
            (left_alone, "1 of 2 weights", "holds no values", "Einsum: 8.19 kB in 1 weight"),
            (first_norm, "2 of 2 weights", "fits the model's first BatchNormalization: 0 to 255")):
        made = make()
        onnx.save(made, "in.onnx")
        onnx.save(as_function(made), "function.onnx")
        onnx.save(made, "beside.onnx", save_as_external_data=True, location=make.__name__, size_threshold=0)
        for name in "in.onnx", "function.onnx", "beside.onnx":
            text = run("quantize", name, "-o", "out.onnx", "--calib", "none", "--bits", "4")
            loads("out.onnx")
            if make is first_norm:
                text += run("compare", name, "out.onnx", "-n", "1")
            try:
                says(text, *said)
            except AssertionError as problem:
                raise AssertionError("%s, %s: %s" % (make.__name__, name, problem))


failed = 0
tests = [(name, test) for name, test in list(globals().items()) if name.startswith("test_")]
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for name, test in tests:
        try:
            test()
        except (AssertionError, Exception) as problem:
            print("%s: %s: %s" % (name, type(problem).__name__, str(problem)[:900]))
            failed += 1
    os.chdir("/")
print("%d tests, %d failed" % (len(tests), failed))
sys.exit(failed != 0)
