# SPDX-License-Identifier: MIT
"""external.py ONE TWO DATA ALIGNMENT: TWO keeps large tensors in DATA and equals ONE."""
import os
import sys

import numpy
import onnx
import onnxruntime

one, two, data, alignment = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
onnx.checker.check_model(two, full_check=True)
model = onnx.load(two, load_external_data=False)
end, outside = 0, 0
for tensor in model.graph.initializer:
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        continue
    place = {entry.key: entry.value for entry in tensor.external_data}
    assert place["location"] == os.path.basename(data), place
    assert int(place["offset"]) % alignment == 0, place
    assert int(place["offset"]) >= end, place
    end = int(place["offset"]) + int(place["length"])
    outside += 1
assert outside > 0
assert os.path.getsize(data) == end
assert os.path.getsize(two) < os.path.getsize(one)


def run(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = numpy.random.default_rng(1).random((1, 3, 32, 32), dtype=numpy.float32)
    return session.run(None, {"images": image})


for a, b in zip(run(one), run(two), strict=True):
    assert (a == b).all()
print(f"{two}: {outside} tensors, {end} bytes in {os.path.basename(data)}")
