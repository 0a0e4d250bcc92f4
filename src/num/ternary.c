/* SPDX-License-Identifier: MIT */
/* For each k, keep the k largest magnitudes; s(k) = floor(log2(4·A_k / (3·k))). */
#include "num/ternary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* Sorts ascending by 8-bit digits; four rounds, so that the result is back in `keys`. */
static void sort_bits(uint32_t *keys, uint32_t *scratch, size_t n)
{
    for (int shift = 0; shift < 32; shift += 8) {
        size_t starts[257] = {0};
        for (size_t i = 0; i < n; i++)
            starts[(keys[i] >> shift & 255) + 1]++;
        for (int digit = 0; digit < 256; digit++)
            starts[digit + 1] += starts[digit];
        for (size_t i = 0; i < n; i++)
            scratch[starts[keys[i] >> shift & 255]++] = keys[i];
        uint32_t *swap = keys;
        keys = scratch;
        scratch = swap;
    }
}

enum lbw_status lbw_ternary_exponent(int *exponent, const float *w, size_t n,
                                     struct lbw_error *err)
{
    uint32_t *keys = n > SIZE_MAX / 8 ? NULL : malloc(2 * n * sizeof *keys);
    if (!keys)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        keys[i] = lbw_float_bits(w[i]) & 0x7fffffff;
    sort_bits(keys, keys + n, n);

    double sum = 0, best_gain = -1;
    int best = 0;
    for (size_t k = 1; k <= n && keys[n - k]; k++) {
        sum += (double)lbw_float_from_bits(keys[n - k]);
        int s = ilogb(4 * sum / (3 * (double)k));
        s = s > 127 ? 127 : s < -149 ? -149 : s;
        double q = ldexp(1, s), gain = q * (2 * sum - q * (double)k);
        if (gain > best_gain) {
            best_gain = gain;
            best = s;
        }
    }
    free(keys);
    *exponent = best;
    return LBW_OK;
}
