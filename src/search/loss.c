/* SPDX-License-Identifier: MIT */
/* From sensitivities to losses: what a grid costs a weight, and the unit of all losses. */
#include "search/loss.h"

#include <math.h>
#include <stdlib.h>

#include "pass/project.h"

/* One node: Σ over its output channels of gain × mean square of what rounding changes there. */
static double node_loss(const struct lbw_layer_gain *gain, const struct lbw_layout *layout,
                        const float *values, const float *converted)
{
    size_t channels = layout->k / layout->taps; /* input channels of a group */
    double loss = 0;
    if (!gain->is_known || gain->num_out != layout->groups * layout->rows ||
        gain->num_in != layout->groups * channels)
        return NAN;
    for (size_t g = 0; g < layout->groups; g++)
        for (size_t r = 0; r < layout->rows; r++) {
            double square = 0;
            for (size_t i = 0; i < layout->k; i++) {
                size_t at = lbw_layout_offset(layout, g, r, i);
                double d = (double)converted[at] - (double)values[at];
                square += d * d * gain->variance[g * channels + i / layout->taps];
            }
            loss += gain->gain[g * layout->rows + r] * square;
        }
    return loss;
}

/* The predicted loss of these values, per sample; NaN if it is not known. */
static double loss_of(const struct lbw_sensitivity *sensitivity, const struct lbw_plan *plan,
                      size_t weight, const float *values, const float *converted)
{
    double loss = 0;
    if (!sensitivity->num_gains || !sensitivity->num_gains[weight])
        return NAN;
    for (size_t k = 0; k < sensitivity->num_gains[weight]; k++)
        loss += node_loss(&sensitivity->gains[weight][k], &plan->weights[weight].layout, values,
                          converted);
    return loss;
}

enum lbw_status lbw_loss_measure(double *out, double *square,
                                 const struct lbw_sensitivity *sensitivity,
                                 const struct lbw_plan *plan, size_t i,
                                 const struct lbw_grid *grid, const float *values,
                                 float *converted, struct lbw_error *err)
{
    struct lbw_weight weight = plan->weights[i];
    struct lbw_codes codes = {0};
    weight.item.grid = grid;
    LBW_TRY(lbw_project(&codes, &weight, values, &plan->params, err));
    lbw_codes_decode(converted, &weight, &codes);
    lbw_codes_release(&codes);
    *out = loss_of(sensitivity, plan, i, values, converted);
    *square = 0;
    for (size_t k = 0; k < weight.item.count; k++)
        *square += pow((double)converted[k] - (double)values[k], 2);
    return LBW_OK;
}

static enum lbw_status measure_weight(double *out, const struct lbw_sensitivity *sensitivity,
                                      const struct lbw_plan *plan, size_t i,
                                      struct lbw_error *err)
{
    struct lbw_tensor tensor;
    float *values = NULL;
    double square;
    enum lbw_status status;
    LBW_OR_OUT(lbw_tensor_view(&tensor, plan->model, plan->weights[i].tensor, err));
    values = malloc((tensor.count + 1) * 2 * sizeof *values);
    LBW_OR_OUT(values ? LBW_OK : lbw_fail_memory(err));
    LBW_OR_OUT(lbw_tensor_read_float(&tensor, values, err));
    LBW_OR_OUT(lbw_loss_measure(out, &square, sensitivity, plan, i,
                                lbw_grid_by_name(LBW_LOSS_GRID), values,
                                values + tensor.count + 1, err));
out:
    free(values);
    return status;
}

enum lbw_status lbw_loss_unit(double *out, const struct lbw_sensitivity *sensitivity,
                              const struct lbw_plan *plan, struct lbw_error *err)
{
    double sum = 0;
    for (size_t i = 0; i < plan->num_weights; i++) {
        double loss = NAN;
        if (plan->weights[i].item.grid)
            LBW_TRY(measure_weight(&loss, sensitivity, plan, i, err));
        sum += isnan(loss) ? 0 : loss;
    }
    *out = sum;
    return LBW_OK;
}
