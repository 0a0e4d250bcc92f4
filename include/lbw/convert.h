/* SPDX-License-Identifier: MIT */
/* Converting weights as planned, with or without calibration, and back. */
#ifndef LBW_CONVERT_H
#define LBW_CONVERT_H

#include <lbw/image.h>
#include <lbw/plan.h>
#include <lbw/profile.h>
#include <lbw/samples.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How converted weights are stored. All decode to the same bits. */
enum lbw_encoding {
    LBW_ENCODING_PACKED, /* base-L digits in words, decoded by a function in domain ai.lbw */
    LBW_ENCODING_DQ,    /* DequantizeLinear, or Cast and Mul, over an exact integer or float8 */
    LBW_ENCODING_FLOAT, /* the values in place, as float */
    /* PACKED, and layers on 8-bit activations as operators of ai.lbw, see lbw_native_library()
     */
    LBW_ENCODING_NATIVE,
};

struct lbw_encoding_info {
    const char *name;   /* "packed" */
    const char *stored; /* what the file holds, one phrase */
    const char *needs;  /* of the model or runtime, one phrase */
    bool takes_inline;  /* inline_nodes of struct lbw_encode_params means something */
    bool takes_target;  /* so does target */
};

/* NULL past the last encoding: count up from 0 to list them all. */
LBW_API const struct lbw_encoding_info *lbw_encoding_info(enum lbw_encoding encoding);
LBW_API const char *lbw_encoding_name(enum lbw_encoding encoding);

/* Which runtime has to take the codes of the dq encoding. */
enum lbw_target {
    LBW_TARGET_ORT, /* ONNX Runtime, processors */
    LBW_TARGET_TENSORRT,
    LBW_TARGET_OPENVINO,
    LBW_TARGET_ANY, /* whatever the model's opset allows */
};

/* "ort", "tensorrt", "openvino", "any"; NULL past the last. */
LBW_API const char *lbw_target_name(enum lbw_target target);

/* How codes are written down. Zero-initialised: packed, in a function. */
struct lbw_encode_params {
    enum lbw_encoding encoding;
    bool inline_nodes;      /* PACKED: nodes in the graph itself instead of a function */
    enum lbw_target target; /* DQ: restricts the types of codes */
    /*
     * To lift the model to first, see lbw_model_lift(); 0: its own. A plan is made for the
     * lifted model, so lbw_convert() takes none but its own.
     */
    int64_t opset;
};

/* Whether a `source` stands for generated pictures: NULL, "generated" or "generated:N". */
LBW_API bool lbw_source_is_generated(const char *source);

/* Where calibration data comes from; zero-initialised: 32 generated images. */
struct lbw_calibrate_params {
    const char *source; /* "generated", "generated:N", a folder, .npz, .npy; NULL: generated */
    const struct lbw_samples *samples; /* in place of `source`; NULL: none */
    size_t num_samples; /* at most that many; 0: 32 generated, 64 of anything else */
    const struct lbw_preprocess *preprocess; /* NULL: inferred from the model */
    int width, height;                       /* of dynamic inputs; 0: the model's own */
    /* bytes for kept tensors and a layer's fit; 0: 1 GiB; beyond it a temporary file serves */
    uint64_t memory;
    uint64_t seed;    /* of generated images */
    size_t hold_back; /* leave out the last so many of the samples */
    bool independent; /* layers see the float model's activations only */
    /*
     * Fits count positions inside the boxes that this detector finds in the samples for more
     * than the others. NULL: all count alike.
     */
    const struct lbw_profile *profile;
};

/* What calibration shows lbw_convert(): one tensor at a time, in both models. */
struct lbw_activations;

/*
 * Opens a calibration source for a planned model, which it holds: handles may be
 * closed in any order. *assumed (NULL is
 * fine) receives one line saying what was assumed about the input; it lives as long as the
 * handle. LBW_ERR_RUNTIME when ONNX Runtime is missing or cannot run the model.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_calibrate_open(struct lbw_activations **out, struct lbw_model *model,
                   const struct lbw_calibrate_params *params, const char **assumed,
                   struct lbw_error *err);
LBW_API void lbw_calibrate_close(struct lbw_activations **activations);
LBW_API size_t lbw_calibrate_num_samples(const struct lbw_activations *activations);

struct lbw_tuner; /* <lbw/tune.h> */

/* Zero-initialised: projection alone, packed. */
struct lbw_convert_params {
    struct lbw_encode_params encode;
    struct lbw_activations *activations; /* NULL: projection alone */
    struct lbw_tuner *tuner;             /* NULL: no training */
    const char *state; /* file to resume from and to write after each layer; NULL: none */
    double damping;    /* share of the mean variance; 0: 0.1 */
    lbw_progress_fn progress;
    void *user;
};

