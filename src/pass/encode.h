/* SPDX-License-Identifier: MIT */
/* Encoding: codes become part of a model, and are recognised and read back. */
#ifndef LBW_SRC_PASS_ENCODE_H
#define LBW_SRC_PASS_ENCODE_H

#include <lbw/convert.h>

#include "onnx/build.h"
#include "onnx/mapped.h"
#include "pass/codes.h"
#include "pass/plan.h"

/* The domain of our decoding functions; it is part of the format and never changes. */
#define LBW_DOMAIN         "ai.lbw"
#define LBW_DOMAIN_VERSION 1

/* The state of encoding a model. */
struct lbw_encoder {
    struct lbw_model *model;
    struct lbw_names *names;
    int64_t opset;       /* of the default domain, in the model and so in ai.lbw functions */
    int64_t at_opset;    /* in the scope of the current weight; a function may have another */
    bool has_integers;   /* constants there can hold integers */
    bool is_inline;      /* packed: nodes in the graph instead of a function */
    size_t num_calls;    /* packed: of functions, so far */
    size_t num_integers; /* packed: weights that decode to int8, so far */
    enum lbw_target target;
    struct lbw_strmap shared; /* packed: graph and purpose → name of a constant made for it */
};

/* The nodes that compute one weight, to be inserted before its first reader. */
struct lbw_decoding {
    Onnx__NodeProto *nodes[32];
    size_t num_nodes;
    uint64_t size;    /* bytes of codes and scales */
    const char *note; /* why the values are stored as floats, or NULL */
};

/* How one weight was stored. */
struct lbw_stored {
    uint64_t size;    /* bytes of codes and scales */
    const char *note; /* why they are floats in spite of the encoding requested, or NULL */
};

/*
 * One encoding. Adds tensors to the weight's scope and nodes to `out`, the last of which
 * outputs the weight under its own name. A failed allocation is LBW_ERR_MEMORY.
 */
typedef enum lbw_status lbw_encode_fn(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                      const struct lbw_weight *weight,
                                      const struct lbw_codes *codes, struct lbw_error *err);

lbw_encode_fn lbw_encode_packed;
lbw_encode_fn lbw_encode_dq;
lbw_encode_fn lbw_encode_float;

/*
 * Rewrites the model. `codes` has one entry per weight of the plan, with NULL codes for those
 * that are kept. `stored` receives how each converted weight was stored.
 */
enum lbw_status lbw_encode(const struct lbw_plan *plan, const struct lbw_codes *codes,
                           const struct lbw_encode_params *params, struct lbw_stored *stored,
                           struct lbw_error *err);

/* LBW_ERR_ARGUMENT for an encoding or a target that does not exist. */
enum lbw_status lbw_encode_check(const struct lbw_encode_params *params, struct lbw_error *err);
enum lbw_status lbw_target_check(enum lbw_target target, struct lbw_error *err);

/*
 * The first of these operators (up to NULL) that differs between the opset of the current
 * weight's scope and that of the model, or NULL: a function may not contain it (ONNX IR,
 * functions).
 */
const char *lbw_encode_obstacle(const struct lbw_encoder *encoder, const char *const *ops);

/* The bytes that a weight takes in packed form, with its node and names. */
uint64_t lbw_encode_estimate(const struct lbw_weight *weight);

/* Adds a constant to a graph (as initializer) or function (as Constant node in `out`). */
bool lbw_encode_constant(struct lbw_decoding *out, struct lbw_encoder *encoder,
                         const struct lbw_scope *scope, Onnx__TensorProto *tensor);

/*
 * The int8 zero point that the DequantizeLinear of this weight needs as its third input:
 * ONNX Runtime fuses no Gemm without. "" for other operators, and for weights that do
 * not decode to int8; NULL when memory is out.
 */
const char *lbw_encode_zero_point(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                  const struct lbw_weight *weight,
                                  const struct lbw_codes *codes);

/* Rounds a value to a type of weights. */
float lbw_encode_round(float value, int32_t type);

/* float32 values in a type of weights, little-endian; `out` has room for their bytes. */
void lbw_encode_narrow(unsigned char *out, const float *values, size_t count, int32_t type);

/*
 * A tensor with these values, as many as dims say. NULL when memory is out, and for a type that
 * weights cannot have.
 */
Onnx__TensorProto *lbw_encode_plain(struct lbw_model *model, const char *name, int32_t type,
                                    const int64_t *dims, size_t num_dims, const float *values,
                                    size_t count);

/* A weight found in encoded form. `kind` is NULL if the value is something else. */
struct lbw_encoded {
    const char *kind;            /* "packed", "inline" or "dq" */
    const struct lbw_grid *grid; /* packed and inline; NULL for dq */
    bool is_integer;  /* packed and inline: levels decode to int8, a DequantizeLinear scales */
    const char *type; /* dq: the type of the codes, "int8" */
    size_t num_dims;
    const int64_t *dims;
    size_t count;
    int32_t data_type; /* of the decoded weight */
    Onnx__TensorProto *codes,
        *scale;         /* words, or numbers; codes that are not scaled have no scale */
    int64_t scale_axis; /* in dims; -1 for one scale */
    int32_t rounded[LBW_MAX_CASTS + 1]; /* types of its values on the way to data_type */
    size_t num_rounded;
};

/*
 * Examines the nodes that compute the value. Arithmetic that only resembles an encoding does
 * not count. LBW_ERR_FORMAT names the weight if an ai.lbw function or a tensor is malformed.
 */
enum lbw_status lbw_decode_match(struct lbw_encoded *out, const struct lbw_index *index,
                                 const struct lbw_value *value, struct lbw_error *err);

/*
 * Makes every encoded weight float; with `keeps_plain` all but those that lbw_qdq_insert() made
 * int8. *num receives their number. Activations do not change.
 */
enum lbw_status lbw_expand_weights(size_t *num, struct lbw_model *model, bool keeps_plain,
                                   struct lbw_error *err);

/* Whether the layers that read the weight have 8-bit inputs. */
bool lbw_weight_reads_codes(const struct lbw_index *index, const struct lbw_value *value);

/* The float32 values; `out` takes count. */
enum lbw_status lbw_decode_values(float *out, struct lbw_model *model,
                                  const struct lbw_encoded *encoded, struct lbw_error *err);

#endif
