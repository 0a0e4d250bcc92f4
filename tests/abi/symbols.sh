#!/bin/sh
# SPDX-License-Identifier: MIT
# The library exports what the public headers declare and src/lbw.map lists, under the version that
# the list says, and nothing else. Every function that can fail has to be looked at.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
headers=$LBW_SOURCE_ROOT/include/lbw
nm -D --defined-only "$LBW_BUILD_ROOT/src/liblbw.so" | awk '$2 != "A" { print $3 }' |
    sed 's/@@*/ /' | sort >"$work/exported"
awk '/^LBW_/ { version = $1 } /^ *lbw_[a-z0-9_]*;$/ { sub(";", ""); print $1, version }' \
    "$LBW_SOURCE_ROOT/src/lbw.map" | sort >"$work/listed"
diff "$work/listed" "$work/exported" || {
    echo '< listed in src/lbw.map only, > exported only'
    exit 1
}
cat "$headers"/*.h | tr '\n' ' ' | grep -o 'LBW_API [^;{]*(' |
    grep -o 'lbw_[a-z0-9_]*(' | tr -d '(' | sort -u >"$work/declared"
cut -d ' ' -f 1 "$work/exported" | diff "$work/declared" - || {
    echo '< declared in include/lbw only, > exported only'
    exit 1
}
cat "$headers"/*.h | tr '\n' ' ' | grep -o '[A-Z_]* LBW_API enum lbw_status [a-z0-9_]*(' |
    grep -v '^LBW_NODISCARD ' && {
    echo 'a status that callers may forget to look at: LBW_NODISCARD is missing'
    exit 1
}
# The soname and lbw_version() follow include/lbw/version.h.
number() { sed -n "s/^#define LBW_VERSION_$1 //p" "$headers/version.h"; }
major=$(number MAJOR) minor=$(number MINOR) patch=$(number PATCH)
[ "$major" != 0 ] && expected=liblbw.so.$major || expected=liblbw.so.0.$minor
soname=$(readelf -d "$LBW_BUILD_ROOT/src/liblbw.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = "$expected" ] || { echo "soname $soname, expected $expected"; exit 1; }
"$LBW_BUILD_ROOT/lbw" version | grep -q "\b$major\.$minor\.$patch\b" || {
    echo "lbw version is not $major.$minor.$patch"
    exit 1
}
# The program and the library share no name: where both are linked statically, as in the Python
# package, one would silently take the place of the other.
linked() { nm --defined-only "$@" 2>/dev/null | awk '$2 ~ /^[TDRB]$/ { print $3 }' | sort -u; }
linked "$LBW_BUILD_ROOT"/lbw.p/*.o >"$work/program"
linked "$LBW_BUILD_ROOT/src/liblbw_internal.a" >"$work/library"
[ -s "$work/program" ] && [ -s "$work/library" ] || { echo 'no objects to compare'; exit 1; }
comm -12 "$work/program" "$work/library" | grep . && {
    echo 'defined in src/cli and in the library'
    exit 1
}
exit 0
