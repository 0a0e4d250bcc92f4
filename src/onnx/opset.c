/* SPDX-License-Identifier: MIT */
/* Lifting the default domain version by version: every node of every scope, by the rules. */
#include "onnx/opset.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/import.h"
#include "onnx/tensor.h"

/* The least IR version of the release that brought an opset (ONNX Versioning.md). */
static const int ir_versions[LBW_MAX_OPSET + 1] = {
    [7] = 3,   [8] = 3,   [9] = 4,   [10] = 5,  [11] = 6,  [12] = 7, [13] = 7,
    [14] = 7,  [15] = 8,  [16] = 8,  [17] = 8,  [18] = 8,  [19] = 9, [20] = 9,
    [21] = 10, [22] = 10, [23] = 11, [24] = 12, [25] = 13,
};

/* --- tools for the rules --- */

enum lbw_status lbw_lift_refuse(struct lbw_lift *lift, const Onnx__NodeProto *node,
                                const char *why)
{
    const char *name = node->name && *node->name ? node->name
                       : node->n_output          ? node->output[0]
                                                 : "";
    return lbw_fail(lift->err, LBW_ERR_UNSUPPORTED,
                    "node '%s': %s cannot be lifted to opset %d: %s", name, node->op_type,
                    lift->version, why);
}

enum lbw_status lbw_lift_emit(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    return lbw_node_list_add(&lift->list, node) ? LBW_OK : lbw_fail_memory(lift->err);
}

enum lbw_status lbw_lift_constant(const char **name, struct lbw_lift *lift, const char *stem,
                                  int32_t data_type, const int64_t *dims, size_t num_dims,
                                  const void *data, size_t size)
{
    struct lbw_model *model = lift->model;
    void *copy = lbw_arena_memdup(&model->arena, data, size);
    const char *made = lbw_names_make(lift->names, model, stem);
    if (!copy || !made)
        return lbw_fail_memory(lift->err);
    Onnx__TensorProto *tensor =
        lbw_tensor_new(model, made, data_type, dims, num_dims, copy, size);
    const char *inputs[] = {NULL}, *outputs[] = {made, NULL};
    Onnx__NodeProto *node = lbw_build_node(model, "", "Constant", made, inputs, outputs);
    if (!lbw_build_tensor(model, node, "value", tensor) ||
        !lbw_strmap_put(&lift->made, made, tensor))
        return lbw_fail_memory(lift->err);
    LBW_TRY(lbw_lift_emit(lift, node));
    *name = made;
    return LBW_OK;
}

Onnx__AttributeProto *lbw_lift_take(Onnx__NodeProto *node, const char *name)
{
    Onnx__AttributeProto *taken = lbw_node_attribute(node, name);
    for (size_t i = 0, kept = 0; taken && i < node->n_attribute; i++)
        if (node->attribute[i] != taken)
            node->attribute[kept++] = node->attribute[i];
    node->n_attribute -= taken != NULL;
    return taken;
}

enum lbw_status lbw_lift_set_inputs(struct lbw_lift *lift, Onnx__NodeProto *node,
                                    const char *const *inputs, size_t num)
{
    char **list = lbw_arena_alloc(&lift->model->arena, num * sizeof *list);
    if (!list)
        return lbw_fail_memory(lift->err);
    for (size_t i = 0; i < num; i++) {
        const char *name = inputs[i] ? inputs[i] : lbw_node_input(node, i);
        list[i] = lbw_arena_strdup(&lift->model->arena, name);
        if (!list[i])
            return lbw_fail_memory(lift->err);
    }
    node->input = list;
    node->n_input = num;
    return LBW_OK;
}

void lbw_lift_drop_unused(const struct lbw_lift *lift, Onnx__NodeProto *node)
{
    while (node->n_output > 1) {
        const struct lbw_value *value =
            lbw_index_find(lift->scope, node->output[node->n_output - 1]);
        if (value && (value->uses || value->is_output))
            return;
        node->n_output--;
    }
}

const Onnx__TensorProto *lbw_lift_tensor(const struct lbw_lift *lift, const char *name)
{
    const Onnx__TensorProto *tensor = lbw_strmap_get(&lift->made, name);
    const struct lbw_value *value = tensor ? NULL : lbw_index_find(lift->scope, name);
    return value ? lbw_index_constant(&lift->index, value, false) : tensor;
}

