/* SPDX-License-Identifier: MIT */
/* Moving the frontier: runs a stage, keeps what later nodes read, forgets the rest. */
#include "calib/frontier.h"

#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "calib/stage.h"

const struct lbw_kept *lbw_frontier_kept(const struct lbw_frontier *frontier,
                                         const struct lbw_flow_value *value, size_t sample,
                                         bool is_converted)
{
    const struct lbw_live *live = &frontier->live[value->id];
    return is_converted && live->converted ? &live->converted[sample]
                                           : &live->reference[sample];
}

static void drop_sample(struct lbw_frontier *frontier, const struct lbw_flow_value *value,
                        size_t sample)
{
    struct lbw_live *live = &frontier->live[value->id];
    lbw_store_drop(&frontier->store, &live->reference[sample]);
    if (live->converted)
        lbw_store_drop(&frontier->store, &live->converted[sample]);
}

static void drop(struct lbw_frontier *frontier, const struct lbw_flow_value *value)
{
    struct lbw_live *live = &frontier->live[value->id];
    if (!live->reference)
        return;
    for (size_t i = 0; i < frontier->num_samples; i++)
        drop_sample(frontier, value, i);
    free(live->reference);
    free(live->converted);
    live->reference = NULL;
    live->converted = NULL;
}

enum lbw_status lbw_frontier_init(struct lbw_frontier *out, struct lbw_model *model,
                                  size_t num_samples, unsigned num_threads, uint64_t memory,
                                  struct lbw_error *err)
{
    struct lbw_frontier frontier = {
        .model = model, .num_samples = num_samples, .num_threads = num_threads};
    LBW_TRY(lbw_flow_init(&frontier.flow, model, err));
    size_t num_values = frontier.flow.num_values;
    frontier.live = calloc(num_values + 1, sizeof *frontier.live);
    frontier.replaced = calloc(num_values + 1, sizeof(Onnx__TensorProto *));
    frontier.rounded = calloc(num_values + 1, sizeof(struct lbw_ranges *));
    if (!frontier.live || !frontier.replaced || !frontier.rounded) {
        free(frontier.live);
        free(frontier.replaced);
        free(frontier.rounded);
        lbw_flow_release(&frontier.flow);
        return lbw_fail_memory(err);
    }
    *out = frontier;
    lbw_store_init(&out->store, memory);
    return LBW_OK;
}

void lbw_frontier_release(struct lbw_frontier *frontier)
{
    for (size_t i = 0; i < frontier->flow.num_values; i++) {
        drop(frontier, frontier->flow.values[i]);
        free(frontier->replaced[i]);
        free(frontier->rounded[i]);
    }
    free(frontier->live);
    free(frontier->replaced);
    free(frontier->rounded);
    lbw_store_release(&frontier->store);
    lbw_flow_release(&frontier->flow);
}

/* True if nodes from `cut` on read the value, or it is an output of the model. */
static bool is_needed(const struct lbw_frontier *frontier, const struct lbw_flow_value *value,
                      size_t cut)
{
    return value->end > cut || (value->is_output && !frontier->live[value->id].is_opaque);
}

enum lbw_status lbw_frontier_feed(struct lbw_frontier *frontier, const char *name,
                                  size_t sample, struct lbw_array *array, struct lbw_error *err)
{
    const struct lbw_flow_value *value = lbw_flow_find(&frontier->flow, name);
    if (!value || value->kind != LBW_FLOW_INPUT || !is_needed(frontier, value, 0)) {
        lbw_array_release(array);
        return LBW_OK;
    }
    struct lbw_live *live = &frontier->live[value->id];
    if (!live->reference)
        live->reference = calloc(frontier->num_samples, sizeof *live->reference);
    if (!live->reference) {
        lbw_array_release(array);
        return lbw_fail_memory(err);
    }
    return lbw_store_put(&frontier->store, &live->reference[sample], array, err);
}

/* Moves a value's arrays to the file while too much is in memory. */
static enum lbw_status file_value(struct lbw_frontier *frontier, struct lbw_kept *kept,
                                  struct lbw_error *err)
{
    struct lbw_store *store = &frontier->store;
    for (size_t i = 0; kept && i < frontier->num_samples; i++)
        if (store->memory > store->limit && kept[i].array.size && kept[i].array.data)
            LBW_TRY(lbw_store_file(store, &kept[i], err));
    return LBW_OK;
}

enum lbw_status lbw_frontier_limit(struct lbw_frontier *frontier, uint64_t limit,
                                   struct lbw_error *err)
{
    frontier->store.limit = limit;
    for (size_t i = 0; i < frontier->flow.num_values; i++) {
        LBW_TRY(file_value(frontier, frontier->live[i].reference, err));
        LBW_TRY(file_value(frontier, frontier->live[i].converted, err));
    }
    return LBW_OK;
}

