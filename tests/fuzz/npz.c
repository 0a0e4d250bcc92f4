/* SPDX-License-Identifier: MIT */
/* Fuzz target: whatever the bytes of a .npz or .npy, every promised value is there. */
#include "fuzz.h"
#include "run/array.h"
#include "run/npz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lbw_npz npz;
    if (lbw_npz_parse(&npz, data, size, "fuzz", NULL) != LBW_OK)
        return 0;
    unsigned char last = 0;
    for (size_t i = 0; i < npz.num_arrays; i++)
        if (npz.arrays[i].size)
            last ^= npz.arrays[i].data[npz.arrays[i].size - 1];
    volatile unsigned char sink = last; /* so that the bytes are read */
    (void)sink;
    lbw_npz_release(&npz);
    return 0;
}
