/* SPDX-License-Identifier: MIT */
/*
 * Activations from a frontier that moves through the main graph. Settling only sets a mark:
 * nodes run when a tensor is requested, so that calls alone cost nothing.
 */
#include "calib/stages.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/record.h"
#include "base/thread.h"
#include "onnx/tensor.h"
#include "calib/stage.h"

struct stages {
    struct lbw_activations base;
    struct lbw_frontier frontier;
    size_t settled; /* how far the frontier may go */
    bool is_sequential;
    uint64_t memory;       /* for kept tensors and whoever looks at them */
    const float *emphasis; /* one map per sample; NULL: none */
};

static struct stages *stages_of(struct lbw_activations *base)
{
    return (struct stages *)(void *)base;
}

static bool is_float(int32_t type)
{
    return type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
}

/* The array's own data when it is float32, else a conversion that *made owns. */
static const float *as_float(const struct lbw_array *array, float **made)
{
    size_t count = array->size / (lbw_data_type_bits(array->data_type) / 8);
    const uint16_t *half = array->data;
    if (array->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return array->data;
    *made = malloc((count + 1) * sizeof **made);
    for (size_t i = 0; *made && i < count; i++)
        if (array->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16)
            (*made)[i] = lbw_half_to_float(half[i]);
        else if (array->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
            (*made)[i] = lbw_bfloat16_to_float(half[i]);
        else
            (*made)[i] = (float)((const double *)array->data)[i];
    return *made;
}

/* The callback that receives samples. */
struct viewer {
    const char *name;
    lbw_activation_fn fn;
    void *user;
    const float *emphasis; /* one map per sample; NULL: none */
    double seconds;        /* that fn has taken */
};

/* `converted` may be the same as `reference`. */
static enum lbw_status emit(struct viewer *viewer, size_t sample,
                            const struct lbw_array *reference,
                            const struct lbw_array *converted, struct lbw_error *err)
{
    float *made[2] = {NULL, NULL};
    if (!is_float(reference->data_type))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "tensor '%s' holds %s", viewer->name,
                        lbw_data_type_name(reference->data_type));
    if (reference->size != converted->size || reference->num_dims != converted->num_dims ||
        memcmp(reference->dims, converted->dims,
               reference->num_dims * sizeof *reference->dims) != 0)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "the shape of tensor '%s' depends on the weights", viewer->name);
    struct lbw_activation values = {
        .sample = sample,
        .num_dims = reference->num_dims,
        .dims = reference->dims,
    };
    if (viewer->emphasis)
        values.emphasis = viewer->emphasis + sample * LBW_EMPHASIS_CELLS;
    values.reference = as_float(reference, &made[0]);
    values.converted =
        converted->data == reference->data ? values.reference : as_float(converted, &made[1]);
    double start = lbw_now();
    enum lbw_status status = values.reference && values.converted
                                 ? viewer->fn(viewer->user, &values, err)
                                 : lbw_fail_memory(err);
    viewer->seconds += lbw_now() - start;
    free(made[0]);
    free(made[1]);
    return status;
}

static enum lbw_status show_kept(struct stages *self, struct viewer *viewer,
                                 const struct lbw_flow_value *value, size_t sample,
                                 struct lbw_error *err)
{
    struct lbw_store *store = &self->frontier.store;
    const struct lbw_kept *kept = lbw_frontier_kept(&self->frontier, value, sample, false);
    const struct lbw_kept *other = lbw_frontier_kept(&self->frontier, value, sample, true);
    struct lbw_array reference, converted;
    bool owns_reference = false, owns_converted = false;
    enum lbw_status status;
    LBW_OR_OUT(lbw_store_view(store, kept, &reference, &owns_reference, err));
    converted = reference;
    if (other != kept)
        LBW_OR_OUT(lbw_store_view(store, other, &converted, &owns_converted, err));
    LBW_OR_OUT(emit(viewer, sample, &reference, &converted, err));
out:
    if (owns_reference)
        lbw_array_release(&reference);
    if (owns_converted)
        lbw_array_release(&converted);
    return status;
}

struct batch {
    const struct lbw_stage *stage;
    size_t first;                     /* sample of results[0] */
    struct lbw_stage_result *results; /* num_threads of them */
};

static void run_sample(void *user, size_t i)
{
    struct batch *batch = user;
    struct lbw_stage_result *result = &batch->results[i];
    if (lbw_watch_goes_on(batch->stage->frontier->watch))
        lbw_stage_run(batch->stage, batch->first + i, result);
    else
        result->status = lbw_fail(&result->err, LBW_ERR_INTERRUPTED, "interrupted");
}

