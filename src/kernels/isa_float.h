/* SPDX-License-Identifier: MIT */
/*
 * Softmax down columns of floats: included once per instruction set, which defines ISA (the
 * functions' target attribute) and NAME(x). The vectors are the compiler's own; operations and
 * their order are the same everywhere, and so are the bits.
 */

/* e to the power of x, 2 ulp, for x at most 0 or NaN; below -87 it is 0. The polynomial is that
 * of Cephes' expf. */
ISA static inline __attribute__((always_inline)) void NAME(exponential)(union lbw_columns *x)
{
    const float shift = 12582912; /* 1.5 · 2^23: the last bit stands for 1 */
    union lbw_columns t, power, p;
    lbw_column_bits is_tiny = (lbw_column_bits)(x->f < -87.F);
    t.f = x->f * 1.44269504F + shift;
    lbw_column_floats n = t.f - shift;
    lbw_column_floats r = x->f - n * .693359375F - n * -2.12194440e-4F;
    p.f = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p.f = p.f * r + 8.3334519073e-3F;
    p.f = p.f * r + 4.1665795894e-2F;
    p.f = p.f * r + 1.6666665459e-1F;
    p.f = p.f * r + 5.0000001201e-1F;
    p.f = p.f * r * r + r + 1.F;
    power.bits = (t.bits << 23) + (127U << 23);
    x->f = p.f * power.f;
    x->bits &= ~is_tiny;
}

/* `width` vectors of columns side by side, `step` floats from row to row. */
ISA static inline __attribute__((always_inline)) void
NAME(columns)(float *y, const float *x, size_t num_rows, size_t step, const size_t width)
{
    union lbw_columns most[4], sum[4], v;
#pragma GCC unroll 4
    for (size_t j = 0; j < width; j++) {
        memcpy(&most[j], x + j * LBW_COLUMNS, sizeof v);
        memset(&sum[j], 0, sizeof v);
    }
    for (size_t i = 1; i < num_rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++) {
            memcpy(&v, x + i * step + j * LBW_COLUMNS, sizeof v);
            lbw_column_bits more = (lbw_column_bits)(v.f > most[j].f);
            most[j].bits = (v.bits & more) | (most[j].bits & ~more);
        }
    for (size_t i = 0; i < num_rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++) {
            memcpy(&v, x + i * step + j * LBW_COLUMNS, sizeof v);
            v.f -= most[j].f;
            NAME(exponential)(&v);
            sum[j].f += v.f;
            memcpy(y + i * step + j * LBW_COLUMNS, &v, sizeof v);
        }
#pragma GCC unroll 4
    for (size_t j = 0; j < width; j++)
        sum[j].f = 1.F / sum[j].f;
    for (size_t i = 0; i < num_rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++) {
            memcpy(&v, y + i * step + j * LBW_COLUMNS, sizeof v);
            v.f *= sum[j].f;
            memcpy(y + i * step + j * LBW_COLUMNS, &v, sizeof v);
        }
}

ISA static void NAME(softmax)(float *y, const float *x, size_t num_rows, size_t step,
                              size_t num_vectors)
{
    size_t j = 0;
    for (; j + 4 <= num_vectors; j += 4)
        NAME(columns)(y + j * LBW_COLUMNS, x + j * LBW_COLUMNS, num_rows, step, 4);
    for (; j < num_vectors; j++)
        NAME(columns)(y + j * LBW_COLUMNS, x + j * LBW_COLUMNS, num_rows, step, 1);
}
