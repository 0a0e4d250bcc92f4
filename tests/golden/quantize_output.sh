# SPDX-License-Identifier: MIT
# Where the result goes: all or nothing, and the input is never harmed.
make_model detector model.onnx
cp model.onnx original.onnx
lbw() {
    command lbw "$@" --calib none -q
    echo $? >&2
}
lbw quantize model.onnx
lbw quantize model.onnx -o no/such/folder.onnx
lbw quantize model.onnx -o /dev/full
lbw quantize model.onnx -o - >/dev/full
lbw quantize model.onnx -o .
lbw quantize missing.onnx -o out.onnx
lbw quantize model.onnx -o out.onnx --plan missing.plan
lbw quantize model.onnx -o out.onnx --method ternary
lbw quantize model.onnx -o out.onnx --profile nonsense
lbw quantize model.onnx -o out.onnx --mean 1,2
cmp model.onnx original.onnx && ls -A
# In place, and through pipes.
command lbw quantize - -o - -q --calib none <model.onnx 2>/dev/null >piped.onnx
lbw quantize model.onnx -o model.onnx
cmp model.onnx piped.onnx && ls -A
