# SPDX-License-Identifier: MIT
"""A pass for Microsoft Olive: {"type": "LbwQuantization", "bits": "4x2", "calibration": "photos/"}.

In the configuration of Olive's packages, "passes" names it: {"LbwQuantization": {"module_path":
"olive_pass.LbwQuantization"}}. From Python, create_pass_from_dict(LbwQuantization, {...}) makes it.
"""

from pathlib import Path

from olive.model import ONNXModelHandler
from olive.passes import Pass
from olive.passes.pass_config import PassConfigParam

import lbw


class LbwQuantization(Pass):
    """Convolution weights become zero or a power of two times the scale of their channel."""

    @classmethod
    def _default_config(cls, accelerator_spec):
        return {
            "bits": PassConfigParam(
                type_=str, default_value="4", description="Bits per weight, or a grid."
            ),
            "calibration": PassConfigParam(
                type_=str, default_value="generated", description="A folder of images."
            ),
            "encoding": PassConfigParam(
                type_=str, default_value="packed", description="packed, dq or float."
            ),
        }

    def _run_for_config(self, model, config, output_model_path):
        path = Path(output_model_path)
        if path.suffix != ".onnx":
            path.mkdir(parents=True, exist_ok=True)
            path /= "model.onnx"
        lbw.quantize(model.model_path, path, bits=config.bits, calibration=config.calibration,
                     encoding=config.encoding)
        return ONNXModelHandler(model_path=str(path))
