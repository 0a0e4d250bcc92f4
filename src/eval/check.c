/* SPDX-License-Identifier: MIT */
/* Held-back samples: the float model's outputs, and how far another model reproduces them. */
#include <lbw/check.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/thread.h"
#include "detect/assume.h"
#include "detect/decode.h"
#include "detect/nms.h"
#include "eval/picture.h"
#include "feed/image_formats.h"
#include "feed/input.h"
#include "onnx/last_layers.h"
#include "onnx/model.h"
#include "onnx/tensor.h"
#include "run/session.h"

#define SHARE_HELD     8 /* one sample of this many is held back */
#define MOST_HELD      8
#define GENERATED_HELD 4
#define OTHER_SEED     UINT64_C(0x5eed)
#define BOX_SCORE      .4f
#define PARTNER_IOU    .5f

/* Of 4x2 everywhere: two thirds of a detector's weights are float then. */
#define LEAST_KEEP_LOSS (1. / 32)

struct sums {
    double aa, ab, bb, dd;
    uint64_t num;
    bool is_apart; /* some pair cannot be compared */
};

/* One held-back sample. */
struct held {
    struct lbw_array *images, *outputs; /* of the float model */
    struct lbw_array *others;           /* of the other model */
    struct lbw_boxes boxes, found;      /* of the two models */
    size_t num_lost, num_invented;
    enum lbw_status status;
    struct lbw_error err;
};

struct lbw_check {
    struct lbw_profile profile;
    bool has_profile;
    int width, height;
    struct lbw_picture_axes axes;
    size_t picture; /* the input that takes them, of images[] */
    struct lbw_preprocess preprocess;
    struct lbw_session *session; /* of the other model */
    char **layers;               /* outputs in place of the model's own; NULL: its own */
    size_t num_layers;
    struct lbw_error unloaded; /* why */
    size_t num_images, num_outputs;
    char **image_names, **names;
    size_t *image_slots, *output_slots; /* of the session */
    struct held *held;
    size_t num_held, hold_back;
    struct lbw_check_row *rows;
};

static void free_names(char **names, size_t num)
{
    for (size_t i = 0; names && i < num; i++)
        free(names[i]);
    free(names);
}

void lbw_check_close(struct lbw_check **check)
{
    struct lbw_check *c = *check;
    *check = NULL;
    if (!c)
        return;
    for (size_t i = 0; c->held && i < c->num_held; i++) {
        struct held *held = &c->held[i];
        lbw_arrays_release(held->images, c->num_images);
        lbw_arrays_release(held->outputs, c->num_outputs);
        lbw_arrays_release(held->others, c->num_outputs);
        free(held->images);
        free(held->outputs);
        free(held->others);
        lbw_boxes_release(&held->boxes);
        lbw_boxes_release(&held->found);
    }
    free(c->held);
    free_names(c->image_names, c->num_images);
    free_names(c->names, c->num_outputs);
    free_names(c->layers, c->num_layers);
    free(c->image_slots);
    free(c->output_slots);
    free(c->rows);
    lbw_session_close(&c->session);
    lbw_profile_release(&c->profile);
    free(c);
}

size_t lbw_check_hold_back(const struct lbw_check *check)
{
    return check ? check->hold_back : 0;
}

static enum lbw_status open_feed(struct lbw_feed **out, struct lbw_model *model,
                                 const struct lbw_calibrate_params *params,
                                 struct lbw_error *err)
{
    bool is_generated = !params->samples && lbw_source_is_generated(params->source);
    const struct lbw_feed_params feed = {
        .source = is_generated ? NULL : params->source,
        .samples = params->samples,
        .max_samples = is_generated          ? GENERATED_HELD
                       : params->num_samples ? params->num_samples
                                             : LBW_FEED_SAMPLES,
        .preprocess = params->preprocess,
        .width = params->width,
        .height = params->height,
        .seed = is_generated ? params->seed ^ OTHER_SEED : params->seed,
    };
    return lbw_assumed_feed_open(out, model, &feed, NULL, err);
}

