/* SPDX-License-Identifier: MIT */
/*
 * Mutations of models for libFuzzer: fields of messages change, lists grow and shrink, messages
 * move, also from one model to another. Bytes mutated blindly seldom are protobuf any more, and
 * then nothing behind the parser is tried.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "onnx/model.h"
#include "onnx/walk.h"

#define MAX_POOL 4096

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size, const uint8_t *other,
                                 size_t other_size, uint8_t *out, size_t max_size,
                                 unsigned seed);

/* What the code under test looks for. */
static const char *const words[] = {"",
                                    "ai.lbw",
                                    "ai.onnx",
                                    "ai.onnx.ml",
                                    "Conv",
                                    "ConvTranspose",
                                    "Gemm",
                                    "MatMul",
                                    "BatchNormalization",
                                    "DequantizeLinear",
                                    "Cast",
                                    "Mul",
                                    "Div",
                                    "Sub",
                                    "Add",
                                    "Constant",
                                    "Identity",
                                    "If",
                                    "Loop",
                                    "Scan",
                                    "Reshape",
                                    "Gather",
                                    "Slice",
                                    "Concat",
                                    "Unsqueeze",
                                    "Squeeze",
                                    "Transpose",
                                    "Clip",
                                    "Upsample",
                                    "Resize",
                                    "Softmax",
                                    "Pad",
                                    "Split",
                                    "TopK",
                                    "Dropout",
                                    "ReduceSum",
                                    "ReduceMean",
                                    "Flatten",
                                    "Hardmax",
                                    "CastLike",
                                    "Shape",
                                    "axis",
                                    "axes",
                                    "to",
                                    "value",
                                    "value_float",
                                    "value_floats",
                                    "value_int",
                                    "value_ints",
                                    "pads",
                                    "strides",
                                    "group",
                                    "dilations",
                                    "auto_pad",
                                    "SAME_UPPER",
                                    "kernel_shape",
                                    "then_branch",
                                    "else_branch",
                                    "body",
                                    "block_size",
                                    "perm",
                                    "epsilon",
                                    "mode",
                                    "nearest",
                                    "scales",
                                    "sizes",
                                    "starts",
                                    "ends",
                                    "min",
                                    "max",
                                    "ratio",
                                    "allowzero",
                                    "transA",
                                    "transB",
                                    "alpha",
                                    "beta",
                                    "keepdims",
                                    "output_dtype",
                                    "training_mode",
                                    "spatial",
                                    "split",
                                    "k",
                                    "location",
                                    "offset",
                                    "length",
                                    "x",
                                    "w",
                                    "y"};

static const int64_t numbers[] = {
    0,  1,   2,   3,  4,  5,         6,         7,         8,         9,         10,
    11, 13,  16,  17, 19, 21,        22,        23,        25,        26,        27,
    64, 255, 256, -1, -2, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, UINT32_MAX};

/* A model, all its messages and all its texts. */
struct pool {
    struct lbw_model *model;
    ProtobufCMessage *messages[MAX_POOL];
    size_t num;
    char *texts[MAX_POOL];
    size_t num_texts;
};

struct mutator {
    struct lbw_random random;
    struct pool *mine, *other; /* messages are taken from the other one, which may be mine */
};

static uint32_t below(struct mutator *m, size_t bound)
{
    return lbw_random_below(&m->random, (uint32_t)bound);
}

static void *member_of(ProtobufCMessage *message, size_t offset)
{
    return (char *)message + offset;
}

static bool collect(ProtobufCMessage *message, void *user)
{
    struct pool *pool = user;
    if (pool->num < MAX_POOL)
        pool->messages[pool->num++] = message;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->type != PROTOBUF_C_TYPE_STRING)
            continue;
        bool is_list = field->label == PROTOBUF_C_LABEL_REPEATED;
        char **texts = member_of(message, field->offset);
        size_t num = is_list ? *(size_t *)member_of(message, field->quantifier_offset) : 1;
        if (is_list)
            texts = *(char ***)(void *)texts;
        else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            continue;
        for (size_t k = 0; k < num && pool->num_texts < MAX_POOL; k++)
            if (texts[k])
                pool->texts[pool->num_texts++] = texts[k];
    }
    return true;
}

static bool open_pool(struct pool *pool, const uint8_t *data, size_t size)
{
    pool->model = NULL;
    pool->num = pool->num_texts = 0;
    if (lbw_model_open_memory(&pool->model, data, size, NULL) != LBW_OK)
        return false;
    lbw_walk(&pool->model->proto->base, collect, pool);
    return true;
}

/* ---- values ---- */

static void *alloc(void *user, size_t size)
{
    return lbw_arena_alloc(user, size);
}

static void keep(void *user, void *pointer)
{
    (void)user;
    (void)pointer;
}

/* A copy in my arena, so that no message ever lies within itself. */
static ProtobufCMessage *copy(struct mutator *m, const ProtobufCMessage *message)
{
    ProtobufCAllocator allocator = {alloc, keep, &m->mine->model->arena};
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        return NULL;
    protobuf_c_message_pack(message, bytes);
    ProtobufCMessage *made =
        protobuf_c_message_unpack(message->descriptor, &allocator, size, bytes);
    free(bytes);
    return made;
}

