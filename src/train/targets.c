/* SPDX-License-Identifier: MIT */
/* Targets: the ends of the model, and taps along the trunk. */
#include "train/targets.h"

#include <string.h>

#include "grad/grad.h"

/* The output of the first layer that uses the weight, in the main graph; NULL if none is. */
static const char *tap_of(const struct lbw_weight *weight, const struct lbw_strmap *before)
{
    if (!weight->item.grid || !weight->tensor ||
        weight->tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return NULL;
    for (size_t i = 0; i < weight->num_consumers; i++) {
        const struct lbw_consumer *consumer = &weight->consumers[i];
        if (consumer->scope->graph && !consumer->scope->parent && consumer->node->n_output &&
            !lbw_layout_is_linear(consumer->node) && /* channels are axis 1 */
            lbw_strmap_get(before, consumer->node->output[0]))
            return consumer->node->output[0];
    }
    return NULL;
}

/* Adds outputs of layers, evenly along the trunk, that the ends depend on. */
static void add_taps(struct lbw_targets *targets, const struct lbw_plan *plan,
                     const struct lbw_strmap *before, size_t num_taps)
{
    const char **taps = targets->names + targets->num;
    size_t num = 0;
    for (size_t i = 0; i < plan->num_weights; i++)
        if ((taps[num] = tap_of(&plan->weights[i], before)))
            num++;
    for (size_t i = 0; i < num && targets->num_taps < num_taps; i++)
        if ((i + 1) * (num_taps + 1) / (num + 1) > targets->num_taps)
            taps[targets->num_taps++] = taps[i];
    targets->num += targets->num_taps;
}

/* The names of all values that the ends are computed from, but not the ends. */
static enum lbw_status find_before(struct lbw_strmap *out, const struct lbw_plan *plan,
                                   const struct lbw_targets *ends, struct lbw_error *err)
{
    const char **names;
    size_t num;
    LBW_TRY(lbw_grad_values(&names, &num, &plan->index, ends->names, ends->num, err));
    for (size_t i = 0; i < num; i++) {
        bool is_end = false;
        for (size_t k = 0; k < ends->num; k++)
            is_end = is_end || strcmp(names[i], ends->names[k]) == 0;
        if (!is_end && !lbw_strmap_put(out, names[i], (void *)(uintptr_t)names[i]))
            return lbw_fail_memory(err);
    }
    return LBW_OK;
}

enum lbw_status lbw_targets_find(struct lbw_targets *out, struct lbw_arena *arena,
                                 const struct lbw_plan *plan, bool of_outputs, size_t num_taps,
                                 struct lbw_error *err)
{
    const Onnx__GraphProto *graph = plan->model->proto->graph;
    struct lbw_targets targets = {0};
    struct lbw_strmap before = {0};
    const char **ends = NULL;
    size_t num_ends = graph->n_output;
    if (!of_outputs)
        LBW_TRY(lbw_grad_targets(&ends, &num_ends, &plan->index, err));
    targets.names =
        lbw_arena_calloc(arena, num_ends + plan->num_weights + 1, sizeof *targets.names);
    if (!targets.names)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num_ends; i++)
        targets.names[targets.num++] = ends ? ends[i] : graph->output[i]->name;
    enum lbw_status status = num_taps ? find_before(&before, plan, &targets, err) : LBW_OK;
    if (status == LBW_OK) {
        add_taps(&targets, plan, &before, num_taps);
        *out = targets;
    }
    lbw_strmap_release(&before);
    return status;
}
