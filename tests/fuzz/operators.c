/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the operator library with a runtime of ours in ONNX Runtime's place. The bytes
 * are the operator, its attributes, its inputs, and which of them are constants.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "kernels/ort_abi.h"
#include "kernels/parallel.h"

#define NUM_SLOTS    300
#define MAX_OPS      256
#define MAX_INPUTS   48
#define MAX_OUTPUTS  2
#define MAX_ELEMENTS (1 << 13)
#define MAX_OUTPUT   (1 << 16)

struct ort_status *RegisterCustomOps(struct ort_session_options *options,
                                     const struct ort_api_base *base);

struct ort_status {
    char text[8];
};

struct ort_value {
    size_t num_dims;
    int64_t dims[10];
    unsigned char *data;
};

struct ort_shape_info {
    const struct ort_value *value;
};

struct source {
    const uint8_t *data;
    size_t size;
};

/* The node at hand: both interfaces of the runtime look at it. */
static struct {
    struct ort_value inputs[MAX_INPUTS];
    size_t num_inputs;
    uint64_t constants; /* bit i: input i is one */
    struct ort_value outputs[MAX_OUTPUTS];
    const struct ort_operator *op;
    struct source attributes;
} node;

static const struct ort_operator *ops[MAX_OPS];
static size_t num_ops;
static const void *table[NUM_SLOTS];

static uint8_t next(struct source *source)
{
    if (!source->size)
        return 0;
    source->size--;
    return *source->data++;
}

static struct ort_status *failure(void)
{
    return calloc(1, sizeof(struct ort_status));
}

static struct ort_status *create_status(int code, const char *message)
{
    struct ort_status *status = failure();
    (void)code;
    if (!status || !*message)
        abort();
    return status;
}

static struct ort_status *create_domain(const char *name, struct ort_domain **out)
{
    static char domain;
    *out = strcmp(name, "ai.lbw") == 0 ? (struct ort_domain *)(void *)&domain : NULL;
    return NULL;
}

static struct ort_status *add_operator(struct ort_domain *domain, const struct ort_operator *op)
{
    (void)domain;
    ops[num_ops++] = op;
    return NULL;
}

static struct ort_status *add_domain(struct ort_session_options *options,
                                     struct ort_domain *domain)
{
    (void)options, (void)domain;
    return NULL;
}

static struct ort_status *tensor_data(struct ort_value *value, void **out)
{
    *out = value->data;
    return NULL;
}

static struct ort_status *num_dims(const struct ort_shape_info *info, size_t *out)
{
    *out = info->value->num_dims;
    return NULL;
}

static struct ort_status *dims(const struct ort_shape_info *info, int64_t *out, size_t num)
{
    memcpy(out, info->value->dims, num * sizeof *out);
    return NULL;
}

static struct ort_status *tensor_shape(const struct ort_value *value,
                                       struct ort_shape_info **out)
{
    *out = malloc(sizeof **out);
    if (!*out)
        abort();
    (*out)->value = value;
    return NULL;
}

/* The attribute's bytes: the stream from a place that its name says, so that order is free. */
static struct source attribute(const char *name)
{
    struct source source = node.attributes;
    size_t skip = 0;
    for (const char *p = name; *p; p++)
        skip = (skip * 31 + (unsigned char)*p) % 64;
    skip = skip < source.size ? skip : source.size;
    return (struct source){source.data + skip, source.size - skip};
}

static int64_t number(struct source *source)
{
    static const int64_t odd[] = {INT64_MAX, INT64_MIN, -1, 1 << 24, 4096, 0};
    uint8_t byte = next(source);
    return byte < 240 ? byte % 8 : odd[byte % 6];
}

static struct ort_status *attribute_float(const struct ort_kernel_info *info, const char *name,
                                          float *out)
{
    (void)info;
    struct source source = attribute(name);
    uint8_t bytes[4] = {next(&source), next(&source), next(&source), next(&source)};
    if (bytes[0] % 4 == 0)
        return failure();
    memcpy(out, bytes, 4);
    return NULL;
}

static struct ort_status *attribute_int(const struct ort_kernel_info *info, const char *name,
                                        int64_t *out)
{
    (void)info;
    struct source source = attribute(name);
    if (next(&source) % 4 == 0)
        return failure();
    *out = number(&source);
    return NULL;
}

static struct ort_status *attribute_ints(const struct ort_kernel_info *info, const char *name,
                                         int64_t *out, size_t *num)
{
    (void)info;
    struct source source = attribute(name);
    uint8_t kind = next(&source);
    bool is_shape = strcmp(name, "shape") == 0;
    bool is_one = strcmp(name, "begin") == 0 || strcmp(name, "end") == 0;
    size_t wanted = strcmp(name, "pads") == 0 ? 4 : is_shape ? 3 : is_one ? 1 : 2;
    if (kind % 4 == 0)
        return failure();
    size_t found = kind % 16 == 1 ? kind / 16 : wanted;
    for (size_t i = 0; out && i < found && i < *num; i++)
        out[i] = is_shape && i == 1 && kind < 224 ? -1 : number(&source);
    *num = found;
    return NULL;
}

static struct ort_status *input(const struct ort_kernel_context *context, size_t i,
                                const struct ort_value **out)
{
    (void)context;
    *out = i < node.num_inputs ? &node.inputs[i] : NULL;
    return NULL;
}

static struct ort_status *constant_input(const struct ort_kernel_info *info, size_t i,
                                         int *is_constant, const struct ort_value **out)
{
    (void)info;
    *is_constant = i < node.num_inputs && (node.constants >> i & 1);
    *out = *is_constant ? &node.inputs[i] : NULL;
    return NULL;
}

