/* SPDX-License-Identifier: MIT */
/*
 * The loops on floats: included once per instruction set, which defines ISA (the functions'
 * target attribute), NAME(x) and WIDTH (floats in a vector: 4, 8 or 16), and may define
 * SMALLER(a, b) and LARGER(a, b) as one instruction. The vectors are the compiler's own;
 * operations and their order are the same everywhere, and so are the bits.
 */

typedef float NAME(reals) __attribute__((vector_size(4 * WIDTH)));
typedef float NAME(loose) __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef uint32_t NAME(words) __attribute__((vector_size(4 * WIDTH)));
typedef int32_t NAME(wholes) __attribute__((vector_size(4 * WIDTH)));
union NAME(cell) {
    NAME(reals) f;
    NAME(words) bits;
    NAME(wholes) whole;
};

#define reals  NAME(reals)
#define loose  NAME(loose)
#define words  NAME(words)
#define wholes NAME(wholes)
#define cell   union NAME(cell)

ISA static inline __attribute__((always_inline)) reals NAME(pick)(wholes takes_a, reals a,
                                                                  reals b)
{
    cell x = {.f = a}, y = {.f = b};
    x.bits = (x.bits & (words)takes_a) | (y.bits & ~(words)takes_a);
    return x.f;
}

/* b where one of them is NaN. */
#ifndef SMALLER
#define SMALLER(a, b) NAME(pick)((a) < (b), a, b)
#define LARGER(a, b)  NAME(pick)((a) > (b), a, b)
#endif

/* Those at a pointer to floats; GCC copies 32 bytes in two halves with memcpy(). */
#define AT(p)       (*(const loose *)(p))
#define PUT(p, ...) (*(loose *)(p) = (__VA_ARGS__))

/* A number in all places. */
#define ALL(x) ((reals){0} + (x))

/* Adds and subtracts 1.5 · 2^23: the last bit stands for 1. */
#define SHIFT 12582912.F

/* e to the power of x, 2 ulp, for x at most 0 or NaN; below -87 it is 0. The polynomial is that
 * of Cephes' expf. */
ISA static inline __attribute__((always_inline)) reals NAME(exponential)(reals x)
{
    cell t, power, result;
    t.f = x * 1.44269504F + SHIFT;
    reals n = t.f - SHIFT;
    reals r = x - n * .693359375F - n * -2.12194440e-4F;
    reals p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.F;
    power.bits = (t.bits << 23) + (127U << 23);
    result.f = p * power.f;
    result.bits &= ~(words)(x < -87.F);
    return result.f;
}

/* `width` vectors of columns side by side, `step` floats from row to row. */
ISA static inline __attribute__((always_inline)) void
NAME(columns)(float *y, const float *x, size_t num_rows, size_t step, const size_t width)
{
    reals most[4], sum[4], v;
#pragma GCC unroll 4
    for (size_t j = 0; j < width; j++) {
        most[j] = AT(x + j * WIDTH);
        sum[j] = ALL(0.F);
    }
    for (size_t i = 1; i < num_rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++)
            most[j] = LARGER(AT(x + i * step + j * WIDTH), most[j]);
    for (size_t i = 0; i < num_rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++) {
            v = NAME(exponential)(AT(x + i * step + j * WIDTH) - most[j]);
            sum[j] += v;
            PUT(y + i * step + j * WIDTH, v);
        }
#pragma GCC unroll 4
    for (size_t j = 0; j < width; j++)
        sum[j] = 1.F / sum[j];
    for (size_t i = 0; i < num_rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++)
            PUT(y + i * step + j * WIDTH, AT(y + i * step + j * WIDTH) * sum[j]);
}

ISA static void NAME(softmax)(float *y, const float *x, size_t num_rows, size_t step,
                              size_t num_vectors)
{
    size_t i = 0, num = num_vectors * LBW_COLUMNS;
    for (; i + (size_t)4 * WIDTH <= num; i += (size_t)4 * WIDTH)
        NAME(columns)(y + i, x + i, num_rows, step, 4);
    for (; i < num; i += WIDTH)
        NAME(columns)(y + i, x + i, num_rows, step, 1);
}

/* `num` channels at `width` vectors of positions: their sums stay in registers. */
ISA static inline __attribute__((always_inline)) void
NAME(products_of)(float *sums, const size_t num, const size_t width, const float *x,
                  const ptrdiff_t *offsets, size_t num_products, const float *weights,
                  const float *bias)
{
    reals a[LBW_FLOAT_ROWS][4];
#pragma GCC unroll 4
    for (size_t m = 0; m < num; m++)
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++)
            a[m][j] = ALL(bias[m]);
    for (size_t k = 0; k < num_products; k++) {
        reals v[4];
#pragma GCC unroll 4
        for (size_t j = 0; j < width; j++)
            v[j] = AT(x + offsets[k] + j * WIDTH);
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
            PUT(sums + 4 * m * LBW_COLUMNS + j * WIDTH, a[m][j]);
}

/* As many vectors as half of the registers hold for four channels. */
#define MOST_VECTORS (WIDTH == 8 ? 2 : 4)

