/* SPDX-License-Identifier: MIT */
/* What the passes share: a planned weight with its place in the graph, and its codes. */
#ifndef LBW_SRC_PASS_PASS_H
#define LBW_SRC_PASS_PASS_H

#include <lbw/convert.h>

#include "onnx/index.h"
#include "onnx/tensor.h"

/* Of a weight: more than any convolution has. */
#define LBW_MAX_DIMS 8

/* How a weight's values are laid out as rows: output channels of one group share one input. */
struct lbw_layout {
    size_t groups;
    size_t rows; /* output channels in a group */
    size_t k;    /* input values of one output: channels of a group × kernel taps */
    /* value i of row r of group g is at g·group_stride + r·row_stride + (i/taps)·in_stride +
     * i%taps */
    size_t taps;
    size_t group_stride, row_stride, in_stride;
};

static inline size_t lbw_layout_offset(const struct lbw_layout *layout, size_t group,
                                       size_t row, size_t i)
{
    return group * layout->group_stride + row * layout->row_stride +
           i / layout->taps * layout->in_stride + i % layout->taps;
}

/* Rows lie in one piece each, as those of Conv do. */
static inline bool lbw_layout_is_contiguous(const struct lbw_layout *layout)
{
    return layout->in_stride == layout->taps || layout->k == layout->taps;
}

/* A node that reads a planned weight as its weight. */
struct lbw_consumer {
    struct lbw_scope *scope;
    Onnx__NodeProto *node;
    size_t position; /* in the scope's nodes */
    size_t input;    /* node->input[input] is the weight */
};

/* One planned weight. `item` comes first: the public view is a cast away. */
struct lbw_weight {
    struct lbw_plan_item item;
    struct lbw_value *value; /* the name that consumers read, themselves or by Identity */
    struct lbw_value *root;  /* the constant behind it: `value`, or what Cast nodes start on */
    Onnx__TensorProto *tensor; /* its constant values, NULL when computed or encoded; behind a
                                  Cast a tensor that is not part of the model */
    uint64_t bytes;            /* of the stored constant */
    struct lbw_layout layout;  /* of the first consumer */
    struct lbw_consumer *consumers;
    size_t num_consumers;
    bool is_fixed;      /* cannot be converted, whatever a plan file says */
    bool is_wished;     /* the plan file has said what becomes of it */
    bool is_structural; /* its values are an exact small structure */
    bool is_uniform; /* every use is a consumer of the same layout: calibration can be joint */
};

struct lbw_plan {
    struct lbw_model *model;
    struct lbw_index index;
    struct lbw_plan_params params; /* pointers inside are not kept */
    struct lbw_weight *weights;    /* in node order, in the model's arena */
    size_t num_weights;
    size_t num_folded;
    uint64_t model_size; /* when planning began, lbw_model_size() */
};

/* A weight on its grid. */
struct lbw_codes {
    uint8_t *codes; /* item.count, in the tensor's own order; owned; NULL: not converted */
    float *steps;   /* num_steps; owned */
    size_t num_steps;
    int axis; /* of the steps; -1 when there is one for all */
    float **
        biases; /* corrected ones, num_biases of rows × groups values; owned, NULL: as it was */
    size_t num_biases; /* consumers of the weight, or 0 */
};

/* The group and row of which axis of the weight the steps run along; -1 for one step. */
int lbw_weight_step_axis(const struct lbw_weight *weight);

/* The number of steps: dims[axis], or 1. */
size_t lbw_weight_num_steps(const struct lbw_weight *weight);

/* The step index of row r of group g, given the axis. */
size_t lbw_weight_step_index(const struct lbw_weight *weight, size_t group, size_t row);

/* Layout of a weight read by `node`; false when its rank or group count makes no sense. */
bool lbw_layout_of(struct lbw_layout *out, const Onnx__NodeProto *node, const int64_t *dims,
                   size_t num_dims);

/* Every operator that can hold a weight. */
#define LBW_ALL_OPS "Conv,ConvTranspose,Gemm,MatMul"

/* weights.c: `ops` is a comma-separated list, NULL for all. LBW_ERR_ARGUMENT names a stranger.
 */
enum lbw_status lbw_weight_check_ops(const char *ops, struct lbw_error *err);

/* The inputs that can be weights; false when the node holds none. */
bool lbw_weight_inputs(size_t *first, size_t *last, const Onnx__NodeProto *node,
                       const char *ops);

/* Whether weights can be of this type: FLOAT, FLOAT16, BFLOAT16 and DOUBLE. */
bool lbw_weight_can_be(int32_t type);

/* Whether a Cast of a weight gives one whose values we know to the bit. */
bool lbw_weight_can_cast(int32_t from, int32_t to);

/* Casts in a row behind a constant; the encoding of a weight may add one. */
#define LBW_MAX_CASTS 8

/* The value at the start of a chain of Identity nodes; NULL for NULL. */
struct lbw_value *lbw_weight_origin(struct lbw_value *value);

/* The same through Identity and Cast nodes. */
struct lbw_value *lbw_weight_source(struct lbw_value *value);

