/* SPDX-License-Identifier: MIT */
/* Opening, describing and saving ONNX models. */
#ifndef LBW_MODEL_H
#define LBW_MODEL_H

#include <stdbool.h>
#include <lbw/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An opened model. One thread at a time; different models are independent. */
struct lbw_model;

/*
 * Reads a model: `path` is an ONNX file, a gzip of one, or "-" for standard input. External
 * data is looked for beside it. *out is untouched on failure. LBW_ERR_IO, LBW_ERR_FORMAT
 * (empty, truncated, not ONNX, nested too deep), LBW_ERR_MEMORY.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_open(struct lbw_model **out, const char *path,
                                                     struct lbw_error *err);

/* The same from memory (also gzip); the bytes are copied. External data is refused. */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_open_memory(struct lbw_model **out,
                                                            const void *data, size_t size,
                                                            struct lbw_error *err);

/*
 * Sets *model to NULL, and frees it and everything borrowed from it: at once, or with the last
 * plan, calibration or tuner of it. NULL is fine.
 */
LBW_API void lbw_model_close(struct lbw_model **model);

/*
 * Writes whole or not at all; "-" is standard output, a name ending in ".gz" is compressed. A
 * file of that name is replaced at once, when the new one is complete and on the disk, so it
 * may be the model that was read. External data comes into the file. LBW_ERR_UNSUPPORTED for
 * more than 2 GiB; LBW_ERR_ARGUMENT for a file that the opened model has external data in.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_save(struct lbw_model *model, const char *path,
                                                     struct lbw_error *err);

/* Where lbw_model_save_external() puts large tensors; zeros stand for the defaults. */
struct lbw_external_params {
    const char *file; /* a plain name, for a file beside the model: "model.data" */
    size_t threshold; /* bytes from which a tensor goes there; 0: 1024 */
    size_t alignment; /* of each tensor, a power of two; 0: 4096 (Windows maps by 65536) */
};

/*
 * Saves a model in two files, which is how one beyond 2 GiB has to be: initializers of at least
 * the threshold, and whatever was external before, go to `params->file` in the folder of
 * `path`. The opened model stays as it was.
 *
 * Both files are complete and on the disk before either gets its name, the data first. Stopped
 * at whatever moment, a run leaves under the name `path` the model that was there before with
 * its data, or the new one with its data, or nothing; never a model with other data. "Nothing"
 * where there was a model before is left in one case: it and a file of the data's name both
 * existed, and the run was killed between two renames; both files of the old or of the new
 * model are then whole in hidden files beside it (.lbw-…-old, .lbw-…). On failure both files
 * are as they were.
 *
 * LBW_ERR_ARGUMENT when `path` is "-" or ends in ".gz"; when the file's name has a slash, ends
 * in ".gz" or is the model's own; when the opened model or its data would be overwritten,
 * unless both are replaced together.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_model_save_external(struct lbw_model *model, const char *path,
                        const struct lbw_external_params *params, struct lbw_error *err);

/*
 * Refuses what both ways of saving (`params` is NULL for lbw_model_save()) would refuse for the
 * names alone, so that it can be asked before long work.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_model_check_save(const struct lbw_model *model, const char *path,
                     const struct lbw_external_params *params, struct lbw_error *err);

/* Serialises into *data (the caller frees it with lbw_free()) and *size. */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_save_memory(struct lbw_model *model,
                                                            void **data, size_t *size,
                                                            struct lbw_error *err);

/*
 * The number of bytes lbw_model_save() would write (as long as data is external: to within the
 * few bytes that refer to it).
 */
LBW_API uint64_t lbw_model_size(const struct lbw_model *model);

/*
 * Lifts the standard operators of the model, its bodies and its functions to a later opset (7
 * to 25) without a change of meaning, and the IR version with it where it must. What
 * the model says on its training (training_info) goes where anything is lifted.
 * LBW_ERR_UNSUPPORTED names the first node that cannot be written in the later opset;
 * LBW_ERR_ARGUMENT for an opset below the model's own. On failure the model may be half lifted:
 * close it.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_lift(struct lbw_model *model, int64_t opset,
                                                     struct lbw_error *err);

/* An input or output of the model. */
struct lbw_port {
    const char *name;
    const char *type;       /* "float32", …, or "?" */
    int num_dims;           /* -1 when the shape is unknown */
    int64_t dims[8];        /* -1 for a dynamic one */
    const char *symbols[8]; /* the names of dynamic dims, "" for none */
};

/* Strings and ports belong to the model. */
struct lbw_model_info {
    int64_t ir_version;
    int64_t opset;        /* of the default domain */
    const char *producer; /* "pytorch 1.13" */
    const char *graph_name;
    uint64_t file_size; /* bytes read; 0 when from memory */
    size_t num_nodes;
    size_t num_functions;
    size_t num_inputs; /* without initializers */
    size_t num_outputs;
    const struct lbw_port *inputs;
    const struct lbw_port *outputs;
    size_t num_metadata;
    const char *const *metadata; /* key, value, key, value, … */
};

LBW_NODISCARD LBW_API enum lbw_status
lbw_model_describe(struct lbw_model_info *out, struct lbw_model *model, struct lbw_error *err);

/* How many activations of the main graph have 8 bits: tensors that a QuantizeLinear rounds. */
LBW_API size_t lbw_model_num_rounded(const struct lbw_model *model);

#ifdef __cplusplus
}
#endif

#endif
