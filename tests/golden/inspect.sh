# SPDX-License-Identifier: MIT
make_model detector model.onnx
lbw inspect model.onnx
gzip model.onnx
lbw inspect - <model.onnx.gz | head -n 1
make_model plain plain.onnx
lbw inspect plain.onnx
