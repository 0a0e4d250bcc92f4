# SPDX-License-Identifier: MIT
"""What a user would do today with onnxruntime.quantization; used by accuracy.py."""
import numpy as np
import onnx
import onnx.version_converter
from onnxruntime import quantization
from PIL import Image


class Pictures(quantization.CalibrationDataReader):
    """YOLOX input: BGR 0..255, letterbox at the top left, pad 114, [1, 3, 416, 416]."""

    def __init__(self, files):
        self.files = iter(files)

    def get_next(self):
        file = next(self.files, None)
        if file is None:
            return None
        picture = Image.open(file).convert("RGB")
        ratio = min(416 / picture.width, 416 / picture.height)
        size = int(picture.width * ratio), int(picture.height * ratio)
        pixels = np.asarray(picture.resize(size, Image.BILINEAR))[:, :, ::-1]
        canvas = np.full((416, 416, 3), 114, np.float32)
        canvas[: size[1], : size[0]] = pixels
        return {"images": canvas.transpose(2, 0, 1)[None]}


def static_int8(source, out, pictures, per_channel):
    quantization.quantize_static(
        str(source), str(out), Pictures(pictures), per_channel=per_channel,
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8)


def static_int8_lifted(source, out, pictures):
    """Per-channel scales need opset 13; the tool itself does not lift the model."""
    lifted = out.with_suffix(".lifted")
    onnx.save(onnx.version_converter.convert_version(onnx.load(str(source)), 13), str(lifted))
    static_int8(lifted, out, pictures, True)


def weight_only_4bit(source, out, _):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    tool = MatMulNBitsQuantizer(onnx.load(str(source)))
    tool.process()
    tool.model.save_model_to_file(str(out), False)


METHODS = {
    "static int8, one scale a tensor": lambda *a: static_int8(*a, False),
    "static int8, a scale a channel": lambda *a: static_int8(*a, True),
    "the same after onnx.version_converter to 13": static_int8_lifted,
    "4 bits, weight-only (MatMulNBitsQuantizer)": weight_only_4bit,
}
