. /work/wt/env.sh; cd /tmp/auto6; L=${L:-/tmp/auto6/final/lbw}
exec 9>/tmp/timed.lock; flock 9
for d in yolox_nano fastestdet; do for i in 1 2; do for o in "--bits 4" "--bits auto"; do
/usr/bin/env bash -c "TIMEFORMAT='$d $o real %R user %U sys %S'; time $L quantize $LBW_ASSETS/models/$d.onnx -o y.onnx -q $o --calib $LBW_ASSETS/coco/calib >/dev/null 2>&1"; done; done; done
