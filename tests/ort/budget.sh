#!/bin/sh
# SPDX-License-Identifier: MIT
# --bits auto on the sample: budgets are kept, more bytes never predict more loss, rules and plan
# files come first, the same input gives the same plan. exit 77: no runtime.
set -eu
lbw() { "$LBW_BUILD_ROOT/lbw" "$@"; }
lbw version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime found'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
shapes=$LBW_SOURCE_ROOT/samples/shapes
fail() {
    echo "$*"
    exit 1
}
plan() { # plan OUT OPTION…: prints bits and loss
    out=$1
    shift
    lbw plan "$shapes/shapes.onnx" -p "$shapes/profile.json" -c "$shapes/calib" -n 8 "$@" \
        >"$out" 2>summary || fail "plan $*: $(cat summary)"
    sed -n 's/^\([0-9.]*\) bits per weight; predicted loss \([0-9.]*\) of.*/\1 \2/p' summary
}

before=1000000
for bits in 3.4 3.8 4.2 4.8 5.6; do
    got=$(plan "$bits.plan" --bpw $bits)
    echo "$bits: $got"
    echo "$got $bits $before" | awk '{ exit !($1 <= $3 && $1 > $3 - .2 && $2 < $4) }' ||
        fail "--bpw $bits: $got, loss $before with less"
    before=${got#* }
done
plan again.plan --bpw 3.8 >/dev/null
cmp 3.8.plan again.plan || fail 'two runs differ'

# the default is between plain 4 bits and two terms everywhere
default=$(plan default.plan)
echo "default: $default"
echo "$default" | awk '{ exit !($1 > 2.5 && $1 < 5.4 && $2 <= 1 && $2 > .7) }' || fail "$default"

# rules and plan files come first
plan ruled.plan --bits auto --bits 'head8/box=6' --bpw 4 --all >/dev/null
grep -q '^6 .*head8/box' ruled.plan || fail 'a rule was overridden'
sed 's/^4x2 /5   /' 3.8.plan >edited.plan
grep -q '^5 ' edited.plan || fail 'nothing to edit'
plan kept.plan --plan edited.plan >/dev/null
[ "$(grep -c '^5 ' kept.plan)" = "$(grep -c '^5 ' edited.plan)" ] || fail 'a plan file was overridden'

# what is planned is what quantize chooses by itself, samples held back included
plan planned.plan --bpw 4 --json >/dev/null
lbw quantize "$shapes/shapes.onnx" -o out.onnx -p "$shapes/profile.json" -c "$shapes/calib" -n 8 \
    --bpw 4 --json >report 2>/dev/null
for file in planned.plan report; do
    python3 - "$file" >"$file.grids" <<'EOF'
import json, sys
for weight in json.load(open(sys.argv[1]))["weights"]:
    print(weight["tensor"], weight.get("grid") or "-")
EOF
done
[ -s report.grids ] || fail 'no weights in the report'
cmp planned.plan.grids report.grids || fail 'quantize chose other grids than plan'

# what cannot be is said, with the least that can
if lbw plan "$shapes/shapes.onnx" -c "$shapes/calib" -n 2 --bpw 1 2>err; then
    fail 'one bit per weight'
fi
grep -q 'no plan has 1.00 bits per weight; the least is 2\.' err || fail "$(cat err)"
if lbw plan "$shapes/shapes.onnx" -b 4 --bpw 4 2>err; then
    fail '--bpw without auto'
fi
grep -q -e '--bpw needs --bits auto' err || fail "$(cat err)"

# converted, it loads and the file meets the size asked for
lbw quantize "$shapes/shapes.onnx" -o out.onnx -p "$shapes/profile.json" -c "$shapes/calib" -n 8 \
    --target-size 230K -q
[ "$(wc -c <out.onnx)" -le 235520 ] || fail "$(wc -c <out.onnx) bytes"
lbw compare out.onnx "$shapes/shapes.onnx" -n 1 >/dev/null

# also where most of a file are names and functions; what no encoding but packed reaches is said
"$LBW_BUILD_ROOT/tests/make_model" detector detector.onnx
for size in 11000 12000 12500; do
    lbw quantize detector.onnx -o out.onnx --all -c generated:4 --target-size $size -q
    [ "$(wc -c <out.onnx)" -le $size ] || fail "$(wc -c <out.onnx) bytes, not $size"
done
code=0
lbw quantize detector.onnx -o out.onnx --all -c generated:4 --target-size 12000 --encoding dq -q \
    2>err || code=$?
[ $code = 3 ] || fail "exit status $code, $(wc -c <out.onnx) bytes"
grep -q -e '--target-size 12000 was not reached: the model has [0-9]* bytes' err || fail "$(cat err)"

# a search tries the plan by gradients before all others, and it beats plain 4 bits at their size
lbw search "$shapes/shapes.onnx" -p "$shapes/profile.json" --images "$shapes/eval" \
    -c "$shapes/calib" -n 8 --trials 2 -o found.plan >found 2>&1 || fail "$(cat found)"
grep -q '^#  2 .*bits by gradients  (best so far)$' found.plan || fail "$(head -5 found.plan)"
judged=$(sed -n 's/^#  2  AP \([0-9.]*\) .*/\1/p' found.plan)

# a conversion by its plan gives the model that it judged: both hold the same samples back
lbw quantize "$shapes/shapes.onnx" -p "$shapes/profile.json" -c "$shapes/calib" -n 8 \
    --plan found.plan -o found.onnx -q
lbw eval found.onnx --reference "$shapes/shapes.onnx" -p "$shapes/profile.json" \
    --images "$shapes/eval" --json -q >found.json
python3 - found.json "$judged" <<'END' || fail "judged $judged, $(cat found.json)"
import json, sys
found = json.load(open(sys.argv[1]))["models"][0]["agreement"]["ap"]
sys.exit(abs(found - float(sys.argv[2])) > 1e-4)
END
