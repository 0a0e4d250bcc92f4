/* SPDX-License-Identifier: MIT */
/*
 * Tiles of few positions: included by isa_x86.c for AVX-512 VNNI VBMI. Output channels fill the
 * vectors instead of positions, LBW_FLAT_ROWS of them; pixels are broadcast from the same
 * panel.
 */

/* Where a position's four pixels stand among the 256 bytes of a quad. */
static inline size_t flat_place(size_t position)
{
    return position / 4 % 4 * 64 + position / 16 * 16 + position % 4 * 4;
}

/* `num` positions from `first` on, to 32 bytes each. */
ISA static inline __attribute__((always_inline)) void
flat_positions(uint8_t *cells, const size_t num, size_t first, const uint8_t *panel,
               const int32_t *weights, size_t num_quads, const struct lbw_requant *to)
{
    __m512i a[7][2];
    const uint8_t *x[7];
#pragma GCC unroll 7
    for (size_t p = 0; p < num; p++) {
        x[p] = panel + flat_place(first + p);
        a[p][0] = _mm512_loadu_si512(to->bias);
        a[p][1] = _mm512_loadu_si512(to->bias + 16);
    }
    for (size_t k = 0; k < num_quads; k++) {
        __m512i low = _mm512_loadu_si512(weights + k * LBW_FLAT_ROWS);
        __m512i high = _mm512_loadu_si512(weights + k * LBW_FLAT_ROWS + 16);
#pragma GCC unroll 7
        for (size_t p = 0; p < num; p++) {
            int32_t word;
            memcpy(&word, x[p] + k * 256, sizeof word);
            __m512i pixels = _mm512_set1_epi32(word);
            a[p][0] = _mm512_dpbusd_epi32(a[p][0], pixels, low);
            a[p][1] = _mm512_dpbusd_epi32(a[p][1], pixels, high);
        }
    }
    const __m512i zero = _mm512_set1_epi32(to->zero);
#pragma GCC unroll 7
    for (size_t p = 0; p < num; p++)
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; v++) {
            __m512 value =
                _mm512_mul_ps(_mm512_cvtepi32_ps(a[p][v]), _mm512_loadu_ps(to->scale + 16 * v));
            __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(value), zero);
            q = _mm512_max_epi32(q, _mm512_setzero_si512());
            _mm_storeu_si128((__m128i *)(cells + (first + p) * LBW_FLAT_ROWS + 16 * v),
                             _mm512_cvtusepi32_epi8(q));
        }
}

/* 16 rows of 16 bytes, each `step` apart, to columns as rows 64 apart. */
ISA static inline void flat_transpose(uint8_t *out, const uint8_t *in, size_t step)
{
    __m128i r[16], t[16];
    for (size_t i = 0; i < 16; i++)
        r[i] = _mm_loadu_si128((const __m128i *)(in + i * step));
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < 8; i++) {
            t[2 * i] = _mm_unpacklo_epi8(r[i], r[i + 8]);
            t[2 * i + 1] = _mm_unpackhi_epi8(r[i], r[i + 8]);
        }
        memcpy(r, t, sizeof r);
    }
    for (size_t i = 0; i < 16; i++)
        _mm_storeu_si128((__m128i *)(out + i * 64), r[i]);
}

ISA static void flat_multiply(uint8_t *out, size_t out_step, size_t num_positions,
                              const uint8_t *panel, const int32_t *weights, size_t num_quads,
                              const struct lbw_requant *to)
{
    uint8_t cells[64 * LBW_FLAT_ROWS], rows[LBW_FLAT_ROWS * 64];
#define FLAT(num)                                                                              \
    case num:                                                                                  \
        flat_positions(cells, num, p, panel, weights, num_quads, to);                          \
        break
    for (size_t p = 0; p < num_positions; p += 7) {
        switch (num_positions - p) {
            FLAT(1);
            FLAT(2);
            FLAT(3);
            FLAT(4);
            FLAT(5);
            FLAT(6);
        default:
            flat_positions(cells, 7, p, panel, weights, num_quads, to);
            break;
        }
    }
#undef FLAT
    for (size_t p = 0; p < num_positions; p += 16)
        for (size_t m = 0; m < LBW_FLAT_ROWS; m += 16)
            flat_transpose(rows + m * 64 + p, cells + p * LBW_FLAT_ROWS + m, LBW_FLAT_ROWS);
    for (size_t m = 0; m < LBW_FLAT_ROWS; m++) {
        __m512i q = _mm512_loadu_si512(rows + m * 64);
        if (to->tables)
            q = avx512vbmi_look_up(q, to->tables + m * to->table_step);
        if (to->addend)
            q = add512(q, _mm512_loadu_si512(to->addend + m * to->addend_step), to);
        _mm512_storeu_si512(out + m * out_step, q);
    }
}
