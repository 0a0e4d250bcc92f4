/* SPDX-License-Identifier: MIT */
/*
 * From one encoding to another: decode to floats, then encode the same codes; nothing is
 * quantized.
 */
#include <stdlib.h>
#include <string.h>

#include "onnx/import.h"
#include "pass/native.h"
#include "pass/recover.h"

/* The content of an encoded weight, to be found again by its scope and name. */
struct hint {
    const Onnx__GraphProto *graph;
    const Onnx__FunctionProto *function;
    const char *name;
    const struct lbw_grid *grid;
    struct lbw_codes codes;
};

struct reencoder {
    struct lbw_model *model;
    const struct lbw_encode_params *params;
    struct hint *hints;
    size_t num_hints;
    struct lbw_plan *plan;
    struct lbw_codes *codes;
    struct lbw_stored *stored;
    size_t num_encoded, num_plain;
    const char *note; /* on one of these */
    struct lbw_error *err;
};

/* A plan of all weights as they are. */
static enum lbw_status look(struct lbw_plan **out, struct lbw_model *model,
                            struct lbw_error *err)
{
    const struct lbw_prepare_params prepare = {.ops = LBW_ALL_OPS, .as_is = true};
    const struct lbw_plan_params params = {.ops = LBW_ALL_OPS};
    LBW_TRY(lbw_model_prepare(model, &prepare, err));
    return lbw_plan_new(out, model, &params, err);
}

/* Reads the codes of every encoded weight. */
static enum lbw_status read_hints(struct reencoder *r, const struct lbw_plan *plan)
{
    r->hints = calloc(plan->num_weights + 1, sizeof *r->hints);
    if (!r->hints)
        return lbw_fail_memory(r->err);
    for (size_t i = 0; i < plan->num_weights; i++) {
        const struct lbw_value *value = plan->weights[i].value;
        struct lbw_encoded encoded;
        struct hint hint = {
            value->scope->graph, value->scope->function, value->name, NULL, {0}};
        if (plan->weights[i].tensor)
            continue;
        LBW_TRY(lbw_decode_match(&encoded, &plan->index, value, r->err));
        if (!encoded.kind)
            continue;
        LBW_TRY(lbw_within(
            r->err, lbw_recover_encoded(&hint.codes, &hint.grid, r->model, &encoded, r->err),
            "weight '%s'", value->name));
        hint.codes.is_integer =
            encoded.is_integer || lbw_weight_reads_codes(&plan->index, value);
        if (hint.grid)
            r->hints[r->num_hints++] = hint;
    }
    return LBW_OK;
}

/* Decodes to floats; keeps the codes for encoding again. */
static enum lbw_status expand(struct reencoder *r)
{
    struct lbw_plan *plan = NULL;
    LBW_TRY(look(&plan, r->model, r->err));
    enum lbw_status status =
        r->params->encoding == LBW_ENCODING_FLOAT ? LBW_OK : read_hints(r, plan);
    lbw_plan_free(&plan);
    if (status != LBW_OK)
        return status;
    LBW_TRY(lbw_expand_weights(&r->num_encoded, r->model,
                               r->params->encoding != LBW_ENCODING_FLOAT, r->err));
    /* here, because ai.lbw functions are for one opset */
    return r->params->opset ? lbw_model_lift(r->model, r->params->opset, r->err) : LBW_OK;
}

/*
 * The codes that the weight had; false if there were none, or along an axis that we do not
 * write.
 */
static bool take_hint(struct reencoder *r, struct lbw_weight *weight, struct lbw_codes *out)
{
    const struct lbw_scope *scope = weight->value->scope;
    for (size_t i = 0; i < r->num_hints; i++) {
        struct hint *hint = &r->hints[i];
        if (hint->graph != scope->graph || hint->function != scope->function ||
            strcmp(hint->name, weight->value->name) != 0)
            continue;
        weight->item.group = hint->codes.axis == -1 ? LBW_GROUP_TENSOR : LBW_GROUP_CHANNEL;
        int axis = lbw_weight_step_axis(weight);
        if (lbw_weight_num_steps(weight) != hint->codes.num_steps ||
            (hint->codes.axis >= 0 && hint->codes.axis != axis))
            return false;
        weight->item.grid = hint->grid;
        *out = hint->codes;
        out->axis = axis;
        hint->codes = (struct lbw_codes){0};
        return true;
    }
    return false;
}

