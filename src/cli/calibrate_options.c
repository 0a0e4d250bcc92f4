/* SPDX-License-Identifier: MIT */
/* From the calibration options to parameters. */
#include "cli/calibrate_options.h"

struct lbw_calibrate_params
lbw_calibrate_from_options(const struct lbw_calibrate_values *values,
                           const struct lbw_picture *picture)
{
    return (struct lbw_calibrate_params){
        .source = values->source,
        .num_samples = (size_t)values->samples,
        .preprocess = picture->preprocess,
        .width = picture->width,
        .height = picture->height,
        .seed = (uint64_t)values->seed,
        .memory = values->memory,
    };
}
