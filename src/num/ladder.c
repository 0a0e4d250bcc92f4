/* SPDX-License-Identifier: MIT */
/* Three exponents compared in fixed point, with a bound on what rounding may have done. */
#include "num/ladder.h"

#include <string.h>

#include "base/bits.h"

/*
 * Let R(T) = Σ max(|w| - T, 0). As the nearest level maximises 2·q·|w| - q², gain(s) = Σw² -
 * Σ(q - w)² is a sum over thresholds T between neighbouring levels p < q of 2·(q - p)·R(T):
 *
 *     gain(s) / 2 = B(s) + Σ U(e), e from s - num + 2 to s,
 *     B(s) = 2^(s-num+1) · R(2^(s-num)),   U(e) = 2^(e-1) · R(1.5·2^(e-1)),
 *
 * so that neighbouring exponents differ by two B and two U, and one more R bounds the gain
 * from below by that of the levels 2^top, 2^(top-1) and 2^(top-2) alone. No s below has more
 * than 2·2^s·Σ|w|. With weights rounded to multiples of one unit, R errs by half a unit a
 * weight at most.
 */
enum rung { B0, B1, B2, U0, U1, LOW1, LOW0, THIRD };

#define UNIT_BITS 22 /* units in the power of two at or below max|w| */

/* x·2^exponent; ldexp() is a call. */
static double times_power(double x, int exponent)
{
    uint64_t bits = (uint64_t)(1023 + exponent) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return x * power;
}

bool lbw_ladder_exponent(int *s, const struct lbw_kernels *kernels, const float *w, size_t n,
                         int num, float greatest, double sum)
{
    int exponent = (int)(lbw_float_bits(greatest) >> 23) - 127;
    if (exponent < -100 || exponent > 100)
        return false;
    /* all below is in units of 2^(exponent - UNIT_BITS); the level top is 2^t of them */
    int t = UNIT_BITS + ((lbw_float_bits(greatest) & 0x400000) != 0);
    int low = t - num;
    const int32_t thresholds[LBW_LADDER] = {
        [B0] = INT32_C(1) << low,         [B1] = INT32_C(1) << (low - 1),
        [B2] = INT32_C(1) << (low - 2),   [U0] = INT32_C(3) << (t - 2),
        [U1] = INT32_C(3) << (t - 3),     [LOW1] = INT32_C(3) << (low - 1),
        [LOW0] = INT32_C(3) << (low - 2), [THIRD] = INT32_C(1) << (t - 3),
    };
    int64_t sums[LBW_LADDER];
    double r[LBW_LADDER];
    kernels->ladder(sums, w, n, (float)times_power(1, UNIT_BITS - exponent), thresholds);
    for (int k = 0; k < LBW_LADDER; k++)
        r[k] = (double)(sums[k] - (int64_t)n * thresholds[k]);
    double b0 = times_power(r[B0], low + 1), b1 = times_power(r[B1], low);
    double b2 = times_power(r[B2], low - 1), third = times_power(r[THIRD], t - 2);
    double u0 = times_power(r[U0], t - 1), u1 = times_power(r[U1], t - 2);

    /* gain / 2 of top, top - 1 and top - 2, less that of top - 2 */
    double half[3] = {0};
    half[1] = b1 + u1 - b2 - times_power(r[LOW0], low - 1);
    half[0] = half[1] + b0 + u0 - b1 - times_power(r[LOW1], low);
    int best = half[0] >= half[1] && half[0] >= half[2] ? 0 : half[1] >= half[2] ? 1 : 2;

    /* the factors of R add up to less than 3·2^t in any difference of two of them */
    double margin = 1.5 * (double)n * times_power(1, t);
    double least = num == 1 ? b0 : num == 2 ? b0 + u0 : third + u0 + u1;
    for (int i = 0; i < 3; i++)
        if (i != best && half[best] - half[i] <= margin)
            return false;
    if (times_power(sum, UNIT_BITS - exponent + t - 3) >
        least + half[best] - half[0] - 2 * margin)
        return false;
    *s = exponent + t - UNIT_BITS - best;
    return true;
}
