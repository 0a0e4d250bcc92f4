/* SPDX-License-Identifier: MIT */
/*
 * The inner loops over vectors of WIDTH floats, 16 weights a round: included once per
 * instruction set by kernels_x86.c, which defines WIDTH, ISA (the functions' target attribute),
 * NAME(x), and where only an instruction will do: the vector types,
 * minimum(), maximum(), round(), convert(), bytes_store(), bytes_load(), table_look_up(),
 * search() (the number of thresholds reached) and load_rest() (vector j of what remains, zeros
 * behind it). Every sum is taken in the lanes that kernels.h prescribes.
 */
#define ROUND (LBW_LANES / WIDTH) /* vectors that hold the 16 weights of one round */

#define ints    NAME(ints)
#define floats  NAME(floats)
#define half    NAME(half)
#define doubles NAME(doubles)
#define longs   NAME(longs)

ISA static inline ints NAME(splat)(uint32_t value)
{
    return (ints){0} + (int32_t)value;
}

ISA static inline ints NAME(load_bits)(const float *w)
{
    ints bits;
    memcpy(&bits, w, sizeof bits);
    return bits;
}

/* Both halves of a vector, converted; exact. */
ISA static inline void NAME(widen)(doubles out[2], floats in)
{
    half parts[2];
    memcpy(parts, &in, sizeof parts);
    out[0] = NAME(convert)(parts[0]);
    out[1] = NAME(convert)(parts[1]);
}

/* What the loops need of a decision, kept in registers. */
struct NAME(decider) {
    ints first, before_second, most, zero_code;
    const struct lbw_decision *decision;
};

ISA static inline struct NAME(decider) NAME(decider)(const struct lbw_decision *decision)
{
    return (struct NAME(decider)){NAME(splat)(decision->thresholds[0]),
                                  NAME(splat)(decision->thresholds[1] - (1U << 23)),
                                  NAME(splat)((uint32_t)decision->num - 1),
                                  NAME(splat)((uint32_t)decision->zero_code), decision};
}

/*
 * The number of thresholds that magnitudes reach, as magnitude_index(). With octaves, one for
 * the first, and one for each octave from half the second up (a comparison that holds is -1).
 */
ISA static inline ints NAME(index)(ints bits, const struct NAME(decider) * decider,
                                   bool is_octaves)
{
    if (!is_octaves)
        return NAME(search)(bits, decider->decision);
    ints octaves = NAME(minimum)((bits - decider->before_second) >> 23, decider->most);
    return NAME(maximum)(octaves, (ints){0}) - (bits >= decider->first);
}

ISA static inline void NAME(scan_add)(ints *most, doubles sums[2], ints bits)
{
    doubles a[2];
    bits &= NAME(splat)(0x7fffffff);
    *most = NAME(maximum)(bits, *most);
    NAME(widen)(a, (floats)bits);
    sums[0] += a[0];
    sums[1] += a[1];
}

ISA static void NAME(scan)(uint32_t *greatest, double *sum, const float *w, size_t n)
{
    ints most[ROUND] = {{0}};
    doubles sums[2 * ROUND] = {{0}};
    size_t i = 0;
    for (; i + LBW_LANES <= n; i += LBW_LANES)
        for (int j = 0; j < ROUND; j++)
            NAME(scan_add)(&most[j], sums + 2 * j, NAME(load_bits)(w + i + j * WIDTH));
    if (i < n)
        for (int j = 0; j < ROUND; j++)
            NAME(scan_add)(&most[j], sums + 2 * j, NAME(load_rest)(w + i, n - i, j));
    double lanes[LBW_LANES];
    memcpy(lanes, sums, sizeof sums);
    *sum = sum_lanes(lanes);
    int32_t all[LBW_LANES], greatest_of_all = 0;
    memcpy(all, most, sizeof most);
    for (int j = 0; j < LBW_LANES; j++)
        greatest_of_all = all[j] > greatest_of_all ? all[j] : greatest_of_all;
    *greatest = (uint32_t)greatest_of_all;
}