static const Onnx__TypeProto *find_type(Onnx__ValueInfoProto *const *list, size_t num,
                                        const char *name)
{
    for (size_t i = 0; i < num; i++)
        if (list[i]->name && strcmp(list[i]->name, name) == 0)
            return list[i]->type;
    return NULL;
}

/* The tensor type that the scope of a value declares for it, or NULL. */
static const Onnx__TypeProto__Tensor *declared(const struct lbw_value *value)
{
    const Onnx__GraphProto *graph = value->scope->graph;
    const Onnx__FunctionProto *function = value->scope->function;
    const Onnx__TypeProto *type = NULL;
    if (graph) {
        type = find_type(graph->value_info, graph->n_value_info, value->name);
        if (!type)
            type = find_type(graph->input, graph->n_input, value->name);
        if (!type)
            type = find_type(graph->output, graph->n_output, value->name);
    } else {
        type = find_type(function->value_info, function->n_value_info, value->name);
    }
    return type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? type->tensor_type
                                                                           : NULL;
}

/* Operators whose first output has the type of these inputs, whichever of them is known. */
static const struct {
    const char *op_type;
    size_t first, last;
} same_type[] = {
    {"Abs", 0, 0},
    {"Add", 0, 1},
    {"AveragePool", 0, 0},
    {"BatchNormalization", 0, 1},
    {"Ceil", 0, 0},
    {"Celu", 0, 0},
    {"Clip", 0, 0},
    {"Concat", 0, 1},
    {"Conv", 0, 1},
    {"ConvTranspose", 0, 1},
    {"Cos", 0, 0},
    {"CumSum", 0, 0},
    {"DepthToSpace", 0, 0},
    {"Div", 0, 1},
    {"Dropout", 0, 0},
    {"Elu", 0, 0},
    {"Erf", 0, 0},
    {"Exp", 0, 0},
    {"Expand", 0, 0},
    {"Flatten", 0, 0},
    {"Floor", 0, 0},
    {"GRU", 0, 0},
    {"Gather", 0, 0},
    {"GatherElements", 0, 0},
    {"GatherND", 0, 0},
    {"Gemm", 0, 1},
    {"GlobalAveragePool", 0, 0},
    {"GlobalLpPool", 0, 0},
    {"GlobalMaxPool", 0, 0},
    {"GridSample", 0, 0},
    {"HardSigmoid", 0, 0},
    {"HardSwish", 0, 0},
    {"Hardmax", 0, 0},
    {"Identity", 0, 0},
    {"InstanceNormalization", 0, 1},
    {"LRN", 0, 0},
    {"LSTM", 0, 0},
    {"LayerNormalization", 0, 0},
    {"LeakyRelu", 0, 0},
    {"Log", 0, 0},
    {"LogSoftmax", 0, 0},
    {"LpNormalization", 0, 0},
    {"LpPool", 0, 0},
    {"MatMul", 0, 1},
    {"Max", 0, 1},
    {"MaxPool", 0, 0},
    {"MaxRoiPool", 0, 0},
    {"MaxUnpool", 0, 0},
    {"Mean", 0, 1},
    {"MeanVarianceNormalization", 0, 0},
    {"Min", 0, 1},
    {"Mod", 0, 0},
    {"Mul", 0, 1},
    {"Neg", 0, 0},
    {"PRelu", 0, 1},
    {"Pad", 0, 0},
    {"Pow", 0, 0},
    {"Reciprocal", 0, 0},
    {"ReduceL1", 0, 0},
    {"ReduceL2", 0, 0},
    {"ReduceLogSum", 0, 0},
    {"ReduceLogSumExp", 0, 0},
    {"ReduceMax", 0, 0},
    {"ReduceMean", 0, 0},
    {"ReduceMin", 0, 0},
    {"ReduceProd", 0, 0},
    {"ReduceSum", 0, 0},
    {"ReduceSumSquare", 0, 0},
    {"Relu", 0, 0},
    {"Reshape", 0, 0},
    {"Resize", 0, 0},
    {"ReverseSequence", 0, 0},
    {"RoiAlign", 0, 0},
    {"Round", 0, 0},
    {"Scatter", 0, 0},
    {"ScatterElements", 0, 0},
    {"ScatterND", 0, 0},
    {"Selu", 0, 0},
    {"Shrink", 0, 0},
    {"Sigmoid", 0, 0},
    {"Sign", 0, 0},
    {"Sin", 0, 0},
    {"Slice", 0, 0},
    {"Softmax", 0, 0},
    {"Softplus", 0, 0},
    {"Softsign", 0, 0},
    {"SpaceToDepth", 0, 0},
    {"Split", 0, 0},
    {"Sqrt", 0, 0},
    {"Squeeze", 0, 0},
    {"Sub", 0, 1},
    {"Sum", 0, 1},
    {"Tanh", 0, 0},
    {"ThresholdedRelu", 0, 0},
    {"Tile", 0, 0},
    {"TopK", 0, 0},
    {"Transpose", 0, 0},
    {"Unsqueeze", 0, 0},
    {"Upsample", 0, 0},
    {"Where", 1, 2},
};

