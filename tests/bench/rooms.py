#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The shape of a source tree in numbers: files and lines per room, the longest file and function, how
functions handle failure, and lines that stand in more than one place.

usage: python3 tests/bench/rooms.py [TREE…]     (default: this one; several are compared)

A function is what stands between a `{` and a `}` in the first column. Failure, as tests/abi/style.sh
sees it: `try` returns at the failing step (LBW_TRY), `out` goes to one label, a ladder asks at each
step whether the last succeeded, mixed does two of these. Twice: lines of code in runs of at least eight
that read the same, but for blanks, in another place."""
import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = 8
TRIVIAL = re.compile(r"^(|[{}();]+|break;|#include .*|out:|/?\*.*|};?)$")


def functions(lines):
    """(first line, body) of each function."""
    start = None
    for i, line in enumerate(lines):
        if line == "{":
            start = i
        elif line.startswith("}") and start is not None:
            yield start, lines[start + 1:i]
            start = None


def idiom(body):
    """The name of the way in which a function passes failure on, or None."""
    text = "\n".join(body)
    ladder = any(a.startswith("    if (status == LBW_OK") and b.startswith("        status =")
                 for a, b in zip(body, body[1:]))
    does = [name for name, is_used in (
        ("try", "LBW_TRY(" in text), ("out", bool(re.search(r"^out:|LBW_OR_OUT\(", text, re.M))),
        ("ladder", ladder)) if is_used]
    return "mixed" if len(does) > 1 else does[0] if does else None


def repeated(files):
    """The number of lines in runs of RUN or more that stand in two places."""
    places = collections.defaultdict(list)
    code = {}
    for path, lines in files.items():
        kept = [re.sub(r"\s+", " ", line.strip()) for line in lines]
        code[path] = [line for line in kept if not TRIVIAL.match(line)]
        for i in range(len(code[path]) - RUN + 1):
            places["\n".join(code[path][i:i + RUN])].append((path, i))
    twice, pairs = set(), set()
    for found in places.values():
        if len(found) < 2:
            continue
        pairs.add(tuple(sorted({str(path) for path, _ in found})))
        for path, i in found:
            twice.update((path, i + k) for k in range(RUN))
    return len(twice), pairs


def measure(tree):
    src = tree / "src"
    files = {path.relative_to(src): path.read_text().split("\n")
             for path in sorted(src.rglob("*.[ch]"))}
    rooms = collections.Counter(path.parts[0] for path in files if len(path.parts) > 1)
    idioms, longest = collections.Counter(), (0, "")
    for path, lines in files.items():
        for start, body in functions(lines):
            idioms[idiom(body)] += 1
            longest = max(longest, (len(body), f"{path}:{start}"))
    largest = max((len(lines) - 1, str(path)) for path, lines in files.items())
    num_twice, pairs = repeated(files)
    num = sum(len(lines) - 1 for lines in files.values())
    return {
        **{f"files in {room}" if room else room: n for room, n in sorted(rooms.items())},
        "files": len(files), "lines": num, "lines per file": num // len(files),
        "longest file": "{} ({})".format(*largest),
        "longest function": "{} ({})".format(longest[0], longest[1].rpartition(":")[0]),
        "functions with try": idioms["try"], "with out": idioms["out"],
        "with a ladder": idioms["ladder"], "mixed": idioms["mixed"],
        "lines that stand twice": num_twice, "groups of files that share them": len(pairs),
    }, pairs


def main():
    trees = [pathlib.Path(name) for name in sys.argv[1:]] or [ROOT]
    columns = [measure(tree) for tree in trees]
    keys = list(dict.fromkeys(key for rows, _ in columns for key in rows))
    keys.sort(key=lambda key: not key.startswith("files in"))
    for key in keys:
        print("|", key, "|", " | ".join(str(rows.get(key, "")) for rows, _ in columns), "|")
    for files in sorted(columns[-1][1]):
        print("shared:", *files)


if __name__ == "__main__":
    main()