static size_t count_of(const struct ort_value *value)
{
    size_t count = 1;
    for (size_t i = 0; i < value->num_dims; i++)
        if (value->dims[i] < 0 || __builtin_mul_overflow(count, value->dims[i], &count))
            return SIZE_MAX;
    return count;
}

static size_t width_of(int type)
{
    return type == ORT_TYPE_INT64                             ? 8
           : type == ORT_TYPE_FLOAT || type == ORT_TYPE_INT32 ? 4
                                                              : 1;
}

static struct ort_status *output(struct ort_kernel_context *context, size_t i,
                                 const int64_t *sides, size_t num, struct ort_value **out)
{
    (void)context, (void)i;
    struct ort_value *value = &node.outputs[i];
    if (i >= MAX_OUTPUTS)
        abort();
    value->num_dims = num;
    if (num) /* a scalar's may be NULL */
        memcpy(value->dims, sides, num * sizeof *sides);
    size_t count = count_of(value) * width_of(node.op->output_type(node.op, i));
    if (count > MAX_OUTPUT)
        return failure(); /* as a runtime without the memory */
    free(value->data);
    value->data = malloc(count + !count);
    *out = value;
    return value->data ? NULL : failure();
}

static struct ort_status *parallel_for(const struct ort_kernel_context *context,
                                       void (*task)(void *user, size_t i), size_t num,
                                       size_t num_batches, void *user)
{
    (void)context, (void)num_batches;
    while (num--)
        task(user, num);
    return NULL;
}

static void release_status(struct ort_status *status)
{
    free(status);
}

static void release_shape_info(struct ort_shape_info *info)
{
    free(info);
}

static void release_domain(struct ort_domain *domain)
{
    (void)domain;
}

#define ORT_SLOT(slot, result, name, parameters) {slot, (void (*)(void))name},
static const struct {
    unsigned slot;
    void (*function)(void);
} slots[] = {ORT_KERNEL_CALLS(ORT_SLOT)};

static const void *get_api(uint32_t version)
{
    (void)version;
    return table;
}

static const char *version(void)
{
    return "1.17.0";
}

/* Small dims, mostly those that fit the operator, and bytes that are mostly plausible. */
static bool make_input(struct ort_value *value, int type, struct source *source)
{
    uint8_t kind = next(source);
    /* Floats are scales, or in gradients all there is. */
    bool is_gradient = node.op->output_type(node.op, 0) == ORT_TYPE_FLOAT &&
                       *node.op->name(node.op) != 'Q' &&
                       !strstr(node.op->name(node.op), "Conv");
    bool is_scalar = type == ORT_TYPE_FLOAT && kind % 8 < 6 && !is_gradient;
    value->num_dims = is_scalar ? 0 : kind % 16 == 15 ? (size_t)(kind / 16) % 10 : 4;
    if (type == ORT_TYPE_INT32 || type == ORT_TYPE_INT64 ||
        (type == ORT_TYPE_FLOAT && !is_scalar && !is_gradient && kind < 128))
        value->num_dims = 1;
    for (size_t i = 0; i < value->num_dims; i++)
        value->dims[i] = next(source) % (i < 2 ? 12 : 24);
    size_t count = count_of(value), width = width_of(type);
    if (count > MAX_ELEMENTS)
        return false;
    value->data = malloc(count * width + !count);
    if (!value->data)
        abort();
    uint8_t seed = next(source);
    for (size_t i = 0; i < count * width; i++)
        value->data[i] = (unsigned char)(seed + i * 37);
    for (size_t i = 0; type == ORT_TYPE_INT64 && i < count; i++) { /* channels, mostly */
        int64_t channel = seed < 240 ? (int64_t)((seed + i) % 12) : -(int64_t)seed;
        memcpy(value->data + 8 * i, &channel, 8);
    }
    for (size_t i = 0; type == ORT_TYPE_FLOAT && i < count; i++) {
        float scale = (float)(seed + 1) / 1000;
        if (kind % 32 != 31)
            memcpy(value->data + 4 * i, &scale, 4);
    }
    return true;
}

static void run(const struct ort_operator *op)
{
    void *kernel = NULL;
    struct ort_status *status = op->create_v2(op, table, NULL, &kernel);
    if (!status) {
        for (int i = 0; i < 2 && !status; i++)
            status = op->compute_v2(kernel, NULL);
        op->destroy(kernel);
    }
    free(status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ort_api_base base = {get_api, version};
    struct source source = {data, size};
    for (size_t i = 0; !num_ops && i < sizeof slots / sizeof *slots; i++)
        memcpy(&table[slots[i].slot], &slots[i].function, sizeof slots[i].function);
    if (!num_ops && RegisterCustomOps(NULL, &base))
        abort();
    const struct ort_operator *op = ops[next(&source) % num_ops];
    bool is_whole = true;
    node.op = op;
    node.num_inputs = op->num_inputs(op);
    node.constants = next(&source) % 4 ? ~UINT64_C(1) : next(&source);
    for (size_t i = 0; i < node.num_inputs; i++)
        is_whole = make_input(&node.inputs[i], op->input_type(op, i), &source) && is_whole;
    node.attributes = source;
    if (is_whole)
        run(op);
    for (size_t i = 0; i < node.num_inputs; i++)
        free(node.inputs[i].data);
    for (size_t i = 0; i < MAX_OUTPUTS; i++)
        free(node.outputs[i].data);
    memset(&node, 0, sizeof node);
    lbw_scratch_clear();
    return 0;
}
