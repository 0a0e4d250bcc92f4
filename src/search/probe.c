/* SPDX-License-Identifier: MIT */
/* Perturbed forward runs: one weight rounded, a few samples, the outputs compared. */
#include "search/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/assume.h"
#include "feed/input.h"
#include "onnx/tensor.h"
#include "pass/project.h"
#include "run/session.h"
#include "search/metric.h"

#define NUM_SAMPLES 3

struct sample {
    struct lbw_array *images, *outputs;
    struct lbw_importance *importance; /* one per output; NULL: by variance */
};

struct probe {
    const struct lbw_plan *plan;
    const struct lbw_probe_params *params;
    struct lbw_feed *feed;
    struct lbw_arena arena; /* names and scales */
    const char **names;
    double *scales;
    size_t num_images, num_outputs;
    struct sample samples[NUM_SAMPLES];
    size_t num_samples;
};

static void probe_release(struct probe *p)
{
    for (size_t s = 0; s < NUM_SAMPLES; s++) { /* one that failed is not counted */
        struct sample *sample = &p->samples[s];
        lbw_arrays_release(sample->images, p->num_images);
        lbw_arrays_release(sample->outputs, p->num_outputs);
        for (size_t t = 0; sample->importance && t < p->num_outputs; t++)
            lbw_importance_release(&sample->importance[t]);
        free(sample->images);
        free(sample->outputs);
        free(sample->importance);
    }
    lbw_feed_close(&p->feed);
    lbw_arena_release(&p->arena);
}

static enum lbw_status open_feed(struct probe *p, struct lbw_error *err)
{
    static const struct lbw_calibrate_params generated;
    const struct lbw_calibrate_params *c =
        p->params->calibrate ? p->params->calibrate : &generated;
    bool is_generated = !c->samples && lbw_source_is_generated(c->source);
    const struct lbw_feed_params feed = {
        .source = c->source,
        .samples = c->samples,
        .max_samples = c->num_samples || is_generated ? c->num_samples : LBW_FEED_SAMPLES,
        .preprocess = c->preprocess,
        .width = c->width,
        .height = c->height,
        .seed = c->seed,
        .hold_back = c->hold_back,
        .few = NUM_SAMPLES,
    };
    return lbw_assumed_feed_open(&p->feed, p->plan->model, &feed, NULL, err);
}

/* Runs the model as it is on one sample; `outputs` has room for all of them. */
static enum lbw_status run(struct lbw_array *outputs, const struct probe *p,
                           struct lbw_session *session, const struct sample *sample,
                           struct lbw_error *err)
{
    size_t num_inputs = lbw_session_num_inputs(session);
    struct lbw_array *inputs = calloc(num_inputs + 1, sizeof *inputs);
    if (!inputs)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < p->num_images; i++) {
        size_t slot = lbw_session_find_input(session, lbw_feed_input(p->feed, i)->name);
        if (slot < num_inputs)
            inputs[slot] = sample->images[i];
    }
    enum lbw_status status = lbw_session_run(session, inputs, outputs, err);
    free(inputs);
    return status;
}

static enum lbw_status open_session(struct lbw_session **out, const struct probe *p,
                                    struct lbw_error *err)
{
    const struct lbw_session_params params = {.short_lived = true};
    return lbw_session_open_model(out, p->plan->model, &params, err);
}

/* √metric where the profile knows these outputs; else nothing. */
static void read_metric(struct probe *p, struct sample *sample)
{
    const struct lbw_profile *profile = p->params->profile;
    const struct lbw_feed_input *fed = lbw_feed_input(p->feed, 0);
    struct lbw_feed_input input = *fed;
    struct lbw_picture_axes axes;
    if (!profile || p->num_images != 1 || input.num_dims != 4 || input.dims[0] != 1 ||
        p->num_outputs > LBW_MAX_OUTPUTS ||
        !lbw_picture_axes(&axes, &input, true, profile->preprocess.channels_last))
        return;
    const struct lbw_decode_input decode = {
        .num_outputs = p->num_outputs,
        .names = p->names,
        .outputs = sample->outputs,
        .profile = profile,
        .width = (int)input.dims[axes.width_axis],
        .height = (int)input.dims[axes.height_axis],
        .placement = {.scale_x = 1, .scale_y = 1},
        .picture_width = (int)input.dims[axes.width_axis],
        .picture_height = (int)input.dims[axes.height_axis],
        .nms = 1,
    };
    sample->importance = calloc(p->num_outputs + 1, sizeof *sample->importance);
    if (sample->importance &&
        lbw_decode_importance(sample->importance, &decode, NULL) == LBW_OK) {
        lbw_metric_weigh(sample->importance, sample->outputs, p->num_outputs);
    } else {
        free(sample->importance);
        sample->importance = NULL;
    }
}