FORCE_INLINE ISA static inline void NAME(ladder_add)(ints sums[LBW_LADDER], ints bits,
                                                     float scale,
                                                     const ints thresholds[LBW_LADDER])
{
    bits &= NAME(splat)(0x7fffffff);
    ints x = NAME(round)((floats)bits * scale);
#pragma GCC unroll 8
    for (int k = 0; k < LBW_LADDER; k++)
        sums[k] += NAME(maximum)(x, thresholds[k]);
}

/* A 32-bit lane holds 255 sums of up to 2^23. */
#define MOST ((size_t)WIDTH * 255)

ISA static void NAME(ladder)(int64_t sums[LBW_LADDER], const float *w, size_t n, float scale,
                             const int32_t thresholds[LBW_LADDER])
{
    ints limits[LBW_LADDER];
    longs totals[LBW_LADDER] = {{0}};
    for (int k = 0; k < LBW_LADDER; k++)
        limits[k] = NAME(splat)((uint32_t)thresholds[k]);
    for (size_t i = 0; i < n;) {
        ints partial[LBW_LADDER] = {{0}};
        size_t end = n - i < MOST ? n : i + MOST;
        for (; i + WIDTH <= end; i += WIDTH)
            NAME(ladder_add)(partial, NAME(load_bits)(w + i), scale, limits);
        if (i < end) {
            NAME(ladder_add)(partial, NAME(load_rest)(w + i, end - i, 0), scale, limits);
            i = end;
        }
        for (int k = 0; k < LBW_LADDER; k++)
            totals[k] += ((longs)partial[k] & UINT32_MAX) + ((longs)partial[k] >> 32);
    }
    /* the zeros that fill the last vector count as thresholds */
    int64_t num_filled = (int64_t)(-n % WIDTH);
    for (int k = 0; k < LBW_LADDER; k++) {
        uint64_t total = 0;
        for (int j = 0; j < WIDTH / 2; j++)
            total += totals[k][j];
        sums[k] = (int64_t)total - num_filled * thresholds[k];
    }
}

#undef MOST

ISA static inline ints NAME(codes)(ints bits, const struct NAME(decider) * decider,
                                   bool is_octaves)
{
    ints sign = bits >> 31;
    ints index = NAME(index)(bits & NAME(splat)(0x7fffffff), decider, is_octaves);
    return ((index ^ sign) - sign) + decider->zero_code;
}

FORCE_INLINE ISA static inline void NAME(nearest_of)(uint8_t *codes, const float *w, size_t n,
                                                     const struct lbw_decision *decision,
                                                     bool is_octaves)
{
    const struct NAME(decider) decider = NAME(decider)(decision);
    ints out[ROUND];
    size_t i = 0;
    for (; i + LBW_LANES <= n; i += LBW_LANES) {
        for (int j = 0; j < ROUND; j++)
            out[j] = NAME(codes)(NAME(load_bits)(w + i + j * WIDTH), &decider, is_octaves);
        NAME(bytes_store)(codes + i, out);
    }
    if (i < n) {
        uint8_t rest[LBW_LANES];
        for (int j = 0; j < ROUND; j++)
            out[j] = NAME(codes)(NAME(load_rest)(w + i, n - i, j), &decider, is_octaves);
        NAME(bytes_store)(rest, out);
        memcpy(codes + i, rest, n - i);
    }
}

ISA static void NAME(nearest)(uint8_t *codes, const float *w, size_t n,
                              const struct lbw_decision *decision)
{
    if (decision->is_octaves)
        NAME(nearest_of)(codes, w, n, decision, true);
    else
        NAME(nearest_of)(codes, w, n, decision, false);
}

