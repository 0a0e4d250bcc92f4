/* SPDX-License-Identifier: MIT */
/*
 * The loops on floats: included once per instruction set, which defines ISA (the functions'
 * target attribute) and NAME(x). The vectors are the compiler's own; operations and their order
 * are the same everywhere, and so are the bits.
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

#define PRODUCTS(num, width)                                                                   \
    NAME(products_of)(sums, num, width, x, offsets, num_products, weights, bias)

ISA static inline __attribute__((always_inline)) void
NAME(products_of)(float *sums, const size_t num, const size_t width, const float *x,
                  const ptrdiff_t *offsets, size_t num_products, const float *weights,
                  const float *bias)
{
    lbw_column_floats a[LBW_FLOAT_ROWS][4];
    const lbw_column_floats zero = {0};
#pragma GCC unroll 4
    for (size_t m = 0; m < num; m++)
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++)
            a[m][j] = zero + bias[m];
    for (size_t k = 0; k < num_products; k++) {
        lbw_column_floats v[4];
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++)
            memcpy(&v[j], x + offsets[k] + j * LBW_COLUMNS, sizeof v[j]);
#pragma GCC unroll 4
        for (size_t m = 0; m < num; m++) {
            float w = weights[k * num + m];
#pragma GCC unroll 4
            for (size_t j = 0; j < width; j++)
                a[m][j] += v[j] * w;
        }
    }
#pragma GCC unroll 4
    for (size_t m = 0; m < num; m++)
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++)
            memcpy(sums + (4 * m + j) * LBW_COLUMNS, &a[m][j], sizeof a[m][j]);
}

ISA static void NAME(products)(float *sums, size_t num, size_t width, const float *x,
                               const ptrdiff_t *offsets, size_t num_products,
                               const float *weights, const float *bias)
{
    switch (num) {
    case 1:
        width == 4 ? PRODUCTS(1, 4) : width == 2 ? PRODUCTS(1, 2) : PRODUCTS(1, 1);
        break;
    case 2:
        width == 4 ? PRODUCTS(2, 4) : width == 2 ? PRODUCTS(2, 2) : PRODUCTS(2, 1);
        break;
    case 3:
        width == 4 ? PRODUCTS(3, 4) : width == 2 ? PRODUCTS(3, 2) : PRODUCTS(3, 1);
        break;
    default:
        width == 4 ? PRODUCTS(4, 4) : width == 2 ? PRODUCTS(4, 2) : PRODUCTS(4, 1);
        break;
    }
}
#undef PRODUCTS

ISA static void NAME(scale)(float *out, const int32_t *sums, size_t num_vectors, float scale,
                            float bias)
{
    for (size_t i = 0; i < num_vectors * LBW_COLUMNS; i += LBW_COLUMNS) {
        union lbw_columns v;
        memcpy(&v, sums + i, sizeof v);
        v.f = __builtin_convertvector(v.whole, lbw_column_floats) * scale + bias;
        memcpy(out + i, &v, sizeof v);
    }
}

/* At least `low`, at most `high`; NaN becomes `low`. */
ISA static inline __attribute__((always_inline)) void NAME(clamp)(union lbw_columns *x,
                                                                  float low, float high)
{
    const union lbw_columns l = {.f = (lbw_column_floats){0} + low};
    const union lbw_columns h = {.f = (lbw_column_floats){0} + high};
    lbw_column_bits above = (lbw_column_bits)(x->f >= l.f);
    x->bits = (x->bits & above) | (l.bits & ~above);
    lbw_column_bits below = (lbw_column_bits)(x->f <= h.f);
    x->bits = (x->bits & below) | (h.bits & ~below);
}

/* To the nearest integer, ties to even, for numbers below 2^22. */
ISA static inline __attribute__((always_inline)) void NAME(nearest)(union lbw_columns *x)
{
    const float shift = 12582912; /* 1.5 · 2^23 */
    x->f = (x->f + shift) - shift;
}

/* x · round(sigmoid(x)); e to the power of -|x| cannot overflow. */
ISA static inline __attribute__((always_inline)) void
NAME(gate)(union lbw_columns *x, const struct lbw_ending *ending)
{
    union lbw_columns e = {.bits = x->bits | 0x80000000U}, top = {.f = {0}};
    lbw_column_bits is_negative = (lbw_column_bits)(x->f < top.f);
    NAME(exponential)(&e);
    lbw_column_floats sum = e.f + 1.F;
    top.f = top.f + 1.F;
    top.bits = (e.bits & is_negative) | (top.bits & ~is_negative);
    top.f = top.f / sum * (1.F / ending->gate_scale);
    NAME(clamp)(&top, ending->gate_low, ending->gate_high);
    NAME(nearest)(&top);
    x->f = x->f * (top.f * ending->gate_scale);
}

ISA static void NAME(bend)(float *x, size_t num_vectors, const struct lbw_ending *given)
{
    const struct lbw_ending copy = *given, *ending = &copy; /* which x cannot change */
    for (size_t i = 0; i < num_vectors * LBW_COLUMNS; i += LBW_COLUMNS) {
        union lbw_columns v;
        memcpy(&v, x + i, sizeof v);
        if (ending->curve == LBW_CURVE_GATED)
            NAME(gate)(&v, ending);
        else if (ending->curve == LBW_CURVE_RELU)
            v.bits &= (lbw_column_bits)(v.f > 0.F);
        memcpy(x + i, &v, sizeof v);
    }
}

ISA static void NAME(round)(uint8_t *out, const float *x, size_t num_vectors, float scale,
                            float low, float high)
{
    typedef uint8_t column_bytes __attribute__((vector_size(LBW_COLUMNS)));
    for (size_t i = 0; i < num_vectors * LBW_COLUMNS; i += LBW_COLUMNS) {
        union lbw_columns v;
        memcpy(&v, x + i, sizeof v);
        v.f = v.f / scale;
        NAME(clamp)(&v, low, high);
        NAME(nearest)(&v);
        v.whole = __builtin_convertvector(v.f - low, lbw_column_ints);
        column_bytes narrow = __builtin_convertvector(v.whole, column_bytes);
        memcpy(out + i, &narrow, sizeof narrow);
    }
}

ISA static void NAME(halve_floats)(float *out, const float *in, size_t n)
{
    size_t i = 0;
    for (; i + LBW_COLUMNS < n; i += LBW_COLUMNS) { /* one more follows: all 32 are there */
        lbw_column_floats a, b;
        memcpy(&a, in + 2 * i, sizeof a);
        memcpy(&b, in + 2 * i + LBW_COLUMNS, sizeof b);
        a = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                    30);
        memcpy(out + i, &a, sizeof a);
    }
    for (; i < n; i++)
        out[i] = in[2 * i];
}

static const struct lbw_float_loops NAME(floats) = {
    .softmax = NAME(softmax),
    .products = NAME(products),
    .scale = NAME(scale),
    .bend = NAME(bend),
    .round = NAME(round),
    .halve = NAME(halve_floats),
};
