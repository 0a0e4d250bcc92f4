#!/bin/sh
# SPDX-License-Identifier: MIT
# Files that the documentation names exist, and so do functions that it says are in them.
set -eu
cd "$LBW_SOURCE_ROOT"
failed=0
list=$(mktemp)
trap 'rm -f "$list"' EXIT

# `src/…` and the like in backquotes, and links; not NAME, *, … and what the build makes.
for page in README.md CONTRIBUTING.md docs/*.md; do
    {
        grep -o '`[^` ]*`' "$page" | tr -d '`' |
            grep -E '^(src|tests|docs|samples|python|include|debian|proto)/' |
            grep -v '[*…<]\|[A-Z][A-Z]' || true
        grep -o '](\([^):# ]*\.[a-z]*\)[)#]' "$page" | tr -d ')#' | sed "s/^](//; s|^|$(dirname "$page")/|" || true
    } | sort -u >"$list"
    while read -r path; do
        [ -e "$path" ] || { echo "$page: $path does not exist"; failed=1; }
    done <"$list"
done

# "`judge()` in `src/pass/ranges.c`"
grep -ho '`[a-z_]*()` in `[^`]*`' README.md CONTRIBUTING.md docs/*.md | tr -d '`()' >"$list" || true
while read -r function in path; do
    grep -q "\b$function(" "$path" || { echo "$function() is not $in $path"; failed=1; }
done <"$list"
exit $failed
