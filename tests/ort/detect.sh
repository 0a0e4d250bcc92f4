#!/bin/sh
# SPDX-License-Identifier: MIT
# lbw detect on the sample detector: which images it takes, where drawings may go, what it says
# of failures. No drawing replaces an image or another drawing.
set -eu
PATH=$LBW_BUILD_ROOT:$PATH
lbw version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime found'; exit 77; }
shapes=$LBW_SOURCE_ROOT/samples/shapes
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

detect() {
    lbw detect "$shapes/shapes.onnx" -p "$shapes/profile.json" "$@" >out.txt 2>err.txt
}
# Exit code and a part of the complaint; nothing may be changed.
refuse() {
    code=$1 words=$2
    shift 2
    find . -name '*.png' -o -name '*.jpg' | sort | xargs cksum >before
    got=0
    detect "$@" || got=$?
    find . -name '*.png' -o -name '*.jpg' | sort | xargs cksum >after
    if [ $got != "$code" ] || ! grep -qF -e "$words" err.txt || ! cmp -s before after; then
        echo "$*: exit $got, expected $code; '$words'; $(cat err.txt)"
        exit 1
    fi
}
set -- "$shapes"/eval/*.jpg
mkdir d1 d2 none
cp "$1" d1/x.png
cp "$2" d2/x.png
cp "$2" d2/y.png
cp d1/x.png d1/UP.PNG
ln d1/x.png hard.png
ln -s d2/y.png soft.png

refuse 1 'd1/x.png: the drawing would replace d1/x.png' d1/x.png -o d1
refuse 1 './/d1/x.png: the drawing would replace' d1/x.png -o .//d1/x.png
refuse 1 'hard.png: the drawing would replace d1/x.png' d1/x.png -o hard.png
refuse 1 'soft.png: the drawing would replace d2/y.png' d2/y.png -o soft.png
cp "$LBW_SOURCE_ROOT"/samples/shapes/shapes.onnx model.png
if lbw detect model.png d1/x.png -p "$LBW_SOURCE_ROOT"/samples/shapes/profile.json -o model.png 2>err.txt; then
    exit 1
fi
grep -q 'model.png: the drawing would replace model.png' err.txt
detect - -o - <d1/x.png && [ "$(head -c 4 out.txt | tail -c 3)" = PNG ]
mkdir into
refuse 2 'into/x.png would be the drawing of d1/x.png and of d2/x.png' d1/x.png d2/x.png -o into
refuse 2 'several images need a folder' d1/x.png d2/x.png -o all.png
refuse 2 "'z.jpg': drawings are PNG" d1/x.png -o z.jpg
refuse 1 'nodir/: no such folder' d1/x.png d2/y.png -o nodir/
refuse 1 'nodir/: no such folder' d1/x.png -o nodir/
refuse 2 'go to standard output' d1/x.png -o - --json
refuse 2 'none: no .jpg, .jpeg or .png file' none

# What cannot be drawn ends it before it begins; images that cannot be read are named, the
# others go on.
mkdir -p into/x.png
detect d2/y.png d1/x.png -o into && exit 1
grep -q 'into/x.png: cannot write' err.txt
rmdir into/x.png
[ -z "$(ls into)" ]
echo broken >d2/broken.png
detect d2 d1/UP.PNG --score .3
grep -q 'd2/broken.png' err.txt
grep -q '^d2/x.png' out.txt
grep -q '^d2/y.png' out.txt
grep -q '^d1/UP.PNG' out.txt
detect d2 -o into/
[ -s into/x.png ] && [ -s into/y.png ]
detect d1/x.png -o into/one.PNG
[ -s into/one.PNG ]
detect d1/x.png -o /dev/null

# 0 is a number like others: every score, no overlap left.
detect d1/x.png --score 0 --nms 1 --json
all=$(grep -c '"box"' out.txt)
detect d1/x.png --score 0 --nms 0 --json
[ "$(grep -c '"box"' out.txt)" -lt "$all" ]
[ "$all" = 100 ] # the most that are kept
detect d1/x.png --score 1
[ "$(cat out.txt)" = 'no boxes with a score of at least 1' ]
detect d1/x.png --score 1 --json
[ "$(cat out.txt)" = '[]' ]
i=0
set --
while [ $i -lt 1001 ]; do
    set -- "$@" absent.png
    i=$((i + 1))
done
refuse 1 'absent.png: ' "$@"