static bool is_float(const struct lbw_array *array)
{
    return array->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
}

/* Without a metric of boxes each output counts by its variance. */
static void learn_scales(struct probe *p)
{
    for (size_t t = 0; t < p->num_outputs; t++) {
        const struct lbw_array *values[NUM_SAMPLES];
        bool are_floats = true;
        for (size_t s = 0; s < p->num_samples; s++) {
            values[s] = &p->samples[s].outputs[t];
            are_floats = are_floats && is_float(values[s]);
        }
        p->scales[t] =
            are_floats ? lbw_metric_scale(values, p->num_samples, p->num_outputs) : 0;
    }
}

/* The float model's answers. */
static enum lbw_status learn(struct probe *p, struct lbw_session *session,
                             struct lbw_error *err)
{
    size_t num = lbw_feed_num_samples(p->feed);
    p->num_images = lbw_feed_num_inputs(p->feed);
    p->num_outputs = lbw_session_num_outputs(session);
    p->names = lbw_arena_calloc(&p->arena, p->num_outputs + 1, sizeof *p->names);
    p->scales = lbw_arena_calloc(&p->arena, p->num_outputs + 1, sizeof *p->scales);
    if (!p->names || !p->scales)
        return lbw_fail_memory(err);
    for (size_t t = 0; t < p->num_outputs; t++)
        p->names[t] = lbw_arena_strdup(&p->arena, lbw_session_output_name(session, t));
    for (; p->num_samples < num && p->num_samples < NUM_SAMPLES; p->num_samples++) {
        struct sample *sample = &p->samples[p->num_samples];
        sample->images = calloc(p->num_images + 1, sizeof *sample->images);
        sample->outputs = calloc(p->num_outputs + 1, sizeof *sample->outputs);
        if (!sample->images || !sample->outputs)
            return lbw_fail_memory(err);
        LBW_TRY(lbw_feed_get(p->feed, p->num_samples, sample->images, err));
        LBW_TRY(run(sample->outputs, p, session, sample, err));
        read_metric(p, sample);
    }
    learn_scales(p);
    return LBW_OK;
}

/* Σ metric · (z - z')² of one sample; NaN where the shapes differ. */
static double loss_of(const struct probe *p, const struct sample *sample,
                      const struct lbw_array *outputs)
{
    double loss = 0;
    for (size_t t = 0; t < p->num_outputs; t++) {
        const struct lbw_array *before = &sample->outputs[t], *after = &outputs[t];
        const float *z = before->data, *y = after->data;
        const float *roots = sample->importance ? sample->importance[t].weights : NULL;
        if (before->size != after->size)
            return NAN;
        for (size_t i = 0; is_float(before) && i < before->size / sizeof *z; i++) {
            double d = (double)y[i] - (double)z[i];
            double metric = roots ? (double)roots[i] * (double)roots[i] : p->scales[t];
            loss += metric * d * d;
        }
    }
    return loss;
}

static enum lbw_status measure(double *loss, const struct probe *p, struct lbw_error *err)
{
    struct lbw_session *session = NULL;
    struct lbw_array *outputs = calloc(p->num_outputs + 1, sizeof *outputs);
    enum lbw_status status;
    double sum = 0;
    if (!outputs)
        LBW_OR_OUT(lbw_fail_memory(err));
    LBW_OR_OUT(open_session(&session, p, err));
    for (size_t s = 0; s < p->num_samples; s++) {
        LBW_OR_OUT(run(outputs, p, session, &p->samples[s], err));
        sum += loss_of(p, &p->samples[s], outputs);
        lbw_arrays_release(outputs, p->num_outputs);
        memset(outputs, 0, p->num_outputs * sizeof *outputs);
    }
    *loss = sum / (double)p->num_samples;
out:
    free(outputs);
    lbw_session_close(&session);
    return status;
}

