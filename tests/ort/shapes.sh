#!/bin/sh
# SPDX-License-Identifier: MIT
# The promise of README.md, on the sample detector: by default less than a quarter of the file, with
# nearly all of the average precision; rounding alone loses a third of it or more.
set -eu
PATH=$LBW_BUILD_ROOT:$PATH
lbw version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime found'; exit 77; }
shapes=$LBW_SOURCE_ROOT/samples/shapes
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Thousandths of AP at IoU .5 of each model.
measure() {
    lbw eval "$@" -p "$shapes/profile.json" --images "$shapes/eval" --labels "$shapes/eval" \
        --json -q | sed -n 's/.*"ap50": 0*\([0-9.]*\),*$/\1/p' | awk '{ print int(1000 * $1) }'
}
lbw quantize "$shapes/shapes.onnx" -o calibrated.onnx -p "$shapes/profile.json" \
    -c "$shapes/calib" -q
lbw quantize "$shapes/shapes.onnx" -o generated.onnx -p "$shapes/profile.json" -q
lbw quantize "$shapes/shapes.onnx" -o rounded.onnx --calib none -q 2>/dev/null
set -- $(measure "$shapes/shapes.onnx" calibrated.onnx generated.onnx rounded.onnx)
echo "AP50 in thousandths: float $1, calibrated $2, generated $3, rounded $4"
[ "$2" -ge $(($1 - 40)) ]
[ "$3" -ge $(($1 - 80)) ]
[ "$4" -le $(($1 * 2 / 3)) ]
[ "$(wc -c <calibrated.onnx)" -lt $(($(wc -c <"$shapes/shapes.onnx") / 4)) ]

# What is kept is measured on samples that the fit does not see, and reported first of all.
lbw quantize "$shapes/shapes.onnx" -o kept.onnx -b 4 -p "$shapes/profile.json" -c "$shapes/calib" \
    --report kept.json >kept.txt 2>/dev/null
grep -q "^keeps [0-9]*% of the float model's boxes (.*; 4 images held back, " kept.txt
python3 - kept.json <<'EOF'
import json, sys
kept = json.load(open(sys.argv[1]))["kept"]
assert kept["samples"] == 4 and kept["boxes"] >= 10, kept
assert kept["lost"] <= 2 and kept["invented"] <= 2 and kept["outputs"][0]["snr"] > 10, kept
EOF

# As a page: the samples held back with the boxes of both models, the same bytes twice.
for page in one two; do
    lbw quantize "$shapes/shapes.onnx" -o page.onnx -b 3 -p "$shapes/profile.json" -n 16 -q \
        -c "$shapes/calib" --report $page.html
done
cmp one.html two.html
python3 - one.html <<'EOF'
import base64, sys, xml.dom.minidom
root = xml.dom.minidom.parse(sys.argv[1]).documentElement
images = root.getElementsByTagName("image")
for image in images:
    kind, data = image.getAttribute("href").split(",")
    assert kind == "data:image/jpeg;base64" and base64.b64decode(data)[:2] == b"\xff\xd8"
boxes = [r for r in root.getElementsByTagName("rect") if "box" in r.getAttribute("class").split()]
assert len(images) == 4 and len(boxes) >= 6, (len(images), len(boxes))
EOF

# The smallest file that keeps nine of ten is smaller than the default's, and does.
lbw quantize "$shapes/shapes.onnx" -o nine.onnx --keep 90% -p "$shapes/profile.json" \
    -c "$shapes/calib" --report nine.json -q 2>sure
grep -q '^lbw: --keep 90%: 9[0-9.]*% or more are kept (confidence 84%)$' sure
python3 - nine.json <<'EOF'
import json, sys
kept = json.load(open(sys.argv[1]))["kept"]
assert kept["samples"] == 16 and kept["boxes"] > 20 and kept["at_least"] >= .9, kept
assert .9 < kept["at_least"] < 1 - kept["lost"] / kept["boxes"], kept
EOF
[ "$(wc -c <nine.onnx)" -lt "$(wc -c <calibrated.onnx)" ]

# A search that finds no plan which keeps enough says how much the best one kept.
if lbw search "$shapes/shapes.onnx" --keep 100% -p "$shapes/profile.json" -i "$shapes/eval" \
    --max-images 8 --calib none -b 3 --trials 1 -o none.plan -q 2>why; then
    echo 'three bits without calibration keep everything'
    exit 1
fi
[ ! -e none.plan ]
grep -q "no trial kept 100% of the float model's boxes, the best [0-9.]*%" why

# Without boxes there is nothing to keep: nothing is written, and the reason is said.
if lbw quantize "$shapes/shapes.onnx" -o none.onnx --keep 90% -b 4 -c "$shapes/calib" -n 4 -q \
    -p "$shapes/profile.json" 2>why; then
    exit 1
fi
grep -q -e '--keep: needs --bits auto' why
[ ! -e none.onnx ]

# Names are bytes, and some are no UTF-8: they are in JSON and in drawings all the same.
odd=$(printf 'mod\351l.onnx')
cp rounded.onnx "$odd"
lbw eval "$odd" -p "$shapes/profile.json" --images "$shapes/eval" --labels "$shapes/eval" -n 2 \
    --json -q | grep -q -F '"model": "mod\uFFFDl.onnx"'
picture=$(find "$shapes/eval" -name '*.png' -o -name '*.jpg' | sort | head -n 1)
cp "$picture" "$(printf 'caf\351.png')"
lbw detect "$odd" "$(printf 'caf\351.png')" -p "$shapes/profile.json" --score .01 -o drawn.png --json |
    grep -q -F '"image": "caf\uFFFD.png"'
[ -s drawn.png ]

# On a terminal of 80 columns a path loses its folders, not the name.
if command -v script >/dev/null; then
    script -qec "lbw eval $PWD/rounded.onnx -p $shapes/profile.json -i $shapes/eval -n 1 -q \
        -r $shapes/shapes.onnx" /dev/null </dev/null | grep -q -E '^(…/)?rounded.onnx '
fi

# Training tells how far the boxes agree with the float model's: with two terms, nearly all.
lbw tune "$shapes/shapes.onnx" -o tuned.onnx -b 4x2 -p "$shapes/profile.json" -c "$shapes/calib" \
    --taps 4 --steps 2 --log steps.csv --checkpoint steps.state --report tuned.html -q
grep -q "samples of $shapes/calib" tuned.html # what it was calibrated with
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "agreement") at = i }
    END { exit !(at && $at > .8 && $at <= 1) }' steps.csv
# Done already: the checkpoint alone gives the same bytes.
cut -d, -f1-7 steps.csv >before.csv
lbw tune "$shapes/shapes.onnx" -o again.onnx -b 4x2 -p "$shapes/profile.json" \
    -c "$shapes/calib" --taps 4 --steps 2 --log steps.csv --checkpoint steps.state \
    >/dev/null 2>said
cmp tuned.onnx again.onnx
grep -q ' and at 4 intermediate layers' said
# The log goes on, too: no step is missing, none is there twice.
cut -d, -f1-7 steps.csv | cmp - before.csv
[ "$(wc -l <steps.csv)" = 4 ]
