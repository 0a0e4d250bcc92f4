#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails when a test on disk is not in tests/meson.build, which would mean that it never runs.
set -eu
cd "$(dirname "$0")"
failed=0
for file in */*.c */*.sh; do
    suite=${file%%/*} name=$(basename "${file%.*}")
    grep -q "'$name'\|'$suite/$name\." meson.build && continue
    echo "tests/$file is not listed in tests/meson.build"
    failed=1
done
exit $failed
