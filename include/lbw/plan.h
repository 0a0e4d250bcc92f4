/* SPDX-License-Identifier: MIT */
/* The plan: what will be done to each weight of a model, as data that can be read and edited.
 */
#ifndef LBW_PLAN_H
#define LBW_PLAN_H

#include <stdbool.h>

#include <lbw/grid.h>
#include <lbw/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which weights share a scale: those of one output channel, or the whole tensor. */
enum lbw_group {
    LBW_GROUP_CHANNEL,
    LBW_GROUP_TENSOR,
};

/*
 * The names used on the command line, in plans and in reports: "optimal", "real", "channel";
 * NULL past the last.
 */
LBW_API const char *lbw_method_name(enum lbw_method method);
LBW_API const char *lbw_scale_name(enum lbw_scale scale);
LBW_API const char *lbw_group_name(enum lbw_group group);

/* What layers read and write while the model runs. */
enum lbw_activations_type {
    LBW_ACTIVATIONS_FLOAT,
    LBW_ACTIVATIONS_INT8, /* 8 bits, by QuantizeLinear and DequantizeLinear */
};

/* "float", "int8"; NULL past the last. */
LBW_API const char *lbw_activations_name(enum lbw_activations_type type);

/* Zero-initialised: Conv and ConvTranspose, BatchNormalization folded. */
struct lbw_prepare_params {
    const char *ops;     /* whose weights are to be seen, as in struct lbw_plan_params */
    bool keep_batchnorm; /* do not fold BatchNormalization into the Conv before it */
    bool requantize;     /* expand weights that are encoded already, instead of refusing them */
    bool as_is; /* only bring hidden weights to light: no values change, encoded ones stay */
};

/*
 * Makes a model ready for planning and conversion, by exact rewrites: inlines functions that
 * take weights as inputs or that are called once and hold weights, and branches around weights
 * that are always taken; folds BatchNormalization into the Conv before it; gives every Conv a
 * bias of its own (taken away again by lbw_convert() where it stays zero). Drops training_info,
 * and value_info for removed names. LBW_ERR_UNSUPPORTED when the model holds encoded weights
 * (see requantize), before anything has changed; LBW_ERR_ARGUMENT for an unknown operator.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_prepare(struct lbw_model *model,
                                                        const struct lbw_prepare_params *params,
                                                        struct lbw_error *err);

/* A rule for the weights whose node or tensor name a POSIX extended regex matches. */
struct lbw_plan_rule {
    const char *regex;
    const struct lbw_grid *grid; /* NULL: leave alone */
};

/* Zero-initialised is the default: 4 bits, optimal, real scale per channel, Conv families. */
struct lbw_plan_params {
    const struct lbw_grid *grid;       /* NULL: "4" */
    const struct lbw_plan_rule *rules; /* later ones win */
    size_t num_rules;
    /*
     * "Conv,ConvTranspose,Gemm,MatMul" or some of them; NULL: the first two, and the others
     * where they hold more than a tenth of the model's weights
     */
    const char *ops;
    enum lbw_method method;
    enum lbw_scale scale;
    enum lbw_group group;
    float mu; /* THRESHOLD: share of max|w|; 0: the paper's 3/4 */
    bool all; /* also weights that are better left alone (structural, tiny) */
    /*
     * INT8: activations between layers get 8 bits where the layers can run on integers, see
     * lbw_plan_edge(). Needs opset 13, and grids whose levels int8 holds: 2, 3, 4 and those of
     * two terms.
     */
    enum lbw_activations_type activations;
    const char *const *float_activations; /* regexes: of tensors, or of nodes that write them */
    size_t num_float_activations;
    uint64_t memory; /* of calibration, as in struct lbw_calibrate_params; 0: 1 GiB */
};

/* One weight. Strings and dims belong to the plan. */
struct lbw_plan_item {
    const char *node;   /* its first consumer's name, or that node's first output if unnamed */
    const char *op;     /* "Conv" */
    const char *tensor; /* unique in `scope` */
    const char *scope; /* "" for the main graph, else where: "function 'f'", "body of 'If_3'" */
    const char *type;  /* "float32" */
    const char *encoded; /* what encoding it already has: "packed 4", "dq int8", or "" */
    size_t num_dims;
    const int64_t *dims;
    int axis; /* of the output channels */
    size_t count;
    uint64_t bytes; /* that the values take in the model; 0 where nodes compute them */
    size_t num_uses;
    double max_magnitude;
    size_t num_zeros;
    const struct lbw_grid *grid; /* NULL: stays as it is, and `reason` says why */
    enum lbw_scale scale;
    enum lbw_group group;
    const char *reason;
    bool is_chosen;        /* the grid, by lbw_plan_choose_bits(): */
    double predicted_loss; /* of this weight, in the unit of struct lbw_budget; NaN: unknown */
    uint64_t packed_bytes; /* codes and scales on the chosen grid */
    /*
     * How calibration fits the weight within half of `memory`: "covariance" (of its input
     * columns), "samples" (the columns themselves, as many as there is room for), "rounding"
     * (too little memory even for that), or "" where it cannot be fitted; and the bytes that
     * this takes at the most.
     */
    const char *fit;
    uint64_t fit_bytes;
};

