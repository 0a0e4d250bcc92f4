/* SPDX-License-Identifier: MIT */
/* Graphs for tests: nodes with attributes, weights of every type, on top of fixture.h. */
#ifndef LBW_TESTS_GRAPH_H
#define LBW_TESTS_GRAPH_H

#include <stdarg.h>

#include "fixture.h"
#include "base/bits.h"
#include "base/random.h"

static inline void attribute_int(struct text *attributes, const char *name, int64_t value)
{
    struct text a = {0};
    put_text(&a, 1, name);
    put_int(&a, 3, (uint64_t)value);
    put_int(&a, 20, 2);
    put_message(attributes, 5, &a);
}

static inline void attribute_float(struct text *attributes, const char *name, float value)
{
    struct text a = {0};
    put_text(&a, 1, name);
    unsigned char bytes[5] = {2 << 3 | 5}; /* field 2, four bytes */
    lbw_store_le(bytes + 1, lbw_float_bits(value), 4);
    put(&a, bytes, sizeof bytes);
    put_int(&a, 20, 1);
    put_message(attributes, 5, &a);
}

static inline void attribute_ints(struct text *attributes, const char *name,
                                  const int64_t *values, size_t num)
{
    struct text a = {0};
    put_text(&a, 1, name);
    for (size_t i = 0; i < num; i++)
        put_int(&a, 8, (uint64_t)values[i]);
    put_int(&a, 20, 7);
    put_message(attributes, 5, &a);
}

static inline void attribute_string(struct text *attributes, const char *name,
                                    const char *value)
{
    struct text a = {0};
    put_text(&a, 1, name);
    put_text(&a, 4, value);
    put_int(&a, 20, 3);
    put_message(attributes, 5, &a);
}

/* A tensor (field 5, type 4) or graph (field 6, type 5), which is emptied. */
static inline void attribute_message(struct text *attributes, const char *name, unsigned field,
                                     uint64_t type, struct text *message)
{
    struct text a = {0};
    put_text(&a, 1, name);
    put_message(&a, field, message);
    put_int(&a, 20, type);
    put_message(attributes, 5, &a);
}

/* Names as for put_names(); `attributes` (may be NULL) is emptied. */
static inline void put_op(struct text *graph, const char *op, const char *inputs,
                          const char *outputs, struct text *attributes)
{
    struct text node = {0};
    put_names(&node, op, inputs, outputs);
    if (attributes) {
        put(&node, attributes->data, attributes->size);
        free(attributes->data);
        *attributes = (struct text){0};
    }
    put_message(graph, 1, &node);
}

/* Raw bytes of `count` floats in another type. */
static inline void put_values(struct text *out, int32_t type, const float *values, size_t count)
{
    size_t size = type == TYPE(FLOAT) ? 4 : type == TYPE(DOUBLE) ? 8 : 2;
    unsigned char *items = calloc(count + 1, size);
    if (!items)
        abort();
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = lbw_float_bits(values[i]);
        double wide = (double)values[i];
        if (type == TYPE(FLOAT16))
            bits = lbw_half_from_float(values[i]);
        else if (type == TYPE(BFLOAT16))
            bits = lbw_bfloat16_from_float(values[i]);
        else if (type == TYPE(DOUBLE))
            memcpy(&bits, &wide, sizeof bits);
        lbw_store_le(items + i * size, bits, size);
    }
    put(out, items, count * size);
    free(items);
}

static inline size_t dims_count(const int64_t *dims, size_t num_dims)
{
    size_t count = 1;
    for (size_t i = 0; i < num_dims; i++)
        count *= (size_t)dims[i];
    return count;
}

/* Every value a different one, around `centre`, the same for the same name. */
static inline float *draw_values(const char *name, size_t count, float centre, float spread)
{
    struct lbw_random random = {strlen(name)};
    for (const char *p = name; *p; p++)
        random.state = random.state * 131 + (unsigned char)*p;
    float *values = calloc(count + 1, sizeof *values);
    if (!values)
        abort();
    for (size_t i = 0; i < count; i++)
        values[i] =
            centre + spread * (float)(lbw_random_unit(&random) + lbw_random_unit(&random) - 1);
    return values;
}

