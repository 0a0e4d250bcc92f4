# SPDX-License-Identifier: MIT
"""One CalibrationDataReader for onnxruntime.quantization and for lbw.

usage: data_reader.py MODEL.onnx IMAGES
"""

import pathlib
import sys

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from PIL import Image

import lbw


class Folder(CalibrationDataReader):
    """Images, stretched to the model's input, RGB from 0 to 1."""

    def __init__(self, model, folder):
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.input = session.get_inputs()[0]
        self.paths = iter(sorted(pathlib.Path(folder).glob("*.jpg")))

    def get_next(self):
        path = next(self.paths, None)
        if path is None:
            return None
        height, width = self.input.shape[2:]
        image = Image.open(path).convert("RGB").resize((width, height))
        pixels = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255
        return {self.input.name: pixels}


def main(model, folder):
    quantize_static(model, "int8.onnx", Folder(model, folder))
    result = lbw.quantize(model, "lbw.onnx", bits="4x2", calibration=Folder(model, folder))
    print(f"int8: {pathlib.Path('int8.onnx').stat().st_size:,} bytes")
    print(f"lbw:  {result.bytes_after:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
