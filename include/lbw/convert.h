/* SPDX-License-Identifier: MIT */
/* Converting weights as planned, with or without calibration, and expanding them again. */
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
    /* PACKED, and 8-bit layers as ai.lbw operators: lbw_native_library() */
    LBW_ENCODING_NATIVE,
};

struct lbw_encoding_info {
    const char *name;   /* "packed" */
    const char *stored; /* what the file holds, one phrase */
    const char *needs;  /* what the model or runtime has to support, one phrase */
    bool takes_inline;  /* uses inline_nodes of struct lbw_encode_params */
    bool takes_target;  /* uses target of struct lbw_encode_params */
};

/* NULL past the last encoding: count up from 0 to list them all. */
LBW_API const struct lbw_encoding_info *lbw_encoding_info(enum lbw_encoding encoding);
LBW_API const char *lbw_encoding_name(enum lbw_encoding encoding);

/* The runtime that has to support the integer types of the dq encoding. */
enum lbw_target {
    LBW_TARGET_ORT, /* ONNX Runtime on a CPU */
    LBW_TARGET_TENSORRT,
    LBW_TARGET_OPENVINO,
    LBW_TARGET_ANY, /* whatever the model's opset allows */
};

/* "ort", "tensorrt", "openvino", "any"; NULL past the last. */
LBW_API const char *lbw_target_name(enum lbw_target target);

/* How codes are stored. Zero-initialised: packed, decoded by a function. */
struct lbw_encode_params {
    enum lbw_encoding encoding;
    bool inline_nodes;      /* PACKED: nodes in the graph itself instead of a function */
    enum lbw_target target; /* DQ: restricts the types of codes */
    /*
     * lbw_reencode() lifts the model to this opset first, see lbw_model_lift(); 0: no lift.
     * lbw_convert() needs a model lifted before planning, and fails if this is not its opset.
     */
    int64_t opset;
};

/* Whether a `source` stands for generated images: NULL, "generated" or "generated:N". */
LBW_API bool lbw_source_is_generated(const char *source);

/* Where calibration data comes from; zero-initialised: 32 generated images. */
struct lbw_calibrate_params {
    const char *source; /* "generated", "generated:N", a folder, .npz, .npy; NULL: generated */
    const struct lbw_samples *samples; /* instead of `source`; NULL: none */
    size_t num_samples;                /* at most this many; 0: 32 generated, 64 otherwise */
    const struct lbw_preprocess *preprocess; /* NULL: inferred from the model */
    int width, height;                       /* of dynamic inputs; 0: the model's own */
    /* Bytes for kept tensors and the fit of a layer; more go to a temporary file. 0: 1 GiB. */
    uint64_t memory;
    uint64_t seed;    /* of generated images */
    size_t hold_back; /* leave out this many samples, the last ones */
    bool independent; /* layers see the float model's activations only */
    /*
     * Fits weight positions inside the boxes that this detector finds in the samples more than
     * other positions. NULL: all positions equally.
     */
    const struct lbw_profile *profile;
    /*
     * With 8-bit activations and no range_power in the plan, lbw_convert() converts with two
     * powers, and keeps the one with which this detector's boxes in the samples agree better
     * with the float model's. Copied. With NULL, `independent`, fewer than 16 samples or hardly
     * any boxes in them, range_power is 4.
     */
    const struct lbw_profile *detector;
};

/* An open calibration set: it shows lbw_convert() one tensor at a time, in both models. */
struct lbw_activations;

/*
 * Opens a calibration source for a planned model. It holds a reference to the model: handles
 * may be closed in any order. *assumed (NULL is fine) receives one line on what was assumed
 * about the input; it lives as long as the handle. LBW_ERR_RUNTIME when ONNX Runtime is missing
 * or cannot run the model.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_calibrate_open(struct lbw_activations **out, struct lbw_model *model,
                   const struct lbw_calibrate_params *params, const char **assumed,
                   struct lbw_error *err);
LBW_API void lbw_calibrate_close(struct lbw_activations **activations);
LBW_API size_t lbw_calibrate_num_samples(const struct lbw_activations *activations);

struct lbw_tuner; /* <lbw/tune.h> */

/* Zero-initialised: projection without calibration, packed. */
struct lbw_convert_params {
    struct lbw_encode_params encode;
    struct lbw_activations *activations; /* NULL: no calibration, projection only */
    struct lbw_tuner *tuner;             /* NULL: no training */
    /*
     * For training with 8-bit activations, which are float while it runs: a second calibration,
     * to which ranges are fitted afterwards, in the model as trained.
     */
    struct lbw_activations *ranges;
    const char *state; /* file to resume from, updated after each layer; NULL: none */
    double damping;    /* added to variances, as a share; 0: 0.1, or 0.3 for fits by boxes */
    lbw_progress_fn progress;
    void *user;
};

