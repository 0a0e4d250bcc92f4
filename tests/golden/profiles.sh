# SPDX-License-Identifier: MIT
lbw profiles
lbw profiles | LC_ALL=C.UTF-8 wc -L # fits into the usual terminal
mkdir pictures
make_model detector model.onnx
lbw eval none.onnx
lbw eval none.onnx -i pictures
lbw eval none.onnx -i pictures -l pictures
lbw eval model.onnx -i pictures -l pictures
lbw eval model.onnx -i pictures -p yolox
lbw eval model.onnx -i pictures -p yolox -l pictures
lbw eval model.onnx -i nowhere -p yolox -l pictures
lbw eval model.onnx -i pictures -p yolo99 -l pictures
: > pictures/a.jpg
lbw eval model.onnx -i pictures -p yolox -l pictures
echo 0 .5 .5 .5 > pictures/a.txt
lbw eval model.onnx -i pictures -p yolox -l pictures
lbw detect none.onnx pictures/a.jpg
lbw detect none.onnx pictures/a.jpg pictures/a.jpg -p yolox -o a.png
lbw detect none.onnx pictures/a.jpg -p yolox