/* Follows producers upwards; `budget` bounds the whole search, cycles included. */
static int32_t type_of(const struct lbw_lift *lift, const struct lbw_scope *scope,
                       const char *name, unsigned *budget)
{
    const struct lbw_value *value = lbw_index_find(scope, name);
    if (!value || !*budget)
        return 0;
    --*budget;
    const Onnx__TypeProto__Tensor *type = declared(value);
    const Onnx__TensorProto *tensor = lbw_index_constant(&lift->index, value, true);
    const Onnx__NodeProto *node = value->producer;
    if (type && type->elem_type)
        return type->elem_type;
    if (tensor)
        return tensor->data_type;
    if (!node || value->producer_output != 0)
        return 0;
    if (lbw_node_is(node, "Cast"))
        return (int32_t)lbw_node_int(node, "to", 0);
    for (size_t i = 0; i < sizeof same_type / sizeof *same_type; i++) {
        if (!lbw_node_is(node, same_type[i].op_type))
            continue;
        int32_t found = 0;
        for (size_t k = same_type[i].first; !found && k <= same_type[i].last; k++)
            found = type_of(lift, value->scope, lbw_node_input(node, k), budget);
        return found;
    }
    return 0;
}

int32_t lbw_lift_type(const struct lbw_lift *lift, const char *name)
{
    unsigned budget = 1000;
    return type_of(lift, lift->scope, name, &budget);
}

int lbw_lift_rank(const struct lbw_lift *lift, const char *name)
{
    const struct lbw_value *value = lbw_index_find(lift->scope, name);
    const Onnx__TypeProto__Tensor *type = value ? declared(value) : NULL;
    return type && type->shape ? (int)type->shape->n_dim : -1;
}

/* --- the walk --- */

static lbw_lift_fn find_rule(const Onnx__NodeProto *node, int version)
{
    for (size_t i = 0; i < lbw_num_lift_rules; i++)
        if (lbw_lift_rules[i].version == version &&
            lbw_node_is(node, lbw_lift_rules[i].op_type))
            return lbw_lift_rules[i].fn;
    return NULL;
}

bool lbw_lift_keeps(const Onnx__NodeProto *node, int64_t from, int64_t to)
{
    if (from < LBW_MIN_OPSET || to < from || to > LBW_MAX_OPSET)
        return false;
    for (int version = (int)from + 1; version <= to; version++)
        if (find_rule(node, version))
            return false;
    return true;
}

static enum lbw_status step_node(struct lbw_lift *lift, Onnx__NodeProto *node)
{
    lbw_lift_fn fn = find_rule(node, lift->version);
    lift->behind = NULL;
    if (fn && lbw_node_has_reference(node))
        return lbw_lift_refuse(lift, node, "it takes an attribute from its function");
    if (fn)
        LBW_TRY(fn(lift, node));
    LBW_TRY(lbw_lift_emit(lift, node));
    return lift->behind ? lbw_lift_emit(lift, lift->behind) : LBW_OK;
}

/* Lifts one scope to lift->version. */
static enum lbw_status step_scope(struct lbw_lift *lift, struct lbw_scope *scope)
{
    size_t num;
    Onnx__NodeProto **nodes = lbw_scope_nodes(scope, &num);
    lift->scope = scope;
    lift->list.num = 0;
    for (size_t i = 0; i < num; i++)
        LBW_TRY(step_node(lift, nodes[i]));
    if (lift->list.num == num)
        return LBW_OK;
    bool is_set = lbw_scope_set_nodes(scope, lift->model, lift->list.nodes, lift->list.num);
    return is_set ? LBW_OK : lbw_fail_memory(lift->err);
}

