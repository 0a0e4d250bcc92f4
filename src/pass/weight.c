/* SPDX-License-Identifier: MIT */
/* Which inputs of which operators are weights, and their constants. */
#include <stdlib.h>
#include <string.h>

#include "pass/encode.h"
#include "pass/weight.h"

#define TYPE(name)    ONNX__TENSOR_PROTO__DATA_TYPE__##name
#define LONGEST_CHAIN 64 /* of Identity and Cast nodes; a cycle has no end */

/* The operators that hold weights, and which inputs these are. */
static const struct {
    const char *op;
    size_t first, last;
} weight_ops[] = {{"Conv", 1, 1}, {"ConvTranspose", 1, 1}, {"Gemm", 0, 1}, {"MatMul", 0, 1}};

#define NUM_WEIGHT_OPS (sizeof weight_ops / sizeof *weight_ops)

/* True if the comma-separated list contains the operator. */
static bool list_names(const char *list, const char *op)
{
    size_t length = strlen(op);
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
        if (strncmp(p, op, length) == 0 && (p[length] == ',' || !p[length]))
            return true;
    return false;
}

enum lbw_status lbw_weight_check_ops(const char *list, struct lbw_error *err)
{
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
        size_t length = strcspn(p, ","), i = 0;
        while (i < NUM_WEIGHT_OPS && (strlen(weight_ops[i].op) != length ||
                                      strncmp(p, weight_ops[i].op, length) != 0))
            i++;
        if (i == NUM_WEIGHT_OPS)
            return lbw_fail(err, LBW_ERR_ARGUMENT,
                            "unknown operator '%.*s': weights of Conv, ConvTranspose, Gemm and "
                            "MatMul can be converted",
                            (int)length, p);
    }
    return LBW_OK;
}

bool lbw_weight_inputs(size_t *first, size_t *last, const Onnx__NodeProto *node,
                       const char *ops)
{
    for (size_t o = 0; o < NUM_WEIGHT_OPS; o++)
        if (lbw_node_is(node, weight_ops[o].op) &&
            (!ops || list_names(ops, weight_ops[o].op))) {
            *first = weight_ops[o].first;
            *last = weight_ops[o].last;
            return true;
        }
    return false;
}

/* The value that a node of that operator passes on as this one, or NULL. */
static struct lbw_value *behind(const struct lbw_value *value, const char *op)
{
    const Onnx__NodeProto *node = value->producer;
    return node && lbw_node_is(node, op) ? lbw_index_find(value->scope, lbw_node_input(node, 0))
                                         : NULL;
}

struct lbw_value *lbw_weight_origin(struct lbw_value *value)
{
    struct lbw_value *before = value ? behind(value, "Identity") : NULL;
    for (int i = 0; before && i < LONGEST_CHAIN; i++) {
        value = before;
        before = behind(value, "Identity");
    }
    return value;
}

struct lbw_value *lbw_weight_source(struct lbw_value *value)
{
    struct lbw_value *before = value = lbw_weight_origin(value);
    for (int i = 0; before && i < LBW_MAX_CASTS; i++) {
        value = before;
        before = lbw_weight_origin(behind(value, "Cast"));
    }
    return value;
}

bool lbw_weight_can_be(int32_t type)
{
    return type == TYPE(FLOAT) || type == TYPE(FLOAT16) || type == TYPE(BFLOAT16) ||
           type == TYPE(DOUBLE);
}

bool lbw_weight_can_cast(int32_t from, int32_t to)
{
    bool rounds_twice = from == TYPE(DOUBLE) && to != TYPE(FLOAT);
    return lbw_weight_can_be(from) && lbw_weight_can_be(to) && !rounds_twice;
}

/* The tensor after a Cast to `type`; *out stays NULL if we cannot compute that exactly. */
static enum lbw_status cast_tensor(Onnx__TensorProto **out, struct lbw_model *model,
                                   const char *name, const Onnx__TensorProto *proto,
                                   int32_t type, struct lbw_error *err)
{
    struct lbw_tensor tensor;
    LBW_TRY(lbw_tensor_view(&tensor, model, proto, err));
    if (!lbw_weight_can_cast(tensor.data_type, type))
        return LBW_OK;
    float *values = malloc((tensor.count + 1) * sizeof *values);
    if (!values)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_tensor_read_float(&tensor, values, err);
    if (status == LBW_OK) {
        *out = lbw_encode_plain(model, name, type, tensor.dims, tensor.num_dims, values,
                                tensor.count);
        status = *out ? LBW_OK : lbw_fail_memory(err);
    }
    free(values);
    return status;
}

static enum lbw_status constant_of(Onnx__TensorProto **out, struct lbw_value **root,
                                   const struct lbw_index *index, struct lbw_value *value,
                                   unsigned depth, struct lbw_error *err)
{
    value = lbw_weight_origin(value);
    struct lbw_value *before = behind(value, "Cast");
    Onnx__TensorProto *inner = NULL;
    *out = lbw_index_constant(index, value, true);
    *root = value;
    if (*out || !before || depth == 0)
        return LBW_OK;
    LBW_TRY(constant_of(&inner, root, index, before, depth - 1, err));
    return inner ? cast_tensor(out, index->model, value->name, inner,
                               (int32_t)lbw_node_int(value->producer, "to", 0), err)
                 : LBW_OK;
}

