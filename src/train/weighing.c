/* SPDX-License-Identifier: MIT */
/*
 * Weighing: scales from the teacher's answers, importance from the family's decoder. Scores
 * that are probabilities are compared by cross-entropy, all else by squares.
 */
#include "train/weighing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "detect/decode.h"
#include "onnx.pb-c.h"

#define NUM_MATTERS 3

/* Added to the variation of each channel of a tap: this share of their mean. */
#define LEAST_VARIATION 0.1

static size_t num_outputs(const struct lbw_weighing *weighing)
{
    return weighing->profile ? weighing->num_targets - weighing->num_taps : 0;
}

/* A scale that would be infinite belongs to values that never vary: nothing to learn. */
static double scale_of(double share, double variation)
{
    double scale = share / variation;
    return scale < 1e30 ? scale : 0;
}

struct lbw_decode_input lbw_weighing_decode_input(const struct lbw_weighing *weighing,
                                                  const struct lbw_array *outputs)
{
    return (struct lbw_decode_input){
        .num_outputs = num_outputs(weighing),
        .names = weighing->names,
        .outputs = outputs,
        .profile = weighing->profile,
        .width = weighing->width,
        .height = weighing->height,
        .placement = {.scale_x = 1, .scale_y = 1},
        .picture_width = weighing->width,
        .picture_height = weighing->height,
        .nms = 1,
    };
}

static enum lbw_status importance_of(const struct lbw_weighing *weighing,
                                     struct lbw_importance *out, const struct lbw_array *wanted,
                                     struct lbw_error *err)
{
    const struct lbw_decode_input input = lbw_weighing_decode_input(weighing, wanted);
    return lbw_decode_importance(out, &input, err);
}

/*
 * Σ (value - mean)² over one channel of a target, per sample; a target of one channel is its
 * values as a whole.
 */
static double variation(const struct lbw_lesson *lessons, size_t num, size_t target,
                        size_t channel, size_t channels)
{
    const struct lbw_array *like = &lessons[0].wanted[target];
    size_t batch = like->num_dims ? (size_t)like->dims[0] : 1;
    size_t area = batch ? like->size / sizeof(float) / (batch * channels) : 0;
    double sums[2] = {0}, mean = 0;
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t s = 0; s < num; s++)
            for (size_t b = 0; b < batch; b++) {
                const float *values = lessons[s].wanted[target].data;
                values += (b * channels + channel) * area;
                for (size_t i = 0; i < area; i++) {
                    double d = values[i] - mean;
                    sums[pass] += pass ? d * d : d;
                }
            }
        mean = sums[0] / (double)(num * batch * area);
    }
    return sums[1] / (double)num;
}

/* The factors of a tap: its channels count alike, except those that hardly vary. */
static enum lbw_status learn_tap(struct lbw_weighing *weighing, size_t t,
                                 const struct lbw_lesson *lessons, size_t num,
                                 struct lbw_error *err)
{
    const struct lbw_array *like = &lessons[0].wanted[t];
    int64_t dims[LBW_GRAD_MAX_DIMS];
    memcpy(dims, like->dims, sizeof dims);
    lbw_grad_by_channel(dims, like->num_dims);
    LBW_TRY(lbw_array_init(&weighing->taps[t], like->data_type, dims, like->num_dims, err));
    float *factors = weighing->taps[t].data;
    size_t channels = like->size ? weighing->taps[t].size / sizeof *factors : 0;
    double total = 0, share = weighing->tap_weight / (double)weighing->num_taps;
    for (size_t c = 0; c < channels; c++) {
        factors[c] = (float)variation(lessons, num, t, c, channels);
        total += factors[c];
    }
    for (size_t c = 0; c < channels; c++) {
        double varies = (double)channels * factors[c] + LEAST_VARIATION * total;
        factors[c] = (float)scale_of(share, varies);
    }
    return LBW_OK;
}

