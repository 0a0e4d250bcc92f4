/* SPDX-License-Identifier: MIT */
/* Targets: the ends of the model, and taps along the trunk. */
#include "train/targets.h"

#include <string.h>

#include "grad/grad.h"

static bool is_listed(const struct lbw_targets *targets, const char *name)
{
    for (size_t i = 0; i < targets->num; i++)
        if (strcmp(targets->names[i], name) == 0)
            return true;
    return false;
}

/* The output of the first layer in the main graph that uses the weight. */
static const char *tap_of(const struct lbw_weight *weight)
{
    for (size_t i = 0; i < weight->num_consumers; i++) {
        const Onnx__NodeProto *node = weight->consumers[i].node;
        if (weight->value->scope->graph && !weight->value->scope->parent && node->n_output)
            return node->output[0];
    }
    return NULL;
}

enum lbw_status lbw_targets_find(struct lbw_targets *out, struct lbw_arena *arena,
                                 const struct lbw_plan *plan, bool of_outputs, size_t num_taps,
                                 struct lbw_error *err)
{
    const Onnx__GraphProto *graph = plan->model->proto->graph;
    struct lbw_targets targets = {0};
    const char **ends = NULL;
    size_t num_ends = graph->n_output, num_layers = 0, seen = 0;
    if (!of_outputs)
        LBW_TRY(lbw_grad_targets(&ends, &num_ends, &plan->index, err));
    targets.names = lbw_arena_calloc(arena, num_ends + num_taps + 1, sizeof *targets.names);
    if (!targets.names)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < num_ends; i++)
        targets.names[targets.num++] = ends ? ends[i] : graph->output[i]->name;
    for (size_t i = 0; i < plan->num_weights; i++)
        num_layers += plan->weights[i].item.grid && tap_of(&plan->weights[i]);
    for (size_t i = 0; i < plan->num_weights && targets.num_taps < num_taps; i++) {
        const char *name = plan->weights[i].item.grid ? tap_of(&plan->weights[i]) : NULL;
        if (!name || ++seen * (num_taps + 1) / (num_layers + 1) <= targets.num_taps ||
            is_listed(&targets, name))
            continue;
        targets.names[targets.num++] = name;
        targets.num_taps++;
    }
    *out = targets;
    return LBW_OK;
}
