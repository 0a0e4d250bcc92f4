# SPDX-License-Identifier: MIT
# Started without standard files: what the program says does not end up in what it writes.
make_model detector model.onnx
lbw quantize model.onnx -o good.onnx -q --calib none 2>/dev/null
for way in '>&-' '2>&- >/dev/null' '>&- 2>&-' '<&- >&- 2>&-'; do
    rm -f out.onnx
    eval "(lbw quantize model.onnx -o out.onnx --calib none $way)"
    echo "$way: $?"
    cmp good.onnx out.onnx
done >report 2>errors
cat report
cat errors >&2
lbw inspect - <&-
echo $?
