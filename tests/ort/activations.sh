#!/bin/sh
# SPDX-License-Identifier: MIT
# 8-bit activations end to end: encodings agree, weights keep their digest, plans come back.
set -eu
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
lbw version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime found'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
make_model detector model.onnx
fail() { echo "$1"; exit 1; }
quantize() { lbw quantize model.onnx --activations int8 --calib generated:2 -q "$@"; }

quantize -o packed.onnx -b 4x2 --report report.json
quantize -o dq.onnx -b 4x2 --encoding dq
quantize -o inline.onnx -b 4x2 --inline
for other in dq inline; do
    lbw compare packed.onnx $other.onnx --rtol 1e-5 --json >/dev/null ||
        fail "$other differs from packed"
done
grep -q '"type": "int8"' report.json || fail 'the report lists no activation of 8 bits'
grep -Eq '"cost": [0-9]' report.json || fail 'no activation was weighed at the outputs'

lbw quantize model.onnx -o a.onnx -b 4x2 --activations int8 --calib generated:2 >talk 2>&1
grep -Eq 'predicted loss of rounding activations: [0-9]+\.[0-9]' talk || fail 'the predicted loss is missing'

# Ranges by squares are others; the power is refused where nothing is rounded.
quantize -o squares.onnx -b 4x2 --range-power 2 --report squares.json
quantize -o fourths.onnx -b 4x2 --range-power 4
cmp packed.onnx fourths.onnx
! cmp -s packed.onnx squares.onnx || fail '--range-power 2 changes nothing'
if lbw quantize model.onnx -o no.onnx --range-power 2 --calib none 2>talk; then fail 'accepted'; fi
grep -q 'range-power needs --activations int8' talk

# From one encoding to the others, weights and roundings stay.
digest=$(lbw inspect --digest packed.onnx | cut -d' ' -f1)
lbw convert packed.onnx -o a.onnx --encoding dq -q
lbw convert a.onnx -o b.onnx --encoding packed --inline -q
lbw convert b.onnx -o c.onnx --encoding packed -q
lbw compare packed.onnx c.onnx --rtol 1e-5 --json >/dev/null || fail 'converted differs'
for model in a b c dq inline; do
    [ "$(lbw inspect --digest $model.onnx | cut -d' ' -f1)" = "$digest" ] ||
        fail "$model has another digest"
done

# Expanded, nothing is rounded any more, and it says so.
lbw expand packed.onnx -o expanded.onnx 2>talk
grep -q '8-bit activations are float again' talk || fail 'expand says nothing'
! grep -q QuantizeLinear expanded.onnx || fail 'expanded is not float'
[ "$(lbw inspect --digest expanded.onnx | cut -d' ' -f1)" = "$digest" ] || fail 'digest lost'

# A channel without weights to speak of has a bias that its own step cannot count: the layer
# runs on integers all the same. A plan keeps all activations at 8 bits, whatever they cost.
make_model dying dying.onnx
lbw plan dying.onnx -b 4 --activations int8 2>/dev/null | sed 's/^int8  auto auto/int8  -3 5/' >dying
quantize_dying() {
    lbw quantize dying.onnx --activations int8 --calib generated:2 -q -b 4 --plan dying "$@"
}
quantize_dying -o dying-packed.onnx
quantize_dying -o dying-native.onnx --encoding native
[ "$(grep -ao QConvRelu dying-native.onnx | wc -l)" = 3 ] || # two calls and the function
    fail 'a dead channel keeps its layer from integers'
lbw compare dying-packed.onnx dying-native.onnx --rtol 1e-5 --json >/dev/null ||
    fail 'dead channel: native differs from packed'

# A plan is given back, edited; the same options give the same bytes.
lbw plan model.onnx -b 4x2 --activations int8 >plan 2>/dev/null
grep -q '^int8  auto auto' plan || fail 'the plan lists no activation'
quantize -o again.onnx -b 4x2 --plan plan
cmp packed.onnx again.onnx
sed 's/^int8  auto auto \([^ ]*\) Conv/float auto auto \1 Conv/' plan >edited
quantize -o edited.onnx -b 4x2 --plan edited --report edited.json
grep -q '"reason": "float by the plan file"' edited.json || fail 'the edited plan is not obeyed'

# A scale per channel, where nothing adds channels up; the same numbers from kernels.
groups() { sed -n '/"activations"/,$p' "$1" | grep -c '"group": "channel"'; }
sed -E 's,^int8  auto auto (stem.relu_out|depthwise_out) ,int8/channel auto auto \1 ,' plan >channels
quantize -o channels.onnx -b 4x2 --plan channels --report channels.json
[ "$(groups channels.json)" = 2 ] || fail 'no scales per channel'
lbw convert channels.onnx -o channels-native.onnx --encoding native -q
for op in QCConvRelu QCConvSigmoid; do
    grep -aq $op channels-native.onnx || fail "no $op"
done
for native in '' --no-native; do
    lbw compare channels.onnx channels-native.onnx $native --rtol .05 >/dev/null ||
        fail "channels: native differs from packed, ${native:-with the library}"
