# SPDX-License-Identifier: MIT
make_model detector model.onnx
lbw plan --json --bits 5 model.onnx
