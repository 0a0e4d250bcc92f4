/* SPDX-License-Identifier: MIT */
/* Opening the sessions of a stage and running samples through them. */
#include "calib/stage.h"

#include <stdlib.h>
#include <string.h>

/* Which values differ between the models, given what is kept and what has been replaced. */
static void mark_differing(const struct lbw_frontier *frontier, const struct lbw_slice *slice,
                           bool *differs)
{
    const struct lbw_flow *flow = &frontier->flow;
    for (size_t i = 0; i < slice->num_inputs; i++)
        differs[slice->inputs[i]->id] = frontier->live[slice->inputs[i]->id].converted != NULL;
    for (size_t i = 0; i < slice->num_constants; i++)
        differs[slice->constants[i]->id] = frontier->replaced[slice->constants[i]->id] != NULL;
    for (size_t i = 0; i < flow->num_nodes; i++) {
        const struct lbw_flow_node *node = &flow->nodes[i];
        bool any = false;
        for (size_t k = 0; k < node->num_reads && slice->has_node[i]; k++)
            any = any || differs[node->reads[k]->id];
        for (size_t k = 0; k < node->num_writes && slice->has_node[i]; k++)
            if (any || frontier->rounded[node->writes[k]->id])
                differs[node->writes[k]->id] = true;
    }
}

/* Whether some sample has other dims than the first. */
static bool dims_vary(const struct lbw_frontier *frontier, const struct lbw_flow_value *value,
                      bool is_converted)
{
    const struct lbw_array *first = &lbw_frontier_kept(frontier, value, 0, is_converted)->array;
    for (size_t i = 1; i < frontier->num_samples; i++) {
        const struct lbw_array *array =
            &lbw_frontier_kept(frontier, value, i, is_converted)->array;
        if (array->num_dims != first->num_dims ||
            memcmp(array->dims, first->dims, first->num_dims * sizeof *first->dims) != 0)
            return true;
    }
    return false;
}

static enum lbw_status open_side(struct lbw_stage *stage, struct lbw_side *side,
                                 struct lbw_error *err)
{
    const struct lbw_frontier *frontier = stage->frontier;
    const struct lbw_slice *slice = &side->slice;
    const struct lbw_session_params params = {
        .num_threads = 1, .optimize = 99, .decode_once = 1, .short_lived = 1};
    struct lbw_array *inputs =
        lbw_arena_calloc(&stage->arena, slice->num_inputs, sizeof *inputs);
    bool *open_dims = lbw_arena_calloc(&stage->arena, slice->num_inputs, sizeof *open_dims);
    Onnx__GraphProto graph;
    bool calls;
    if (!inputs || !open_dims)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < slice->num_inputs; i++) {
        const struct lbw_flow_value *value = slice->inputs[i];
        if (!frontier->live[value->id].reference)
            return lbw_fail(err, LBW_ERR_UNSUPPORTED, "tensor '%s' is not available",
                            value->name);
        inputs[i] = lbw_frontier_kept(frontier, value, 0, side->is_converted)->array;
        open_dims[i] = dims_vary(frontier, value, side->is_converted);
    }
    LBW_TRY(lbw_slice_graph(&graph, &calls, slice, &stage->arena, frontier->model, inputs,
                            open_dims, side->is_converted ? frontier->replaced : NULL,
                            side->is_converted ? frontier->rounded : NULL, err));
    const struct lbw_part part = {.graph = &graph, .no_functions = !calls};
    return lbw_session_open_part(&side->session, frontier->model, &part, &params, err);
}

