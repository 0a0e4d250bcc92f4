/* SPDX-License-Identifier: MIT */
/* The plan: what will be done to each weight, as data that can be read and edited. */
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
    const char *ops;     /* operators whose weights count, as in struct lbw_plan_params */
    bool keep_batchnorm; /* do not fold BatchNormalization into the Conv before it */
    bool requantize;     /* expand weights that are encoded already, instead of refusing them */
    /* Only inline what hides weights: values and encoded weights stay as they are. */
    bool as_is;
    /* INT8: lift an earlier model to opset 13, which the plan needs; see lbw_model_lift() */
    enum lbw_activations_type activations;
};

/*
 * Makes a model ready for planning and conversion by exact rewrites: inlines functions that
 * take weights as inputs or that hold weights and are called once, and branches that hold
 * weights and are always taken; folds BatchNormalization into the Conv before it; gives every
 * Conv a bias of its own (lbw_convert() removes those that stay zero). Drops training_info, and
 * value_info for removed names. LBW_ERR_UNSUPPORTED, before any change, when the model holds
 * encoded weights (see requantize); LBW_ERR_ARGUMENT for an unknown operator or
 * type of activations.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_prepare(struct lbw_model *model,
                                                        const struct lbw_prepare_params *params,
                                                        struct lbw_error *err);

/* A rule for all weights whose node or tensor name matches a POSIX extended regex. */
struct lbw_plan_rule {
    const char *regex;
    const struct lbw_grid *grid; /* NULL: keep as it is */
};

/* Zero-initialised is the default: 4 bits, optimal, real scale per channel, Conv families. */
struct lbw_plan_params {
    const struct lbw_grid *grid;       /* NULL: "4" */
    const struct lbw_plan_rule *rules; /* later ones win */
    size_t num_rules;
    /*
     * "Conv,ConvTranspose,Gemm,MatMul" or some of these; NULL: the first two, and all four if
     * Gemm and MatMul hold more than a tenth of the model's weights.
     */
    const char *ops;
    enum lbw_method method;
    enum lbw_scale scale;
    enum lbw_group group;
    float mu; /* THRESHOLD: share of max|w|; 0: the paper's 3/4 */
    bool all; /* include weights that normally stay float: small ones, exact constants */
    /*
     * INT8: activations between layers that can run on integers get 8 bits, see
     * lbw_plan_edge(). Needs opset 13 and grids whose levels fit int8: 2, 3, 4 and those with
     * two terms.
     */
    enum lbw_activations_type activations;
    const char *const *float_activations; /* regexes: of tensors, or of nodes that write them */
    size_t num_float_activations;
    /*
     * Ranges minimize Σ |error|^range_power, 1 … 16. 0: 4, or 2 if lbw_convert() finds that
     * boxes agree better then, see struct lbw_calibrate_params.
     */
    double range_power;
    uint64_t memory; /* of calibration, as in struct lbw_calibrate_params; 0: 1 GiB */
};

/* One weight. Strings and dims belong to the plan. */
struct lbw_plan_item {
    const char *node;   /* its first consumer's name, or that node's first output if unnamed */
    const char *op;     /* "Conv" */
    const char *tensor; /* unique in `scope` */
    const char *scope; /* "" for the main graph, else where: "function 'f'", "body of 'If_3'" */
    const char *type;  /* "float32" */
    const char *encoded; /* the encoding it already has: "packed 4", "dq int8", or "" */
    size_t num_dims;
    const int64_t *dims;
    int axis; /* of the output channels */
    size_t count;
    uint64_t bytes; /* of the values in the model; 0 if nodes compute them */
    size_t num_uses;
    double max_magnitude;
    size_t num_zeros;
    const struct lbw_grid *grid; /* NULL: kept as it is, see `reason` */
    enum lbw_scale scale;
    enum lbw_group group;
    const char *reason;
    bool is_chosen;        /* by lbw_plan_choose_bits(), which sets the next two: */
    double predicted_loss; /* of this weight, in the unit of struct lbw_budget; NaN: unknown */
    uint64_t packed_bytes; /* codes and scales on the chosen grid */
    /*
     * How calibration fits the weight within half of `memory`: "covariance" (of its input
     * columns), "samples" (as many of the columns as fit), "rounding" (not even those fit), or
     * "" if the weight cannot be fitted.
     */
    const char *fit;
    uint64_t fit_bytes; /* memory that this takes, at most */
};

