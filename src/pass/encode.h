/* SPDX-License-Identifier: MIT */
/* How codes become part of a model again, and how they are recognised and read back. */
#ifndef LBW_SRC_PASS_ENCODE_H
#define LBW_SRC_PASS_ENCODE_H

#include <lbw/convert.h>

#include "onnx/build.h"
#include "onnx/mapped.h"
#include "pass/codes.h"
#include "pass/plan.h"

/* The domain of our decoding functions, chosen once and for ever. */
#define LBW_DOMAIN         "ai.lbw"
#define LBW_DOMAIN_VERSION 1

/* What all encodings need while a model is rewritten. */
struct lbw_encoder {
    struct lbw_model *model;
    struct lbw_names *names;
    int64_t opset;     /* of the default domain, in the model and so in ai.lbw functions */
    int64_t at_opset;  /* where the weight at work stands: in another function it may differ */
    bool has_integers; /* constants can hold integers there */
    bool is_inline;    /* packed: nodes in the graph instead of a function */
    size_t num_calls;  /* packed: of functions, so far */
    size_t num_integers; /* packed: weights that stop at int8, so far */
    enum lbw_target target;
    struct lbw_strmap shared; /* packed: graph and purpose → name of a constant made for it */
};

/* The nodes that will make one weight, to be inserted where it is first read. */
struct lbw_decoding {
    Onnx__NodeProto *nodes[32];
    size_t num_nodes;
    uint64_t size;    /* bytes of codes and scales */
    const char *note; /* why the values stayed plain, or NULL */
};

/* What became of one weight. */
struct lbw_stored {
    uint64_t size;    /* bytes of codes and scales */
    const char *note; /* why the values stayed plain though asked for otherwise, or NULL */
};

/*
 * One encoding. Adds tensors to the weight's scope and nodes to `out`, the last of which has
 * the weight's own name as output. A failed allocation is LBW_ERR_MEMORY.
 */
typedef enum lbw_status lbw_encode_fn(struct lbw_decoding *out, struct lbw_encoder *encoder,
                                      const struct lbw_weight *weight,
                                      const struct lbw_codes *codes, struct lbw_error *err);

lbw_encode_fn lbw_encode_packed;
lbw_encode_fn lbw_encode_dq;
lbw_encode_fn lbw_encode_float;

/*
 * Rewrites the model: `codes` has one entry per weight of the plan, with NULL codes for those
 * left alone. `stored` receives what became of each converted weight.
 */
enum lbw_status lbw_encode(const struct lbw_plan *plan, const struct lbw_codes *codes,
                           const struct lbw_encode_params *params, struct lbw_stored *stored,
                           struct lbw_error *err);

/* LBW_ERR_ARGUMENT names an encoding or a target that does not exist. */
enum lbw_status lbw_encode_check(const struct lbw_encode_params *params, struct lbw_error *err);
enum lbw_status lbw_target_check(enum lbw_target target, struct lbw_error *err);

/*
 * The first of these operators (up to NULL) that is another one at the opset where the weight
 * at work stands than at the model's, or NULL: a function may not hold it (ONNX IR, functions).
 */
const char *lbw_encode_obstacle(const struct lbw_encoder *encoder, const char *const *ops);

/* Bytes that the packed form of a weight will take, with its node and names. */
uint64_t lbw_encode_estimate(const struct lbw_weight *weight);

/* Adds a constant to a graph (as initializer) or function (as Constant node in `out`). */
bool lbw_encode_constant(struct lbw_decoding *out, struct lbw_encoder *encoder,
                         const struct lbw_scope *scope, Onnx__TensorProto *tensor);

/* What a type of weights keeps of a value. */
float lbw_encode_round(float value, int32_t type);

/* float32 values in a type of weights, little-endian; `out` takes their bytes. */
void lbw_encode_narrow(unsigned char *out, const float *values, size_t count, int32_t type);

/*
 * A tensor with these values, as many as dims say. NULL when memory is out, and for a type that
 * weights cannot have.
 */
Onnx__TensorProto *lbw_encode_plain(struct lbw_model *model, const char *name, int32_t type,
                                    const int64_t *dims, size_t num_dims, const float *values,
                                    size_t count);

/* A weight found in encoded form. `kind` is NULL when the value is something else. */
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
        *scale;         /* words, or numbers; without a scale codes are read bare */
    int64_t scale_axis; /* in dims; -1 for one scale */
    int32_t rounded[LBW_MAX_CASTS + 1]; /* the types its values go through before data_type */
    size_t num_rounded;
};

/*
 * Looks at who makes the value. Arithmetic that only resembles an encoding does not count;
 * LBW_ERR_FORMAT names the weight where an ai.lbw function or a tensor is malformed.
 */
enum lbw_status lbw_decode_match(struct lbw_encoded *out, const struct lbw_index *index,
                                 const struct lbw_value *value, struct lbw_error *err);

/*
 * Every encoded weight becomes float; with `keeps_plain` all but those that lbw_qdq_insert()
 * made int8. *num receives how many did. Activations stay as they are.
 */
enum lbw_status lbw_expand_weights(size_t *num, struct lbw_model *model, bool keeps_plain,
                                   struct lbw_error *err);

/* Whether the layers that read the weight read activations of 8 bits. */
bool lbw_weight_reads_codes(const struct lbw_index *index, const struct lbw_value *value);

/* The float32 values; `out` takes count. */
enum lbw_status lbw_decode_values(float *out, struct lbw_model *model,
                                  const struct lbw_encoded *encoded, struct lbw_error *err);

#endif