/* Whether boxes can be found: the input is one image, and there is a profile. */
static enum lbw_status settle_profile(struct lbw_check *c, const struct lbw_feed *feed,
                                      const struct lbw_profile *profile, struct lbw_error *err)
{
    struct lbw_feed_input input = *lbw_feed_input(feed, lbw_feed_picture(feed));
    struct lbw_picture_axes axes;
    if (!profile || input.num_dims != 4 || input.dims[0] != 1 ||
        !lbw_picture_axes(&axes, &input, true, profile->preprocess.channels_last))
        return LBW_OK;
    c->height = (int)input.dims[axes.height_axis];
    c->width = (int)input.dims[axes.width_axis];
    LBW_TRY(lbw_profile_copy(&c->profile, profile, err));
    c->axes = axes;
    c->picture = lbw_feed_picture(feed);
    c->preprocess = c->profile.preprocess;
    lbw_preprocess_whole(&c->preprocess, &input);
    c->has_profile = true;
    return LBW_OK;
}

static enum lbw_status hold(struct lbw_check *c, struct lbw_feed *feed, size_t num,
                            bool is_generated, struct lbw_error *err)
{
    size_t num_samples = lbw_feed_num_samples(feed);
    size_t wanted = num ? num : is_generated ? num_samples : num_samples / SHARE_HELD;
    wanted = wanted > MOST_HELD && !num ? MOST_HELD : wanted;
    if (!is_generated && wanted >= num_samples)
        wanted = num_samples ? num_samples - 1 : 0;
    c->num_images = lbw_feed_num_inputs(feed);
    c->held = calloc(wanted + 1, sizeof *c->held);
    c->image_names = calloc(c->num_images + 1, sizeof *c->image_names);
    if (!c->held || !c->image_names)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < c->num_images; i++)
        if (!(c->image_names[i] = strdup(lbw_feed_input(feed, i)->name)))
            return lbw_fail_memory(err);
    for (; c->num_held < wanted; c->num_held++) {
        struct held *held = &c->held[c->num_held];
        held->images = calloc(c->num_images + 1, sizeof *held->images);
        if (!held->images)
            return lbw_fail_memory(err);
        LBW_TRY(lbw_feed_get(feed, num_samples - wanted + c->num_held, held->images, err));
    }
    c->hold_back = is_generated ? 0 : wanted;
    return LBW_OK;
}

static enum lbw_status open_session(struct lbw_check *c, struct lbw_model *model,
                                    struct lbw_error *err)
{
    const struct lbw_session_params params = {
        .num_threads = 1,
        .optimize = 99,
        .decode_once = lbw_session_decodes(model),
        .numbers_only = 1,
        .native = true,
    };
    lbw_session_close(&c->session);
    if (!c->layers)
        return lbw_session_open_model(&c->session, model, &params, err);
    const struct lbw_part part = {.outputs = (const char *const *)c->layers,
                                  .num_outputs = c->num_layers};
    return lbw_within(err, lbw_session_open_part(&c->session, model, &part, &params, err), "%s",
                      model->name);
}

/* The ends of the model's last layers, which the runtime may reach. */
static enum lbw_status list_layers(struct lbw_check *c, struct lbw_model *model,
                                   struct lbw_error *err)
{
    struct lbw_index index;
    const char **ends;
    size_t num = 0;
    LBW_TRY(lbw_index_init(&index, model, err));
    enum lbw_status status = lbw_index_ends(&ends, &num, &index, err);
    lbw_index_release(&index);
    LBW_TRY(status);
    c->layers = calloc(num + 1, sizeof *c->layers);
    if (!c->layers)
        return lbw_fail_memory(err);
    for (; c->num_layers < num; c->num_layers++)
        if (!(c->layers[c->num_layers] = strdup(ends[c->num_layers])))
            return lbw_fail_memory(err);
    return LBW_OK;
}

/* The model as a whole, or else up to its last layers. */
static enum lbw_status open_as_far(struct lbw_check *c, struct lbw_model *model,
                                   bool needs_whole, struct lbw_error *err)
{
    enum lbw_status status = open_session(c, model, &c->unloaded);
    if (status == LBW_ERR_RUNTIME && !needs_whole && list_layers(c, model, NULL) == LBW_OK &&
        open_session(c, model, NULL) == LBW_OK) {
        c->has_profile = false;
        return LBW_OK;
    }
    if (status != LBW_OK)
        return lbw_fail(err, status, "%s", c->unloaded.message);
    return LBW_OK;
}

