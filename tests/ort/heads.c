/* SPDX-License-Identifier: MIT */
/*
 * Heads of detectors: what exporters write between the last convolutions and the outputs gives
 * the same as one operator, with the operator library and without it. So does a Resize.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../check.h"
#include "../native.h"
#include "../runtime.h"
#include <lbw/convert.h>
#include <lbw/runtime.h>

#include "feed/array.h"
#include "kernels/isa.h"
#include "pass/native.h"
#include "run/session.h"

#define CHANNELS 6 /* of the image */

/* How rows are made. */
enum form {
    TURNED,       /* Reshape, Transpose, Concat along axis 1 */
    SIDE_BY_SIDE, /* Reshape, Concat along the last axis, Transpose */
    ANCHORS,      /* Transpose, Reshape, Concat along axis -2 */
    COMPUTED,     /* as ANCHORS, with shapes that are put together */
    SCORED,       /* as COMPUTED, of the shape before the Transpose; then a Sigmoid */
    SPLIT,        /* one output of a Split, then as TURNED */
};

struct head {
    const char *op; /* that it becomes; NULL: none */
    enum form form;
    const char *letters; /* of the parts */
    int64_t channels[3];
    int levels;
    int64_t batch, width; /* of the Reshape */
};

/* Bytes TO of a convolution 1x1 of q, with that stride. */
static void put_conv(struct text *graph, const char *to, int64_t num, int64_t stride)
{
    const int64_t dims[] = {num, CHANNELS, 1, 1};
    struct text attributes = {0};
    struct lbw_random random = {(uint64_t)num};
    int8_t codes[64 * CHANNELS];
    const float scale = .03F, bias_scale = .02F * scale;
    int32_t bias[64];
    char inputs[200];
    for (int64_t i = 0; i < num * CHANNELS; i++)
        codes[i] = (int8_t)((int)lbw_random_below(&random, 81) - 40);
    for (int64_t i = 0; i < num; i++)
        bias[i] = (int32_t)lbw_random_below(&random, 2000) - 1000;
    put_tensor(graph, name_of(to, "_w"), TYPE(INT8), dims, 4, codes, (size_t)num * CHANNELS);
    put_tensor(graph, name_of(to, "_w_scale"), TYPE(FLOAT), NULL, 0, &scale, 4);
    put_tensor(graph, name_of(to, "_b"), TYPE(INT32), dims, 1, bias, 4 * (size_t)num);
    put_tensor(graph, name_of(to, "_b_scale"), TYPE(FLOAT), NULL, 0, &bias_scale, 4);
    snprintf(inputs, sizeof inputs, "%s_w %s_w_scale", to, to);
    put_op(graph, "DequantizeLinear", inputs, name_of(to, "_w_real"), NULL);
    snprintf(inputs, sizeof inputs, "%s_b %s_b_scale", to, to);
    put_op(graph, "DequantizeLinear", inputs, name_of(to, "_b_real"), NULL);
    attribute_ints(&attributes, "strides", (const int64_t[]){stride, stride}, 2);
    snprintf(inputs, sizeof inputs, "q_real %s_w_real %s_b_real", to, to);
    put_op(graph, "Conv", inputs, name_of(to, "_conv"), &attributes);
    put_scaling(graph, to, .05F + .01F * (float)num, 120);
    put_quantize(graph, name_of(to, "_conv"), to, to);
}

static void put_shape(struct text *graph, const struct head *h, const char *of, const char *to)
{
    const int64_t three = 3, one = 1, zero = 0, least = -1;
    const int64_t planes[] = {h->batch, h->width, -1}, rows[] = {h->batch, -1, h->width};
    struct text axis = {0};
    if (h->form != COMPUTED && h->form != SCORED) {
        put_tensor(graph, to, TYPE(INT64), &three, 1, h->form == ANCHORS ? rows : planes, 24);
        return;
    }
    put_tensor(graph, name_of(to, "_zero"), TYPE(INT64), NULL, 0, &zero, 8);
    put_tensor(graph, name_of(to, "_axis"), TYPE(INT64), &one, 1, &zero, 8);
    put_tensor(graph, name_of(to, "_least"), TYPE(INT64), &one, 1, &least, 8);
    put_tensor(graph, name_of(to, "_width"), TYPE(INT64), &one, 1, &h->width, 8);
    char inputs[200];
    put_op(graph, "Shape", of, name_of(to, "_of"), NULL);
    snprintf(inputs, sizeof inputs, "%s_of %s_zero", to, to);
    put_op(graph, "Gather", inputs, name_of(to, "_batch"), NULL);
    snprintf(inputs, sizeof inputs, "%s_batch %s_axis", to, to);
    put_op(graph, "Unsqueeze", inputs, name_of(to, "_first"), NULL);
    snprintf(inputs, sizeof inputs, "%s_first %s_least %s_width", to, to, to);
    attribute_int(&axis, "axis", 0);
    put_op(graph, "Concat", inputs, to, &axis);
}

