#!/bin/sh
# SPDX-License-Identifier: MIT
# The library exports what the public headers declare, and nothing else.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nm -D --defined-only "$LBW_BUILD_ROOT/src/liblbw.so" | awk '$2 != "A" { print $3 }' |
    sort >"$work/exported"
cat "$LBW_SOURCE_ROOT"/include/lbw/*.h | tr '\n' ' ' | grep -o 'LBW_API [^;{]*(' |
    grep -o 'lbw_[a-z0-9_]*(' | tr -d '(' | sort -u >"$work/declared"
diff "$work/declared" "$work/exported" || {
    echo '< declared in include/lbw only, > exported only'
    exit 1
}
