/* SPDX-License-Identifier: MIT */
/*
 * The inner loops over vectors of LANES bytes: included once per instruction set by isa_x86.c
 * and isa_neon.c, which define LANES, ROWS, ISA (the functions' target attribute), NAME(x),
 * DOTS(X) (the dot products, X(suffix)), the types bytes and ints, and where only an
 * instruction will do: load(), load_masked(), store(), splat(), splat_word(), unpack(),
 * order(), to_bytes(), add(), look_up() and dot…().
 */
/* From one vector of a panel to the next: more where a tile fills the first half of them. */
#ifndef PANEL_STEP
#define PANEL_STEP LANES
#endif

#define ALL_LANES (LANES == 64 ? ~UINT64_C(0) : (UINT64_C(1) << (LANES % 64)) - 1)

#ifndef MULTIPLY_ONLY
/* The pixels of one row; padding holds `fill`. */
ISA static inline __attribute__((always_inline)) bytes
NAME(row)(const uint8_t *p, uint64_t mask, bytes fill, const struct lbw_rows *rows)
{
#ifdef MASKED_LOADS_ARE_SAFE
    (void)rows;
    return NAME(load_masked)(p, mask, fill);
#else
    uint8_t copy[LANES] = {0};
    uintptr_t address = (uintptr_t)p;
    if (mask == ALL_LANES)
        return NAME(load)(p);
    if (address >= (uintptr_t)rows->begin && address + LANES <= (uintptr_t)rows->end)
        return NAME(load_masked)(p, mask, fill);
    for (size_t i = 0; i < LANES; i++)
        copy[i] = mask >> i & 1 ? p[i] : rows->fill;
    return NAME(load)(copy);
#endif
}

/* Rows `first` to `first` + 3 of those of one pixel per channel, or zeros behind the last. */
ISA static inline __attribute__((always_inline)) void
NAME(quad_of_channels)(bytes out[4], const struct lbw_rows *rows, size_t first, bytes fill)
{
    const uint8_t *p = rows->base + rows->offsets[0] + first * rows->channel_step;
    bytes r[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        r[i] = first + i < rows->num_rows
                   ? NAME(row)(p + i * rows->channel_step, rows->masks[0], fill, rows)
                   : NAME(splat)(0);
    NAME(unpack)(out, r);
}

/* Taps `first` to `first` + 3 of one channel, or zeros behind the last of `num`. */
ISA static inline __attribute__((always_inline)) void
NAME(quad_of_taps)(bytes out[4], const struct lbw_rows *rows, const uint8_t *base,
                   const uint64_t *masks, size_t first, size_t num, bytes fill)
{
    bytes r[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        r[i] = first + i < num
                   ? NAME(row)(base + rows->offsets[first + i], masks[first + i], fill, rows)
                   : NAME(splat)(0);
    NAME(unpack)(out, r);
}

/* Four rows, from the one `*channel` and `*tap` stand at; zeros behind the last. */
ISA static inline __attribute__((always_inline)) void
NAME(quad)(bytes out[4], const struct lbw_rows *rows, size_t first, const uint8_t **channel,
           size_t *tap, bytes fill)
{
    bytes r[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        r[i] = NAME(splat)(0);
        if (first + i < rows->num_rows) {
            r[i] = NAME(row)(*channel + rows->offsets[*tap], rows->masks[*tap], fill, rows);
            if (++*tap == rows->num_taps) {
                *tap = 0;
                *channel += rows->channel_step;
            }
        }
    }
    NAME(unpack)(out, r);
}

ISA static void NAME(pack)(uint8_t *panel, const struct lbw_rows *rows)
{
    const uint8_t *channel = rows->base;
    bytes x[4], fill = NAME(splat)(rows->fill);
    size_t tap = 0;
    for (size_t k = 0; k < rows->num_rows; k += 4) {
        if (rows->num_taps == 1)
            NAME(quad_of_channels)(x, rows, k, fill);
        else
            NAME(quad)(x, rows, k, &channel, &tap, fill);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            NAME(store)(panel + (k + j) * LANES, x[j]);
    }
}
#endif

/* One output channel's sums to bytes. */
ISA static inline __attribute__((always_inline)) void
NAME(finish)(uint8_t *out, const ints sums[4], const struct lbw_requant *to, size_t m)
{
    bytes q = NAME(to_bytes)(sums, to->scale[m], to->zero);
    if (to->tables)
        q = NAME(look_up)(q, to->tables + m * to->table_step);
    if (to->addend)
        q = NAME(add)(q, NAME(load)(to->addend + m * to->addend_step), to);
    NAME(store)(out, q);
}

#ifndef MULTIPLY_ONLY
ISA static void NAME(maximum)(uint8_t *out, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        NAME(store)(out + i, NAME(larger)(NAME(load)(out + i), NAME(load)(in + i)));
}

ISA static void NAME(largest)(uint8_t *out, const uint8_t *const *rows, size_t num_rows,
                              size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        bytes x = NAME(load)(rows[0] + i);
        for (size_t r = 1; r < num_rows; r++)
            x = NAME(larger)(x, NAME(load)(rows[r] + i));
        NAME(store)(out + i, x);
    }
}

ISA static void NAME(look_up_all)(uint8_t *out, const uint8_t *in, size_t n,
                                  const uint8_t *table)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        NAME(store)(out + i, NAME(look_up)(NAME(load)(in + i), table));
    for (; i < n; i++)
        out[i] = table[in[i]];
}
#endif

