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
    /[^ ].*\/\*/ && !/\*\// && !/^ *\/\*/ { complain("a comment after code that is longer than its line") }
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

# How failure is handled: LBW_TRY where nothing is owned, else LBW_OR_OUT up to one label `out:`, never
# both. Ladders of `if (status == LBW_OK)` are from before that rule: there may only be fewer.
most=6
count=$(find src -name '*.c' -exec awk '
    /^\{$/ { ladder = tries = out = 0 }
    FNR == 1 { step = 0 }
    /^    if \(status == LBW_OK/ { step = FNR; next }
    step == FNR - 1 && /^        status =/ { ladder = 1 }
    /LBW_TRY\(/ { tries = 1 }
    /LBW_OR_OUT\(|^out:/ { out = 1 }
    /^}/ {
        ladders += ladder
        if (tries && out) { print FILENAME ":" FNR ": LBW_TRY and out: in one function"; mixed++ }
        ladder = tries = out = 0
    }
    END { print "ladders", ladders + 0, "mixed", mixed + 0 }' {} +)
echo "$count" | grep -v '^ladders' || true
echo "$count" | awk -v most=$most '
    /^ladders/ { ladders += $2; mixed += $4 }
    END {
        print ladders " functions with a ladder of failures, at most " most "; " mixed " mixed"
        exit ladders > most || mixed > 0
    }'