/*
 * The values of a weight that is constant, through Identity and Cast, and where they come from;
 * *out is NULL when it is not constant.
 */
enum lbw_status lbw_weight_constant(Onnx__TensorProto **out, struct lbw_value **root,
                                    const struct lbw_index *index, struct lbw_value *value,
                                    struct lbw_error *err);

/*
 * How many inputs read the values behind a name, through Identity nodes and not counting those
 * that read only its shape; false when it gets out of sight.
 */
bool lbw_weight_count_uses(size_t *num, const struct lbw_index *index,
                           const struct lbw_value *value);

/* Whether some operator reads the value as a weight, through Identity nodes. */
bool lbw_weight_is_read(const struct lbw_value *value);

/* Whether the value is a Cast of what is read as a weight itself, and need not be stored. */
bool lbw_weight_is_cast(const struct lbw_value *value);

/*
 * functions.c: inlines functions that keep weights out of sight, and branches that are always
 * taken. *num receives how many calls and branches.
 */
enum lbw_status lbw_open_functions(size_t *num, struct lbw_model *model, const char *ops,
                                   struct lbw_error *err);

/* prepare.c: exact rewrites before planning (see lbw_plan_new()). */
enum lbw_status lbw_prepare(struct lbw_model *model, bool keep_batchnorm, size_t *num_folded,
                            struct lbw_error *err);

/*
 * Below IR 4 every initializer has to be a graph input as well, and none can be overridden:
 * from IR 4 on the same meaning is an initializer that is no input. How to train a model goes
 * (training_info), because its graphs are about initializers and operators that change. For
 * models that get initializers of ours.
 */
void lbw_begin_rewrite(struct lbw_model *model);

/* The suffix of the zero biases and copies of shared ones that lbw_prepare() adds. */
#define LBW_ADDED_BIAS ".lbw_bias"

/*
 * clean.c: drops nodes and initializers that were read before a rewrite and no longer are, and
 * what is said of names (value_info, quantization_annotation) that are gone.
 */
enum lbw_status lbw_clean(struct lbw_model *model, const struct lbw_index *before,
                          struct lbw_error *err);

/* Takes away the biases of lbw_prepare() that calibration had no use for. */
enum lbw_status lbw_clean_biases(struct lbw_model *model, struct lbw_error *err);

/* project.c: the data-free projection of one weight. */
enum lbw_status lbw_project(struct lbw_codes *out, const struct lbw_weight *weight,
                            const float *values, const struct lbw_plan_params *params,
                            struct lbw_error *err);
void lbw_codes_release(struct lbw_codes *codes);

/* The float values of a converted weight, in the tensor's order. `out` takes item.count. */
void lbw_codes_decode(float *out, const struct lbw_weight *weight,
                      const struct lbw_codes *codes);

/* Signal and error energy of a converted weight against its values. */
void lbw_codes_error(double *error, double *energy, const struct lbw_weight *weight,
                     const struct lbw_codes *codes, const float *values);

/* The layer's output, or without calibration the weight itself: energies of signal and error.
 */
struct lbw_layer_stats {
    bool is_reconstructed;
    double energy, error_before, error_after;
};

/*
 * reconstruct.c: better codes for one weight from what its consumers see. On entry `codes`
 * holds the projection; when the weight's inputs are out of reach it is left as it is and
 * stats->is_reconstructed is false. Corrected biases are written into the model.
 */
struct lbw_calibrator {
    struct lbw_activations *activations;
    const struct lbw_plan *plan;
    double damping;
    uint64_t seed; /* of sampled positions; advanced from weight to weight */
};
enum lbw_status lbw_reconstruct_weight(struct lbw_codes *codes, struct lbw_layer_stats *stats,
                                       struct lbw_calibrator *calibrator,
                                       const struct lbw_weight *weight, const float *values,
                                       struct lbw_error *err);

/* Why calibration cannot look at what reads the weight, or NULL. */
const char *lbw_weight_out_of_reach(const struct lbw_weight *weight);

/* Makes the converted side of the activations use these codes and biases from now on. */
enum lbw_status lbw_weight_show(struct lbw_calibrator *calibrator,
                                const struct lbw_weight *weight, const struct lbw_codes *codes,
                                struct lbw_error *err);

/* The float32 bias of a consumer that no other node reads, viewed as `tensor`, or NULL. */
struct lbw_value *lbw_weight_bias(struct lbw_tensor *tensor, const struct lbw_plan *plan,
                                  const struct lbw_weight *weight, const Onnx__NodeProto *node);

/* Room for one corrected bias per consumer. */
bool lbw_codes_alloc_biases(struct lbw_codes *codes, const struct lbw_weight *weight);

/* Writes corrected biases into the model, once calibration no longer looks at it. */
enum lbw_status lbw_bias_write(const struct lbw_plan *plan, const struct lbw_weight *weight,
                               const struct lbw_codes *codes, struct lbw_error *err);

/* report.c */
enum lbw_status lbw_report_new(struct lbw_report **out, const struct lbw_plan *plan,
                               struct lbw_error *err);

/* SNR in dB; 200 when there is no error. */
double lbw_snr(double energy, double error);

#endif