/* -p·ln p - (1 - p)·ln(1 - p) */
static double entropy(double p)
{
    return p > 0 && p < 1 ? -p * log(p) - (1 - p) * log1p(-p) : 0;
}

/* Weighted sums of the values of each kind. */
struct matter_sums {
    double weights, values, squares;
    double entropies; /* of probabilities */
};

static void add(struct matter_sums *sums, double weight, double value, bool is_probability)
{
    sums->weights += weight;
    sums->values += weight * value;
    sums->squares += weight * value * value;
    if (is_probability)
        sums->entropies += weight * entropy(value);
}

static bool is_probable(const struct lbw_importance *importance, const float *values)
{
    for (size_t i = 0; i < importance->count; i++)
        if (importance->kinds[i] == LBW_MATTER_SCORE && !(values[i] >= 0 && values[i] <= 1))
            return false;
    return true;
}

/* Sums by kind, those of probabilities last; outputs turn out to hold logits. */
static enum lbw_status sum_matters(struct matter_sums sums[NUM_MATTERS + 1],
                                   struct lbw_weighing *weighing,
                                   const struct lbw_lesson *lessons, size_t num,
                                   struct lbw_error *err)
{
    struct lbw_importance importance[LBW_MAX_OUTPUTS];
    memset(sums, 0, (NUM_MATTERS + 1) * sizeof *sums);
    for (size_t s = 0; s < num; s++) {
        LBW_TRY(importance_of(weighing, importance, lessons[s].wanted, err));
        for (size_t t = 0; t < num_outputs(weighing); t++) {
            const float *values = lessons[s].wanted[t].data;
            weighing->is_probable[t] =
                weighing->is_probable[t] && is_probable(&importance[t], values);
            for (size_t i = 0; i < importance[t].count; i++) {
                bool is_score = importance[t].kinds[i] == LBW_MATTER_SCORE;
                size_t kind =
                    is_score && weighing->is_probable[t] ? NUM_MATTERS : importance[t].kinds[i];
                add(&sums[kind], importance[t].weights[i], values[i], kind == NUM_MATTERS);
            }
            lbw_importance_release(&importance[t]);
        }
    }
    return LBW_OK;
}

static enum lbw_status learn_matters(struct lbw_weighing *weighing,
                                     const struct lbw_lesson *lessons, size_t num,
                                     struct lbw_error *err)
{
    struct matter_sums sums[NUM_MATTERS + 1];
    for (size_t t = 0; t < num_outputs(weighing); t++)
        weighing->is_probable[t] = true;
    /* An output that is seen to hold logits only late has been added to both: once more. */
    LBW_TRY(sum_matters(sums, weighing, lessons, num, err));
    LBW_TRY(sum_matters(sums, weighing, lessons, num, err));
    const double share = 1.0 / (NUM_MATTERS - 1);
    for (size_t k = 1; k < NUM_MATTERS; k++) {
        double mean = sums[k].weights > 0 ? sums[k].values / sums[k].weights : 0;
        double varies = sums[k].squares - mean * sums[k].values;
        weighing->by_matter[k] = scale_of(share, varies / (double)num);
    }
    const struct matter_sums *p = &sums[NUM_MATTERS];
    double mean = p->weights > 0 ? p->values / p->weights : 0;
    double varies = p->weights * entropy(mean) - p->entropies;
    weighing->by_probability = scale_of(share, varies / (double)num);
    return LBW_OK;
}

