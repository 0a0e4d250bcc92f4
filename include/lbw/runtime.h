/* SPDX-License-Identifier: MIT */
/* ONNX Runtime: finding it, and comparing the outputs of two models in it. */
#ifndef LBW_RUNTIME_H
#define LBW_RUNTIME_H

#include <stdbool.h>

#include <lbw/image.h>
#include <lbw/model.h>
#include <lbw/samples.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Loads ONNX Runtime if necessary and returns its version, "1.30.0" (static storage).
 * LBW_ERR_RUNTIME lists the places searched.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_runtime_version(const char **version,
                                                          struct lbw_error *err);

/*
 * The path of liblbw_ort.so, the library with native kernels for the `ai.lbw` operators (static
 * storage). Register it with RegisterCustomOpsLibrary_V2 or register_custom_ops_library. The
 * environment variable LBW_ORT_LIBRARY names it; by default it is in the folder of this
 * library. LBW_ERR_RUNTIME if it is not found.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_native_library(const char **path,
                                                         struct lbw_error *err);

/*
 * Loads ONNX Runtime from `path`, the library itself or its folder. Call it before anything
 * else loads the runtime: if one is loaded already, this does nothing and returns LBW_OK.
 * LBW_ERR_RUNTIME if it is not found there.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_runtime_open(const char *path, struct lbw_error *err);

/* The inputs of both models. Zero-initialised: 4 generated images. */
struct lbw_compare_params {
    const char *source; /* "generated", "generated:N", a folder, .npz, .npy; NULL: generated */
    const struct lbw_samples *samples;       /* instead of `source`; NULL: none */
    size_t num_samples;                      /* at most this many; 0: 4 */
    const struct lbw_preprocess *preprocess; /* NULL: inferred from model A */
    int width, height;                       /* of dynamic inputs; 0: the model's own */
    uint64_t seed;                           /* of generated images */
    unsigned num_threads;                    /* 0: all processors */
    bool no_native; /* do not load the operator library, see lbw_native_library() */
    lbw_progress_fn progress;
    void *user;
};

/*
 * One output over all samples; integers and booleans count as numbers. Two NaN agree, and so do
 * two equal infinities; if only one side is finite, or the infinities differ, the error is
 * infinite. SNR and cosine are computed over values that are finite on both sides.
 */
struct lbw_compare_row {
    const char *name;
    const char *type;   /* of model A, or of B for an output that A lacks: "float32" */
    bool is_skipped;    /* not compared: the fields below `reason` are unset */
    const char *reason; /* why, static: "only in model A", "not a tensor of numbers"; or "" */
    int num_dims;
    int64_t dims[8];     /* of the first sample in model A, or of the first that differs */
    bool has_same_shape; /* else max_error and relative_error are infinite, counts partial */
    int num_dims_b;      /* of that sample in model B */
    int64_t dims_b[8];
    uint64_t num_values;
    uint64_t num_unlike;   /* pairs with one finite value, or with different infinities */
    double max_error;      /* largest |a - b| */
    double max_value;      /* largest finite |a| */
    double relative_error; /* max_error / max_value; 0 when both are 0 */
    double snr;            /* 10 log10(Σa² / Σ(a-b)²) dB; INFINITY when equal */
    double cosine;         /* Σab / √(Σa² Σb²); 1 when both are all zeros */
    bool is_missing;       /* is_skipped because one of the models has no such output */
};

struct lbw_comparison {
    size_t num_samples;
    const char *assumed; /* one line on what was assumed about the input, or "" */
    /*
     * Why the rows are the outputs of A's last layers: ONNX Runtime does not load a model as a
     * whole, in its words. Else "".
     */
    const char *of_layers;
    size_t num_rows;
};

/*
 * Runs both models on the same inputs. LBW_ERR_ARGUMENT when the names of their inputs differ
 * (the order may), or no output of one is in the other; LBW_ERR_RUNTIME when ONNX Runtime is
 * missing or rejects one, named "A" or "B"; LBW_ERR_UNSUPPORTED when no output of both is a
 * numeric tensor. Free *out with lbw_comparison_free().
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_compare(struct lbw_comparison **out,
                                                  struct lbw_model *a, struct lbw_model *b,
                                                  const struct lbw_compare_params *params,
                                                  struct lbw_error *err);
LBW_API void lbw_comparison_free(struct lbw_comparison **comparison);

/*
 * The rows: the outputs of model A, then those that only B has. NULL beyond the last. Lives as
 * long as the comparison.
 */
LBW_API const struct lbw_compare_row *
lbw_comparison_row(const struct lbw_comparison *comparison, size_t i);

#ifdef __cplusplus
}
#endif

#endif
