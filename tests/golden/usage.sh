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
lbw plan - --plan - <model.onnx
echo $?
lbw search - -i . <model.onnx
echo $?
lbw 2>/dev/null
