#!/bin/sh
# SPDX-License-Identifier: MIT
# Rules of CONTRIBUTING.md that a script can see: SPDX and role lines, comments, lengths.
set -eu
cd "$LBW_SOURCE_ROOT"
find src include samples tests -name '*.[ch]' -exec awk '
    function complain(text) { print FILENAME ":" FNR ": " text; failed = 1 }
    FNR == 1 && $0 != "/* SPDX-License-Identifier: MIT */" { complain("no SPDX line") }
    FNR == 2 && $0 !~ /^\/\*/ { complain("no line on the role of the file") }
    FNR == (FILENAME ~ /^tests/ ? 1001 : 601) { complain("too long a file") }
    /\t/ { complain("tab") }
    / $/ { complain("trailing blank") }
    /(^|[^:"])\/\/ / { complain("a // comment") }
    /^\{$/ { start = FNR }
    /^}/ && start {
        if (FNR - start - 1 > 60) complain("function of " FNR - start - 1 " lines")
        start = 0
    }
    END { exit failed }' {} +
find meson.build meson_options.txt proto samples src tests -name '*.sh' -o -name 'meson*' \
    -o -name '*.py' -o -name '*.proto' | while read -r file; do
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: MIT' || {
        echo "$file: no SPDX line"
        exit 1
    }
done

# How failure is handled: LBW_TRY as long as nothing is owned, then LBW_OR_OUT up to one label
# `out:`. Ladders of `if (status == LBW_OK)` are from before that rule: there may only be fewer.
most=6
ladders=$(find src -name '*.c' -exec awk '
    /^\{$/ { ladder = 0 }
    /^    if \(status == LBW_OK/ { step = FNR; next }
    step == FNR - 1 && /^        status =/ { ladder = 1 }
    /^}/ { ladders += ladder; ladder = 0 }
    END { print ladders + 0 }' {} + | awk '{ sum += $1 } END { print sum }')
echo "$ladders functions with a ladder of failures, at most $most"
[ "$ladders" -le $most ]