enum lbw_status lbw_weight_constant(Onnx__TensorProto **out, struct lbw_value **root,
                                    const struct lbw_index *index, struct lbw_value *value,
                                    struct lbw_error *err)
{
    return constant_of(out, root, index, value, LBW_MAX_CASTS, err);
}

static bool reads_shape(const struct lbw_use *use)
{
    return lbw_node_is(use->node, "Shape") || lbw_node_is(use->node, "Size");
}

/* Whether a use reads only the shape, by itself or in the function that it calls. */
static bool is_shape_use(const struct lbw_index *index, const struct lbw_use *use)
{
    if (reads_shape(use))
        return true;
    const struct lbw_scope *called = lbw_index_function(index, use->node);
    if (!called || use->input >= called->function->n_input)
        return false;
    const struct lbw_value *formal =
        lbw_strmap_get(&called->values, called->function->input[use->input]);
    for (use = formal ? formal->uses : NULL; use; use = use->next)
        if (!reads_shape(use))
            return false;
    return formal && !formal->is_output;
}

/*
 * The output of an Identity with this input. NULL if another node has the same output, or for
 * an input beyond the first: only broken models have these, and following them around a cycle
 * would double the work with each step.
 */
static const struct lbw_value *alias_by(const struct lbw_use *use)
{
    const struct lbw_value *alias = use->input == 0 && use->node->n_output
                                        ? lbw_index_find(use->scope, use->node->output[0])
                                        : NULL;
    return alias && alias->producer == use->node ? alias : NULL;
}

/* Uses through Identity nodes; false when one of them cannot be followed. */
static bool count_uses(size_t *num, const struct lbw_index *index,
                       const struct lbw_value *value, unsigned depth)
{
    if (value->is_output || depth == 0)
        return false;
    for (const struct lbw_use *use = value->uses; use; use = use->next) {
        if (!lbw_node_is(use->node, "Identity")) {
            *num += !is_shape_use(index, use);
            continue;
        }
        const struct lbw_value *alias = alias_by(use);
        if (!alias || !count_uses(num, index, alias, depth - 1))
            return false;
    }
    return true;
}

bool lbw_weight_count_uses(size_t *num, const struct lbw_index *index,
                           const struct lbw_value *value)
{
    *num = 0;
    return count_uses(num, index, value, LONGEST_CHAIN);
}

static bool is_given_out(const struct lbw_value *value, unsigned depth)
{
    for (const struct lbw_use *use = value->uses; use && depth && !value->is_output;
         use = use->next) {
        const struct lbw_value *alias =
            lbw_node_is(use->node, "Identity") ? alias_by(use) : NULL;
        if (alias && is_given_out(alias, depth - 1))
            return true;
    }
    return value->is_output;
}

bool lbw_weight_is_output(const struct lbw_value *value)
{
    return is_given_out(value, LONGEST_CHAIN);
}

static bool is_read_as_weight(const struct lbw_value *value, unsigned depth)
{
    for (const struct lbw_use *use = value->uses; use; use = use->next) {
        size_t first, last;
        if (lbw_weight_inputs(&first, &last, use->node, NULL) && use->input >= first &&
            use->input <= last)
            return true;
        if (depth == 0 || !lbw_node_is(use->node, "Identity"))
            continue;
        const struct lbw_value *alias = alias_by(use);
        if (alias && is_read_as_weight(alias, depth - 1))
            return true;
    }
    return false;
}

bool lbw_weight_is_read(const struct lbw_value *value)
{
    return is_read_as_weight(value, LONGEST_CHAIN);
}

bool lbw_weight_is_cast(const struct lbw_value *value)
{
    const struct lbw_value *before = lbw_weight_origin(behind(value, "Cast"));
    return before && lbw_weight_is_read(before);
}

int lbw_weight_step_axis(const struct lbw_weight *weight)
{
    const struct lbw_layout *layout = &weight->layout;
    if (weight->item.group == LBW_GROUP_TENSOR)
        return -1;
    if (strcmp(weight->item.op, "ConvTranspose") == 0 && layout->groups > 1)
        return layout->rows == 1 ? (layout->k == layout->taps ? 0 : -1) : -1;
    return weight->item.axis;
}

size_t lbw_weight_num_steps(const struct lbw_weight *weight)
{
    int axis = lbw_weight_step_axis(weight);
    return axis < 0 ? 1 : (size_t)weight->item.dims[axis];
}

size_t lbw_weight_step_index(const struct lbw_weight *weight, size_t group, size_t row)
{
    return lbw_weight_step_axis(weight) < 0 ? 0 : group * weight->layout.rows + row;
}
