# SPDX-License-Identifier: MIT
"""A converted model in OpenVINO, OpenCV and ncnn: how far it is from ONNX Runtime's outputs.

usage: other_runtimes.py MODEL.onnx   (converted by lbw, or not yet converted)

Each runs the encoding that docs/compatibility.md recommends for it; the weights are the same.
"""

import importlib.util
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import lbw


def onnxruntime(path, x):
    import onnxruntime as ort

    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def openvino(path, x):
    import openvino as ov

    accurate = {"EXECUTION_MODE_HINT": "ACCURACY"}
    return ov.Core().compile_model(path, "CPU", accurate)(x)[0]


def cv2(path, x):
    import cv2

    net = cv2.dnn.readNetFromONNX(path)
    net.setInput(x)
    return net.forward()


def ncnn(path, x):
    import ncnn as n

    folder = pathlib.Path(path).parent
    shape = str(list(x.shape)).replace(" ", "")
    package = importlib.util.find_spec("pnnx").submodule_search_locations[0]
    program = pathlib.Path(package) / "pnnx"
    subprocess.run([str(program), path, f"inputshape={shape}", "fp16=0"], check=True, cwd=folder,
                   stdout=subprocess.DEVNULL)
    net = n.Net()
    net.opt.use_fp16_storage = net.opt.use_fp16_packed = net.opt.use_fp16_arithmetic = False
    stem = str(folder / pathlib.Path(path).stem)
    net.load_param(stem + ".ncnn.param")
    net.load_model(stem + ".ncnn.bin")
    with net.create_extractor() as extractor:
        extractor.input(net.input_names()[0], n.Mat(x[0]).clone())
        return np.array(extractor.extract(net.output_names()[0])[1])


ENCODINGS = {  # runtime → the arguments of lbw.convert()
    onnxruntime: {"encoding": "packed"},
    openvino: {"encoding": "packed", "inline": True},
    cv2: {"encoding": "float"},
    ncnn: {"encoding": "packed", "inline": True},
}
NEEDS = {ncnn: ("ncnn", "pnnx")}


def main(model):
    if not any(weight.encoded for weight in lbw.inspect(model)):
        model = lbw.quantize(model)
    shape = [n if isinstance(n, int) else 1 for n in lbw.inspect(model).inputs[0].shape]
    x = np.random.default_rng(0).random(shape, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        wanted = None
        for run, encoding in ENCODINGS.items():
            needs = NEEDS.get(run, (run.__name__,))
            missing = [name for name in needs if importlib.util.find_spec(name) is None]
            if missing:
                print(f"{run.__name__}: not installed: {', '.join(missing)}")
                continue
            path = str(pathlib.Path(folder) / f"{run.__name__}.onnx")
            lbw.convert(model, path, **encoding)
            try:
                output = run(path, x)
            except Exception as error:  # what it refuses, it mostly refuses unconverted, too
                print(f"{run.__name__}: {str(error).splitlines()[0]}")
                continue
            wanted = output if wanted is None else wanted
            error = abs(output.reshape(-1) - wanted.reshape(-1)).max() / abs(wanted).max()
            print(f"{run.__name__}: largest difference {error:.1e}")


if __name__ == "__main__":
    main(sys.argv[1])