static enum lbw_status check_import(const Onnx__OperatorSetIdProto *import, int64_t opset,
                                    const char *what, struct lbw_error *err)
{
    if (import && import->version > opset)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "%s is at opset %lld, which is above %lld", what,
                        (long long)import->version, (long long)opset);
    if (import && import->version < LBW_MIN_OPSET && import->version != opset)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "%s is at opset %lld; lifting starts at opset %d", what,
                        (long long)import->version, LBW_MIN_OPSET);
    return LBW_OK;
}

static enum lbw_status check_imports(const struct lbw_lift *lift, int64_t opset)
{
    if (opset < LBW_MIN_OPSET || opset > LBW_MAX_OPSET)
        return lbw_fail(lift->err, LBW_ERR_ARGUMENT, "opset %lld is not one of %d to %d",
                        (long long)opset, LBW_MIN_OPSET, LBW_MAX_OPSET);
    LBW_TRY(lbw_model_check_imports(lift->model, lift->err));
    LBW_TRY(check_import(lbw_scope_import(lift->model, lift->index.scopes), opset, "the model",
                         lift->err));
    for (struct lbw_scope *scope = lift->index.scopes; scope; scope = scope->next)
        if (scope->function)
            LBW_TRY(check_import(lbw_scope_import(lift->model, scope), opset, "a function",
                                 lift->err));
    return LBW_OK;
}

/* From IR 4 on, an initializer among the inputs may be overridden; before, it is a constant. */
static void drop_constant_inputs(struct lbw_lift *lift)
{
    Onnx__GraphProto *graph = lift->model->proto->graph;
    size_t kept = 0;
    for (size_t i = 0; i < graph->n_input; i++) {
        const char *name = graph->input[i]->name;
        const struct lbw_value *value = lbw_index_find(lift->index.scopes, name);
        if (!value || !value->initializer)
            graph->input[kept++] = graph->input[i];
    }
    graph->n_input = kept;
}

static enum lbw_status lift_all(struct lbw_lift *lift, int64_t opset)
{
    Onnx__ModelProto *proto = lift->model->proto;
    for (int version = LBW_MIN_OPSET + 1; version <= opset; version++) {
        lift->version = version;
        for (struct lbw_scope *scope = lift->index.scopes; scope; scope = scope->next) {
            const Onnx__OperatorSetIdProto *import = lbw_scope_import(lift->model, scope);
            if (!import || import->version >= version)
                continue;
            LBW_TRY(step_scope(lift, scope));
            proto->n_training_info = 0; /* graphs of the old opset */
        }
    }
    for (struct lbw_scope *scope = lift->index.scopes; scope; scope = scope->next) {
        Onnx__OperatorSetIdProto *import = lbw_scope_import(lift->model, scope);
        if (import)
            import->version = opset;
    }
    if (proto->ir_version < ir_versions[opset]) {
        if (proto->ir_version < 4 && ir_versions[opset] >= 4)
            drop_constant_inputs(lift);
        proto->has_ir_version = true;
        proto->ir_version = ir_versions[opset];
    }
    return LBW_OK;
}

enum lbw_status lbw_model_lift(struct lbw_model *model, int64_t opset, struct lbw_error *err)
{
    struct lbw_lift lift = {.model = model, .err = err};
    enum lbw_status status = lbw_model_check(model, err);
    if (status != LBW_OK)
        return status; /* a model without a name */
    LBW_OR_OUT(lbw_index_init(&lift.index, model, err));
    LBW_OR_OUT(lbw_names_new(&lift.names, model, err));
    LBW_OR_OUT(check_imports(&lift, opset));
    LBW_OR_OUT(lbw_model_rewritten(model, lift_all(&lift, opset)));
out:
    lbw_index_release(&lift.index);
    lbw_names_free(lift.names);
    lbw_strmap_release(&lift.made);
    lbw_strmap_release(&lift.upsample);
    free(lift.list.nodes);
    return lbw_within(err, status, "%s", model->name);
}
