/* SPDX-License-Identifier: MIT */
/* An opened ONNX model: the protobuf tree in one arena, where it came from, how to write it. */
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
    const char *folder; /* where external data is looked for; NULL when read from memory */
    uint64_t file_size; /* bytes of the (inflated) model file, without external data */
    struct lbw_external_file *external_files; /* external data mapped so far */
    struct lbw_mapped *made;                  /* new values, mapped, see lbw_mapped_alloc() */
    uint64_t made_size;                       /* bytes of those in the arena */
    const unsigned char *warm;                /* the mapped values looked at last, */
    size_t warm_size;                         /* see lbw_mapped_touch() */
    struct lbw_grown *grown;                  /* lists that build.c has made longer */
    atomic_uint num_holders;  /* handles that need it: the caller's, plans, calibrations */
    unsigned num_rewrites;    /* a plan is for the model as it was after one of them */
    bool is_spoiled;          /* a rewrite failed half way */
    bool is_prepared;         /* by lbw_model_prepare(), for conversion */
    uint64_t size_unprepared; /* lbw_model_size() before that */
    size_t num_folded;        /* BatchNormalizations, by that */
    const char *ops; /* whose weights are converted where nobody says, once that is decided */
    struct lbw_stem *stems; /* how it began before that, see lbw_stem_remember() */
    struct lbw_seen *seen;    /* what a run showed of its outputs, see detect/look.c */
};

/*
 * Another holder: the model is freed when each of them has called lbw_model_close(), in any
 * order.
 */
struct lbw_model *lbw_model_hold(struct lbw_model *model);

/* LBW_ERR_ARGUMENT for NULL, and for a model that a failed rewrite has spoiled. */
enum lbw_status lbw_model_check(const struct lbw_model *model, struct lbw_error *err);

/*
 * What every rewrite ends with: plans made before no longer fit, and after a failure the model
 * is of no use. Returns `status`.
 */
enum lbw_status lbw_model_rewritten(struct lbw_model *model, enum lbw_status status);

/* The version of a domain that the model imports ("" and "ai.onnx" are the same), or 0. */
int64_t lbw_model_opset(const struct lbw_model *model, const char *domain);

/* Adds or raises the import of a domain. */
enum lbw_status lbw_model_import(struct lbw_model *model, const char *domain, int64_t version,
                                 struct lbw_error *err);

/*
 * Writes the tree as it is; what goes wrong shows when the writer is committed. Refuses
 * (LBW_ERR_UNSUPPORTED) what is too large for one protobuf message.
 */
enum lbw_status lbw_model_write(struct lbw_model *model, struct lbw_writer *writer,
                                struct lbw_error *err);

#endif
