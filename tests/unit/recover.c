/* SPDX-License-Identifier: MIT */
/* Recovering grids from values, and the digest's own algorithm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "pass/recover.h"

/* A weight of two channels with three values each. */
static const struct lbw_grid *recover(struct lbw_codes *codes, enum lbw_group *group,
                                      const float *values, int32_t type)
{
    static const int64_t dims[] = {2, 3, 1};
    Onnx__TensorProto tensor = ONNX__TENSOR_PROTO__INIT;
    struct lbw_weight weight = {
        .item = {.op = "Conv", .dims = dims, .num_dims = 3, .count = 6},
        .tensor = &tensor,
        .layout = {.groups = 1,
                   .rows = 2,
                   .k = 3,
                   .taps = 1,
                   .group_stride = 6,
                   .row_stride = 3,
                   .in_stride = 1},
    };
    struct lbw_error err = {0};
    tensor.data_type = type;
    *codes = (struct lbw_codes){0};
    assert_int_equal(lbw_recover_values(codes, &weight, values, &err), LBW_OK);
    *group = weight.item.group;
    return weight.item.grid;
}

static void test_grids(void **state)
{
    (void)state;
    const float third = 1.0f / 3;
    const struct {
        float values[6];
        const char *grid; /* NULL: none */
        enum lbw_group group;
        float steps[2];
    } cases[] = {
        {{1, 0, -1, 1, 1, 0}, "2", LBW_GROUP_TENSOR, {1}},
        {{0, 0, 0, 0, 0, 0}, "2", LBW_GROUP_TENSOR, {1}},
        {{third, 0, -third, 5, -5, 5}, "2", LBW_GROUP_CHANNEL, {third, 5}},
        {{third, 2 * third, 0, 5, 0, 0}, "3", LBW_GROUP_CHANNEL, {third, 2.5f}},
        {{1, 2, 3, 0, -3, -2}, "2x2", LBW_GROUP_TENSOR, {1}},
        {{8, 1, 0, 0, 0, 4}, "4", LBW_GROUP_TENSOR, {1}},
        {{32768, 1, 0, 0, 0, 4}, "6", LBW_GROUP_TENSOR, {1}},
        {{65536, 1, 0, 0, 0, 4}, NULL, 0, {0}},
        {{1, 0.9f, 0.7f, 0, 0, 4}, NULL, 0, {0}},
        {{1, -0.0f, 1, 0, 0, 1}, NULL, 0, {0}}, /* a bit would be lost */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_codes codes;
        enum lbw_group group;
        const struct lbw_grid *grid = recover(&codes, &group, cases[i].values, TYPE(FLOAT));
        if (!grid != !cases[i].grid)
            fail_msg("case %zu: %s", i, grid ? grid->name : "no grid");
        if (!grid)
            continue;
        assert_string_equal(grid->name, cases[i].grid);
        assert_int_equal(group, cases[i].group);
        for (size_t k = 0; k < codes.num_steps; k++)
            assert_true(codes.steps[k] == cases[i].steps[k]);
        for (size_t k = 0; k < 6; k++)
            assert_true(codes.steps[codes.num_steps == 1 ? 0 : k / 3] *
                            (float)grid->levels[codes.codes[k]] ==
                        cases[i].values[k]);
        lbw_codes_release(&codes);
    }
}

/* A half holds no more than 2^-24: what lies below was rounded, and is found all the same. */
static void test_rounded_halves(void **state)
{
    (void)state;
    const float ulp = 0x1p-24f, step = 3 * 0x1p-26f; /* 0.75 ulp */
    const float values[] = {128 * step, ulp, 0, 64 * step, 2 * ulp, -ulp};
    struct lbw_codes codes;
    enum lbw_group group;
    assert_null(recover(&codes, &group, values, TYPE(FLOAT)));
    const struct lbw_grid *grid = recover(&codes, &group, values, TYPE(FLOAT16));
    assert_non_null(grid);
    assert_string_equal(grid->name, "5");
    lbw_codes_release(&codes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grids),
        cmocka_unit_test(test_rounded_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