/* Level l up to a tensor of rank 4, whose name is returned. */
static const char *put_level(struct text *graph, const struct head *h, int l)
{
    size_t num = strlen(h->letters);
    char list[200] = "", to[16], level[16];
    struct text attributes = {0};
    snprintf(level, sizeof level, "level%d", l);
    for (size_t p = 0; p < num; p++) {
        snprintf(to, sizeof to, "a%d%zu", l, p);
        put_conv(graph, to, h->channels[p], l + 1);
        put_dequantize(graph, to, "_real");
        if (h->form == SPLIT) {
            const int64_t two = 2, sizes[] = {h->channels[p] - h->width, h->width};
            put_tensor(graph, "sizes", TYPE(INT64), &two, 1, sizes, 16);
            attribute_int(&attributes, "axis", 1);
            put_op(graph, "Split", name_of(to, "_real sizes"), "others a00_part", &attributes);
        }
        if (h->letters[p] == 'S' && h->form != SCORED)
            put_op(graph, "Sigmoid", h->form == SPLIT ? "a00_part" : name_of(to, "_real"),
                   name_of(to, "_score"), NULL);
        strcat(strcat(list, p ? " " : ""), to);
        strcat(list, h->letters[p] == 'S' && h->form != SCORED ? "_score"
                     : h->form == SPLIT                        ? "_part"
                                                               : "_real");
    }
    if (num == 1)
        return name_of(list, "");
    attribute_int(&attributes, "axis", 1);
    put_op(graph, "Concat", list, level, &attributes);
    return name_of(level, "");
}

static struct text make_model(const struct head *h)
{
    const int64_t turn[] = {0, 2, 1}, last[] = {0, 2, 3, 1};
    struct text graph = {0}, attributes = {0};
    char list[200] = "", inputs[200], rows[16], turned[24], shape[16];
    put_scaling(&graph, "q", .02F, 100);
    put_quantize(&graph, "x", "q", "q");
    put_dequantize(&graph, "q", "_real");
    for (int l = 0; l < h->levels; l++) {
        const char *level = put_level(&graph, h, l);
        bool is_turned = h->form == TURNED || h->form == SPLIT;
        bool is_first = h->form == ANCHORS || h->form == COMPUTED || h->form == SCORED;
        snprintf(rows, sizeof rows,
                 h->levels > 1             ? "rows%d"
                 : h->form == SIDE_BY_SIDE ? "all"
                                           : "y",
                 l);
        snprintf(turned, sizeof turned, "turned%d", l);
        snprintf(shape, sizeof shape, "shape%d", l);
        put_shape(&graph, h, is_first && h->form != SCORED ? turned : level, shape);
        if (is_first) {
            attribute_ints(&attributes, "perm", last, 4);
            put_op(&graph, "Transpose", level, turned, &attributes);
        }
        snprintf(inputs, sizeof inputs, "%s %s", is_first ? turned : level, shape);
        put_op(&graph, "Reshape", inputs,
               is_turned           ? turned
               : h->form == SCORED ? shape + 1
                                   : rows,
               NULL);
        if (h->form == SCORED)
            put_op(&graph, "Sigmoid", shape + 1, rows, NULL);
        if (is_turned) {
            attribute_ints(&attributes, "perm", turn, 3);
            put_op(&graph, "Transpose", turned, rows, &attributes);
        }
        strcat(strcat(list, l ? " " : ""), rows);
    }
    if (h->levels > 1) {
        attribute_int(&attributes, "axis",
                      h->form == SIDE_BY_SIDE ? -1
                      : h->form == ANCHORS    ? -2
                                              : 1);
        put_op(&graph, "Concat", list, h->form == SIDE_BY_SIDE ? "all" : "y", &attributes);
    }
    if (h->form == SIDE_BY_SIDE) {
        attribute_ints(&attributes, "perm", turn, 3);
        put_op(&graph, "Transpose", "all", "y", &attributes);
    }
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), (const int64_t[]){-1, CHANNELS, -1, -1}, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    return finish_model(&graph, 8, 14);
}

