/* SPDX-License-Identifier: MIT */
/* Examines a model's outputs; runs it once if their declared shapes are not enough. */
#include "detect/look.h"

#include <stdlib.h>
#include <string.h>

#include "detect/decode.h"
#include "feed/feed.h"
#include "onnx/metadata.h"
#include "onnx/model.h"
#include "onnx/walk.h"
#include "run/session.h"

#define MAX_SIDE   (1 << 20)     /* larger ones are not meant to be used */
#define MOST_KEPT  ((size_t)4e6) /* values of an output; more cannot be a list of boxes */
#define MAX_INPUTS 16

/* The sides tried for open inputs: small ones first, then those that fixed grids need. */
static const int usual_sides[] = {320, 640, 416, 512, 300};

static bool find_exp(ProtobufCMessage *message, void *user)
{
    bool *found = user;
    if (message->descriptor != &onnx__node_proto__descriptor)
        return true;
    const Onnx__NodeProto *node = (const Onnx__NodeProto *)message;
    *found = node->op_type && !strcmp(node->op_type, "Exp");
    return !*found;
}

static void find_sides(struct lbw_look *look)
{
    look->width = look->height = -1;
    for (size_t i = 0; i < look->info.num_inputs; i++) {
        const struct lbw_port *port = &look->info.inputs[i];
        if (port->num_dims != 4)
            continue;
        bool is_last = port->dims[3] == 3 && port->dims[1] != 3;
        int64_t height = port->dims[is_last ? 1 : 2], width = port->dims[is_last ? 2 : 3];
        if (height <= MAX_SIDE && width <= MAX_SIDE) {
            look->height = height;
            look->width = width;
        }
        look->is_open = height <= 0 || width <= 0;
        return;
    }
}

/* A batch may be open; any other open dim hides the form of the output. */
static bool hides_shapes(const struct lbw_look *look)
{
    if (look->is_open)
        return true;
    for (size_t k = 0; k < look->info.num_outputs; k++) {
        const struct lbw_port *port = &look->info.outputs[k];
        for (int i = 1; i < port->num_dims; i++)
            if (port->dims[i] < 0)
                return true;
        if (port->num_dims < 0)
            return true;
    }
    return false;
}

/*
 * Copies one output into the model's arena: its shape, and its values unless there are too
 * many.
 */
static enum lbw_status keep_output(struct lbw_seen *seen, const float **values, size_t k,
                                   struct lbw_model *model, const struct lbw_array *array,
                                   struct lbw_error *err)
{
    size_t count = 1;
    struct lbw_port *port = &seen->outputs[k];
    port->num_dims = lbw_array_has_numbers(array->data_type) ? (int)array->num_dims : -1;
    memcpy(port->dims, array->dims, sizeof port->dims);
    for (size_t i = 0; i < array->num_dims; i++)
        count *= (size_t)array->dims[i];
    seen->counts[k] = count;
    if (port->num_dims < 0 || count > MOST_KEPT)
        return LBW_OK;
    float *copy = lbw_arena_calloc(&model->arena, count + 1, sizeof *copy);
    if (!copy)
        return lbw_fail_memory(err);
    lbw_numbers_convert(copy, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, array->data,
                        array->data_type, count);
    values[k] = copy;
    return LBW_OK;
}

static enum lbw_status keep(struct lbw_seen *seen, struct lbw_model *model,
                            const struct lbw_model_info *info, const struct lbw_array *arrays,
                            struct lbw_error *err)
{
    size_t num = info->num_outputs;
    const float **values = lbw_arena_calloc(&model->arena, num + 1, sizeof *values);
    seen->outputs = lbw_arena_memdup(&model->arena, info->outputs, num * sizeof *seen->outputs);
    seen->counts = lbw_arena_calloc(&model->arena, num + 1, sizeof *seen->counts);
    if (!values || (num && !seen->outputs) || !seen->counts)
        return lbw_fail_memory(err);
    for (size_t k = 0; k < num; k++)
        LBW_TRY(keep_output(seen, values, k, model, &arrays[k], err));
    seen->values = values;
    seen->is_done = true;
    return LBW_OK;
}

