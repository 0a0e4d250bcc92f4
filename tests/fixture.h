/* SPDX-License-Identifier: MIT */
/* Fixtures for tests: models as protobuf written by hand, so that anything can be wrong. */
#ifndef LBW_TESTS_FIXTURE_H
#define LBW_TESTS_FIXTURE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "onnx/model.h"

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

/* Bytes that grow; a test that is out of memory may end at once. */
struct text {
    unsigned char *data;
    size_t size;
};

static inline void put(struct text *t, const void *data, size_t size)
{
    t->data = realloc(t->data, t->size + size + 1);
    if (!t->data)
        abort();
    if (size)
        memcpy(t->data + t->size, data, size);
    t->size += size;
}

static inline void put_varint(struct text *t, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(t, &byte, 1);
        value >>= 7;
    } while (value);
}

static inline void put_int(struct text *t, unsigned field, uint64_t value)
{
    put_varint(t, field << 3);
    put_varint(t, value);
}

static inline void put_bytes(struct text *t, unsigned field, const void *data, size_t size)
{
    put_varint(t, field << 3 | 2);
    put_varint(t, size);
    put(t, data, size);
}

static inline void put_text(struct text *t, unsigned field, const char *text)
{
    put_bytes(t, field, text, strlen(text));
}

/* Appends `inner` as a field of `t` and empties it. */
static inline void put_message(struct text *t, unsigned field, struct text *inner)
{
    put_bytes(t, field, inner->data, inner->size);
    free(inner->data);
    *inner = (struct text){0};
}

/* Operator and names of a node; inputs and outputs are separated by blanks, "-" is empty. */
static inline void put_names(struct text *node, const char *op, const char *inputs,
                             const char *outputs)
{
    const char *lists[] = {inputs, outputs};
    for (unsigned k = 0; k < 2; k++) {
        char *copy = strdup(lists[k]), *save = NULL;
        for (char *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save))
            put_text(node, k + 1, strcmp(name, "-") == 0 ? "" : name);
        free(copy);
    }
    put_text(node, 3, outputs);
    put_text(node, 4, op);
}

static inline void put_node(struct text *graph, unsigned field, const char *op,
                            const char *inputs, const char *outputs, struct text *attribute)
{
    struct text node = {0};
    put_names(&node, op, inputs, outputs);
    if (attribute)
        put_message(&node, 5, attribute);
    put_message(graph, field, &node);
}

static inline void put_initializer(struct text *graph, const char *name, float value,
                                   size_t num)
{
    struct text tensor = {0};
    float *values = calloc(num, sizeof *values);
    for (size_t i = 0; i < num; i++)
        values[i] = value + (float)i;
    put_int(&tensor, 1, num);
    put_int(&tensor, 2, TYPE(FLOAT));
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, values, num * sizeof *values);
    free(values);
    put_message(graph, 5, &tensor);
}

static inline void put_port(struct text *graph, unsigned field, const char *name)
{
    struct text value = {0};
    put_text(&value, 1, name);
    put_message(graph, field, &value);
}

/* Wraps a graph into a model of IR 8, opset 17; the graph is emptied. */
static inline struct text wrap(struct text *graph)
{
    struct text model = {0}, opset = {0};
    put_int(&model, 1, 8);
    put_message(&model, 7, graph);
    put_text(&opset, 1, "");
    put_int(&opset, 2, 17);
    put_message(&model, 8, &opset);
    return model;
}

/* x -Conv(w)-> y, with w an initializer. */
static inline struct text small_model(void)
{
    struct text graph = {0};
    put_node(&graph, 1, "Conv", "x w", "y", NULL);
    put_text(&graph, 2, "g");
    put_initializer(&graph, "w", 1, 6);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    return wrap(&graph);
}

/* A path of this process; valid until the next but one call. */
static inline char *temporary_path(const char *name)
{
    static char path[2][256];
    static unsigned turn;
    const char *folder = getenv("TMPDIR");
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/lbw-%ld-%s", folder ? folder : "/tmp",
             (long)getpid(), name);
    return path[turn];
}

static inline void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

/*
 * Leaves a model in the folder that LBW_FIXTURES names, where it is set: tests/ort/every.py
 * takes all of a suite through every command. The same bytes have the same name.
 */
static inline void keep_fixture(const void *data, size_t size)
{
    const char *folder = getenv("LBW_FIXTURES");
    const unsigned char *bytes = data;
    char path[4096];
    uint64_t hash = 0xcbf29ce484222325;
    if (!folder)
        return;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    snprintf(path, sizeof path, "%s/%016llx.onnx", folder, (unsigned long long)hash);
    write_file(path, data, size);
}

#endif
