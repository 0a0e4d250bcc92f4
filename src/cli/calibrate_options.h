/* SPDX-License-Identifier: MIT */
/* The calibration options of `quantize` and `search`; `tune` has its own texts. */
#ifndef LBW_CLI_CALIBRATE_OPTIONS_H
#define LBW_CLI_CALIBRATE_OPTIONS_H

#include <lbw/convert.h>

#include "cli/option.h"
#include "cli/picture_options.h"

/* One member of a command's struct of values. */
struct lbw_calibrate_values {
    const char *source; /* "generated" by default */
    int64_t samples, seed;
    double damping;  /* 0: the library's default */
    uint64_t memory; /* 0: the library's default */
};

/* clang-format off */
#define LBW_CALIBRATE_OPTIONS(values, member)                                                  \
    {"calib", 'c', LBW_OPTION_STRING, offsetof(values, member.source),                         \
     "generated[:N]|DIR|FILE|none",                                                            \
     "the calibration set: generated images, a folder of images, an .npz or .npy file; "       \
     "none rounds without calibration (default generated)"},                                   \
    {"samples", 'n', LBW_OPTION_INT, offsetof(values, member.samples), "N",                    \
     "use at most N samples (default 32 generated, 64 from a folder)", .min = 1,               \
     .max = 1000000},                                                                          \
    {"seed", 0, LBW_OPTION_INT, offsetof(values, member.seed), "N",                            \
     "seed of generated images (default 0)", .min = 0, .max = 9007199254740992.0},             \
    {"damping", 0, LBW_OPTION_FLOAT, offsetof(values, member.damping), "X",                    \
     "damping of a layer's input moments, relative to their mean (default 0.1, or 0.3 where "  \
     "--bits auto weights boxes more)", .min = 1e-9,                                           \
     .max = 10},                                                                               \
    {"memory", 0, LBW_OPTION_BYTES, offsetof(values, member.memory), "SIZE",                   \
     "memory for kept tensors and the fit of a layer; tensors beyond it spill to a temporary " \
     "file (default 1G)"}
/* clang-format on */

/* Parameters that borrow from both; damping is part of lbw_convert_params. */
struct lbw_calibrate_params
lbw_calibrate_from_options(const struct lbw_calibrate_values *values,
                           const struct lbw_picture *picture);

#endif