/* Where the samples' inputs and the float model's outputs are in the session. */
static enum lbw_status find_slots(struct lbw_check *c, struct lbw_error *err)
{
    for (size_t i = 0; i < c->num_images; i++)
        c->image_slots[i] = lbw_session_find_input(c->session, c->image_names[i]);
    for (size_t i = 0; i < c->num_outputs; i++) {
        c->output_slots[i] = lbw_session_find_output(c->session, c->names[i]);
        if (c->output_slots[i] == lbw_session_num_outputs(c->session))
            return lbw_fail(err, LBW_ERR_ARGUMENT, "the other model has no output '%s'",
                            c->names[i]);
    }
    return LBW_OK;
}

static enum lbw_status infer(const struct lbw_check *c, struct held *held,
                             struct lbw_array *outputs)
{
    size_t num = lbw_session_num_outputs(c->session);
    struct lbw_array *inputs = calloc(lbw_session_num_inputs(c->session) + 1, sizeof *inputs);
    struct lbw_array *made = calloc(num + 1, sizeof *made);
    enum lbw_status status;
    if (!inputs || !made)
        LBW_OR_OUT(lbw_fail_memory(&held->err));
    for (size_t i = 0; i < c->num_images; i++)
        if (c->image_slots[i] < lbw_session_num_inputs(c->session))
            inputs[c->image_slots[i]] = held->images[i];
    LBW_OR_OUT(lbw_session_run(c->session, inputs, made, &held->err));
    for (size_t i = 0; i < c->num_outputs; i++) {
        lbw_array_release(&outputs[i]);
        outputs[i] = made[c->output_slots[i]];
        made[c->output_slots[i]] = (struct lbw_array){0};
    }
out:
    if (made)
        lbw_arrays_release(made, num);
    free(inputs);
    free(made);
    return status;
}

static enum lbw_status find_boxes(struct lbw_boxes *out, const struct lbw_check *c,
                                  const struct lbw_array *outputs, struct lbw_error *err)
{
    const struct lbw_decode_input input = {
        .num_outputs = c->num_outputs,
        .names = (const char *const *)c->names,
        .outputs = outputs,
        .profile = &c->profile,
        .width = c->width,
        .height = c->height,
        .placement = {.scale_x = 1, .scale_y = 1},
        .picture_width = c->width,
        .picture_height = c->height,
        .score = BOX_SCORE,
        .nms = c->profile.nms,
    };
    return lbw_decode(out, &input, err);
}

static void learn(void *user, size_t i)
{
    struct lbw_check *c = user;
    struct held *held = &c->held[i];
    held->outputs = calloc(c->num_outputs + 1, sizeof *held->outputs);
    held->others = calloc(c->num_outputs + 1, sizeof *held->others);
    held->status = held->outputs && held->others ? infer(c, held, held->outputs)
                                                 : lbw_fail_memory(&held->err);
}

static enum lbw_status check_held(const struct lbw_check *c, struct lbw_error *err)
{
    for (size_t i = 0; i < c->num_held; i++)
        if (c->held[i].status != LBW_OK)
            return lbw_fail(err, c->held[i].status, "%s", c->held[i].err.message);
    return LBW_OK;
}

/* Not a sequence, not strings. */
static bool is_comparable(const struct lbw_check *c, size_t output)
{
    return lbw_array_has_numbers(c->held[0].outputs[output].data_type);
}

/* Runs the float model; outputs that do not match the profile are compared as numbers. */
static enum lbw_status learn_all(struct lbw_check *c, struct lbw_model *model, bool needs_whole,
                                 struct lbw_error *err)
{
    LBW_TRY(open_as_far(c, model, needs_whole, err));
    c->num_outputs = lbw_session_num_outputs(c->session);
    c->names = calloc(c->num_outputs + 1, sizeof *c->names);
    c->rows = calloc(c->num_outputs + 1, sizeof *c->rows);
    c->image_slots = calloc(c->num_images + 1, sizeof *c->image_slots);
    c->output_slots = calloc(c->num_outputs + 1, sizeof *c->output_slots);
    if (!c->names || !c->rows || !c->image_slots || !c->output_slots)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < c->num_outputs; i++)
        if (!(c->names[i] = strdup(lbw_session_output_name(c->session, i))))
            return lbw_fail_memory(err);
    LBW_TRY(find_slots(c, err));
    lbw_parallel_for(c->num_held, 0, learn, c);
    LBW_TRY(check_held(c, err));
    size_t num = 0;
    for (size_t i = 0; i < c->num_outputs; i++)
        num += is_comparable(c, i);
    if (!num)
        return lbw_fail(err, LBW_ERR_RUNTIME, "no output is a tensor of numbers");
    c->has_profile = c->has_profile && num == c->num_outputs;
    for (size_t i = 0; i < c->num_held && c->has_profile; i++) {
        enum lbw_status status =
            find_boxes(&c->held[i].boxes, c, c->held[i].outputs, &c->held[i].err);
        if (status == LBW_ERR_MEMORY)
            return lbw_fail_memory(err);
        c->has_profile = status == LBW_OK;
    }
    lbw_session_close(&c->session);
    return LBW_OK;
}

