# SPDX-License-Identifier: MIT
make_model detector model.onnx
lbw plan model.onnx --bits 4
# Regular expressions pick weights by node or tensor; later rules win, --skip wins over all.
lbw plan model.onnx --bits 3 --bits 'wise=6' --bits '^point=4x2' --skip 'up'
lbw plan model.onnx --terms 2 --shift 2 --scale pow2 --group tensor --all --no-fold
