/* SPDX-License-Identifier: MIT */
/* Opens the copy, plans, sets the grids, projects, encodes. */
#include "search/size.h"

#include <string.h>

#include <lbw/convert.h>

#define ALL_OPS     "Conv,ConvTranspose,Gemm,MatMul"
#define BIAS_EXTRAS 40 /* name, dims and tags */

/* What a bias would take where the weight's node has none. */
static uint64_t bias_bytes(const struct lbw_weight *weight)
{
    const struct lbw_consumer *consumer = &weight->consumers[0];
    if (!weight->item.grid || weight->num_consumers != 1 || *lbw_node_input(consumer->node, 2))
        return 0;
    return 4 * weight->layout.groups * weight->layout.rows + strlen(weight->item.tensor) +
           BIAS_EXTRAS;
}

enum lbw_status lbw_sizer_init(struct lbw_sizer *out, const struct lbw_plan *plan,
                               struct lbw_error *err)
{
    for (size_t i = 0; i < plan->num_weights; i++)
        out->biases += bias_bytes(&plan->weights[i]);
    return lbw_model_save_memory(plan->model, &out->data, &out->size, err);
}

void lbw_sizer_release(struct lbw_sizer *sizer)
{
    lbw_free(sizer->data);
    *sizer = (struct lbw_sizer){0};
}

static enum lbw_status set_grids(struct lbw_plan *copy, const struct lbw_plan *plan,
                                 const struct lbw_grid *const *grids, struct lbw_error *err)
{
    if (copy->num_weights != plan->num_weights)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "the model's copy has %zu weights, not %zu",
                        copy->num_weights, plan->num_weights);
    for (size_t i = 0; i < plan->num_weights; i++) {
        LBW_TRY(lbw_plan_set_grid(copy, i, grids[i], err));
        copy->weights[i].item.scale = plan->weights[i].item.scale;
        copy->weights[i].item.group = plan->weights[i].item.group;
    }
    return LBW_OK;
}

enum lbw_status lbw_sizer_measure(uint64_t *out, const struct lbw_sizer *sizer,
                                  const struct lbw_plan *plan,
                                  const struct lbw_grid *const *grids, struct lbw_error *err)
{
    static const struct lbw_convert_params project;
    static const struct lbw_prepare_params as_is = {.keep_batchnorm = true};
    const struct lbw_plan_params params = {
        .all = true, .ops = ALL_OPS, .method = plan->params.method, .mu = plan->params.mu};
    struct lbw_model *model = NULL;
    struct lbw_plan *copy = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_model_open_memory(&model, sizer->data, sizer->size, err));
    LBW_OR_OUT(lbw_model_prepare(model, &as_is, err));
    LBW_OR_OUT(lbw_plan_new(&copy, model, &params, err));
    LBW_OR_OUT(set_grids(copy, plan, grids, err));
    LBW_OR_OUT(lbw_convert(NULL, model, copy, &project, err));
    *out = lbw_model_size(model) + sizer->biases;
out:
    lbw_plan_free(&copy);
    lbw_model_close(&model);
    return status;
}