done
lbw expand channels.onnx -o a.onnx -q
# back and forth: as many calls as before
for file in channels-native dying-native; do
    lbw convert $file.onnx -o there.onnx --encoding packed -q
    lbw convert there.onnx -o back.onnx --encoding native -q
    [ "$(grep -ao 'Q[C]*Conv[A-Z]' back.onnx | wc -l)" = \
        "$(grep -ao 'Q[C]*Conv[A-Z]' $file.onnx | wc -l)" ] || fail "$file: calls are lost"
done
lbw expand channels-native.onnx -o b.onnx -q
! grep -Eaq 'QuantizeLinear|Div' a.onnx || fail 'channels: expanded is not float'
lbw compare a.onnx b.onnx --rtol 1e-6 >/dev/null || fail 'channels: expanded differs'
json='{"weights": [], "activations": [{"type": "int8", "group": "channel", "tensor": '
echo "$json"'"stem.relu_out"}]}' >channels
quantize -o channels.onnx -b 4x2 --plan channels --report channels.json
[ "$(groups channels.json)" = 1 ] || fail 'JSON: no scale per channel'
quantize -o native.onnx -b 4x2 --encoding native --report native.json
[ "$(groups native.json)" -ge 1 ] || fail 'native: no scales per channel'

# Signed for TensorRT, whose biases are float.
quantize -o signed.onnx -b 4 --target tensorrt
lbw compare model.onnx signed.onnx >/dev/null || [ $? = 3 ]

# Training sees float activations: the weights are those trained without the option, and ranges
# are fitted to them.
for activations in float int8; do
    lbw tune model.onnx --calib generated:6 --steps 3 -b 4x2 -q --activations $activations \
        -o tuned-$activations.onnx --report tuned-$activations.json
done
[ "$(lbw inspect --digest tuned-float.onnx | cut -d' ' -f1)" = \
    "$(lbw inspect --digest tuned-int8.onnx | cut -d' ' -f1)" ] || fail 'tune: other weights'
grep -q '"type": "int8"' tuned-int8.json || fail 'tune: no activation of 8 bits'
grep -q '"how": "training"' tuned-int8.json || fail 'tune: nothing was trained'
grep -aq QuantizeLinear tuned-int8.onnx || fail 'tune: nothing is rounded'
lbw expand tuned-int8.onnx -o a.onnx -q
lbw expand tuned-float.onnx -o b.onnx -q
lbw compare a.onnx b.onnx --rtol 1e-3 --json >/dev/null || fail "tune: expanded differs"

# A search tests what quantize makes of its plan.
shapes=$LBW_SOURCE_ROOT/samples/shapes
common="-p $shapes/profile.json --calib $shapes/calib -n 6 --activations int8"
lbw search "$shapes/shapes.onnx" $common --images "$shapes/eval" --max-images 4 --trials 1 \
    --bits 4 -q -o found
lbw quantize "$shapes/shapes.onnx" $common --plan found -o found.onnx -q
grep -q "now; $(wc -c <found.onnx) bytes of" found || fail 'search: another file was tested'
grep -q '^int8  auto auto' found || fail 'search: the plan lists no activation'
if lbw search "$shapes/shapes.onnx" $common --images "$shapes/eval" --grids 4,5 -q -o no 2>talk; then
    fail 'search: grid 5 accepted'
fi
grep -q 'int8 cannot hold grid 5' talk

# Without a power, the one stays with which the boxes agree better: as if it had been given.
shaped() { lbw quantize "$shapes/shapes.onnx" -p "$shapes/profile.json" -c "$shapes/calib" -b 2 \
    --activations int8 "$@" 2>/dev/null; }
shaped -o chosen.onnx --report chosen.json >talk
set -- $(tr -d '\n' <chosen.json | sed -n \
    's/.*"ranges": {[^}]*"power": \([24]\).*"4": \([0-9.]*\),.*"2": \([0-9.]*\).*/\1 \2 \3/p')
[ $# = 3 ] || fail 'no choice between ranges'
best=$(echo "$2 $3" | awk '{ print (($2 > $1) ? 2 : 4) }')
[ "$1" = "$best" ] || fail "ranges by $1, agreements $2 and $3"
grep -q "^  ranges by .* of errors: agreement with the float model's boxes 0\.[0-9]*, by" talk ||
    fail 'the choice is not reported'
shaped -o given.onnx -q --range-power "$1"
cmp chosen.onnx given.onnx

# What cannot be is refused, and nothing is written.
refuse() {
    if quantize -o refused.onnx "$@" 2>talk; then fail "accepted: $*"; fi
    [ ! -e refused.onnx ] || fail "written: $*"
}
refuse -b 5
grep -q 'int8 cannot hold grid 5' talk
refuse -b 4 --calib none
grep -q 'needs calibration' talk
refuse -b 4 --encoding float
refuse -b 4 --float-activations '['
echo 'int8/channel auto auto pointwise.relu_out' >channels
refuse -b 4 --plan channels
grep -q 'cannot have a scale per channel' talk
echo 'int8/channel -1 1 stem.relu_out' >channels
refuse -b 4 --plan channels
grep -q 'scales per channel are fitted' talk
echo 'int8/channel auto auto stem.relu_out' >channels
refuse -b 4 --plan channels --target tensorrt
grep -q 'tensorrt' talk
