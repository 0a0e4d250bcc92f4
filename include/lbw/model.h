/* SPDX-License-Identifier: MIT */
/* Opening, describing and saving ONNX models. */
#ifndef LBW_MODEL_H
#define LBW_MODEL_H

#include <stdbool.h>
#include <lbw/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An open model. Use it in one thread at a time; different models are independent. */
struct lbw_model;

/*
 * Reads a model. `path` is an ONNX file, a gzipped one, or "-" for standard input. External
 * data is read from the folder of the file. *out is untouched on failure. LBW_ERR_IO,
 * LBW_ERR_FORMAT (empty, truncated, not ONNX, nested too deep), LBW_ERR_MEMORY.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_open(struct lbw_model **out, const char *path,
                                                     struct lbw_error *err);

/* The same from memory (also gzip); the bytes are copied. External data is refused. */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_open_memory(struct lbw_model **out,
                                                            const void *data, size_t size,
                                                            struct lbw_error *err);

/*
 * Sets *model to NULL. The model and everything borrowed from it is freed once its last plan,
 * calibration and tuner are closed as well. NULL is fine.
 */
LBW_API void lbw_model_close(struct lbw_model **model);

/*
 * Writes the whole model or nothing. "-" is standard output, a name ending in ".gz" is
 * compressed. An existing file is replaced atomically once the new one is synced to disk, so it
 * may be the file that the model was read from. External data is embedded. LBW_ERR_UNSUPPORTED
 * beyond 2 GiB; LBW_ERR_ARGUMENT for a file that holds external data of the open model.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_save(struct lbw_model *model, const char *path,
                                                     struct lbw_error *err);

/* Where lbw_model_save_external() puts large tensors; zero means the default. */
struct lbw_external_params {
    const char *file; /* a name without folders: "model.data", written next to the model */
    size_t threshold; /* the least bytes of a tensor that goes there; 0: 1024 */
    size_t alignment; /* of each tensor, a power of two; 0: 4096 (Windows maps by 65536) */
};

/*
 * Saves a model in two files, as one beyond 2 GiB has to be: initializers of at least
 * `threshold` bytes, and those that were external before, go to `params->file` in the folder of
 * `path`. The open model does not change.
 *
 * Both files are complete and synced before they are renamed into place, the data first. A run
 * killed at any moment leaves at `path` the old model with its data, or the new one with its
 * data, or nothing; never a model with the data of the other. An existing model can only vanish
 * from `path` if a file with the name of the data existed as well and the run was killed
 * between two renames; both files of the old or the new model are then complete in hidden files
 * next to it (.lbw-…-old, .lbw-…). On failure both files are as they were.
 *
 * LBW_ERR_ARGUMENT when `path` is "-" or ends in ".gz"; when `file` has a slash, ends in ".gz"
 * or is the name of the model itself; when the file of the open model or its data would be
 * overwritten, unless both are replaced together.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_model_save_external(struct lbw_model *model, const char *path,
                        const struct lbw_external_params *params, struct lbw_error *err);

/*
 * Fails where lbw_model_save_external(), or with NULL `params` lbw_model_save(), would refuse
 * the names of the files. Call it before long work.
 */
LBW_NODISCARD LBW_API enum lbw_status
lbw_model_check_save(const struct lbw_model *model, const char *path,
                     const struct lbw_external_params *params, struct lbw_error *err);

/* Serialises into *data (the caller frees it with lbw_free()) and *size. */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_save_memory(struct lbw_model *model,
                                                            void **data, size_t *size,
                                                            struct lbw_error *err);

/*
 * The number of bytes that lbw_model_save() would write; for models with external data correct
 * to within the few bytes that refer to it.
 */
LBW_API uint64_t lbw_model_size(const struct lbw_model *model);

/*
 * Lifts the standard operators of the model, its subgraphs and its functions to a later opset
 * (7 to 25) without changing their meaning, and the IR version where the opset requires it. If
 * anything is lifted, training_info is dropped. LBW_ERR_UNSUPPORTED names the first node that
 * the later opset cannot express; LBW_ERR_ARGUMENT for an opset below the model's own. On
 * failure the model may be half lifted: close it.
 */
LBW_NODISCARD LBW_API enum lbw_status lbw_model_lift(struct lbw_model *model, int64_t opset,
                                                     struct lbw_error *err);

/* An input or output of the model. */
struct lbw_port {
    const char *name;
    const char *type;       /* "float32", …, or "?" */
    int num_dims;           /* -1 when the shape is unknown */
    int64_t dims[8];        /* -1 for a dynamic one */
    const char *symbols[8]; /* the names of dynamic dims; "" without a name */
};

/* Strings and ports belong to the model. */
struct lbw_model_info {
    int64_t ir_version;
    int64_t opset;        /* of the default domain */
    const char *producer; /* "pytorch 1.13" */
    const char *graph_name;
    uint64_t file_size; /* bytes read; 0 for a model from memory */
    size_t num_nodes;
    size_t num_functions;
    size_t num_inputs; /* not counting initializers */
    size_t num_outputs;
    const struct lbw_port *inputs;
    const struct lbw_port *outputs;
    size_t num_metadata;
    const char *const *metadata; /* key, value, key, value, … */
};

LBW_NODISCARD LBW_API enum lbw_status
lbw_model_describe(struct lbw_model_info *out, struct lbw_model *model, struct lbw_error *err);

/* The number of 8-bit activations in the main graph: tensors that a QuantizeLinear rounds. */
LBW_API size_t lbw_model_num_rounded(const struct lbw_model *model);

#ifdef __cplusplus
}
#endif

#endif
