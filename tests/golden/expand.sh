# SPDX-License-Identifier: MIT
make_model detector model.onnx
lbw expand model.onnx
echo $?
lbw expand model.onnx -o copy.onnx
lbw expand model.onnx -o - | cmp - copy.onnx && echo same
lbw convert model.onnx -o copy.onnx
echo $?
# Input and output may be the same file.
lbw expand copy.onnx -o copy.onnx -q
lbw expand model.onnx -o no/such/folder.onnx
echo $?
lbw expand model.onnx -o /dev/full
echo $?
lbw expand model.onnx -o - >/dev/full
echo $?
lbw expand model.onnx -o .
echo $?
# Nothing is left behind.
ls -A
