# SPDX-License-Identifier: MIT
make_model detector model.onnx
lbw inspect model.onnx
gzip model.onnx
lbw inspect - <model.onnx.gz | head -n 1
gunzip model.onnx.gz
{ head -c 1000 model.onnx | gzip; tail -c +1001 model.onnx | gzip; echo rest; } >members.gz
lbw inspect members.gz | head -n 1
make_model plain plain.onnx
lbw inspect plain.onnx