/* A function of its own: the sums of the loop below would not all stay in registers. */
ISA static __attribute__((noinline)) void NAME(finish_rows)(uint8_t *out, size_t out_step,
                                                            size_t num, const ints sums[][4],
                                                            const struct lbw_requant *to)
{
    for (size_t m = 0; m < num; m++)
        NAME(finish)(out + m * out_step, sums[m], to, m);
}

#define ROWS_LOOP(suffix)                                                                      \
    ISA static inline __attribute__((always_inline)) void NAME(rows##suffix)(                  \
        ints sums[][4], const size_t num, const uint8_t *panel, const int32_t *weights,        \
        size_t num_quads, const int32_t *bias)                                                 \
    {                                                                                          \
        ints a[ROWS][4];                                                                       \
        _Pragma("GCC unroll 6") for (size_t m = 0; m < num; m++)                               \
            _Pragma("GCC unroll 4") for (size_t j = 0; j < 4; j++) a[m][j] =                   \
                NAME(splat_word)(bias[m]);                                                     \
        for (size_t k = 0; k < num_quads; k++) {                                               \
            bytes x[4];                                                                        \
            _Pragma("GCC unroll 4") for (size_t j = 0; j < 4; j++) x[j] =                      \
                NAME(load)(panel + (4 * k + j) * PANEL_STEP);                                  \
            _Pragma("GCC unroll 6") for (size_t m = 0; m < num; m++)                           \
            {                                                                                  \
                ints w = NAME(splat_word)(weights[k * num + m]);                               \
                _Pragma("GCC unroll 4") for (size_t j = 0; j < 4; j++) a[m][j] =               \
                    NAME(dot##suffix)(a[m][j], x[j], w);                                       \
            }                                                                                  \
        }                                                                                      \
        _Pragma("GCC unroll 6") for (size_t m = 0; m < num; m++)                               \
            _Pragma("GCC unroll 4") for (size_t j = 0; j < 4; j++) sums[m][j] = a[m][j];       \
    }                                                                                          \
    ISA static inline __attribute__((always_inline)) void NAME(all_rows##suffix)(              \
        ints sums[][4], size_t num, const uint8_t *panel, const int32_t *weights,              \
        size_t num_quads, const int32_t *bias)                                                 \
    {                                                                                          \
        switch (num) {                                                                         \
        case 1:                                                                                \
            NAME(rows##suffix)(sums, 1, panel, weights, num_quads, bias);                      \
            break;                                                                             \
        case 2:                                                                                \
            NAME(rows##suffix)(sums, 2, panel, weights, num_quads, bias);                      \
            break;                                                                             \
        case 3:                                                                                \
            NAME(rows##suffix)(sums, ROWS < 3 ? ROWS : 3, panel, weights, num_quads, bias);    \
            break;                                                                             \
        case 4:                                                                                \
            NAME(rows##suffix)(sums, ROWS < 4 ? ROWS : 4, panel, weights, num_quads, bias);    \
            break;                                                                             \
        case 5:                                                                                \
            NAME(rows##suffix)(sums, ROWS < 5 ? ROWS : 5, panel, weights, num_quads, bias);    \
            break;                                                                             \
        default:                                                                               \
            NAME(rows##suffix)(sums, ROWS, panel, weights, num_quads, bias);                   \
            break;                                                                             \
        }                                                                                      \
    }                                                                                          \
    ISA static void NAME(multiply##suffix)(uint8_t * out, size_t out_step, size_t num,         \
                                           const uint8_t *panel, const int32_t *weights,       \
                                           size_t num_quads, const struct lbw_requant *to)     \
    {                                                                                          \
        ints sums[ROWS][4];                                                                    \
        NAME(all_rows##suffix)(sums, num, panel, weights, num_quads, to->bias);                \
        NAME(finish_rows)(out, out_step, num, (const ints(*)[4])sums, to);                     \
    }
DOTS(ROWS_LOOP)

#ifndef MULTIPLY_ONLY
/* Sums in the order of positions: part b of vector j holds positions 16 b + 4 j to + 3. */
#define SUMS(suffix)                                                                           \
    ISA static void NAME(sums##suffix)(int32_t * out, size_t num, const uint8_t *panel,        \
                                       const int32_t *weights, size_t num_quads,               \
                                       const int32_t *bias)                                    \
    {                                                                                          \
        ints sums[ROWS][4];                                                                    \
        NAME(all_rows##suffix)(sums, num, panel, weights, num_quads, bias);                    \
        for (size_t m = 0; m < num; m++) {                                                     \
            ints ordered[4];                                                                   \
            NAME(order)(ordered, (const ints *)sums[m]);                                       \
            memcpy(out + m * LANES, ordered, sizeof ordered);                                  \
        }                                                                                      \
    }
DOTS(SUMS)
#undef SUMS
#define TAPS_LOOP(suffix)                                                                      \
    ISA static inline __attribute__((always_inline)) void NAME(taps##suffix)(                  \
        uint8_t * out, size_t num_tiles, const struct lbw_rows *rows, const int32_t *weights,  \
        const struct lbw_requant *to, const size_t num)                                        \
    {                                                                                          \
        const uint8_t *base = rows->base;                                                      \
        const uint64_t *masks = rows->masks;                                                   \
        bytes fill = NAME(splat)(rows->fill);                                                  \
        for (size_t t = 0; t < num_tiles; t++) {                                               \
            ints a[4];                                                                         \
            _Pragma("GCC unroll 4") for (size_t j = 0; j < 4; j++) a[j] =                      \
                NAME(splat_word)(to->bias[0]);                                                 \
            _Pragma("GCC unroll 7") for (size_t k = 0; k < num; k += 4)                        \
            {                                                                                  \
                bytes x[4];                                                                    \
                ints w = NAME(splat_word)(weights[k / 4]);                                     \
                NAME(quad_of_taps)(x, rows, base, masks, k, num, fill);                        \
                _Pragma("GCC unroll 4") for (size_t j = 0; j < 4; j++) a[j] =                  \
                    NAME(dot##suffix)(a[j], x[j], w);                                          \
            }                                                                                  \
            NAME(finish)(out, a, to, 0);                                                       \
            base += LANES;                                                                     \
            out += LANES;                                                                      \
            masks += num;                                                                      \
        }                                                                                      \
    }                                                                                          \
    ISA static void NAME(depthwise##suffix)(                                                   \
        uint8_t * out, size_t num_tiles, const struct lbw_rows *rows, const int32_t *weights,  \
        const struct lbw_requant *to)                                                          \
    {                                                                                          \
        if (rows->num_taps == 9)                                                               \
            NAME(taps##suffix)(out, num_tiles, rows, weights, to, 9);                          \
        else                                                                                   \
            NAME(taps##suffix)(out, num_tiles, rows, weights, to, rows->num_taps);             \
    }
DOTS(TAPS_LOOP)
#undef TAPS_LOOP
#endif

#undef ROWS_LOOP
#undef ALL_LANES
#undef PANEL_STEP