static enum lbw_status run(struct lbw_array *y, const void *bytes, size_t size, int threads,
                           const int64_t image[4], struct lbw_error *err)
{
    struct lbw_session *session = NULL;
    struct lbw_array x;
    const struct lbw_session_params params = {
        .optimize = 99, .native = threads > 0, .num_threads = threads ? threads : 1};
    enum lbw_status status = lbw_session_open(&session, bytes, size, &params, err);
    if (status != LBW_OK)
        return status;
    check(lbw_array_init(&x, TYPE(FLOAT), image, 4, err), err);
    float *values = draw_values("picture", x.size / 4, 0, 2.5F);
    memcpy(x.data, values, x.size);
    free(values);
    status = lbw_session_run(session, &x, y, err);
    lbw_array_release(&x);
    lbw_session_close(&session);
    return status;
}

/* Sigmoids differ in the last bit or two. */
static void compare(const struct lbw_array *a, const struct lbw_array *b, const char *what)
{
    const float *x = a->data, *y = b->data;
    assert_int_equal(a->num_dims, b->num_dims);
    assert_memory_equal(a->dims, b->dims, a->num_dims * sizeof *a->dims);
    for (size_t i = 0; i < a->size / 4; i++)
        if (x[i] != y[i] && !(x[i] > 0 && x[i] < 1 && fabsf(x[i] - y[i]) < 2e-7F))
            fail_msg("%s: value %zu is %.9g, not %.9g", what, i, (double)y[i], (double)x[i]);
}

static bool calls(const struct lbw_model *model, const char *op)
{
    for (size_t i = 0; i < model->proto->graph->n_node; i++)
        if (strncmp(model->proto->graph->node[i]->op_type, op, strlen(op)) == 0)
            return true;
    return false;
}

/* The QDQ model, its functions, and the kernels: of every instruction set, with two threads. */
static void compare_all(const struct text *bytes, struct lbw_model *model, const char *what,
                        const int64_t image[4])
{
    const struct lbw_isa *isas[LBW_MAX_ISAS];
    size_t num = lbw_isa_all(isas), size = 0;
    struct lbw_error err = {0};
    struct lbw_array qdq, y;
    void *data = NULL;
    check(lbw_model_save_memory(model, &data, &size, &err), &err);
    check(run(&qdq, bytes->data, bytes->size, 0, image, &err), &err);
    check(run(&y, data, size, 0, image, &err), &err);
    compare(&qdq, &y, what);
    lbw_array_release(&y);
    for (size_t i = 0; i <= num; i++) {
        setenv("LBW_ISA", i < num ? isas[i]->name : "C", 1);
        check(run(&y, data, size, 1 + i % 2, image, &err), &err);
        compare(&qdq, &y, what);
        lbw_array_release(&y);
    }
    unsetenv("LBW_ISA");
    lbw_array_release(&qdq);
    lbw_free(data);
}

static void try_head(const struct head *h, const int64_t image[4])
{
    struct lbw_error err = {0};
    struct text bytes = make_model(h);
    struct lbw_native_count count;
    char digest[LBW_DIGEST_SIZE];
    struct lbw_model *model = open_native(&count, &bytes);
    if (!calls(model, h->op ? h->op : "Q") || (!h->op && calls(model, "QHead")))
        fail_msg("no call of %s", h->op ? h->op : "others");
    if (h->op && (calls(model, "Transpose") || calls(model, "Sigmoid")))
        fail_msg("%s leaves nodes of the head", h->op);
    compare_all(&bytes, model, h->op ? h->op : "standard operators", image);
    check(lbw_digest(digest, model, &err), &err); /* opens the functions */
    count = (struct lbw_native_count){0};
    check(lbw_nativize(&count, model, &err), &err);
    if (h->op && !calls(model, h->op))
        fail_msg("%s is not found again in its function", h->op);
    free(bytes.data);
    lbw_model_close(&model);
}

