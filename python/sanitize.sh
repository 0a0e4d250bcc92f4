#!/bin/sh
# SPDX-License-Identifier: MIT
# sanitize.sh BUILD [TEST…]: the extension with AddressSanitizer and UBSan, built by meson in BUILD for the
# Python of LBW_PYTHON (with cffi, pytest and the rest), and the package's tests, or those named, on it.
# The interpreter and its packages are not ours: what they leak is not counted. Tests of memory are left
# out, for the sanitizer keeps what is freed; a report of a sanitizer ends the run.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$1
shift
[ $# -gt 0 ] || set -- "$root/python/tests"
python=${LBW_PYTHON:-python3}
folder=$(dirname "$("$python" -c 'import sys; print(sys.executable)')")
[ -f "$build/build.ninja" ] || PATH="$folder:$PATH" meson setup "$build" "$root" -Dpython=true \
    -Dtests=false -Dsamples=false -Dcairo=disabled -Ddefault_library=static \
    -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
ninja -C "$build" >/dev/null
site=$(cd "$build" && pwd)/site
rm -rf "$site"
mkdir -p "$site/lbw"
cp "$root"/python/lbw/*.py "$root"/python/lbw/py.typed "$root"/python/lbw/_lbw.pyi "$site/lbw"
cp "$build"/python/_lbw.abi3.so "$build"/python/liblbw_ort.so "$site/lbw"
LD_PRELOAD=$(${CC:-cc} -print-file-name=libasan.so):$(${CC:-cc} -print-file-name=libubsan.so) \
    ASAN_OPTIONS=detect_leaks=0:halt_on_error=1 UBSAN_OPTIONS=halt_on_error=1 PYTHONPATH=$site \
    exec "$python" -m pytest -q -p no:cacheprovider -k "not memory" "$@"
