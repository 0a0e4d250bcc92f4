#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the bytes of converted models are: bytes.py MODEL… (needs the package onnx)."""
import os
import sys

import onnx

CONVOLUTIONS = ("Conv", "ConvTranspose")


def parts(path):
    model = onnx.load(path)
    graph = model.graph
    convolutions = [n for n in graph.node if n.op_type in CONVOLUTIONS]
    weights = {n.input[1] for n in convolutions}
    biases = {n.input[2] for n in convolutions if len(n.input) > 2}
    decoders = [n for n in graph.node if n.domain == "ai.lbw"]
    words = {n.input[0] for n in decoders}
    scales = {n.input[1] for n in decoders}
    sums = dict.fromkeys(("codes", "scales", "weights left in float", "biases", "other tensors",
                          "names and shapes of tensors"), 0)
    for tensor in graph.initializer:
        size = len(tensor.raw_data)
        kind = ("codes" if tensor.name in words else
                "scales" if tensor.name in scales else
                "weights left in float" if tensor.name in weights else
                "biases" if tensor.name in biases else "other tensors")
        sums[kind] += size
        sums["names and shapes of tensors"] += tensor.ByteSize() - size
    sums["decoding nodes"] = sum(n.ByteSize() for n in decoders)
    sums["decoding functions"] = sum(f.ByteSize() for f in model.functions)
    sums["the model's own nodes"] = sum(n.ByteSize() for n in graph.node) - sums["decoding nodes"]
    sums["shapes of inner tensors"] = sum(v.ByteSize() for v in graph.value_info)
    sums["ports, tags and lengths"] = os.path.getsize(path) - sum(sums.values())
    return sums


columns = [parts(path) for path in sys.argv[1:]]
for kind in columns[0] if columns else ():
    print(f"{kind:28}", *(f"{column[kind]:>9,}" for column in columns))
print(f"{'file':28}", *(f"{os.path.getsize(path):>9,}" for path in sys.argv[1:]))
