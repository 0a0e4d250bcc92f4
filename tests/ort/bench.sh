#!/bin/sh
# SPDX-License-Identifier: MIT
# lbw bench: what it prints, what its JSON holds, and what it refuses.
set -eu
PATH=$LBW_BUILD_ROOT:$PATH
lbw version | grep -q 'ONNX Runtime [0-9]' || { echo 'no ONNX Runtime found'; exit 77; }
shapes=$LBW_SOURCE_ROOT/samples/shapes/shapes.onnx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

lbw bench "$shapes" "$shapes" -n 5 >out.txt
grep -q '^5 runs of each with 1 thread, 5 runs of each with all threads, interleaved$' out.txt
[ "$(grep -c 'shapes.onnx  *[1a]' out.txt)" = 4 ]
grep -q '1\.00×   *1\.00 … 1\.00' out.txt # the first against itself

lbw bench "$shapes" "$shapes" -n 7 -t 1 --json >out.json
python3 - out.json <<'END'
import json, sys

got = json.load(open(sys.argv[1]))
(setting,) = got["settings"]
assert setting["threads"] == 1 and setting["runs"] == 7, setting
first, second = setting["models"]
assert first["speed"] == {"median": 1, "low": 1, "high": 1}, first
for model in first, second:
    spread = model["seconds"]
    assert 0 < spread["low"] <= spread["median"] <= spread["high"] < 10, model
    assert model["speed"]["low"] <= model["speed"]["median"] <= model["speed"]["high"], model
    assert 0 < model["load_seconds"] < 60 and model["first_seconds"] > 0, model
END

make_model() { "$LBW_BUILD_ROOT/tests/make_model" "$@"; }
make_model detector small.onnx
lbw bench small.onnx "$shapes" -n 1 --size 64x64 >/dev/null # only where a side is open
got=0
lbw bench "$shapes" missing.onnx -n 1 >out.txt 2>err.txt || got=$?
[ $got = 1 ] && [ ! -s out.txt ] && grep -q '^lbw: missing.onnx: ' err.txt
got=0
lbw bench "$shapes" -n 0 >out.txt 2>err.txt || got=$?
[ $got = 2 ] && [ ! -s out.txt ]
