#!/bin/sh
# SPDX-License-Identifier: MIT
# --report FILE.html: well-formed, without references, names escaped, the same bytes twice; for one
# layer and for many.
set -eu
make_model=$LBW_BUILD_ROOT/tests/make_model
lbw() { "$LBW_BUILD_ROOT/lbw" "$@"; }
python=${LBW_PYTHON:-python3}
"$python" -c 'import xml.dom.minidom, html.parser' 2>/dev/null || { echo 'no Python'; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
page() { # page NAME MODEL OPTION…
    name=$1 model=$2
    shift 2
    lbw quantize "$model" -o out.onnx --calib none -q "$@" --report "$name.html" 2>/dev/null
    lbw quantize "$model" -o out.onnx --calib none -q "$@" --report again.html 2>/dev/null
    cmp "$name.html" again.html
}
"$make_model" hostile plain.onnx
cp plain.onnx "$(printf 'a<b>&"\001.onnx')"
page hostile "$(printf 'a<b>&"\001.onnx')" --all
"$make_model" detector model.onnx
page several model.onnx --bits 4
"$make_model" wide one.onnx
page one one.onnx --all --bits 4
"$python" - many.onnx <<'END' # a chain of 300 layers, put together byte by byte
import struct, sys
def number(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])
def field(key, value):
    if isinstance(value, int):
        return number(key << 3) + number(value)
    value = value.encode() if isinstance(value, str) else value
    return number(key << 3 | 2) + number(len(value)) + value
graph = b""
for i in range(300):
    node = field(1, f"t{i}") + field(1, f"w{i}") + field(2, f"t{i + 1}")
    graph += field(1, node + field(3, f"layer {i}") + field(4, "Conv"))
    raw = b"".join(struct.pack("<f", (k * 37 + i) % 101 / 50 - 1) for k in range(8 * 8))
    dims = field(1, 8) + field(1, 8) + field(1, 1) + field(1, 1)
    graph += field(5, dims + field(2, 1) + field(8, f"w{i}") + field(9, raw))
graph += field(2, "g") + field(11, field(1, "t0")) + field(12, field(1, "t300"))
open(sys.argv[1], "wb").write(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
END
page many many.onnx --all --bits 4
page shapes "$LBW_SOURCE_ROOT/samples/shapes/shapes.onnx" --bits 4
lbw quantize model.onnx -o out.onnx --calib none -q --report report.json 2>/dev/null
head -c 1 report.json | grep -q '{' # other names stay JSON
"$python" - hostile.html several.html one.html many.html shapes.html <<'END'
import html.parser, re, sys, xml.dom.minidom
for path in sys.argv[1:]:
    text = open(path, encoding="utf-8", newline="").read()
    root = xml.dom.minidom.parseString(text.encode()).documentElement
    parser = html.parser.HTMLParser()
    parser.feed(text)
    parser.close()
    assert not re.search(r"<script|<link|@import|url\(|src=|href=\"(?!data:)|http", text), path
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]", text), path
    rows = len(root.getElementsByTagName("tr")) - 1
    strip = root.getElementsByTagName("svg")[0]
    assert rows >= 1 and len(strip.getElementsByTagName("g")) == rows, path
    assert root.getElementsByTagName("h1")[0].firstChild.data.endswith(".onnx"), path
    if path == "hostile.html":
        assert root.getElementsByTagName("h1")[0].firstChild.data == 'a<b>&"?.onnx'
    if path == "many.html":
        assert rows == 300
    print(path, rows)
END
