#!/bin/sh
# SPDX-License-Identifier: MIT
# Detectors whose shapes only a run shows, or whose values tell them apart; and what fits more
# than one. LBW_PYTHON names a Python that has onnx; skipped without it or ONNX Runtime.
set -eu
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
python=${LBW_PYTHON:-python3}
"$python" -c 'import onnx' 2>/dev/null || { echo 'no Python with onnx'; exit 77; }
"$LBW_BUILD_ROOT/lbw" version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$python" "$LBW_SOURCE_ROOT/tests/ort/families.py"
status=0
assumed() { # MODEL TEXT [OPTION…]: what quantize says of its preprocessing
    name=$1 wanted=$2
    shift 2
    lbw quantize $name.onnx -o out.onnx --all -n 1 "$@" >said 2>&1 || { cat said; status=1; }
    grep -qF "$wanted" said || { echo "$name: no '$wanted' in:"; cat said; status=1; }
}
assumed yolov8 '640x640 letterbox rgb, pad 114, mean 0,0,0, std 255,255,255 (the outputs look like yolov8; its usual size)'
assumed yolov8 '96x64 letterbox rgb, pad 114, mean 0,0,0, std 255,255,255 (the outputs look like yolov8)' --size 96x64
assumed yolov8_sized "160x96 letterbox rgb, pad 114, mean 0,0,0, std 255,255,255 (the outputs look like yolov8; the metadata's size)"
assumed yolov5 '(the outputs look like yolov5; its usual size)'
assumed nanodet '320x320 letterbox bgr'
assumed nanodet '(the outputs look like nanodet; its usual size)'
assumed scrfd '(the outputs look like scrfd; its usual size)'
assumed retinaface '(the outputs look like retinaface; its usual size)'
assumed fixed '(the outputs look like yolov8; its usual size)' # runs at 640 only
assumed yolov6 '(the outputs look like yolov6)'
assumed yolox '(the outputs look like yolox)'
assumed heads '; the outputs fit more than one detector: --profile yolov3, yolov4, yolov5 or yolov7)'
looks() { # MODEL TEXT: what compare says of it
    lbw compare looks/$1.onnx looks/$1.onnx -n 1 >said 2>&1 || { cat said; status=1; }
    grep -qF "$2" said || { echo "$1: no '$2' in:"; cat said; status=1; }
}
looks yolov8_rows '(the outputs look like yolov8)'
looks yolov8_rows_named '(the outputs look like yolov8)'
looks yolov8_open "96x64 letterbox rgb, pad 114, mean 0,0,0, std 255,255,255 (the outputs look like yolov8; the metadata's size)"
looks yolov8_open_rows "(the outputs look like yolov8; the metadata's size)"
looks yolox_80 '(the outputs look like yolox)'
looks nanodet_plus '(assumed: nothing in the model says otherwise)' # not taken for YOLOX
looks scrfd_flat '(the outputs look like scrfd)'
looks nanodet_boxes_first '(the outputs look like nanodet)'
looks rtdetr_boxes_first '(the outputs look like rtdetr)'
looks rtdetr_open '(the outputs look like rtdetr; its usual size)'
detected() { # MODEL TEXT [OPTION…]: what detect says
    name=$1 wanted=$2
    shift 2
    lbw detect $name.onnx picture.png "$@" >said 2>&1 || true
    grep -qF "$wanted" said || { echo "$name: no '$wanted' in:"; cat said; status=1; }
}
detected yolov8 'dynamic input: 640x640 by its metadata or profile yolov8'
detected heads 'the outputs fit more than one detector: use --profile yolov3, yolov4, yolov5 or yolov7'
detected pose 'picture.png  0 ' # the only class: keypoints are no others
! grep -E 'picture.png  [1-9]' said || status=1
# Boxes come out where the model puts them: the middle half of an image of 64x64, class 2.
for model in dfine paddle keras_yolo3; do
    option=
    [ $model = paddle ] && option='-p ppyoloe-plus'
    [ $model = keras_yolo3 ] && option='--resize stretch'
    detected $model 'picture.png  car     0.80  16  16     32      32' $option
done
assumed dfine "; input 'orig_target_sizes': the image's size"
assumed paddle "; input 'scale_factor': 1"
assumed keras_yolo3 "(the outputs look like yolov3-boxes); input 'image_shape': the image's size"
# A folder of images has none of these inputs: they get what they get with generated ones.
mkdir images
cp picture.png images/a.png
assumed dfine "1 image, 128x64 stretch rgb, mean 0,0,0, std 255,255,255 (the outputs look like rtdetr-boxes); input 'orig_target_sizes': the image's size" --calib images
assumed paddle "input 'im_shape': the image's size; input 'scale_factor': 1" --calib images -p ppyoloe
detected paddle 'fit more than one detector: use --profile ppyoloe or ppyoloe-plus'
exit $status
