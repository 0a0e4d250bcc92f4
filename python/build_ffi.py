# SPDX-License-Identifier: MIT
"""Writes the C source of lbw._lbw: the public headers themselves are the declarations.

build_ffi.py OUTPUT.c INCLUDE-DIR COMPILER…
"""

import pathlib
import subprocess
import sys
import tempfile

import cffi

# What cffi has to know besides the headers: the program's main(), memory, and the callbacks.
EXTRA = """
#define LBW_DIGEST_SIZE ...
#define LBW_KEEP_SAMPLES ...
#define LBW_KEEP_LOSS ...
int lbw_program(int argc, char **argv);
void give_back(void);
extern "Python" {
    int on_progress(void *user, const char *what, size_t done, size_t total);
    int on_step(void *user, const struct lbw_tune_status *status);
    void on_trial(void *user, const struct lbw_search_trial *trial);
    void on_note(void *user, const char *note);
    enum lbw_status on_sample(void *user, size_t i, const struct lbw_array_view **arrays,
                              size_t *num_arrays, struct lbw_error *err);
}
"""

SOURCE = """
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <lbw/lbw.h>
int lbw_program(int argc, char **argv);

/* A conversion allocates and frees large arrays in short-lived threads; glibc would keep that
   memory, for each of them apart, and every later call would leave more. */
static void give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
"""


def declarations(include, compiler):
    """The public headers after the preprocessor, without what they include of the system."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("stddef.h", "stdint.h", "stdbool.h"):
            (pathlib.Path(folder) / name).touch()
        # without __GNUC__ the headers leave attributes out
        command = [*compiler, "-E", "-P", "-nostdinc", "-U__GNUC__", "-I", folder,
                   "-I", include, str(pathlib.Path(include) / "lbw/lbw.h")]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(output, include, *compiler):
    ffi = cffi.FFI()
    ffi.cdef(declarations(include, compiler) + EXTRA)
    ffi.set_source("lbw._lbw", SOURCE)
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
