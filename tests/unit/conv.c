/* SPDX-License-Identifier: MIT */
/* Convolutions on 8-bit tensors: every instruction set gives the bytes of the definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../kernels.h"
#include "kernels/conv.h"

/* One convolution with random numbers in it; everything is allocated exactly, for asan. */
struct setup {
    struct lbw_conv_params params;
    int64_t sides[2];
    int64_t num_images;
    int magnitude; /* of weights; 0: up to 127 */
    int extreme;   /* pixels are 0 or 255, weights ± the magnitude */
    int has_table;
    int has_sum;
};

static void *fresh(size_t num, size_t size)
{
    void *memory = malloc(num * size + (num == 0));
    assert_non_null(memory);
    return memory;
}

static void fill_params(struct lbw_conv_params *p, const struct setup *s)
{
    size_t num = (size_t)p->num_outputs;
    size_t products = (size_t)(p->num_inputs / p->groups * p->kernel[0] * p->kernel[1]);
    int magnitude = s->magnitude ? s->magnitude : 127;
    int8_t *weights = fresh(num * products, 1);
    int32_t *bias = fresh(num, sizeof *bias);
    float *scale = fresh(num, sizeof *scale);
    uint8_t *tables = s->has_table ? fresh(p->has_channel_tables ? num * 256 : 256, 1) : NULL;
    for (size_t i = 0; i < num * products; i++)
        weights[i] = (int8_t)(s->extreme ? (draw(8) ? magnitude : -magnitude)
                                         : (int)draw(2U * (uint32_t)magnitude + 1) - magnitude);
    for (size_t m = 0; m < num; m++) {
        bias[m] = (int32_t)draw(20000) - 10000;
        scale[m] = ((float)draw(1000) + 1) * 1e-3F * 40 /
                   ((float)magnitude * ((float)products + 1) * (s->extreme ? 60 : 8));
    }
    if (num > 2)
        scale[1] = 3e38F, scale[2] = 0;
    for (size_t i = 0; tables && i < (p->has_channel_tables ? num * 256 : 256); i++)
        tables[i] = (uint8_t)draw(256);
    p->weights = weights;
    p->bias = bias;
    p->scale = scale;
    p->tables = tables;
    if (s->has_sum) {
        struct lbw_conv_sum *sum = fresh(1, sizeof *sum);
        *sum = (struct lbw_conv_sum){(float)(1 + draw(3000)) * .001F,
                                     (float)(1 + draw(3000)) * .001F, (float)draw(400) - 300,
                                     (uint8_t)(draw(2) ? draw(256) : 0)};
        p->sum = sum;
    }
}

static void free_params(struct lbw_conv_params *p)
{
    free((void *)p->weights);
    free((void *)p->bias);
    free((void *)p->scale);
    free((void *)p->tables);
    free((void *)p->sum);
}

/* Tasks in the opposite order: none may depend on another. */
static void run_backwards(void *user, size_t num, void (*task)(void *argument, size_t i),
                          void *argument)
{
    (void)user;
    while (num--)
        task(argument, num);
}

static void compare(const struct setup *s, const struct lbw_conv_params *p, const uint8_t *x,
                    const uint8_t *r, const uint8_t *expected, size_t size)
{
    static const struct lbw_parallel backwards = {run_backwards, NULL};
    const struct lbw_isa *all[LBW_MAX_ISAS];
    size_t num = lbw_isa_all(all);
    for (size_t i = 0; i < num; i++) {
        struct lbw_conv *conv = NULL;
        struct lbw_error err = {0};
        uint8_t *y = fresh(size, 1);
        memset(y, 0xa5, size);
        check(lbw_conv_new(&conv, p, all[i], &err), &err);
        check(lbw_conv_run(conv, y, x, r, s->num_images, s->sides,
                           i % 2 ? &lbw_sequential : &backwards, &err),
              &err);
        for (size_t k = 0; k < size; k++)
            if (y[k] != expected[k])
                fail_msg("%s: %d to %d channels in %d groups, kernel %dx%d, stride %dx%d, "
                         "dilation %dx%d, pads %d %d %d %d, input %dx%d, byte %zu of %zu: %d, "
                         "not %d",
                         all[i]->name, (int)p->num_inputs, (int)p->num_outputs, (int)p->groups,
                         (int)p->kernel[0], (int)p->kernel[1], (int)p->strides[0],
                         (int)p->strides[1], (int)p->dilations[0], (int)p->dilations[1],
                         (int)p->pads[0], (int)p->pads[1], (int)p->pads[2], (int)p->pads[3],
                         (int)s->sides[0], (int)s->sides[1], k, size, y[k], expected[k]);
        free(y);
        lbw_conv_free(&conv);
    }
}