/* Runs the session on the first sample of the feed. */
static enum lbw_status run_sample(struct lbw_seen *seen, struct lbw_session *session,
                                  struct lbw_feed *feed, struct lbw_model *model,
                                  const struct lbw_model_info *info, struct lbw_error *err)
{
    struct lbw_array made[MAX_INPUTS] = {{0}}, inputs[MAX_INPUTS];
    struct lbw_array outputs[LBW_MAX_OUTPUTS] = {{0}};
    size_t num = lbw_feed_num_inputs(feed);
    enum lbw_status status;
    if (num != lbw_session_num_inputs(session) ||
        lbw_session_num_outputs(session) != info->num_outputs)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "the runtime sees other inputs or outputs");
    LBW_OR_OUT(lbw_feed_get(feed, 0, made, err));
    for (size_t i = 0; i < num; i++) {
        size_t at = lbw_session_find_input(session, lbw_feed_input(feed, i)->name);
        if (at >= num)
            LBW_OR_OUT(lbw_fail(err, LBW_ERR_UNSUPPORTED, "the runtime sees other inputs"));
        inputs[at] = made[i];
    }
    LBW_OR_OUT(lbw_session_run(session, inputs, outputs, err));
    LBW_OR_OUT(keep(seen, model, info, outputs, err));
out:
    lbw_arrays_release(outputs, info->num_outputs);
    lbw_arrays_release(made, num);
    return status;
}

/* Tries one size; 0 leaves it to the model and its metadata. */
static enum lbw_status try_size(struct lbw_seen *seen, struct lbw_session *session,
                                const struct lbw_look *look, int width, int height,
                                struct lbw_error *err)
{
    static const struct lbw_preprocess plain = {
        .resize = LBW_RESIZE_STRETCH, .color = LBW_COLOR_RGB, .std = {255, 255, 255}};
    const struct lbw_feed_params params = {
        .source = "generated:1", .preprocess = &plain, .width = width, .height = height};
    struct lbw_feed *feed = NULL;
    LBW_TRY(lbw_feed_open(&feed, look->model, &params, NULL, err));
    enum lbw_status status = run_sample(seen, session, feed, look->model, &look->info, err);
    seen->width = look->is_open ? width : look->width;
    seen->height = look->is_open ? height : look->height;
    lbw_feed_close(&feed);
    return status;
}

static enum lbw_status run_sizes(struct lbw_seen *seen, struct lbw_session *session,
                                 const struct lbw_look *look, struct lbw_error *err)
{
    int width = 0, height = 0;
    if (!look->is_open)
        return try_size(seen, session, look, 0, 0, err);
    enum lbw_status status = LBW_ERR_RUNTIME;
    if (lbw_metadata_size(&width, &height, &look->info))
        status = try_size(seen, session, look, width, height, err);
    for (size_t i = 0; i < sizeof usual_sides / sizeof *usual_sides; i++) {
        if (status == LBW_OK || status == LBW_ERR_MEMORY)
            break;
        width = look->width > 0 ? (int)look->width : usual_sides[i];
        height = look->height > 0 ? (int)look->height : usual_sides[i];
        status = try_size(seen, session, look, width, height, err);
    }
    return status;
}

/* Any failure except out of memory leaves the declared shapes. */
static enum lbw_status run_once(struct lbw_seen *seen, const struct lbw_look *look,
                                struct lbw_error *err)
{
    const struct lbw_session_params params = {.optimize = 1, .short_lived = 1};
    struct lbw_runtime *runtime;
    struct lbw_session *session = NULL;
    if (look->info.num_inputs > MAX_INPUTS || look->info.num_outputs > LBW_MAX_OUTPUTS)
        return LBW_OK;
    enum lbw_status status;
    LBW_OR_OUT(lbw_runtime_load(&runtime, NULL, err));
    LBW_OR_OUT(lbw_session_open_model(&session, look->model, &params, err));
    LBW_OR_OUT(run_sizes(seen, session, look, err));
out:
    lbw_session_close(&session);
    return status == LBW_ERR_MEMORY ? status : LBW_OK;
}

