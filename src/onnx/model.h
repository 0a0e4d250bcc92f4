/* SPDX-License-Identifier: MIT */
/* An open ONNX model: the protobuf tree in one arena, its origin, and how to write it. */
#ifndef LBW_SRC_ONNX_MODEL_H
#define LBW_SRC_ONNX_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>

#include <lbw/model.h>

#include "base/arena.h"
#include "base/error.h"
#include "onnx.pb-c.h"

struct lbw_external_file;
struct lbw_writer;
struct lbw_grown;
struct lbw_stem;
struct lbw_mapped;
struct lbw_seen;

/* Everything that belongs to the model, new nodes and tensors included, lives in `arena`. */
struct lbw_model {
    struct lbw_arena arena;
    Onnx__ModelProto *proto;
    const char *name;   /* for messages: the path, or "memory" */
    const char *folder; /* folder of external data; NULL for a model from memory */
    uint64_t file_size; /* bytes of the (inflated) model file, without external data */
    struct lbw_external_file *external_files; /* external data mapped so far */
    struct lbw_mapped *made;                  /* new values, mapped, see lbw_mapped_alloc() */
    uint64_t made_size;                       /* bytes of these in the arena */
    const unsigned char *warm;                /* the mapped values read last, */
    size_t warm_size;                         /* see lbw_mapped_touch() */
    struct lbw_grown *grown;                  /* lists that build.c has extended */
    atomic_uint num_holders;  /* handles that need it: the caller's, plans, calibrations */
    unsigned num_rewrites;    /* a plan is for the model after one of them */
    bool is_spoiled;          /* a rewrite failed half way */
    bool is_prepared;         /* by lbw_model_prepare(), for conversion */
    uint64_t size_unprepared; /* lbw_model_size() before that */
    size_t num_folded;        /* BatchNormalizations, likewise */
    const char *ops;          /* the default --ops for this model, once decided */
    struct lbw_stem *stems;   /* its stem before preparation, see lbw_stem_remember() */
    struct lbw_seen *seen;    /* its outputs in a run, see detect/look.c */
};

/*
 * Adds a holder: the model is freed when each of them has called lbw_model_close(), in any
 * order.
 */
struct lbw_model *lbw_model_hold(struct lbw_model *model);

/* LBW_ERR_ARGUMENT for NULL, and for a model that a failed rewrite has spoiled. */
enum lbw_status lbw_model_check(const struct lbw_model *model, struct lbw_error *err);

/*
 * Ends every rewrite: plans made before become invalid, and after a failure the model is
 * unusable. Returns `status`.
 */
enum lbw_status lbw_model_rewritten(struct lbw_model *model, enum lbw_status status);

/* The version of a domain that the model imports ("" and "ai.onnx" are the same), or 0. */
int64_t lbw_model_opset(const struct lbw_model *model, const char *domain);

/* Adds or raises the import of a domain. */
enum lbw_status lbw_model_import(struct lbw_model *model, const char *domain, int64_t version,
                                 struct lbw_error *err);

/*
 * Writes the tree as it is; failures of the writer show when it is committed.
 * LBW_ERR_UNSUPPORTED for a model too large for one protobuf message.
 */
enum lbw_status lbw_model_write(struct lbw_model *model, struct lbw_writer *writer,
                                struct lbw_error *err);

#endif
