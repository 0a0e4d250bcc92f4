/* SPDX-License-Identifier: MIT */
/* Codes as digits in words, for the packed encoding, and as 2- and 4-bit types. */
#ifndef LBW_SRC_NUM_PACK_H
#define LBW_SRC_NUM_PACK_H

#include <stdbool.h>

#include <lbw/grid.h>

/*
 * Word i holds codes [i·k, i·k + k), k = grid->digits_per_word, as Σ code_j · L^j (the first
 * code is the least significant digit), little-endian, grid->word_size bytes, unsigned below
 * 2^63; missing codes at the end are 0.
 */
size_t lbw_pack_num_words(const struct lbw_grid *grid, size_t n);

/* `words` takes lbw_pack_num_words() × word_size bytes. */
void lbw_pack(void *words, const uint8_t *codes, size_t n, const struct lbw_grid *grid);

/* False when a word holds a digit string out of range (>= L^k); codes are then unspecified. */
bool lbw_unpack(uint8_t *codes, const void *words, size_t n, const struct lbw_grid *grid);

/* ONNX's INT4/INT2: two or four two's complement values a byte, least significant first. */
void lbw_pack_int4(unsigned char *out, const int8_t *values, size_t n);
void lbw_pack_int2(unsigned char *out, const int8_t *values, size_t n);
void lbw_unpack_int4(int8_t *out, const unsigned char *bytes, size_t n);
void lbw_unpack_int2(int8_t *out, const unsigned char *bytes, size_t n);

#endif
