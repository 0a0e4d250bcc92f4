# SPDX-License-Identifier: MIT
# --external: which names are refused, and that no refusal harms what is there.
make_model detector model.onnx
lbw() {
    echo "lbw $*" >&2
    command lbw "$@" -q
    echo $? >&2
}
command lbw quantize model.onnx -o in.onnx --calib none --external in.data -q 2>/dev/null
digest=$(command lbw inspect --digest in.onnx)
for name in '' . .. a/b /tmp/x out.onnx out.gz; do
    lbw convert in.onnx -o out.onnx --external "$name"
done
lbw convert in.onnx -o - --external out.data
lbw convert in.onnx -o out.onnx.gz --external out.data
lbw convert in.onnx -o out.onnx --external-threshold 1
lbw convert in.onnx -o out.onnx --external-alignment 64K
lbw convert in.onnx -o out.onnx --external out.data --external-alignment 100
lbw convert in.onnx -o out.onnx --external out.data --external-alignment 0
lbw convert in.onnx -o no/out.onnx --external out.data
# The input and its data are not overwritten under a model that needs them.
lbw convert in.onnx -o out.onnx --external in.data
lbw convert in.onnx -o out.onnx --external in.onnx
lbw expand in.onnx -o in.data
mkdir folder
ln -s . again
mkfifo pipe
lbw quantize in.onnx -o again/out.onnx --external in.data --requantize --calib none
lbw convert in.onnx -o out.onnx --external folder
lbw convert in.onnx -o out.onnx --external pipe
ls -A
[ "$(command lbw inspect --digest in.onnx)" = "$digest" ] && echo unharmed
# Replaced together they are.
lbw convert in.onnx -o in.onnx --external in.data --encoding dq
lbw convert in.onnx -o again/in.onnx --external in.data --encoding packed
lbw convert again/in.onnx -o in.onnx --encoding float
[ "$(command lbw inspect --digest in.onnx)" = "$digest" ] && echo unharmed
ls -A
