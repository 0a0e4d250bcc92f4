/* SPDX-License-Identifier: MIT */
/* The test vectors of docs/format.md: levels, packing and the decoder agree with them. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "fixture.h"
#include "num/pack.h"
#include "num/project.h"
#include "pass/encode.h"

#define MAX_NUMBERS 128

/* One block of the document. */
struct block {
    const struct lbw_grid *grid;
    char scale_type[16];
    double levels[MAX_NUMBERS];
    uint64_t shape[MAX_NUMBERS], codes[MAX_NUMBERS], words[MAX_NUMBERS], scale[MAX_NUMBERS],
        values[MAX_NUMBERS];
    size_t num_levels, num_shape, num_codes, num_words, num_scale, num_values;
};

static size_t read_numbers(uint64_t *out, const char *text, int base)
{
    size_t num = 0;
    for (char *end; num < MAX_NUMBERS; text = end) {
        uint64_t value = strtoull(text, &end, base);
        if (end == text)
            break;
        out[num++] = value;
    }
    return num;
}

static uint64_t level_unit(const struct lbw_grid *grid)
{
    uint64_t unit = 1;
    while (2 * unit <= (uint64_t)grid->levels[grid->num_levels - 1])
        unit *= 2;
    return unit;
}

static void check_levels(const struct block *b)
{
    assert_int_equal(b->num_levels, b->grid->num_levels);
    for (size_t i = 0; i < b->num_levels; i++)
        assert_true(b->levels[i] * (double)level_unit(b->grid) == b->grid->levels[i]);
}

static void check_words(const struct block *b, const unsigned char *bytes)
{
    uint8_t codes[MAX_NUMBERS], unpacked[MAX_NUMBERS];
    unsigned char packed[MAX_NUMBERS * 8];
    for (size_t i = 0; i < b->num_codes; i++)
        codes[i] = (uint8_t)b->codes[i];
    assert_int_equal(lbw_pack_num_words(b->grid, b->num_codes), b->num_words);
    lbw_pack(packed, codes, b->num_codes, b->grid);
    assert_memory_equal(packed, bytes, b->num_words * (size_t)b->grid->word_size);
    assert_true(lbw_unpack(unpacked, bytes, b->num_codes, b->grid));
    assert_memory_equal(unpacked, codes, b->num_codes);
}

/* The block as an encoded weight, read by the program's own decoder. */
static void check_values(const struct block *b, unsigned char *words)
{
    bool is_half = strcmp(b->scale_type, "float16") == 0;
    size_t item = is_half ? 2 : 4;
    unsigned char scales[MAX_NUMBERS * 4];
    int64_t dims[] = {(int64_t)b->shape[0], (int64_t)b->shape[1]};
    int64_t num_words = (int64_t)b->num_words, scale_dims[] = {dims[0], 1};
    struct text bytes = small_model();
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    float values[MAX_NUMBERS];
    assert_int_equal(lbw_model_open_memory(&model, bytes.data, bytes.size, &err), LBW_OK);
    for (size_t i = 0; i < b->num_scale; i++)
        lbw_store_le(scales + item * i, b->scale[i], item);
    struct lbw_encoded encoded = {
        .kind = "packed",
        .grid = b->grid,
        .num_dims = 2,
        .dims = dims,
        .count = b->num_codes,
        .data_type = TYPE(FLOAT),
        .codes =
            lbw_tensor_new(model, "words", b->grid->word_size == 2 ? TYPE(UINT16) : TYPE(INT64),
                           &num_words, 1, words, b->num_words * (size_t)b->grid->word_size),
        .scale = lbw_tensor_new(model, "scale", is_half ? TYPE(FLOAT16) : TYPE(FLOAT),
                                scale_dims, 2, scales, item * b->num_scale),
    };
    if (lbw_decode_values(values, model, &encoded, &err) != LBW_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < b->num_codes; i++)
        assert_int_equal(lbw_float_bits(values[i]), b->values[i]);
    lbw_model_close(&model);
    free(bytes.data);
}

static void check_block(const struct block *b)
{
    unsigned char words[MAX_NUMBERS * 8];
    size_t size = (size_t)b->grid->word_size;
    assert_int_equal(b->num_shape, 2);
    assert_int_equal(b->num_codes, b->shape[0] * b->shape[1]);
    assert_int_equal(b->num_values, b->num_codes);
    assert_int_equal(b->num_scale, b->shape[0]);
    for (size_t i = 0; i < b->num_words; i++)
        lbw_store_le(words + size * i, b->words[i], size);
    check_levels(b);
    check_words(b, words);
    check_values(b, words);
}

static void read_line(struct block *b, char *line)
{
    char *rest = strchr(line, ' '), type[16];
    int digits, used;
    assert_non_null(rest);
    *rest++ = '\0';
    rest[strcspn(rest, "\n")] = '\0';
    if (strcmp(line, "grid") == 0) {
        *b = (struct block){.grid = lbw_grid_by_name(rest)};
        assert_non_null(b->grid);
    } else if (strcmp(line, "levels") == 0) {
        for (char *end; b->num_levels < MAX_NUMBERS; rest = end) {
            double level = strtod(rest, &end);
            if (end == rest)
                break;
            b->levels[b->num_levels++] = level;
        }
    } else if (strcmp(line, "word") == 0) {
        assert_int_equal(sscanf(rest, "%15s %d", type, &digits), 2);
        assert_string_equal(type, b->grid->word_size == 2 ? "uint16" : "int64");
        assert_int_equal(digits, b->grid->digits_per_word);
    } else if (strcmp(line, "shape") == 0) {
        b->num_shape = read_numbers(b->shape, rest, 10);
    } else if (strcmp(line, "codes") == 0) {
        b->num_codes = read_numbers(b->codes, rest, 10);
    } else if (strcmp(line, "words") == 0) {
        b->num_words = read_numbers(b->words, rest, 16);
    } else if (strcmp(line, "scale") == 0) {
        assert_int_equal(sscanf(rest, "%15s %n", b->scale_type, &used), 1);
        b->num_scale = read_numbers(b->scale, rest + used, 16);
    } else if (strcmp(line, "values") == 0) {
        b->num_values = read_numbers(b->values, rest, 16);
        check_block(b);
    } else {
        fail_msg("'%s' is no line of a vector", line);
    }
}

static void test_vectors(void **state)
{
    (void)state;
    const char *root = getenv("LBW_SOURCE_ROOT");
    char path[4096], line[4096];
    struct block block = {0};
    bool is_inside = false;
    size_t num_blocks = 0, num_grids;
    lbw_grid_table(&num_grids);
    snprintf(path, sizeof path, "%s/docs/format.md", root ? root : ".");
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "```", 3) == 0) {
            is_inside = strncmp(line, "```vectors", 10) == 0;
        } else if (is_inside && *line != '\n') {
            num_blocks += strncmp(line, "grid ", 5) == 0;
            read_line(&block, line);
        }
    }
    fclose(f);
    assert_int_equal(num_blocks, num_grids);
}

/* A word that no codes make is refused. */
static void test_word_out_of_range(void **state)
{
    (void)state;
    const unsigned char too_large[] = {0xff, 0xff}; /* 3^10 = 59049 */
    uint8_t codes[10];
    assert_false(lbw_unpack(codes, too_large, 10, lbw_grid_by_name("2")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_word_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