/* Adds m·|w| and m·m, m the magnitude, of one vector; zeros add nothing. */
ISA static inline void NAME(fit_add)(doubles crosses[2], doubles squares[2], ints bits,
                                     const struct NAME(decider) * decider, bool is_octaves)
{
    bits &= NAME(splat)(0x7fffffff);
    ints index = NAME(index)(bits, decider, is_octaves);
    floats magnitude;
    if (is_octaves) /* 2^(index - 1), made of its exponent */
        magnitude = (floats)(((index + 126) << 23) & (bits >= decider->first));
    else
        magnitude = NAME(table_look_up)(index, decider->decision->magnitudes);
    doubles m[2], a[2];
    NAME(widen)(m, magnitude);
    NAME(widen)(a, (floats)bits);
    for (int k = 0; k < 2; k++) {
        crosses[k] += m[k] * a[k];
        squares[k] += m[k] * m[k];
    }
}

FORCE_INLINE ISA static inline void NAME(fit_of)(double *cross, double *square, const float *w,
                                                 size_t n, const struct lbw_decision *decision,
                                                 bool is_octaves)
{
    const struct NAME(decider) decider = NAME(decider)(decision);
    doubles crosses[2 * ROUND] = {{0}}, squares[2 * ROUND] = {{0}};
    size_t i = 0;
    for (; i + LBW_LANES <= n; i += LBW_LANES)
        for (int j = 0; j < ROUND; j++)
            NAME(fit_add)
    (crosses + 2 * j, squares + 2 * j, NAME(load_bits)(w + i + j * WIDTH), &decider,
     is_octaves);
    if (i < n)
        for (int j = 0; j < ROUND; j++)
            NAME(fit_add)
    (crosses + 2 * j, squares + 2 * j, NAME(load_rest)(w + i, n - i, j), &decider, is_octaves);
    double lanes[2][LBW_LANES];
    memcpy(lanes[0], crosses, sizeof crosses);
    memcpy(lanes[1], squares, sizeof squares);
    *cross = sum_lanes(lanes[0]);
    *square = sum_lanes(lanes[1]);
}

ISA static void NAME(fit)(double *cross, double *square, const float *w, size_t n,
                          const struct lbw_decision *decision)
{
    if (decision->is_octaves)
        NAME(fit_of)(cross, square, w, n, decision, true);
    else
        NAME(fit_of)(cross, square, w, n, decision, false);
}

ISA static void NAME(look_up)(float *out, const uint8_t *codes, size_t n,
                              const float values[LBW_MAX_LEVELS])
{
    size_t i = 0;
    for (; i + LBW_LANES <= n; i += LBW_LANES)
        for (int j = 0; j < ROUND; j++) {
            floats decoded =
                NAME(table_look_up)(NAME(bytes_load)(codes + i + j * WIDTH), values);
            memcpy(out + i + j * WIDTH, &decoded, sizeof decoded);
        }
    look_up_from(out, codes, i, n, values);
}

ISA static void NAME(compare)(double *error, double *energy, const float *w,
                              const uint8_t *codes, size_t n,
                              const float values[LBW_MAX_LEVELS])
{
    doubles errors[2 * ROUND] = {{0}}, energies[2 * ROUND] = {{0}};
    size_t i = 0;
    for (; i + LBW_LANES <= n; i += LBW_LANES)
        for (int j = 0; j < ROUND; j++) {
            floats decoded =
                NAME(table_look_up)(NAME(bytes_load)(codes + i + j * WIDTH), values);
            doubles q[2], a[2];
            NAME(widen)(q, decoded);
            NAME(widen)(a, (floats)NAME(load_bits)(w + i + j * WIDTH));
            for (int k = 0; k < 2; k++) {
                doubles d = q[k] - a[k];
                errors[2 * j + k] += d * d;
                energies[2 * j + k] += a[k] * a[k];
            }
        }
    double lanes[2][LBW_LANES];
    memcpy(lanes[0], errors, sizeof errors);
    memcpy(lanes[1], energies, sizeof energies);
    compare_from(lanes[0], lanes[1], w, codes, i, n, values);
    *error = sum_lanes(lanes[0]);
    *energy = sum_lanes(lanes[1]);
}

#undef ints
#undef floats
#undef half
#undef doubles
#undef longs
#undef ROUND
