#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets in turn, a slice of time each, and prints what all runs so far came to.

    CC=clang meson setup build-fuzz -Dfuzz=true -Db_lundef=false && ninja -C build-fuzz
    tests/fuzz/run.py build-fuzz --minutes 5 --rounds 12 --jobs 2

Below BUILD/fuzz/TARGET: corpus/, which grows from run to run, log, and finding-* where there
are any; the numbers of every slice are added to BUILD/fuzz/slices. A finding ends its slice."""

import argparse
import collections
import concurrent.futures
import os
import re
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TARGETS = sorted(os.listdir(os.path.join(HERE, "corpus")))
# Of libFuzzer. The clock is the wall's, so a slice that only gets what others leave needs patience.
OPTIONS = ["-print_final_stats=1", "-timeout=100", "-rss_limit_mb=2048", "-reload=0"]
COLUMNS = "wall cpu executions features findings".split()


def last(pattern, text):
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def run(build, name, seconds):
    """One slice; appends its numbers to BUILD/fuzz/slices."""
    place = os.path.join(build, "fuzz", name)
    corpus = os.path.join(place, "corpus")
    os.makedirs(corpus, exist_ok=True)
    command = [os.path.join(build, "tests", "fuzz_" + name), *OPTIONS,
               f"-max_total_time={seconds}", f"-artifact_prefix={place}/finding-",
               corpus, os.path.join(HERE, "corpus", name)]
    log = os.path.join(place, "log")
    start = time.monotonic()
    with open(log, "wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    with open(log, errors="replace") as file:
        text = file.read()
    row = [f"{time.monotonic() - start:.0f}", f"{used.ru_utime + used.ru_stime:.0f}",
           last(r"number_of_executed_units: (\d+)", text), last(r" ft: (\d+)", text),
           int(child.returncode != 0)]
    with open(os.path.join(build, "fuzz", "slices"), "a") as file:
        print(name, *row, file=file)
    if child.returncode:
        print(f"{name}: a finding, see {log}", flush=True)


def table(build):
    sums = collections.defaultdict(lambda: dict.fromkeys(COLUMNS, 0))
    with open(os.path.join(build, "fuzz", "slices")) as file:
        for line in file:
            name, *row = line.split()
            for column, value in zip(COLUMNS, map(int, row)):
                old = sums[name][column]
                sums[name][column] = max(old, value) if column == "features" else old + value
    print("| target | CPU min | wall min | executions | features | inputs | findings |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, row in sorted(sums.items()):
        inputs = len(os.listdir(os.path.join(build, "fuzz", name, "corpus")))
        print(f"| {name} | {row['cpu'] / 60:.0f} | {row['wall'] / 60:.0f} |"
              f" {row['executions']:,} | {row['features']:,} | {inputs:,} | {row['findings']} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("build", help="folder of a build with -Dfuzz=true")
    parser.add_argument("--minutes", type=float, default=5, help="of a slice (5)")
    parser.add_argument("--rounds", type=int, default=1, help="slices for each target (1)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (1)")
    parser.add_argument("--targets", default=",".join(TARGETS), help="names with commas between;"
                        " one named twice gets two slices a round")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    args = parser.parse_args()
    if not args.table:
        os.makedirs(os.path.join(args.build, "fuzz"), exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda name: run(args.build, name, int(60 * args.minutes)),
                          args.targets.split(",") * args.rounds))
    table(args.build)


if __name__ == "__main__":
    main()
