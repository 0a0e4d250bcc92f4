/* SPDX-License-Identifier: MIT */
/* Codes as values; their error and storage. */
#include "pass/codes.h"

#include <math.h>
#include <stdlib.h>

#include "num/project.h"

void lbw_codes_release(struct lbw_codes *codes)
{
    for (size_t i = 0; i < codes->num_biases; i++)
        free(codes->biases[i]);
    free(codes->biases);
    free(codes->codes);
    free(codes->steps);
    free(codes->values);
    *codes = (struct lbw_codes){0};
}

bool lbw_codes_alloc_biases(struct lbw_codes *codes, const struct lbw_weight *weight)
{
    codes->biases = calloc(weight->num_consumers, sizeof *codes->biases);
    codes->num_biases = codes->biases ? weight->num_consumers : 0;
    return codes->biases != NULL;
}

void lbw_codes_decode(float *out, const struct lbw_weight *weight,
                      const struct lbw_codes *codes)
{
    const struct lbw_layout *layout = &weight->layout;
    const int32_t *levels = weight->item.grid->levels;
    for (size_t g = 0; g < layout->groups; g++)
        for (size_t r = 0; r < layout->rows; r++) {
            float step = codes->steps[lbw_weight_step_index(weight, g, r)];
            size_t first = lbw_layout_offset(layout, g, r, 0);
            if (lbw_layout_is_contiguous(layout)) {
                lbw_dequantize(out + first, codes->codes + first, layout->k, weight->item.grid,
                               step);
                continue;
            }
            for (size_t i = 0; i < layout->k; i++) {
                size_t at = lbw_layout_offset(layout, g, r, i);
                out[at] = step * (float)levels[codes->codes[at]];
            }
        }
}

void lbw_codes_error(double *error, double *energy, const struct lbw_weight *weight,
                     const struct lbw_codes *codes, const float *values)
{
    const struct lbw_layout *layout = &weight->layout;
    const int32_t *levels = weight->item.grid->levels;
    *error = *energy = 0;
    for (size_t g = 0; g < layout->groups; g++)
        for (size_t r = 0; r < layout->rows; r++) {
            float step = codes->steps[lbw_weight_step_index(weight, g, r)];
            size_t first = lbw_layout_offset(layout, g, r, 0);
            double row_error, row_energy;
            if (lbw_layout_is_contiguous(layout)) {
                lbw_projection_error(&row_error, &row_energy, values + first,
                                     codes->codes + first, layout->k, weight->item.grid, step);
                *error += row_error;
                *energy += row_energy;
                continue;
            }
            for (size_t i = 0; i < layout->k; i++) {
                size_t at = lbw_layout_offset(layout, g, r, i);
                double w = values[at];
                double difference = (double)(step * (float)levels[codes->codes[at]]) - w;
                *error += difference * difference;
                *energy += w * w;
            }
        }
}

#define MOST_SNR 200.0

double lbw_snr(double energy, double error)
{
    if (!(energy > 0))
        return error > 0 ? -MOST_SNR : MOST_SNR;
    double snr = error > 0 ? 10 * log10(energy / error) : MOST_SNR;
    return fmax(-MOST_SNR, fmin(MOST_SNR, snr));
}

bool lbw_snr_is_measured(double snr)
{
    return snr > -MOST_SNR && snr < MOST_SNR;
}