#define PRODUCTS(num)                                                                          \
    case num:                                                                                  \
        if (left >= MOST_VECTORS)                                                              \
            NAME(products_of)                                                                  \
        (sums, num, MOST_VECTORS, x, offsets, num_products, weights, bias);                    \
        else if (left >= 2)                                                                    \
            NAME(products_of)(sums, num, 2, x, offsets, num_products, weights, bias);          \
        else NAME(products_of)(sums, num, 1, x, offsets, num_products, weights, bias);         \
        break

ISA static void NAME(products)(float *sums, size_t num, size_t width, const float *x,
                               const ptrdiff_t *offsets, size_t num_products,
                               const float *weights, const float *bias)
{
    size_t left = width * LBW_COLUMNS / WIDTH;
    for (size_t done; left; left -= done, x += done * WIDTH, sums += done * WIDTH) {
        done = left >= MOST_VECTORS ? MOST_VECTORS : left >= 2 ? 2 : 1;
        switch (num) {
            PRODUCTS(1);
            PRODUCTS(2);
            PRODUCTS(3);
            PRODUCTS(4);
        }
    }
}
#undef PRODUCTS
#undef MOST_VECTORS

ISA static void NAME(scale)(float *out, const int32_t *sums, size_t num_vectors, float scale,
                            float bias)
{
    for (size_t i = 0; i < num_vectors * LBW_COLUMNS; i += WIDTH) {
        const cell sum = {.f = AT(sums + i)};
        PUT(out + i, __builtin_convertvector(sum.whole, reals) * scale + bias);
    }
}

/* At least `low`, at most `high`, rounded to the nearest integer, ties to even; for bounds
 * below 2^22. NaN becomes `low`. */
ISA static inline __attribute__((always_inline)) reals NAME(nearest)(reals x, float low,
                                                                     float high)
{
    x = SMALLER(LARGER(x, ALL(low)), ALL(high));
    return (x + SHIFT) - SHIFT;
}

/*
 * 1 / (1 + 2^y), y = -x · log2(e), less than 2e-7 off. 2^f is a polynomial of degree 5, which
 * 2^n multiplies by way of the exponent; y beyond its range changes nothing that is left of x.
 */
ISA static inline __attribute__((always_inline)) reals NAME(sigmoid)(reals x)
{
    cell t, p;
    reals y = SMALLER(LARGER(x * -1.44269504F, ALL(-60.F)), ALL(60.F));
    t.f = y + SHIFT;
    reals f = y - (t.f - SHIFT);
    p.f = f * 1.3264727e-3F + 9.6715127e-3F;
    p.f = p.f * f + 5.5507337e-2F;
    p.f = p.f * f + 2.4022242e-1F;
    p.f = p.f * f + 6.9314698e-1F;
    p.f = p.f * f + 1.F;
    p.bits += t.bits << 23;
    return 1.F / (p.f + 1.F);
}

/* x · round(sigmoid(x)) */
ISA static inline __attribute__((always_inline)) reals
NAME(gate)(reals x, const struct lbw_ending *ending, float per_step)
{
    reals steps = NAME(sigmoid)(x) * per_step;
    steps = NAME(nearest)(steps, ending->gate_low, ending->gate_high);
    return x * (steps * ending->gate_scale);
}

ISA static void NAME(bend)(float *x, size_t num_vectors, const struct lbw_ending *given)
{
    const struct lbw_ending copy = *given, *ending = &copy; /* which x cannot change */
    const float per_step = 1.F / ending->gate_scale;
    for (size_t i = 0; i < num_vectors * LBW_COLUMNS; i += WIDTH) {
        cell v = {.f = AT(x + i)};
        if (ending->curve == LBW_CURVE_GATED)
            v.f = NAME(gate)(v.f, ending, per_step);
        else if (ending->curve == LBW_CURVE_RELU)
            v.bits &= (words)(v.f > 0.F);
        PUT(x + i, v.f);
    }
}

ISA static void NAME(round)(uint8_t *out, const float *x, size_t num_vectors, float scale,
                            float low, float high)
{
    typedef uint8_t narrow __attribute__((vector_size(WIDTH)));
    for (size_t i = 0; i < num_vectors * LBW_COLUMNS; i += WIDTH) {
        reals v = NAME(nearest)(AT(x + i) / scale, low, high) - low;
        narrow near = __builtin_convertvector(__builtin_convertvector(v, wholes), narrow);
        memcpy(out + i, &near, sizeof near);
    }
}

#if WIDTH == 16
#define EVEN_ONES 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#elif WIDTH == 8
#define EVEN_ONES 0, 2, 4, 6, 8, 10, 12, 14
#else
#define EVEN_ONES 0, 2, 4, 6
#endif

ISA static void NAME(halve_floats)(float *out, const float *in, size_t n)
{
    size_t i = 0;
    for (; i + WIDTH < n; i += WIDTH) { /* one more follows: all of both vectors are there */
        reals a = AT(in + 2 * i), b = AT(in + 2 * i + WIDTH);
        PUT(out + i, __builtin_shufflevector(a, b, EVEN_ONES));
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

#undef reals
#undef loose
#undef words
#undef wholes
#undef cell
#undef AT
#undef PUT
#undef ALL
#undef SHIFT
#undef EVEN_ONES
#undef SMALLER
#undef LARGER
#undef WIDTH
