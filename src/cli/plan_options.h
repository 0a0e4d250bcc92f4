/* SPDX-License-Identifier: MIT */
/* The options of a plan in `plan`, `quantize` and `search`. */
#ifndef LBW_CLI_PLAN_OPTIONS_H
#define LBW_CLI_PLAN_OPTIONS_H

#include <lbw/plan.h>

#include "cli/option.h"

/* One member of a command's struct of values. */
struct lbw_plan_values {
    struct lbw_option_list bits, skip;
    int64_t terms, shift; /* 0: not given */
    const char *ops;
    int method, group, scale;
    double mu;
    double bpw;           /* 0: not given */
    uint64_t target_size; /* likewise */
    bool no_fold, all, requantize;
    const char *plan;
    int activations;
    struct lbw_option_list float_activations;
    double range_power; /* 0: the library's default */
};

/* clang-format off */
#define LBW_PLAN_OPTIONS(values, member)                                                       \
    {"bits", 'b', LBW_OPTION_LIST, offsetof(values, member.bits), "[REGEX=]N",                 \
     "bits per weight: auto, 2 … 6, or a grid from 'lbw grids' such as 4x2; with REGEX, "      \
     "only for nodes and tensors that match; may be repeated, the last match wins "            \
     "(default auto)"},                                                                        \
    {"terms", 0, LBW_OPTION_INT, offsetof(values, member.terms), "N",                          \
     "powers of two summed per weight (default 1)", .min = 1, .max = 2},                       \
    {"shift", 0, LBW_OPTION_INT, offsetof(values, member.shift), "N",                          \
     "octaves between the two terms of --terms 2 (default 1)", .min = 1, .max = 2},            \
    {"skip", 0, LBW_OPTION_LIST, offsetof(values, member.skip), "REGEX",                       \
     "do not convert nodes and tensors that match; may be repeated"},                          \
    {"ops", 0, LBW_OPTION_STRING, offsetof(values, member.ops), "A,B",                         \
     "convert the weights of these operators (default Conv,ConvTranspose; also Gemm and "      \
     "MatMul if they hold more than a tenth of the weights)"},                                 \
    {"method", 0, LBW_OPTION_CHOICE, offsetof(values, member.method), NULL,                    \
     "how weights are projected: the exact optimum, the paper's theorem for 2 bits, or "       \
     "its thresholds (default optimal)", .choice = lbw_method_choice},                         \
    {"mu", 0, LBW_OPTION_FLOAT, offsetof(values, member.mu), "X",                              \
     "the paper's µ of --method threshold, as a fraction of the largest weight (default 0.75)", \
     .min = 0.01, .max = 1.4},                                                                 \
    {"group", 0, LBW_OPTION_CHOICE, offsetof(values, member.group), NULL,                      \
     "which weights share a scale (default channel)", .choice = lbw_group_choice},             \
    {"scale", 0, LBW_OPTION_CHOICE, offsetof(values, member.scale), NULL,                      \
     "what a scale may be: any number, or a power of two (default real)",                      \
     .choice = lbw_scale_choice},                                                              \
    {"no-fold", 0, LBW_OPTION_FLAG, offsetof(values, member.no_fold), NULL,                    \
     "do not fold BatchNormalization into the convolution before it"},                         \
    {"all", 0, LBW_OPTION_FLAG, offsetof(values, member.all), NULL,                            \
     "also convert weights that normally stay float: small ones and exact constants"},         \
    {"requantize", 0, LBW_OPTION_FLAG, offsetof(values, member.requantize), NULL,              \
     "accept a model whose weights are already encoded"},                                      \
    {"plan", 0, LBW_OPTION_STRING, offsetof(values, member.plan), "FILE",                      \
     "apply a plan printed by 'lbw plan', possibly edited"}
/* For commands that choose bits and convert at once. */
#define LBW_BUDGET_OPTIONS(values, member)                                                     \
    {"bpw", 0, LBW_OPTION_FLOAT, offsetof(values, member.bpw), "X",                            \
     "budget of --bits auto: bits per converted weight, scales included (default: the "        \
     "fewest that are predicted to keep the boxes)", .min = 1, .max = 32},                     \
    {"target-size", 0, LBW_OPTION_BYTES, offsetof(values, member.target_size), "SIZE",         \
     "budget of --bits auto: size of the model file", .min = 1}

/* Only for commands that can fit them to data, or show them. */
#define LBW_ACTIVATIONS_OPTIONS(values, member)                                                \
    {"activations", 0, LBW_OPTION_CHOICE, offsetof(values, member.activations), NULL,          \
     "type of the tensors between layers: float, or 8 bits where layers can run on the "       \
     "integer kernels of a runtime (default float)", .choice = lbw_activations_choice},        \
    {"float-activations", 0, LBW_OPTION_LIST, offsetof(values, member.float_activations),      \
     "REGEX",                                                                                  \
     "with --activations int8: keep tensors in float if they or their nodes match; "           \
     "may be repeated"},                                                                       \
    {"range-power", 0, LBW_OPTION_FLOAT, offsetof(values, member.range_power), "X",            \
     "with --activations int8: ranges minimize the sum of this power of errors; 2 clips "      \
     "more than 4 (default 4; quantize tries 2 as well if it can compare boxes)",              \
     .min = 1, .max = 16}
/* clang-format on */

/* In the order of their enums. */
const char *lbw_activations_choice(int i);
const char *lbw_method_choice(int i);
const char *lbw_group_choice(int i);
const char *lbw_scale_choice(int i);

/* Whether the options on activations go together; if not, explains it. */
bool lbw_activations_are_usable(const struct lbw_plan_values *values, const char *command);

/* The options as parameters of the library. */
struct lbw_plan_wishes {
    struct lbw_prepare_params prepare;
    struct lbw_plan_params params;
    struct lbw_plan_rule *rules;
    char **regexes; /* num_regexes items, NULL for none */
    size_t num_regexes;
    bool is_auto; /* the bits of weights without a rule are yet to be chosen */
};

/* Release it in any case. LBW_ERR_ARGUMENT names the option. */
enum lbw_status lbw_plan_wishes_init(struct lbw_plan_wishes *out,
                                     const struct lbw_plan_values *values,
                                     struct lbw_error *err);
void lbw_plan_wishes_release(struct lbw_plan_wishes *wishes);

/*
 * Plans `model` by the options. *is_auto (NULL is fine) receives whether bits are yet to be
 * chosen. `memory` is that of calibration. LBW_ERR_ARGUMENT names the option.
 */
enum lbw_status lbw_plan_from_options(struct lbw_plan **out, bool *is_auto,
                                      struct lbw_model *model,
                                      const struct lbw_plan_values *values, uint64_t memory,
                                      struct lbw_error *err);

/* Prints the plan's notes from `first` on as warnings; returns how many are printed by now. */
size_t lbw_plan_warn(const struct lbw_plan *plan, size_t first);

#endif
