#!/bin/sh
# SPDX-License-Identifier: MIT
# Rooms of src/ include each other one way only; docs/architecture.md draws them.
set -eu
cd "$LBW_SOURCE_ROOT/src"

# What a room may include beside itself; "lbw" is the public API.
allowed() {
    case $1 in
    base) echo 'lbw/base.h' ;;
    num) echo 'base/ lbw/base.h lbw/grid.h' ;;
    onnx) echo 'base/ lbw/base.h lbw/model.h' ;;
    pass) echo 'base/ num/ onnx/ lbw/' ;;
    kernels) echo 'base/ lbw/base.h' ;;
    grad) echo 'base/ onnx/ lbw/' ;;
    feed) echo 'base/ onnx/ lbw/' ;;
    run) echo 'base/ onnx/ feed/array.h lbw/' ;;
    detect) echo 'base/ onnx/ feed/ run/ lbw/' ;;
    calib) echo 'base/ onnx/ grad/ feed/ run/ detect/ pass/activations.h lbw/' ;;
    eval) echo 'base/ onnx/ feed/ run/ detect/ lbw/' ;;
    page) echo 'base/ lbw/' ;;
    search) echo 'base/ num/ onnx/ pass/ grad/ feed/ run/ detect/ calib/ eval/ train/ lbw/' ;;
    train) echo 'base/ num/ onnx/ pass/ grad/ feed/ run/ detect/ calib/ eval/ lbw/' ;;
    cli) echo 'lbw/' ;;
    esac
}

failed=0
list=$(mktemp)
trap 'rm -f "$list"' EXIT
for room in */; do
    room=${room%/}
    may=$(allowed "$room")
    [ -n "$may" ] || { echo "src/$room: not in tests/abi/layers.sh"; failed=1; }
    grep -Hno '#include [<"]\(lbw\|[a-z]*\)/[a-z_0-9]*\.h[>"]' -r "$room" --include='*.[ch]' |
        sed 's/#include [<"]//; s/[>"]$//' >"$list" || true
    while IFS=: read -r file line header; do
        case $header in sys/* | arpa/* | netinet/* | linux/* | nettle/* | "$room"/*) continue ;; esac
        ok=
        for prefix in $may; do
            case $header in "$prefix"*) ok=1 ;; esac
        done
        [ -n "$ok" ] || { echo "src/$file:$line: src/$room must not include $header"; failed=1; }
    done <"$list"
done
exit $failed
