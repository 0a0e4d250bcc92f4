# SPDX-License-Identifier: MIT
"""huge.py LBW FOLDER [MEGABYTES]: a model larger than one ONNX file can be (default 2400 MB, of
100 MB layers), converted with --external; prints wall and processor time and peak memory of each
command. The folder must not exist; it takes four times the size and is removed in the end."""
import os
import resource
import shutil
import subprocess
import sys
import time

import numpy
import onnx
from onnx import TensorProto, helper

lbw, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
megabytes = int(sys.argv[3]) if len(sys.argv) > 3 else 2400
CHANNELS = 5000
os.mkdir(folder)
os.chdir(folder)


def make(path, data):
    random = numpy.random.default_rng(1)
    nodes, initializers, offset = [], [], 0
    with open(data, "wb") as out:
        for i in range(megabytes // 100):
            values = random.standard_normal(CHANNELS * CHANNELS, dtype=numpy.float32)
            out.write(values.tobytes())
            tensor = TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT,
                                 dims=[CHANNELS, CHANNELS, 1, 1],
                                 data_location=TensorProto.EXTERNAL)
            for key, value in ("location", data), ("offset", offset), ("length", values.nbytes):
                tensor.external_data.add(key=key, value=str(value))
            offset += values.nbytes
            initializers.append(tensor)
            nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"]))
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, CHANNELS, 1, 1])
             for name in ("x0", f"x{len(nodes)}")]
    graph = helper.make_graph(nodes, "huge", ports[:1], ports[1:], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                ir_version=8), path)


def run(*arguments):
    start = time.monotonic()
    process = subprocess.Popen([lbw, *arguments], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, arguments
    out = arguments[arguments.index("-o") + 1]
    size = sum(os.path.getsize(name) for name in (out, out.replace(".onnx", ".data"))
               if os.path.exists(name))
    busy = usage.ru_utime + usage.ru_stime
    print(f"{time.monotonic() - start:6.1f} s  {busy:6.1f} s  {usage.ru_maxrss / 1e3:6.0f} MB  "
          f"{size / 1e6:7.0f} MB  lbw {' '.join(arguments)}", flush=True)


make("in.onnx", "in.data")
print("wall time, processor time, peak memory, bytes written")
try:
    for encoding in "packed", "dq", "float":
        run("quantize", "in.onnx", "-o", f"{encoding}.onnx", "-e", encoding, "--calib", "none",
            "--external", f"{encoding}.data", "-q")
    run("convert", "packed.onnx", "-o", "back.onnx", "-e", "float", "--external", "back.data",
        "-q")
    run("convert", "back.onnx", "-o", "again.onnx", "--external", "again.data", "-q")
    run("expand", "dq.onnx", "-o", "back.onnx", "--external", "back.data", "-q")
finally:
    os.chdir("/")
    shutil.rmtree(folder)