static void try_setup(const struct setup *s)
{
    struct lbw_conv_params p = s->params;
    struct lbw_error err = {0};
    int64_t out[2];
    check(lbw_conv_output(out, &p, s->sides, &err), &err);
    fill_params(&p, s);
    size_t in_size = (size_t)(s->num_images * p.num_inputs * s->sides[0] * s->sides[1]);
    size_t size = (size_t)(s->num_images * p.num_outputs * out[0] * out[1]);
    uint8_t *x = fresh(in_size, 1), *expected = fresh(size, 1);
    uint8_t *r = s->has_sum ? fresh(size, 1) : NULL;
    for (size_t i = 0; r && i < size; i++)
        r[i] = (uint8_t)draw(256);
    for (size_t i = 0; i < in_size; i++)
        x[i] = (uint8_t)(s->extreme ? (draw(4) ? 255 : 0) : draw(256));
    check(lbw_conv_reference(expected, x, r, s->num_images, s->sides, &p, &err), &err);
    compare(s, &p, x, r, expected, size);
    free(x);
    free(r);
    free(expected);
    free_params(&p);
}

#define SAME                                                                                   \
    1, {3, 3}, {1, 1}, {1, 1},                                                                 \
    {                                                                                          \
        1, 1, 1, 1                                                                             \
    }
#define ONE                                                                                    \
    1, {1, 1}, {1, 1}, {1, 1},                                                                 \
    {                                                                                          \
        0, 0, 0, 0                                                                             \
    }

/* outputs, inputs, groups, kernel, strides, dilations, pads, x_zero, y_zero */
static const struct setup cases[] = {
    {{64, 64, ONE, .x_zero = 7, .y_zero = 128}, {52, 52}, 1, .has_table = 1},
    {{1, 1, ONE}, {1, 1}, 1},
    {{7, 5, ONE, .x_zero = 255, .y_zero = 255}, {13, 13}, 3},
    {{13, 3, SAME, .x_zero = 9}, {17, 64}, 2, .has_table = 1},
    {{16, 12, SAME, .x_zero = 114, .y_zero = 3}, {31, 33}, 1},
    {{24, 3, 1, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, .x_zero = 50}, {47, 52}, 1},
    {{8, 3, 1, {6, 6}, {2, 2}, {1, 1}, {2, 2, 2, 2}, .x_zero = 50}, {64, 64}, 1},
    {{8, 3, 1, {7, 7}, {2, 2}, {1, 1}, {3, 3, 3, 3}, .x_zero = 50}, {56, 57}, 1},
    {{9, 4, 1, {3, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, .x_zero = 50}, {20, 21}, 1},
    {{9, 4, 1, {3, 2}, {3, 1}, {2, 3}, {2, 0, 1, 4}, .x_zero = 50}, {20, 21}, 2},
    {{5, 2, 1, {1, 1}, {1, 1}, {1, 1}, {1, 2, 3, 4}, .x_zero = 50}, {5, 6}, 1},
    {{64, 64, 64, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, .x_zero = 3}, {26, 26}, 1},
    {{33, 33, 33, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, .x_zero = 3}, {27, 26}, 2},
    {{10, 10, 10, {5, 5}, {1, 1}, {1, 1}, {2, 2, 2, 2}, .x_zero = 3}, {22, 22}, 1},
    {{10, 10, 10, {5, 5}, {2, 2}, {1, 1}, {2, 2, 2, 2}, .x_zero = 3}, {22, 23}, 1},
    {{12, 6, 6, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, .x_zero = 3}, {9, 70}, 1},
    {{12, 8, 4, {3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}, .x_zero = 3}, {19, 11}, 1},
    {{6, 64, ONE, .x_zero = 3}, {1, 1}, 2},
    {{20, 40, 1, {1, 1}, {2, 2}, {1, 1}, {0, 0, 0, 0}, .x_zero = 3}, {13, 14}, 1},
    {{3, 2, 1, {17, 17}, {1, 1}, {1, 1}, {8, 8, 8, 8}, .x_zero = 3}, {9, 9}, 1},
    {{130, 520, ONE, .x_zero = 3}, {13, 14}, 2}, /* more weights than stay in a cache */
    {{70, 128, SAME, .x_zero = 200}, {34, 37}, 1},
    {{64, 40, ONE, .x_zero = 9, .y_zero = 77}, {7, 7}, 2}, /* few positions in the last tile */
    {{32, 5, SAME, .x_zero = 3}, {14, 14}, 1},
    {{96, 12, 3, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, .x_zero = 3}, {10, 10}, 1},
    {{32, 8, 1, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}, .x_zero = 3}, {14, 15}, 2},
    {{32, 3, ONE, .x_zero = 3}, {1, 1}, 3},
    {{32, 9, ONE, .x_zero = 3}, {1, 52}, 1},
    {{3, 2, 1, {1, 5}, {1, 4}, {1, 1}, {0, 0, 0, 0}, .x_zero = 3}, {4, 5}, 1},
};

