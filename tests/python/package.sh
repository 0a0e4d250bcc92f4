#!/bin/sh
# SPDX-License-Identifier: MIT
# The Python package: pip builds and installs it into the build folder, pytest tests it there.
set -eu
skip() {
    echo "skipped: $*"
    exit 77
}

python=${LBW_PYTHON:-python3}
missing=$("$python" - <<'END'
import importlib.util as util, os, sysconfig
names = [n for n in ("pip", "cffi", "mesonpy", "pytest") if util.find_spec(n) is None]
header = os.path.join(sysconfig.get_path("include"), "Python.h")
print(*names, *([] if os.path.exists(header) else [header]))
END
) || skip "no Python"
[ -z "$missing" ] || skip "$python lacks $missing"

work=$LBW_BUILD_ROOT/python-test
folder=$(dirname "$("$python" -c 'import sys; print(sys.executable)')")
export PATH="$folder:$PATH" # the meson that its meson-python needs
rm -rf "$work/site"
for file in meson_options.txt pyproject.toml; do # a folder from before a new option is no use
    [ "$work/build/build.ninja" -nt "$LBW_SOURCE_ROOT/$file" ] || rm -rf "$work/build"
done
mkdir -p "$work"
"$python" -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps \
    --no-index --root-user-action ignore --target "$work/site" \
    --config-settings=build-dir="$work/build" "$LBW_SOURCE_ROOT" >"$work/log" 2>&1 || {
    tail -n 50 "$work/log"
    exit 1
}
cd "$work"
PYTHONPATH=$work/site exec "$python" -m pytest -q -p no:cacheprovider -rs \
    "$LBW_SOURCE_ROOT/python/tests"