/* What became of one weight. SNR in dB; of the layer's output when calibrated, else of weights.
 */
struct lbw_report_row {
    const struct lbw_plan_item *item; /* borrowed from the plan */
    bool converted;
    /* "reconstruction", "training", "projection", "projection: " and why no more, or why left
     * alone */
    const char *how;
    const char *note; /* why the encoding left the values plain, or "" */
    double snr_projection;
    double snr;
    double step_min, step_max;
    double seconds;
    uint64_t bytes_before; /* of the tensor */
    uint64_t bytes_after;  /* codes and scales */
};

struct lbw_report {
    size_t num_rows; /* as the plan has items */
    size_t num_converted;
    size_t num_weights;     /* values converted */
    double bits_per_weight; /* codes and scales, over num_weights */
    /*
     * dB: mean over the outputs of the num_measured calibrated layers that have a signal and an
     * error; of all weights together where num_measured is 0
     */
    double snr;
    size_t num_measured;
    uint64_t bytes_before; /* of the whole model, external data included */
    uint64_t bytes_after;
    bool calibrated;       /* there was a calibration set */
    size_t num_calibrated; /* of num_converted: fitted or trained, not only rounded */
    size_t num_edges;      /* activations that the plan lists */
    size_t num_rounded;    /* those that got 8 bits */
    size_t num_integer;    /* weights whose layers run on integers */
    /* that calibration spent running the models, and fitting layers to what they showed */
    double runtime_seconds, fit_seconds;
};

/*
 * Converts the model in place as planned. *report (NULL is fine) is freed by
 * lbw_report_free(), before or after the plan. A plan is spent by the conversion: it is for the
 * model as it was planned, and LBW_ERR_ARGUMENT says when that has changed since. `params` may
 * be NULL. What is refused at once, or fails before the codes are encoded, leaves the model as
 * it was; a failure after that spoils it: all that is left to do is to close it, and saving or
 * planning it is refused.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_convert(struct lbw_report **report, struct lbw_model *model, const struct lbw_plan *plan,
            const struct lbw_convert_params *params, struct lbw_error *err);
LBW_API void lbw_report_free(struct lbw_report **report);

/* Row i, of item i of the plan; NULL beyond the last. Lives as long as the report. */
LBW_API const struct lbw_report_row *lbw_report_row(const struct lbw_report *report, size_t i);

/* The report as JSON; free with lbw_free(). */
LBW_NODISCARD LBW_API enum lbw_status
lbw_report_print(char **out, const struct lbw_report *report, struct lbw_error *err);

/*
 * Back to plain float weights: every weight encoded by this library (packed, inline or dq)
 * becomes an initializer with exactly the decoded values. *num (NULL is fine) receives how
 * many. Where there are any, activations are float again too: QuantizeLinear and
 * DequantizeLinear between layers go, and integer biases become float.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_expand(struct lbw_model *model, size_t *num,
                                                 struct lbw_error *err);

/*
 * Another encoding for the weights that are on a grid already, without quantizing: encoded ones
 * keep their codes and scales, and plain ones, as FLOAT leaves them, are encoded where a grid
 * holds them exactly and that makes them smaller. Functions and branches that hide weights are
 * inlined, see lbw_plan_new(). lbw_digest() is the same before and after, or the call fails.
 * *num (NULL is fine) receives how many weights were written in the new encoding, with FLOAT
 * how many were expanded; *num_plain and *note (NULL is fine) how many had to stay plain
 * and why, a text of the model's or NULL.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_reencode(size_t *num, size_t *num_plain,
                                                   const char **note, struct lbw_model *model,
                                                   const struct lbw_encode_params *params,
                                                   struct lbw_error *err);

/*
 * A digest of all weights as their operators read them, the same for every encoding of one
 * model: the first 128 bits of the SHA-256 of, per weight in the order of the plan, the number
 * of dims, the dims and the ONNX data type as 64-bit little-endian numbers, then the values in
 * raw_data form; as lowercase hex with a zero byte at its end. Weights computed at run time do
 * not count. As lbw_plan_new() does, it inlines functions and branches that hide weights, in
 * the model itself, and takes the order from what is left (docs/format.md).
 */
#define LBW_DIGEST_SIZE 33
LBW_NODISCARD LBW_API enum lbw_status
lbw_digest(char out[LBW_DIGEST_SIZE], struct lbw_model *model, struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