static ProtobufCMessage *draw_message(struct mutator *m, const ProtobufCMessageDescriptor *type)
{
    const struct pool *pool = below(m, 4) ? m->other : m->mine;
    size_t start = below(m, pool->num);
    for (size_t i = 0; i < pool->num; i++) {
        ProtobufCMessage *message = pool->messages[(start + i) % pool->num];
        if (message->descriptor == type && message != &pool->model->proto->base)
            return copy(m, message);
    }
    static const uint8_t nothing[1];
    ProtobufCAllocator allocator = {alloc, keep, &m->mine->model->arena};
    return protobuf_c_message_unpack(type, &allocator, 0, nothing);
}

static char *draw_text(struct mutator *m)
{
    const struct pool *pool = below(m, 2) ? m->other : m->mine;
    const char *text = pool->num_texts && below(m, 3)
                           ? pool->texts[below(m, pool->num_texts)]
                           : words[below(m, sizeof words / sizeof *words)];
    return lbw_arena_strdup(&m->mine->model->arena, text);
}

static void draw_bytes(struct mutator *m, ProtobufCBinaryData *bytes)
{
    size_t size = below(m, 4) ? bytes->len : below(m, 100);
    uint8_t *data = lbw_arena_calloc(&m->mine->model->arena, size + 16, 1);
    size_t kept = size < bytes->len ? size : bytes->len;
    if (!data)
        return;
    if (kept)
        memcpy(data, bytes->data, kept);
    if (below(m, 2))
        size = LLVMFuzzerMutate(data, size, size + 16);
    *bytes = (ProtobufCBinaryData){size, data};
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static void draw_value(struct mutator *m, const ProtobufCFieldDescriptor *field, void *value)
{
    int64_t number = below(m, 8) ? numbers[below(m, sizeof numbers / sizeof *numbers)]
                                 : (int64_t)lbw_random_u64(&m->random);
    float real = below(m, 2) ? (float)number : 0;
    double wide = (double)real;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)value = draw_text(m);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)value = draw_message(m, field->descriptor);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        draw_bytes(m, value);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)value = number & 1;
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        memcpy(value, &real, sizeof real);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(value, &wide, sizeof wide);
        break;
    default:
        memcpy(value, &number, size_of(field->type));
    }
}

/* ---- fields ---- */

/* An item appears, changes, moves or goes. */
static void edit_list(struct mutator *m, ProtobufCMessage *message,
                      const ProtobufCFieldDescriptor *field)
{
    size_t *num = member_of(message, field->quantifier_offset);
    char **list = member_of(message, field->offset);
    size_t item = size_of(field->type), at = below(m, *num + 1);
    unsigned what = below(m, 4);
    if (what == 0) {
        char *grown = lbw_arena_calloc(&m->mine->model->arena, *num + 1, item);
        if (!grown)
            return;
        if (*num) {
            memcpy(grown, *list, at * item);
            memcpy(grown + (at + 1) * item, *list + at * item, (*num - at) * item);
        }
        draw_value(m, field, grown + at * item);
        *list = grown;
        ++*num;
        return;
    }
    if (at == *num)
        return;
    char *here = *list + at * item, swapped[sizeof(ProtobufCBinaryData)];
    char *there = *list + below(m, *num) * item;
    if (what == 1) {
        memmove(here, here + item, (--*num - at) * item);
    } else if (what == 2) {
        memcpy(swapped, here, item);
        memmove(here, there, item);
        memcpy(there, swapped, item);
    } else if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        draw_value(m, field, here);
    }
}

static void edit(struct mutator *m)
{
    ProtobufCMessage *message = m->mine->messages[below(m, m->mine->num)];
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const ProtobufCFieldDescriptor *field = &type->fields[below(m, type->n_fields)];
    void *value = member_of(message, field->offset);
    bool is_pointer =
        field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        edit_list(m, message, field);
    } else if (below(m, 4) == 0) {
        if (is_pointer && (field->type == PROTOBUF_C_TYPE_STRING || type->n_fields > 1))
            *(void **)value = NULL;
        else if (!is_pointer)
            *(protobuf_c_boolean *)member_of(message, field->quantifier_offset) = 0;
    } else {
        if (!is_pointer)
            *(protobuf_c_boolean *)member_of(message, field->quantifier_offset) = 1;
        draw_value(m, field, value);
    }
}

/* Edits mine and packs it; 0 when it does not fit. */
static size_t mutate(struct mutator *m, uint8_t *out, size_t max_size)
{
    unsigned num = 1 + below(m, 4);
    for (unsigned i = 0; i < num; i++)
        edit(m);
    const Onnx__ModelProto *proto = m->mine->model->proto;
    size_t size = onnx__model_proto__get_packed_size(proto);
    return size > max_size ? 0 : onnx__model_proto__pack(proto, out);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static struct pool mine;
    struct mutator m = {{seed}, &mine, &mine};
    size_t mutated = 0;
    if (below(&m, 8) && open_pool(&mine, data, size)) {
        mutated = mutate(&m, data, max_size);
        lbw_model_close(&mine.model);
    }
    return mutated ? mutated : LLVMFuzzerMutate(data, size, max_size);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size, const uint8_t *other,
                                 size_t other_size, uint8_t *out, size_t max_size,
                                 unsigned seed)
{
    static struct pool mine, his;
    struct mutator m = {{seed}, &mine, &his};
    size_t mutated = 0;
    if (open_pool(&mine, data, size)) {
        if (open_pool(&his, other, other_size)) {
            mutated = mutate(&m, out, max_size);
            lbw_model_close(&his.model);
        }
        lbw_model_close(&mine.model);
    }
    return mutated;
}
