/* SPDX-License-Identifier: MIT */
/* Maximum pooling: every instruction set gives the bytes of the definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../kernels.h"
#include "kernels/pool.h"

static void try_pool(const struct lbw_pool_params *p, const int64_t sides[2], size_t planes)
{
    const struct lbw_isa *all[LBW_MAX_ISAS];
    size_t num = lbw_isa_all(all);
    struct lbw_error err = {0};
    int64_t out[2];
    check(lbw_pool_output(out, p, sides, &err), &err);
    size_t in_size = planes * (size_t)(sides[0] * sides[1]);
    size_t size = planes * (size_t)(out[0] * out[1]);
    uint8_t *x = malloc(in_size + 1), *expected = malloc(size + 1), *y = malloc(size + 1);
    assert_true(x && expected && y);
    x = realloc(x, in_size + !in_size);
    for (size_t i = 0; i < in_size; i++)
        x[i] = (uint8_t)(draw(256) * draw(256) >> 8);
    check(lbw_pool_reference(expected, x, planes, sides, p, &err), &err);
    for (size_t i = 0; i < num; i++) {
        memset(y, 0xa5, size + 1);
        check(lbw_pool_run(y, x, planes, sides, p, all[i], &lbw_sequential, &err), &err);
        for (size_t k = 0; k < size; k++)
            if (y[k] != expected[k])
                fail_msg("%s: window %dx%d, stride %dx%d, input %dx%d, byte %zu of %zu: %d, "
                         "not %d",
                         all[i]->name, (int)p->kernel[0], (int)p->kernel[1], (int)p->strides[0],
                         (int)p->strides[1], (int)sides[0], (int)sides[1], k, size, y[k],
                         expected[k]);
        assert_int_equal(y[size], 0xa5);
    }
    free(x), free(expected), free(y);
}

static void equals_the_definition(void **unused)
{
    (void)unused;
    static const struct {
        struct lbw_pool_params params;
        int64_t sides[2];
    } cases[] = {
        {{{5, 5}, {1, 1}, {1, 1}, {2, 2, 2, 2}, false}, {13, 13}},
        {{{13, 13}, {1, 1}, {1, 1}, {6, 6, 6, 6}, false}, {13, 13}},
        {{{3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, false}, {104, 105}},
        {{{2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, false}, {26, 130}},
        {{{3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}, true}, {26, 26}},
        {{{1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, false}, {1, 1}},
        {{{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, false}, {0, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        try_pool(&cases[i].params, cases[i].sides, 5);
    try_pool(&cases[0].params, cases[0].sides, 0);
}

static void random_windows(void **unused)
{
    (void)unused;
    for (int i = 0; i < 500; i++) {
        struct lbw_pool_params p = {.rounds_up = draw(2)};
        int64_t sides[2];
        for (int k = 0; k < 2; k++) {
            p.kernel[k] = 1 + draw(6);
            p.strides[k] = 1 + draw(4);
            p.dilations[k] = 1 + draw(3);
            p.pads[k] = draw((uint32_t)p.kernel[k]);
            p.pads[k + 2] = draw((uint32_t)p.kernel[k]);
            sides[k] = (p.kernel[k] - 1) * p.dilations[k] + 1 + draw(90);
        }
        try_pool(&p, sides, 1 + draw(4));
    }
}

static void wrong_parameters_are_refused(void **unused)
{
    (void)unused;
    struct lbw_pool_params p = {{3, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, false};
    struct lbw_error err = {0};
    int64_t out[2];
    check(lbw_pool_output(out, &p, (const int64_t[2]){3, 3}, &err), &err);
    assert_int_equal(lbw_pool_output(out, &p, (const int64_t[2]){3, 2}, &err),
                     LBW_ERR_ARGUMENT);
    p.strides[0] = 0;
    assert_int_equal(lbw_pool_output(out, &p, (const int64_t[2]){3, 3}, &err),
                     LBW_ERR_ARGUMENT);
    p.strides[0] = INT64_MAX;
    assert_int_equal(lbw_pool_output(out, &p, (const int64_t[2]){3, 3}, &err),
                     LBW_ERR_ARGUMENT);
}

static int clear(void **unused)
{
    (void)unused;
    lbw_scratch_clear();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(random_windows),
        cmocka_unit_test(wrong_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, clear);
}