/* The result for one weight. SNR in dB: of the layer's output if calibrated, else of values. */
struct lbw_report_row {
    const struct lbw_plan_item *item; /* borrowed from the plan */
    bool converted;
    /* "reconstruction", "training", "projection", "projection: REASON", or why it was kept. */
    const char *how;
    const char *note; /* why the encoding stored the values as floats, or "" */
    double snr_projection;
    double snr;
    double step_min, step_max;
    double seconds;
    uint64_t bytes_before; /* of the tensor */
    uint64_t bytes_after;  /* codes and scales */
};

struct lbw_report {
    size_t num_rows; /* one per item of the plan */
    size_t num_converted;
    size_t num_weights;     /* values converted */
    double bits_per_weight; /* codes and scales, over num_weights */
    /*
     * In dB: the mean over the outputs of the num_measured calibrated layers that have a signal
     * and an error; if there are none, of all weights together.
     */
    double snr;
    size_t num_measured;
    uint64_t bytes_before; /* of the whole model, external data included */
    uint64_t bytes_after;
    bool calibrated;       /* there was a calibration set */
    size_t num_calibrated; /* of num_converted: fitted or trained, not only rounded */
    size_t num_edges;      /* activations that the plan lists */
    size_t num_rounded;    /* of these: got 8 bits */
    double rounding_loss; /* predicted for those, in the unit of struct lbw_budget; NaN: none */
    size_t num_integer;   /* weights of layers that run on integers */
    double range_power;   /* of errors, that ranges minimize; 0: nothing was rounded */
    /*
     * The agreement of the detector's boxes with those of the float model, 0 … 1, with ranges
     * of powers 4 and 2, of which lbw_convert() kept the better. NaN: it had no choice.
     */
    double fourths_agreement, squares_agreement;
    double runtime_seconds; /* that calibration spent running the models */
    double fit_seconds;     /* that it spent fitting layers */
};

/*
 * Converts the model in place as planned. Free *report (NULL is fine) with lbw_report_free(),
 * before or after the plan. `params` may be NULL. A plan can be used once: it is for the model
 * as it was planned, and LBW_ERR_ARGUMENT reports that the model has changed since. A failure
 * before the codes are encoded leaves the model as it was; after a later one it can only be
 * closed, and saving or planning it fails.
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
 * Restores plain float weights: every weight encoded by this library (packed, inline or dq)
 * becomes an initializer with exactly the decoded values. *num (NULL is fine) receives the
 * number of weights. Unless it is 0, activations become float again too: QuantizeLinear and
 * DequantizeLinear between layers are dropped, and integer biases become float.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_expand(struct lbw_model *model, size_t *num,
                                                 struct lbw_error *err);

/*
 * Changes the encoding of weights that are already on a grid, without quantizing: encoded ones
 * keep their codes and scales; plain ones, as FLOAT stores them, are encoded if a grid holds
 * them exactly and that makes them smaller. Functions and branches that hide weights are
 * inlined, see lbw_model_prepare(). lbw_digest() is the same before and after, or the call
 * fails. *num (NULL is fine) receives the number of weights in the new encoding, with FLOAT of
 * those expanded; *num_plain the number that had to stay plain, and *note the reason, which
 * belongs to the model, or NULL (both may be NULL).
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_reencode(size_t *num, size_t *num_plain,
                                                   const char **note, struct lbw_model *model,
                                                   const struct lbw_encode_params *params,
                                                   struct lbw_error *err);

/*
 * A digest of all weights as their operators read them, the same for every encoding of a model:
 * the first 128 bits of a SHA-256, as lowercase hex with a terminating zero. Hashed are, for
 * each weight in the order of the plan, the number of dims, the dims and the ONNX data type as
 * 64-bit little-endian numbers, then the values as in raw_data. Weights computed at run time do
 * not count. Functions and branches that hide weights are inlined in the model first, as by
 * lbw_model_prepare() with as_is, and the order is that of the result (docs/format.md).
 */
#define LBW_DIGEST_SIZE 33
LBW_NODISCARD LBW_API enum lbw_status
lbw_digest(char out[LBW_DIGEST_SIZE], struct lbw_model *model, struct lbw_error *err);

#ifdef __cplusplus
}
#endif

#endif
