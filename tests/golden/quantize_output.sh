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
lbw quantize model.onnx -o out.onnx --report out.onnx
lbw quantize model.onnx -o out.onnx --plan missing.plan
lbw quantize model.onnx -o out.onnx --method ternary
lbw quantize model.onnx -o out.onnx --profile nonsense
lbw quantize model.onnx -o out.onnx --mean 1,2
lbw quantize model.onnx -o out.onnx --encoding native
cmp model.onnx original.onnx && ls -A
# Where an output cannot be, every command says so before it looks at anything else.
early() {
    command lbw "$@"
    echo $? >&2
}
mkdir folder
early quantize none.onnx -o no/x.onnx
early quantize none.onnx -o folder
early quantize none.onnx -o ''
early quantize none.onnx -o x.onnx --report no/r.json
early quantize none.onnx -o x.onnx --state no/s
early tune none.onnx -o model.onnx/x.onnx
early tune none.onnx -o x.onnx --log no/l.csv
early tune none.onnx -o x.onnx --checkpoint folder
early search none.onnx -i folder -o no/x.plan
early eval none.onnx -i folder -l folder --save no/x.json
early convert none.onnx -o no/x.onnx
early expand none.onnx -o no/x.onnx
early detect none.onnx none.jpg -o no/x.png
rmdir folder && cmp model.onnx original.onnx && ls -A
# In place, and through pipes.
command lbw quantize - -o - -q --calib none <model.onnx 2>/dev/null >piped.onnx
lbw quantize model.onnx -o model.onnx
cmp model.onnx piped.onnx && ls -A
