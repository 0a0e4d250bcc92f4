#!/bin/sh
# SPDX-License-Identifier: MIT
# The manual page and the completions know what --help knows, and their formats are sound.
set -eu
PATH=$LBW_BUILD_ROOT:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
    echo "$*"
    failed=1
}

# A section in the name, or mandoc takes what mktemp made for one.
lbw manual >"$work/lbw.1"
# Plain text of the page: fonts and escapes taken away.
sed 's/\\f[BIR]//g; s/\\-/-/g; s/\\&//g; s/\\e/\\/g; s/\\(aq/'"'"'/g' "$work/lbw.1" >"$work/text"
for shell in bash zsh fish; do lbw completion $shell >"$work/$shell"; done
commands=$(lbw help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ] || complain 'no commands in the help'
for command in $commands; do
    lbw help "$command" >"$work/help"
    grep -q "^lbw $command" "$work/text" || complain "manual: no command $command"
    sed -n "/^\.SS \"lbw $command\"/,/^\.SS\|^\.SH/p" "$work/text" >"$work/section"
    for option in $(grep -o '^  \(-., \|    \)--[a-z-]*' "$work/help" | grep -o '\--.*'); do
        [ "$option" = --help ] && continue
        grep -q -e "$option\b" "$work/section" || complain "manual: $command has no $option"
        grep -q -e "$option\b" "$work/bash" || complain "bash: $command has no $option"
        grep -q -e "$option\b" "$work/zsh" || complain "zsh: $command has no $option"
        grep -q -e "seen_subcommand_from $command' -l ${option#--}\b" "$work/fish" ||
            complain "fish: $command has no $option"
    done
done

if command -v groff >/dev/null; then
    groff -ww -man -Tutf8 "$work/lbw.1" 2>&1 >/dev/null | grep . && complain 'groff warns'
fi
if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "$work/lbw.1" | grep . && complain 'mandoc warns'
fi
LC_ALL=C grep -n '[^ -~]' "$work/lbw.1" && complain 'the page is not plain ASCII'
for shell in bash zsh fish; do
    command -v $shell >/dev/null || continue
    $shell -n "$work/$shell" || complain "$shell does not read its completion"
done
exit $failed
