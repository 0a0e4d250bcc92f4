# SPDX-License-Identifier: MIT
make_model detector model.onnx
lbw quantize model.onnx -o small.onnx --calib none --json --report report.json 2>/dev/null >printed.json
cmp printed.json report.json && sed 's/seconds": [0-9.e-]*/seconds": T/' report.json
