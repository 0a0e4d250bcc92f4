/* SPDX-License-Identifier: MIT */
/* Weighing: scales from the teacher's answers, importance from the family's decoder. */
#include "train/weighing.h"

#include <stdlib.h>
#include <string.h>

#include "detect/decode.h"
#include "onnx.pb-c.h"

#define NUM_MATTERS 3

static size_t num_outputs(const struct lbw_weighing *weighing)
{
    return weighing->profile ? weighing->num_targets - weighing->num_taps : 0;
}

/* A scale that would be infinite belongs to values that never vary: they teach nothing. */
static double scale_of(double share, double variation)
{
    double scale = share / variation;
    return scale < 1e30 ? scale : 0;
}

struct lbw_decode_input lbw_weighing_decode_input(const struct lbw_weighing *weighing,
                                                  const struct lbw_array *outputs)
{
    return (struct lbw_decode_input){
        .num_outputs = num_outputs(weighing),
        .names = weighing->names,
        .outputs = outputs,
        .profile = weighing->profile,
        .width = weighing->width,
        .height = weighing->height,
        .placement = {.scale_x = 1, .scale_y = 1},
        .picture_width = weighing->width,
        .picture_height = weighing->height,
        .nms = 1,
    };
}

static enum lbw_status importance_of(const struct lbw_weighing *weighing,
                                     struct lbw_importance *out, const struct lbw_array *wanted,
                                     struct lbw_error *err)
{
    const struct lbw_decode_input input = lbw_weighing_decode_input(weighing, wanted);
    return lbw_decode_importance(out, &input, err);
}

static double variation(struct lbw_array *const *wanted, size_t num, size_t target)
{
    double sum = 0, squares = 0;
    size_t count = wanted[0][target].size / sizeof(float);
    for (size_t s = 0; s < num; s++)
        for (size_t i = 0; i < count; i++)
            sum += ((const float *)wanted[s][target].data)[i];
    double mean = sum / (double)(num * count);
    for (size_t s = 0; s < num; s++)
        for (size_t i = 0; i < count; i++) {
            double d = ((const float *)wanted[s][target].data)[i] - mean;
            squares += d * d;
        }
    return squares / (double)num;
}

/* Weighted sums of the values of each kind. */
struct matter_sums {
    double weights[NUM_MATTERS], values[NUM_MATTERS], squares[NUM_MATTERS];
};

static void add_importance(struct matter_sums *sums, const struct lbw_importance *importance,
                           const float *values)
{
    for (size_t i = 0; i < importance->count; i++) {
        double weight = importance->weights[i], value = values[i];
        sums->weights[importance->kinds[i]] += weight;
        sums->values[importance->kinds[i]] += weight * value;
        sums->squares[importance->kinds[i]] += weight * value * value;
    }
}

static enum lbw_status learn_matters(struct lbw_weighing *weighing,
                                     struct lbw_array *const *wanted, size_t num,
                                     struct lbw_error *err)
{
    struct matter_sums sums = {0};
    struct lbw_importance importance[LBW_MAX_OUTPUTS];
    for (size_t s = 0; s < num; s++) {
        LBW_TRY(importance_of(weighing, importance, wanted[s], err));
        for (size_t t = 0; t < num_outputs(weighing); t++) {
            add_importance(&sums, &importance[t], wanted[s][t].data);
            lbw_importance_release(&importance[t]);
        }
    }
    for (size_t k = 1; k < NUM_MATTERS; k++) {
        double mean = sums.weights[k] > 0 ? sums.values[k] / sums.weights[k] : 0;
        double varies = sums.squares[k] - mean * sums.values[k];
        weighing->by_matter[k] = scale_of(1.0 / (NUM_MATTERS - 1), varies / (double)num);
    }
    return LBW_OK;
}

enum lbw_status lbw_weighing_learn(struct lbw_weighing *weighing,
                                   struct lbw_array *const *wanted, size_t num,
                                   struct lbw_error *err)
{
    size_t num_alike = weighing->num_targets - weighing->num_taps;
    weighing->scales = calloc(weighing->num_targets + 1, sizeof *weighing->scales);
    if (!weighing->scales)
        return lbw_fail_memory(err);
    for (size_t t = 0; t < weighing->num_targets; t++) {
        double share = t < num_alike ? 1.0 / (double)num_alike
                                     : weighing->tap_weight / (double)weighing->num_taps;
        for (size_t s = 1; s < num; s++)
            if (wanted[s][t].size != wanted[0][t].size)
                return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                                "the size of '%s' differs between samples", weighing->names[t]);
        weighing->scales[t] = scale_of(share, variation(wanted, num, t));
    }
    return weighing->profile ? learn_matters(weighing, wanted, num, err) : LBW_OK;
}

void lbw_weighing_release(struct lbw_weighing *weighing)
{
    free(weighing->scales);
    weighing->scales = NULL;
}

enum lbw_status lbw_weighing_apply(const struct lbw_weighing *weighing,
                                   const struct lbw_array *wanted, struct lbw_array *factors,
                                   struct lbw_error *err)
{
    struct lbw_importance importance[LBW_MAX_OUTPUTS];
    for (size_t t = 0; t < weighing->num_targets; t++) {
        size_t count = wanted[t].size / sizeof(float);
        factors[t] = wanted[t];
        factors[t].data = malloc(wanted[t].size + 1);
        if (!factors[t].data)
            return lbw_fail_memory(err);
        for (size_t i = 0; i < count; i++)
            ((float *)factors[t].data)[i] = (float)weighing->scales[t];
    }
    if (!weighing->profile)
        return LBW_OK;
    LBW_TRY(importance_of(weighing, importance, wanted, err));
    for (size_t t = 0; t < num_outputs(weighing); t++) {
        float *out = factors[t].data;
        for (size_t i = 0; i < importance[t].count; i++)
            out[i] =
                (float)(weighing->by_matter[importance[t].kinds[i]] * importance[t].weights[i]);
        lbw_importance_release(&importance[t]);
    }
    return LBW_OK;
}