/* The run of this model, made once and kept with it. */
static enum lbw_status see(const struct lbw_seen **out, const struct lbw_look *look,
                           struct lbw_error *err)
{
    struct lbw_model *model = look->model;
    if (!model->seen) {
        struct lbw_seen *seen = lbw_arena_calloc(&model->arena, 1, sizeof *seen);
        struct lbw_error unheeded = {0};
        if (!seen)
            return lbw_fail_memory(err);
        if (run_once(seen, look, &unheeded) != LBW_OK)
            return lbw_fail_memory(err);
        model->seen = seen;
    }
    *out = model->seen;
    return LBW_OK;
}

enum lbw_status lbw_look_init(struct lbw_look *out, struct lbw_model *model,
                              struct lbw_error *err)
{
    struct lbw_look look = {.model = model};
    const struct lbw_seen *seen;
    LBW_TRY(lbw_model_describe(&look.info, model, err));
    look.num_outputs = look.info.num_outputs;
    look.outputs = look.info.outputs;
    look.task = lbw_metadata_find(&look.info, "task");
    look.is_ultralytics = !strcmp(lbw_metadata_find(&look.info, "author"), "Ultralytics");
    lbw_walk(&model->proto->base, find_exp, &look.has_exp);
    find_sides(&look);
    if (look.info.num_inputs && hides_shapes(&look)) {
        LBW_TRY(see(&seen, &look, err));
        if (seen->is_done) {
            look.outputs = seen->outputs;
            look.width = seen->width;
            look.height = seen->height;
        }
    }
    *out = look;
    return LBW_OK;
}

int64_t lbw_look_dim(const struct lbw_look *look, size_t k, int rank, int i)
{
    if (k >= look->num_outputs || look->outputs[k].num_dims != rank)
        return -2;
    return look->outputs[k].dims[i];
}

bool lbw_look_matrix(struct lbw_look_matrix *out, const struct lbw_look *look, size_t k)
{
    const struct lbw_port *port = &look->outputs[k];
    if (k >= look->num_outputs || port->num_dims < 2)
        return false;
    for (int i = 0; i + 2 < port->num_dims; i++)
        if (port->dims[i] != 1 && port->dims[i] >= 0)
            return false;
    out->rows = port->dims[port->num_dims - 2];
    out->columns = port->dims[port->num_dims - 1];
    return true;
}

size_t lbw_look_count(const struct lbw_look *look, int64_t rows, int64_t columns)
{
    size_t num = 0;
    struct lbw_look_matrix m;
    for (size_t k = 0; k < look->num_outputs; k++)
        num +=
            rows > 0 && lbw_look_matrix(&m, look, k) && m.rows == rows && m.columns == columns;
    return num;
}

size_t lbw_look_named(const struct lbw_look *look, const char *part)
{
    size_t num = 0;
    for (size_t k = 0; k < look->num_outputs; k++)
        num += lbw_name_has(look->outputs[k].name, part);
    return num;
}

int64_t lbw_look_cells(const struct lbw_look *look, int64_t stride)
{
    if (look->width <= 0 || look->height <= 0)
        return -1;
    return (look->width + stride - 1) / stride * ((look->height + stride - 1) / stride);
}

const float *lbw_look_values(const struct lbw_look *look, size_t k, size_t *count)
{
    const struct lbw_seen *seen;
    if (see(&seen, look, NULL) != LBW_OK || !seen->is_done || k >= look->num_outputs)
        return NULL;
    *count = seen->counts[k];
    return seen->values[k];
}