/* One activation between layers. Strings belong to the plan. */
struct lbw_plan_edge {
    const char *tensor; /* unique in the main graph */
    const char *node;   /* that writes it: its name, or the tensor's if unnamed */
    const char *op;     /* "Conv"; "input" for an input of the model */
    enum lbw_activations_type type;
    /*
     * The range of its codes; low >= high: lbw_convert() fits the range and fills it in. With
     * a scale per channel it is that of the widest.
     */
    float low, high;
    /* CHANNEL: every channel (axis 1) has its own scale; they share the zero. */
    enum lbw_group group;
    const char *reason; /* why FLOAT, or "" */
    double snr;         /* dB of the rounding, once fitted; 0: not measured */
    /* of the rounding at the outputs, where all weights on grid 4x2 cost 1; < 0: not known */
    double cost;
    double noise; /* error over signal, on average over channels; 0: not measured */
};

struct lbw_plan;

/*
 * Plans a model without changing it. To convert it afterwards, call lbw_model_prepare() first.
 * Weights that are already encoded are listed and kept. The plan holds a reference to the
 * model, which may be closed first. LBW_ERR_ARGUMENT: a bad regex, operator, enumerator or µ.
 * LBW_ERR_FORMAT: a weight whose size does not match its shape.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_plan_new(struct lbw_plan **out,
                                                   struct lbw_model *model,
                                                   const struct lbw_plan_params *params,
                                                   struct lbw_error *err);
LBW_API void lbw_plan_free(struct lbw_plan **plan);

LBW_API size_t lbw_plan_num_items(const struct lbw_plan *plan);
LBW_API const struct lbw_plan_item *lbw_plan_item(const struct lbw_plan *plan, size_t i);

/* An operator with weights outside the plan; one entry for all its nodes. */
struct lbw_plan_other {
    const char *op;     /* "DeformConv"; "DOMAIN:NAME" for one that is not standard */
    const char *note;   /* what can be done about it, or "" */
    size_t num_weights; /* constants with more than one row */
    uint64_t bytes;     /* of these */
};

/*
 * The operators that hold more than 1/2000 of the model, largest first; NULL beyond the last.
 * Strings belong to the plan.
 */
LBW_API size_t lbw_plan_num_others(const struct lbw_plan *plan);
LBW_API const struct lbw_plan_other *lbw_plan_other(const struct lbw_plan *plan, size_t i);

/*
 * What the caller should know, one line each, NULL beyond the last: regexes that match nothing;
 * after lbw_plan_choose_bits(), weights whose effect is unknown; after lbw_convert(), layers
 * that calibration did not reach, or that nothing was converted. Lines belong to the plan.
 */
LBW_API size_t lbw_plan_num_notes(const struct lbw_plan *plan);
LBW_API const char *lbw_plan_note(const struct lbw_plan *plan, size_t i);

/* The number of BatchNormalizations that lbw_model_prepare() folded. */
LBW_API size_t lbw_plan_num_folded(const struct lbw_plan *plan);

/* Activations between layers, in graph order; none unless the plan asks for INT8. */
LBW_API size_t lbw_plan_num_edges(const struct lbw_plan *plan);
LBW_API const struct lbw_plan_edge *lbw_plan_edge(const struct lbw_plan *plan, size_t i);

/* As text: one line per weight (the format of `lbw plan`), or JSON. Free with lbw_free(). */
LBW_NODISCARD LBW_API enum lbw_status lbw_plan_print(char **out, const struct lbw_plan *plan,
                                                     bool json, struct lbw_error *err);

/*
 * Takes the grid, scale and group of each weight from an edited plan file (text or JSON).
 * Weights that it does not name keep theirs. LBW_ERR_FORMAT names the line or key;
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
 * Sets the grid of weight i; NULL keeps the weight as it is in the model. LBW_ERR_ARGUMENT when
 * the weight cannot be converted.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_plan_set_grid(struct lbw_plan *plan, size_t i,
                                                        const struct lbw_grid *grid,
                                                        struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