/* The values of `tensor` are `bytes` while the model is measured. */
static enum lbw_status measure_with(double *loss, const struct probe *p,
                                    Onnx__TensorProto *tensor, void *bytes, size_t size,
                                    struct lbw_error *err)
{
    Onnx__TensorProto before = *tensor;
    tensor->has_raw_data = true;
    tensor->raw_data = (ProtobufCBinaryData){size, bytes};
    tensor->n_float_data = tensor->n_double_data = tensor->n_int32_data = 0;
    tensor->n_external_data = 0;
    tensor->has_data_location = false;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
    enum lbw_status status = measure(loss, p, err);
    *tensor = before;
    return status;
}

static enum lbw_status probe_weight(double *loss, const struct probe *p, size_t i,
                                    struct lbw_error *err)
{
    struct lbw_weight weight = p->plan->weights[i];
    struct lbw_codes codes = {0};
    struct lbw_tensor tensor;
    float *values = NULL;
    void *bytes = NULL;
    enum lbw_status status = LBW_OK;
    if (!weight.tensor || weight.root != weight.value)
        return LBW_OK;
    LBW_OR_OUT(lbw_tensor_view(&tensor, p->plan->model, weight.tensor, err));
    size_t size = tensor.count * (lbw_data_type_bits(tensor.data_type) / 8);
    values = malloc((tensor.count + 1) * sizeof *values);
    bytes = malloc(size + 1);
    if (!values || !bytes)
        LBW_OR_OUT(lbw_fail_memory(err));
    LBW_OR_OUT(lbw_tensor_read_float(&tensor, values, err));
    weight.item.grid = p->params->grid;
    LBW_OR_OUT(lbw_project(&codes, &weight, values, &p->plan->params, err));
    lbw_codes_decode(values, &weight, &codes);
    lbw_numbers_convert(bytes, tensor.data_type, values, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                        tensor.count);
    status = measure_with(loss, p, weight.tensor, bytes, size, err);
out:
    lbw_codes_release(&codes);
    free(values);
    free(bytes);
    return status;
}

/* A model that the runtime cannot run is not an error, only not measured. */
static bool is_unable(enum lbw_status status)
{
    return status == LBW_ERR_RUNTIME || status == LBW_ERR_UNSUPPORTED;
}

static enum lbw_status probe_all(double *losses, struct probe *p, const size_t *weights,
                                 size_t num, struct lbw_error *err)
{
    const struct lbw_probe_params *params = p->params;
    struct lbw_session *session = NULL;
    struct lbw_error own = {0};
    for (size_t i = 0; i < num; i++)
        losses[i] = NAN;
    enum lbw_status status = open_feed(p, &own);
    status = status == LBW_OK ? open_session(&session, p, &own) : status;
    status = status == LBW_OK ? learn(p, session, &own) : status;
    lbw_session_close(&session);
    if (status != LBW_OK)
        return is_unable(status) ? LBW_OK : lbw_fail(err, status, "%s", own.message);
    for (size_t i = 0; i < num && status == LBW_OK; i++) {
        if (params->progress && params->progress(params->user, "rounding weights", i, num) != 0)
            return lbw_fail(err, LBW_ERR_INTERRUPTED, "interrupted");
        status = probe_weight(&losses[i], p, weights[i], &own);
        if (is_unable(status))
            status = LBW_OK;
    }
    return status == LBW_OK ? LBW_OK : lbw_fail(err, status, "%s", own.message);
}

enum lbw_status lbw_probe_weights(double *losses, const struct lbw_plan *plan,
                                  const size_t *weights, size_t num,
                                  const struct lbw_probe_params *params, struct lbw_error *err)
{
    struct probe probe = {.plan = plan, .params = params};
    enum lbw_status status = probe_all(losses, &probe, weights, num, err);
    probe_release(&probe);
    return status;
}
