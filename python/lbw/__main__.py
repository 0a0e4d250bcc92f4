# SPDX-License-Identifier: MIT
"""`python -m lbw` is the program lbw."""

from __future__ import annotations

import os
import sys

from ._lbw import ffi, lib
from ._options import runtime_folder


def main() -> int:
    """Runs the program on sys.argv and returns its exit status."""
    folder = None if os.environ.get("LBW_ORT") else runtime_folder()
    if folder:
        os.environ["LBW_ORT"] = folder
    arguments = [ffi.new("char[]", os.fsencode(a)) for a in ["lbw", *sys.argv[1:]]]
    sys.stdout.flush()
    return int(lib.lbw_program(len(arguments), ffi.new("char *[]", [*arguments, ffi.NULL])))


if __name__ == "__main__":
    sys.exit(main())
