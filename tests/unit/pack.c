/* SPDX-License-Identifier: MIT */
/* pack: known words, every grid at every small length, words out of range, INT4 and INT2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bits.h"
#include "base/random.h"
#include "num/pack.h"
#include "num/project.h"

#define MAX_CODES 100

static void test_known_words(void **state)
{
    (void)state;
    unsigned char words[16];
    const uint8_t ternary[12] = {1, 2, 0, 0, 0, 0, 0, 0, 0, 2, 2, 1};
    const struct lbw_grid *grid = lbw_grid_by_name("2");
    assert_int_equal(lbw_pack_num_words(grid, 0), 0);
    assert_int_equal(lbw_pack_num_words(grid, 10), 1);
    assert_int_equal(lbw_pack_num_words(grid, 12), 2);
    lbw_pack(words, ternary, 12, grid);
    assert_int_equal(lbw_load_u16(words), 1 + 2 * 3 + 2 * 19683);
    assert_int_equal(lbw_load_u16(words + 2), 2 + 1 * 3);

    uint8_t codes[27];
    memset(codes, 4, sizeof codes);
    lbw_pack(words, codes, 27, lbw_grid_by_name("3"));
    assert_int_equal(lbw_load_u64(words), UINT64_C(7450580596923828124)); /* 5^27 - 1 */
}

/* The definition, digit by digit. */
static uint64_t reference_word(const uint8_t *codes, size_t num, const struct lbw_grid *grid)
{
    uint64_t word = 0, power = 1;
    for (size_t j = 0; j < num; j++, power *= (uint64_t)grid->num_levels)
        word += codes[j] * power;
    return word;
}

static void check_length(const struct lbw_grid *grid, size_t n, struct lbw_random *random)
{
    /* exact allocations, so that a sanitizer sees any access beyond them */
    size_t k = (size_t)grid->digits_per_word, size = (size_t)grid->word_size;
    size_t num_words = lbw_pack_num_words(grid, n);
    uint8_t *codes = malloc(n + 1), *back = malloc(n + 1);
    unsigned char *words = malloc(num_words * size + 1);
    assert_true(codes && back && words);
    for (size_t i = 0; i < n; i++)
        codes[i] = (uint8_t)lbw_random_below(random, (uint32_t)grid->num_levels);
    words[num_words * size] = back[n] = 0xa5;
    lbw_pack(words, codes, n, grid);
    for (size_t i = 0; i < num_words; i++) {
        uint64_t word = size == 2 ? lbw_load_u16(words + 2 * i) : lbw_load_u64(words + 8 * i);
        size_t num = n - i * k < k ? n - i * k : k;
        assert_int_equal(word, reference_word(codes + i * k, num, grid));
    }
    assert_true(lbw_unpack(back, words, n, grid));
    assert_memory_equal(back, codes, n);
    assert_int_equal(words[num_words * size], 0xa5);
    assert_int_equal(back[n], 0xa5);
    free(words);
    free(back);
    free(codes);
}

static void test_round_trip(void **state)
{
    (void)state;
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num);
    struct lbw_random random = {1};
    for (size_t i = 0; i < num; i++) {
        for (size_t n = 0; n <= MAX_CODES; n++)
            check_length(&grids[i], n, &random);
        for (size_t n = 1000; n < 20000; n += 1777)
            check_length(&grids[i], n, &random);
    }
}

static void test_all_largest(void **state)
{
    (void)state;
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num);
    for (size_t i = 0; i < num; i++) {
        uint8_t codes[5 * 27], back[5 * 27];
        unsigned char words[5 * 27 * 8];
        memset(codes, grids[i].num_levels - 1, sizeof codes);
        lbw_pack(words, codes, sizeof codes, &grids[i]);
        assert_true(lbw_unpack(back, words, sizeof back, &grids[i]));
        assert_memory_equal(back, codes, sizeof codes);
    }
}

/* The first word out of range is refused at every place in a run of good ones. */
static void test_out_of_range(void **state)
{
    (void)state;
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num);
    for (size_t i = 0; i < num; i++) {
        const struct lbw_grid *grid = &grids[i];
        size_t k = (size_t)grid->digits_per_word, size = (size_t)grid->word_size;
        uint64_t limit = 1;
        for (size_t j = 0; j < k; j++)
            limit *= (uint64_t)grid->num_levels;
        uint8_t codes[40 * 27];
        for (size_t bad = 0; bad < 40; bad++) {
            unsigned char words[40 * 8] = {0};
            lbw_store_le(words + bad * size, limit, size);
            assert_false(lbw_unpack(codes, words, 40 * k, grid));
            assert_false(lbw_unpack(codes, words, 39 * k + 1, grid) && bad < 39);
            lbw_store_le(words + bad * size, limit - 1, size);
            assert_true(lbw_unpack(codes, words, 40 * k, grid));
            memset(words + bad * size, 0xff, size);
            assert_false(lbw_unpack(codes, words, 40 * k, grid));
        }
    }
}

static void test_small_integers(void **state)
{
    (void)state;
    const int8_t fours[5] = {-8, 7, -1, 0, 3}, twos[6] = {-2, -1, 0, 1, 1, -2};
    unsigned char bytes[4] = {0, 0, 0, 0xa5};
    int8_t back[6];
    lbw_pack_int4(bytes, fours, 5);
    assert_memory_equal(bytes, "\x78\x0f\x03\xa5", 4);
    lbw_unpack_int4(back, bytes, 5);
    assert_memory_equal(back, fours, 5);
    memset(bytes, 0xa5, sizeof bytes);
    lbw_pack_int2(bytes, twos, 6);
    assert_memory_equal(bytes, "\x4e\x09\xa5\xa5", 4);
    lbw_unpack_int2(back, bytes, 6);
    assert_memory_equal(back, twos, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_words),    cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_all_largest),    cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_small_integers),
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