enum lbw_status lbw_weighing_learn(struct lbw_weighing *weighing,
                                   const struct lbw_lesson *lessons, size_t num,
                                   struct lbw_error *err)
{
    size_t num_alike = weighing->num_targets - weighing->num_taps;
    weighing->scales = calloc(weighing->num_targets + 1, sizeof *weighing->scales);
    weighing->is_probable = calloc(weighing->num_targets + 1, sizeof *weighing->is_probable);
    weighing->taps = calloc(weighing->num_targets + 1, sizeof *weighing->taps);
    if (!weighing->scales || !weighing->is_probable || !weighing->taps)
        return lbw_fail_memory(err);
    for (size_t t = 0; t < weighing->num_targets; t++) {
        for (size_t s = 1; s < num; s++)
            if (lessons[s].wanted[t].size != lessons[0].wanted[t].size)
                return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                                "the size of '%s' differs between samples", weighing->names[t]);
        if (t >= num_alike)
            LBW_TRY(learn_tap(weighing, t, lessons, num, err));
        else
            weighing->scales[t] =
                scale_of(1.0 / (double)num_alike, variation(lessons, num, t, 0, 1));
    }
    return weighing->profile ? learn_matters(weighing, lessons, num, err) : LBW_OK;
}

void lbw_weighing_release(struct lbw_weighing *weighing)
{
    lbw_arrays_release(weighing->taps, weighing->num_targets);
    free(weighing->taps);
    free(weighing->scales);
    free(weighing->is_probable);
    weighing->taps = NULL;
    weighing->scales = NULL;
    weighing->is_probable = NULL;
}

/* An array like another, all of the same value. */
static bool fill(struct lbw_array *out, const struct lbw_array *like, float value)
{
    size_t count = like->size / sizeof(float);
    float *data = malloc(like->size + 1);
    if (!data)
        return false;
    for (size_t i = 0; i < count; i++)
        data[i] = value;
    *out = *like;
    out->data = data;
    return true;
}

/* The factors that do not depend on the sample. */
static bool give_factors(struct lbw_array *out, const struct lbw_weighing *weighing, size_t t,
                         const struct lbw_array *wanted)
{
    return weighing->taps[t].data ? lbw_array_copy(out, &weighing->taps[t], NULL) == LBW_OK
                                  : fill(out, wanted, (float)weighing->scales[t]);
}

static void apply_to(const struct lbw_weighing *weighing, struct lbw_lesson *lesson, size_t t,
                     const struct lbw_importance *importance)
{
    float *factors = lesson->factors[t].data, *scores = lesson->scores[t].data;
    for (size_t i = 0; i < importance->count; i++) {
        double weight = importance->weights[i];
        if (importance->kinds[i] == LBW_MATTER_SCORE && weighing->is_probable[t]) {
            factors[i] = 0;
            scores[i] = (float)(weighing->by_probability * weight);
        } else {
            factors[i] = (float)(weighing->by_matter[importance->kinds[i]] * weight);
        }
    }
}

enum lbw_status lbw_weighing_apply(const struct lbw_weighing *weighing,
                                   struct lbw_lesson *lesson, struct lbw_error *err)
{
    struct lbw_importance importance[LBW_MAX_OUTPUTS];
    for (size_t t = 0; t < weighing->num_targets; t++)
        if (!give_factors(&lesson->factors[t], weighing, t, &lesson->wanted[t]) ||
            (t < num_outputs(weighing) && !fill(&lesson->scores[t], &lesson->wanted[t], 0)))
            return lbw_fail_memory(err);
    if (!weighing->profile)
        return LBW_OK;
    LBW_TRY(importance_of(weighing, importance, lesson->wanted, err));
    for (size_t t = 0; t < num_outputs(weighing); t++) {
        apply_to(weighing, lesson, t, &importance[t]);
        lbw_importance_release(&importance[t]);
    }
    return LBW_OK;
}

double lbw_weighing_least(const struct lbw_weighing *weighing, const struct lbw_lesson *lesson)
{
    double sum = 0;
    for (size_t t = 0; t < num_outputs(weighing); t++) {
        const float *wanted = lesson->wanted[t].data, *scores = lesson->scores[t].data;
        for (size_t i = 0;
             weighing->is_probable[t] && i < lesson->wanted[t].size / sizeof(float); i++)
            if (scores[i] > 0)
                sum += scores[i] * entropy(wanted[i]);
    }
    return sum;
}