static void equals_the_definition(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct setup s = cases[i];
        random_numbers.state = i;
        try_setup(&s);
        s.magnitude = 8; /* 4-bit codes: pairs of products fit 16 bits */
        try_setup(&s);
        s.has_table = !s.has_table;
        try_setup(&s);
        s.has_table = s.params.has_channel_tables = true;
        try_setup(&s);
        s.has_sum = true;
        try_setup(&s);
    }
}

/* Codes of 40 with pixels of 255, and all that int8 holds. */
static void extremes_do_not_saturate(void **unused)
{
    static const int magnitudes[] = {40, 64, 65, 127};
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof magnitudes / sizeof *magnitudes; k++) {
            struct setup s = cases[i];
            random_numbers.state = i;
            s.magnitude = magnitudes[k];
            s.extreme = 1;
            try_setup(&s);
        }
}

static void dims_may_be_zero(void **unused)
{
    (void)unused;
    struct setup s = {{6, 4, ONE}, {8, 8}, 0};
    try_setup(&s); /* no images */
    s = (struct setup){{6, 0, ONE, .y_zero = 9}, {8, 8}, 2};
    try_setup(&s); /* no input channels: the bias */
    s = (struct setup){{0, 4, ONE}, {8, 8}, 2};
    try_setup(&s);
    s = (struct setup){{6, 4, SAME}, {0, 8}, 2};
    try_setup(&s);
    s = (struct setup){{6, 4, SAME}, {0, 0}, 2};
    try_setup(&s);
}

static void random_shapes(void **unused)
{
    (void)unused;
    random_numbers.state = 1234;
    for (int i = 0; i < 300; i++) {
        struct setup s = {.num_images = 1 + (int64_t)draw(2), .magnitude = draw(3) ? 8 : 127};
        struct lbw_conv_params *p = &s.params;
        p->groups = draw(3) ? 1 : 1 + draw(9);
        int64_t depth = draw(2) ? 1 : 1 + draw(9);
        p->num_inputs = p->groups * depth;
        p->num_outputs = p->groups * (depth == 1 && draw(2) ? 1 : 1 + (int64_t)draw(14));
        for (int k = 0; k < 2; k++) {
            p->kernel[k] = 1 + draw(5);
            p->strides[k] = 1 + draw(3);
            p->dilations[k] = 1 + draw(2);
            p->pads[k] = draw(4);
            p->pads[k + 2] = draw(4);
            s.sides[k] = (p->kernel[k] - 1) * p->dilations[k] + 1 + draw(70);
        }
        p->x_zero = (uint8_t)draw(256);
        p->y_zero = (uint8_t)draw(256);
        s.has_table = (int)draw(2);
        p->has_channel_tables = draw(2);
        s.has_sum = (int)draw(2);
        try_setup(&s);
    }
}

static void wrong_parameters_are_refused(void **unused)
{
    (void)unused;
    static const int8_t weights[64];
    static const float scale[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    static const float infinite[8] = {1, 1, __builtin_inff()};
    const struct lbw_conv_params good = {4, 4, ONE, .weights = weights, .scale = scale};
    struct lbw_conv_params p = good;
    struct lbw_conv *conv = NULL;
    struct lbw_error err = {0};
    check(lbw_conv_new(&conv, &p, NULL, &err), &err);
    lbw_conv_free(&conv);
    p.groups = 0;
    assert_int_equal(lbw_conv_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
    p.groups = 3;
    assert_int_equal(lbw_conv_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
    p = good;
    p.strides[1] = 0;
    assert_int_equal(lbw_conv_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
    p = good;
    p.pads[3] = -1;
    assert_int_equal(lbw_conv_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
    p = good;
    p.kernel[0] = INT64_MAX;
    assert_int_equal(lbw_conv_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
    p = good;
    p.num_inputs = p.num_outputs = 1 << 24;
    assert_int_equal(lbw_conv_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
    p = good;
    p.sum = &(const struct lbw_conv_sum){.own = 1, .other = 0};
    assert_int_equal(lbw_conv_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
    p = good;
    p.scale = infinite;
    assert_int_equal(lbw_conv_new(&conv, &p, NULL, &err), LBW_ERR_ARGUMENT);
    assert_null(conv);
    p = good;
    p.kernel[0] = 9;
    int64_t out[2];
    assert_int_equal(lbw_conv_output(out, &p, (const int64_t[2]){8, 8}, &err),
                     LBW_ERR_ARGUMENT);
}

static int say_which(void **unused)
{
    (void)unused;
    const struct lbw_isa *all[LBW_MAX_ISAS];
    size_t num = lbw_isa_all(all);
    for (size_t i = 0; i < num; i++)
        printf("# %s is tested\n", all[i]->name);
    return 0;
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
        cmocka_unit_test(extremes_do_not_saturate),
        cmocka_unit_test(dims_may_be_zero),
        cmocka_unit_test(random_shapes),
        cmocka_unit_test(wrong_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, say_which, clear);
}
