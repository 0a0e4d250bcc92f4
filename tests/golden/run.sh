#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs NAME.sh in an empty folder and compares what it prints and returns with NAME.stdout,
# NAME.stderr and NAME.exit (absent files: nothing, nothing, 0). LBW_GOLDEN_UPDATE=1 rewrites them.
set -u
name=$1
here=$LBW_SOURCE_ROOT/tests/golden
PATH=$LBW_BUILD_ROOT:$LBW_BUILD_ROOT/tests:$PATH
work=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
mkdir "$work/in" && cd "$work/in" || exit 1
unset COLUMNS
LC_ALL=C sh "$here/$name.sh" >../stdout 2>../stderr
echo $? >../exit

failed=0
for part in stdout stderr exit; do
    golden=$here/$name.$part
    default=/dev/null
    [ $part = exit ] && echo 0 >../default && default=../default
    if [ "${LBW_GOLDEN_UPDATE:-}" = 1 ]; then
        if cmp -s $default ../$part; then rm -f "$golden"; else cp ../$part "$golden"; fi
    fi
    [ -e "$golden" ] || golden=$default
    diff -u "$golden" ../$part || failed=1
done
exit $failed
