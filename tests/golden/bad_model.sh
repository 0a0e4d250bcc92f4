# SPDX-License-Identifier: MIT
# Models that are wrong inside: one line names the object, exit 1, no output, nothing changed.
for kind in short overflow negative nested; do
    make_model $kind $kind.onnx
    cp $kind.onnx $kind.copy
    for command in inspect plan 'quantize --calib none -q -o out.onnx'; do
        lbw $command $kind.onnx
        echo $?
    done
    cmp $kind.onnx $kind.copy && rm $kind.copy
done
ls -A
# A folder that takes no files.
make_model detector model.onnx
lbw quantize model.onnx --calib none -q -o /proc/out.onnx
echo $?
ls -A