/* One activation between layers. Strings belong to the plan. */
struct lbw_plan_edge {
    const char *tensor; /* unique in the main graph */
    const char *node;   /* that writes it: its name, or the tensor's if unnamed */
    const char *op;     /* "Conv"; "input" for an input of the model */
    enum lbw_activations_type type;
    /*
     * What its codes reach from and to; low >= high: to be fitted by lbw_convert(), which fills
     * them in.
     */
    float low, high;
    const char *reason; /* why FLOAT, or "" */
    double snr;         /* dB of the rounding, once fitted; 0: not measured */
    /* that the rounding adds at the last layers, error over signal energy; < 0: not known */
    double cost;
    double noise; /* error over signal, on average over channels; 0: not measured */
};

struct lbw_plan;

/*
 * Plans a model, which it only looks at: call lbw_model_prepare() first to convert it
 * afterwards. Weights that are encoded already are listed and left alone. The plan holds the
 * model, which may be closed before it. LBW_ERR_ARGUMENT: a bad regex, operator, enumerator or
 * µ. LBW_ERR_FORMAT: a weight whose bytes do not fit its shape.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_plan_new(struct lbw_plan **out,
                                                   struct lbw_model *model,
                                                   const struct lbw_plan_params *params,
                                                   struct lbw_error *err);
LBW_API void lbw_plan_free(struct lbw_plan **plan);

LBW_API size_t lbw_plan_num_items(const struct lbw_plan *plan);
LBW_API const struct lbw_plan_item *lbw_plan_item(const struct lbw_plan *plan, size_t i);
/* Operators with weights that the plan does not look at, all nodes of one kind together. */
struct lbw_plan_other {
    const char *op;     /* "DeformConv"; "DOMAIN:NAME" where it is not a standard operator */
    const char *note;   /* what can be done about it, or "" */
    size_t num_weights; /* constants of more than one row */
    uint64_t bytes;     /* of these */
};

/*
 * Those that hold more than a two thousandth of the model, largest first; strings belong to the
 * plan. NULL beyond the last.
 */
LBW_API size_t lbw_plan_num_others(const struct lbw_plan *plan);
LBW_API const struct lbw_plan_other *lbw_plan_other(const struct lbw_plan *plan, size_t i);

LBW_API size_t lbw_plan_num_folded(const struct lbw_plan *plan); /* BatchNormalizations */

/* Activations between layers, in the order of the graph: none unless the plan asks for INT8. */
LBW_API size_t lbw_plan_num_edges(const struct lbw_plan *plan);
LBW_API const struct lbw_plan_edge *lbw_plan_edge(const struct lbw_plan *plan, size_t i);

/* As text: one line per weight (the format of `lbw plan`), or JSON. Free with lbw_free(). */
LBW_NODISCARD LBW_API enum lbw_status lbw_plan_print(char **out, const struct lbw_plan *plan,
                                                     bool json, struct lbw_error *err);

/*
 * Takes bits, scale and group of each weight from an edited plan file (text or JSON): weights
 * it does not name stay as they are in `plan`. LBW_ERR_FORMAT names line or key;
 * LBW_ERR_ARGUMENT a tensor that the model does not have or that cannot be converted.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_plan_apply(struct lbw_plan *plan, const char *path,
                                                     struct lbw_error *err);

/* The same from memory; `path` is for messages. */
LBW_NODISCARD LBW_API enum lbw_status lbw_plan_apply_memory(struct lbw_plan *plan,
                                                            const void *data, size_t size,
                                                            const char *path,
                                                            struct lbw_error *err);

/*
 * Gives weight i another grid, or with NULL leaves it as it is. LBW_ERR_ARGUMENT when it cannot
 * be converted.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_plan_set_grid(struct lbw_plan *plan, size_t i,
                                                        const struct lbw_grid *grid,
                                                        struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