/* False where there is not one range for each channel. */
static bool round_array(struct lbw_array *out, const struct lbw_array *in,
                        const struct lbw_ranges *ranges)
{
    size_t count = in->size / sizeof(float), plane = 1;
    for (size_t i = 2; i < in->num_dims; i++)
        plane *= (size_t)in->dims[i];
    if (ranges->num > 1 && (in->num_dims < 2 || (size_t)in->dims[1] != ranges->num))
        return false;
    if (ranges->num == 1)
        plane = count;
    for (size_t i = 0, row = 0; i < count; i += plane, row++)
        lbw_range_round_all((float *)out->data + i, (const float *)in->data + i, plane,
                            &ranges->items[row % ranges->num]);
    return true;
}

/* One sample of a kept value, rounded; `out` is empty or holds the sample. */
static enum lbw_status round_kept(struct lbw_frontier *frontier, struct lbw_kept *out,
                                  const struct lbw_kept *from, const struct lbw_ranges *ranges,
                                  struct lbw_error *err)
{
    struct lbw_array view, rounded = {0};
    bool is_owned = false;
    LBW_TRY(lbw_store_view(&frontier->store, from, &view, &is_owned, err));
    enum lbw_status status =
        lbw_array_init(&rounded, view.data_type, view.dims, view.num_dims, err);
    bool fits = status != LBW_OK || round_array(&rounded, &view, ranges);
    if (is_owned)
        lbw_array_release(&view);
    LBW_TRY(status);
    if (!fits) {
        lbw_array_release(&rounded);
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "%zu ranges for other channels", ranges->num);
    }
    lbw_store_drop(&frontier->store, out);
    return lbw_store_put(&frontier->store, out, &rounded, err);
}

static enum lbw_status round_live(struct lbw_frontier *frontier, struct lbw_live *live,
                                  const struct lbw_ranges *ranges, struct lbw_error *err)
{
    bool is_new = !live->converted;
    if (live->reference[0].array.data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "only float32 tensors can be rounded");
    if (is_new)
        live->converted = calloc(frontier->num_samples, sizeof *live->converted);
    if (!live->converted)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < frontier->num_samples; i++)
        LBW_TRY(round_kept(frontier, &live->converted[i],
                           is_new ? &live->reference[i] : &live->converted[i], ranges, err));
    return LBW_OK;
}

enum lbw_status lbw_frontier_round(struct lbw_frontier *frontier,
                                   const struct lbw_flow_value *value,
                                   const struct lbw_ranges *ranges, struct lbw_error *err)
{
    struct lbw_live *live = &frontier->live[value->id];
    size_t size = ranges->num * sizeof *ranges->items;
    struct lbw_ranges *copy = malloc(sizeof *copy + size);
    if (!copy)
        return lbw_fail_memory(err);
    *copy =
        (struct lbw_ranges){ranges->num, (const struct lbw_range *)(const void *)(copy + 1)};
    memcpy(copy + 1, ranges->items, size);
    free(frontier->rounded[value->id]);
    frontier->rounded[value->id] = copy;
    return live->reference ? round_live(frontier, live, ranges, err) : LBW_OK;
}

struct run {
    struct lbw_frontier *frontier;
    const struct lbw_stage *stage;
    size_t cut;                       /* the new frontier */
    struct lbw_stage_result *results; /* one per sample */
};

/* Runs one sample, keeps its outputs and drops inputs without further readers. */
static void run_sample(void *user, size_t i)
{
    struct run *run = user;
    struct lbw_frontier *frontier = run->frontier;
    const struct lbw_slice *reference = &run->stage->reference.slice;
    const struct lbw_slice *converted = &run->stage->converted.slice;
    struct lbw_stage_result *result = &run->results[i];
    if (!lbw_watch_goes_on(frontier->watch)) {
        result->status = lbw_fail(&result->err, LBW_ERR_INTERRUPTED, "interrupted");
        return;
    }
    lbw_stage_run(run->stage, i, result);
    for (size_t k = 0; k < reference->num_outputs && result->status == LBW_OK; k++)
        result->status = lbw_store_put(&frontier->store,
                                       &frontier->live[reference->outputs[k]->id].reference[i],
                                       &result->reference[k], &result->err);
    for (size_t k = 0; k < converted->num_outputs && result->status == LBW_OK; k++)
        result->status = lbw_store_put(&frontier->store,
                                       &frontier->live[converted->outputs[k]->id].converted[i],
                                       &result->converted[k], &result->err);
    for (size_t k = 0; k < reference->num_inputs && result->status == LBW_OK; k++)
        if (!is_needed(frontier, reference->inputs[k], run->cut))
            drop_sample(frontier, reference->inputs[k], i);
    lbw_stage_result_release(run->stage, result);
}

