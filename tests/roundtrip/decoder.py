# SPDX-License-Identifier: MIT
"""decoder.py MODEL…: a decoder written from docs/format.md alone, sharing no line with lbw; prints
the digest of each model, which has to be that of 'lbw inspect --digest'."""
import hashlib
import struct
import sys

try:
    import ml_dtypes
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

DIGITS = {"2": 10, "3": 27, "4": 5, "5": 15, "6": 3, "2x2": 22, "2x2d2": 5, "3x2": 17,
          "3x2d2": 14, "4x2": 3, "4x2d2": 10}
TYPES = {"": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
         "float64": np.float64}
READERS = {"Conv": [1], "ConvTranspose": [1], "Gemm": [1], "MatMul": [0, 1]}


def levels_of(grid):
    bits, _, terms = grid.partition("x")
    one = {0, *(s << i for i in range(1 << int(bits) - 2) for s in (1, -1))}
    shift = int(terms[2:] or 1) if terms else 0
    return sorted({a + (b << shift) for a in one for b in one} if terms else one)


def decode_packed(name, words, scale, shape):
    grid, _, kind = name[len("Decode"):].partition("_")
    levels, digits = levels_of(grid), DIGITS[grid]
    base, count = len(levels), int(np.prod(shape))
    assert len(words) == -(-count // digits) and int(words.max()) < base ** digits
    codes = words.astype(np.int64)[:, None] // base ** np.arange(digits) % base
    unit = 1 << levels[-1].bit_length() - 1
    table = (np.array(levels) / unit).astype(np.float32)
    values = table[codes.reshape(-1)[:count]].reshape(shape) * scale.astype(np.float32)
    return values.astype(TYPES[kind])


def decode_dq(node, known):
    codes, scale = (known.get(i) for i in node.input)
    if codes is None or scale is None:
        return None
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    if scale.ndim:
        scale = scale.reshape([-1 if i == axis else 1 for i in range(codes.ndim)])
    return codes.astype(np.float32) * scale


def compute(node, known):
    """What the node makes of constants, as far as the encodings need it; else None."""
    attributes = {a.name: a for a in node.attribute}
    inputs = [known.get(i) for i in node.input]
    if node.domain == "ai.lbw":
        return decode_packed(node.op_type, inputs[0], inputs[1], inputs[2])
    if node.op_type == "Constant" and "value" in attributes:
        return numpy_helper.to_array(attributes["value"].t)
    if node.op_type == "DequantizeLinear":
        return decode_dq(node, known)
    if any(i is None for i in inputs):
        return None
    if node.op_type == "Identity":
        return inputs[0]
    if node.op_type == "Cast":
        return inputs[0].astype(helper.tensor_dtype_to_np_dtype(attributes["to"].i))
    return inputs[0] * inputs[1] if node.op_type == "Mul" else None


def scopes(nodes, initializers, outer):
    """(nodes, constants) of a graph, then of its bodies."""
    known = {**outer, **{t.name: numpy_helper.to_array(t) for t in initializers}}
    for node in nodes:
        value = compute(node, known)
        if value is not None:
            known[node.output[0]] = value
    yield nodes, known
    for node in nodes:
        for a in node.attribute:
            for graph in ([a.g] if a.HasField("g") else []) + list(a.graphs):
                yield from scopes(graph.node, graph.initializer, known)


def digest(model):
    sha, seen = hashlib.sha256(), set()
    all_scopes = list(scopes(model.graph.node, model.graph.initializer, {}))
    for f in model.functions:
        all_scopes += scopes(f.node, [], {}) if f.domain != "ai.lbw" else []
    for nodes, known in all_scopes:
        for node in nodes:
            for name in [node.input[i] for i in READERS.get(node.op_type, [])]:
                value = known.get(name)
                if value is None or id(value) in seen:
                    continue
                seen.add(id(value))
                kind = helper.np_dtype_to_tensor_dtype(value.dtype)
                sha.update(struct.pack("<%dQ" % (value.ndim + 2), value.ndim, *value.shape, kind))
                sha.update(value.tobytes())
    return sha.hexdigest()[:32]


for path in sys.argv[1:]:
    print(digest(onnx.load(path)), "", path)