static inline struct text tensor_of(const char *name, int32_t type, const int64_t *dims,
                                    size_t num_dims, const float *values)
{
    struct text tensor = {0}, raw = {0};
    for (size_t i = 0; i < num_dims; i++)
        put_int(&tensor, 1, (uint64_t)dims[i]);
    put_int(&tensor, 2, (uint64_t)type);
    put_text(&tensor, 8, name);
    put_values(&raw, type, values, dims_count(dims, num_dims));
    put_message(&tensor, 9, &raw);
    return tensor;
}

/* An initializer of random values. */
static inline void put_random(struct text *graph, const char *name, int32_t type,
                              const int64_t *dims, size_t num_dims, float centre, float spread)
{
    float *values = draw_values(name, dims_count(dims, num_dims), centre, spread);
    struct text tensor = tensor_of(name, type, dims, num_dims, values);
    put_message(graph, 5, &tensor);
    free(values);
}

/* A weight of 4 dims. */
static inline void put_weight(struct text *graph, const char *name, int64_t a, int64_t b,
                              int64_t kernel)
{
    const int64_t dims[] = {a, b, kernel, kernel};
    put_random(graph, name, TYPE(FLOAT), dims, 4, 0, 1);
}

static inline void put_vector(struct text *graph, const char *name, int64_t num, float centre,
                              float spread)
{
    put_random(graph, name, TYPE(FLOAT), &num, 1, centre, spread);
}

/* An input (field 11) or output (12) with a type; no dims: shape unknown; -1: open. */
static inline void put_typed_port(struct text *graph, unsigned field, const char *name,
                                  int32_t data_type, const int64_t *dims, size_t num_dims)
{
    struct text port = {0}, type = {0}, tensor = {0}, shape = {0};
    put_text(&port, 1, name);
    put_int(&tensor, 1, (uint64_t)data_type);
    for (size_t i = 0; i < num_dims; i++) {
        struct text dim = {0};
        if (dims[i] < 0)
            put_text(&dim, 2, "n");
        else
            put_int(&dim, 1, (uint64_t)dims[i]);
        put_message(&shape, 1, &dim);
    }
    if (num_dims)
        put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_message(&port, 2, &type);
    put_message(graph, field, &port);
}

/* Names the graph and wraps it into a model of this IR version and opset. */
static inline struct text finish_model(struct text *graph, int64_t ir, int64_t opset)
{
    struct text model = {0}, import = {0};
    put_text(graph, 2, "g");
    put_int(&model, 1, (uint64_t)ir);
    put_message(&model, 7, graph);
    put_text(&import, 1, "");
    put_int(&import, 2, (uint64_t)opset);
    put_message(&model, 8, &import);
    return model;
}

/* A function of domain "test"; blanks between names; `body` of put_op() is emptied. */
static inline void put_function(struct text *model, const char *name, const char *inputs,
                                struct text *body, int64_t opset)
{
    struct text function = {0}, import = {0};
    char copy[50], *save = NULL;
    snprintf(copy, sizeof copy, "%s", inputs);
    put_text(&function, 1, name);
    for (char *in = strtok_r(copy, " ", &save); in; in = strtok_r(NULL, " ", &save))
        put_text(&function, 4, in);
    put_text(&function, 5, "out");
    /* put_op writes nodes as field 1; those of a function are field 7 */
    for (size_t at = 0; at < body->size;) {
        size_t size = 0, start = at + 1;
        for (unsigned shift = 0;; shift += 7) {
            size |= (size_t)(body->data[start] & 0x7f) << shift;
            if (!(body->data[start++] & 0x80))
                break;
        }
        put_bytes(&function, 7, body->data + start, size);
        at = start + size;
    }
    free(body->data);
    *body = (struct text){0};
    put_text(&import, 1, "");
    put_int(&import, 2, (uint64_t)opset);
    put_message(&function, 9, &import);
    put_text(&function, 10, "test");
    put_text(&import, 1, "test");
    put_int(&import, 2, 1);
    put_message(model, 8, &import);
    put_message(model, 25, &function);
}

/* Conv and BatchNormalization, with what the latter needs. */
static inline struct text conv_and_norm(const char *output, struct text *attributes)
{
    struct text graph = {0};
    put_op(&graph, "Conv", "x w", "c", NULL);
    put_op(&graph, "BatchNormalization", "c scale shift mean var", output, attributes);
    put_weight(&graph, "w", 16, 16, 1);
    put_vector(&graph, "scale", 16, 1, 0.5f);
    put_vector(&graph, "shift", 16, 0, 1);
    put_vector(&graph, "mean", 16, 0, 1);
    put_vector(&graph, "var", 16, 2, 1);
    return graph;
}

#endif