static enum lbw_status make_room(struct lbw_frontier *frontier, const struct lbw_stage *stage,
                                 struct lbw_error *err)
{
    const struct lbw_slice *reference = &stage->reference.slice;
    const struct lbw_slice *converted = &stage->converted.slice;
    for (size_t i = 0; i < reference->num_outputs; i++) {
        struct lbw_live *live = &frontier->live[reference->outputs[i]->id];
        live->reference = calloc(frontier->num_samples, sizeof *live->reference);
        if (!live->reference)
            return lbw_fail_memory(err);
    }
    for (size_t i = 0; i < converted->num_outputs; i++) {
        struct lbw_live *live = &frontier->live[converted->outputs[i]->id];
        live->converted = calloc(frontier->num_samples, sizeof *live->converted);
        if (!live->converted)
            return lbw_fail_memory(err);
    }
    return LBW_OK;
}

static enum lbw_status run_stage(struct lbw_frontier *frontier, const struct lbw_stage *stage,
                                 size_t cut, struct lbw_error *err)
{
    size_t num_samples = frontier->num_samples;
    struct run run = {.frontier = frontier, .stage = stage, .cut = cut};
    run.results = calloc(num_samples, sizeof *run.results);
    if (!run.results)
        return lbw_fail_memory(err);
    enum lbw_status status = make_room(frontier, stage, err);
    if (status == LBW_OK)
        lbw_parallel_for(num_samples, frontier->num_threads, run_sample, &run);
    for (size_t i = 0; i < num_samples && status == LBW_OK; i++) {
        status = run.results[i].status;
        if (status != LBW_OK && err)
            *err = run.results[i].err;
    }
    free(run.results);
    return status;
}

/* Marks outputs that are not tensors; true if there are any. */
static bool find_opaque(struct lbw_frontier *frontier, const struct lbw_side *side)
{
    bool any = false;
    for (size_t i = 0; i < side->slice.num_outputs; i++)
        if (lbw_session_output_type(side->session, i) == 0)
            any = frontier->live[side->slice.outputs[i]->id].is_opaque = true;
    return any;
}

/* The last position up to the target at which no opaque value is still needed. */
static size_t find_cut(const struct lbw_frontier *frontier, size_t target)
{
    size_t cut = target;
    for (size_t i = frontier->flow.num_values; i-- > 0;) {
        const struct lbw_flow_value *value = frontier->flow.values[i];
        if (frontier->live[i].is_opaque && value->producer < cut && value->end > cut) {
            cut = value->producer;
            i = frontier->flow.num_values; /* an earlier cut may separate other values */
        }
    }
    return cut > frontier->position ? cut : frontier->position;
}

/* Runs up to the cut, or finds that the cut must be elsewhere. */
static enum lbw_status advance_to(struct lbw_frontier *frontier, size_t cut,
                                  struct lbw_flow_value **outputs, struct lbw_error *err)
{
    struct lbw_stage stage;
    size_t num_outputs = 0;
    for (size_t i = 0; i < frontier->flow.num_values; i++) {
        struct lbw_flow_value *value = frontier->flow.values[i];
        if (value->kind == LBW_FLOW_COMPUTED && value->producer >= frontier->position &&
            value->producer < cut && is_needed(frontier, value, cut))
            outputs[num_outputs++] = value;
    }
    if (num_outputs) {
        LBW_TRY(lbw_stage_open(&stage, frontier, outputs, num_outputs, err));
        bool is_opaque = find_opaque(frontier, &stage.reference);
        enum lbw_status status = is_opaque ? LBW_OK : run_stage(frontier, &stage, cut, err);
        lbw_stage_close(&stage);
        if (is_opaque)
            return LBW_OK;
        frontier->is_broken = status != LBW_OK;
        LBW_TRY(status);
    }
    frontier->position = cut;
    for (size_t i = 0; i < frontier->flow.num_values; i++)
        if (!is_needed(frontier, frontier->flow.values[i], cut))
            drop(frontier, frontier->flow.values[i]);
    return LBW_OK;
}

enum lbw_status lbw_frontier_advance(struct lbw_frontier *frontier, size_t target,
                                     struct lbw_error *err)
{
    struct lbw_flow_value **outputs =
        calloc(frontier->flow.num_values + 1, sizeof(struct lbw_flow_value *));
    enum lbw_status status = outputs ? LBW_OK : lbw_fail_memory(err);
    /* Each round reaches the cut or finds another opaque value, which moves the cut. */
    while (status == LBW_OK) {
        size_t cut = find_cut(frontier, target);
        if (frontier->position >= cut)
            break;
        status = advance_to(frontier, cut, outputs, err);
    }
    free(outputs);
    return status;
}
