# SPDX-License-Identifier: MIT
# Wrong command lines: one line says what is wrong, where possible what was meant; exit 2.
lbw grdis
echo $?
lbw xyzzy
echo $?
lbw --json grids
echo $?
lbw grids --jsno
echo $?
lbw grids --json=1
echo $?
lbw grids -x
echo $?
lbw grids more
echo $?
lbw completion
echo $?
lbw completion tcsh
echo $?
# Standard input is there once; a search would need it again and again.
make_model detector model.onnx
lbw compare - - <model.onnx
echo $?
lbw eval - --reference=- -i . <model.onnx
echo $?
lbw plan --bits 4 - --plan - <model.onnx
echo $?
lbw search - -i . <model.onnx
echo $?
# Values: what would do, not only that this one does not.
lbw eval m.onnx -i . -r m.onnx --max-images 0
lbw eval m.onnx -i . -r m.onnx --threads 65
lbw compare model.onnx model.onnx --samples 2000000
lbw quantize model.onnx -o x.onnx --size 41y
lbw eval model.onnx -i . -r model.onnx -p yolo8
lbw eval model.onnx -i . -r model.onnx -p yolo11
lbw tune model.onnx -o x.onnx --calib none
lbw 2>/dev/null
