#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets in turn, so much processor time each, and prints what all runs came to.

    CC=clang meson setup build-fuzz -Dfuzz=true -Db_lundef=false && ninja -C build-fuzz
    tests/fuzz/run.py build-fuzz --minutes 5 --rounds 12 --jobs 2

Below BUILD/fuzz/TARGET: corpus/, which grows from run to run, log, and finding-* where there
are any; the numbers of every slice are added to BUILD/fuzz/slices. A finding ends its slice.
Interrupted, it ends the slices that run and prints the table."""

import argparse
import collections
import concurrent.futures
import os
import re
import signal
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TARGETS = sorted(os.listdir(os.path.join(HERE, "corpus")))
# Of libFuzzer. Its timeout is by the clock on the wall, which a run that only gets what others
# leave of the processors must not fail by.
OPTIONS = ["-print_final_stats=1", "-timeout=600", "-rss_limit_mb=2048", "-reload=0",
           "-report_slow_units=600"]
COLUMNS = "wall cpu executions features findings".split()
TICKS = os.sysconf("SC_CLK_TCK")
stopped = threading.Event()


def last(pattern, text):
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def seconds_used(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run(build, name, seconds):
    """One slice; appends its numbers to BUILD/fuzz/slices."""
    place = os.path.join(build, "fuzz", name)
    corpus = os.path.join(place, "corpus")
    os.makedirs(corpus, exist_ok=True)
    command = [os.path.join(build, "tests", "fuzz_" + name), *OPTIONS,
               f"-artifact_prefix={place}/finding-", corpus, os.path.join(HERE, "corpus", name)]
    log = os.path.join(place, "log")
    start = time.monotonic()
    with open(log, "wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out)
    used = 0
    while child.poll() is None:
        used = seconds_used(child.pid)
        if used >= seconds or stopped.is_set():
            child.send_signal(signal.SIGUSR1)  # to end after the input at hand
        time.sleep(0.5)
    with open(log, errors="replace") as file:
        text = file.read()
    row = [f"{time.monotonic() - start:.0f}", f"{used:.0f}",
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
        print(f"| {name} | {row['cpu'] / 60:.1f} | {row['wall'] / 60:.0f} |"
              f" {row['executions']:,} | {row['features']:,} | {inputs:,} | {row['findings']} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("build", help="folder of a build with -Dfuzz=true")
    parser.add_argument("--minutes", type=float, default=5,
                        help="of processor time for a slice (5)")
    parser.add_argument("--rounds", type=int, default=1, help="slices for each target (1)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (1)")
    parser.add_argument("--targets", default=",".join(TARGETS), help="names with commas between;"
                        " one named twice gets two slices a round")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    args = parser.parse_args()
    if not args.table:
        os.makedirs(os.path.join(args.build, "fuzz"), exist_ok=True)
        for number in signal.SIGINT, signal.SIGTERM:
            signal.signal(number, lambda *_: stopped.set())
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for name in args.targets.split(",") * args.rounds:
                pool.submit(lambda name=name: stopped.is_set() or
                            run(args.build, name, int(60 * args.minutes)))
    table(args.build)


if __name__ == "__main__":
    main()
