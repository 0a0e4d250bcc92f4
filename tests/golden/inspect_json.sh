# SPDX-License-Identifier: MIT
make_model detector model.onnx
lbw inspect --json model.onnx
# A name of bytes that are no UTF-8 is shown as well as can be.
name=$(printf 'mod\351l.onnx')
mv model.onnx "$name"
lbw inspect --json "$name" | sed -n 2p
