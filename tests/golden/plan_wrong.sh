# SPDX-License-Identifier: MIT
# Options that make no sense: exit 2, one line.
make_model detector model.onnx
try() {
    lbw plan model.onnx --calib none "$@"
    echo $?
}
try --bits 7
try --bits 'stem=x'
try --bits '*=4'
try --skip '('
try --terms 3
try --terms 2 --shift 9
try --method ternary
try --method optimum
try --mu 0
try --mu x
try --group chanel
try --ops Conv,Relu
# Options that would not do anything alone.
try --shift 2
try --terms 1 --bits 4x2
try --terms 2 --shift 1 --bits 4x2d2
try --mu 0.7
# Patterns that match nothing; each is reported once.
try --skip nosuchlayer --bits 'haed=6' --bits stem=5
lbw search model.onnx -i . --encoding dq --inline
lbw quantize model.onnx -o x.onnx --target openvino
lbw convert model.onnx -o x.onnx -e float --inline
lbw quantize model.onnx -o x.onnx --mean 1 --calib x.npy
lbw eval model.onnx -i . -r model.onnx --voc
try --plan
try other.onnx
