# SPDX-License-Identifier: MIT
# Options that make no sense: exit 2, one line.
make_model detector model.onnx
try() {
    lbw plan model.onnx "$@"
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
try --plan
try other.onnx
