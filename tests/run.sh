#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is needed, builds, runs every test. The last line counts; non-zero on failure.
set -eu
cd "$(dirname "$0")/.."
. samples/setup.sh
build_lbw
get_onnxruntime
(install_packages $test_packages) ||
    echo 'setup: some packages are missing, their tests will skip' >&2
# The judges of some tests; without them those tests skip.
LBW_PYTHON=$PWD/build/ort-venv/bin/python
export LBW_PYTHON
install_python numpy onnx onnxruntime pycocotools pytest cffi meson-python=mesonpy mypy pillow=PIL \
    pyyaml=yaml ||
    echo 'setup: some Python packages are missing, their tests will skip' >&2

rm -f build/meson-logs/testlog.json
status=0
meson test -C build --no-rebuild --print-errorlogs || status=$?
# One JSON object per test, and its result within.
awk -v status=$status '
    /"result": "(OK|EXPECTEDFAIL)"/ { passed++; next }
    /"result": "SKIP"/ { skipped++; next }
    { failed++ }
    END {
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit (status != 0 || failed || !passed)
    }' build/meson-logs/testlog.json
