#!/bin/sh
# SPDX-License-Identifier: MIT
# Completes command lines in bash, as pressing Tab would.
set -eu
command -v bash >/dev/null || exit 77
PATH=$LBW_BUILD_ROOT:$PATH exec bash -eu <<'END'
compopt() { :; } # only exists while bash completes
eval "$(lbw completion bash)"
check() { # check "expected words" word…
    local expected=$1
    shift
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _lbw
    [ "${COMPREPLY[*]-}" = "$expected" ] && return
    echo "completing '$*': got '${COMPREPLY[*]-}', expected '$expected'"
    exit 1
}
check 'grids' lbw gr
check '--json' lbw grids --j
check 'bash' lbw completion b
check 'zsh' lbw completion z
check 'grids' lbw help gri
check '' lbw grids xyz
END
