#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into a temporary prefix; programs of others are built against that copy by pkg-config,
# CMake and meson, and against the source as a subproject; removing it leaves nothing behind.
set -eu
command -v c++ >/dev/null || {
    echo 'skipped: no C++ compiler'
    exit 77
}
work=$(mktemp -d)
log=$LBW_BUILD_ROOT/meson-logs/install-log.txt # of the user's own installation, kept
cp "$log" "$work/install-log" 2>/dev/null || true
trap 'rm -f "$log"; mv "$work/install-log" "$log" 2>/dev/null || true; rm -rf "$work"' EXIT
consumer=$LBW_SOURCE_ROOT/tests/install/consumer
meson=${MESON:-meson}
fail() {
    echo "$*"
    exit 1
}

wants='missing.onnx: cannot open: No such file or directory'
check() { # check PROGRAM…: they run, and against the version that is installed
    for program; do
        got=$(LD_LIBRARY_PATH=$libdir "$program") || fail "$program failed: $got"
        case $got in
        "lbw $version, "*"$wants") ;;
        *) fail "$program: $got" ;;
        esac
    done
}

mkdir "$work/root"
$meson install -C "$LBW_BUILD_ROOT" --no-rebuild --destdir "$work/root" >"$work/log" 2>&1 ||
    fail "$(cat "$work/log")"
pc=$(find "$work/root" -name lbw.pc)
libdir=$(dirname "$(dirname "$pc")")
prefix=$work/root$(sed -n 's/^prefix=//p' "$pc")
# pkg-config knows the prefix that the build was configured for, not where DESTDIR put it
mkdir "$work/pkgconfig"
sed "s|^prefix=.*|prefix=$prefix|" "$pc" >"$work/pkgconfig/lbw.pc"
export PKG_CONFIG_PATH="$work/pkgconfig"
version=$(pkg-config --modversion lbw)

# pkg-config
flags=$(pkg-config --cflags --libs lbw)
${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror "$consumer/consumer.c" $flags \
    -o "$work/pkgconfig/consumer_c"
check "$work/pkgconfig/consumer_c"
pkg-config --exists "lbw >= $version" && ! pkg-config --exists 'lbw >= 1000'

# a meson subproject, and meson with what is installed
for kind in installed subproject; do
    mkdir "$work/$kind"
    cp "$consumer"/* "$work/$kind"
    [ $kind = installed ] || {
        mkdir "$work/$kind/subprojects"
        ln -s "$LBW_SOURCE_ROOT" "$work/$kind/subprojects/lbw"
    }
    [ $kind = installed ] && how=--wrap-mode=nofallback ||
        how='--force-fallback-for=lbw --buildtype=plain'
    $meson setup $how "$work/$kind/build" "$work/$kind" \
        >"$work/log" 2>&1 || fail "$(tail -n 30 "$work/log")"
    ninja -C "$work/$kind/build" consumer_c consumer_cpp >"$work/log" 2>&1 ||
        fail "$(tail -n 30 "$work/log")"
    check "$work/$kind/build/consumer_c" "$work/$kind/build/consumer_cpp"
done
[ "$(cat "$work/subproject/build/meson-info/intro-tests.json")" = '[]' ] ||
    fail 'a subproject brings its tests along'

# CMake, and what it makes of versions
if command -v cmake >/dev/null; then
    for wanted in "$version" '' "$(echo "$version" | sed 's/\.[0-9]*$//')"; do
        rm -rf "$work/cmake"
        cmake -S "$consumer" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" \
            -DWANTED="$wanted" >"$work/log" 2>&1 || fail "$(tail -n 30 "$work/log")"
    done
    LD_LIBRARY_PATH=$libdir cmake --build "$work/cmake" >"$work/log" 2>&1 || fail "$(tail -n 30 "$work/log")"
    check "$work/cmake/consumer_c" "$work/cmake/consumer_cpp"
    for wanted in 1000 0.0.1 "${version%.*}.1000"; do
        rm -rf "$work/cmake"
        ! cmake -S "$consumer" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" \
            -DWANTED="$wanted" >"$work/log" 2>&1 || fail "CMake takes $version for $wanted"
        grep -q 'not accepted' "$work/log" || fail "$(tail -n 30 "$work/log")"
    done
else
    echo 'no cmake: its package was not tried'
fi

# soname, and removing
real=$(readlink -f "$libdir/liblbw.so")
[ "$(basename "$real")" = "liblbw.so.$version" ] || fail "liblbw.so is $real"
soname=$(readelf -d "$real" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ -e "$libdir/$soname" ] || fail "no $soname beside $real"
DESTDIR=$work/root ninja -C "$LBW_BUILD_ROOT" uninstall >"$work/log" 2>&1 ||
    fail "$(tail -n 30 "$work/log")"
left=$(cd "$work/root" && find . ! -name .)
[ -z "$left" ] || fail "left behind: $left"
