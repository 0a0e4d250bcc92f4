# SPDX-License-Identifier: MIT
make_model detector model.onnx
lbw inspect --json model.onnx