static void heads_give_the_same(void **unused)
{
    (void)unused;
    static const struct head heads[] = {
        {"QHeadLSS3", SIDE_BY_SIDE, "LSS", {4, 1, 11}, 3, 0, 16},
        {"QHeadLSS2", TURNED, "LSS", {4, 1, 19}, 2, 0, 24},
        {"QHeadL1", SIDE_BY_SIDE, "L", {21}, 1, 0, 21},
        {"QHeadS6", TURNED, "S", {9}, 6, 0, 9},
        {"QHeadL4", ANCHORS, "L", {12}, 4, 0, 4},
        {"QHeadS2", COMPUTED, "S", {15}, 2, 0, 3},
        {"QHeadS1", SCORED, "S", {4}, 1, 0, 2},
        {"QHeadS3", SCORED, "S", {10}, 3, 0, 10},
        {"QHeadLS4", COMPUTED, "LS", {8, 4}, 4, 0, 12},
        {"QHeadSliceS1", SPLIT, "S", {44}, 1, 0, 32},
        {"QHeadSliceL1", SPLIT, "L", {40}, 1, 0, 9},
        {NULL, TURNED, "SS", {4, 9}, 2, 0, 13},       /* there is none */
        {NULL, TURNED, "L", {12}, 2, 0, 4},           /* channels become positions */
        {NULL, SIDE_BY_SIDE, "LS", {4, 9}, 5, 0, 13}, /* too many levels */
    };
    static const int64_t images[][4] = {{1, CHANNELS, 40, 44}, {2, CHANNELS, 7, 9}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (size_t k = 0; k < 2; k++)
            try_head(&heads[i], images[k]);
}

static void batches_may_be_constant(void **unused)
{
    (void)unused;
    static const struct head head = {"QHeadLS2", SIDE_BY_SIDE, "LS", {4, 9}, 2, 2, 13};
    try_head(&head, (const int64_t[]){2, CHANNELS, 12, 10});
}

static const int64_t image[] = {2, CHANNELS, 6, 5}, empty[] = {2, CHANNELS, 0, 5};

/* A Resize between bytes; `op` is what it becomes, NULL: it stays. */
static void try_resize(const char *op, const char *mode, const float *scales,
                       const int64_t *sizes, const int64_t dims[4])
{
    const int64_t four = 4;
    struct lbw_native_count count;
    struct text graph = {0}, attributes = {0};
    put_scaling(&graph, "q", .02F, 100);
    put_quantize(&graph, "x", "q", "q");
    put_dequantize(&graph, "q", "_real");
    put_conv(&graph, "a", 5, 1);
    put_dequantize(&graph, "a", "_real");
    put_tensor(&graph, "wanted", sizes ? TYPE(INT64) : TYPE(FLOAT), &four, 1,
               sizes ? (const void *)sizes : scales, sizes ? 32 : 16);
    attribute_string(&attributes, "mode", "linear");
    attribute_string(&attributes, "coordinate_transformation_mode", mode);
    put_op(&graph, "Resize", sizes ? "a_real - - wanted" : "a_real - wanted", "b", &attributes);
    put_quantize(&graph, "b", "a", "b_bytes");
    put_op(&graph, "DequantizeLinear", "b_bytes a_scale a_zero", "y", NULL);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), dims, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    struct text bytes = finish_model(&graph, 8, 14);
    struct lbw_model *model = open_native(&count, &bytes);
    if (!calls(model, op ? op : "Resize"))
        fail_msg("no call of %s", op ? op : "Resize");
    compare_all(&bytes, model, op ? op : "Resize", dims);
    free(bytes.data);
    lbw_model_close(&model);
}

static void resizes_give_the_same(void **unused)
{
    (void)unused;
    static const char half[] = "half_pixel", torch[] = "pytorch_half_pixel";
    static const int64_t dims[] = {2, CHANNELS, 13, 9}, long_rows[] = {1, CHANNELS, 5, 300};
    static const int64_t odd[] = {2, 5, 20, 31}, down[] = {2, 5, 7, 1}, two[] = {2, 5, 26, 18};
    static const int64_t longer[] = {1, 5, 9, 431};
    static const float doubled[] = {1, 1, 2, 2}, less[] = {1, 1, .6F, .4F};
    try_resize("QResize", torch, NULL, two, dims);
    try_resize("QResize", torch, NULL, odd, dims);
    try_resize("QResize", torch, NULL, down, dims);
    try_resize("QResize", half, NULL, longer, long_rows);
    try_resize("QResizeBy", torch, less, NULL, dims);
    try_resize("QResizeBy", half, doubled, NULL, dims);
    try_resize(NULL, half, NULL, down, dims);
    try_resize(NULL, "asymmetric", doubled, NULL, dims);
    try_resize(NULL, "align_corners", NULL, odd, dims);
}