/* Computes a value after the frontier, a few samples at a time, and keeps nothing. */
static enum lbw_status show_ahead(struct stages *self, struct viewer *viewer,
                                  const struct lbw_stage *stage, struct lbw_error *err)
{
    const size_t at_once = self->frontier.num_threads;
    const size_t num_samples = self->frontier.num_samples;
    enum lbw_status status = LBW_OK;
    struct batch batch = {.stage = stage};
    batch.results = calloc(at_once, sizeof *batch.results);
    if (!batch.results)
        return lbw_fail_memory(err);
    for (; batch.first < num_samples && status == LBW_OK; batch.first += at_once) {
        size_t num = num_samples - batch.first < at_once ? num_samples - batch.first : at_once;
        lbw_parallel_for(num, self->frontier.num_threads, run_sample, &batch);
        for (size_t i = 0; i < num; i++) {
            struct lbw_stage_result *result = &batch.results[i];
            if (status == LBW_OK && result->status != LBW_OK) {
                status = result->status;
                if (err)
                    *err = result->err;
            }
            if (status == LBW_OK)
                status =
                    emit(viewer, batch.first + i, result->reference,
                         stage->converted.session ? result->converted : result->reference, err);
            lbw_stage_result_release(stage, result);
        }
    }
    free(batch.results);
    return status;
}

static enum lbw_status open_and_show(struct stages *self, struct viewer *viewer,
                                     struct lbw_flow_value *value, struct lbw_error *err)
{
    struct lbw_stage stage;
    enum lbw_status status = lbw_stage_open(&stage, &self->frontier, &value, 1, err);
    /* Nodes that the runtime rejects cannot be reached; this is not a failure of a run. */
    if (status == LBW_ERR_RUNTIME) {
        if (err)
            err->status = LBW_ERR_UNSUPPORTED;
        return LBW_ERR_UNSUPPORTED;
    }
    LBW_TRY(status);
    if (is_float(lbw_session_output_type(stage.reference.session, 0)))
        status = show_ahead(self, viewer, &stage, err);
    else
        status = lbw_fail(err, LBW_ERR_UNSUPPORTED, "'%s' is not a float tensor", value->name);
    lbw_stage_close(&stage);
    return status;
}

static enum lbw_status show_to(struct viewer *viewer, struct stages *self,
                               struct lbw_error *err)
{
    const struct lbw_activations *base = &self->base;
    const char *name = viewer->name;
    struct lbw_frontier *frontier = &self->frontier;
    struct lbw_flow_value *value = lbw_flow_find(&frontier->flow, name);
    if (!value || value->kind == LBW_FLOW_CONSTANT)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "'%s' is not an activation of the main graph",
                        name);
    frontier->watch = base->watch;
    LBW_TRY(lbw_frontier_limit(
        frontier, self->memory > base->reserved ? self->memory - base->reserved : 0, err));
    enum lbw_status status = LBW_OK;
    if (!frontier->is_broken)
        status = lbw_frontier_advance(frontier, self->settled, err);
    else
        status = lbw_fail(err, LBW_ERR_RUNTIME, "an earlier run of the model failed");
    /* A node that the runtime rejects stops the frontier, not the tensors before it. */
    bool is_stuck = status == LBW_ERR_RUNTIME || status == LBW_ERR_UNSUPPORTED;
    if (frontier->is_broken || !is_stuck)
        LBW_TRY(status);
    if (frontier->live[value->id].reference) {
        for (size_t i = 0; i < frontier->num_samples; i++)
            LBW_TRY(show_kept(self, viewer, value, i, err));
        return LBW_OK;
    }
    if (value->kind != LBW_FLOW_DERIVED &&
        (value->producer == LBW_FLOW_NOWHERE || value->producer < frontier->position))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "tensor '%s' has already been released",
                        name);
    return open_and_show(self, viewer, value, err);
}

static enum lbw_status show(struct lbw_activations *base, const char *name,
                            lbw_activation_fn fn, void *user, struct lbw_error *err)
{
    struct stages *self = stages_of(base);
    struct viewer viewer = {.name = name, .fn = fn, .user = user, .emphasis = self->emphasis};
    double start = lbw_now();
    enum lbw_status status = show_to(&viewer, self, err);
    base->seconds += lbw_now() - start - viewer.seconds;
    return status;
}

/* One element from float32, rounded to nearest, in the bits of `type`. */
static void store_float(unsigned char *out, int32_t type, float value)
{
    uint64_t bits = lbw_float_bits(value);
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16)
        bits = lbw_half_from_float(value);
    else if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
        bits = lbw_bfloat16_from_float(value);
    else if (type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE) {
        double wide = value;
        memcpy(&bits, &wide, sizeof bits);
    }
    lbw_store_le(out, bits, lbw_data_type_bits(type) / 8);
}