static enum lbw_status open_sides(struct lbw_stage *stage,
                                  struct lbw_flow_value *const *outputs, size_t num_outputs,
                                  struct lbw_error *err)
{
    const struct lbw_frontier *frontier = stage->frontier;
    struct lbw_flow_value **differing =
        lbw_arena_calloc(&stage->arena, num_outputs, sizeof(struct lbw_flow_value *));
    bool *differs = lbw_arena_calloc(&stage->arena, frontier->flow.num_values, sizeof *differs);
    size_t num_differing = 0;
    if (!differing || !differs)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_slice_init(&stage->reference.slice, &stage->arena, &frontier->flow, outputs,
                           num_outputs, frontier->position, err));
    LBW_TRY(open_side(stage, &stage->reference, err));
    mark_differing(frontier, &stage->reference.slice, differs);
    for (size_t i = 0; i < num_outputs; i++)
        if (differs[outputs[i]->id])
            differing[num_differing++] = outputs[i];
    if (num_differing == 0)
        return LBW_OK;
    stage->converted.is_converted = true;
    LBW_TRY(lbw_slice_init(&stage->converted.slice, &stage->arena, &frontier->flow, differing,
                           num_differing, frontier->position, err));
    return open_side(stage, &stage->converted, err);
}

enum lbw_status lbw_stage_open(struct lbw_stage *out, struct lbw_frontier *frontier,
                               struct lbw_flow_value *const *outputs, size_t num_outputs,
                               struct lbw_error *err)
{
    struct lbw_stage stage = {.frontier = frontier};
    enum lbw_status status = open_sides(&stage, outputs, num_outputs, err);
    if (status != LBW_OK)
        lbw_stage_close(&stage);
    else
        *out = stage;
    return status;
}

void lbw_stage_close(struct lbw_stage *stage)
{
    lbw_session_close(&stage->reference.session);
    lbw_session_close(&stage->converted.session);
    lbw_arena_release(&stage->arena);
}

/* Runs one sample through one side; `outputs` are the slice's. */
static enum lbw_status run_side(struct lbw_frontier *frontier, const struct lbw_side *side,
                                size_t sample, struct lbw_array *outputs, struct lbw_error *err)
{
    const struct lbw_slice *slice = &side->slice;
    struct lbw_array *inputs = calloc(slice->num_inputs + 1, sizeof *inputs);
    bool *is_owned = calloc(slice->num_inputs + 1, sizeof *is_owned);
    enum lbw_status status;
    if (!inputs || !is_owned)
        LBW_OR_OUT(lbw_fail_memory(err));
    for (size_t i = 0; i < slice->num_inputs; i++)
        LBW_OR_OUT(lbw_store_view(
            &frontier->store,
            lbw_frontier_kept(frontier, slice->inputs[i], sample, side->is_converted),
            &inputs[i], &is_owned[i], err));
    LBW_OR_OUT(lbw_session_run(side->session, inputs, outputs, err));
out:
    for (size_t i = 0; is_owned && i < slice->num_inputs; i++)
        if (is_owned[i])
            lbw_array_release(&inputs[i]);
    free(is_owned);
    free(inputs);
    return status;
}

void lbw_stage_run(const struct lbw_stage *stage, size_t sample,
                   struct lbw_stage_result *result)
{
    *result = (struct lbw_stage_result){0};
    result->reference =
        calloc(stage->reference.slice.num_outputs + 1, sizeof *result->reference);
    result->converted =
        calloc(stage->converted.slice.num_outputs + 1, sizeof *result->converted);
    if (!result->reference || !result->converted) {
        result->status = lbw_fail_memory(&result->err);
        return;
    }
    result->status =
        run_side(stage->frontier, &stage->reference, sample, result->reference, &result->err);
    if (result->status == LBW_OK && stage->converted.session)
        result->status = run_side(stage->frontier, &stage->converted, sample, result->converted,
                                  &result->err);
}

void lbw_stage_result_release(const struct lbw_stage *stage, struct lbw_stage_result *result)
{
    lbw_arrays_release(result->reference, stage->reference.slice.num_outputs);
    lbw_arrays_release(result->converted, stage->converted.slice.num_outputs);
    free(result->reference);
    free(result->converted);
    result->reference = NULL;
    result->converted = NULL;
}
