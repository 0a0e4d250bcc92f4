/* SPDX-License-Identifier: MIT */
/* The metric of a detector's outputs, or by variance where nothing is known of them. */
#include "search/metric.h"

#include <math.h>

/* A score's Fisher information 1/(p·(1-p)) is bounded where the float model is all but sure. */
#define LEAST_SPREAD 1e-3f

static bool are_probabilities(const float *values, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (!(values[i] >= 0 && values[i] <= 1))
            return false;
    return true;
}

void lbw_metric_weigh(struct lbw_importance *importance, const struct lbw_array *outputs,
                      size_t num)
{
    for (size_t t = 0; t < num; t++) {
        struct lbw_importance *one = &importance[t];
        const float *z = outputs[t].data;
        bool is_probability = are_probabilities(z, one->count);
        for (size_t i = 0; i < one->count; i++) {
            float weight = one->weights[i];
            if (one->kinds[i] == LBW_MATTER_SCORE && is_probability)
                weight /= fmaxf(z[i] * (1 - z[i]), LEAST_SPREAD);
            one->weights[i] = sqrtf(weight);
        }
    }
}

double lbw_metric_scale(const struct lbw_array *const *values, size_t num_samples, size_t num)
{
    double sum = 0, squares = 0, count = 0;
    for (size_t s = 0; s < num_samples; s++) {
        const float *z = values[s]->data;
        for (size_t i = 0; i < values[s]->size / sizeof(float); i++) {
            sum += (double)z[i];
            squares += (double)z[i] * (double)z[i];
        }
        count += (double)(values[s]->size / sizeof(float));
    }
    double variation = (squares - sum * sum / count) / (double)num_samples;
    double scale = 1 / (variation * (double)num);
    return scale < 1e30 ? scale : 0;
}
