/* SPDX-License-Identifier: MIT */
/* Projection of one weight without data: every method, group and scale. */
#include "pass/project.h"

#include <stdlib.h>

#include "base/thread.h"
#include "num/project.h"

/* The values of one output channel, gathered into a row, and codes scattered back. */
static void gather(float *row, const struct lbw_layout *layout, const float *values, size_t g,
                   size_t r)
{
    for (size_t i = 0; i < layout->k; i++)
        row[i] = values[lbw_layout_offset(layout, g, r, i)];
}

static void scatter(uint8_t *codes, const struct lbw_layout *layout, const uint8_t *row,
                    size_t g, size_t r)
{
    for (size_t i = 0; i < layout->k; i++)
        codes[lbw_layout_offset(layout, g, r, i)] = row[i];
}

/* One projection per channel, on all processors. */
struct channels {
    struct lbw_codes *out;
    const struct lbw_weight *weight;
    const float *values;
    const struct lbw_quantize_params *params;
};

static enum lbw_status project_row(void *user, size_t row, struct lbw_error *err)
{
    const struct channels *channels = user;
    const struct lbw_weight *weight = channels->weight;
    const struct lbw_layout *layout = &weight->layout;
    size_t g = row / layout->rows, r = row % layout->rows;
    size_t first = lbw_layout_offset(layout, g, r, 0);
    float *step = &channels->out->steps[lbw_weight_step_index(weight, g, r)];
    if (lbw_layout_is_contiguous(layout))
        return lbw_quantize(channels->out->codes + first, step, channels->values + first,
                            layout->k, weight->item.grid, channels->params, err);
    float *gathered = malloc(layout->k * sizeof *gathered);
    uint8_t *codes = malloc(layout->k);
    enum lbw_status status;
    if (!gathered || !codes) {
        status = lbw_fail_memory(err);
        goto out;
    }
    gather(gathered, layout, channels->values, g, r);
    status = lbw_quantize(codes, step, gathered, layout->k, weight->item.grid, channels->params,
                          err);
    if (status != LBW_OK)
        goto out;
    scatter(channels->out->codes, layout, codes, g, r);
out:
    free(gathered);
    free(codes);
    return status;
}

static enum lbw_status project_channels(struct lbw_codes *out, const struct lbw_weight *weight,
                                        const float *values,
                                        const struct lbw_quantize_params *params,
                                        struct lbw_error *err)
{
    struct channels channels = {out, weight, values, params};
    /* threads cost more than they save on little work */
    return lbw_parallel_try(weight->layout.groups * weight->layout.rows,
                            weight->item.count < 65536 ? 1 : 0, project_row, &channels, err);
}

enum lbw_status lbw_project(struct lbw_codes *out, const struct lbw_weight *weight,
                            const float *values, const struct lbw_plan_params *params,
                            struct lbw_error *err)
{
    struct lbw_codes codes = {
        .codes = malloc(weight->item.count),
        .num_steps = lbw_weight_num_steps(weight),
        .axis = lbw_weight_step_axis(weight),
    };
    codes.steps = malloc(codes.num_steps * sizeof(float));
    struct lbw_quantize_params quantize = {
        .method = params->method, .scale = weight->item.scale, .mu = params->mu};
    enum lbw_status status;
    if (!codes.codes || !codes.steps)
        status = lbw_fail_memory(err);
    else if (codes.axis < 0)
        status = lbw_quantize(codes.codes, codes.steps, values, weight->item.count,
                              weight->item.grid, &quantize, err);
    else
        status = project_channels(&codes, weight, values, &quantize, err);
    if (status == LBW_OK)
        *out = codes;
    else
        lbw_codes_release(&codes);
    return lbw_within(err, status, "weight '%s'", weight->item.tensor);
}
