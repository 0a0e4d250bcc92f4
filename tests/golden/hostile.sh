# SPDX-License-Identifier: MIT
# Names that a terminal would obey, and that would be lines of a plan of their own: whatever is printed
# is harmless, and the plan that is printed is the plan that is followed.
export LC_ALL=C.UTF-8
make_model hostile model.onnx
# NUL to US but for line breaks, DEL, C1, turns of direction, and what is not UTF-8
check() {
    iconv -f UTF-8 -t UTF-8 "$2" >/dev/null || echo "$1: not UTF-8"
    sed 's/\xc2\xa0//g' "$2" | LC_ALL=C tr -d '\n' |
        LC_ALL=C grep -c -e "$(printf '[\001-\037\177]')" -e "$(printf '\302[\200-\237]')" \
            -e "$(printf '\342\200[\216\217\250-\256]')" -e "$(printf '\342\201[\246-\251]')" |
        grep -qx 0 || echo "$1: harmful"
}
n=0
show() {
    n=$((n + 1))
    "$@" >out 2>err
    echo "exit $? from: $*"
    check "$n: stdout" out
    check "$n: stderr" err
}
show lbw inspect model.onnx
show lbw inspect --json model.onnx
show lbw plan --bits 4 model.onnx
grep -c '^[^#]' out
cp out model.plan
show lbw plan --bits 4 --all model.onnx
show lbw plan --bits 4 --json model.onnx
cat err
show lbw quantize model.onnx -o out.onnx --calib none --layers --all
show lbw quantize model.onnx -o out.onnx --calib none --json --plan model.plan
show lbw quantize model.onnx -o out.onnx --calib none -b w=4x2
show lbw plan --bits 4 --plan model.plan model.onnx
cmp out model.plan
show lbw expand out.onnx -o plain.onnx
show lbw convert out.onnx -e dq -o dq.onnx
show lbw eval -i . model.onnx
show lbw detect model.onnx model.onnx
