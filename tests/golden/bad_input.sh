# SPDX-License-Identifier: MIT
# Files that are no model: one line names the file, exit 1.
try() {
    lbw inspect "$1"
    echo $?
}
make_model detector model.onnx
: >empty.onnx
try empty.onnx
head -c 40000 model.onnx >truncated.onnx
try truncated.onnx
printf '\377\330\377\340\000\020JFIF\000\001\001\000\000\001\000\001\000\000\377\333' >picture.jpg
try picture.jpg
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 3678464\n' >lfs.onnx
try lfs.onnx
printf '<!DOCTYPE html><html>404</html>\n' >page.onnx
try page.onnx
gzip -c model.onnx | head -c 9000 >truncated.onnx.gz
try truncated.onnx.gz
try missing.onnx
mkdir folder.onnx
try folder.onnx
try 'line
break.onnx'
lbw inspect - <empty.onnx
