# SPDX-License-Identifier: MIT
"""linear.py: Gemm and MatMul with 8-bit activations. They become integer kernels of ONNX Runtime,
and what these compute is what exact sums of the stored integers say. ConvTranspose stays float,
and the plan says why."""
import collections
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

LBW = os.path.join(os.environ["LBW_BUILD_ROOT"], "lbw")
LEVELS = ort.GraphOptimizationLevel
random = np.random.default_rng(1)


def constant(name, *dims):
    values = random.standard_normal(dims) / np.sqrt(np.prod(dims[1:]) or 1)
    return numpy_helper.from_array(values.astype(np.float32), name)


def build():
    """Tokens of a picture through two MatMul, their mean through two Gemm; a map beside it."""
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c"], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ConvTranspose", ["r", "w1", "b1"], ["t"], strides=[2, 2]),
        helper.make_node("Relu", ["t"], ["tr"]),
        helper.make_node("Conv", ["tr", "w2", "b2"], ["map"]),
        helper.make_node("Reshape", ["r", "tokens"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "w3"], ["m"]),
        helper.make_node("Add", ["m", "b3"], ["a"]),
        helper.make_node("Relu", ["a"], ["ar"]),
        helper.make_node("MatMul", ["ar", "w4"], ["m2"]),
        helper.make_node("GlobalAveragePool", ["r"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["features"]),
        helper.make_node("Gemm", ["features", "w5", "b5"], ["g"], transB=1),
        helper.make_node("Relu", ["g"], ["gr"]),
        helper.make_node("Gemm", ["gr", "w6", "b6"], ["g2"]),
        helper.make_node("Sigmoid", ["m2"], ["s"]),
        helper.make_node("Softmax", ["g2"], ["p"]),
        helper.make_node("Sigmoid", ["map"], ["out"]),
    ]
    weights = [constant("w0", 32, 3, 2, 2), constant("b0", 32), constant("w1", 32, 32, 2, 2),
               constant("b1", 32), constant("w2", 8, 32, 1, 1), constant("b2", 8),
               constant("w3", 32, 64), constant("b3", 64), constant("w4", 64, 32),
               constant("w5", 64, 32), constant("b5", 64), constant("w6", 64, 32),
               constant("b6", 32),
               numpy_helper.from_array(np.array([0, 32, -1]), "tokens")]
    graph = helper.make_graph(
        nodes, "linear", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_empty_tensor_value_info(name) for name in ("s", "p", "out")], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def session(model, level, written=None):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    if written:
        options.optimized_model_filepath = written
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def values_of(model, feed):
    """Every tensor of the graph, computed node by node."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    known = {o.name for o in model.graph.output}
    for node in model.graph.node:
        exposed.graph.output.extend(helper.make_empty_tensor_value_info(name)
                                    for name in node.output if name not in known)
    run = session(exposed.SerializeToString(), LEVELS.ORT_DISABLE_ALL)
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return values | dict(zip([o.name for o in run.get_outputs()], run.run(None, feed))) | feed


def check_exact(model, values):
    """Each product between bytes, from its integers; how many there are."""
    writers = {name: node for node in model.graph.node for name in node.output}
    readers = {name: node for node in model.graph.node for name in node.input}
    seen = 0
    for node in model.graph.node:
        if node.op_type not in ("Gemm", "MatMul"):
            continue
        x, w = writers[node.input[0]], writers[node.input[1]]
        relu = readers[node.output[0]] if readers[node.output[0]].op_type == "Relu" else None
        y = readers[relu.output[0] if relu else node.output[0]]
        assert (x.op_type, w.op_type, y.op_type) == ("DequantizeLinear", "DequantizeLinear",
                                                     "QuantizeLinear"), node
        codes = values[w.input[0]].astype(np.int64)
        assert values[w.input[0]].dtype == np.int8
        if node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute):
            codes = codes.T
        sums = (values[x.input[0]].astype(np.int64) - int(values[x.input[2]])) @ codes
        if len(node.input) > 2:
            bias = writers[node.input[2]]
            assert values[bias.input[0]].dtype == np.int32
            sums = sums + values[bias.input[0]].astype(np.int64)
        real = sums * (float(values[x.input[1]]) * values[w.input[1]].astype(np.float64))
        real = np.maximum(real, 0) if relu else real
        wanted = np.clip(np.rint(real / float(values[y.input[1]])) + int(values[y.input[2]]),
                         0, 255)
        steps = np.abs(wanted - values[y.output[0]])
        assert steps.max() <= 1 and (steps > 0).mean() < 1e-3, (node.op_type, steps.max())
        seen += 1
    return seen


def quantize(source, out, *options):
    """Every activation in 8 bits, whatever that costs."""
    common = [source, "-b", "4x2", "--ops", "Conv,ConvTranspose,Gemm,MatMul", "--activations",
              "int8", "--all"]
    plan = subprocess.run([LBW, "plan", *common], check=True, capture_output=True, text=True)
    assert "1 ConvTranspose layer stays float" in plan.stderr, plan.stderr
    lines = [line.replace("int8  auto auto", "int8  0 4" if " Relu " in line else "int8  -4 4")
             for line in plan.stdout.splitlines(keepends=True)]
    with open("plan", "w", encoding="utf-8") as file:
        file.writelines(lines)
    subprocess.run([LBW, "quantize", *common, "-o", out, "--plan", "plan", "--calib",
                    "generated:4", "-q", *options], check=True)
    return onnx.load(out)


def main():
    os.chdir(tempfile.mkdtemp())
    onnx.save(build(), "linear.onnx")
    feed = {"x": random.random((1, 3, 32, 32), dtype=np.float32)}
    for name, options in {"packed": [], "inline": ["--inline"], "dq": ["-e", "dq"]}.items():
        model = quantize("linear.onnx", f"{name}.onnx", *options)
        values = values_of(model, feed)
        assert check_exact(model, values) == 4, name
        fused = session(f"{name}.onnx", LEVELS.ORT_ENABLE_ALL, "optimized.onnx")
        ops = collections.Counter(n.op_type for n in onnx.load("optimized.onnx").graph.node)
        assert ops["QGemm"] == 2 and ops["QLinearMatMul"] == 2, (name, ops)
        assert ops["ConvTranspose"] == 1 and ops["QLinearConv"] == 2, (name, ops)
        for output, found in zip(model.graph.output, fused.run(None, feed)):
            assert np.abs(found - values[output.name]).max() < 0.05, (name, output.name)
        print(name, dict(ops))
    digest = [subprocess.run([LBW, "inspect", "--digest", f"{name}.onnx"], check=True,
                             capture_output=True, text=True).stdout.split()[0]
              for name in ("packed", "inline", "dq")]
    assert len(set(digest)) == 1, digest
    # from one encoding to another and back the zero points come along
    subprocess.run([LBW, "convert", "packed.onnx", "-o", "a.onnx", "-e", "dq", "-q"], check=True)
    subprocess.run([LBW, "convert", "a.onnx", "-o", "b.onnx", "-e", "packed", "-q"], check=True)
    session("b.onnx", LEVELS.ORT_ENABLE_ALL, "optimized.onnx")
    ops = collections.Counter(n.op_type for n in onnx.load("optimized.onnx").graph.node)
    assert ops["QGemm"] == 2 and ops["QLinearMatMul"] == 2, ops
    subprocess.run([LBW, "expand", "b.onnx", "-o", "float.onnx", "-q"], check=True)
    ops = {n.op_type for n in onnx.load("float.onnx").graph.node}
    assert not ops & {"QuantizeLinear", "DequantizeLinear"}, ops


main()
