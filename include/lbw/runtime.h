/* SPDX-License-Identifier: MIT */
/* ONNX Runtime: which one is there, and whether two models give the same numbers in it. */
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
 * Loads ONNX Runtime unless it is loaded and says its version, "1.30.0" (static storage).
 * LBW_ERR_RUNTIME says where it was looked for.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_runtime_version(const char **version,
                                                          struct lbw_error *err);

/*
 * The path of liblbw_ort.so, the operator library that gives ONNX Runtime native kernels for
 * the operators of `ai.lbw` (static storage): register it with RegisterCustomOpsLibrary_V2 or
 * register_custom_ops_library. LBW_ORT_LIBRARY in the environment names it, else it is looked
 * for beside this library. LBW_ERR_RUNTIME when there is none.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_native_library(const char **path,
                                                         struct lbw_error *err);

/*
 * Loads ONNX Runtime from `path`, its library or the folder that holds it, before anything
 * else needs it. LBW_OK without effect where it is loaded already. LBW_ERR_RUNTIME when there
 * is none.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_runtime_open(const char *path, struct lbw_error *err);

/* What both models are fed; zero-initialised: 4 generated images. */
struct lbw_compare_params {
    const char *source; /* "generated", "generated:N", a folder, .npz, .npy; NULL: generated */
    const struct lbw_samples *samples;       /* in place of `source`; NULL: none */
    size_t num_samples;                      /* at most that many; 0: 4 */
    const struct lbw_preprocess *preprocess; /* NULL: inferred from model A */
    int width, height;                       /* of dynamic inputs; 0: the model's own */
    uint64_t seed;                           /* of generated images */
    unsigned num_threads;                    /* 0: all processors */
    bool no_native; /* leave the operator library out, see lbw_native_library() */
    lbw_progress_fn progress;
    void *user;
};

/*
 * One output over all samples; integers and truth values count as numbers. Two NaN agree, and
 * so do two equal infinities; where only one side is finite, or the infinities differ, the
 * error is infinite. The sums behind SNR and cosine are taken where both sides are finite.
 */
struct lbw_compare_row {
    const char *name;
    const char *type; /* of model A: "float32" */
    bool is_skipped;  /* not a tensor of numbers: not compared, nothing below is known */
    int num_dims;
    int64_t dims[8];     /* of the first sample in model A */
    bool has_same_shape; /* else max_error and relative_error are infinite, counts partial */
    uint64_t num_values;
    uint64_t num_unlike; /* values of which only one is finite, or that are unlike infinities */
    double max_error;    /* largest |a - b| */
    double max_value;    /* largest finite |a| */
    double relative_error; /* max_error / max_value; 0 when both are 0 */
    double snr;            /* 10 log10(Σa² / Σ(a-b)²) dB; INFINITY when equal */
    double cosine;         /* Σab / √(Σa² Σb²); 1 when both are all zeros */
};

struct lbw_comparison {
    size_t num_samples;
    const char *assumed; /* one line on what was assumed about the input; "" for nothing */
    size_t num_rows;
};

/*
 * Runs both models on the same inputs. LBW_ERR_ARGUMENT when their inputs or outputs have other
 * names (the order may differ); LBW_ERR_RUNTIME when ONNX Runtime is missing or refuses one,
 * with "A" or "B" named; LBW_ERR_UNSUPPORTED where no output is a tensor of numbers. Freed by
 * lbw_comparison_free().
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_compare(struct lbw_comparison **out,
                                                  struct lbw_model *a, struct lbw_model *b,
                                                  const struct lbw_compare_params *params,
                                                  struct lbw_error *err);
LBW_API void lbw_comparison_free(struct lbw_comparison **comparison);

/* Row i, of output i of model A; NULL beyond the last. Lives as long as the comparison. */
LBW_API const struct lbw_compare_row *
lbw_comparison_row(const struct lbw_comparison *comparison, size_t i);

#ifdef __cplusplus
}
#endif

#endif