/* Encodes plain floats that are on a grid if that makes them smaller. */
static enum lbw_status recover(struct reencoder *r, struct lbw_weight *weight,
                               struct lbw_codes *out)
{
    struct lbw_tensor tensor;
    float *values = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_tensor_view(&tensor, r->model, weight->tensor, r->err));
    weight->item.grid = NULL;
    if (!lbw_tensor_fits_float(&tensor))
        return LBW_OK; /* a float would lose the rest of a double */
    values = malloc((tensor.count + 1) * sizeof *values);
    if (!values)
        LBW_OR_OUT(lbw_fail_memory(r->err));
    LBW_OR_OUT(lbw_tensor_read_float(&tensor, values, r->err));
    LBW_OR_OUT(lbw_recover_values(out, weight, values, r->err));
    if (weight->item.grid && lbw_encode_estimate(weight) >= weight->bytes) {
        weight->item.grid = NULL;
        lbw_codes_release(out);
    }
out:
    free(values);
    return status;
}

static enum lbw_status find_codes(struct reencoder *r)
{
    struct lbw_plan *plan = r->plan;
    r->codes = calloc(plan->num_weights + 1, sizeof *r->codes);
    r->stored = calloc(plan->num_weights + 1, sizeof *r->stored);
    if (!r->codes || !r->stored)
        return lbw_fail_memory(r->err);
    for (size_t i = 0; i < plan->num_weights; i++) {
        struct lbw_weight *weight = &plan->weights[i];
        if (!weight->tensor || weight->is_fixed || lbw_weight_is_cast(weight->value))
            continue;
        if (!take_hint(r, weight, &r->codes[i]) && !weight->is_structural)
            LBW_TRY(lbw_within(r->err, recover(r, weight, &r->codes[i]), "weight '%s'",
                               weight->item.tensor));
        r->num_encoded += r->codes[i].codes != NULL;
    }
    return LBW_OK;
}

static enum lbw_status encode(struct reencoder *r)
{
    LBW_TRY(look(&r->plan, r->model, r->err));
    r->num_encoded = 0;
    LBW_TRY(find_codes(r));
    LBW_TRY(lbw_encode(r->plan, r->codes, r->params, r->stored, r->err));
    for (size_t i = 0; i < r->plan->num_weights; i++)
        if (r->stored[i].note) {
            r->note = r->stored[i].note;
            r->num_plain++;
            r->num_encoded--;
        }
    return LBW_OK;
}

/*
 * Keeps the encoding of weights and changes only the layers around them. After the digest,
 * which inlines these layers again.
 */
static enum lbw_status nativize(struct reencoder *r)
{
    struct lbw_native_count count = {0};
    LBW_TRY(lbw_nativize(&count, r->model, r->err));
    r->num_encoded = count.num_convs;
    return LBW_OK;
}

static void release(struct reencoder *r)
{
    for (size_t i = 0; i < r->num_hints; i++)
        lbw_codes_release(&r->hints[i].codes);
    for (size_t i = 0; r->codes && i < r->plan->num_weights; i++)
        lbw_codes_release(&r->codes[i]);
    free(r->hints);
    free(r->codes);
    free(r->stored);
    lbw_plan_free(&r->plan);
}

/* Changes the encoding; fails if any weight would change. */
static enum lbw_status rewrite(struct reencoder *r)
{
    char before[LBW_DIGEST_SIZE], after[LBW_DIGEST_SIZE];
    enum lbw_encoding encoding = r->params->encoding;
    bool is_native = encoding == LBW_ENCODING_NATIVE;
    LBW_TRY(lbw_digest(before, r->model, r->err));
    if (is_native && r->params->opset)
        LBW_TRY(lbw_model_lift(r->model, r->params->opset, r->err));
    if (!is_native)
        LBW_TRY(expand(r));
    if (!is_native && encoding != LBW_ENCODING_FLOAT)
        LBW_TRY(lbw_model_rewritten(r->model, encode(r)));
    LBW_TRY(lbw_digest(after, r->model, r->err));
    if (strcmp(before, after) != 0)
        return lbw_fail(r->err, LBW_ERR_UNSUPPORTED,
                        "encoding %s cannot store these weights exactly",
                        lbw_encoding_name(encoding));
    return is_native ? nativize(r) : LBW_OK;
}

enum lbw_status lbw_reencode(size_t *num, size_t *num_plain, const char **note,
                             struct lbw_model *model, const struct lbw_encode_params *params,
                             struct lbw_error *err)
{
    static const struct lbw_encode_params by_default;
    params = params ? params : &by_default;
    struct reencoder r = {.model = model, .params = params, .err = err};
    LBW_TRY(lbw_model_check(model, err));
    LBW_TRY(lbw_encode_check(r.params, err));
    if (params->encoding != LBW_ENCODING_FLOAT)
        LBW_TRY(lbw_within(err, lbw_model_check_imports(model, err), "%s", model->name));
    enum lbw_status status = rewrite(&r);
    release(&r);
    LBW_TRY(lbw_within(err, lbw_model_rewritten(model, status), "%s", model->name));
    if (num)
        *num = r.num_encoded;
    if (num_plain)
        *num_plain = r.num_plain;
    if (note)
        *note = r.note;
    return LBW_OK;
}
