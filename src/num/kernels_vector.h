/* SPDX-License-Identifier: MIT */
/*
 * The inner loops over vectors of WIDTH floats, 16 weights a round: included once per
 * instruction set by kernels_x86.c, which defines WIDTH, ISA (the functions' target attribute),
 * NAME(x), and where only an instruction will do: minimum(), maximum(),
 * convert(), bytes_store(), bytes_load() and table_look_up(), on vector types of its own. Every
 * sum is taken in the lanes that kernels.h prescribes.
 */
#define ROUND (LBW_LANES / WIDTH) /* vectors that hold the 16 weights of one round */

#define ints    NAME(ints)
#define floats  NAME(floats)
#define half    NAME(half)
#define doubles NAME(doubles)

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

/* The number of thresholds that magnitudes reach, as magnitude_index(). */
ISA static inline ints NAME(index)(ints bits, const struct lbw_decision *decision)
{
    ints index = {0};
    if (decision->is_octaves) {
        /* -1 for each comparison that holds; above the second threshold, count octaves */
        index -= bits >= NAME(splat)(decision->thresholds[0]);
        if (decision->num > 1) {
            ints above = bits - NAME(splat)(decision->thresholds[1]);
            ints octaves = NAME(minimum)(above >> 23, NAME(splat)((uint32_t)decision->num - 2));
            index += (octaves + 1) & (above >= 0);
        }
    } else {
        for (int i = 0; i < decision->num; i++)
            index -= bits >= NAME(splat)(decision->thresholds[i]);
    }
    return index;
}

ISA static uint32_t NAME(greatest)(const float *w, size_t n)
{
    ints most[4] = {{0}};
    size_t i = 0;
    for (; i + 4 * WIDTH <= n; i += 4 * WIDTH)
        for (int j = 0; j < 4; j++) {
            ints bits = NAME(load_bits)(w + i + j * WIDTH) & NAME(splat)(0x7fffffff);
            most[j] = NAME(maximum)(bits, most[j]);
        }
    uint32_t greatest = 0;
    for (int j = 0; j < 4; j++)
        for (int k = 0; k < WIDTH; k++)
            greatest = (uint32_t)most[j][k] > greatest ? (uint32_t)most[j][k] : greatest;
    return greatest_from(greatest, w, i, n);
}

ISA static void NAME(nearest)(uint8_t *codes, const float *w, size_t n,
                              const struct lbw_decision *decision)
{
    size_t i = 0;
    for (; i + LBW_LANES <= n; i += LBW_LANES) {
        ints out[ROUND];
        for (int j = 0; j < ROUND; j++) {
            ints bits = NAME(load_bits)(w + i + j * WIDTH), sign = bits >> 31;
            ints index = NAME(index)(bits & NAME(splat)(0x7fffffff), decision);
            out[j] = ((index ^ sign) - sign) + NAME(splat)((uint32_t)decision->zero_code);
        }
        NAME(bytes_store)(codes + i, out);
    }
    nearest_from(codes, w, i, n, decision);
}

ISA static void NAME(fit)(double *cross, double *square, const float *w, size_t n,
                          const struct lbw_decision *decision)
{
    doubles crosses[2 * ROUND] = {{0}}, squares[2 * ROUND] = {{0}};
    size_t i = 0;
    for (; i + LBW_LANES <= n; i += LBW_LANES)
        for (int j = 0; j < ROUND; j++) {
            ints bits = NAME(load_bits)(w + i + j * WIDTH) & NAME(splat)(0x7fffffff);
            ints index = NAME(index)(bits, decision);
            floats magnitude;
            if (decision->is_octaves)
                magnitude = (floats)(((index + 126) << 23) & (index > 0));
            else
                magnitude = NAME(table_look_up)(index, decision->magnitudes);
            doubles m[2], a[2];
            NAME(widen)(m, magnitude);
            NAME(widen)(a, (floats)bits);
            for (int k = 0; k < 2; k++) {
                crosses[2 * j + k] += m[k] * a[k];
                squares[2 * j + k] += m[k] * m[k];
            }
        }
    double lanes[2][LBW_LANES];
    memcpy(lanes[0], crosses, sizeof crosses);
    memcpy(lanes[1], squares, sizeof squares);
    fit_from(lanes[0], lanes[1], w, i, n, decision);
    *cross = sum_lanes(lanes[0]);
    *square = sum_lanes(lanes[1]);
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
#undef ROUND
