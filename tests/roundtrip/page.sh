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
page shapes "$LBW_SOURCE_ROOT/samples/shapes/shapes.onnx" --bits 4
lbw quantize model.onnx -o out.onnx --calib none -q --report report.json 2>/dev/null
head -c 1 report.json | grep -q '{' # other names stay JSON
"$python" - hostile.html several.html one.html shapes.html <<'END'
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
    print(path, rows)
END