/* One call with something wrong in it; the runtime's message must say what; NULL: nothing. */
static void refuse(const char *what, const char *op, const int64_t *shape, size_t num,
                   float scale, int64_t end, const int64_t x_dims[4])
{
    struct text graph = {0}, attributes = {0};
    struct lbw_error err = {0};
    struct lbw_array y;
    put_scaling(&graph, "q", .02F, 100);
    put_quantize(&graph, "x", "q", "q");
    put_tensor(&graph, "scale", TYPE(FLOAT), NULL, 0, &scale, 4);
    bool is_slice = strstr(op, "Slice"), is_pair = strchr(op, '2');
    attribute_ints(&attributes, "shape", shape, num);
    if (is_slice) {
        attribute_ints(&attributes, "begin", (const int64_t[]){2}, 1);
        attribute_ints(&attributes, "end", &end, 1);
    }
    put_call(&graph, op, is_pair ? "q scale q_zero q scale q_zero" : "q scale q_zero", "y",
             &attributes);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), x_dims, 4);
    put_typed_port(&graph, 12, "y", TYPE(FLOAT), NULL, 0);
    struct text model = finish_calls(&graph);
    enum lbw_status status = run(&y, model.data, model.size, 1, x_dims, &err);
    if (status == LBW_OK)
        lbw_array_release(&y);
    check_refusal(what, status, &err);
    free(model.data);
}

/* A call of QResize to those sizes. */
static void refuse_sizes(const char *what, const int64_t *sizes, int64_t num)
{
    struct text graph = {0};
    struct lbw_error err = {0};
    struct lbw_array y;
    put_scaling(&graph, "q", .02F, 100);
    put_quantize(&graph, "x", "q", "q");
    put_tensor(&graph, "sizes", TYPE(INT64), &num, 1, sizes, 8 * (size_t)num);
    put_call(&graph, "QResize", "q q_scale q_zero sizes", "y", NULL);
    put_dequantize(&graph, "q", "_real");
    put_op(&graph, "DequantizeLinear", "y q_scale q_zero", "z", NULL);
    put_typed_port(&graph, 11, "x", TYPE(FLOAT), image, 4);
    put_typed_port(&graph, 12, "z", TYPE(FLOAT), NULL, 0);
    struct text model = finish_calls(&graph);
    enum lbw_status status = run(&y, model.data, model.size, 1, image, &err);
    if (status == LBW_OK)
        lbw_array_release(&y);
    check_refusal(what, status, &err);
    free(model.data);
}

static void wrong_sizes_are_refused(void **unused)
{
    (void)unused;
    static const char what[] = "sizes change height and width alone";
    static const int64_t good[] = {2, CHANNELS, 9, 0}, more[] = {2, 9, 9, 9};
    static const int64_t less[] = {2, CHANNELS, -1, 9}, huge[] = {2, CHANNELS, 9, INT64_MAX};
    refuse_sizes(NULL, good, 4);
    refuse_sizes(what, good, 3);
    refuse_sizes(what, more, 4);
    refuse_sizes(what, less, 4);
    refuse_sizes(what, huge, 4);
}

static void wrong_calls_are_refused(void **unused)
{
    (void)unused;
    static const int64_t any[] = {0, -1, 3}, two[] = {2, -1, 6}, three[] = {3, -1, 6};
    static const int64_t planes[] = {0, 3, -1}, four[] = {0, -1, 4},
                         huge[] = {0, -1, INT64_MAX};
    refuse(NULL, "QHeadL2", any, 3, .1F, 0, image);
    refuse(NULL, "QHeadSliceS1", any, 3, .1F, 5, image);
    refuse(NULL, "QHeadS1", two, 3, .1F, 0, image);
    refuse("'shape' has 2 numbers", "QHeadL2", any, 2, .1F, 0, image);
    refuse("shape is [0, 3, -1]", "QHeadL2", planes, 3, .1F, 0, image);
    refuse("not [3, channels, height, width]", "QHeadL1", three, 3, .1F, 0, image);
    refuse("6 channels, for rows of 4", "QHeadL2", four, 3, .1F, 0, image);
    refuse("6 channels, for rows of 9223372036854775807", "QHeadL1", huge, 3, .1F, 0, image);
    refuse("x_scale is 0", "QHeadL1", any, 3, 0, 0, image);
    refuse("channels 2 to 7 of 6", "QHeadSliceL1", any, 3, .1F, 7, image);
    refuse("channels 2 to 1", "QHeadSliceL1", any, 3, .1F, 1, image);
    refuse(NULL, "QHeadL2", any, 3, .1F, 0, empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_give_the_same),     cmocka_unit_test(batches_may_be_constant),
        cmocka_unit_test(resizes_give_the_same),   cmocka_unit_test(wrong_calls_are_refused),
        cmocka_unit_test(wrong_sizes_are_refused),
    };
    int missing = miss_kernels();
    return missing ? missing : cmocka_run_group_tests(tests, NULL, NULL);
}