/* A tensor like `view` with other values, in one allocation; NULL when memory is out. */
static Onnx__TensorProto *make_replacement(const struct lbw_tensor *view, const char *name,
                                           const float *values)
{
    size_t width = lbw_data_type_bits(view->data_type) / 8;
    size_t dims_size = view->num_dims * sizeof *view->dims;
    Onnx__TensorProto *tensor = malloc(sizeof *tensor + dims_size + view->count * width);
    if (!tensor)
        return NULL;
    onnx__tensor_proto__init(tensor);
    tensor->name = (char *)name;
    tensor->has_data_type = true;
    tensor->data_type = view->data_type;
    tensor->n_dims = view->num_dims;
    tensor->dims = (int64_t *)(void *)(tensor + 1);
    if (dims_size)
        memcpy(tensor->dims, view->dims, dims_size);
    tensor->has_raw_data = true;
    tensor->raw_data.len = view->count * width;
    tensor->raw_data.data = (unsigned char *)tensor->dims + dims_size;
    for (size_t i = 0; i < view->count; i++)
        store_float(tensor->raw_data.data + i * width, view->data_type, values[i]);
    return tensor;
}

static enum lbw_status replace(struct lbw_activations *base, const char *name,
                               const float *values, size_t count, struct lbw_error *err)
{
    struct stages *self = stages_of(base);
    struct lbw_frontier *frontier = &self->frontier;
    const struct lbw_flow_value *value = lbw_flow_find(&frontier->flow, name);
    struct lbw_tensor view;
    if (!value || !value->tensor)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "'%s' is not a constant of the main graph",
                        name);
    LBW_TRY(lbw_tensor_view(&view, frontier->model, value->tensor, err));
    if (view.count != count || !is_float(view.data_type))
        return lbw_fail(err, LBW_ERR_ARGUMENT, "'%s' holds %zu %s values, not %zu floats", name,
                        view.count, lbw_data_type_name(view.data_type), count);
    if (!self->is_sequential)
        return LBW_OK;
    Onnx__TensorProto *tensor = make_replacement(&view, value->name, values);
    if (!tensor)
        return lbw_fail_memory(err);
    free(frontier->replaced[value->id]);
    frontier->replaced[value->id] = tensor;
    return LBW_OK;
}

static enum lbw_status settle(struct lbw_activations *base, size_t node, struct lbw_error *err)
{
    struct stages *self = stages_of(base);
    size_t num_nodes = self->frontier.flow.num_nodes;
    if (node > num_nodes)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "node %zu of %zu", node, num_nodes);
    if (node > self->settled)
        self->settled = node;
    return LBW_OK;
}

static enum lbw_status round_value(struct lbw_activations *base, const char *name,
                                   const struct lbw_ranges *ranges, struct lbw_error *err)
{
    struct stages *self = stages_of(base);
    const struct lbw_flow_value *value = lbw_flow_find(&self->frontier.flow, name);
    if (!value || value->kind == LBW_FLOW_CONSTANT)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "'%s' is not an activation of the main graph",
                        name);
    return self->is_sequential ? lbw_frontier_round(&self->frontier, value, ranges, err)
                               : LBW_OK;
}

/* What both models have kept of one sample's outputs. */
struct ends {
    const struct lbw_flow_value **values;
    struct lbw_array *arrays; /* of the float model, then of the converted one */
    bool *is_owned;
    size_t num;
};

static enum lbw_status view_ends(struct ends *ends, struct stages *self, size_t sample,
                                 struct lbw_error *err)
{
    for (size_t i = 0; i < 2 * ends->num; i++) {
        const struct lbw_flow_value *value = ends->values[i % ends->num];
        LBW_TRY(
            lbw_store_view(&self->frontier.store,
                           lbw_frontier_kept(&self->frontier, value, sample, i >= ends->num),
                           &ends->arrays[i], &ends->is_owned[i], err));
    }
    return LBW_OK;
}

static void drop_ends(struct ends *ends)
{
    for (size_t i = 0; i < 2 * ends->num; i++) {
        if (ends->is_owned[i])
            lbw_array_release(&ends->arrays[i]);
        ends->is_owned[i] = false;
    }
}

static enum lbw_status find_ends(struct ends *ends, struct stages *self,
                                 const char *const *names, struct lbw_error *err)
{
    struct lbw_frontier *frontier = &self->frontier;
    frontier->watch = self->base.watch;
    self->settled = frontier->flow.num_nodes;
    enum lbw_status status = lbw_frontier_advance(frontier, self->settled, err);
    if (status == LBW_ERR_RUNTIME && !frontier->is_broken)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "the runtime does not reach the outputs");
    LBW_TRY(status);
    for (size_t i = 0; i < ends->num; i++) {
        ends->values[i] = lbw_flow_find(&frontier->flow, names[i]);
        if (!ends->values[i] || !frontier->live[ends->values[i]->id].reference)
            return lbw_fail(err, LBW_ERR_UNSUPPORTED, "output '%s' is not kept", names[i]);
    }
    return LBW_OK;
}

