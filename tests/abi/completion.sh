#!/bin/sh
# SPDX-License-Identifier: MIT
# Completes command lines in bash, and in fish and zsh where there are any, as pressing Tab would.
set -eu
PATH=$LBW_BUILD_ROOT:$PATH
command -v bash >/dev/null || exit 77

lbw completion zsh | grep -q '{-e,--encoding=}' || { echo 'zsh: no value behind ='; exit 1; }
if command -v fish >/dev/null; then
    check() { # check "expected word" "command line"
        got=$(HOME=/ fish -N -c "lbw completion fish | source; complete -C '$2'" | cut -f1)
        [ "$got" = "$1" ] || { echo "fish: '$2': got '$got', expected '$1'"; exit 1; }
    }
    check grids 'lbw gr'
    check --encoding=packed 'lbw convert --encoding=pa'
    check packed 'lbw convert -e pa'
    check grids 'lbw help gri'
fi

exec bash -eu <<'END'
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
# "=" is a word of its own here, and a value behind it is completed as one behind a blank
check 'packed' lbw convert -e pa
check 'packed' lbw convert --encoding = pa
check 'packed dq float native' lbw convert --encoding =
check '' lbw convert --output = x
# every value that is a file or a folder is left to the completion of files
compopt() { echo "completing '${COMP_WORDS[*]}': files are wanted"; exit 1; }
for option in -o --external --plan -c -p --state --report; do
    check '' lbw quantize $option x
done
check '' lbw eval --reference x
check '' lbw compare --data x
END
