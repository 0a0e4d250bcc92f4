/* SPDX-License-Identifier: MIT */
/* What every fuzz target defines, for libFuzzer or for the runner of the stored corpus. */
#ifndef LBW_TESTS_FUZZ_H
#define LBW_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