enum lbw_status lbw_stages_finish(struct lbw_activations *stages, const char *const *names,
                                  size_t num_names, lbw_outputs_fn fn, void *user,
                                  struct lbw_error *err)
{
    struct stages *self = stages_of(stages);
    struct ends ends = {.values = calloc(num_names + 1, sizeof *ends.values),
                        .arrays = calloc(2 * num_names + 1, sizeof *ends.arrays),
                        .is_owned = calloc(2 * num_names + 1, sizeof *ends.is_owned),
                        .num = num_names};
    double start = lbw_now();
    enum lbw_status status;
    LBW_OR_OUT(ends.values && ends.arrays && ends.is_owned ? LBW_OK : lbw_fail_memory(err));
    LBW_OR_OUT(find_ends(&ends, self, names, err));
    stages->seconds += lbw_now() - start;
    for (size_t i = 0; i < self->frontier.num_samples && status == LBW_OK; i++) {
        status = view_ends(&ends, self, i, err);
        if (status == LBW_OK)
            status = fn(user, ends.arrays, ends.arrays + num_names, err);
        drop_ends(&ends);
    }
out:
    free(ends.values);
    free(ends.arrays);
    free(ends.is_owned);
    return status;
}

/* Stores every sample, and hashes its bytes into the identity. */
static enum lbw_status feed_samples(struct stages *self, struct lbw_feed *feed,
                                    const struct lbw_stages_params *params,
                                    struct lbw_error *err)
{
    struct lbw_frontier *frontier = &self->frontier;
    uint64_t *identity = &self->base.identity;
    size_t num_inputs = lbw_feed_num_inputs(feed);
    struct lbw_array *arrays = calloc(num_inputs + 1, sizeof *arrays);
    enum lbw_status status = arrays ? LBW_OK : lbw_fail_memory(err);
    for (size_t i = 0; i < frontier->num_samples && status == LBW_OK; i++) {
        status = lbw_feed_get(feed, i, arrays, err);
        if (status == LBW_OK && params->look)
            status = params->look(params->user, i, arrays, err);
        for (size_t k = 0; k < num_inputs && status == LBW_OK; k++) {
            *identity = lbw_hash(*identity, &arrays[k].size, sizeof arrays[k].size);
            *identity = lbw_hash(*identity, arrays[k].data, arrays[k].size);
            status =
                lbw_frontier_feed(frontier, lbw_feed_input(feed, k)->name, i, &arrays[k], err);
        }
        lbw_arrays_release(arrays, num_inputs);
    }
    free(arrays);
    if (self->emphasis)
        *identity =
            lbw_hash(*identity, self->emphasis,
                     frontier->num_samples * LBW_EMPHASIS_CELLS * sizeof *self->emphasis);
    return status;
}

enum lbw_status lbw_stages_open(struct lbw_activations **out, struct lbw_model *model,
                                struct lbw_feed *feed, const struct lbw_stages_params *params,
                                struct lbw_error *err)
{
    struct lbw_runtime *runtime;
    size_t num_samples = lbw_feed_num_samples(feed);
    unsigned num_threads = params->num_threads ? params->num_threads : lbw_num_processors();
    LBW_TRY(lbw_runtime_load(&runtime, NULL, err));
    if (num_samples == 0)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "no samples to calibrate with");
    struct stages *self = calloc(1, sizeof *self);
    if (!self)
        return lbw_fail_memory(err);
    struct lbw_activations *base = &self->base;
    *base = (struct lbw_activations){
        show, replace, settle, num_samples,
        lbw_hash(LBW_HASH_START, &params->sequential, sizeof params->sequential)};
    base->round = round_value;
    self->is_sequential = params->sequential != 0;
    self->memory = params->memory;
    self->emphasis = params->emphasis;
    enum lbw_status status = lbw_frontier_init(&self->frontier, model, num_samples, num_threads,
                                               params->memory, err);
    if (status != LBW_OK) {
        free(self);
        return status;
    }
    status = feed_samples(self, feed, params, err);
    if (status != LBW_OK)
        lbw_stages_close(&base);
    else
        *out = base;
    return status;
}

void lbw_stages_close(struct lbw_activations **stages)
{
    if (!*stages)
        return;
    struct stages *self = stages_of(*stages);
    lbw_frontier_release(&self->frontier);
    free(self);
    *stages = NULL;
}
