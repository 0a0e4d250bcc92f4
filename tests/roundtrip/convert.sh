#!/bin/sh
# SPDX-License-Identifier: MIT
# All pairs of encodings: the same digest everywhere, the same bytes on every way back.
set -eu
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
make_model detector model.onnx
failed=0

die() {
    echo "$*"
    failed=1
}

digest() {
    lbw inspect --digest "$1" | cut -d' ' -f1
}

flags() {
    case $1 in
    inline) echo --inline ;;
    int*) echo "-e dq --target any --opset ${1#int}" ;;
    *) echo "-e $1" ;;
    esac
}

# pairs GRID OPTIONS: every pair of encodings, from one conversion with these options
pairs() {
    grid=$1
    shift
    lbw quantize model.onnx -o first.onnx -b "$grid" --all --calib none -q "$@" 2>/dev/null
    wanted=$(digest first.onnx)
    [ ${#wanted} = 32 ] || die "digest '$wanted'"
    [ "$wanted" != "$(digest model.onnx)" ] || die "$grid: the digest says nothing"
    for to in packed inline dq float; do
        lbw convert first.onnx -o $to.onnx $(flags $to) -q
    done
    cmp first.onnx packed.onnx || die "$grid: packed again is not the same file"
    for from in packed inline dq float; do
        [ "$(digest $from.onnx)" = "$wanted" ] || die "$grid: digest of $from"
        for to in packed inline dq float; do
            lbw convert $from.onnx -o other.onnx $(flags $to) -q
            [ "$(digest other.onnx)" = "$wanted" ] || die "$grid: digest of $from to $to"
            # floats do not say which of two steps they were made with, dq not of which grid
            case $from-$to in
            float-packed | float-inline | float-dq) continue ;;
            esac
            cmp -s other.onnx $to.onnx || die "$grid $*: $from to $to is not $to"
        done
        lbw convert other.onnx -o again.onnx $(flags float) -q
        cmp again.onnx other.onnx || die "$grid: float again is not the same file"
    done
}

for grid in 2 5 6 4x2d2; do
    pairs $grid
done
pairs 4 --group tensor
pairs 5 --scale pow2

# Carriers of later opsets decode to the same bits, and come back to the same packed file.
for case in 2:25:int2 2:21:int4 3:21:int4 4:21:int8 4:23:float4_e2m1fn 5:19:float8_e4m3fn \
    6:21:float8_e4m3fn; do
    grid=${case%%:*} type=${case##*:}
    opset=${case#*:} opset=${opset%:*}
    lbw quantize model.onnx -o first.onnx -b $grid --all --calib none -q --opset $opset \
        2>/dev/null
    lbw convert first.onnx -o dq.onnx -e dq --target any -q
    lbw inspect dq.onnx | grep -q " dq $type" || die "$case: no $type"
    [ "$(digest dq.onnx)" = "$(digest first.onnx)" ] || die "$case: digest"
    lbw convert dq.onnx -o back.onnx -q
    cmp back.onnx first.onnx || die "$case: packed again is not the same file"
    for target in ort tensorrt openvino; do
        lbw convert first.onnx -o other.onnx -e dq --target $target -q
        [ "$(digest other.onnx)" = "$(digest first.onnx)" ] || die "$case: $target"
        lbw inspect other.onnx | grep -q ' dq float4' && die "$target does not take float4"
    done
    lbw inspect other.onnx | grep -q ' dq int2' && die "openvino does not take int2"
done
lbw convert packed.onnx -o lifted.onnx -e dq --opset 21 -q
[ "$(digest lifted.onnx)" = "$(digest packed.onnx)" ] || die 'digest of a lifted model'

# What is on no grid stays as it is.
lbw convert model.onnx -o plain.onnx | grep -q '^plain.onnx: 0 weights' || die 'float model'
[ "$(digest plain.onnx)" = "$(digest model.onnx)" ] || die 'digest of a float model'

# Where a model keeps its values makes no difference to the plan.
shapes=$LBW_SOURCE_ROOT/samples/shapes/shapes.onnx
lbw convert "$shapes" -o beside.onnx -e float --external beside.data --external-threshold 1 -q
lbw plan --bits 4 "$shapes" >inside.plan 2>/dev/null
lbw plan --bits 4 beside.onnx >beside.plan 2>/dev/null
cmp inside.plan beside.plan || die 'plan of external data'
exit $failed
