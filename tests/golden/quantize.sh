# SPDX-License-Identifier: MIT
# Without calibration every number is the same everywhere; only the time is not.
make_model detector model.onnx
quantize() {
    lbw quantize model.onnx --calib none "$@" 2>&1 | sed 's/ in [0-9.]* s$/ in T s/'
}
quantize -o small.onnx
quantize -o small.onnx -b 2 --encoding dq --scale pow2 --group tensor
quantize -o small.onnx -b 6 -b 'body=4x2d2' --encoding float --all --skip stem
quantize -o small.onnx.gz -q --inline
lbw inspect small.onnx.gz | tail -n 9
# A weight that is encoded already is not quantized by accident.
lbw quantize small.onnx.gz -o again.onnx --calib none
echo $?
lbw quantize small.onnx.gz -o again.onnx --calib none --requantize -q
# Decoding functions are for one opset: what is quantized again loses them before it is lifted.
make_model detector:9 old.onnx
lbw quantize old.onnx -o old-small.onnx --calib none -q
lbw quantize old-small.onnx -o again.onnx --requantize --opset 13 -b 3 --calib none -q
lbw inspect again.onnx | head -n 1
# Where no type is smaller, dq says so, and what would help.
make_model half half.onnx
for how in "" "--opset 19"; do
    lbw quantize half.onnx -o half-dq.onnx -e dq -b 5 $how --calib none | sed 's/ in [0-9.]* s$/ in T s/'
done
lbw quantize half.onnx -o half-packed.onnx -b 5 --calib none -q
lbw convert half-packed.onnx -o half-dq.onnx -e dq
# Nothing to do is said, not hidden.
make_model plain plain.onnx
lbw quantize plain.onnx -o same.onnx | sed 's/ in [0-9.]* s$/ in T s/'
cmp plain.onnx same.onnx && echo same
ls
