# SPDX-License-Identifier: MIT
# A signal while the model is read: one line, nothing written, the input untouched.
make_model detector model.onnx
mkfifo pipe
lbw quantize pipe -o out.onnx --calib none &
exec 3>pipe # opens when lbw reads
kill -TERM $!
cat model.onnx >&3
exec 3>&-
wait $!
echo $?
ls -A