enum lbw_status lbw_check_open(struct lbw_check **out, struct lbw_model *model,
                               const struct lbw_check_params *params, struct lbw_error *err)
{
    static const struct lbw_check_params by_default;
    static const struct lbw_calibrate_params no_calibrate;
    struct lbw_feed *feed = NULL;
    struct lbw_check *c = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_model_check(model, err));
    params = params ? params : &by_default;
    const struct lbw_calibrate_params *calibrate =
        params->calibrate ? params->calibrate : &no_calibrate;
    bool is_generated = !calibrate->samples && lbw_source_is_generated(calibrate->source);
    c = calloc(1, sizeof *c);
    if (!c)
        LBW_OR_OUT(lbw_fail_memory(err));
    LBW_OR_OUT(open_feed(&feed, model, calibrate, err));
    LBW_OR_OUT(settle_profile(c, feed, params->profile, err));
    LBW_OR_OUT(hold(c, feed, params->num_samples, is_generated, err));
    if (c->num_held)
        LBW_OR_OUT(learn_all(c, model, params->num_samples > 0, err));
    else
        lbw_check_close(&c);
    *out = c;
    c = NULL;
out:
    lbw_feed_close(&feed);
    lbw_check_close(&c);
    return status;
}

static void judge(void *user, size_t i)
{
    struct lbw_check *c = user;
    struct held *held = &c->held[i];
    lbw_boxes_release(&held->found);
    held->found = (struct lbw_boxes){0};
    held->num_lost = held->num_invented = 0;
    held->status = infer(c, held, held->others);
    if (held->status == LBW_OK && c->has_profile)
        held->status = find_boxes(&held->found, c, held->others, &held->err);
    size_t most = held->boxes.num + held->found.num;
    ptrdiff_t *pairs = malloc((most + 1) * sizeof *pairs);
    if (!pairs && held->status == LBW_OK)
        held->status = lbw_fail_memory(&held->err);
    if (held->status == LBW_OK) {
        lbw_boxes_pair(pairs, held->boxes.items, held->boxes.num, pairs + held->boxes.num,
                       held->found.items, held->found.num, PARTNER_IOU);
        for (size_t k = 0; k < most; k++)
            *(k < held->boxes.num ? &held->num_lost : &held->num_invented) += pairs[k] < 0;
    }
    free(pairs);
}

/* Equal, infinities included, or NaN in the same place. */
static bool are_same(double x, double y)
{
    return (isnan(x) && isnan(y)) || x == y;
}

static void add_values(struct sums *sums, const struct lbw_array *a, const struct lbw_array *b)
{
    size_t width =
        lbw_array_has_numbers(a->data_type) ? lbw_data_type_bits(a->data_type) / 8 : 0;
    bool fits = a->data_type == b->data_type && a->num_dims == b->num_dims &&
                a->size == b->size &&
                (!a->num_dims || !memcmp(a->dims, b->dims, a->num_dims * sizeof *a->dims));
    sums->is_apart = sums->is_apart || !fits;
    for (size_t i = 0; fits && width && i < a->size / width; i++) {
        double x = 0, y = 0;
        lbw_number_load(&x, (const char *)a->data + i * width, a->data_type);
        lbw_number_load(&y, (const char *)b->data + i * width, b->data_type);
        if (!isfinite(x) || !isfinite(y)) {
            sums->is_apart = sums->is_apart || !are_same(x, y);
            continue;
        }
        sums->num++;
        sums->aa += x * x;
        sums->ab += x * y;
        sums->bb += y * y;
        sums->dd += (x - y) * (x - y);
    }
}

