/* SPDX-License-Identifier: MIT */
/* The encoding options of `quantize` and `convert`. */
#ifndef LBW_CLI_ENCODE_OPTIONS_H
#define LBW_CLI_ENCODE_OPTIONS_H

#include <lbw/convert.h>

#include "cli/option.h"

/* One member of a command's struct of values. */
struct lbw_encode_values {
    int encoding, target;
    bool inline_nodes;
    int64_t opset; /* 0: the model's own */
};

/* clang-format off */
#define LBW_ENCODE_OPTIONS(values, member)                                                     \
    {"encoding", 'e', LBW_OPTION_CHOICE, offsetof(values, member.encoding), NULL,              \
     "how weights are stored; all encodings decode to the same bits (default packed)",         \
     .choice = lbw_encoding_choice},                                                           \
    {"inline", 0, LBW_OPTION_FLAG, offsetof(values, member.inline_nodes), NULL,                \
     "packed: decode with plain nodes instead of a function, for runtimes that do not "        \
     "support functions"},                                                                     \
    {"target", 0, LBW_OPTION_CHOICE, offsetof(values, member.target), NULL,                    \
     "dq: the runtime that must support the stored types; any allows whatever the opset "      \
     "has; 8-bit activations: tensorrt takes them signed, with float biases (default ort)",    \
     .choice = lbw_target_choice},                                                             \
    {"opset", 0, LBW_OPTION_INT, offsetof(values, member.opset), "N",                          \
     "lift the model to this opset first; dq gains smaller types at 19, 21 and 25",            \
     .min = 7,                                                                                 \
     .max = 25}
/* clang-format on */

/* In the order of their enums. */
const char *lbw_encoding_choice(int i);
const char *lbw_target_choice(int i);

/* Whether the options go together; if not, explains it: return LBW_EXIT_USAGE. */
bool lbw_encode_is_usable(const struct lbw_encode_values *values, bool has_8bit_activations,
                          const char *command);

struct lbw_encode_params lbw_encode_from_options(const struct lbw_encode_values *values);

/*
 * Lifts the model before planning if --opset is given. Weights to be quantized again are
 * expanded first, because their decoding nodes cannot be lifted.
 */
enum lbw_status lbw_encode_lift(struct lbw_model *model, const struct lbw_encode_values *values,
                                bool requantize, struct lbw_error *err);

#endif
