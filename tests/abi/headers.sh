#!/bin/sh
# SPDX-License-Identifier: MIT
# Every public header compiles alone, as C11 and as C++.
set -eu
cd "$LBW_SOURCE_ROOT/include"
failed=0
for header in lbw/*.h; do
    printf '#include <%s>\nstruct something;\n' "$header" | # no unit is empty
        ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I. -x c - || failed=1
    grep -q "'$header'" meson.build || { echo "$header is not installed"; failed=1; }
    if command -v c++ >/dev/null; then
        echo "#include <$header>" |
            c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I. -x c++ - || failed=1
    fi
done
exit $failed
