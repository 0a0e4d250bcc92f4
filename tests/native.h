/* SPDX-License-Identifier: MIT */
/* Graphs of 8-bit tensors for tests: scalings, and nodes between floats and bytes. */
#ifndef LBW_TESTS_NATIVE_H
#define LBW_TESTS_NATIVE_H

#include "check.h"
#include "graph.h"
#include "pass/native.h"

static inline void put_tensor(struct text *graph, const char *name, int32_t type,
                              const int64_t *dims, size_t num_dims, const void *data,
                              size_t size)
{
    struct text tensor = {0};
    for (size_t i = 0; i < num_dims; i++)
        put_int(&tensor, 1, (uint64_t)dims[i]);
    put_int(&tensor, 2, (uint64_t)type);
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, data, size);
    put_message(graph, 5, &tensor);
}

__attribute__((noinline)) static char *name_of(const char *stem, const char *suffix)
{
    static char names[16][64];
    static unsigned turn;
    char *name = names[turn++ % 16];
    snprintf(name, 64, "%s%s", stem, suffix);
    return name;
}

/* NAME_scale and NAME_zero. */
static inline void put_scaling(struct text *graph, const char *name, float scale, uint8_t zero)
{
    put_tensor(graph, name_of(name, "_scale"), TYPE(FLOAT), NULL, 0, &scale, 4);
    put_tensor(graph, name_of(name, "_zero"), TYPE(UINT8), NULL, 0, &zero, 1);
}

/* FROM, float, to bytes TO with the scaling of `by`. */
static inline void put_quantize(struct text *graph, const char *from, const char *by,
                                const char *to)
{
    char inputs[200];
    snprintf(inputs, sizeof inputs, "%s %s_scale %s_zero", from, by, by);
    put_op(graph, "QuantizeLinear", inputs, to, NULL);
}

/* Bytes NAME with their own scaling to NAME_suffix. */
static inline void put_dequantize(struct text *graph, const char *name, const char *suffix)
{
    char inputs[200];
    snprintf(inputs, sizeof inputs, "%s %s_scale %s_zero", name, name, name);
    put_op(graph, "DequantizeLinear", inputs, name_of(name, suffix), NULL);
}

/* As put_op(), of `ai.lbw`. */
static inline void put_call(struct text *graph, const char *op, const char *inputs,
                            const char *outputs, struct text *attributes)
{
    struct text domain = {0}, *all = attributes ? attributes : &domain;
    put_text(all, 7, "ai.lbw");
    put_op(graph, op, inputs, outputs, all);
}

/* As finish_model(), with calls of `ai.lbw`. */
static inline struct text finish_calls(struct text *graph)
{
    struct text import = {0}, model = finish_model(graph, 8, 14);
    put_text(&import, 1, "ai.lbw");
    put_int(&import, 2, 1);
    put_message(&model, 8, &import);
    return model;
}

/* The model of the bytes, nativized; they stay. */
static inline struct lbw_model *open_native(struct lbw_native_count *count,
                                            const struct text *bytes)
{
    struct lbw_model *model = NULL;
    struct lbw_error err = {0};
    *count = (struct lbw_native_count){0};
    check(lbw_model_open_memory(&model, bytes->data, bytes->size, &err), &err);
    check(lbw_nativize(count, model, &err), &err);
    return model;
}

/* It failed with these words in its message; NULL: it did not fail. */
static inline void check_refusal(const char *what, enum lbw_status status,
                                 const struct lbw_error *err)
{
    assert_int_equal(status == LBW_OK, what == NULL);
    if (what && !strstr(err->message, what))
        fail_msg("'%s' is not in '%s'", what, err->message);
}

#endif