static struct lbw_check_row row_of(const char *name, const struct sums *s)
{
    struct lbw_check_row row = {.name = name, .num_values = s->num, .snr = NAN, .cosine = NAN};
    if (s->is_apart)
        return row;
    row.snr = s->dd > 0 ? 10 * log10(s->aa / s->dd) : INFINITY;
    row.cosine = s->aa > 0 && s->bb > 0 ? s->ab / sqrt(s->aa * s->bb) : s->aa == s->bb;
    return row;
}

enum lbw_status lbw_check_run(struct lbw_check_result *out, struct lbw_check *c,
                              struct lbw_model *model, struct lbw_error *err)
{
    struct lbw_check_result result = {.num_samples = c->num_held,
                                      .is_of_layers = c->layers != NULL,
                                      .reason = c->unloaded.message,
                                      .rows = c->rows};
    LBW_TRY(lbw_model_check(model, err));
    if (c->layers && open_session(c, model, &c->unloaded) == LBW_ERR_RUNTIME) {
        result.num_samples = 0; /* an encoding may have no tensor of that name */
        *out = result;
        return LBW_OK;
    }
    if (!c->session)
        LBW_TRY(open_session(c, model, err));
    LBW_TRY(find_slots(c, err));
    lbw_parallel_for(c->num_held, 0, judge, c);
    lbw_session_close(&c->session);
    LBW_TRY(check_held(c, err));
    for (size_t i = 0; i < c->num_held; i++) {
        result.num_boxes += c->held[i].boxes.num;
        result.num_lost += c->held[i].num_lost;
        result.num_invented += c->held[i].num_invented;
    }
    result.is_of_boxes = c->has_profile && result.num_boxes;
    for (; result.num_rows < c->num_outputs; result.num_rows++) {
        struct sums s = {0};
        for (size_t i = 0; i < c->num_held; i++)
            add_values(&s, &c->held[i].outputs[result.num_rows],
                       &c->held[i].others[result.num_rows]);
        s.is_apart = s.is_apart || !is_comparable(c, result.num_rows);
        c->rows[result.num_rows] = row_of(c->names[result.num_rows], &s);
        c->rows[result.num_rows].is_skipped = !is_comparable(c, result.num_rows);
    }
    *out = result;
    return LBW_OK;
}

double lbw_check_at_least(const struct lbw_check_result *result)
{
    double n = (double)result->num_boxes, p = (n - (double)result->num_lost) / n;
    if (!result->is_of_boxes || !result->num_boxes)
        return NAN;
    return (p + 1 / (2 * n) - sqrt(p * (1 - p) / n + 1 / (4 * n * n))) / (1 + 1 / n);
}

bool lbw_keep_next(double *loss, const struct lbw_check_result *result, double share)
{
    double allowed = fmax((1 - share) * (double)result->num_boxes, .5);
    if (!result->is_of_boxes || !result->num_lost || lbw_check_at_least(result) >= share ||
        *loss <= LEAST_KEEP_LOSS)
        return false;
    *loss /= 2;
    /* boxes lost go with the root of the loss: half of them at a quarter of it */
    for (double lost = (double)result->num_lost; lost >= 4 * allowed && *loss > LEAST_KEEP_LOSS;
         lost /= 2)
        *loss /= lost >= 8 * allowed ? 4 : 2;
    *loss = fmax(*loss, LEAST_KEEP_LOSS);
    return true;
}

enum lbw_status lbw_check_picture(struct lbw_check_picture *out, const struct lbw_check *c,
                                  size_t i, struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("check", c, err));
    if (i >= c->num_held)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "sample %zu of %zu", i, c->num_held);
    if (!c->has_profile)
        return lbw_fail(err, LBW_ERR_UNSUPPORTED, "the samples are not known to be images");
    const struct held *held = &c->held[i];
    struct lbw_check_picture picture = {
        .width = c->width,
        .height = c->height,
        .wanted = held->boxes.items,
        .found = held->found.items,
        .num_wanted = held->boxes.num,
        .num_found = held->found.num,
    };
    struct lbw_image image;
    LBW_TRY(lbw_picture_restore(&image, &held->images[c->picture], &c->axes, c->width,
                                c->height, &c->preprocess, err));
    enum lbw_status status =
        lbw_image_write_jpeg(&picture.jpeg, &picture.jpeg_size, &image, err);
    lbw_image_release(&image);
    if (status == LBW_OK)
        *out = picture;
    return status;
}
